"""Where the fields of a span are shown: a new one is shown in each place, or it is said here that it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from instrument.analysis.tree import Trace
from instrument.model import Cost, Event, Failure, Link, Span, Usage
from instrument.query.views import COLUMNS
from instrument.views import csv, detail, html, otlp, plain
from instrument.views.theme import PLAIN
from tests.recorded import MS, NOON, TRACE, fold, span

ONE = Span(
    run="r1",
    trace_id=TRACE,
    span_id=f"{2:016x}",
    parent_id=f"{1:016x}",
    start_ns=NOON + 2 * MS,
    duration_ns=3 * MS,
    kind="llm",
    name="think",
    status="error",
    error=Failure("ValueError", "wrong", "stack"),
    input={"question": "where"},
    output="here",
    attributes={"tags": ["a"]},
    usage=Usage(input=7, output=2),
    cost=Cost(usd="0.001", basis="priced"),
    events=[Event("retry", NOON + 3 * MS)],
    links=[Link(TRACE, f"{1:016x}")],
    extra={"later": "x"},
)
OTHER = Span(
    run="r2",
    trace_id="4f2a" * 8,
    span_id=f"{3:016x}",
    parent_id=f"{9:016x}",
    start_ns=NOON + 4 * MS,
    duration_ns=2 * MS,
    kind="tool",
    name="act",
    status="ok",
)
FIELDS = [name for name in Span.__struct_fields__ if name not in ("run", "trace_id")]
"""Those two are told with what holds the spans: a file, a trace, a resource."""


def trace_of(record: Span) -> Trace:
    return fold(span(1), span(9, 1), record)


PLACES: dict[str, tuple[Callable[[Span], Any], set[str]]] = {
    "--json and traces.json": (plain.span_told, set()),
    "show ID": (lambda record: detail.detail(trace_of(record), record, PLAIN), {"extra"}),
    "CSV": (lambda record: list(csv.pieces(trace_of(record))), {"events", "links", "extra"}),
    "OTLP": (lambda record: otlp.span_told(record, "1.41"), {"extra"}),
    "OpenInference": (lambda record: otlp.span_told(record, "openinference"), {"extra"}),
    "the page": (lambda record: b"".join(html.pieces(trace_of(record))), set()),
}
"""How a span is told there, and which fields are not."""


@pytest.mark.parametrize("field", FIELDS)
def test_two_spans_differ_in_every_field(field: str) -> None:
    """What the rule below is tried with has a value of each field, and another one without."""
    assert getattr(ONE, field) != getattr(OTHER, field)


@pytest.mark.parametrize("place", PLACES)
def test_every_field_is_shown(place: str) -> None:
    """A span that has another value in one field is told otherwise."""
    told, left_out = PLACES[place]
    shown = told(ONE)
    same = {field for field in FIELDS if told(replace(ONE, **{field: getattr(OTHER, field)})) == shown}
    assert (shown, left_out) == (told(ONE), same)


def test_sql_knows_every_field() -> None:
    """The lines of a file are read with a type for each field that may stand in them."""
    assert set() == {*Span.__struct_fields__} - {*COLUMNS, "extra"}
