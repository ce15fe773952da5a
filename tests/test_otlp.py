"""OTLP JSON and its dialects: what a collector and a backend read, and what comes back by `instrument import`."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings

from instrument.allowed import DIALECTS
from instrument.analysis.tree import Trace, traces
from instrument.model import Cost, Event, Failure, Link, Record, Score, Span, Usage
from instrument.store import foreign
from instrument.views.otel import plain, told
from instrument.views.otlp import lines
from tests.random_traces import spans
from tests.recorded import MS, NOON, TRACE, call, finding, log, review, run, span

Fields = dict[str, Any]

ASKED: Fields = {
    "messages": [
        {"role": "system", "parts": [{"type": "text", "content": "be brief"}]},
        {"role": "user", "parts": [{"type": "text", "content": "read a.py"}]},
        {"role": "assistant", "parts": [{"type": "text", "content": "so"}, {"type": "tool_call", "id": "c1", "name": "read", "arguments": {"path": "a.py"}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "x = 1"}]},
    ],
    "tools": [{"type": "function", "name": "read"}],
    "settings": {"temperature": 0.5, "tool_choice": "auto"},
}  # fmt: skip
ANSWERED: Fields = {"messages": [{"role": "assistant", "parts": [{"type": "text", "content": "x is 1"}]}]}
USED = Usage(input=100, cached=40, cache_write=5, output=20, reasoning=8, source="estimated")
PAID = Cost(usd="0.000000123", input="0.0001", cached="0.00002", output="0.5", basis="estimated", price_date="2026-11")


def model_call() -> Span:
    return call(2, 1, input=ASKED, output=ANSWERED, usage=USED, cost=PAID)


def of(*records: Record) -> Trace:
    (trace,) = traces(records)
    return trace


def exported(dialect: str, *records: Record) -> list[Fields]:
    return [json.loads(line) for line in b"".join(lines(of(*records), dialect)).splitlines()]


def only_span(dialect: str, record: Span) -> Fields:
    (document,) = exported(dialect, record)
    (told,) = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    return {**told, "attributes": unpaired(told["attributes"])}


def unpaired(pairs: list[Fields]) -> Fields:
    """Attributes with the JSON of their values: `{"intValue": "1"}`."""
    return {pair["key"]: pair["value"] for pair in pairs}


def texts(told: Fields) -> Fields:
    return {key: next(iter(value.values())) for key, value in told["attributes"].items()}


def back(dialect: str, *records: Record) -> Trace:
    """The trace after an export and an import."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "trace.jsonl"
        file.write_bytes(b"".join(lines(of(*records), dialect)))
        imported = foreign.read(file)
    assert ("otlp", []) == (imported.format, imported.skipped)
    return of(*imported.records)


# The envelope


def test_ids_are_hexadecimal_and_times_are_texts() -> None:
    """As the protocol's JSON wants them."""
    told = only_span("1.41", span(1, parent=None))
    assert (TRACE, f"{1:016x}", str(NOON + MS), str(NOON + 6 * MS), True) == (
        *(told[key] for key in ("traceId", "spanId", "startTimeUnixNano", "endTimeUnixNano")),
        "parentSpanId" not in told,
    )


def test_every_type_of_value_has_its_key() -> None:
    """Whole numbers are texts; objects and mixed lists, which not every backend takes, are JSON texts."""
    given_ = {"b": True, "i": 5, "f": 0.5, "s": "x", "l": ["a", "b"], "o": {"k": 1}, "m": [1, "a"], "big": 2**64, "none": None}  # fmt: skip
    told = only_span("1.41", span(1, attributes=given_))["attributes"]
    assert {
        "b": {"boolValue": True}, "i": {"intValue": "5"}, "f": {"doubleValue": 0.5}, "s": {"stringValue": "x"},
        "l": {"arrayValue": {"values": [{"stringValue": "a"}, {"stringValue": "b"}]}},
        "o": {"stringValue": '{"k":1}'}, "m": {"stringValue": '[1,"a"]'}, "big": {"stringValue": str(2**64)},
        "instrument.kind": {"stringValue": "span"},
    } == told  # fmt: skip


