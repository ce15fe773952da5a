"""Where sketches of such a tool usually go wrong, each as a rule that holds here."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from decimal import Decimal
from pathlib import Path
from typing import Any

import instrument
from agent.reviewer import Limits, Reviewer
from agent.selection import select
from instrument import agent, llm_call, span, tool, traced
from instrument.analysis.tree import traces
from instrument.model import Span
from instrument.testing import Recording, record
from instrument.views.outline import outline
from tests.agent_endpoint import Script, call, endpoint, verdict

STATUSES = {"ok", "error", "cancelled", "open"}


def reviewed(folder: Path, *think: Any, steps: int = 6) -> Recording:
    """A real review of a small file by a scripted model."""
    (folder / "shop.py").write_text("def mean(prices):\n    return sum(prices) / len(prices)\n")
    with record() as recording, endpoint(Script(think=list(think))) as there:
        Reviewer(select([folder]), there, limits=Limits(max_steps=steps)).review("Find faults")
        recording.flush()
    return recording


def test_plan_does_not_stay_open(tmp_path: Path) -> None:
    """The plan is made in a span of its own that ends: nothing that comes after nests under it."""
    recording = reviewed(tmp_path, call("read_file", path="shop.py"), verdict())
    assert [] == recording.children(recording.span("Reviewer.create_plan"))


def test_iterations_that_fail_or_go_on_end_their_span(recorded: Recording) -> None:
    """Whichever way an iteration is left, its span has ended."""

    @agent
    def run() -> None:
        for n in range(3):
            try:
                with span("step", kind="step"):
                    if n == 0:
                        continue
                    raise ValueError
            except ValueError:
                pass

    run()
    assert ["ok", "error", "error"] == [found.status for found in recorded.spans if found.kind == "step"]


def test_concurrent_runs_do_not_mix(recorded: Recording) -> None:
    """Two agents at once: each tool call hangs below its own agent."""

    @tool
    async def work(name: str) -> str:
        await asyncio.sleep(0)
        return name

    @agent
    async def run(name: str) -> None:
        for _ in range(5):
            await work(name)

    async def both() -> None:
        await asyncio.gather(run("a"), run("b"))

    asyncio.run(both())
    of_trace = {root.trace_id: root.input["name"] for root in recorded.children(None)}
    assert {True} == {
        found.output == of_trace[found.trace_id] for found in recorded.spans if found.name.endswith("work")
    }


def test_ended_spans_are_released(recorded: Recording) -> None:
    """Nothing keeps a live span once it has been written."""
    with span("work") as live:
        gone = weakref.ref(live)
    del live
    recorded.flush()
    gc.collect()
    assert gone() is None


def test_status_has_one_spelling_and_the_tree_shows_it(recorded: Recording) -> None:
    """Success, failure and cancellation are told in the same words everywhere, and the view knows them all."""

    @traced
    def fail() -> None:
        raise KeyError("x")

    @agent
    async def run() -> None:
        try:
            fail()
        except KeyError:
            pass
        task = asyncio.ensure_future(asyncio.sleep(9))
        task.cancel()
        with span("waits"):
            await task

    try:
        asyncio.run(run())
    except asyncio.CancelledError:
        pass
    [trace] = traces(recorded.records)
    assert (True, True) == ({found.status for found in trace.spans} <= STATUSES, "KeyError" in outline(trace))


def test_unknown_model_is_not_free(recorded: Recording) -> None:
    """A model without a price makes the total say so instead of adding 0.0."""

    @llm_call(model="nobody-knows-this")
    def ask() -> Any:
        return "x", {"input_tokens": 5, "output_tokens": 5}

    ask()
    [trace] = traces(recorded.records)
    assert (1, None) == (trace.cost.unpriced, recorded.span("ask").cost.usd)  # type: ignore[union-attr]


def test_every_call_for_planning_and_summing_up_is_counted(tmp_path: Path) -> None:
    """What is asked besides thinking is a model call like any other, with tokens."""
    recording = reviewed(tmp_path, call("analyze_code", path="shop.py"), verdict())
    asked = {found.name.rpartition(".")[2] for found in recording.spans if found.kind == "llm" and found.usage}
    assert {"create_plan", "think", "analyze"} <= asked


def test_different_tools_are_no_loop_and_one_tool_repeated_is(recorded: Recording) -> None:
    """Many tools in turn raise no finding, one call over and over does."""

    @tool
    def look(what: str) -> str:
        return f"{what} seen"

    @agent
    def varied() -> None:
        for n in range(6):
            look(f"file {n} of {['red', 'green', 'blue', 'grey', 'pink', 'gold'][n]}")

    @agent
    def stuck() -> None:
        for _ in range(6):
            look("the same")

    varied()
    before = len(recorded.findings)
    stuck()
    assert (0, True) == (before, len(recorded.findings) > 0)


def test_errors_are_recorded_and_a_storm_is_seen_while_it_lasts(recorded: Recording) -> None:
    """Failures are spans with an error; three in a row are a finding long before the steps run out."""

    @tool
    def broken(n: int) -> None:
        raise OSError(f"disk {n}")

    @agent
    def run() -> int:
        for n in range(5):
            try:
                broken(n)
            except OSError:
                pass
            if recorded.findings:
                return n
        return -1

    assert 2 == run()


def test_price_list_is_right() -> None:
    """A million tokens in and out of gpt-4.1-mini cost what its price list says: 0.40 and 1.60 US dollars."""
    from instrument.model import Usage
    from instrument.pricing import Prices

    cost = Prices().cost(Usage(input=1_000_000, output=1_000_000), "gpt-4.1-mini")
    assert Decimal("2.00") == Decimal(cost.usd or "0")


def test_files_that_are_announced_are_written(tmp_path: Path) -> None:
    """The figures of a run are in the file that `save` names."""
    instrument.configure(sinks=["jsonl"], dir=str(tmp_path / ".instrument"))
    try:

        @tool
        def add(a: int, b: int) -> int:
            return a + b

        add(1, 2)
        written = instrument.save(tmp_path / "out")
    finally:
        instrument.shutdown()
    metrics = next(file for file in written if file.name == "metrics.json")
    assert 1 == json.loads(metrics.read_text())["overall"]["spans"]


def test_span_that_never_ended_is_open_and_not_lost(recorded: Recording) -> None:
    """A head without an end is read as `open`."""
    from instrument.model import Open

    head = Open(trace_id="a" * 32, span_id="b" * 16, start_ns=1, kind="tool", name="hangs")
    [trace] = traces([head])
    assert [("hangs", "open")] == [(found.name, found.status) for found in trace.spans if isinstance(found, Span)]
