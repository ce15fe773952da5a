"""Encoded requests that wait on disk for their target, one file each, in the order in which they were made.

    otlp/3f9a12bc/01795435200000000000-5f2c-000001-64.traces.gz

The name says when it was made, by which run, its number, how many records it holds and what it is. Files are for
their owner only (0600) and appear whole. The folder is bounded: beyond it the oldest files go, which is counted. One
process at a time sends what lies there, whoever made it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

try:
    import fcntl
except ImportError:  # Windows: there every process sends its own files only
    fcntl = None  # type: ignore[assignment]

_ENDING = ".gz"
_LOCK = ".sending"


class Parcel(NamedTuple):
    """One encoded request: its signal, how many records it holds, the body, when it was made."""

    signal: str
    records: int
    body: bytes
    made_ns: int
    number: int = 0


class Outbox:
    """The folder of one target. `run` tells this process's files apart; nothing is made before the first `put`."""

    def __init__(self, folder: str | os.PathLike[str], run: str, max_bytes: int) -> None:
        self.folder = Path(folder)
        self._run = run or "run"
        self._max_bytes = max_bytes

    def put(self, parcel: Parcel) -> int:
        """Keep a parcel; returns how many records had to go to make room, itself included. Raises `OSError`."""
        if len(parcel.body) > self._max_bytes:
            return parcel.records
        self._make()
        name = f"{parcel.made_ns:020}-{self._run}-{parcel.number:06}-{parcel.records}.{parcel.signal}{_ENDING}"
        unfinished = self.folder / f".{name}.new"
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(parcel.body)
            os.replace(unfinished, self.folder / name)
        except BaseException:
            with suppress(OSError):
                os.unlink(unfinished)
            raise
        return self._make_room()

    def waiting(self) -> list[Path]:
        """The files, in the order in which they are to be sent."""
        try:
            return sorted(path for path in self.folder.iterdir() if not path.name.startswith("."))
        except OSError:
            return []

    def read(self, path: Path) -> Parcel | None:
        """The parcel in a file; None where it has gone or is none of ours."""
        try:
            made_ns, _, number, rest = path.name.split("-")
            records, signal, _ = rest.split(".")
            return Parcel(signal, int(records), path.read_bytes(), int(made_ns), int(number))
        except (OSError, ValueError):
            return None

    def remove(self, path: Path) -> None:
        """It has been sent."""
        with suppress(OSError):
            path.unlink()

    @contextmanager
    def sending(self) -> Iterator[bool]:
        """While inside no other process sends from this folder; gives False where another one does."""
        if not self.folder.is_dir() or fcntl is None:
            yield self.folder.is_dir()
            return
        handle = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            try:
                yield True
            finally:
                fcntl.flock(handle, fcntl.LOCK_UN)  # closing is not enough where a child was forked meanwhile
        finally:
            os.close(handle)

    def _make(self) -> None:
        if not self.folder.is_dir():
            self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.mkdir(exist_ok=True, mode=0o700)

    def _make_room(self) -> int:
        files = self.waiting()
        sizes = {path: _size(path) for path in files}
        total, gone = sum(sizes.values()), 0
        for path in files:
            if total <= self._max_bytes:
                break
            total -= sizes[path]
            gone += _records(path)
            self.remove(path)
        return gone


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _records(path: Path) -> int:
    count = path.name.rpartition("-")[2].partition(".")[0]
    return int(count) if count.isdigit() else 0
