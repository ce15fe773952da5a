"""The folder under review: reading and writing that never leaves it.

Links and `..` are resolved before anything is opened; what then lies outside, is hidden (a name that begins with a
dot), is no regular file or is too large is refused with a `ToolError`.
"""

from __future__ import annotations

import io
import os
import re
import stat
import tempfile
import tokenize
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.errors import InputError, ToolError

MAX_BYTES = 400_000
"""Larger files are not read: about 100,000 tokens, what a model can still take in one request."""

_OPEN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


@dataclass(frozen=True)
class Source:
    """The text of a file as it is on disk, newlines included, and the encoding it was read with."""

    path: str
    text: str
    encoding: str

    @property
    def lines(self) -> list[str]:
        """The lines as Python counts them, without their ends."""
        lines = re.split(r"\r\n|\r|\n", self.text)
        return lines[:-1] if lines[-1] == "" else lines

    def numbered(self, first: int = 1, last: int | None = None) -> str:
        """The lines from `first` to `last` (from 1, inclusive), each as `   12| code`."""
        chosen = enumerate(self.lines[first - 1 : last], start=first)
        return "\n".join(f"{number:>5}| {line}" for number, line in chosen)


class Workspace:
    """The files below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def locate(self, path: str) -> Path:
        """Where `path` really lies, whether or not there is a file."""
        try:
            place = (self.root / path).resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise ToolError(f"{path!r} is no usable path: {error}") from error
        if not place.is_relative_to(self.root):
            raise ToolError(f"{path} lies outside of the workspace; only files below it can be used")
        if any(part.startswith(".") for part in place.relative_to(self.root).parts):
            raise ToolError(f"{path} is hidden; files and folders whose name begins with a dot are not used")
        return place

    def name(self, place: Path) -> str:
        """The path of a located file relative to the workspace, with forward slashes."""
        return place.relative_to(self.root).as_posix()

    def read(self, path: str) -> Source:
        """The text of a file."""
        place = self.locate(path)
        text, encoding = decoded(content(place, path), path)
        return Source(self.name(place), text, encoding)

    def write(self, path: str, text: str, encoding: str = "utf-8") -> str:
        """Put `text` into a file, all of it or nothing, and give its name; missing folders are made."""
        place = self.locate(path)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(place, text.encode(encoding))
        except (OSError, UnicodeEncodeError) as error:
            raise ToolError(f"{path} cannot be written: {error}") from error
        return self.name(place)


@contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a folder against other processes that ask for it this way (where the system has file locks).

    Raises `BlockingIOError` when another one holds it and `wait` is false.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


@contextmanager
def alone_to_fix(root: Path) -> Iterator[None]:
    """Only one review at a time changes files below a folder: two would make the same patch twice, or lose one."""
    with ExitStack() as held:
        try:
            held.enter_context(locked(root, wait=False))
        except BlockingIOError:
            raise InputError(f"another review with --fix is at work in {root}; try again when it has ended") from None
        yield


def content(place: Path, path: str, most: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file of bounded size; opening never waits, as it would for a named pipe."""
    try:
        handle = os.open(place, _OPEN)
    except OSError as error:
        raise ToolError(f"{path} cannot be read: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ToolError(f"{path} is no regular file")
        with open(handle, "rb", closefd=False) as file:
            data = file.read(most + 1)
    finally:
        os.close(handle)
    if len(data) > most:
        raise ToolError(f"{path} is larger than the {most:,} bytes that are read at most")
    return data


def decoded(data: bytes, path: str) -> tuple[str, str]:
    """The text and the encoding that its first lines declare, as Python itself reads it."""
    if b"\0" in data:
        raise ToolError(f"{path} is binary, not text")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
        text.encode()  # some declared encodings can give half characters, which no request can carry
    except (SyntaxError, UnicodeError) as error:
        raise ToolError(f"{path} is not readable as text: {error}") from error
    return text, encoding


def write_atomically(place: Path, data: bytes) -> None:
    """Replace a file by a finished one, so that no reader and no crash ever sees half of it; its mode is kept."""
    mode = stat.S_IMODE(place.stat().st_mode) if place.exists() else 0o644
    handle, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        os.chmod(name, mode)
        os.replace(name, place)
    except BaseException:
        os.unlink(name)
        raise
