"""Calls over the Model Context Protocol, with the real SDK: in one process, and with a server in another one."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.server import MCPServer

import instrument
from instrument import span, tool
from instrument.analysis.metrics import measure
from instrument.errors import LoopDetected
from instrument.integrations.mcp import TraceMiddleware, trace_requests
from instrument.testing import Recording, record
from tests.recorded import parents_of


@tool
def ours(city: str) -> str:
    return f"sunny in {city}"


def server(**options: Any) -> MCPServer:
    served = MCPServer("weather", **options)

    @served.tool()
    def weather(city: str) -> str:
        """The weather in a city."""
        return ours(city)

    @served.tool()
    def broken(city: str) -> str:
        """Always fails."""
        raise ValueError("no weather today")

    @served.tool()
    @tool
    def forecast(city: str) -> str:
        """A decorated one."""
        return f"rain in {city}"

    return served


def call(served: Any, name: str, times: int = 1) -> Any:
    """Call a tool of a server below a span, from a client that is traced."""

    async def later() -> Any:
        async with Client(served) as client:
            trace_requests(trace_requests(client))
            with span("caller"):
                for _ in range(times):
                    result = await client.call_tool(name, {"city": "Rome"})
                return result

    return asyncio.run(later())


def test_a_call_is_a_tool_with_arguments_and_result(recording: Recording) -> None:
    """The client's span has what was given and what came back, and the caller sees the same."""
    assert "sunny in Rome" == call(server(), "weather").content[0].text
    found = recording.span("weather")
    assert ("tool", {"city": "Rome"}, {"result": "sunny in Rome"}) == (found.kind, found.input, found.output)
    assert "tools/call" == found.attributes["mcp.method.name"]


def test_both_sides_are_one_tree_and_one_tool(recording: Recording) -> None:
    """The server's span hangs below the client's as a step, what the handler calls below that."""
    call(server(middleware=[TraceMiddleware()]), "weather")
    assert {
        "caller": None,
        "weather": "caller",
        "tools/call weather": "weather",
        "ours": "tools/call weather",
    } == parents_of([found for found in recording.spans if "discover" not in found.name and "list" not in found.name])
    assert ["weather"] == [found.name for found in recording.spans if found.kind == "tool" and found.name != "ours"]
    assert 0 == measure(recording.spans).iterations


def test_a_server_alone_counts_its_tools(recording: Recording) -> None:
    """Where the caller sends no span the server's is the tool."""

    async def later() -> None:
        async with Client(server(middleware=[TraceMiddleware()])) as client:
            await client.call_tool("weather", {"city": "Rome"})

    asyncio.run(later())
    assert ("tool", {"city": "Rome"}) == (recording.span("weather").kind, recording.span("weather").input)


def test_a_greeting_is_no_run(recording: Recording) -> None:
    """Else the last trace of a program would be that its client connected."""

    async def later() -> None:
        async with Client(server(middleware=[TraceMiddleware()])):
            pass

    asyncio.run(later())
    assert [] == recording.spans


def test_a_request_without_parameters_has_a_span(recording: Recording) -> None:
    """As clients of earlier versions send one."""

    async def later() -> None:
        async with Client(server(middleware=[TraceMiddleware()]), mode="legacy") as client:
            await client.list_tools()

    asyncio.run(later())
    assert "step" == recording.span("tools/list").kind


def test_what_comes_after_a_call_is_beside_it(recording: Recording) -> None:
    """The call is over when its answer has come."""
    call(server(middleware=[TraceMiddleware()]), "weather", times=3)
    caller = recording.span("caller").span_id
    assert [caller] * 3 == [found.parent_id for found in recording.spans if found.name == "weather"]


def test_what_a_client_says_of_a_request_arrives(recording: Recording) -> None:
    """Beside our span, which is in no span's input."""
    seen: list[Any] = []

    async def listens(ctx: Any, call_next: Any) -> Any:
        seen.append(dict(ctx.meta or {}))
        return await call_next(ctx)

    async def later() -> None:
        async with Client(server(middleware=[TraceMiddleware(), listens])) as client:
            trace_requests(client)
            await client.call_tool("weather", {"city": "Rome"}, meta={"who": "ann"})
            await client.list_tools()

    asyncio.run(later())
    assert ("ann", True) == next((one["who"], "traceparent" in one) for one in seen if "who" in one)
    assert [] == [found.name for found in recording.spans if "traceparent" in str(found.input)]


