"""Recordings made up for looking and measuring: agents that plan, think, use tools, fail and repeat themselves.

`python -m benchmarks.made_traces FOLDER [--spans N] [--runs N]` writes `FOLDER/events/….jsonl`; the same arguments
give the same records.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from instrument.model import Cost, Event, Failure, Finding, Log, Record, Run, Span, Usage, encode

MS = 1_000_000
START = 1_795_435_200_000_000_000
DAY = 86_400 * 1000 * MS
TOOLS = {
    "read_file": "path", "search_code": "query", "run_tests": "target", "edit_file": "path", "list_files": "folder",
    "fetch_page": "url",
}  # fmt: skip
MODELS = {"gpt-4.1-mini": (0.4, 1.6), "gpt-4.1": (2.0, 8.0), "my-local-model": None}
TASKS = (
    "Find out why the nightly import drops rows", "Add a retry to the payment client", "Explain the flaky scheduler test",
    "Rename the settings that are misleading", "Write the release notes of this week",
)  # fmt: skip
WORDS = ("the", "rows", "of", "a", "batch", "were", "written", "twice", "because", "its", "lock", "was", "released")


class Maker:
    """Makes one trace at a time; a clock of its own goes on as work is done."""

    def __init__(self, seed: int, run: str, start_ns: int) -> None:
        self.random = random.Random(seed)
        self.run = run
        self.now = start_ns
        self.trace_id = f"{self.random.getrandbits(128):032x}"
        self.made = 0

    def trace(self, spans: int, agent: str = "fixer-1") -> Iterator[Record]:
        """An agent's run of about that many spans, in the order in which they would have ended."""
        root, began = self._id(), self.now
        task = self.random.choice(TASKS)
        yield from self._think(root, agent, "create_plan")
        step = 0
        while self.made < spans - 1:
            step += 1
            yield from self._step(root, agent, step, min(2 + self.random.randrange(6), max(1, spans - self.made - 2)))
        failed = self.random.random() < 0.12
        yield self._span(
            root, None, began, "agent", "Fixer.run", status="error" if failed else "ok", input={"task": task},
            output=None if failed else {"answer": self._prose(40)},
            error=Failure("TimeoutError", "the task took longer than it may") if failed else None,
            attributes={"gen_ai.agent.id": agent, "instrument.label": task},
        )  # fmt: skip

    def _step(self, root: str, agent: str, number: int, tools: int) -> Iterator[Record]:
        step, began = self._id(), self.now
        yield self._log(step, "THINK_START", f"step {number}", iteration=number)
        yield from self._think(step, agent, "think")
        failing: list[str] = []
        for place in range(tools):
            yield from self._tool(step, failing, place)
        if len(failing) > 2:
            message = f"{len(failing)} tools failed in one step"
            yield Finding(
                run=self.run,
                trace_id=self.trace_id,
                span_ids=failing,
                time_ns=self.now,
                detector="error_storm",
                message=message,
            )
        yield self._span(step, root, began, "step", "step", attributes={"instrument.iteration": number})

    def _tool(self, step: str, failing: list[str], place: int) -> Iterator[Record]:
        name = self.random.choice(list(TOOLS))
        tool, began = self._id(), self.now
        argument = f"src/{self.random.choice(WORDS)}_{self.random.randrange(40)}.py"
        if self.random.random() < 0.2:
            inner, inner_began = self._id(), self.now
            self._work(4, 30)
            yield self._span(
                inner, tool, inner_began, "retrieval", "nearest_passages", input={"k": 8}, output=self._prose(20)
            )
        self._work(2, 120)
        failed = self.random.random() < 0.06
        if failed:
            failing.append(tool)
            yield self._log(tool, "TOOL_ERROR", f"{name} failed", level="ERROR", tool=name)
        error = (
            Failure(
                "FileNotFoundError",
                f"[Errno 2] No such file or directory: '{argument}'",
                f'  File "{argument}", line 12, in load\n    open(path)\n',
            )
            if failed
            else None
        )
        yield self._span(
            tool, step, began, "tool", name, status="error" if failed else "ok", error=error, input={TOOLS[name]: argument, "limit": place + 1},
            output=None if failed else {"ok": True, "text": self._prose(30)}, events=[Event("opened", began + MS)] if place == 0 else [],
        )  # fmt: skip

    def _think(self, parent: str, agent: str, operation: str) -> Iterator[Record]:
        call, began = self._id(), self.now
        model = self.random.choices(list(MODELS), (8, 3, 1))[0]
        self._work(300, 2500)
        said = {"role": "assistant", "parts": [{"type": "text", "content": self._prose(25)}]}
        usage = Usage(
            input=self.random.randrange(800, 9000),
            output=self.random.randrange(40, 700),
            cached=self.random.randrange(0, 800),
        )
        yield self._span(
            call, parent, began, "llm", f"responses {model}", usage=usage, cost=_cost(model, usage),
            input={"messages": [{"role": "system", "content": "You mend software."}, {"role": "user", "content": self._prose(60)}]},
            output={"messages": [said]},
            attributes={"gen_ai.request.model": model, "gen_ai.response.model": model, "instrument.operation": operation, "gen_ai.agent.id": agent},
        )  # fmt: skip

    def _span(
        self, span_id: str, parent: str | None, began: int, kind: str, name: str, status: str = "ok", **fields: Any
    ) -> Span:
        self.made += 1
        self._work(0.1, 1)
        return Span(
            run=self.run,
            trace_id=self.trace_id,
            span_id=span_id,
            parent_id=parent,
            start_ns=began,
            duration_ns=self.now - began,
            kind=kind,
            name=name,
            status=status,
            **fields,
        )

    def _log(self, span: str, event: str, message: str, level: str = "INFO", **metadata: Any) -> Log:
        return Log(
            run=self.run,
            trace_id=self.trace_id,
            span_id=span,
            time_ns=self.now,
            level=level,
            event=event,
            message=message,
            metadata=metadata,
        )

    def _work(self, least_ms: float, most_ms: float) -> None:
        self.now += int(self.random.uniform(least_ms, most_ms) * MS)

    def _prose(self, words: int) -> str:
        return " ".join(self.random.choices(WORDS, k=words))

    def _id(self) -> str:
        return f"{self.random.getrandbits(64) or 1:016x}"


