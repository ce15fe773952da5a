"""Rules of `agent.planning`."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.answers import StepVerdict
from agent.planning import FALLBACK, Plan, Step, read_plan

VERDICTS = st.lists(
    st.builds(
        StepVerdict, step=st.integers(-2, 8), status=st.sampled_from(["done", "failed", "redo"]), reason=st.text()
    )
)


def plan(*texts: str) -> Plan:
    """A plan of which nothing is done."""
    return Plan(tuple(map(Step, texts)))


def test_a_plan_is_read_in_order() -> None:
    """The steps come as the model gave them, empty ones left out."""
    assert plan("read", "answer") == read_plan('{"steps": ["read", "  ", "answer"]}')


@pytest.mark.parametrize(
    "text", ["", "First I will read the file.", "[]", '{"steps": []}', '{"steps": [" "]}', '{"steps": 3}']
)
def test_an_unreadable_plan_is_one_step(text: str) -> None:
    """Without a plan the agent proceeds step by step."""
    assert plan(FALLBACK) == read_plan(text)


def test_a_plan_has_an_end() -> None:
    """A model that plans without end is cut."""
    assert 12 == len(read_plan(json.dumps({"steps": [f"step {n}" for n in range(100)]})).steps)


def test_the_first_open_step_is_current() -> None:
    """What is done moves the current step on; the others remain."""
    judged = plan("a", "b", "c").judged([StepVerdict(1, "done", "")])
    assert ("a", "b", "c") == (
        judged.finished[0].text,
        judged.current and judged.current.text,
        judged.remaining[0].text,
    )


def test_a_failed_step_is_finished_with_its_reason() -> None:
    """A step that failed is not tried again and keeps the reason."""
    assert (Step("a", "failed", "no such file"),) == plan("a").judged(
        [StepVerdict(1, "failed", "no such file")]
    ).finished


def test_a_step_can_be_redone_twice() -> None:
    """A step that is sent back a third time has failed, so that a plan comes to an end."""
    judged = plan("a")
    for _ in range(3):
        assert judged.current is not None
        judged = judged.judged([StepVerdict(1, "redo", "wrong")])
    assert Step("a", "failed", "wrong", 2) == judged.steps[0]


@settings(deadline=None)
@given(st.lists(VERDICTS, max_size=5))
def test_no_reflection_loses_a_step(reflections: list[list[StepVerdict]]) -> None:
    """For all verdicts, each step stays in its place and is finished, current or remaining."""
    judged = plan("a", "b", "c", "d")
    for verdicts in reflections:
        judged = judged.judged(verdicts)
    parts = [*judged.finished, *([judged.current] if judged.current else []), *judged.remaining]
    assert (["a", "b", "c", "d"], 4) == ([step.text for step in judged.steps], len(parts))
