"""Rules of `instrument.detectors.restart`."""

from __future__ import annotations

from tests.detector_runs import Tape, alarms, feed


def run_twice(steps: int, *, changed: int = 0, between: int = 4) -> Tape:
    tape = Tape()
    for again in (0, 1):
        for n in range(steps):
            tape.tool("step", f"done {n}{' otherwise' * (again if n < changed else 0)}", number=n)
        for n in range(between):
            tape.tool("work", f"{again} {n}", piece=f"{again}-{n}")
    return tape


def test_the_first_three_steps_again_are_a_restart() -> None:
    """Found with the third step, which names both beginnings."""
    (found,) = feed(run_twice(3).spans)
    assert (6, 2) == (len(found.span_ids), found.data["times"])


def test_two_steps_again_are_a_habit() -> None:
    """Looking up and reading once more is no restart."""
    tape = Tape()
    for n in range(2):
        tape.tool("find", "the file", name="a.py")
        tape.tool("read", "its text", name="a.py")
        tape.tool("edit", "edited", name="a.py", text=f"version {n}")
    assert [] == feed(tape.spans)


def test_the_same_steps_with_other_results_are_no_restart() -> None:
    """Watching three things in turn, which change, is polling."""
    assert [] == feed(run_twice(3, changed=3).spans)


def test_one_changed_result_is_still_a_restart() -> None:
    """The world may have moved a little since the first beginning."""
    assert {"restart"} == alarms(feed(run_twice(3, changed=1).spans))


def test_one_call_three_times_is_no_beginning() -> None:
    """First steps that are all the same are a repeated call."""
    tape = Tape()
    for _ in range(6):
        tape.tool("ping", "pong", host="a")
    assert {"repeated_call"} == alarms(feed(tape.spans))


def test_how_many_steps_is_a_setting() -> None:
    """With first_steps=5 three steps are not enough."""
    assert [] == feed(run_twice(3).spans, first_steps=5)
