"""Rules of `instrument.detectors.no_progress` and `instrument.detectors.same_answer`."""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.detector_runs import Tape, alarms, feed

WORDS = "where is a manual for this red pump of our old shed".split()


def search(tape: Tape, n: int, answer: str) -> None:
    """A question that shares about two thirds of its words with the others."""
    query = [*WORDS[n % 11 :], *(f"{letter}{n}" for letter in "uvwxyz"), *WORDS[: n % 11]]
    tape.tool("seek", answer, query=" ".join(query))


def test_a_search_without_news_is_found() -> None:
    """A question and three that resemble it, whose results say nothing that was not known."""
    tape = Tape()
    for n, silence in enumerate([*permutations(("nothing", "was", "found"))][:4]):
        search(tape, n, " ".join(silence))
    assert {"no_progress"} == alarms(feed(tape.spans))


def test_a_third_of_the_words_is_likeness_enough_where_the_answer_says_no_more() -> None:
    """`0 results for …` thrice more for questions that share four words of ten."""
    tape = Tape()
    for n in range(4):
        query = " ".join([*WORDS[n:4], *(f"{letter}{n}" for letter in "uvwxyz"), *WORDS[:n]])
        tape.tool("seek", f"0 results for {query}", query=query)
    assert {"no_progress"} == alarms(feed(tape.spans))


def test_a_program_that_prints_itself_is_no_silence_yet() -> None:
    """What a program prints is part of it; four that resemble each other may be four corrections."""
    tape = Tape()
    for n in range(5):
        text = " ".join([*WORDS, *(f"{letter}{n}" for letter in "uvwxyz")][n:])
        tape.tool("interpreter", text, code=f"task{n} = ('{text}')\nprint(task{n})")
    assert set() == alarms(feed(tape.spans))


def test_news_end_the_silence() -> None:
    """A search that finds something now and then goes on."""
    tape = Tape()
    for n, silence in enumerate(permutations(("nothing", "was", "found"))):
        search(tape, n, " ".join(silence) if n % 4 else f"page{n} tells about valves{n} and screws{n}")
    assert [] == feed(tape.spans)


def test_other_work_ends_the_silence() -> None:
    """What is asked again after it may be found now."""
    tape = Tape()
    for n, silence in enumerate([*permutations(("nothing", "was", "found"))] * 2):
        search(tape, n, " ".join(silence))
        if n % 2:
            tape.tool("read", f"line {n}", line=n)
    assert [] == feed(tape.spans)


def test_a_count_is_news() -> None:
    """Short answers that are numbers are answers."""
    tape = Tape()
    for n in range(9):
        search(tape, n, str(20 + n))
    assert [] == feed(tape.spans)


def test_a_batch_of_writes_is_work() -> None:
    """Confirmations say nothing new, but each call is about another thing."""
    tape = Tape()
    for n in range(20):
        tape.tool("update", {"status": "updated"}, order=f"W{n}", shipped=True)
    assert [] == feed(tape.spans)


def test_notes_are_no_search() -> None:
    """A tool that gives nothing back has nothing to say."""
    tape = Tape()
    for n in range(9):
        tape.tool("think", "", thought=" ".join([*WORDS[n:], *(f"{letter}{n}" for letter in "uvwxyz"), *WORDS[:n]]))
    assert [] == feed(tape.spans)


def test_empty_results_after_full_ones_are_found() -> None:
    """A tool that used to find something finds nothing for four questions in a row."""
    tape = Tape()
    for day in range(3):
        tape.tool("flights", [f"HA{day}"], day=day)
    for day in range(3, 7):
        tape.tool("flights", [], day=day)
    assert {"no_progress"} == alarms(feed(tape.spans))


@pytest.mark.parametrize("answer", ["in stock", 7])
def test_the_same_answer_with_content_is_a_hint_only(answer: object) -> None:
    """`In stock` four times may be true."""
    tape = Tape()
    tape.tool("stock", "sold out", plant=99)
    for plant in range(5):
        tape.tool("stock", answer, plant=plant)
    assert ["info"] == [finding.severity for finding in feed(tape.spans)]


def test_questions_that_are_not_known_are_not_different_ones() -> None:
    """Where arguments are not recorded it may have been one."""
    tape = Tape()
    for result in ("sold out", *["in stock"] * 6):
        tape.span("stock", "tool", output=result)
    assert [] == feed(tape.spans)


def test_a_tool_that_only_confirms_is_not_meant() -> None:
    """One answer to everything from the start is what this tool says."""
    tape = Tape()
    for n in range(20):
        tape.tool("log", [], line=n)
    assert [] == feed(tape.spans)
