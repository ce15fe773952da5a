"""Rules of `agent.registry`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import ModelError, ToolError
from agent.registry import ToolRegistry
from instrument import BudgetExceeded, LoopDetected, tool
from instrument.testing import record


@tool
def area(width: int, height: int | None = None, unit: str = "m") -> str:
    """The area of a room.

    Squares have no height.

    width: how wide it is
    unit: of the width
    """
    return f"{width * (height or width)} {unit}2"


@pytest.fixture(autouse=True, scope="module")
def recorded_in_memory() -> Iterator[None]:
    """Nothing that these tests call leaves files behind."""
    with record():
        yield


@pytest.fixture
def registry() -> ToolRegistry:
    """A registry with one tool."""
    return ToolRegistry([area])


def called(registry: ToolRegistry, name: str, arguments: str) -> dict[str, Any]:
    """What the model reads after a call."""
    return dict(json.loads(registry.call(name, arguments).text))


def test_the_schema_comes_from_signature_and_docstring(registry: ToolRegistry) -> None:
    """Types come from the signature, descriptions from the docstring, and all parameters are required."""
    expected = {
        "type": "function",
        "name": "area",
        "description": "The area of a room.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {
                "width": {"type": "integer", "description": "how wide it is"},
                "height": {"type": ["integer", "null"]},
                "unit": {"type": ["string", "null"], "description": "of the width"},
            },
            "required": ["width", "height", "unit"],
            "additionalProperties": False,
        },
    }
    assert [expected] == registry.schemas


def test_a_call_answers_its_result(registry: ToolRegistry) -> None:
    """A call that works is answered with `ok` and the result."""
    assert {"ok": True, "result": "6 ft2"} == called(registry, "area", '{"width": 2, "height": 3, "unit": "ft"}')


def test_null_means_the_default(registry: ToolRegistry) -> None:
    """A parameter that is null takes its default."""
    assert {"ok": True, "result": "4 m2"} == called(registry, "area", '{"width": 2, "height": null, "unit": null}')


def test_an_unknown_name_is_answered_with_the_known_ones(registry: ToolRegistry) -> None:
    """A call of a tool that does not exist is answered, not raised, and says what there is."""
    assert {"ok": False, "error": "there is no tool 'volume'; the tools are area"} == called(registry, "volume", "{}")


@pytest.mark.parametrize(
    "arguments",
    ["", "{", "[]", "null", "{}", '{"width": "2"}', '{"width": 2, "depth": 1}', '{"width": null}', "\ud800"],
)
def test_arguments_that_do_not_fit_are_answered(registry: ToolRegistry, arguments: str) -> None:
    """Broken JSON, missing, unknown and wrong arguments are all told to the model."""
    assert called(registry, "area", arguments)["error"].startswith("the arguments do not fit: ")


@settings(deadline=None)
@given(name=st.text(), arguments=st.text() | st.recursive(st.none() | st.integers(), st.lists).map(json.dumps))
def test_no_call_raises(name: str, arguments: str) -> None:
    """Whatever name and arguments the model makes up, it gets an answer."""
    assert not ToolRegistry([area]).call(name, arguments).ok


@pytest.mark.parametrize(
    ("error", "told"),
    [(ToolError("no such room"), "no such room"), (KeyError("x"), "KeyError: 'x'")],
    ids=["own", "other"],
)
def test_a_tool_that_fails_is_answered(error: Exception, told: str) -> None:
    """An exception of a tool becomes the answer to its call."""

    def fails() -> None:
        raise error

    assert {"ok": False, "error": told} == called(ToolRegistry([fails]), "fails", "{}")


@pytest.mark.parametrize("error", [BudgetExceeded("spent"), LoopDetected("again"), ModelError("down")], ids=type)
def test_what_ends_the_review_is_raised(error: Exception) -> None:
    """Budgets, the loop breaker and a model that cannot be used are not for the model to work around."""

    def fails() -> None:
        raise error

    with pytest.raises(type(error)):
        ToolRegistry([fails]).call("fails", "{}")


def test_half_characters_do_not_reach_the_request() -> None:
    """A result with characters that UTF-8 cannot carry is answered with replacements."""

    def odd() -> str:
        return "a\ud800b"

    assert '{"ok": true, "result": "a?b"}' == ToolRegistry([odd]).call("odd", "{}").text


def test_a_name_is_given_once(registry: ToolRegistry) -> None:
    """Two tools cannot have one name."""
    with pytest.raises(ValueError, match="already is a tool 'area'"):
        registry.register("area", area)
