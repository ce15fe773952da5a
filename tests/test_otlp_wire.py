"""Our encoder of spans against the official one: the same message for all spans."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Raw

pytest.importorskip("opentelemetry.exporter.otlp.proto.common", reason="needs the extra otlp")

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event as TheirEvent
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link as TheirLink
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode

from instrument.allowed import DIALECTS
from instrument.model import Event, Link, Span, encode
from instrument.sinks.otlp import wire
from instrument.version import __version__
from instrument.views.carried import content, decode_span
from instrument.views.otel import told
from tests.random_traces import spans
from tests.recorded import span

ABOUT = Resource({"service.name": "x", "process.pid": 42, "process.command_args": ("a", "b")})
SCALARS = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
)  # fmt: skip
VALUES = SCALARS | st.lists(st.integers(-5, 300)) | st.lists(st.text("ab€", max_size=3)) | st.lists(st.booleans())


def officially(records: list[Span], dialect: str) -> Any:
    """The request that the official encoder makes of the same spans."""
    return encode_spans([_readable(record, dialect) for record in records])


def _readable(record: Span, dialect: str) -> ReadableSpan:
    there = told(record, dialect)
    return ReadableSpan(
        name=there.name,
        context=_context(record.trace_id, record.span_id),
        parent=_context(record.trace_id, record.parent_id) if record.parent_id else None,
        resource=ABOUT,
        attributes=there.attributes,
        events=[TheirEvent(event.name, event.attributes, event.time_ns) for event in there.events],
        links=[TheirLink(_context(link.trace_id, link.span_id), link.attributes) for link in there.links],
        kind={1: SpanKind.INTERNAL, 3: SpanKind.CLIENT}[there.kind],
        status=Status(StatusCode(there.status), there.message or None),
        start_time=record.start_ns,
        end_time=record.start_ns + record.duration_ns,
        instrumentation_scope=InstrumentationScope("instrument", __version__),
    )


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False)


def ours(records: list[Span], dialect: str, about: Any = ABOUT.attributes) -> Any:
    """Our request, read by the official classes."""
    spans = [wire.span(wire.readable(one, dialect), dialect) for one in records]
    return ExportTraceServiceRequest.FromString(wire.request(spans, about))


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=30)
@given(spans())
def test_our_message_is_the_official_one(dialect: str, found: list[Span]) -> None:
    """For all traces and dialects: read by the official classes, ours equals what the official encoder makes."""
    assert officially(found, dialect) == ours(found, dialect)


@given(st.dictionaries(st.text("abc.é", max_size=6), VALUES, max_size=6))
def test_every_value_is_encoded_as_by_the_official_one(attributes: dict[str, Any]) -> None:
    """For all attributes, of spans and of links: numbers at their limits, texts, lists."""
    record = span(1, attributes=attributes, links=[Link("a" * 32, "b" * 16, attributes)])
    assert officially([record], "1.41") == ours([record], "1.41")


def test_equal_numbers_of_other_types_are_kept_apart() -> None:
    """1, 1.0 and True are one key of a dictionary, but three values."""
    kinds = []
    for value in (1, 1.0, True):
        record = span(1, attributes={"v": value})
        found = ours([record], "1.41", {})
        kinds.append(found.resource_spans[0].scope_spans[0].spans[0].attributes[0].value.WhichOneof("value"))
    assert ["int_value", "double_value", "bool_value"] == kinds


ASKED = {
    "messages": [
        {"role": "system", "parts": [{"type": "text", "content": "Answer in “verse”.\n"}]},
        {"role": "user", "name": "ann", "parts": [{"type": "text", "content": "How? é \U0001f600"}]},
    ],
    "tools": [{"name": "look"}],
    "settings": {"temperature": 0.5},
}
SIDES = st.sampled_from([
    None, ASKED, {**ASKED, "tools": [], "settings": {}}, {"messages": ASKED["messages"][1:]}, {"messages": []},
    {"messages": [{"role": "user", "content": "as an SDK has it"}]}, {"messages": [{"parts": 1}]}, {"messages": "hi"},
    {"messages": [{"role": 3, "parts": []}]}, {"question": "what?"}, "a text", "", "null", [1, None], 7, True,
])  # fmt: skip


@settings(max_examples=150)
@example("llm", ASKED, ASKED, "1.41")
@given(st.sampled_from(["llm", "embedding", "tool", "step"]), SIDES, SIDES, st.sampled_from(["1.41", "openinference"]))
def test_content_is_carried_as_it_would_be_told(kind: str, asked: Any, answered: Any, dialect: str) -> None:
    """For all kinds, and whatever a call took and gave: JSON that is not decoded on its way says the same."""
    record = span(1, kind=kind, input=asked, output=answered)
    assert officially([record], dialect) == ours([record], dialect)


def test_a_conversation_is_not_decoded_on_its_way() -> None:
    """Whatever it offers and sets: to decode and encode it again is what an export of long prompts would take."""
    assert {Raw} == {type(told) for told in content(span(1, kind="llm", input=ASKED, output=ASKED)).values()}


AS_CAPTURED = SCALARS | st.sampled_from([
    Raw(b'"a text"'), Raw(b"null"), Raw(b'{"a":1}'), float("nan"), ("a", "b"), ["a", "b"], [1, 2], [1, "a"], [Raw(b'"a"')],
    {"a": Raw(b"[1]")}, [], {}, None,
])  # fmt: skip
BESIDE = st.sampled_from([{}, {"events": [Event("e", 7, {"v": Raw(b'"x"')})]}, {"links": [Link("a" * 32, "b" * 16, {"v": (1,)})]}])  # fmt: skip


@settings(max_examples=150)
@given(st.sampled_from(["llm", "tool", "step"]), AS_CAPTURED, AS_CAPTURED, st.dictionaries(st.text("ab"), AS_CAPTURED), BESIDE)  # fmt: skip
def test_a_record_says_what_its_line_says(kind: str, asked: Any, gave: Any, about: dict[str, Any], more: Any) -> None:
    """For all records as they come from the pipeline, encoded in part: no other message than from the JSON on disk."""
    record = span(1, kind=kind, input=asked, output=gave, attributes=about, **more)
    line = encode(record)
    assert wire.span(decode_span(line), "1.41") == wire.span(wire.readable(record, "1.41"), "1.41")
