"""How `instrument stats` and `instrument runs` do on a file of a million spans: time and peak memory of each engine.

    python -m benchmarks.scale                       # writes benchmarks/results/scale.json
    python -m benchmarks.scale --spans 10000 --repeats 1 --out /tmp/scale.json
    python -m benchmarks.scale --write big.jsonl     # only the file, to try other verbs on

Every verb runs in a process of its own as a user would run it, start of the interpreter included, and its output is
thrown away. What counts is the best of the repeats; the file is in the page cache for all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from instrument.version import __version__

RESULT = Path(__file__).parent / "results" / "scale.json"
VERBS = ("stats", "runs")
ENGINES = ("duckdb", "python")
NOON = 1_795_435_200_000_000_000
SECOND = 1_000_000_000
ITERATIONS = 24
SPANS_A_TRACE = 4 + 4 * ITERATIONS
MODELS = {"gpt-4.1-mini": (400, 1600), "gpt-4.1": (2000, 8000), "claude-sonnet-4-5": (3000, 15000), "my-model": None}
TOOLS = ("read_file", "search", "run_tests", "write_file", "list_folder", "fetch", "ask_user", "apply_patch")
FAULTS = (("TimeoutError", "no answer within 30 s"), ("FileNotFoundError", "no such file: src/rivers.py"))
PROSE = "The river rises in the hills, turns twice before the mill and reaches the sea by the old harbour wall. "


def lines(spans: int, seed: int = 1) -> Iterator[str]:
    """The lines of a file with so many spans: agents of a hundred spans each, as they would have been recorded."""
    chance = random.Random(seed)
    yield _line(type="run", run="r0", schema=1, start_ns=NOON, pid=4242, argv=["agent.py"], python="3.11.7")
    start = NOON
    for trace in range(max(1, spans // SPANS_A_TRACE)):
        start += chance.randrange(30 * SECOND)
        yield from _Recording(chance, trace).trace(start)


class _Recording:
    def __init__(self, chance: random.Random, number: int) -> None:
        self.chance = chance
        self.trace_id = f"{chance.getrandbits(128):032x}"
        self.agent = f"agent-{number % 7}"
        self.model = chance.choice(list(MODELS))

    def trace(self, start: int) -> Iterator[str]:
        root, at = self._id(), start
        label = {"instrument.label": f"Task {self.trace_id[:6]}", "gen_ai.agent.id": self.agent}
        head = {"span_id": root, "start_ns": start, "kind": "agent", "name": "review", "attributes": label}
        yield self._record("open", **head)
        plan = self._id()
        at = yield from self._call(plan, "create_plan", at)
        yield self._span(plan, root, start, at, "step", "create_plan")
        for turn in range(1, ITERATIONS + 1):
            at = yield from self._iteration(root, turn, at)
        reflect = self._id()
        yield self._span(reflect, root, at, at + 1000 * self.chance.randrange(10, 900), "step", "reflect")
        if self.chance.random() < 0.2:
            text = "read_file was called 4 times with the same arguments"
            yield self._record("finding", span_ids=[plan], time_ns=at, detector="repeated_call", message=text)
        done = {**label, "instrument.agent.outcome": "answered"}
        yield self._span(root, None, start, at + SECOND // 100, "agent", "review", attributes=done)

    def _iteration(self, root: str, turn: int, start: int) -> Iterator[str]:
        step, think, tool = self._id(), self._id(), self._id()
        at = yield from self._call(think, "think", start)
        yield self._span(think, step, start, at, "step", "think")
        name, took = self.chance.choice(TOOLS), int(self.chance.lognormvariate(17, 1.2))
        failed = self.chance.random() < 0.02
        kind, message = self.chance.choice(FAULTS)
        wrong = (
            {"error": {"type": kind, "message": message, "stack": f"  File tools.py, in {name}\n"}} if failed else {}
        )
        told = {"input": {"path": f"src/{turn}.py"}, "output": PROSE * self.chance.randrange(4)}
        yield self._span(tool, step, at, at + took, "tool", name, "error" if failed else "ok", **told, **wrong)
        at += took
        if turn % 4 == 0:
            level = "WARNING" if turn % 12 == 0 else "INFO"
            yield self._record("log", span_id=step, time_ns=at, level=level, event="ACT", message=f"called {name}")
        yield self._span(step, root, start, at, "step", "iteration", attributes={"instrument.iteration": turn})
        return at

    def _call(self, parent: str, operation: str, start: int) -> Iterator[str]:
        tokens_in, tokens_out = self.chance.randrange(300, 9000), self.chance.randrange(10, 700)
        took = int(self.chance.lognormvariate(20.5, 0.6))
        price = MODELS[self.model]
        usage = {"input": tokens_in, "cached": tokens_in // 3, "output": tokens_out}
        cost = {"basis": "unpriced"} if price is None else _cost(tokens_in * price[0], tokens_out * price[1])
        asked = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": self.model,
            "instrument.operation": operation,
            "gen_ai.agent.id": self.agent,
        }
        said = {
            "input": {"messages": [{"role": "user", "parts": [{"type": "text", "content": PROSE * 2}]}]},
            "output": {"messages": [{"role": "assistant", "parts": [{"type": "text", "content": PROSE}]}]},
        }
        told = {**said, "attributes": asked, "usage": usage, "cost": cost}
        yield self._span(self._id(), parent, start, start + took, "llm", f"chat {self.model}", **told)
        return start + took

    def _span(
        self,
        span_id: str,
        parent: str | None,
        start: int,
        end: int,
        kind: str,
        name: str,
        status: str = "ok",
        **more: Any,
    ) -> str:
        known = {"span_id": span_id, "parent_id": parent, "start_ns": start, "duration_ns": end - start}
        return self._record("span", **{**known, "kind": kind, "name": name, "status": status, **more})

    def _record(self, record: str, /, **fields: Any) -> str:
        head = {"type": record, "run": "r0", "trace_id": self.trace_id}
        return _line(**head, **{key: value for key, value in fields.items() if value is not None})

    def _id(self) -> str:
        return f"{self.chance.getrandbits(64):016x}"


def _cost(nano_in: int, nano_out: int) -> dict[str, str]:
    parts = {"usd": nano_in + nano_out, "input": nano_in, "output": nano_out}
    return {
        **{key: f"{value / 1e9:.9f}" for key, value in parts.items()},
        "basis": "priced",
        "price_date": "2026-11-01",
    }


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def _line(**fields: Any) -> str:
    return _encode(fields) + "\n"


class Used(NamedTuple):
    """What a process took from its start to its end: seconds, seconds of CPU of all threads, most memory in bytes."""

    seconds: float
    cpu: float
    memory: int


def measured(words: list[str]) -> Used:
    """Run Python with these words."""
    start = time.perf_counter()
    nothing = os.open(os.devnull, os.O_WRONLY)
    pid = os.posix_spawn(
        sys.executable, [sys.executable, *words], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, nothing, 1)]
    )
    os.close(nothing)
    _, status, used = os.wait4(pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"python {' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}")
    memory = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Used(time.perf_counter() - start, used.ru_utime + used.ru_stime, memory)


def compare(path: Path, repeats: int) -> list[dict[str, Any]]:
    """Each verb by each engine: the best times and the largest memory of the repeats."""
    rows = []
    for verb in VERBS:
        for engine in ENGINES:
            runs = [measured(["-m", "instrument", verb, str(path), "--engine", engine]) for _ in range(repeats)]
            row = {
                "verb": verb,
                "engine": engine,
                "seconds": round(min(run.seconds for run in runs), 2),
                "cpu_seconds": round(min(run.cpu for run in runs), 2),
                "peak_mb": round(max(run.memory for run in runs) / 1e6),
            }
            rows.append(row)
            told = f"{row['seconds']:6.2f} s  {row['cpu_seconds']:6.2f} s CPU  {row['peak_mb']:4} MB"
            print(f"{verb:6} {engine:8} {told}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--write", type=Path, metavar="FILE", help="only write the file of spans")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    if args.write:
        write(args.write, args.spans)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spans.jsonl"
        write(path, args.spans)
        result = {
            "what": f"{args.spans:,} spans, {path.stat().st_size / 1e6:.0f} MB of JSON lines",
            "machine": f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.0f} before, CPython {platform.python_version()}, instrument {__version__}",
            "rows": compare(path, args.repeats),
        }
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def write(path: Path, spans: int) -> None:
    """The file, the same for the same number of spans."""
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(lines(spans))


if __name__ == "__main__":
    main()
