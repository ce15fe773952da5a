"""The contract of the detectors, measured small: what `benchmarks/detection_injection.py` prints at length."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from benchmarks.detection_injection import draw, untouched
from benchmarks.garden_shop import Step, conversations, runs_in
from benchmarks.injected_patterns import PATTERNS


@pytest.fixture(scope="module")
def learned() -> tuple[int, list[list[Step]], dict[str, object]]:
    runs = list(conversations(random.Random(3), 120))
    quiet, history = untouched(random.Random(4), runs, show=False)
    return len(runs), quiet, history


def test_untouched_runs_do_not_alarm(learned: tuple[int, list[list[Step]], dict[str, object]]) -> None:
    """Alarms on at most 2% of the successful runs."""
    number, quiet, _ = learned
    assert number - len(quiet) <= 0.02 * number


@pytest.mark.parametrize("pattern", PATTERNS)
def test_injected_patterns_are_found_in_time(
    pattern: str, learned: tuple[int, list[list[Step]], dict[str, object]]
) -> None:
    """At least 95% of the injections of each pattern are found by their third repeat."""
    _, quiet, history = learned
    rng, draws = random.Random(5), 10
    found = [len(draw(rng, quiet, history, inject, draws)[0]) for inject in PATTERNS[pattern].values()]
    assert sum(found) >= 0.95 * draws * len(found)


def test_runs_are_read_from_message_lists(tmp_path: Path) -> None:
    """One conversation a line, as a list or under `messages`; failed ones are left out."""
    call = {"id": "c1", "function": {"name": "look", "arguments": '{"at": 1}'}}
    messages = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "a wall"},
    ]
    lines = [messages, {"messages": messages, "reward": 1}, {"messages": messages, "reward": 0}]
    file = tmp_path / "runs.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    assert [[Step("look", '{"at": 1}', "a wall")]] * 2 == list(runs_in(file))
