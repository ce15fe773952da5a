"""Appends records to JSONL files: whole lines, to a file that several processes may share.

When a file reaches its size limit it is renamed to `<name>.<number>.jsonl` and a new one begins, so that the file
without a number is always the newest.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from instrument.store.descriptors import ASIDE
from instrument.store.jsonl import rotation
from instrument.store.turns import turn

if sys.platform != "win32":
    import fcntl

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
        """It is marked by being set to non-blocking, which means nothing to a regular file and which hardly any other
        has: to ask for that tells whether the number is still ours, and takes no turn from other threads."""

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
            if self._fsync:
                _confirm(self._fd)
        except OSError:
            self._torn = not (is_alone and _taken_back(self._fd, whole - len(rest))) or self._torn
            raise
        self._torn = False


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


def _confirm(fd: int) -> None:
    """Wait until the disk has what was written; a pipe or a terminal has none."""
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


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
    taken = [number for name in os.listdir(path.parent) if (number := rotation(name, path.stem)) is not None]
    return path.with_name(f"{path.stem}.{max(taken, default=0) + 1}.jsonl")
