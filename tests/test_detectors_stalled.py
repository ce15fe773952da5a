"""Rules of `instrument.detectors.stalled`."""

from __future__ import annotations

import pytest

from instrument.detectors import default
from instrument.model import Open
from tests.detector_runs import SECOND, START_NS, TRACE, Tape, feed


def opened(name: str = "search", kind: str = "tool", span_id: str = "1" * 16, parent_id: str | None = None) -> Open:
    return Open(trace_id=TRACE, span_id=span_id, parent_id=parent_id, start_ns=START_NS, kind=kind, name=name)


@pytest.mark.parametrize(("age", "told"), [(301.4, "301 s"), (999.7, "1,000 s"), (86_400, "86,400 s")])
def test_the_age_is_told_in_digits(age: float, told: str) -> None:
    """A sentence for people holds no exponent, however long it has been."""
    found = default().tick(START_NS + int(age * SECOND), [opened()])
    assert f"search has been open for {told}" in found[0].message


@pytest.mark.parametrize("kind", ["tool", "llm", "embedding", "retrieval"])
def test_a_call_open_for_five_minutes_is_stalled(kind: str) -> None:
    """Found while it is open, by its age."""
    found = default().tick(START_NS + 301 * SECOND, [opened(kind=kind)])
    assert "search has been open for 301 s" in found[0].message


def test_younger_calls_are_at_work() -> None:
    """Below the limit nothing is said."""
    assert [] == default().tick(START_NS + 299 * SECOND, [opened()])


@pytest.mark.parametrize("kind", ["agent", "step", "workflow", "span"])
def test_what_holds_other_work_may_take_its_time(kind: str) -> None:
    """Agents and steps run for hours."""
    assert [] == default().tick(START_NS + 9999 * SECOND, [opened(kind=kind)])


def test_a_call_with_a_child_is_at_work() -> None:
    """A tool that runs an agent of its own is not stalled, not even between two of its children."""
    watch = default()
    outer, inner = opened(), opened("chat", "llm", "2" * 16, parent_id="1" * 16)
    watch.tick(START_NS + 10 * SECOND, [outer, inner])
    assert [] == watch.tick(START_NS + 400 * SECOND, [outer])


def test_a_call_that_is_usually_long_is_given_its_time() -> None:
    """Where a name's history says ten minutes, five are not stalled."""
    watch = default()
    tape = Tape()
    for n in range(30):
        tape.span("search", "tool", seconds=600 + n)
    feed(tape.spans, watch)
    assert [] == watch.tick(START_NS + 900 * SECOND, [opened()])


def test_it_is_told_once_and_again_at_twice_the_age() -> None:
    """Not at every tick, and as one pattern."""
    watch = default()
    found = {age: watch.tick(START_NS + age * SECOND, [opened()]) for age in range(0, 1300, 10)}
    told = [(age, one.data.get("again_of")) for age, findings in found.items() for one in findings]
    assert [(300, None), (600, "1" * 16), (1200, "1" * 16)] == told
