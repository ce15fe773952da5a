"""Budgets and model calls that others make in this process: they are not asked about, but they count."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import agents
import pytest
from opentelemetry.sdk.trace import TracerProvider

import instrument
from instrument import BudgetExceeded, budget, llm_call, span
from instrument.integrations.openai_agents import AgentsProcessor
from instrument.integrations.opentelemetry import InstrumentSpanProcessor
from instrument.record import otel_context
from instrument.store.ledgers import totals
from instrument.testing import Recording, record
from tests.openai_endpoint import endpoint
from tests.openai_styles import client_of

CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "m",
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 5,
}
PRICES = {name: {"input": "1000", "output": "2000"} for name in ("m", "gpt-4.1-mini", "gpt-4.1-mini-2025-04-14")}


@llm_call(model="m")
def ours(prompt: str, max_tokens: int = 1) -> str:
    return "yes"


@pytest.fixture
def tracer() -> Iterator[Any]:
    """A tracer whose spans are recorded here as well."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(InstrumentSpanProcessor())
    yield provider.get_tracer("theirs")
    otel_context.joined = False


def their_call(tracer: Any, **attributes: Any) -> None:
    with tracer.start_as_current_span("chat m", attributes={**CALL, **attributes}):
        pass


def shut(recording: Recording) -> list[str]:
    return [log.message for log in recording.logs if log.event == "BUDGET_SHUT"]


def test_a_call_of_another_instrumentation_is_charged(tracer: Any) -> None:
    """Tokens, money and the call itself, in every budget around it."""
    with record(prices=PRICES), budget(usd=10) as outer, budget(calls=5) as inner, tracer.start_as_current_span("run"):
        their_call(tracer)
    assert [(15, "0.02", 1)] * 2 == [(one.spent.tokens, str(one.usd.normalize()), one.calls) for one in (outer, inner)]


def test_what_passes_the_limit_is_said_and_the_next_call_is_refused(tracer: Any) -> None:
    """The call itself cannot be refused any more."""
    with record(prices=PRICES) as recording, span("run"), budget(tokens=14):
        their_call(tracer)
        with pytest.raises(BudgetExceeded):
            ours("may I?")
    assert 1 == len(shut(recording))


def test_a_call_that_both_see_is_charged_once(tracer: Any) -> None:
    """Ours inside of theirs, and theirs inside of ours."""
    with record(prices=PRICES), budget(calls=10) as scope:
        with tracer.start_as_current_span("chat m", attributes=CALL):
            ours("inside")
        assert 1 == scope.calls
        llm_call(lambda prompt: their_call(tracer))("around")
        assert 2 == scope.calls


@pytest.mark.parametrize("root", ["theirs", "ours"])
def test_the_limit_of_each_trace_holds_them_as_well(tracer: Any, root: str) -> None:
    """Whoever began the trace; the next trace begins with nothing spent."""
    with record(prices=PRICES, budget={"tokens": 14}):
        for _ in range(2):
            with tracer.start_as_current_span("run") if root == "theirs" else span("run"):
                their_call(tracer)
                with pytest.raises(BudgetExceeded):
                    ours("may I?")


def test_shared_budgets_and_the_ledger_have_them(tracer: Any, tmp_path: Path) -> None:
    """Through the database: what this process was told of is spent for all."""
    instrument.configure(dir=str(tmp_path), sinks=["ledger"], prices=PRICES)
    with budget(usd=10, name="team", period="total") as scope:
        their_call(tracer)
        assert "0.02" == str(scope.spent.usd.normalize())
    instrument.shutdown()
    ledger = {"url": f"sqlite:///{tmp_path}/ledger.db"}
    with record(prices=PRICES, ledger=ledger), budget(usd="0.02", name="team", period="total"):
        with pytest.raises(BudgetExceeded, match=r"0\.02"):
            ours("may I?")
    assert [("m", 1)] == [(total.key, total.calls) for total in totals(tmp_path / "ledger.db", "model")]


def test_calls_of_the_agents_sdk_are_charged() -> None:
    """What its trace processor tells of: the run goes on, the next call of ours is refused."""
    agents.set_trace_processors([AgentsProcessor()])

    async def run(base_url: str) -> None:
        async with client_of(base_url, asynchronous=True) as client:
            model = agents.OpenAIResponsesModel("gpt-4.1-mini", openai_client=client)
            await agents.Runner.run(agents.Agent(name="a", model=model), "hello")

    with endpoint() as server, record(prices=PRICES) as recording, budget(tokens=24) as scope:
        asyncio.run(run(server.base_url))
        with pytest.raises(BudgetExceeded):
            ours("may I?")
    assert (25, 1, 1) == (scope.spent.tokens, scope.calls, len(shut(recording)))


def test_the_limit_of_each_trace_holds_the_agents_sdk_as_well() -> None:
    """Where no function of ours is around its run."""
    agents.set_trace_processors([AgentsProcessor()])

    async def run(base_url: str) -> None:
        async with client_of(base_url, asynchronous=True) as client:
            model = agents.OpenAIResponsesModel("gpt-4.1-mini", openai_client=client)
            with agents.trace("w"):
                await agents.Runner.run(agents.Agent(name="a", model=model), "hello")
                with pytest.raises(BudgetExceeded):
                    ours("may I?")

    with endpoint() as server, record(prices=PRICES, budget={"tokens": 24}):
        asyncio.run(run(server.base_url))
