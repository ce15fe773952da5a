"""Values of other people's types, read without running their code.

Of mappings the items are read, of objects of known libraries the stored fields. Nothing is imported, no attribute
of a foreign type is looked up and no method of it is called.
"""

from __future__ import annotations

from typing import Any

Fields = dict[str, Any]

LIBRARIES = frozenset({
    "anthropic", "azure", "cerebras", "cohere", "fireworks", "google", "groq", "huggingface_hub", "litellm",
    "mistralai", "ollama", "openai", "together",
})  # fmt: skip
"""Packages whose objects are read."""

DEEPEST = 32
"""How many levels of containers `plain` follows."""

_mro_of = type.__dict__["__mro__"].__get__
_dict_of = type.__dict__["__dict__"].__get__
_name_of = type.__dict__["__name__"].__get__
"""What a type says of itself, asked past its metaclass."""

_FIELDLESS = frozenset({str, int, float, bool, type(None), list, tuple, bytes})


def fields_of(value: object) -> Fields | None:
    """The items of a mapping, or the stored fields of an object of a known library; None for anything else."""
    kind = type(value)
    if kind is dict:
        return value  # type: ignore[return-value]  # mypy does not follow the identity of types
    if issubclass(kind, dict):
        return dict(dict.items(value))  # type: ignore[arg-type]  # nor issubclass
    if (type(kind) is type and kind in _FIELDLESS) or library_of(kind) is None:
        return None
    extra = _extra(value)
    return {**extra, **stored(value)} if extra else stored(value)


def library_of(kind: type) -> str | None:
    """The known library that a type, or one of its bases, comes from."""
    for base in _mro_of(kind):
        module = _dict_of(base).get("__module__")
        if type(module) is str and (root := module.partition(".")[0]) in LIBRARIES:
            return root
    return None


def stored(value: object) -> Fields:
    """The instance's own attributes."""
    try:
        found: Fields = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return found


def _extra(value: object) -> Fields:
    """What a pydantic model was given beyond its fields."""
    try:
        return object.__getattribute__(value, "__pydantic_extra__") or {}
    except AttributeError:
        return {}


def at(value: object, *path: str) -> Any:
    """What lies at the end of a path of keys or fields, None where it breaks off."""
    for name in path:
        fields = value if type(value) is dict else fields_of(value)
        if fields is None:
            return None
        value = dict.get(fields, name)
    return value


def one_of(fields: Fields, *names: str) -> Any:
    """The first of these fields that holds something."""
    for name in names:
        found = dict.get(fields, name)
        if found is not None:
            return found
    return None


def known(value: object) -> Fields:
    """As `fields_of`, nothing where there is none."""
    return fields_of(value) or {}


def listed(value: object) -> list[Any]:
    """The items of a list or tuple; none for anything else, so that no iterator is consumed."""
    return [*value] if type(value) is list or type(value) is tuple else []


def is_text(value: object) -> bool:
    """Whether the value is a string."""
    return issubclass(type(value), str)


def type_name(value: object) -> str:
    """The name of its type."""
    return str(_name_of(type(value)))


def text(value: object) -> str | None:
    """A string as such, also one that is a member of an enumeration."""
    return str.__str__(value) if issubclass(type(value), str) else None


def plain(value: Any, depth: int = 0) -> Any:
    """The value in plain containers; what is neither plain nor of a known library is the name of its type.

    Fields that hold None are left out: client libraries set them where the service said nothing.
    """
    if value is None or type(value) in (str, int, float, bool):
        return value
    if is_text(value):
        return text(value)
    fields = fields_of(value) if depth < DEEPEST else None
    if fields is not None:
        return {str(key): plain(item, depth + 1) for key, item in dict.items(fields) if item is not None}
    if type(value) in (list, tuple) and depth < DEEPEST:
        return [plain(item, depth + 1) for item in value]
    return value.__name__ if type(value) is type else type_name(value)
