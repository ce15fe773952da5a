"""Rules of `instrument.detectors.cycle`."""

from __future__ import annotations

import pytest

from tests.detector_runs import Tape, feed, names


def rounds(calls: str, times: int) -> Tape:
    tape = Tape()
    for letter in calls * times:
        tape.tool(letter, f"result of {letter}", at=letter)
    return tape


@pytest.mark.parametrize("calls", ["AB", "ABC", "ABCD", "ABCDE"])
def test_the_second_round_closes_a_cycle(calls: str) -> None:
    """A sequence of two to five calls that comes again is found with the last call of its second round."""
    tape = rounds(calls, 2)
    (found,) = (finding for finding in feed(tape.spans) if finding.detector != "restart")
    proof = [span.span_id for span in tape.spans]
    assert ("cycle", [*calls], proof) == (found.detector, found.data["calls"], found.span_ids)


@pytest.mark.parametrize("calls", ["AB", "ABC", "ABCDE"])
def test_a_round_that_is_not_closed_is_no_cycle(calls: str) -> None:
    """One call short of the second round nothing is said."""
    assert "cycle" not in names(feed(rounds(calls, 2).spans[:-1]))


def test_one_call_over_and_over_is_no_cycle() -> None:
    """That is a repeated call."""
    assert {"repeated_call"} == names(feed(rounds("A", 8).spans))


def test_a_round_with_other_results_is_progress() -> None:
    """The same calls with new results each round learn something."""
    tape = Tape()
    for n in range(5):
        tape.tool("status", f"{n} waiting", of="queue")
        tape.tool("take", f"item {n}", of="queue")
    assert [] == feed(tape.spans)


def test_the_calls_of_a_cycle_are_not_told_as_repeats_too() -> None:
    """One pattern, one finding: it doubles, it is told again."""
    found = [(one.detector, one.data["times"], one.data["calls"]) for one in feed(rounds("AB", 8).spans)]
    assert [("cycle", times, ["A", "B"]) for times in (2, 4, 8)] == found


def test_a_cycle_that_ended_is_told_anew() -> None:
    """After other work the same cycle is a second finding."""
    spans = [*rounds("AB", 2).spans, *rounds("vwxyz", 1).spans, *rounds("AB", 2).spans]
    assert 2 == len([finding for finding in feed(spans) if finding.detector == "cycle"])