def test_a_notification_has_no_span(recording: Recording) -> None:
    """Nobody waits for an answer to it."""

    async def answered(ctx: Any) -> Any:
        return ctx.method

    told: Any = SimpleNamespace(request_id=None, method="notifications/progress", params={}, meta=None)
    assert "notifications/progress" == asyncio.run(TraceMiddleware()(told, answered))  # type: ignore[arg-type, comparison-overlap]  # stands for the SDK's
    assert [] == recording.spans


def test_strangers_are_not_believed(recording: Recording) -> None:
    """Where callers are not trusted the server's span is the tool call, whatever span came with the request."""
    call(server(middleware=[TraceMiddleware(trusts_callers=False)]), "weather")
    assert "tools/call weather" not in [found.name for found in recording.spans]


def test_a_server_alone_counts_a_decorated_tool_once(recording: Recording) -> None:
    """The decorated function is the tool, what the server tells around it is a step."""

    async def later() -> None:
        async with Client(server(middleware=[TraceMiddleware()])) as client:
            await client.call_tool("forecast", {"city": "Rome"})

    asyncio.run(later())
    assert ["tool", "step"] == [found.kind for found in recording.spans if found.name == "forecast"]


def test_both_sides_count_a_decorated_tool_once(recording: Recording) -> None:
    """Client, server and decorated function in one process: the function is the tool."""
    call(server(middleware=[TraceMiddleware()]), "forecast")
    assert ["forecast"] == [found.name for found in recording.spans if found.kind == "tool"]


def test_a_tool_that_fails(recording: Recording) -> None:
    """A result that is an error makes its span one, and is given to the caller as ever."""
    result = call(server(middleware=[TraceMiddleware()]), "broken")
    found = recording.span("broken")
    assert (True, "error", "Error executing tool broken") == (result.is_error, found.status, found.error.message)


def test_the_loop_breaker_refuses_here_as_well() -> None:
    """A call that would only repeat what was tried is refused before it is sent."""
    with record(loops={"action": "raise"}) as recording, pytest.raises(BaseException) as raised:
        call(server(), "weather", times=20)
    group = raised.value
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    assert isinstance(group, LoopDetected)
    assert len([found for found in recording.spans if found.name == "ours"]) < 20


def test_what_is_no_client_is_refused() -> None:
    """The message says what it takes."""
    with pytest.raises(TypeError, match="takes a connected Client or a ClientSession"):
        trace_requests(object())


SERVER = """
from mcp.server import MCPServer
from instrument import tool
from instrument.integrations.mcp import TraceMiddleware

served = MCPServer("weather", middleware=[TraceMiddleware()])

@tool
def ours(city):
    return f"sunny in {city}"

@served.tool()
def weather(city: str) -> str:
    return ours(city)

served.run("stdio")
"""


def test_a_server_in_another_process_is_in_the_same_tree(tmp_path: Path) -> None:
    """Over standard input and output the trace goes on in the server's process, whose records lie beside ours."""
    (tmp_path / "server.py").write_text(SERVER)
    folder = {"INSTRUMENT_DIR": str(tmp_path / ".instrument"), "INSTRUMENT_SINKS": "jsonl"}
    parameters = StdioServerParameters(
        command=sys.executable,
        args=[str(tmp_path / "server.py")],
        env={**folder, "PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]},
    )
    instrument.configure(dir=tmp_path / ".instrument", sinks=["jsonl"])
    try:
        assert "sunny in Rome" == call(parameters, "weather").content[0].text
    finally:
        instrument.shutdown()
    [trace] = [one for one in instrument.read(tmp_path / ".instrument") if one.root.name == "caller"]
    parents = parents_of(trace.spans)
    assert ("caller", "weather", "tools/call weather") == (
        parents["weather"],
        parents["tools/call weather"],
        parents["ours"],
    )
