"""One trace with OpenTelemetry: whose span hangs below whose, and what its spans become here."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry import context as otel
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, set_span_in_context, use_span

import instrument
from instrument import llm_call, span, tool, traced
from instrument.analysis.metrics import measure
from instrument.integrations.opentelemetry import InstrumentSpanProcessor
from instrument.record import otel_context
from instrument.testing import Recording, record
from tests.recorded import parents_of
from tests.sinks import Nothing

LLM = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "m",
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 5,
}
PRICES = {"m": {"input": "1", "output": "2"}}


@pytest.fixture
def recording() -> Iterator[Recording]:
    with record(prices=PRICES) as recording:
        yield recording


@pytest.fixture
def tracer(recording: Recording) -> Iterator[Any]:
    """A tracer whose spans are recorded here as well."""
    provider = TracerProvider()
    provider.add_span_processor(InstrumentSpanProcessor())
    yield provider.get_tracer("theirs")
    otel_context.joined = False


@tool
def ours() -> None: ...


def traces(recording: Recording) -> int:
    return len({found.trace_id for found in recording.spans})


# Whose span is whose parent


def test_each_hangs_below_the_innermost_of_both(tracer: Any, recording: Recording) -> None:
    """Spans of both kinds, nested in turns, are one tree."""
    with tracer.start_as_current_span("a"), span("b"), tracer.start_as_current_span("c"):
        ours()
    assert {"a": None, "b": "a", "c": "b", "ours": "c"} == parents_of(recording.spans)
    assert 1 == traces(recording)


def test_after_the_block_the_outer_one_is_current_again(tracer: Any, recording: Recording) -> None:
    """Leaving either kind of span puts back what was current, of both kinds."""
    with span("a"):
        with tracer.start_as_current_span("b"):
            pass
        ours()
        with tracer.start_as_current_span("c"):
            pass
    assert {"a": None, "b": "a", "ours": "a", "c": "a"} == parents_of(recording.spans)


def test_the_explicit_parent_wins(tracer: Any, recording: Recording) -> None:
    """A context that is handed over counts more than what is current."""
    chosen = tracer.start_span("chosen", context=otel.Context())
    with span("around"):
        with tracer.start_as_current_span("child", context=set_span_in_context(chosen)):
            ours()
    chosen.end()
    assert {"chosen": None, "around": None, "child": "chosen", "ours": "child"} == parents_of(recording.spans)


def test_an_empty_context_begins_a_new_trace(tracer: Any, recording: Recording) -> None:
    """Who attaches a context without a span wants a root, from both."""
    with span("around"):
        token = otel.attach(otel.Context())
        ours()
        otel.detach(token)
        with span("after"):
            pass
    assert {"around": None, "ours": None, "after": "around"} == parents_of(recording.spans)


def test_baggage_does_not_hide_our_span(tracer: Any, recording: Recording) -> None:
    """A context made from the current one, with something added, keeps our span as its own."""
    with span("around"):
        token = otel.attach(baggage.set_baggage("k", "v"))
        ours()
        with tracer.start_as_current_span("theirs"):
            pass
        otel.detach(token)
    assert {"around": None, "ours": "around", "theirs": "around"} == parents_of(recording.spans)


def test_tasks_and_threads_keep_their_parent(tracer: Any, recording: Recording) -> None:
    """Concurrent work of both kinds hangs where it was begun."""

    async def work(name: str) -> None:
        with tracer.start_as_current_span(name):
            await asyncio.sleep(0)
            with span(f"{name}-inner"):
                await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(work("a"), work("b"))

    with span("root"):
        asyncio.run(both())
        thread = threading.Thread(target=lambda: tracer.start_span("thread").end())
        thread.start()
        thread.join()
    expected = {"root": None, "a": "root", "a-inner": "a", "b": "root", "b-inner": "b", "thread": "root"}
    assert expected == parents_of(recording.spans)


def test_without_a_processor_theirs_keep_their_own_parent(recording: Recording) -> None:
    """Their backend never sees our spans, so theirs do not hang below ours; ours hang below theirs."""
    theirs = TracerProvider().get_tracer("theirs")
    with span("around"), theirs.start_as_current_span("theirs") as found:
        ours()
    assert found.parent is None
    assert f"{found.get_span_context().span_id:016x}" == recording.span("ours").parent_id


def test_recording_switched_off(tracer: Any, recording: Recording) -> None:
    """Without a recording the API behaves as if we were not there."""
    instrument.shutdown()
    with tracer.start_as_current_span("a") as outer, tracer.start_as_current_span("b") as inner:
        pass
    assert outer.get_span_context().span_id == inner.parent.span_id


# What their spans become


def test_their_span_is_recorded_whole(tracer: Any, recording: Recording) -> None:
    """Times, attributes, events, links and failure come over, in our words."""
    with (
        pytest.raises(ValueError, match="no"),
        tracer.start_as_current_span("work", attributes={"x": (1, 2)}) as theirs,
    ):
        theirs.add_event("half", {"at": 1})
        raise ValueError("no")
    found = recording.span("work")
    assert ("error", "ValueError", "no", [1, 2], ["half"], "theirs") == (
        found.status, found.error.type, found.error.message, found.attributes["x"], [event.name for event in found.events],
        found.attributes["otel.scope.name"],
    )  # fmt: skip
    assert theirs.end_time - theirs.start_time == found.duration_ns


def test_status_without_an_exception(tracer: Any, recording: Recording) -> None:
    """A span that was only marked as failed is an error with that description."""
    with tracer.start_as_current_span("work") as theirs:
        theirs.set_status(Status(StatusCode.ERROR, "gave up"))
    assert ("error", "gave up") == (recording.span("work").status, recording.span("work").error.message)


def test_their_model_call_is_priced(tracer: Any, recording: Recording) -> None:
    """Tokens by the GenAI conventions are usage, and have a price."""
    with tracer.start_as_current_span("chat m", attributes=LLM):
        pass
    found = recording.span("chat m")
    assert ("llm", 10, 5, "0.00002") == (found.kind, found.usage.input, found.usage.output, found.cost.usd)


def test_secrets_in_their_attributes_are_redacted(tracer: Any, recording: Recording) -> None:
    """Redaction is the same as for our own spans."""
    secret = "sk-proj-" + "a1B2c3D4" * 6
    with tracer.start_as_current_span("work", attributes={"input.value": f"key {secret}"}):
        pass
    assert secret not in str(recording.span("work"))


def linked_work_that_fails(tracer: Any, text: str) -> None:
    """A span of theirs whose attributes, event, link and two exceptions say the text."""
    link = Link(SpanContext(1, 2, is_remote=False), {"why": text})
    with (
        suppress(ValueError),
        tracer.start_as_current_span("work", links=[link], attributes={"input.value": text}) as theirs,
    ):
        theirs.add_event("said", {"what": text, "odd": math.nan})
        theirs.record_exception(KeyError(text))
        raise ValueError(f"{text}\n  {text}")


def test_events_and_links_are_captured_like_attributes(tracer: Any, recording: Recording) -> None:
    """What JSON has no form for is marked in events, and what is long is bounded in links."""
    linked_work_that_fails(tracer, "x" * 100_000)
    found = recording.span("work")
    assert ({"$float": "NaN"}, 100_002) == (
        found.events[0].attributes["odd"],
        found.links[0].attributes["why"]["bytes"],
    )


def test_long_messages_leave_the_rest_of_a_request_in_place(tracer: Any, recording: Recording) -> None:
    """They are stored apart alone, as of our own calls: tools stay readable."""
    said = [{"role": "user", "parts": [{"type": "text", "content": "x" * 100_000}]}]
    asked = {"gen_ai.input.messages": json.dumps(said), "gen_ai.tool.definitions": '[{"name":"look"}]'}
    with tracer.start_as_current_span("chat m", attributes={**LLM, **asked}):
        pass
    assert [{"name": "look"}] == recording.span("chat m").input["tools"]


def test_nothing_of_theirs_is_recorded_where_contents_are_not(tracer: Any) -> None:
    """Attributes, events, links, messages and the end of a stack, which quotes the message; its frames stay."""
    with record(capture={"content": False}) as recording:
        linked_work_that_fails(tracer, "ge" + "heim")
    found = recording.span("work")
    assert (False, True) == ("geheim" in str(found), "in linked_work_that_fails" in found.error.stack)


def test_a_call_seen_by_both_is_counted_once(tracer: Any, recording: Recording) -> None:
    """Whichever is outside becomes a step without usage, which is no iteration."""

    @llm_call(model="m")
    def inside() -> Any:
        return "hi", {"input_tokens": 10, "output_tokens": 5}

    @llm_call(model="m")
    def around() -> Any:
        with tracer.start_as_current_span("theirs inside", attributes=LLM):
            pass
        return "hi", {"input_tokens": 10, "output_tokens": 5}

    with tracer.start_as_current_span("theirs around", attributes=LLM):
        inside()
    around()
    assert {"inside": "llm", "theirs around": "step", "theirs inside": "llm", "around": "step"} == {
        found.name: found.kind for found in recording.spans
    }
    assert (2, 0) == (sum(found.usage is not None for found in recording.spans), measure(recording.spans).iterations)


def test_a_decorated_tool_is_one_call(tracer: Any, recording: Recording) -> None:
    """A tool call that they tell of is a step where ours of the same name is in it, and stays one around another."""
    for name in ("ours", "other"):
        with tracer.start_as_current_span(f"execute_tool {name}") as theirs:
            theirs.set_attributes({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name})
            ours()
    assert [("ours", "tool"), ("ours", "step"), ("ours", "tool"), ("other", "tool")] == [
        (found.name, found.kind) for found in recording.spans
    ]


def test_three_in_one_are_one_call(tracer: Any, recording: Recording) -> None:
    """Ours around theirs around ours is the innermost one's call."""

    @llm_call(model="m")
    def inside() -> Any:
        return "hi", {"input_tokens": 10, "output_tokens": 5}

    @llm_call(model="m")
    def around() -> Any:
        with tracer.start_as_current_span("theirs", attributes=LLM):
            return inside()

    around()
    assert ["inside"] == [found.name for found in recording.spans if found.usage is not None]


