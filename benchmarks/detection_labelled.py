"""Detection held against labels that people gave to traces: precision, recall, F1, their intervals, and half left out.

    python -m benchmarks.detection_labelled --data PATH… [--label CATEGORY] [--splits N] [--seed N] [--show]

PATH is a file of JSON lines (plain or xz) or a folder with such files. Two kinds of lines count, others are passed
over. A trace with labels: `trace.spans`, OpenInference spans inside one another (`span_name`, `span_id`,
`span_attributes`, `status_code`, `timestamp`, `child_spans`), and `labels.errors`, each with a `category`; it is
positive when one of them is CATEGORY. A run with a reward: `messages` in OpenAI's format and `reward`; those with
reward 1 should raise no alarm. The calls of a trace are its TOOL spans and the programs that the steps of an agent ran;
an alarm is a finding above `info`.

Half left out: the likeness from which on a question counts as reworded is chosen on one half of the traces, by F1 and
then by how near it is to the default, and judged on the other half; both ways, over N random halvings.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.detection_injection import START_NS, watch, wilson
from benchmarks.garden_shop import lines_of, steps_of
from instrument.detectors import default
from instrument.model import Failure, Span
from instrument.thresholds import DEFAULTS

TRACE = "1" * 32
LIKENESS = (0.6, 0.64, 0.68, 0.7, 0.72, 0.74, 0.76, 0.8, 0.85)
_PROGRAM = re.compile(r"```(?:python|py)?\s*\n(.*?)```", re.DOTALL)
_ANSWER = "final_answer"


class Labelled(NamedTuple):
    """A trace as its calls, and whether people found in it what is looked for."""

    name: str
    calls: list[Span]
    positive: bool


class Score(NamedTuple):
    """How often an alarm was right, wrong and missing."""

    right: int
    wrong: int
    missed: int

    @property
    def f1(self) -> float:
        total = 2 * self.right + self.wrong + self.missed
        return 2 * self.right / total if total else 0.0


def rows_of(paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for path in paths:
        for file in sorted(path.rglob("*.jsonl*")) if path.is_dir() else [path]:
            rows = (json.loads(line) for line in lines_of(file) if line.strip())
            yield from (row for row in rows if isinstance(row, dict))


def traces_of(rows: Sequence[dict[str, Any]], label: str) -> list[Labelled]:
    found = []
    for row in rows:
        if isinstance(row.get("trace"), dict) and isinstance(row.get("labels"), dict):
            positive = any(error.get("category") == label for error in row["labels"].get("errors", ()))
            found.append(Labelled(str(row.get("id", "")), calls_of(row["trace"]["spans"]), positive))
    return found


def calls_of(spans: Sequence[dict[str, Any]]) -> list[Span]:
    """The calls among the spans and all below them, in the order of their start."""
    calls = [call for one, above in walk(spans, None) if (call := call_of(one, above)) is not None]
    return sorted(calls, key=lambda call: call.start_ns)


def walk(
    spans: Sequence[dict[str, Any]], above: dict[str, Any] | None
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    for one in spans:
        yield one, above
        yield from walk(one["child_spans"], one)


def call_of(one: dict[str, Any], above: dict[str, Any] | None) -> Span | None:
    """A tool's span, or the program in the answer of a model that a step of the agent asked and then ran."""
    told = one["span_attributes"]
    kind = told.get("openinference.span.kind")
    if kind == "TOOL" and told.get("tool.name") != _ANSWER:
        return made(one, told.get("tool.name"), told.get("input.value", ""), one)
    if kind == "LLM" and above is not None and above["span_name"].startswith("Step "):
        program = _PROGRAM.search(told.get("llm.output_messages.0.message.content") or "")
        if program and f"{_ANSWER}(" not in program.group(1):
            return made(one, "program", program.group(1), above)
    return None


def made(one: dict[str, Any], name: str | None, asked: str, outcome: dict[str, Any]) -> Span:
    result = outcome["span_attributes"].get("output.value")
    error = Failure("ToolError", (result or "")[:500]) if outcome["status_code"] == "Error" else None
    at = datetime.fromisoformat(one["timestamp"]) if one.get("timestamp") else None
    return Span(
        trace_id=TRACE,
        span_id=one["span_id"],
        name=name or "tool",
        kind="tool",
        start_ns=START_NS if at is None else int(at.timestamp() * 1e9),
        duration_ns=500_000_000,
        status="ok" if error is None else "error",
        error=error,
        input={"arguments": " ".join(asked.split())},
        output=result,
    )


