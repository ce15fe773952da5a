"""Runs of LangChain and LangGraph, against the real libraries with their own scripted models."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any, TypedDict
from uuid import uuid4

import msgspec
import pytest
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import StructuredTool
from langchain_core.tools import tool as langchain_tool
from langgraph.graph import END, START, StateGraph

from instrument import current_span, span, tool
from instrument.analysis.metrics import measure
from instrument.errors import LoopDetected
from instrument.integrations.langchain import InstrumentCallbacks
from instrument.integrations.told import ToldSpans
from instrument.model import Usage
from instrument.record.switch import installed
from instrument.testing import Recording, record
from tests.recorded import parents_of

USAGE = {
    "input_tokens": 20,
    "output_tokens": 5,
    "total_tokens": 25,
    "input_token_details": {"cache_read": 8},
    "output_token_details": {"reasoning": 2},
}


@pytest.fixture
def recording() -> Iterator[Recording]:
    with record(prices={"m": {"input": "1", "output": "2"}}) as recording:
        yield recording


@pytest.fixture
def config() -> dict[str, Any]:
    return {"callbacks": [InstrumentCallbacks()]}


def model(*answers: Any) -> GenericFakeChatModel:
    told = [
        AIMessage(content=one, usage_metadata=USAGE, response_metadata={"model_name": "m", "finish_reason": "stop"})
        for one in answers
    ]
    return GenericFakeChatModel(messages=iter(told))


@tool
def ours(text: str) -> str:
    return text.upper()


@langchain_tool
def shout(text: str) -> str:
    """Say it loud."""
    return ours(text)


PROMPT = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "{question}")])


def invoke(chain: Any, given: Any, config: Any) -> Any:
    return chain.invoke(given, config=config)


def ainvoke(chain: Any, given: Any, config: Any) -> Any:
    return asyncio.run(chain.ainvoke(given, config=config))


def stream(chain: Any, given: Any, config: Any) -> Any:
    return [*chain.stream(given, config=config)][-1]


CALLS = [invoke, ainvoke, stream]


@pytest.mark.parametrize("call", CALLS)
def test_a_chain_is_one_tree(call: Any, recording: Recording, config: Any) -> None:
    """Prompt, model and a decorated function hang below the chain, however it is called."""
    chain = PROMPT | model("hello") | RunnableLambda(lambda message: ours(message.content), name="upper")
    assert "HELLO" == call(chain, {"question": "hi"}, config)
    parents = parents_of(recording.spans)
    assert {
        "RunnableSequence": None, "ChatPromptTemplate": "RunnableSequence", "chat": "RunnableSequence", "upper": "RunnableSequence",
        "ours": "upper",
    } == {name.strip(): parent for name, parent in parents.items()}  # fmt: skip
    assert None is current_span()


def test_a_model_call_has_messages_usage_and_price(recording: Recording, config: Any) -> None:
    """Cached and reasoned tokens are parts of the inclusive counts; what LangChain notes for itself is left out."""
    (PROMPT | model("hello")).invoke({"question": "hi"}, config=config)
    [found] = [one for one in recording.spans if one.kind == "llm"]
    assert [] == [name for name in found.attributes if name.startswith("langchain.ls_")]
    assert (20, 8, 5, 2) == (found.usage.input, found.usage.cached, found.usage.output, found.usage.reasoning)
    assert ["Be brief.", "hi"] == [message["parts"][0]["content"] for message in found.input["messages"]]
    assert ("hello", ["stop"], "m") == (
        found.output["messages"][0]["parts"][0]["content"], found.attributes["gen_ai.response.finish_reasons"],
        found.attributes["gen_ai.response.model"],
    )  # fmt: skip
    assert "0.00003" == found.cost.usd


class Named(GenericFakeChatModel):
    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": "m-1"}


def test_services_name_models_and_ends_in_their_own_ways(recording: Recording, config: Any) -> None:
    """The model that is asked, and why the answer ended."""
    answer = AIMessage(content="ho", response_metadata={"stop_reason": "end_turn"})
    Named(messages=iter([answer])).invoke("hi", config=config)
    found = recording.span("chat m-1")
    assert ("m-1", ["end_turn"]) == (
        found.attributes["gen_ai.request.model"],
        found.attributes["gen_ai.response.finish_reasons"],
    )


def test_what_is_tried_again_is_noted(recording: Recording) -> None:
    """With the number of the try, as services tell of it that wait and ask anew."""
    told, run_id = InstrumentCallbacks(), uuid4()
    told.on_llm_start({}, ["hi"], run_id=run_id)
    told.on_retry(SimpleNamespace(attempt_number=1), run_id=run_id)
    told.on_llm_error(ValueError("busy"), run_id=run_id)
    assert [("retry", {"attempt": 1})] == [(event.name, event.attributes) for event in recording.span("chat").events]


def test_what_was_begun_elsewhere_hangs_where_it_was_told_to(recording: Recording) -> None:
    """Also in a thread in which a span is current that lies further up."""
    told = ToldSpans()
    with span("run"):
        outside = copy_context()
        told.begin("a", "chain", "step")
        outside.run(told.begin, "b", "branch", "step", above="a")
        outside.run(told.end, "b")
        told.end("a")
    assert "chain" == parents_of(recording.spans)["branch"]


def test_a_tool(recording: Recording, config: Any) -> None:
    """A tool's arguments and result are recorded, what it calls hangs below it."""
    shout.invoke({"text": "hey"}, config=config)
    found = recording.span("shout")
    assert ("tool", {"text": "hey"}, "HEY") == (found.kind, found.input, found.output)
    assert "shout" == parents_of(recording.spans)["ours"]


