"""The records: what is sent to sinks and what lies on disk, one JSON object a line.

Every record is an immutable struct; `type` is the tag that tells them apart in JSON. Times are
integers in nanoseconds since the Unix epoch, durations integers in nanoseconds, money a decimal
string in US dollars. This module imports nothing of ours and never looks at the context: ids,
parents and times are handed in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Raw, Struct, field

SCHEMA = 1
"""Version of the record format, written into every `run` record."""


def _always(value: Any) -> Any:
    """A default that is written out all the same: whoever reads the lines with a tool of their own looks for it."""
    return field(default_factory=lambda: value)


class Failure(Struct, frozen=True, omit_defaults=True):
    """An exception as it was recorded; `causes` is its chain of causes and contexts, nearest first."""

    type: str
    message: str = ""
    stack: str | None = None
    causes: list[Failure] = []


class Usage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens of one model call.

    `input` and `output` are inclusive; `cached` and `cache_write` are parts of `input`, `reasoning`
    is part of `output`, `audio` is part of either; `cache_write_1h` is the part of `cache_write` that is
    kept for an hour instead of minutes. `web_searches` and `file_searches` are calls of the provider's own
    tools, which it bills beside tokens. None means the provider did not say.
    `source` is `reported` (by the provider) or `estimated` (counted by us).
    """

    input: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    output: int | None = None
    reasoning: int | None = None
    audio: int | None = None
    cache_write_1h: int | None = None
    web_searches: int | None = None
    file_searches: int | None = None
    source: str = _always("reported")


BASES = ("priced", "estimated", "unpriced", "free")
"""What the money of a call may rest on, as `Cost` says."""


