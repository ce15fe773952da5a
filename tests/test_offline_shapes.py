"""Strict schemas, and values made to fit them."""

from __future__ import annotations

from typing import Any

import pytest

from agent.offline import shapes
from agent.offline.refusal import RefusalError


def record(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


FAULTY = {
    "inner object": record(inner={"type": "object", "properties": {}}),
    "array without items": record(many={"type": "array"}),
    "unknown type": record(day={"type": "date"}),
    "no type": record(any={}),
    "oneOf": record(either={"oneOf": [{"type": "string"}]}),
    "reference to nothing": record(other={"$ref": "#/$defs/gone"}),
    "required that is not there": {**record(), "required": ["gone"]},
    "inside anyOf": record(maybe={"anyOf": [{"type": "object", "properties": {}}, {"type": "null"}]}),
}


@pytest.mark.parametrize("name", FAULTY)
def test_faulty_schema_is_refused(name: str) -> None:
    """Strict mode takes only what it can guarantee, at any depth."""
    with pytest.raises(RefusalError, match="Invalid schema for function 'f': In context="):
        shapes.check_strict(FAULTY[name], "function 'f'", "tools[0].parameters", "code")


def test_schema_with_all_that_is_allowed() -> None:
    """Nested objects, arrays, enums, nullable parts and references pass."""
    schema = {
        **record(
            kind={"type": "string", "enum": ["a", "b"]},
            many={"type": "array", "items": {"$ref": "#/$defs/part"}},
            maybe={"anyOf": [{"$ref": "#/$defs/part"}, {"type": "null"}]},
            count={"type": ["integer", "null"], "minimum": 0},
        ),
        "$defs": {"part": record(name={"type": "string"})},
    }
    shapes.check_strict(schema, "function 'f'", "p", "c")
    assert {"kind": "a", "many": [], "maybe": None, "count": None} == shapes.conform({}, schema)


def test_conform_keeps_what_fits_and_fills_the_rest() -> None:
    """Unknown keys go, missing ones are filled, values of the wrong kind are replaced."""
    schema = record(
        name={"type": "string"}, size={"type": "integer"}, tags={"type": "array", "items": {"type": "string"}}
    )
    given = {"name": "x", "size": "big", "tags": ["a", 1], "extra": True}
    assert {"name": "x", "size": 0, "tags": ["a", "told"]} == shapes.conform(given, schema, told="told")
