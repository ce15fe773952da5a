"""Records in JSONL files: append whole lines to a file that several processes may share, and stream them back.

A recording folder (`.instrument`) holds `events/<utc>-<run>.jsonl`, one file a process. When a file reaches
its size limit it is renamed to `<name>.<number>.jsonl` and a new one begins, so that the file without a
number is always the newest. Files may be gzipped afterwards. Traces that are not
decided yet (see `spool`) are read as well.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import re
import stat
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Raw

from instrument.model import AnyRecord, Record, decode, decode_known
from instrument.store import spool
from instrument.store.turns import turn

if sys.platform != "win32":
    import fcntl

T = TypeVar("T")

MAX_LINE = 64 * 1024 * 1024
"""A longer line is no record of ours and is skipped, so that memory stays bounded."""


# Writing

LOOK_SECONDS = 0.05
"""What is written to a file of our own in so short a time after it was moved away or deleted goes with it."""

LOOK_SHARE = 10
"""Looking takes at most this part of the time. Where other threads compute every call of the system waits for its turn,
and with several of them what is recorded would wait longer for two looks than for being written."""

UNSEEN_SECONDS = 0.5
"""But so long at most is written without a look: one that took a minute may have met a disk that hung, or a process
that was stopped."""

CONTENDED = 0.002
"""A look that takes so many seconds has waited for its turn."""

ASIDE = 512
"""Descriptors from here on are not given to what a program opens, unless it has as many open."""


def event_file(folder: Path, run: str, start_ns: int) -> Path:
    """Where the records of one process go: `events/<utc>-<run>.jsonl` below the recording folder."""
    utc = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(start_ns // 1_000_000_000))
    return folder / "events" / f"{utc}-{run}.jsonl"


class Appender:
    """Appends whole lines to one file, `shared` with other processes or its own.

    `rotate_bytes` is the size beyond which a new file begins, `fsync` asks the disk to confirm every append.
    A file that was renamed or deleted meanwhile is opened anew; `prepare` is called before, for what lies above it. So
    is one whose descriptor the program has closed; what it may have opened under that number is not touched.
    Every call of the system lets other threads run, and a busy one keeps us waiting for 5 ms: there are few. Beside
    such threads a file that is gone is not noticed at once, but within `LOOK_SHARE` times the wait and `UNSEEN_SECONDS`
    at most; what was written meanwhile to one that was deleted is written again.
    """

    def __init__(
        self,
        path: Path,
        *,
        rotate_bytes: int | None = None,
        fsync: bool = False,
        shared: bool = True,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        self.path = path
        self._rotate_bytes = rotate_bytes
        self._fsync = fsync
        self._shared = shared
        self._prepare = prepare
        self._fd = -1
        self._place = (0, 0)
        self._sure_until = self._look_due = self._young_until = 0.0
        self._is_deleted = False
        self._seen = 0
        self._pid = 0
        self._torn = self._is_marked = False
        """It is marked as not blocking: that means nothing to a file, no other has it, and to ask takes no turn."""

    def open(self) -> None:
        """Create the file, or open it, unless it is open. Raises `OSError`."""
        if self._pid != os.getpid() or not self._is_ours():
            self._open()

    def append(self, lines: Sequence[bytes]) -> None:
        """Write the lines. Raises `OSError`; none of them counts as written then."""
        self.append_data(b"\n".join(lines) + b"\n")

    def append_data(self, data: bytes) -> None:
        """Write lines that are joined already, each with its newline, as `append` does."""
        try:
            self._append(data)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            self.look_again()  # the program has closed it since we looked
            self._append(data)

    def look_again(self) -> None:
        """See before the next append whether the file is where it was."""
        self._sure_until = self._look_due = 0.0

    def close(self) -> None:
        """Give the file back."""
        self.look_again()
        is_ours, fd, self._fd = self._is_ours(), self._fd, -1
        if is_ours:
            os.close(fd)

    def _append(self, data: bytes) -> None:
        while True:
            self.open()
            with turn(self._fd) if self._shared else nullcontext(True) as is_alone:
                if self._is_current() and not (self._is_full(len(data)) and self._retire()):
                    return self._write(data, is_alone)
            data = self._left_behind() + data
            self.close()  # it lies elsewhere now

    def _open(self) -> None:
        self.close()
        if self._prepare is not None:
            self._prepare()
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._shared and self.path.is_fifo():  # raises where nobody reads: who writes there waits for ever
            os.close(os.open(self.path, os.O_WRONLY | os.O_NONBLOCK))
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._fd = _set_aside(os.open(self.path, flags, 0o600))
        self._pid = os.getpid()
        opened = os.fstat(self._fd)
        self._place = (opened.st_dev, opened.st_ino)
        self._is_marked = self._fd >= ASIDE and stat.S_ISREG(opened.st_mode)
        if self._is_marked:
            os.set_blocking(self._fd, False)
        self._torn = _ends_torn(self._fd)

    def _is_ours(self) -> bool:
        """Whether the descriptor is still that of our file."""
        before = time.monotonic()
        if self._fd < 0 or before < self._sure_until:
            return self._fd >= 0
        try:
            found = os.fstat(self._fd)
        except OSError:
            return False
        took = time.monotonic() - before
        if took > CONTENDED and self._is_marked:
            self._sure_until = before + took + min(LOOK_SHARE * took, UNSEEN_SECONDS)
        self._is_deleted = found.st_nlink == 0
        if not self._is_deleted:
            self._seen, self._young_until = found.st_size, self._sure_until + UNSEEN_SECONDS
        return (found.st_dev, found.st_ino) == self._place

    def _left_behind(self) -> bytes:
        """What has just been written, without a look, to a file of our own that is deleted now."""
        if self._shared or time.monotonic() > self._young_until:
            return b""
        found = os.fstat(self._fd)
        if found.st_nlink > 0 or (found.st_dev, found.st_ino) != self._place:
            return b""
        return os.pread(self._fd, max(0, found.st_size - self._seen), self._seen)

    def _is_current(self) -> bool:
        """Whether the file is where it was. One of our own is looked for no more often than `LOOK_SECONDS` say."""
        before = time.monotonic()
        if before < self._look_due and not (self._shared or self._is_deleted):
            return True
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        took = time.monotonic() - before
        self._look_due = before + took + min(max(LOOK_SECONDS, LOOK_SHARE * took), UNSEEN_SECONDS)
        return (found.st_dev, found.st_ino) == self._place

    def _is_full(self, more: int) -> bool:
        if not self._rotate_bytes:
            return False
        size = os.fstat(self._fd).st_size
        return size > 0 and size + more > self._rotate_bytes

    def _retire(self) -> bool:
        try:
            self.path.rename(_next_number(self.path))
        except OSError:  # where an open file cannot be renamed it goes on growing
            return False
        return True

    def _write(self, data: bytes, is_alone: bool) -> None:
        if self._is_marked and os.get_blocking(self._fd):
            raise OSError(errno.EBADF, "the descriptor is another file's")
        rest = memoryview(b"\n" + data if self._torn else data)
        whole = len(rest)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            self._torn = not (is_alone and _taken_back(self._fd, whole - len(rest))) or self._torn
            raise
        self._torn = False
        if self._fsync:
            os.fsync(self._fd)


def _set_aside(fd: int) -> int:
    """The file under a high number, or where there are none at least above 2.

    What a program still writes to a descriptor that it has closed, such as stderr, must not get into the file, nor
    what we write into a file that the program has opened since.
    """
    if sys.platform == "win32":
        return fd
    try:
        aside = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, ASIDE)
    except OSError:
        if fd > 2:
            return fd
        try:
            aside = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
        except OSError:
            os.close(fd)
            raise
    os.close(fd)
    return aside


def _taken_back(fd: int, written: int) -> bool:
    """Take the last bytes of an unfinished write back. Only where nobody else can have written behind them."""
    try:
        os.ftruncate(fd, os.fstat(fd).st_size - written)
    except OSError:
        return False
    return True


def _ends_torn(fd: int) -> bool:
    """Whether a process that died in the middle of a line wrote last."""
    size = os.fstat(fd).st_size
    if size == 0:
        return False
    os.lseek(fd, size - 1, os.SEEK_SET)
    return os.read(fd, 1) != b"\n"


def _next_number(path: Path) -> Path:
    taken = [number for name in os.listdir(path.parent) if (number := _rotation(name, path.stem)) is not None]
    return path.with_name(f"{path.stem}.{max(taken, default=0) + 1}.jsonl")


def _rotation(name: str, stem: str) -> int | None:
    found = re.fullmatch(re.escape(stem) + r"\.(\d+)\.jsonl(\.gz)?", name)
    return int(found[1]) if found else None


# Reading


def records(path: str | os.PathLike[str], notices: list[str] | None = None) -> Iterator[Record]:
    """Every record below `path`, as it stands on disk, in the order of the files and lines.

    `path` is a file (`.jsonl`, gzipped or not), a recording folder, its `events` folder, or any folder with such
    files. Unknown types and keys are kept. What cannot be read (the half-written last line of a process that was
    killed, a broken line) is skipped, and one sentence a file about it goes to `notices`, or to `warnings` without it.

    Raises `FileNotFoundError` when there is nothing at `path`.
    """
    return decoded(path, record_of, notices)


def record_of(line: bytes) -> Record:
    """As `model.decode`, but faster for the usual line: one that holds nothing unknown."""
    keys = _keys.decode(line)
    known = _KNOWN_KEYS.get(bytes(keys.get("type", b"")))
    return decode_known(line) if known is not None and keys.keys() <= known else decode(line)


def decoded(
    path: str | os.PathLike[str],
    decode: Callable[[bytes], T],
    notices: list[str] | None = None,
    wanted: Callable[[bytes], bool] | None = None,
    otherwise: Callable[[bytes], T] | None = None,
) -> Iterator[T]:
    """What `decode` makes of every line below `path` (as for `records`); with `wanted` only of those that are.

    Lines that it raises `ValueError` for are given to `otherwise`, which may be slower and know more.
    """
    for file in files(path):
        problems = _Problems(file)
        try:
            with _opened(file) as stream:
                yield from _decoded_lines(stream, decode, wanted, otherwise, problems)
        except (EOFError, zlib.error) as error:
            problems.unreadable(error)
        except OSError as error:
            if file == Path(path):
                raise
            problems.unreadable(error)
        _tell(problems, notices)


def files(path: str | os.PathLike[str]) -> list[Path]:
    """The record files below `path`, oldest rotation first; with a file what it held before it was rotated."""
    place = Path(path)
    if not place.is_dir():
        found = [*_rotations(place), *([place] if place.exists() else [])]
        if not found:
            raise FileNotFoundError(f"there is no file or folder {str(path)!r}")
        return found
    inside = next((place / name for name in ("events", ".instrument/events") if (place / name).is_dir()), place)
    names = _single([name for name in os.listdir(inside) if _FILE_NAME.fullmatch(name)])
    undecided = spool.undecided(inside.parent / "spool") if inside.name == "events" else []
    return [*(inside / name for name in sorted(names, key=_age)), *undecided]


def _rotations(file: Path) -> list[Path]:
    """The numbered files that this one was, oldest first; none for what has a number itself or is no event file."""
    named = _FILE_NAME.fullmatch(file.name)
    if named is None or named["number"] or file.suffix != ".jsonl":
        return []
    try:
        names = [name for name in os.listdir(file.parent) if _rotation(name, file.stem) is not None]
    except OSError:
        return []
    return [file.parent / name for name in sorted(_single(names), key=_age)]


def _single(names: Sequence[str]) -> list[str]:
    """Each file once: while `gzip` is at work, or when it was told to keep the original, two hold the same records."""
    every = set(names)
    return [name for name in names if not (name.endswith(".gz") and name[:-3] in every)]


_FILE_NAME = re.compile(r"(?P<base>.+?)(?:\.(?P<number>\d+))?\.jsonl(?:\.\d+)?(?:\.gz)?")
GZIP = b"\x1f\x8b"
_RECORD_START = re.compile(rb'\{"type":"(?:run|open|span|update|log|finding|score)","run":"')
_keys = msgspec.json.Decoder(dict[str, Raw])
_KNOWN_KEYS = {
    msgspec.json.encode(kind.__struct_config__.tag): {*kind.__struct_fields__, "type"} for kind in AnyRecord.__args__
}


def _age(name: str) -> tuple[str, float, str]:
    parts = _FILE_NAME.fullmatch(name)
    assert parts is not None
    return parts["base"], float(parts["number"] or "inf"), name


@contextmanager
def _opened(file: Path) -> Iterator[io.BufferedIOBase]:
    with io.BufferedReader(io.FileIO(file), 1 << 18) as stream:
        if stream.peek(2)[:2] != GZIP:
            yield stream
            return
        with gzip.GzipFile(fileobj=stream) as unpacked:
            yield unpacked


def _decoded_lines(
    stream: io.BufferedIOBase,
    decode: Callable[[bytes], T],
    wanted: Callable[[bytes], bool] | None,
    otherwise: Callable[[bytes], T] | None,
    problems: _Problems,
) -> Iterator[T]:
    for number, line in enumerate(iter(partial(stream.readline, MAX_LINE), b""), 1):
        if wanted is not None and line.endswith(b"\n") and not wanted(line):
            continue
        try:
            yield decode(line)
            continue
        except _UNREADABLE:
            pass
        if otherwise is not None:
            with suppress(*_UNREADABLE):
                yield otherwise(line)
                continue
        if len(line) == MAX_LINE and not line.endswith(b"\n"):
            problems.endless()
            _skip_line(stream)
        elif line.strip():
            problems.broken(number, line)
            yield from _salvaged(line, decode)


_UNREADABLE = (ValueError, TypeError, RecursionError)


def _skip_line(stream: io.BufferedIOBase) -> None:
    while (rest := stream.readline(MAX_LINE)) and not rest.endswith(b"\n"):
        pass


def _salvaged(line: bytes, decode: Callable[[bytes], T]) -> Iterator[T]:
    """The record that another process appended to a torn one, if there is one behind the break."""
    for start in islice(_RECORD_START.finditer(line, 1), 8):
        with suppress(*_UNREADABLE):
            yield decode(line[start.start() :])
            return


class _Problems:
    """What could not be read of one file, to be told in one sentence."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.torn = False
        self.lines = 0
        self.first = 0
        self.other: list[str] = []

    def broken(self, number: int, line: bytes) -> None:
        if not line.endswith(b"\n"):
            self.torn = True
            return
        self.lines += 1
        self.first = self.first or number

    def endless(self) -> None:
        self.other.append(f"a line longer than {MAX_LINE >> 20} MiB was skipped")

    def unreadable(self, error: Exception) -> None:
        self.other.append(f"the rest could not be read ({error})")

    def sentence(self) -> str | None:
        parts = list(self.other)
        if self.lines == 1:
            parts.append(f"line {self.first} is no record and was skipped")
        elif self.lines:
            parts.append(f"{self.lines} lines, the first of them line {self.first}, are no records and were skipped")
        if self.torn:
            parts.append("the last line is half-written and was skipped")
        return f"{self.file}: {'; '.join(parts)}" if parts else None


def _tell(problems: _Problems, notices: list[str] | None) -> None:
    sentence = problems.sentence()
    if sentence is None:
        return
    if notices is None:
        warnings.warn(sentence, stacklevel=4)
    else:
        notices.append(sentence)
