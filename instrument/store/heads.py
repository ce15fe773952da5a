"""The heads of records: the few fields that tables and totals need, decoded several times faster than whole records.

A head has the same attribute names as its record. Inputs, outputs, messages and stacks are skipped over, not kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, TypedDict

import msgspec
from msgspec import Raw, Struct

from instrument.attributes import (
    AGENT_ID,
    AGENT_NAME,
    ITERATION,
    LABEL,
    LEDGER_OPERATION,
    NO_ITERATION,
    OUTCOME,
    REQUEST_MODEL,
    RESPONSE_MODEL,
    SESSION,
    TIMES,
    USER,
)
from instrument.model import Cost, Failure, Other, Run, Span, Update, Usage, decode
from instrument.store.jsonl import decoded

NAMES = {
    "label": LABEL,
    "operation": LEDGER_OPERATION,
    "outcome": OUTCOME,
    "iteration": ITERATION,
    "request_model": REQUEST_MODEL,
    "response_model": RESPONSE_MODEL,
    "agent_id": AGENT_ID,
    "agent_name": AGENT_NAME,
    "session": SESSION,
    "user": USER,
    "no_iteration": NO_ITERATION,
    "times": TIMES,
}
# mypy wants a literal of all names, which would be `NAMES` once more
Attributes = TypedDict("Attributes", dict.fromkeys(NAMES.values(), Any), total=False)  # type: ignore[misc]
"""Those of them that the record has, by their full names."""


class SpanHead(Struct, frozen=True, kw_only=True, tag="span", tag_field="type"):
    """Of `model.Span`."""

    run: str = ""
    trace_id: str
    span_id: str
    parent_id: str | None = None
    start_ns: int
    duration_ns: int
    kind: str
    name: str
    status: str
    error: Failure | None = None
    attributes: Attributes = {}
    usage: Usage | None = None
    cost: Cost | None = None


class OpenHead(Struct, frozen=True, kw_only=True, tag="open", tag_field="type"):
    """Of `model.Open`."""

    run: str = ""
    trace_id: str
    span_id: str
    parent_id: str | None = None
    start_ns: int
    kind: str = "span"
    name: str
    attributes: Attributes = {}


class LogHead(Struct, frozen=True, kw_only=True, gc=False, tag="log", tag_field="type"):
    """Of `model.Log`."""

    run: str = ""
    trace_id: str | None = None
    time_ns: int
    level: str = "INFO"


class FindingHead(Struct, frozen=True, kw_only=True, gc=False, tag="finding", tag_field="type"):
    """Of `model.Finding`."""

    run: str = ""
    trace_id: str | None = None
    time_ns: int = 0
    severity: str = "warning"
    data: dict[str, Raw] = {}


class ScoreHead(Struct, frozen=True, kw_only=True, gc=False, tag="score", tag_field="type"):
    """Of `model.Score`."""

    run: str = ""
    trace_id: str | None = None
    time_ns: int
    name: str
    value: float | None = None
    label: str | None = None


Head = SpanHead | OpenHead | LogHead | FindingHead | ScoreHead | Update | Run
_decoder: msgspec.json.Decoder[Head] = msgspec.json.Decoder(Head)


def heads(path: str | os.PathLike[str], notices: list[str] | None = None) -> Iterator[Head | Other]:
    """The head of every record below `path`, as `jsonl.records` would give the records."""
    return decoded(path, _decoder.decode, notices, otherwise=_other)


def head_of(line: bytes) -> Head:
    """The head of one line. Raises `ValueError` where there is none of a type that is known."""
    return _decoder.decode(line)


def _other(line: bytes) -> Other:
    record = decode(line)
    if not isinstance(record, Other):
        raise ValueError("a record of a known type that lacks something")
    return record


def span_of(head: SpanHead) -> Span:
    """A span with what its head holds."""
    fields = {name: getattr(head, name) for name in head.__struct_fields__ if name != "attributes"}
    return Span(**fields, attributes={name: value for name, value in head.attributes.items() if value is not None})
