"""OTLP JSON becomes our records: both conventions, their older names, both spellings of ids."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from instrument.model import Cost, Failure, Log, Run, Span, Usage
from instrument.pricing import Prices
from instrument.store.foreign import detect, otlp
from instrument.store.foreign.attributes import priced
from tests.recorded import call

TRACE, PARENT, CHILD = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b173", "eee19b7ec3c1b174"
START = 1_700_000_000_000_000_000


def pair(key: str, value: Any) -> dict[str, Any]:
    """One attribute as OTLP JSON writes it."""
    if isinstance(value, list):
        return {"key": key, "value": {"arrayValue": {"values": [pair("", item)["value"] for item in value]}}}
    kind = {bool: "boolValue", int: "intValue", float: "doubleValue"}.get(type(value), "stringValue")
    return {"key": key, "value": {kind: str(value) if kind == "intValue" else value}}


def span(attributes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """One span of OTLP."""
    return {
        "traceId": TRACE,
        "spanId": CHILD,
        "parentSpanId": PARENT,
        "name": "chat m",
        "startTimeUnixNano": str(START),
        "endTimeUnixNano": str(START + 5_000),
        "attributes": [pair(*item) for item in attributes.items()],
        **fields,
    }


def request(*spans: dict[str, Any]) -> dict[str, Any]:
    """A request of one resource and one scope."""
    resource = {"attributes": [pair("service.name", "shop")]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "lib"}, "spans": [*spans]}]}]}


def read(attributes: dict[str, Any], **fields: Any) -> Span:
    """The only span of a request."""
    found = [one for one in otlp.records(request(span(attributes, **fields)), "x.json") if isinstance(one, Span)]
    return found[0]


def test_told_by_its_shape() -> None:
    """A request is known as OTLP."""
    assert "otlp" == detect([request(span({}))])


def test_envelope() -> None:
    """Ids, parent, name and times are those of the span."""
    found = read({})
    assert (TRACE, CHILD, PARENT, "chat m", START, 5_000) == (
        found.trace_id, found.span_id, found.parent_id, found.name, found.start_ns, found.duration_ns,
    )  # fmt: skip


def test_base64_ids() -> None:
    """Ids as protobuf tools write them are the same ids."""
    found = read({}, traceId="W47/95gDgQPSabYzgT/GDA==", spanId="7uGbfsPBsXQ=")
    assert (TRACE, CHILD) == (found.trace_id, found.span_id)


def test_ids_of_another_kind_are_as_long_as_ids_are() -> None:
    """Whatever is in their place."""
    found = read({}, traceId="W47/", spanId="7uGb")
    assert (32, 16) == (len(found.trace_id), len(found.span_id))


def test_spans_of_older_exporters_are_read() -> None:
    """What is a scope now was called a library."""
    old = {"resourceSpans": [{"instrumentationLibrarySpans": [{"spans": [span({})]}]}]}
    assert ["chat m"] == [one.name for one in otlp.records(old, "x.json") if isinstance(one, Span)]


@pytest.mark.parametrize(
    ("severity", "level"),
    [(1, "TRACE"), (5, "DEBUG"), (9, "INFO"), (12, "INFO"), (13, "WARNING"), (17, "ERROR"), (21, "CRITICAL")],
)
def test_a_log_has_the_level_of_its_number_and_a_time(severity: int, level: str) -> None:
    """When it was observed, where nobody knows when it was written."""
    line = {"severityNumber": severity, "observedTimeUnixNano": str(START), "body": {"stringValue": "x"}}
    (found,) = otlp.records({"resourceLogs": [{"scopeLogs": [{"logRecords": [line]}]}]}, "x.json")
    assert isinstance(found, Log)
    assert (level, START, "x") == (found.level, found.time_ns, found.message)


def test_the_service_is_in_the_run() -> None:
    """A trace has the head of a run with its service."""
    runs = [one for one in otlp.records(request(span({}), span({}, spanId=PARENT)), "x.json") if isinstance(one, Run)]
    assert ["shop"] == [run.service for run in runs]


def test_tokens_of_genai() -> None:
    """Counts are inclusive and become `Usage`."""
    told = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 4,
            "gen_ai.usage.cache_read.input_tokens": 6}  # fmt: skip
    assert Usage(input=10, output=4, cached=6) == read(told).usage


def test_tokens_of_openinference() -> None:
    """The other convention's counts are the same counts, its total is said by them."""
    told = {"openinference.span.kind": "LLM", "llm.token_count.prompt": 10, "llm.token_count.completion": 4,
            "llm.token_count.total": 14, "llm.token_count.prompt_details.cache_read": 6}  # fmt: skip
    found = read(told)
    assert (Usage(input=10, output=4, cached=6), False) == (found.usage, "llm.token_count.total" in found.attributes)


def test_old_names() -> None:
    """Names of older editions mean what the new ones mean, and tokens alone make a model call."""
    found = read({"gen_ai.system": "openai", "gen_ai.request.model": "m", "gen_ai.usage.prompt_tokens": 1})
    assert ("llm", "openai", Usage(input=1)) == (found.kind, found.attributes["gen_ai.provider.name"], found.usage)


