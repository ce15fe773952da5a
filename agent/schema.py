"""JSON schemas from Python types, in the strict form that structured outputs and function calls ask for.

Strict means: every object lists all its properties as required and allows no others; what may be left out is nullable.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from msgspec import Struct

Schema = dict[str, Any]

_NAMES: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


def schema_of(annotation: Any) -> Schema:
    """The schema of a type: str, int, float, bool, Literal, list, Struct, and each of them `| None`."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if annotation in _NAMES:
        return {"type": _NAMES[annotation]}
    if origin is Literal:
        return {"type": "string", "enum": list(parts)}
    if origin is list:
        return {"type": "array", "items": schema_of(parts[0])}
    if origin in (Union, UnionType) and len(parts) == 2 and NoneType in parts:
        return nullable(schema_of(next(part for part in parts if part is not NoneType)))
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        return record({name: schema_of(hint) for name, hint in get_type_hints(annotation).items()})
    raise TypeError(f"{annotation!r} has no schema: use str, int, float, bool, Literal, list, a Struct, or one | None")


def record(properties: Mapping[str, Schema]) -> Schema:
    """The schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def nullable(schema: Schema) -> Schema:
    """The schema, or null."""
    if schema.get("type") == "object" or "enum" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}