def test_the_name_of_a_run_is_that_of_its_span(recording: Recording, config: Any) -> None:
    """What one calls a run says more than what it is made of."""
    shout.invoke({"text": "hey"}, config={**config, "run_name": "cry"})
    Finds().invoke("cats", config={**config, "run_name": "look"})
    assert [("ours", "tool"), ("cry", "tool"), ("look", "retrieval")] == [
        (one.name, one.kind) for one in recording.spans
    ]


@langchain_tool
@tool
def temperature(city: str) -> float:
    """The temperature of a city."""
    return 21.5


class Box:
    @tool
    def population(self, city: str) -> int:
        return 5


def test_a_decorated_tool_is_one_call(recording: Recording, config: Any) -> None:
    """What LangChain tells of and what is decorated is one tool call, the inner one, where both have one name."""
    temperature.invoke({"city": "Rome"}, config=config)
    StructuredTool.from_function(Box().population, name="population", description="x").invoke({"city": "Rome"}, config)
    assert [("temperature", "tool"), ("temperature", "step"), ("Box.population", "tool"), ("population", "step")] == [
        (found.name, found.kind) for found in recording.spans
    ]


def test_the_breaker_sees_a_decorated_tool_once(config: Any) -> None:
    """The third useless repeat is refused: what LangChain makes of the result is no other result."""
    with record(loops={"action": "raise"}), span("run"):
        for _ in range(3):
            temperature.invoke({"city": "Rome"}, config=config)
        with pytest.raises(LoopDetected, match="temperature was called 3 times"):
            temperature.invoke({"city": "Rome"}, config=config)


async def _cancelled(config: Any) -> None:
    slow = Slow(messages=iter(()), is_asked=asyncio.Event())
    running = asyncio.create_task((RunnableLambda(lambda x: x) | slow).ainvoke("hi", config=config))
    await slow.is_asked.wait()
    running.cancel()
    await asyncio.wait([running])


class Slow(GenericFakeChatModel):
    is_asked: Any

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        self.is_asked.set()
        await asyncio.sleep(60)


def test_a_cancelled_model_call_ends(recording: Recording, config: Any) -> None:
    """LangChain has no event for a model call that is cancelled: it ends with the chain that it is in."""
    asyncio.run(_cancelled(config))
    assert ({"cancelled"}, {}) == (
        {one.status for one in recording.spans if one.kind in ("llm", "workflow")}, config["callbacks"][0]._told._open,
    )  # fmt: skip


class Finds(BaseRetriever):
    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [Document("found " + query, metadata={"source": "a"})]


def test_a_retriever(recording: Recording, config: Any) -> None:
    """The query and the documents are recorded."""
    Finds().invoke("cats", config=config)
    found = recording.span("Finds")
    assert ("retrieval", {"query": "cats"}, "found cats") == (found.kind, found.input, found.output[0]["content"])


@pytest.mark.parametrize("call", CALLS)
def test_a_failure_reaches_the_caller(call: Any, recording: Recording, config: Any) -> None:
    """What a runnable raises is raised, and every span it left is an error."""

    def fails(given: Any) -> Any:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        call(RunnableLambda(fails, name="fails") | RunnableLambda(lambda x: x), {"a": 1}, config)
    assert {"error"} == {found.status for found in recording.spans}


