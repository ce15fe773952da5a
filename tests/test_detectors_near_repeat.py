"""Rules of `instrument.detectors.near_repeat`."""

from __future__ import annotations

import pytest

from tests.detector_runs import Tape, alarms, feed

WORDS = "when does high water come to the old stone harbour in spring".split()
LONG = (
    "the tide comes in twice each day here with more than five metres between low and high water under a full moon wind"
)


def ask(tape: Tape, question: str, answer: str) -> None:
    tape.tool("ask", answer, question=question)


def test_words_in_another_order_are_the_same_question() -> None:
    """Rewording moves words about."""
    tape = Tape()
    for n in range(3):
        ask(tape, " ".join(WORDS[n:] + WORDS[:n]), f"answer {n}")
    assert {"near_repeat"} == alarms(feed(tape.spans))


def test_what_another_tool_was_asked_does_not_count() -> None:
    """Though it had the same answer."""
    tape = Tape()
    for n, tool in enumerate(("ask", "search", "ask")):
        tape.tool(tool, "high at noon", question=" ".join(WORDS[n:] + WORDS[:n]))
    assert [] == feed(tape.spans)


def test_words_dropped_and_added_are_the_same_question() -> None:
    """Three of four words in common are enough."""
    tape = Tape()
    ask(tape, " ".join(WORDS), "one")
    ask(tape, " ".join(WORDS[2:]), "two")
    ask(tape, " ".join(["please", *WORDS]), "three")
    assert {"near_repeat"} == alarms(feed(tape.spans))


def test_scripts_without_blanks_are_compared_by_their_characters() -> None:
    """A question in Chinese, its parts moved about."""
    tape = Tape()
    for question in ("老港口春天什么时候涨潮", "春天老港口什么时候涨潮", "什么时候春天老港口涨潮"):
        ask(tape, question, f"answer {question[0]}")
    assert {"near_repeat"} == alarms(feed(tape.spans))


def test_other_names_in_other_scripts_are_other_names() -> None:
    """Letters outside of ASCII are letters."""
    tape = Tape()
    for city in ("東京", "大阪", "京都"):
        tape.tool("look_up", "a city", what=city)
    assert [] == feed(tape.spans)


def test_a_list_of_names_of_several_words_with_one_answer_is_work() -> None:
    """One name stands where the other has another: `Firma 1 GmbH`, `Firma 2 GmbH`."""
    tape = Tape()
    for number in range(6):
        tape.tool("geocode", [53.5, 10.0], name=f"Firma {number} GmbH")
    assert [] == feed(tape.spans)


def test_half_of_the_words_are_another_question() -> None:
    """Questions about one subject share many words."""
    tape = Tape()
    ask(tape, "how deep is the old stone harbour", "five metres")
    ask(tape, "who built the old stone harbour wall and when", "monks")
    ask(tape, "which boats lie in the old stone harbour now", "two")
    assert [] == feed(tape.spans)


def test_going_through_a_list_is_work() -> None:
    """The same sentence with another name each time asks about other things."""
    tape = Tape()
    for city in ("Rome", "Oslo", "Lima", "Cork", "Bonn", "Graz"):
        ask(tape, f"how high is the water at {city} this morning", f"{city} has some")
    assert [] == feed(tape.spans)


def test_the_same_short_answer_about_other_things_is_work() -> None:
    """`In stock` may be true of many things."""
    tape = Tape()
    for plant in ("fern", "moss", "lily", "iris", "sedge", "aster"):
        ask(tape, f"do you have one young {plant} for me", "in stock")
    assert [] == feed(tape.spans)


def test_the_same_long_answer_to_other_questions_is_found() -> None:
    """A long answer that is the same three times shows that the question was."""
    tape = Tape()
    for name in ("mia", "mia-li", "mia li"):
        tape.tool("customer", LONG, name=name)
    assert {"near_repeat"} == alarms(feed(tape.spans))


@pytest.mark.parametrize("values", [("Rome", "ROME", "rome "), ("1+2", "1 + 2", "1 +2")])
def test_case_and_blanks_of_names_make_no_difference(values: tuple[str, ...]) -> None:
    """The same name spelt another way, with the same result, is the same call."""
    tape = Tape()
    for value in values:
        tape.tool("look_up", "a city", what=value)
    assert {"near_repeat"} == alarms(feed(tape.spans))


@pytest.mark.parametrize("more", [("please", "again", "now"), ("kindly", "once", "really")])
def test_words_added_to_a_name_with_the_same_answer_are_the_same_question(more: tuple[str, ...]) -> None:
    """Even where no two of the variants resemble each other: each resembles the first."""
    tape = Tape()
    for value in ("W17", *(f"W17 {word}" for word in more)):
        tape.tool("look_up", "an order", what=value)
    assert {"near_repeat"} == alarms(feed(tape.spans))


def test_a_parameter_added_with_the_same_answer_is_the_same_question() -> None:
    """What was asked first is asked again with more."""
    tape = Tape()
    for more in ({}, {"limit": 5}, {"sort": "name"}):
        tape.tool("look_up", "an order", what="W17", **more)
    assert {"near_repeat"} == alarms(feed(tape.spans))


def test_other_things_done_to_one_object_are_work() -> None:
    """An order that is marked shipped, paid and closed is confirmed three times."""
    tape = Tape()
    for done in ("shipped", "paid", "closed"):
        tape.tool("update", "updated", order="W17", **{done: True})
    assert [] == feed(tape.spans)


def test_other_signs_are_other_calculations() -> None:
    """`3-2` is not `3+2`."""
    tape = Tape()
    for expression, result in (("3-2", 1), ("3+2", 5), ("3*2", 6), ("3/2", 1.5)):
        tape.tool("calculate", result, expression=expression)
    assert [] == feed(tape.spans)


def test_another_identifier_is_another_question() -> None:
    """Prose may be the same: the order it is about differs."""
    tape = Tape()
    for order in range(5):
        reason = "the plant came with broken leaves and wet soil"
        tape.tool("refund", "done", order=f"W{order}", in_money="EUR", reason=reason)
    assert [] == feed(tape.spans)


def test_polling_in_prose_is_no_finding() -> None:
    """The very same words with other results is polling."""
    tape = Tape()
    for n in range(8):
        ask(tape, " ".join(WORDS), f"in {n} hours")
    assert [] == feed(tape.spans)


def test_commands_after_other_work_are_new() -> None:
    """The tests are run again because something was edited in between."""
    tape = Tape()
    for flags in ("-q", "-x -q", "-q -v", "-q --lf"):
        tape.tool("shell", f"failed {flags}", command=f"cd /src && python -m pytest tests/test_a.py {flags}")
        tape.tool("shell", "", command=f"sed -i 's/a{flags}/b/' a.py")
    assert [] == feed(tape.spans)


def test_commands_in_direct_succession_are_found() -> None:
    """The same command three times with a flag moved about, and nothing done in between."""
    tape = Tape()
    for flags in ("-q -x", "-x -q", "-q -v -x"):
        tape.tool("shell", f"failed {flags}", command=f"cd /src && python -m pytest tests/test_a.py {flags}")
    assert {"near_repeat"} == alarms(feed(tape.spans))


def test_a_new_family_of_questions_is_told_by_itself() -> None:
    """A second question asked over and over is a second finding."""
    tape = Tape()
    for words in (WORDS, "please list every green fern that likes dry shade and poor soil".split()):
        for n in range(3):
            ask(tape, " ".join(words[n:] + words[:n]), f"answer {words[0]} {n}")
    assert 2 == len(feed(tape.spans))
