"""JSON schemas: the strict subset that structured outputs and function calls may use, and values that fit one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .refusal import bad

Schema = Mapping[str, Any]

most_depth = 10
types = ("string", "number", "integer", "boolean", "object", "array", "null")
unknown_words = (
    "allOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else", "oneOf", "patternProperties",
)  # fmt: skip


def check_strict(schema: object, what: str, param: str, code: str) -> None:
    """Refuse a schema that strict mode does not take; `what` names it, as in "function 'read_file'"."""
    problem = root_problem(schema) or strict_problem(schema, schema, (), 0)
    if problem:
        raise bad(f"Invalid schema for {what}: {problem}", param, code)


def check_loose(schema: object, what: str, param: str, code: str) -> None:
    """Refuse what is no schema of an object at all."""
    problem = root_problem(schema)
    if problem:
        raise bad(f"Invalid schema for {what}: {problem}", param, code)


def root_problem(schema: object) -> str:
    if not isinstance(schema, Mapping):
        return "schema must be a JSON object."
    if schema.get("type") != "object":
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{schema.get('type')}\"'."
    if "anyOf" in schema:
        return "In context=(), 'anyOf' is not permitted at the root."
    return ""


def strict_problem(schema: object, root: object, context: tuple[str, ...], depth: int) -> str:
    """The first thing in a schema that strict mode refuses, as a sentence; empty when there is none."""
    if not isinstance(schema, Mapping):
        return f"In context={context}, a schema must be an object."
    if depth > most_depth * 2:
        return f"In context={context}, the schema is nested deeper than {most_depth} levels."
    word = next((word for word in unknown_words if word in schema), None)
    if word:
        return f"In context={context}, '{word}' is not permitted."
    return (
        reference_problem(schema, root, context)
        or type_problem(schema, context)
        or object_problem(schema, root, context, depth)
        or part_problem(schema, root, context, depth)
    )


def reference_problem(schema: Schema, root: object, context: tuple[str, ...]) -> str:
    if "$ref" not in schema:
        return ""
    try:
        resolve(str(schema["$ref"]), root)
    except (KeyError, TypeError):
        return f"In context={context}, reference '{schema['$ref']}' cannot be resolved."
    return ""


def resolve(reference: str, root: object) -> Any:
    """The part of a schema that `#/$defs/name` points to. Raises KeyError or TypeError when there is none."""
    node: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        node = node[part] if part else node
    return node


def type_problem(schema: Schema, context: tuple[str, ...]) -> str:
    kinds = schema.get("type")
    if kinds is None:
        known = any(word in schema for word in ("$ref", "anyOf", "enum", "const"))
        return "" if known else f"In context={context}, schema must have a 'type' key."
    listed = kinds if isinstance(kinds, list) else [kinds]
    wrong = next((kind for kind in listed if kind not in types), None)
    if wrong is not None or not listed:
        return f"In context={context}, '{wrong}' is not a valid type."
    if "array" in listed and "items" not in schema:
        return f"In context={context}, array schema missing items."
    return ""


def is_object(schema: Schema) -> bool:
    kinds = schema.get("type")
    return kinds == "object" or (isinstance(kinds, list) and "object" in kinds)


def object_problem(schema: Schema, root: object, context: tuple[str, ...], depth: int) -> str:
    if not is_object(schema):
        return ""
    properties = schema.get("properties", {})
    if not isinstance(properties, Mapping):
        return f"In context={context}, 'properties' must be an object."
    if schema.get("additionalProperties") is not False:
        return f"In context={context}, 'additionalProperties' is required to be supplied and to be false."
    required = schema.get("required", [])
    left_out = next((name for name in properties if not isinstance(required, list) or name not in required), None)
    if left_out is not None:
        return (
            f"In context={context}, 'required' is required to be supplied and to be an array including every key "
            "in properties. "
            f"Missing '{left_out}'."
        )
    extra = next((name for name in required if name not in properties), None)
    if extra is not None:
        return f"In context={context}, 'required' names '{extra}', which is not in properties."
    inner = (strict_problem(part, root, (*context, "properties", name), depth + 1) for name, part in properties.items())
    return next((problem for problem in inner if problem), "")


def part_problem(schema: Schema, root: object, context: tuple[str, ...], depth: int) -> str:
    parts: list[tuple[tuple[str, ...], Any]] = []
    if "items" in schema:
        parts.append(((*context, "items"), schema["items"]))
    if isinstance(schema.get("anyOf"), list):
        parts += [((*context, "anyOf", str(index)), part) for index, part in enumerate(schema["anyOf"])]
    if isinstance(schema.get("$defs"), Mapping):
        parts += [((*context, "$defs", name), part) for name, part in schema["$defs"].items()]
    return next((problem for where, part in parts if (problem := strict_problem(part, root, where, depth + 1))), "")


def conform(value: Any, schema: Schema, root: Schema | None = None, told: str = "") -> Any:
    """`value` made to fit a schema: unknown keys dropped, missing ones filled in, wrong kinds replaced."""
    root = root or schema
    if "$ref" in schema:
        return conform(value, resolve(str(schema["$ref"]), root), root, told)
    if isinstance(schema.get("anyOf"), list):
        return conform_any(value, schema["anyOf"], root, told)
    if "const" in schema:
        return schema["const"]
    if isinstance(schema.get("enum"), list):
        return value if value in schema["enum"] else schema["enum"][0]
    kinds = schema.get("type")
    listed = kinds if isinstance(kinds, list) else [kinds]
    kind = next((kind for kind in listed if fits(value, kind)), listed[0])
    return made(value, kind, schema, root, told)


def conform_any(value: Any, choices: list[Schema], root: Schema, told: str) -> Any:
    for choice in choices:
        whole = resolve(str(choice["$ref"]), root) if "$ref" in choice else choice
        kinds = whole.get("type")
        if any(fits(value, kind) for kind in (kinds if isinstance(kinds, list) else [kinds])):
            return conform(value, whole, root, told)
    return conform(None, choices[-1], root, told)


def fits(value: Any, kind: str | None) -> bool:
    match kind:
        case "string":
            return isinstance(value, str)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "object":
            return isinstance(value, Mapping)
        case "array":
            return isinstance(value, list)
        case "null":
            return value is None
    return False


def made(value: Any, kind: str | None, schema: Schema, root: Schema, told: str) -> Any:
    fitting = fits(value, kind)
    match kind:
        case "object":
            given = value if fitting else {}
            return {
                name: conform(given.get(name), part, root, told) for name, part in schema.get("properties", {}).items()
            }
        case "array":
            given = [conform(item, schema.get("items", {}), root, told) for item in (value if fitting else [])]
            short = int(schema.get("minItems", 0)) - len(given)
            return given + [conform(None, schema.get("items", {}), root, told) for _ in range(max(short, 0))]
        case "string":
            return value if fitting else told
        case "integer" | "number":
            return value if fitting else schema.get("minimum", 0)
        case "boolean":
            return value if fitting else False
    return value if fitting else None
