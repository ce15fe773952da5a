"""Rules of `agent.schema`."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import pytest

from agent.answers import ANALYSIS, PLAN, REFLECTION, REVIEW, SUMMARY
from agent.schema import schema_of


class Point(msgspec.Struct):
    x: int
    label: str | None


def objects(schema: Any) -> list[dict[str, Any]]:
    """Every object schema inside a schema."""
    if isinstance(schema, list):
        return [found for part in schema for found in objects(part)]
    if not isinstance(schema, dict):
        return []
    below = [found for part in schema.values() for found in objects(part)]
    return [schema, *below] if schema.get("type") == "object" else below


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (str, {"type": "string"}),
        (bool, {"type": "boolean"}),
        (int | None, {"type": ["integer", "null"]}),
        (list[float], {"type": "array", "items": {"type": "number"}}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
    ],
)
def test_a_type_has_the_schema_of_its_json(annotation: Any, expected: Any) -> None:
    """Every supported type gives the schema that its JSON values fit."""
    assert expected == schema_of(annotation)


def test_a_struct_is_a_strict_object() -> None:
    """A Struct becomes an object that requires all its fields and allows no others."""
    expected = {
        "type": "object",
        "properties": {"x": {"type": "integer"}, "label": {"type": ["string", "null"]}},
        "required": ["x", "label"],
        "additionalProperties": False,
    }
    assert expected == schema_of(Point)


def test_a_nullable_struct_is_one_of_two() -> None:
    """An object that may be null is written as one of two schemas, as a list of types cannot hold its properties."""
    assert [schema_of(Point), {"type": "null"}] == schema_of(Point | None)["anyOf"]


def test_a_type_without_schema_is_refused() -> None:
    """A type that has no schema is named in the error."""
    with pytest.raises(TypeError, match="complex"):
        schema_of(complex)


@pytest.mark.parametrize("answer", [PLAN, REVIEW, REFLECTION, SUMMARY, ANALYSIS], ids=lambda answer: answer.name)
def test_every_answer_is_asked_for_strictly(answer: Any) -> None:
    """In the form of every answer each object, at any depth, is strict."""
    found = objects(answer.format["schema"])
    assert all(not each["additionalProperties"] and each["required"] == list(each["properties"]) for each in found)
