"""Traces that other tools recorded, as our records: one file for each format, pure functions from parsed JSON.

A format is a file here and a row of `FORMATS`.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from instrument.errors import InstrumentError
from instrument.model import Record, Span
from instrument.statuses import OPEN
from instrument.store.foreign import claude_code, codex, messages, openinference, otlp, trajectory
from instrument.store.foreign.agents import named_by_agents
from instrument.store.foreign.calls import one_model_call

LOOKED_AT = 50
"""How many values of a file are looked at to tell its format: sessions begin with lines that say little."""


class Format(NamedTuple):
    """Whether a parsed value is of the format, and the records that it becomes; further what the format leaves open.

    `whole`: all lines of a file are one value. `undated`: it has no times, so `records` are given that of the file.
    `tells_all`: each span says whose it is, which is told by nesting alone in the others.
    """

    fits: Callable[[object], bool]
    records: Callable[..., Iterator[Record]]
    whole: bool = False
    undated: bool = False
    tells_all: bool = False


FORMATS = {
    "otlp": Format(otlp.fits, otlp.records, tells_all=True),
    "openinference": Format(openinference.fits, openinference.records),
    "claude-code": Format(claude_code.fits, claude_code.records, whole=True),
    "codex": Format(codex.fits, codex.records, whole=True),
    "openai": Format(messages.fits, messages.records, undated=True),
    "trajectory": Format(trajectory.fits, trajectory.records, undated=True),
}
"""By the name that `--format` takes, in the order in which they are tried. `openinference` takes whatever has the id
and attributes of a span, so what has these and is told by more stands above it."""

_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
"""What reading parts of unexpected types may come to."""
_OPENERS: dict[bytes, Callable[[Path], Any]] = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ": lzma.open, b"BZh": bz2.open}

_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""The marks of byte order that programs on Windows write first."""


class Row(NamedTuple):
    """One parsed value of a file and the line that it begins at."""

    line: int
    value: Any


class Imported(NamedTuple):
    """What one file became. `skipped` has one sentence, with file and line, for each part that could not be read."""

    format: str
    records: list[Record]
    skipped: list[str]


def detect(rows: Sequence[object]) -> str | None:
    """The format of the first parsed values of a file, None where it is none of ours to read."""
    return next((name for row in rows for name, form in FORMATS.items() if form.fits(row)), None)


def read(path: str | os.PathLike[str], wanted: str | None = None) -> Imported:
    """The records of one file, plain or compressed (gzip, xz, bzip2), with what was skipped.

    Raises `InstrumentError` where the format cannot be told or nothing in the file is of the `wanted` one, and
    `OSError` where the file cannot be read.
    """
    place = Path(path)
    skipped: list[str] = []
    rows = list(_rows(place, skipped))
    first = [row.value for row in islice(rows, LOOKED_AT)]
    if wanted is None and any(map(_is_ours, first)):
        raise InstrumentError(
            f"{place} is a recording of instrument itself, which needs no import: `instrument show last {place}` "
            "reads it where it lies"
        )
    form = wanted or detect(first)
    if form is None:
        raise InstrumentError(_untold(place, rows, skipped))
    found = list(_converted(form, rows, place, skipped))
    if not any(isinstance(record, Span) for record in found):
        raise InstrumentError(f"{place} holds nothing of the format {form}{_first(skipped)}")
    return Imported(form, _as_a_whole(found, nested=not FORMATS[form].tells_all), skipped)


def _is_ours(value: object) -> bool:
    return (
        isinstance(value, dict) and value.get("type") in ("run", "open", "span") and isinstance(value.get("run"), str)
    )


def _untold(place: Path, rows: Sequence[Row], skipped: Sequence[str]) -> str:
    """Why a file is of no format: there is nothing in it, no JSON, or JSON that none of ours is like."""
    if not rows:
        return f"{place} " + ("holds no whole JSON: it may have been cut off" if skipped else "is empty")
    return f"{place} is of no format that can be told: name it with --format ({', '.join(FORMATS)})"


def _first(skipped: Sequence[str]) -> str:
    return f": {skipped[0]}" if skipped else ""


def _converted(name: str, rows: Sequence[Row], place: Path, skipped: list[str]) -> Iterator[Record]:
    source, form = place.name, FORMATS[name]
    if form.whole:
        lines = [row for row in rows if isinstance(row.value, dict) or _skip(skipped, place, row, "is no JSON object")]
        try:
            yield from list(form.records([row.value for row in lines], source))
        except _UNREADABLE as fault:
            raise InstrumentError(f"{place} cannot be read as {name} ({fault})") from fault
        return
    beside = (os.stat(place).st_mtime_ns,) if form.undated else ()
    for row in rows:
        if not form.fits(row.value):
            _skip(skipped, place, row, f"holds nothing of the format {name}")
            continue
        try:
            yield from list(form.records(row.value, source, *beside))
        except _UNREADABLE as fault:
            _skip(skipped, place, row, f"cannot be read as {name} ({fault})")


def _skip(skipped: list[str], place: Path, row: Row, why: str) -> bool:
    skipped.append(f"{place}, line {row.line} {why} and was skipped")
    return False


def _as_a_whole(found: Sequence[Record], *, nested: bool) -> list[Record]:
    """The records, each span by what the spans around it say; OTLP tells of each span what there is to tell."""
    once = _once(found)
    alone = one_model_call([record for record in once if isinstance(record, Span)])
    spans = iter(named_by_agents(alone) if nested else alone)
    return [next(spans) if isinstance(record, Span) else record for record in once]


def _once(found: Sequence[Record]) -> list[Record]:
    """Each span once: that which has ended where it was told of twice, else the first."""
    kept: dict[object, Record] = {}
    for record in found:
        key = (record.trace_id, record.span_id) if isinstance(record, Span) else id(record)
        known = kept.get(key)
        if known is None or (isinstance(known, Span) and known.status == OPEN):
            kept[key] = record
    return list(kept.values())


def _rows(place: Path, skipped: list[str]) -> Iterator[Row]:
    """The values of a file: JSON lines, or one document; of a document that lists conversations or spans each."""
    data = _as_utf8(_content(place))
    first = data.lstrip().partition(b"\n")[0]
    if _decoded(first) is None or first.strip() == data.strip():
        try:
            yield from _listed(msgspec.json.decode(data))
            return
        except (ValueError, RecursionError):
            pass
    yield from _lines(data, place, skipped)


def _listed(document: Any) -> Iterator[Row]:
    """A list of rows as rows; a list that is one row itself, such as of messages, as this one."""
    if isinstance(document, list) and detect([document]) is None:
        yield from (Row(1, item) for item in document)
    else:
        yield Row(1, document)


def _lines(data: bytes, place: Path, skipped: list[str]) -> Iterator[Row]:
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            value = _decoded(line)
            if value is None:
                _skip(skipped, place, Row(number, None), "is no JSON")
            else:
                yield Row(number, value)


def _decoded(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return None


def _as_utf8(data: bytes) -> bytes:
    """What a mark at the beginning says of the encoding is taken at its word."""
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    return data if encoding is None else data.decode(encoding, "replace").encode()


def _content(place: Path) -> bytes:
    with open(place, "rb") as plain:
        head = plain.read(6)
    opener = next((opener for mark, opener in _OPENERS.items() if head.startswith(mark)), None)
    if opener is None:
        return place.read_bytes()
    try:
        with opener(place) as stream:
            return bytes(stream.read())
    except (EOFError, lzma.LZMAError, zlib.error) as fault:
        raise InstrumentError(f"{place} cannot be unpacked ({fault}): it is damaged, or was cut off") from None