def test_an_agent_has_no_tokens_of_its_own() -> None:
    """Sums over the children stay attributes, so that nothing is counted twice."""
    found = read({"openinference.span.kind": "AGENT", "llm.token_count.prompt": 10})
    assert (None, 10) == (found.usage, found.attributes["llm.token_count.prompt"])


def test_messages_in_json_texts() -> None:
    """Messages in parts are kept as they are, instructions come first."""
    told = {"gen_ai.operation.name": "chat", "gen_ai.system_instructions": '[{"type":"text","content":"Be brief."}]',
            "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"tool_call_response","id":"1","response":2}]}]'}  # fmt: skip
    expected = [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {"role": "user", "parts": [{"type": "tool_call_response", "id": "1", "response": 2}]},
    ]
    assert expected == read(told).input["messages"]


def test_flattened_tool_calls() -> None:
    """Flattened names become messages with their tool calls."""
    call = "llm.output_messages.0.message.tool_calls.0.tool_call"
    told = {"openinference.span.kind": "LLM", "llm.output_messages.0.message.role": "assistant",
            f"{call}.id": "c1", f"{call}.function.name": "add", f"{call}.function.arguments": '{"a": 1}'}  # fmt: skip
    part = {"type": "tool_call", "id": "c1", "name": "add", "arguments": {"a": 1}}
    assert {"messages": [{"role": "assistant", "parts": [part]}]} == read(told).output


def test_flattened_items_in_the_order_of_their_numbers() -> None:
    """Item 10 comes after item 9, not after item 1."""
    told = {f"gen_ai.prompt.{place}.content": str(place) for place in range(12)}
    found = read({"gen_ai.operation.name": "chat", **told})
    assert [str(place) for place in range(12)] == [one["parts"][0]["content"] for one in found.input["messages"]]


def test_a_tool_has_the_name_of_the_tool() -> None:
    """The tool is the name, the span's own name is kept; arguments and result are decoded."""
    told = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "add", "gen_ai.tool.call.arguments": '{"a":1}',
            "gen_ai.tool.call.result": "2"}  # fmt: skip
    found = read(told, name="execute_tool add")
    assert ("tool", "add", {"a": 1}, "2", "execute_tool add") == (
        found.kind, found.name, found.input, found.output, found.attributes["instrument.imported_name"],
    )  # fmt: skip


def test_unknown_attributes_are_kept() -> None:
    """What no table knows is kept with its type."""
    assert [1, True] == read({"my.own": [1, True]}).attributes["my.own"]


def test_an_error_with_its_exception() -> None:
    """The last exception event is the error and no event any more."""
    event = {
        "name": "exception",
        "timeUnixNano": str(START),
        "attributes": [pair("exception.type", "KeyError"), pair("exception.message", "'x'")],
    }
    earlier = {**event, "attributes": [pair("exception.type", "ValueError")]}  # it was borne
    found = read({}, status={"code": "STATUS_CODE_ERROR"}, events=[earlier, event])
    assert ("error", Failure("KeyError", "'x'"), 1) == (found.status, found.error, len(found.events))


def test_an_error_without_an_exception() -> None:
    """The message of the status says it then."""
    assert Failure("Error", "broken") == read({}, status={"code": 2, "message": "broken"}).error


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda below: st.lists(below) | st.dictionaries(
    st.sampled_from(["resourceSpans", "scopeSpans", "spans", "attributes", "key", "value", "events", "name", "status"]), below
)))  # fmt: skip
def test_no_json_makes_it_raise(value: Any) -> None:
    """Whatever the JSON, there are only records."""
    assert all(isinstance(one, Run | Span) for one in otlp.records({"resourceSpans": [value]}, "x.json"))


def test_what_is_nested_deeply_costs_no_span() -> None:
    """A result of any depth that JSON can be read to comes whole; the other spans of the line come with it."""
    result, flattened = "[" * 600 + "]" * 600, "llm.input_messages.0" + ".a" * 600
    assert result == json.dumps(read({"gen_ai.tool.call.result": result, flattened: "x"}).output)
    assert "llm" == read({"gen_ai.operation.name": "chat", flattened: "x"}).kind


def test_counts_below_zero_are_none() -> None:
    """No provider gives tokens back."""
    assert None is read({"gen_ai.usage.input_tokens": -1.0}).usage


def test_a_call_costs_what_the_model_costs_that_answered() -> None:
    """Not the one that was asked, which may be a name for several."""
    told = {"gen_ai.request.model": "a", "gen_ai.response.model": "b", "gen_ai.usage.input_tokens": 1_000_000}
    cost = priced(read(told), Prices({"a": {"input": "1", "output": "1"}, "b": {"input": "2", "output": "2"}})).cost
    assert cost is not None
    assert "2" == cost.usd


def test_what_our_own_export_says_of_money_stays() -> None:
    """A call that was free, a cache hit for one, is free after export and import, whatever the price list knows."""
    hit = replace(call(1), cost=Cost(usd="0", basis="free"))
    assert hit.cost == priced(hit, Prices()).cost
