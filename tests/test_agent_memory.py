"""Rules of `agent.memory`."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.memory import History, Turn, fitted, split, tokens_of


def words(text: str) -> int:
    """A count of tokens that is easy to follow."""
    return len(text.split())


@st.composite
def turn(draw: st.DrawFn) -> Turn:
    """A turn with reasoning, text, calls and their outputs."""
    calls = draw(st.lists(st.integers(0, 10**6).map(str), max_size=3))
    outputs = draw(st.lists(st.text('a b\n"\\é', max_size=150), min_size=len(calls), max_size=len(calls)))
    said: list[dict[str, Any]] = (
        [{"type": "reasoning", "summary": [], "encrypted_content": "e e e"}] if draw(st.booleans()) else []
    )
    said += [{"type": "function_call", "call_id": each, "name": "f", "arguments": "{}"} for each in calls]
    answered = [
        {"type": "function_call_output", "call_id": each, "output": json.dumps({"ok": True, "result": output})}
        for each, output in zip(calls, outputs, strict=True)
    ]
    return (*said, *answered) or ({"role": "assistant", "content": draw(st.text(max_size=50))},)


TURNS = st.lists(turn(), max_size=8).map(tuple)


@settings(deadline=None)
@given(TURNS, st.integers(1, 12), st.integers(0, 200))
def test_a_call_never_stays_without_its_output(turns: tuple[Turn, ...], most: int, room: int) -> None:
    """For all histories and limits, what stays are whole turns: reasoning, calls and outputs of each together."""
    _, staying = split(turns, most, room, words)
    kept = [(item.get("type"), item.get("call_id")) for item in History(fitted(staying, room, words)).items()]
    whole = [(item.get("type"), item.get("call_id")) for turn in turns[len(turns) - len(staying) :] for item in turn]
    assert whole == kept


@settings(deadline=None)
@given(TURNS, st.integers(1, 12), st.integers(0, 200))
def test_what_stays_fits(turns: tuple[Turn, ...], most: int, room: int) -> None:
    """For all histories, what stays is within both limits, unless it is a single turn."""
    _, staying = split(turns, most, room, words)
    assert len(staying) <= 1 or (len(staying) <= most and tokens_of(staying, words) <= room)


@settings(deadline=None)
@given(TURNS, st.integers(1, 12), st.integers(0, 200))
def test_nothing_is_lost_in_between(turns: tuple[Turn, ...], most: int, room: int) -> None:
    """For all histories, what leaves and what stays are together the whole, oldest first, and the newest stays."""
    leaving, staying = split(turns, most, room, words)
    assert (turns, turns[-1:]) == (leaving + staying, staying[-1:])


@settings(deadline=None)
@given(TURNS, st.integers(0, 400))
def test_shortened_outputs_are_still_answers(turns: tuple[Turn, ...], room: int) -> None:
    """For all histories, an output that was cut to fit is an object with `ok` and says that it was cut."""
    for before, after in zip(turns, fitted(turns, room, len), strict=True):
        for item, cut in zip(before, after, strict=True):
            if item != cut:
                told = json.loads(cut["output"])
                assert told["ok"] is True
                assert told["result"].endswith("(cut to fit the context)")


def test_a_short_history_stays_as_it_is() -> None:
    """Within both limits nothing leaves."""
    turns = (({"role": "user", "content": "a"},), ({"role": "user", "content": "b"},))
    assert ((), turns) == split(turns, 2, 100, words)


def test_too_many_turns_leave_by_half() -> None:
    """One turn too many makes the older half leave, so that there is room for a while."""
    turns: tuple[Turn, ...] = tuple(({"role": "user", "content": str(n)},) for n in range(5))
    assert 2 == len(split(turns, 4, 1000, words)[1])


def test_a_turn_that_is_too_long_alone_is_cut_down() -> None:
    """The newest turn cannot leave; its longest outputs are shortened until it fits."""
    output = json.dumps({"ok": True, "result": "word " * 5000})
    turns: tuple[Turn, ...] = (({"type": "function_call_output", "call_id": "1", "output": output},),)
    assert tokens_of(fitted(turns, 1000, words), words) <= 1000


def test_the_summary_stands_before_the_turns() -> None:
    """What has left is told first."""
    items = History((({"role": "user", "content": "now"},),), "before").items()
    assert ["SUMMARY OF EARLIER STEPS:\nbefore", "now"] == [item["content"] for item in items]
