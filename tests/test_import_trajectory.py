"""Trajectories of thought, action and observation become traces."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from instrument.model import Failure, Span
from instrument.store.foreign import trajectory

STEPS = [
    {"thought": "Where is it?", "action": "find shop.py src\n", "observation": "src/shop.py", "execution_time": 0.2},
    {"response": "I run it.", "thought": "run", "action": "python src/shop.py", "observation": "Error: no stock"},
    {"thought": "Done.", "action": "", "observation": None},
]


def spans(row: Any) -> list[Span]:
    """The spans of a row."""
    return [one for one in trajectory.records(row, "x.traj", 10**18) if isinstance(one, Span)]


def test_an_answer_and_a_command_for_each_step() -> None:
    """A step without an action is an answer alone."""
    assert ["agent", "llm", "tool", "llm", "tool", "llm"] == [one.kind for one in spans({"trajectory": STEPS})]


def test_commands_are_named_by_their_first_word() -> None:
    """What stands after it is in the arguments."""
    found = [(one.name, one.input) for one in spans({"trajectory": STEPS}) if one.kind == "tool"]
    assert [
        ("find", {"command": "find shop.py src"}),
        ("python", {"command": "python src/shop.py"}),
    ] == found


def test_what_failed_says_so_itself() -> None:
    """There is no other sign in such files."""
    failures = [one.error for one in spans({"trajectory": STEPS}) if one.kind == "tool"]
    assert [None, Failure("ToolError", "Error: no stock")] == failures


def test_what_is_not_known_is_kept() -> None:
    """Beside the steps at the agent, within a step at its answer."""
    root, first, *_ = spans({"trajectory": STEPS, "info": {"exit_status": "submitted"}})
    assert ({"exit_status": "submitted"}, 0.2) == (
        root.attributes["imported.info"],
        first.attributes["imported.execution_time"],
    )


def test_what_is_there_twice_is_kept_once() -> None:
    """The history of a row is its steps again."""
    row = {"trajectory": STEPS, "history": ["a"], "environment": "e"}
    (root, *_) = [one for one in trajectory.records(row, "x") if isinstance(one, Span)]
    assert ["imported.environment"] == [name for name in root.attributes if name.startswith("imported.")]


def test_its_times_are_an_order_only() -> None:
    """And the trace says so."""
    assert "order only" == spans({"trajectory": STEPS})[0].attributes["instrument.times"]


@given(st.lists(st.dictionaries(st.sampled_from(sorted({key for step in STEPS for key in step})), st.integers())))
def test_parts_of_any_type_are_no_fault(steps: list[Any]) -> None:
    """Whatever the parts of a step are, there is an answer for it."""
    assert len(steps) == sum(one.kind == "llm" for one in spans({"trajectory": steps}))