class Cost(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Money of one model call in US dollars as decimal strings.

    `basis` is `priced` (reported tokens times a known price), `estimated` (estimated tokens),
    `unpriced` (no price known: `usd` is None, never 0) or `free`. `input` is the part for tokens
    that were not cached, with what is billed by the request or by the search; `cached`, `cache_write`
    and `output` are the other parts.
    `price_date` names the version of the price list.
    """

    usd: str | None = None
    input: str | None = None
    cached: str | None = None
    cache_write: str | None = None
    output: str | None = None
    basis: str = _always("unpriced")
    price_date: str | None = None


class Event(Struct, frozen=True, omit_defaults=True):
    """A named moment inside a span."""

    name: str
    time_ns: int
    attributes: dict[str, Any] = {}


class Link(Struct, frozen=True, omit_defaults=True):
    """A relation to a span that is no ancestor."""

    trace_id: str
    span_id: str
    attributes: dict[str, Any] = {}


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", gc=False):
    """Base of all records. `run` is the id of the process's recording; `extra` keeps unknown keys."""

    run: str = ""
    extra: dict[str, Any] = {}


UNWATCHED = "instrument.unwatched"
"""In the resource of a run that no detectors watched."""


class Run(Record, frozen=True, kw_only=True, omit_defaults=True, tag="run", gc=False):
    """The head of one process's recording."""

    schema: int = _always(SCHEMA)
    start_ns: int = 0
    agent_id: str | None = None
    service: str | None = None
    pid: int = 0
    argv: list[str] = []
    python: str = ""
    platform: str = ""
    instrument: str = ""
    git: dict[str, Any] = {}
    resource: dict[str, Any] = {}


class Open(Record, frozen=True, kw_only=True, omit_defaults=True, tag="open", gc=False):
    """The head of a span that is still running, written only for spans that stay open a moment."""

    trace_id: str
    span_id: str
    parent_id: str | None = None
    start_ns: int
    kind: str = _always("span")
    name: str
    input: Any = None
    attributes: dict[str, Any] = {}


class Head(Struct, frozen=True, gc=False):
    """What is told of a span that is open to those who look at all of them from time to time."""

    trace_id: str
    span_id: str
    parent_id: str | None
    start_ns: int
    kind: str
    name: str


class Span(Record, frozen=True, kw_only=True, omit_defaults=True, tag="span", gc=False):
    """One unit of work that has ended (or, on reading, one that never did: status `open`).

    `input` maps parameters to values; `status` is `ok`, `error`, `cancelled`, `open`, or `refused`
    for a call that a budget or the loop breaker did not let be made.
    While records are on their way to a sink `input`, `output` and attribute values may be
    `msgspec.Raw`, JSON that is already encoded; `plain()` decodes it.
    """

    trace_id: str
    span_id: str
    parent_id: str | None = None
    start_ns: int
    duration_ns: int
    kind: str
    name: str
    status: str
    error: Failure | None = None
    input: Any = None
    output: Any = None
    attributes: dict[str, Any] = {}
    usage: Usage | None = None
    cost: Cost | None = None
    events: list[Event] = []
    links: list[Link] = []

    @property
    def end_ns(self) -> int:
        """When it ended."""
        return self.start_ns + self.duration_ns


class Update(Record, frozen=True, kw_only=True, omit_defaults=True, tag="update", gc=False):
    """Facts about a span that came after it had ended."""

    trace_id: str
    span_id: str
    usage: Usage | None = None
    cost: Cost | None = None
    attributes: dict[str, Any] = {}


class Log(Record, frozen=True, kw_only=True, omit_defaults=True, tag="log", gc=False):
    """One line of a log; `trace_id` and `span_id` are None outside of any span."""

    trace_id: str | None = None
    span_id: str | None = None
    time_ns: int
    level: str = _always("INFO")
    event: str = ""
    message: str = ""
    agent_id: str | None = None
    logger: str | None = None
    metadata: dict[str, Any] = {}


class Finding(Record, frozen=True, kw_only=True, omit_defaults=True, tag="finding", gc=False):
    """What a detector saw: one sentence and the spans that prove it. `severity`: info, warning, error."""

    trace_id: str | None = None
    span_ids: list[str] = []
    time_ns: int = 0
    detector: str
    severity: str = _always("warning")
    message: str
    data: dict[str, Any] = {}


AGAIN_OF = "again_of"
"""In the data of a finding: the last span of the finding that first told of its pattern, which has gone on since."""


def is_counted(finding: Any) -> bool:
    """Whether a finding, or its head, counts: no hint (severity info), and the first to tell of its pattern."""
    return finding.severity != "info" and AGAIN_OF not in finding.data


class Score(Record, frozen=True, kw_only=True, omit_defaults=True, tag="score", gc=False):
    """A judgement on a trace or a span, by a person or a program (`source`)."""

    trace_id: str | None = None
    span_id: str | None = None
    time_ns: int
    name: str
    value: float | None = None
    label: str | None = None
    source: str = ""


class Other(Record, frozen=True, kw_only=True, gc=False):
    """A record of a type that this version does not know; all its keys are in `extra`."""


AnyRecord = Run | Open | Span | Update | Log | Finding | Score

_encoder = msgspec.json.Encoder()
_typed = msgspec.json.Decoder(AnyRecord)
_KNOWN = {kind.__struct_config__.tag: kind for kind in AnyRecord.__args__}


def encode(record: Record) -> bytes:
    """The record as one line of JSON, without the newline."""
    if not record.extra:
        return _encoder.encode(record)
    fields = msgspec.to_builtins(record, enc_hook=_decode_raw)
    return _encoder.encode({**{key: value for key, value in fields.items() if key != "extra"}, **record.extra})


def decode(line: bytes | str) -> Record:
    """One line of JSON as a record; keys and types that this version does not know are kept in `extra`.

    Raises `ValueError` for a line that is no JSON object or lacks what its type needs.
    """
    fields = msgspec.json.decode(line)
    if not isinstance(fields, dict):
        raise ValueError(f"a record is a JSON object, this line holds {type(fields).__name__}")
    kind = _KNOWN.get(fields.get("type"))
    if kind is None:
        return Other(run=str(fields.get("run", "")), extra=fields)
    known = kind.__struct_fields__
    extra = {key: value for key, value in fields.items() if key not in known and key != "type"}
    record: Record = msgspec.convert(fields, kind)
    return msgspec.structs.replace(record, extra=extra) if extra else record


def decode_known(line: bytes) -> Record:
    """As `decode`, several times faster, for lines that this version wrote itself."""
    record: Record = _typed.decode(line)
    return record


def plain(record: Record) -> Record:
    """The record with every encoded part decoded to plain values."""
    return decode(encode(record))


def opened(value: Any) -> Any:
    """A value decoded where it is still encoded."""
    return msgspec.json.decode(value) if isinstance(value, Raw) else value


def _decode_raw(value: object) -> Any:
    if isinstance(value, Raw):
        return msgspec.json.decode(value)
    raise TypeError(f"a record cannot hold {type(value).__name__}")


def split(lines: bytes) -> list[bytes]:
    """The lines, each without its newline: as `bytes.split`, which takes twice as long for long ones."""
    found, start = [], 0
    while (end := lines.find(b"\n", start)) >= 0:
        found.append(lines[start:end])
        start = end + 1
    return found


class Batch(tuple[Record, ...]):
    """Records on their way to the sinks, in the order in which they ended.

    `lines` are the same records as JSON without newlines, `data` is all of them in one piece, each with its newline;
    `depths` says how deep each lay below the root of its trace (0 for a root or where there is none).
    """

    depths: Sequence[int]
    unpriced: Mapping[str, Any] = {}
    """What is needed to price the spans (by id) of which usage and cost are still to come."""
    _lines: Sequence[bytes] | None
    _data: bytes | None

    def __new__(
        cls,
        records: Iterable[Record],
        lines: Sequence[bytes] | None = None,
        depths: Sequence[int] | None = None,
        *,
        data: bytes | None = None,
    ) -> Batch:
        batch = super().__new__(cls, records)
        batch._lines = [encode(record) for record in batch] if lines is None and data is None else lines
        batch._data = data
        batch.depths = [0] * len(batch) if depths is None else depths
        return batch

    @property
    def lines(self) -> Sequence[bytes]:
        """The records as JSON, one by one."""
        if self._lines is None:
            self._lines = split(self.data)
        return self._lines

    @property
    def data(self) -> bytes:
        """The records as JSON in one piece: what is appended to a file."""
        if self._data is None:
            self._data = b"".join([line + b"\n" for line in self.lines])
        return self._data

    def part(self, places: Sequence[int]) -> Batch:
        """The records at these places."""
        return Batch([self[at] for at in places], [self.lines[at] for at in places], [self.depths[at] for at in places])

    def pieces(self, most: int) -> Iterator[Batch]:
        """The batch in parts of so many records at most."""
        for first in range(0, len(self), most):
            piece = self if len(self) <= most else self.part(range(first, min(first + most, len(self))))
            piece.unpriced = self.unpriced
            yield piece

    def plain(self) -> Iterator[Record]:
        """The records with every encoded part decoded to plain values."""
        return map(decode, self.lines)


class Sink(Protocol):
    """Takes batches of records and puts them somewhere.

    All three methods are called from one thread at a time. A sink that raises is switched off,
    reported once and counted; the others go on. Each sink has a thread of its own, unless it says `direct = True`: then
    it is called before the others, and must be quick. With `takes_all = True` it gets what sampling leaves out, too.
    What it counts in a mapping `lost`, by reason, is told by `flush()`.
    """

    def write(self, batch: Batch, /) -> None:
        """Take the records; they are safe to keep, nobody changes them."""

    def flush(self) -> None:
        """Return when everything taken is where it belongs."""

    def close(self) -> None:
        """Flush and give back files and connections; called once."""
