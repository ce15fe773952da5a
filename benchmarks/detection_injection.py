"""Failure patterns injected into successful runs: how many are found, how soon, and how often untouched runs alarm.

    python -m benchmarks.detection_injection [--runs FILE…] [--conversations N] [--draws N] [--seed N] [--show]

Without `--runs` the runs are generated conversations of an invented garden shop. FILE holds one run a line: a list of
messages in OpenAI's format, or an object with `messages` and perhaps `reward` (only runs with reward 1 are taken); it
may be compressed (xz). What is usual is learned from the untouched runs, which are gone through again where they are
few: the agent of such runs has made them before. Each form of each pattern is injected at random places of random runs,
the spans are fed to the detectors one by one, and a pattern counts as found when a finding (severity above `info`) is
given between its beginning and its third repeat: the third call after the first one that brought nothing new, the third
call of a tool beyond three times what nine of ten successful runs needed (or beyond five more, where that is more).
Exits with 1 below 95% recall of any pattern or above 2% alarms.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from math import sqrt
from pathlib import Path
from typing import Any

from msgspec import Raw

from benchmarks.garden_shop import Step, conversations, runs_in
from benchmarks.injected_patterns import CALLS_SEEN, PATTERNS, TIMES_SEEN, Pattern
from instrument.detectors import Detectors, default
from instrument.model import Failure, Finding, Span, Usage

START_NS = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
ROOT = "f" * 16
RECALL = 0.95
ALARMS = 0.02
EARLIER_RUNS = 100
"""So many runs of an agent are taken to have been made before, in the same ways."""


def spans(steps: Sequence[Step], rng: random.Random, trace: str) -> Iterator[tuple[int, Span]]:
    """For each step the model call that asked for it and the tool call, with the number of the step; then the root."""
    tools = [{"type": "function", "function": {"name": name}} for name in sorted({s.tool for s in steps if s.offered})]
    for n, step in enumerate(steps):
        at = START_NS + 120 * n * SECOND
        yield n, model_call(step, {"messages": [{"turn": n}], "tools": tools}, at, trace, rng)
        yield n, tool_call(step, at + 60 * SECOND, trace, rng)
    yield len(steps), span(trace, "agent", "run", START_NS, 1, parent_id=None)


def model_call(step: Step, prompt: dict[str, Any], at: int, trace: str, rng: random.Random) -> Span:
    turn = prompt["messages"][0]["turn"]
    asks = {"type": "tool_call", "name": step.tool, "arguments": step.arguments}
    return span(
        trace,
        "llm",
        "chat",
        at,
        int(SECOND * rng.lognormvariate(0, 0.5)),
        input=raw(prompt),
        output=raw({"messages": [{"parts": [asks]}]}),
        usage=Usage(input=step.prompt or 2000 + 300 * turn, output=20),
        attributes={"gen_ai.response.finish_reasons": [step.finish]},
    )


def tool_call(step: Step, at: int, trace: str, rng: random.Random) -> Span:
    return span(
        trace,
        "tool",
        step.tool,
        at,
        int(SECOND * (step.seconds or 0.5 * rng.lognormvariate(0, 0.5))),
        error=Failure(type="ToolError", message=step.result) if step.failed else None,
        input=raw({"arguments": step.arguments}),
        output=raw(step.result),
    )


def span(trace: str, kind: str, name: str, at: int, duration: int, **fields: Any) -> Span:
    fields.setdefault("parent_id", ROOT)
    status = "error" if fields.get("error") else "ok"
    return Span(
        trace_id=trace,
        span_id=ROOT if kind == "agent" else f"{at // SECOND:016x}",
        kind=kind,
        name=name,
        start_ns=at,
        duration_ns=duration,
        status=status,
        **fields,
    )


def raw(value: Any) -> Raw:
    return Raw(json.dumps(value).encode())


def watch(steps: Sequence[Step], rng: random.Random, detectors: Detectors) -> list[tuple[int, Finding]]:
    """The findings above `info` in a run, each with the number of the step that completed it."""
    trace = f"{rng.getrandbits(128):032x}"
    seen = [(n, finding) for n, span in spans(steps, rng, trace) for finding in detectors.feed(span)]
    return [(n, finding) for n, finding in seen if finding.severity != "info"]


def wilson(hits: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """The interval of Wilson for a share."""
    if not total:
        return 0.0, 1.0
    p, d = hits / total, 1 + z * z / total
    half, mid = z * sqrt(p * (1 - p) / total + z * z / (4 * total * total)) / d, (p + z * z / (2 * total)) / d
    return mid - half, mid + half


def share(hits: int, total: int) -> str:
    low, high = wilson(hits, total)
    return f"{hits:5d} of {total:5d} = {hits / max(1, total):.3f} ({low:.3f}, {high:.3f})"


def untouched(rng: random.Random, runs: list[list[Step]], show: bool) -> tuple[list[list[Step]], dict[str, Any]]:
    """Feed the runs one after the other and print how many alarm; gives back the others and the history learned."""
    detectors, by, quiet = default(), Counter[str](), []
    for run in runs:
        found = watch(run, rng, detectors)
        by.update({finding.detector for _, finding in found})
        if not found:
            quiet.append(run)
            remember(run)
        for _, finding in found if show else ():
            print("alarm:", re.sub(r"\s+", " ", finding.message)[:200])
    print(f"{'alarms on untouched runs':51s} {share(len(runs) - len(quiet), len(runs))}  {dict(by)}")
    kept = [run for run in quiet if run]
    for _ in range(max(0, EARLIER_RUNS // max(1, len(kept)))):
        for run in kept:
            watch(run, rng, detectors)
            remember(run)
    return kept, detectors.history.save()


def remember(run: list[Step]) -> None:
    """Take the calls of a successful run into what is known to be usual."""
    for tool, times in Counter(step.tool for step in run).items():
        TIMES_SEEN[tool] += times
        CALLS_SEEN.setdefault(tool, []).append(times)


def measure(rng: random.Random, runs: list[list[Step]], history: dict[str, Any], draws: int, show: bool) -> bool:
    """Print the table; whether every pattern reached 95%."""
    good = True
    for pattern, forms in PATTERNS.items():
        hits, total = 0, 0
        for form, inject in forms.items():
            needed, missed, by = draw(rng, runs, history, inject, draws)
            hits, total = hits + len(needed), total + draws
            middle = sorted(needed)[len(needed) // 2] if needed else 0
            named = ", ".join(f"{name} {times}" for name, times in by.most_common(3))
            print(f"  {pattern:20s} {form:28s} {share(len(needed), draws)}  median step {middle:2d}  {named}")
            for steps in missed if show else ():
                print("    missed:", [step[:3] for step in steps])
        good = good and hits >= RECALL * total
        print(f"{pattern:51s} {share(hits, total)}")
    return good


def draw(
    rng: random.Random, runs: list[list[Step]], history: dict[str, Any], inject: Pattern, draws: int
) -> tuple[list[int], list[list[Step]], Counter[str]]:
    """Inject and watch: after how many steps it was found, the steps where it was not, and who found it."""
    needed, missed, by = [], [], Counter[str]()
    injections = (inject(rng, list(rng.choice(runs))) for _ in range(100 * draws))
    for one in islice((one for one in injections if one is not None), draws):
        hits = [(n, f) for n, f in watch(one.steps, rng, default(history=history)) if n >= one.begin]
        if hits and hits[0][0] <= one.deadline:
            needed.append(hits[0][0] - one.begin + 1)
            by.update({finding.detector for n, finding in hits if n == hits[0][0]})
        else:
            missed.append(one.steps[one.begin : one.deadline + 1])
    return needed, missed, by


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument(
        "--runs", type=Path, nargs="+", metavar="FILE", help="JSON lines of OpenAI message lists; else generated ones"
    )
    options.add_argument("--conversations", type=int, default=400, help="generated runs (default %(default)s)")
    options.add_argument("--draws", type=int, default=200, help="injections of each form (default %(default)s)")
    options.add_argument("--seed", type=int, default=1, help="of all random choices (default %(default)s)")
    options.add_argument("--show", action="store_true", help="print what was missed and what alarmed")
    chosen = options.parse_args()
    rng = random.Random(chosen.seed)
    runs = [run for file in chosen.runs for run in runs_in(file)] if chosen.runs else []
    runs = [run for run in runs if run] or list(conversations(rng, chosen.conversations))
    quiet, history = untouched(rng, runs, chosen.show)
    good = measure(rng, quiet, history, chosen.draws, chosen.show)
    return 0 if good and len(quiet) >= (1 - ALARMS) * len([run for run in runs if run]) else 1


if __name__ == "__main__":
    sys.exit(main())
