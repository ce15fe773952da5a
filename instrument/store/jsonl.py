"""Records in JSONL files: where they lie, and how they are streamed back. `appender` writes them.

A recording folder (`.instrument`) holds `events/<utc>-<run>.jsonl`, one file a process, and where that was rotated its
older parts, `<utc>-<run>.<number>.jsonl`. Files may be gzipped afterwards. Traces that are not decided yet (see
`spool`) are read as well.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Raw

from instrument.model import AnyRecord, Record, decode, decode_known
from instrument.store import spool

T = TypeVar("T")

MAX_LINE = 64 * 1024 * 1024
"""A longer line is no record of ours and is skipped, so that memory stays bounded."""


# Names


def event_file(folder: Path, run: str, start_ns: int) -> Path:
    """Where the records of one process go: `events/<utc>-<run>.jsonl` below the recording folder."""
    utc = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(start_ns // 1_000_000_000))
    return folder / "events" / f"{utc}-{run}.jsonl"


def rotation(name: str, stem: str) -> int | None:
    """The number of the file of this name, where it is an older part of `<stem>.jsonl`."""
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
    """The numbered files that this one was, oldest first."""
    try:
        names = [name for name in os.listdir(file.parent) if rotation(name, file.stem) is not None]
    except (OSError, ValueError):
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
