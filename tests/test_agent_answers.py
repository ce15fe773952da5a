"""Rules of `agent.answers`."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.answers import PLAN, REVIEW, AnswerError, Steps


@pytest.mark.parametrize("text", ['{"steps": ["a"]}', '```json\n{"steps": ["a"]}\n```', ' \n{"steps":["a"]}\n'])
def test_an_answer_is_read_with_or_without_a_fence(text: str) -> None:
    """JSON is read whether or not the model puts a Markdown fence around it."""
    assert Steps(["a"]) == PLAN.read(text)


def test_a_number_given_as_text_is_taken() -> None:
    """A line that is given as text, as small models do, is still a line."""
    text = '{"summary": "", "findings": [{"path": "a.py", "line": "3", "severity": "info", "rule": "", '
    assert 3 == REVIEW.read(text + '"message": "", "suggestion": ""}]}').findings[0].line


def test_an_unreadable_answer_is_quoted() -> None:
    """The error shows how the text begins, on one line and cut."""
    with pytest.raises(AnswerError, match=r"'I think that x+…'$"):
        PLAN.read("I think\nthat " + "x" * 500)


@settings(deadline=None)
@given(st.text())
def test_no_text_breaks_the_reading(text: str) -> None:
    """Any text is either an answer or an `AnswerError`."""
    try:
        PLAN.read(text)
    except AnswerError:
        pass
