"""The loop breaker in flight: findings appear as records, and with `raise` the next repeat is refused."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from loguru import logger

from instrument import agent, flush, llm_call, tool
from instrument.errors import LoopDetected
from instrument.model import Finding
from instrument.testing import Recording, record

made: list[str] = []


@pytest.fixture(autouse=True)
def nothing_made() -> None:
    made.clear()


@tool
def search(query: str) -> str:
    made.append(query)
    return "nothing found"


@tool
def read(path: str) -> str:
    made.append(path)
    return f"content of {path}"


@agent
def run(times: int) -> None:
    for _ in range(times):
        search("the same question")


@agent
def wise() -> str:
    """It does something else when it is told that it loops."""
    try:
        for _ in range(8):
            search("the same question")
    except LoopDetected:
        return read("x.py")
    return ""


def test_repeat_is_found(recorded: Recording) -> None:
    """The same call with the same result over and over is a finding, while it goes on as well."""
    run(5)
    assert ["repeated_call"] == sorted({found.detector for found in recorded.findings})


def test_warn_lets_calls_go_on(recorded: Recording) -> None:
    """By default nothing is refused."""
    run(8)
    assert 8 == len(made)


def test_raise_refuses_the_fourth() -> None:
    """With `loops.action = raise` the call after the third repeat is not made."""
    with record(loops={"action": "raise"}), pytest.raises(LoopDetected, match="search was called 3 times"):
        run(8)
    assert 3 == len(made)


def test_refusal_lasts() -> None:
    """An agent that swallows the refusal is refused again."""

    @agent
    def stubborn() -> int:
        refused = 0
        for _ in range(8):
            try:
                search("the same question")
            except LoopDetected:
                refused += 1
        return refused

    with record(loops={"action": "raise"}):
        assert 5 == stubborn()


def test_other_calls_go_on() -> None:
    """With scope `call` only the repeated call is refused."""
    with record(loops={"action": "raise"}):
        assert "content of x.py" == wise()


def test_scope_run_shuts_all() -> None:
    """With scope `run` nothing goes on after the first refusal."""
    with record(loops={"action": "raise", "scope": "run"}), pytest.raises(LoopDetected, match="run is shut"):
        wise()


def test_another_trace_is_not_judged_by_this_one() -> None:
    """What one run has tried says nothing about another."""
    with record(loops={"action": "raise"}):
        for _ in range(5):
            run(2)
    assert 10 == len(made)


@agent
def asks_three_times_and_reads() -> tuple[int, str]:
    """Five equal questions, refusals swallowed, then something else."""
    refused = 0
    for _ in range(5):
        try:
            search("the same question")
        except LoopDetected:
            refused += 1
    return refused, read("x.py")


@pytest.mark.parametrize(("answer", "refused"), [(True, 2), (False, 0)])
def test_a_function_decides(answer: bool, refused: int) -> None:
    """It is given the finding before the call that would go on, and a true answer refuses it."""
    seen: list[Finding] = []

    def decide(found: Finding) -> bool:
        seen.append(found)
        return answer

    with record(loops={"action": decide}):
        assert (refused, "content of x.py") == asks_three_times_and_reads()
    assert ["repeated_call"] * 2 == [found.detector for found in seen]


def never(found: Finding) -> bool:
    """Refuses nothing."""
    return False


def test_the_function_may_be_named() -> None:
    """As `package.module:function`, which is how files and the environment give it."""
    with record(loops={"action": f"{__name__}:never"}):
        assert (0, "content of x.py") == asks_three_times_and_reads()


def test_a_function_that_cannot_be_imported_refuses_nothing() -> None:
    """The program runs on, and one sentence says so."""
    said: list[str] = []
    handler = logger.add(said.append, format="{message}")
    with record(loops={"action": "no.such.module:decide"}):
        assert (0, "content of x.py") == asks_three_times_and_reads()
    logger.remove(handler)
    assert "the function no.such.module:decide of loops.action cannot be used" in "".join(said)


def test_a_function_that_fails_refuses_nothing() -> None:
    """Its fault does not reach the program."""

    def decide(found: Finding) -> bool:
        raise ZeroDivisionError

    with record(loops={"action": decide}):
        assert (0, "content of x.py") == asks_three_times_and_reads()


def test_the_message_says_which_how_often_and_since_when() -> None:
    """So that whoever catches it, a model or a person, knows what to change."""
    with record(loops={"action": "raise"}), pytest.raises(LoopDetected) as caught:
        run(8)
    assert re.fullmatch(
        r"search was called 3 times with the same arguments and had the same result each time, since "
        r"\d\d:\d\d:\d\d UTC\. search was not called again: try something else\.",
        str(caught.value),
    )


def test_asking_a_model_in_between_changes_nothing() -> None:
    """An agent thinks before every call, with another prompt each time: the call is the same."""

    @llm_call(model="m")
    def think(turn: int) -> str:
        return f"thought {turn}"

    @agent
    def thinks_and_searches() -> None:
        for turn in range(8):
            think(turn)
            search("the same question")

    with record(loops={"action": "raise"}), pytest.raises(LoopDetected):
        thinks_and_searches()
    assert 3 == len(made)


def test_nearly_the_same_question_is_refused() -> None:
    """What is found behind the program, because it has to be read, refuses as well once it is found."""

    @agent
    def rewords() -> int:
        for said in ("", "please ", "now ", "again "):
            search(f"{said}when is the next high tide in the old harbour")
            flush()
        return len(made)

    with record(loops={"action": "raise"}), pytest.raises(LoopDetected, match="asked nearly the same 3 times"):
        rewords()
    assert 3 == len(made)


def test_refused_calls_are_no_failures_of_the_tool() -> None:
    """They were not made: they prove nothing, and another question to the tool goes on."""

    @agent
    def insists() -> str:
        for turn in range(12):
            with suppress(LoopDetected):
                search(f"{'please ' * (turn % 2)}when is the next high tide in the old harbour")
            flush()
        return search("who may enter the yard")

    with record(loops={"action": "raise"}) as recording:
        assert "nothing found" == insists()
    assert {"near_repeat"} == {found.detector for found in recording.findings}


def test_off_finds_nothing() -> None:
    """`loops.action = off` switches the detectors off."""
    with record(loops={"action": "off"}) as recording:
        run(8)
    assert [] == recording.findings