def test_every_process_is_a_resource() -> None:
    """With its name, its pid, its arguments and its own spans."""
    (document,) = exported("1.41", run(service="front"), run(run="r2", service="search", pid=7), span(1), span(2, 1, run="r2"))  # fmt: skip
    told = []
    for group in document["resourceSpans"]:
        about = texts({"attributes": unpaired(group["resource"]["attributes"])})
        known = [about[name] for name in ("service.name", "process.pid", "process.command_args")]
        told.append((*known, len(group["scopeSpans"][0]["spans"])))
    arguments = {"values": [{"stringValue": word} for word in ("python", "-m", "agent")]}
    assert [("front", "42", arguments, 1), ("search", "7", arguments, 1)] == told


def test_a_failure_is_a_status_and_an_exception() -> None:
    """The event is at the end of the span; the type is an attribute too."""
    told = only_span("1.41", span(1, status="error", error=Failure("ValueError", "no", "File …")))
    (event,) = told["events"]
    assert ({"code": 2, "message": "no"}, "ValueError", "exception", told["endTimeUnixNano"], "File …") == (
        told["status"],
        texts(told)["error.type"],
        event["name"],
        event["timeUnixNano"],
        unpaired(event["attributes"])["exception.stacktrace"]["stringValue"],
    )


def test_logs_findings_and_scores_are_log_records() -> None:
    """On a line of their own, in order of time, with severity and event name."""
    score = Score(run="r1", trace_id=TRACE, time_ns=NOON + 9 * MS, name="helpful", value=0.5)
    _, document = exported("1.41", span(1), log(3, 1, level="ERROR"), finding(1, 2, time_ns=NOON + 5 * MS), score)
    told = document["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    assert f"{1:016x}" == told[1]["spanId"]  # what began it
    assert [("EVENT3", 17), ("instrument.finding", 13), ("gen_ai.evaluation.result", 9)] == [
        (one["eventName"], one["severityNumber"]) for one in told
    ]


# The dialects


@pytest.mark.parametrize(
    ("record", "name", "kind", "operation"),
    [
        (call(1), "chat gpt-4.1-mini", 3, "chat"),
        (span(1, kind="tool", name="read_file"), "execute_tool read_file", 1, "execute_tool"),
        (span(1, kind="agent", name="review"), "invoke_agent review", 1, "invoke_agent"),
        (span(1, kind="workflow", name="nightly"), "invoke_workflow nightly", 1, "invoke_workflow"),
        (span(1, kind="retrieval", name="find"), "retrieval", 3, "retrieval"),
        (span(1, kind="embedding", name="embed", attributes={"gen_ai.request.model": "e3"}), "embeddings e3", 3, "embeddings"),
        (span(1, kind="step", name="plan"), "plan", 1, None),
    ],
)  # fmt: skip
def test_genai_names_kinds_and_operations(record: Span, name: str, kind: int, operation: str | None) -> None:
    """`{operation} {target}`; what the conventions do not know keeps its name."""
    told = only_span("1.41", record)
    assert (name, kind, operation) == (told["name"], told["kind"], texts(told).get("gen_ai.operation.name"))


def test_genai_tokens_and_messages() -> None:
    """Inclusive counts; instructions apart from the messages; definitions of tools."""
    told = texts(only_span("1.41", model_call()))
    assert (["100", "20", "40", "5", "8"], ASKED["messages"][0]["parts"], ASKED["messages"][1:], ASKED["tools"], ANSWERED["messages"]) == (
        [told[f"gen_ai.usage.{name}_tokens"] for name in ("input", "output", "cache_read.input", "cache_write.input", "reasoning.output")],
        *(json.loads(told[f"gen_ai.{name}"]) for name in ("system_instructions", "input.messages", "tool.definitions", "output.messages")),
    )  # fmt: skip


@pytest.mark.parametrize(("dialect", "old", "new"), [("1.41", True, True), ("both", True, True), ("latest", False, True)])  # fmt: skip
def test_editions_differ_in_the_name_of_cache_writes(dialect: str, old: bool, new: bool) -> None:
    """The newest has only the newest name."""
    told = texts(only_span(dialect, model_call()))
    names = ("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens")
    assert (old, new) == tuple(name in told for name in names)


def test_genai_arguments_and_results_of_tools() -> None:
    """As JSON texts; a text stays as it is."""
    told = texts(only_span("1.41", span(1, kind="tool", name="read", input={"path": "a"}, output="x = 1")))
    assert ('{"path":"a"}', "x = 1") == (told["gen_ai.tool.call.arguments"], told["gen_ai.tool.call.result"])


def test_openinference_flattens_messages() -> None:
    """Role, content, tool calls and results by their indexes."""
    told = texts(only_span("openinference", model_call()))
    at = "llm.input_messages."
    expected = {
        f"{at}0.message.role": "system",
        f"{at}0.message.content": "be brief",
        f"{at}2.message.content": "so",
        f"{at}2.message.tool_calls.0.tool_call.function.name": "read",
        f"{at}2.message.tool_calls.0.tool_call.function.arguments": '{"path":"a.py"}',
        f"{at}3.message.role": "tool",
        f"{at}3.message.tool_call_id": "c1",
        f"{at}3.message.content": "x = 1",
        "llm.output_messages.0.message.content": "x is 1",
        "llm.tools.0.tool.json_schema": '{"type":"function","name":"read"}',
        "input.value": "so",
        "output.value": "x is 1",
    }
    assert expected == {key: told.get(key) for key in expected}


def test_openinference_tells_each_part_of_a_message() -> None:
    """A picture by its address, or by what else it is known by; a part that it has no name for as JSON."""
    parts = [
        {"type": "text", "content": "see"},
        {"type": "uri", "modality": "image", "uri": "https://x.example/a.png"},
        {"type": "blob", "modality": "image", "sha256": "ab"},
        {"type": "odd", "n": 1},
    ]
    told = texts(only_span("openinference", call(1, input={"messages": [{"role": "user", "parts": parts}]})))
    at = "llm.input_messages.0.message.contents."
    expected = {
        "0.message_content.type": "text",
        "0.message_content.text": "see",
        "1.message_content.type": "image",
        "1.message_content.image.image.url": "https://x.example/a.png",
        "2.message_content.type": "image",
        "2.message_content.image.image.url": "sha256:ab",
        "3.message_content.type": "text",
        "3.message_content.text": '{"type":"odd","n":1}',
    }
    assert expected == {key.removeprefix(at): value for key, value in told.items() if key.startswith(at)}


def test_an_empty_answer_is_a_message() -> None:
    """With its role."""
    empty = call(2, 1, input=ASKED, output={"messages": [{"role": "assistant", "parts": []}]})
    assert "assistant" == texts(only_span("openinference", empty))["llm.output_messages.0.message.role"]


def test_a_session_is_a_conversation() -> None:
    """As the conventions name it, beside the name of our own."""
    told = texts(only_span("1.41", span(1, attributes={"session.id": "s-7"})))
    assert ("s-7", "s-7") == (told["gen_ai.conversation.id"], told["session.id"])


def test_openinference_has_tokens_and_money() -> None:
    """By its names, the total too, and none of those of GenAI."""
    told = texts(only_span("openinference", model_call()))
    assert ("LLM", "100", "20", "120", "40", "8", 1.23e-07, False) == (
        told["openinference.span.kind"],
        *(told[f"llm.token_count.{name}"] for name in ("prompt", "completion", "total", "prompt_details.cache_read", "completion_details.reasoning")),
        told["llm.cost.total"],
        any(key.startswith("gen_ai.usage") for key in told),
    )  # fmt: skip


@pytest.mark.parametrize(("kind", "theirs"), [("agent", "AGENT"), ("tool", "TOOL"), ("retrieval", "RETRIEVER"), ("embedding", "EMBEDDING"), ("step", "CHAIN"), ("mine", "CHAIN")])  # fmt: skip
def test_openinference_kinds(kind: str, theirs: str) -> None:
    """What it does not know is a link of the chain."""
    assert theirs == texts(only_span("openinference", span(1, kind=kind)))["openinference.span.kind"]


# There and back


def alike(one: Span, dialect: str) -> Fields:
    """What a span keeps on the way there and back: all but values of model calls that are no conversation."""
    kept = {name: getattr(one, name) for name in ("span_id", "parent_id", "start_ns", "duration_ns", "kind", "name", "status", "error", "usage", "cost", "events", "links")}  # fmt: skip
    if one.kind not in ("llm", "embedding"):
        kept |= {"input": one.input, "output": one.output}
    return kept


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=30)
@given(spans())
def test_spans_come_back(dialect: str, found: list[Span]) -> None:
    """For all traces and dialects: ids, tree, times, kinds, names, status, error, values, tokens, money, events, links."""
    ids = {one.span_id: one for one in back(dialect, *found).spans}
    assert [alike(one, dialect) for one in found] == [alike(ids[one.span_id], dialect) for one in found]


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=30)
@given(spans())
def test_attributes_come_back(dialect: str, found: list[Span]) -> None:
    """For all traces and dialects: every attribute, objects as JSON texts; beside them only names of the conventions."""
    ids = {one.span_id: one for one in back(dialect, *found).spans}
    lost = [
        (key, value)
        for one in found
        for key, value in plain(one.attributes).items()
        if plain(ids[one.span_id].attributes).get(key) != value
    ]
    assert [] == lost


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_conversation_comes_back(dialect: str) -> None:
    """Messages, tools and settings of a model call."""
    (found,) = (one for one in back(dialect, span(1), model_call()).spans if one.kind == "llm")
    assert (ASKED, ANSWERED, USED, PAID) == (found.input, found.output, found.usage, found.cost)


