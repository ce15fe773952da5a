"""Record files followed while they grow: every line once, with its place, so that it can be read again alone.

Files are known by their inode, so that a rotated file is not read twice; one that was gzipped afterwards goes on
under its new name. A line counts when its newline is there, or when it is a whole record already.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from instrument.store.jsonl import GZIP, MAX_LINE, files

Place = int
"""The number of the file and the offset in it, in one integer."""

_BITS = 44
_OFFSETS = (1 << _BITS) - 1


class _File:
    """A file and how far it was read, in bytes of its (unpacked) content."""

    def __init__(self, number: int, path: Path, packed: bool) -> None:
        self.number, self.path, self.packed = number, path, packed
        self.at = self.size = 0


class Follower:
    """Follows a file or a folder. Not safe for threads: one caller at a time."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        self._files: list[_File] = []
        self._by_inode: dict[tuple[int, int], _File] = {}

    def new(self, *, by_age: bool = False, latest_first: bool = False) -> Iterator[tuple[Place, bytes]]:
        """The lines that came since the last call, `by_age` those of the file that was written last at the end.

        With `latest_first` they come first.

        Nothing where there is no file (any more).
        """
        with suppress(FileNotFoundError):
            found = files(self.path)
            if by_age or latest_first:
                found.sort(key=_written, reverse=latest_first)
            for path in found:
                with suppress(OSError, EOFError, zlib.error):
                    yield from self._grown(path)

    def lines(self, places: Iterable[Place]) -> Iterator[bytes]:
        """The lines at the places, quickest in the order of the files; what has gone is left out."""
        for number, group in groupby(places, lambda place: place >> _BITS):
            stream = _open(self._files[number])
            if stream is not None:
                with stream:
                    yield from _lines_at(stream, group)

    def _grown(self, path: Path) -> Iterator[tuple[Place, bytes]]:
        status = path.stat()
        file = self._file(path, status)
        if status.st_size == file.size:
            return
        if status.st_size < file.size:  # written anew
            file.at = 0
        file.size = status.st_size
        stream = _open(file)
        if stream is not None:
            with stream:
                yield from _lines(file, stream)

    def _file(self, path: Path, status: os.stat_result) -> _File:
        inode = status.st_dev, status.st_ino
        file = self._by_inode.get(inode)
        if file is None:
            file = self._gzipped(path) or self._next(path)
            self._by_inode[inode] = file
        file.path = path
        return file

    def _gzipped(self, path: Path) -> _File | None:
        """The file that this one was before it was gzipped; its content is where it was."""
        before = next((file for file in self._files if f"{file.path}.gz" == str(path)), None)
        if before is not None:
            before.packed, before.size = True, 0
        return before

    def _next(self, path: Path) -> _File:
        with open(path, "rb") as stream:
            file = _File(len(self._files), path, stream.read(2) == GZIP)
        self._files.append(file)
        return file


def _lines_at(stream: Any, places: Iterable[Place]) -> Iterator[bytes]:
    """The lines at places of one file."""
    at = -1
    for place in places:
        with suppress(OSError, EOFError, zlib.error):
            offset = place & _OFFSETS
            if at != offset:
                stream.seek(offset)
            line = stream.readline(MAX_LINE)
            at = offset + len(line)
            yield line


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _open(file: _File) -> Any:
    try:
        return gzip.open(file.path) if file.packed else open(file.path, "rb", buffering=1 << 18)
    except OSError:
        return None


def _lines(file: _File, stream: Any) -> Iterator[tuple[Place, bytes]]:
    stream.seek(file.at)
    base = file.number << _BITS
    for line in iter(lambda: stream.readline(MAX_LINE), b""):
        if not line.endswith(b"\n") and not _is_whole(line):
            return
        at, file.at = file.at, file.at + len(line)
        yield base | at, line


def _is_whole(line: bytes) -> bool:
    """Whether a line without its newline is a record: one that is being written is not, and comes next time."""
    if len(line) == MAX_LINE:
        return True
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (ValueError, RecursionError):
        return False