def alarms(trace: Labelled, reworded: float) -> bool:
    detectors = default(limits={"reworded": reworded})
    return any(found.severity != "info" for call in trace.calls for found in detectors.feed(call))


def score(traces: Sequence[Labelled], alarming: Sequence[bool]) -> Score:
    pairs = [(trace.positive, alarm) for trace, alarm in zip(traces, alarming, strict=True)]
    return Score(pairs.count((True, True)), pairs.count((False, True)), pairs.count((True, False)))


def left_out(traces: Sequence[Labelled], by_likeness: dict[float, list[bool]], rng: random.Random) -> Iterator[float]:
    """The F1 of each half by the likeness that is best on the other one; positives are halved as well."""
    order = sorted(rng.sample(range(len(traces)), len(traces)), key=lambda n: traces[n].positive)
    halves = order[::2], order[1::2]
    for chosen_on, judged_on in (halves, halves[::-1]):
        best = max(by_likeness, key=lambda one: (part(traces, by_likeness[one], chosen_on).f1, -far(one)))
        yield part(traces, by_likeness[best], judged_on).f1


def part(traces: Sequence[Labelled], alarming: Sequence[bool], places: Sequence[int]) -> Score:
    return score([traces[n] for n in places], [alarming[n] for n in places])


def far(likeness: float) -> float:
    return abs(likeness - DEFAULTS["reworded"])


def resampled(traces: Sequence[Labelled], alarming: Sequence[bool], rng: random.Random, draws: int) -> list[float]:
    """F1 of as many traces drawn again with replacement: what chance does to it."""
    return sorted(part(traces, alarming, rng.choices(range(len(traces)), k=len(traces))).f1 for _ in range(draws))


def between(values: Sequence[float]) -> str:
    """The middle 90% of sorted values."""
    return f"({values[len(values) // 20]:.2f}, {values[-1 - len(values) // 20]:.2f})"


def told(name: str, hits: int, total: int) -> str:
    low, high = wilson(hits, total)
    return f"{name} {hits} of {total} = {hits / max(1, total):.3f} ({max(0.0, low):.2f}, {high:.2f})"


def report(traces: Sequence[Labelled], rng: random.Random, splits: int, show: bool) -> None:
    by_likeness = {one: [alarms(trace, one) for trace in traces] for one in LIKENESS}
    alarming = by_likeness[DEFAULTS["reworded"]]
    found = score(traces, alarming)
    for trace, alarm in zip(traces, alarming, strict=True) if show else ():
        if alarm != trace.positive:
            print("missed" if trace.positive else "false alarm", trace.name)
    print(f"{len(traces)} traces, {sum(trace.positive for trace in traces)} positive")
    print(told("precision", found.right, found.right + found.wrong), end="  ")
    print(told("recall", found.right, found.right + found.missed), end="  ")
    print(f"F1 {found.f1:.3f} {between(resampled(traces, alarming, rng, 20 * splits))}")
    halves = sorted(one for _ in range(splits) for one in left_out(traces, by_likeness, rng))
    print(f"half left out: F1 {sum(halves) / len(halves):.3f} {between(halves)} over {splits} halvings")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--data", type=Path, nargs="+", required=True, metavar="PATH", help="JSON lines, or folders")
    options.add_argument("--label", default="Resource Abuse", help="the category looked for (default %(default)s)")
    options.add_argument("--splits", type=int, default=100, help="random halvings (default %(default)s)")
    options.add_argument("--seed", type=int, default=1, help="of all random choices (default %(default)s)")
    options.add_argument("--show", action="store_true", help="name the traces that were missed or wrongly told of")
    chosen = options.parse_args()
    rng, rows = random.Random(chosen.seed), list(rows_of(chosen.data))
    traces = traces_of(rows, chosen.label)
    runs = [steps_of(row["messages"]) for row in rows if row.get("reward") == 1 and "messages" in row]
    if not traces and not runs:
        print("there are neither labelled traces nor rewarded runs in the data", file=sys.stderr)
        return 2
    if traces:
        report(traces, rng, chosen.splits, chosen.show)
    if runs:
        detectors = default()
        print(told("alarms on successful runs", sum(bool(watch(run, rng, detectors)) for run in runs), len(runs)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