def _cost(model: str, usage: Usage) -> Cost:
    price = MODELS[model]
    if price is None:
        return Cost(basis="unpriced")
    usd = ((usage.input or 0) * price[0] + (usage.output or 0) * price[1]) / 1e6
    return Cost(usd=f"{usd:.7f}", basis="priced", price_date="2026-11-01")


def recording(spans: int, seed: int = 1, start_ns: int = START, agent: str = "fixer-1") -> Iterator[Record]:
    """The records of one process that ran one trace of about that many spans."""
    run = f"{seed:012x}"
    yield Run(
        run=run,
        start_ns=start_ns,
        pid=0,
        argv=["python", "-m", "fixer"],
        python="3.11.7",
        platform="linux",
        service="fixer",
    )
    yield from Maker(seed, run, start_ns + 1000).trace(spans, agent)


def write(folder: Path, spans: int, runs: int = 1) -> Path:
    """Write so many recordings, a third of a day apart, the last one at noon, and return the folder."""
    events = folder / "events"
    events.mkdir(parents=True, exist_ok=True)
    for number in range(runs):
        begin = START - (runs - 1 - number) * DAY // 3
        size = spans if runs == 1 else max(3, spans >> (number * 7 % 5))
        with open(events / f"20261123T120000Z-{number + 1:012x}.jsonl", "wb") as file:
            file.writelines(
                encode(record) + b"\n" for record in recording(size, number + 1, begin, f"fixer-{1 + number % 3}")
            )
    return folder


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--spans", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=1)
    given = parser.parse_args()
    print(write(given.folder, given.spans, given.runs))
