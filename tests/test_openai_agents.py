"""Runs of the OpenAI Agents SDK, against the real SDK and an endpoint on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import agents
import pytest

import instrument
from instrument import tool
from instrument.analysis.metrics import measure
from instrument.integrations.openai_agents import AgentsProcessor
from instrument.testing import Recording
from tests.openai_endpoint import Endpoint, as_json, chat, response
from tests.openai_styles import client_of
from tests.recorded import parents_of


@pytest.fixture(scope="module", autouse=True)
def processor() -> None:
    agents.set_trace_processors([AgentsProcessor()])


@tool
def lookup(city: str) -> str:
    """A decorated function that a tool of the SDK uses."""
    return f"sunny in {city}"


@agents.function_tool
def weather(city: str) -> str:
    """The weather in a city."""
    return lookup(city)


@agents.function_tool(failure_error_function=None)
def broken(city: str) -> str:
    """Always fails."""
    raise ValueError("no weather today")


def calling(name: str) -> Callable[[str, dict[str, Any]], Any]:
    """Answers with one call of a tool, then with a text."""

    def answer(path: str, body: dict[str, Any]) -> Any:
        if any(item.get("type") == "function_call_output" for item in body["input"] if isinstance(item, dict)):
            return as_json(response())
        call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": name, "status": "completed"}
        return as_json({**response(), "output": [{**call, "arguments": json.dumps({"city": "Rome"})}]})

    return answer


def run(server: Endpoint, *tools: Any, model: Any = agents.OpenAIResponsesModel) -> Any:
    """Run an agent to its end."""

    async def later() -> Any:
        async with client_of(server.base_url, asynchronous=True) as client:
            agent = agents.Agent(name="forecaster", model=model("gpt-4.1-mini", openai_client=client), tools=[*tools])
            with agents.trace("Forecast", group_id="conversation-1"):
                return await agents.Runner.run(agent, "What is the weather in Rome?")

    return asyncio.run(later())


def test_a_run_is_one_tree(server: Endpoint, recording: Recording) -> None:
    """Workflow, agent, turns, model calls and tools are nested as they ran; turns are the iterations."""
    server.answer = calling("weather")
    run(server, weather)
    parents = parents_of(recording.spans)
    path = ["lookup"]
    while parents[path[-1]] is not None:
        path.append(parents[path[-1]])  # type: ignore[arg-type]  # seen above
    assert ["lookup", "weather", "turn 1", "forecaster", "Agent workflow", "Forecast"] == path
    assert (1, 2) == (len({found.trace_id for found in recording.spans}), measure(recording.spans).iterations)


def test_what_the_spans_are(server: Endpoint, recording: Recording) -> None:
    """Kinds, a tool's arguments and result, a model call's messages, and the session."""
    server.answer = calling("weather")
    run(server, weather)
    found = recording.span("weather")
    assert ("tool", {"city": "Rome"}, "sunny in Rome") == (found.kind, found.input, found.output)
    assert ("workflow", "agent") == (recording.span("Forecast").kind, recording.span("forecaster").kind)
    first, second = [one for one in recording.spans if one.kind == "llm"]
    assert ("chat gpt-4.1-mini-2025-04-14", 20, 5, 2) == (
        first.name, first.usage.input, first.usage.output, first.usage.reasoning,
    )  # fmt: skip
    assert "tool_call" == first.output["messages"][0]["parts"][0]["type"]
    assert "What is the weather in Rome?" in json.dumps(second.input["messages"])
    assert "conversation-1" == recording.span("Forecast").attributes["session.id"]


def test_calls_are_counted_once_beside_the_patched_client(server: Endpoint, recording: Recording) -> None:
    """Where the client is patched as well, its spans have the usage and those of the SDK are steps."""
    server.answer = calling("weather")
    with instrument.patch_openai():
        run(server, weather)
    assert [20, 20] == [found.usage.input for found in recording.spans if found.usage is not None]
    assert {"step"} == {
        found.kind for found in recording.spans if found.name.startswith("chat") and found.usage is None
    }


def test_chat_completions_have_usage_too(server: Endpoint, recording: Recording) -> None:
    """The SDK's other kind of model call tells its usage in another way."""
    server.answer = lambda path, body: as_json(chat())
    run(server, model=agents.OpenAIChatCompletionsModel)
    [found] = [one for one in recording.spans if one.kind == "llm"]
    assert (11, 7, 4) == (found.usage.input, found.usage.output, found.usage.cached)


def test_a_generation_is_asked_with_its_settings(recording: Recording) -> None:
    """Those that the SDK tells of with the span, where it has any."""
    for settings in ({"temperature": 0.5}, None):
        with agents.trace("t"), agents.generation_span([{"role": "user", "content": "Hi"}], [], "gpt-4.1", settings):
            pass
    asked = [one.input.get("settings") for one in recording.spans if one.kind == "llm"]
    assert [{"temperature": 0.5}, None] == asked


def test_a_failing_tool(server: Endpoint, recording: Recording) -> None:
    """What a tool raised reaches the caller, and its span is an error."""
    server.answer = calling("broken")
    with pytest.raises(Exception, match="no weather today"):
        run(server, broken)
    found = recording.span("broken")
    assert ("error", True) == (found.status, "no weather today" in found.error.message)


def test_nothing_stays_open(server: Endpoint, recording: Recording) -> None:
    """After a run no span is open and none is current."""
    server.answer = calling("weather")
    run(server, weather)
    assert (None, {}) == (instrument.current_span(), dict(instrument.record.switch.switch.recorder.open))  # type: ignore[union-attr]  # loaded by now


class Unspeakable:
    """Says nothing of itself."""

    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__


def test_what_cannot_be_read_of_a_span_does_not_keep_it_open(recording: Recording) -> None:
    """A result that raises when it is shown, a model call of an unknown form: each ends, and none stays current."""
    with agents.trace("t"):
        with agents.function_span("tool", output=Unspeakable()):  # type: ignore[arg-type]  # as tools may give it
            pass
        with agents.generation_span(input=5, output=7):  # type: ignore[arg-type]  # none that is known
            pass
    assert (["tool", "chat", "t"], None) == ([found.name for found in recording.spans], instrument.current_span())


def test_without_a_recording(server: Endpoint) -> None:
    """Where recording is off the run is as without us."""
    instrument.shutdown()
    server.answer = calling("weather")
    assert '{"answer": 4}' == run(server, weather).final_output