def test_branches_keep_their_parent(recording: Recording, config: Any) -> None:
    """What runs at the same time, in threads or tasks, hangs below its own branch."""
    branches = RunnableParallel(
        a=RunnableLambda(lambda x: ours("a"), name="left"), b=RunnableLambda(lambda x: ours("b"), name="right")
    )
    branches.invoke({}, config=config)
    asyncio.run(branches.ainvoke({}, config=config))
    names = {found.span_id: found.name for found in recording.spans}
    assert ["left", "left", "right", "right"] == sorted(
        names[found.parent_id] for found in recording.spans if found.name == "ours"
    )


class State(TypedDict):
    messages: list[Any]


@pytest.mark.parametrize("call", [invoke, ainvoke])
def test_a_graph(call: Any, recording: Recording) -> None:
    """Nodes of a graph are steps and no iterations; its thread is the session."""
    asked = model("hello")
    graph = StateGraph(State)
    graph.add_node(
        "think", lambda state, config: {"messages": [*state["messages"], asked.invoke(state["messages"], config)]}
    )
    graph.add_node("act", lambda state: {"messages": [*state["messages"], ours("done")]})
    graph.add_edge(START, "think")
    graph.add_edge("think", "act")
    graph.add_edge("act", END)
    config = {"callbacks": [InstrumentCallbacks()], "configurable": {"thread_id": "t-1"}}
    call(graph.compile(), {"messages": [HumanMessage("hi")]}, config)
    parents = parents_of(recording.spans)
    assert ("act", "LangGraph", "LangGraph", None) == (
        parents["ours"],
        parents["think"],
        parents["act"],
        parents["LangGraph"],
    )
    assert ("t-1", 0) == (recording.span("think").attributes["session.id"], measure(recording.spans).iterations)


def test_a_result_that_holds_itself(recording: Recording, config: Any) -> None:
    """The chain's span ends all the same, and none stays current."""
    endless: dict[str, Any] = {}
    endless["again"] = endless
    RunnableLambda(lambda _: endless, name="chain").invoke(1, config)
    assert (["chain"], None) == ([found.name for found in recording.spans], current_span())


def test_nothing_is_kept(recording: Recording, config: Any) -> None:
    """What was told of is released when it has ended."""
    (PROMPT | model("hello")).invoke({"question": "hi"}, config=config)
    shout.invoke({"text": "hey"}, config=config)
    recorder = installed()
    assert recorder is not None
    assert ({}, {}) == (config["callbacks"][0]._told._open, recorder.told_tools)


@pytest.mark.parametrize(
    ("details", "about", "content", "expected"),
    [
        ({"cache_read": 3, "cache_creation": 0, "ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 4}, {}, "",
         Usage(input=20, cached=3, cache_write=6, cache_write_1h=4, output=5)),
        ({"flex_cache_read": 3, "flex": 17}, {"service_tier": "flex"}, "", Usage(input=20, cached=3, output=5)),
        ({"priority_cache_read": 3}, {"service_tier": "priority"}, "", Usage(input=20, cached=3, output=5)),
        ({}, {"usage": {"server_tool_use": {"web_search_requests": 2}}}, "", Usage(input=20, output=5, web_searches=2)),
        ({}, {}, [{"type": "server_tool_use", "name": "web_search", "id": "s", "input": {}}],
         Usage(input=20, output=5, web_searches=1)),
        ({}, {}, [{"type": "web_search_call", "id": "w", "action": {"type": "search"}},
                  {"type": "file_search_call", "id": "f"}],
         Usage(input=20, output=5, web_searches=1, file_searches=1)),
    ],
)  # fmt: skip
def test_counts_that_have_their_own_price(
    details: dict[str, int], about: dict[str, Any], content: Any, expected: Usage, recording: Recording, config: Any
) -> None:
    """What is written to a cache for an hour, read at a service tier and searched is counted as LangChain names it."""
    usage = {"input_tokens": 20, "output_tokens": 5, "total_tokens": 25, "input_token_details": details}
    answer = AIMessage(content=content, usage_metadata=usage, response_metadata={"model_name": "m", **about})
    GenericFakeChatModel(messages=iter([answer])).invoke("hi", config=config)
    [call] = [span for span in recording.spans if span.kind == "llm"]
    given = msgspec.structs.asdict(call.usage)
    told = {name: count or None for name, count in given.items()}
    tier = call.attributes.get("openai.response.service_tier")
    assert (msgspec.structs.asdict(expected), about.get("service_tier")) == (told, tier)