def test_logs_and_findings_come_back() -> None:
    """All they hold."""
    found = back("1.41", *review())
    before = of(*review())
    assert [
        [(one.time_ns, one.level, one.event, one.message, plain(one.metadata), one.span_id) for one in before.logs],
        [(one.detector, one.severity, one.message, one.span_ids, one.data) for one in before.findings],
    ] == [
        [(one.time_ns, one.level, one.event, one.message, one.metadata, one.span_id) for one in found.logs],
        [(one.detector, one.severity, one.message, one.span_ids, one.data) for one in found.findings],
    ]


def test_events_and_links_come_back() -> None:
    """With their attributes."""
    rich = span(1, events=[Event("retry", NOON + 2 * MS, {"n": 1})], links=[Link("a" * 32, "b" * 16, {"why": "x"})])
    found = back("1.41", rich).root
    assert (rich.events, rich.links) == (found.events, found.links)


@pytest.mark.parametrize(
    ("dialect", "attribute", "value"),
    [
        ("1.41", "gen_ai.input.messages", '[{"role":"user","parts":[{"type":"text","content":"look"}]},{"role":"tool","parts":[{"type":"tool_call_response","id":"c1","response":"ok"}]}]'),
        ("openinference", "llm.input_messages.1.message.tool_call_id", "c1"),
    ],
)  # fmt: skip
def test_messages_among_the_arguments_are_messages(dialect: str, attribute: str, value: str) -> None:
    """A function of the user that takes them as a client does: they are told, and all arguments as they were."""
    asked = [{"role": "user", "content": "look"}, {"type": "function_call_output", "call_id": "c1", "output": "ok"}]
    arguments = {"messages": asked, "temperature": 1}
    found = told(span(1, kind="llm", input=arguments), dialect).attributes
    assert (value, arguments) == (found[attribute], json.loads(found["input.value"]))