def test_a_span_that_is_current_again_within_itself(tracer: Any, recording: Recording) -> None:
    """It lies in what it began in: a model call in it neither hangs nor is counted with that one."""

    @llm_call(model="m")
    def inside() -> Any:
        return "hi", {"input_tokens": 10, "output_tokens": 5}

    @llm_call(model="m")
    def around() -> Any:
        with tracer.start_as_current_span("theirs", attributes=LLM) as theirs, span("block"), use_span(theirs):
            return inside()

    around()
    assert ["inside"] == [found.name for found in recording.spans if found.usage is not None]


class Slow(Nothing):
    """A sink that takes until it is let."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def flush(self) -> None:
        self.go_on.wait(20)


def test_a_flush_says_whether_it_was_done_in_time() -> None:
    """As other processors of the provider do."""
    slow = Slow()
    with record(sinks=(slow,)):
        ours()
        in_time = [InstrumentSpanProcessor().force_flush(1)]
        slow.go_on.set()
        in_time.append(InstrumentSpanProcessor().force_flush(20_000))
    assert [False, True] == in_time
    otel_context.joined = False


def test_nothing_is_kept_of_spans_that_ended(tracer: Any, recording: Recording) -> None:
    """What stands for their running spans is released with them, also where one is dropped that was never ended."""
    for _ in range(10):
        with tracer.start_as_current_span("work"):
            ours()
        tracer.start_span("dropped")
    gc.collect()
    assert {} == otel_context.calls


@traced
def numbers() -> Iterator[int]:
    yield 1
    yield 2


def test_generators_and_their_spans(tracer: Any, recording: Recording) -> None:
    """What the consumer does between two pulls hangs below the consumer's span, whoever made it."""
    with tracer.start_as_current_span("consumer"):
        for _ in numbers():
            ours()
    assert {"consumer": None, "numbers": "consumer", "ours": "consumer"} == parents_of(recording.spans)
