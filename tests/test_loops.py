"""The loop breaker in flight: findings appear as records, and with `raise` the next repeat is refused."""

from __future__ import annotations

import pytest

from instrument import agent, tool
from instrument.errors import LoopDetected
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

    @agent
    def wise() -> str:
        try:
            for _ in range(8):
                search("the same question")
        except LoopDetected:
            return read("x.py")
        return ""

    with record(loops={"action": "raise"}):
        assert "content of x.py" == wise()


def test_scope_run_shuts_all() -> None:
    """With scope `run` nothing goes on after the first refusal."""

    @agent
    def wise() -> str:
        try:
            for _ in range(8):
                search("the same question")
        except LoopDetected:
            return read("x.py")
        return ""

    with record(loops={"action": "raise", "scope": "run"}), pytest.raises(LoopDetected, match="run is shut"):
        wise()


def test_another_trace_is_not_judged_by_this_one() -> None:
    """What one run has tried says nothing about another."""
    with record(loops={"action": "raise"}):
        for _ in range(5):
            run(2)
    assert 10 == len(made)


def test_off_finds_nothing() -> None:
    """`loops.action = off` switches the detectors off."""
    with record(loops={"action": "off"}) as recording:
        run(8)
    assert [] == recording.findings
