"""Objects by the fields that they keep, or by what they say of themselves."""

from __future__ import annotations

import contextlib
import re
import types
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from instrument.record.classes import base_among, dict_of, module_of, mro_of, name_of

if TYPE_CHECKING:
    from instrument.record.snapshot import Walk

Shower = Callable[["Walk", Any, int], Any]

_address = re.compile(r" at 0x[0-9A-Fa-f]+| id='\d+'")


def _enumeration(kind: type, members: Any) -> Shower:
    name = name_of(kind)

    def shower(walk: Walk, value: object, depth: int) -> Any:
        fields = instance_dict(value)
        return {"$enum": f"{name}.{fields.get('_name_')}", "value": walk.show(fields.get("_value_"), depth + 1)}

    return shower


def _named_tuple(kind: type, names: Any) -> Shower:
    if base_among(mro_of(kind), (tuple,)) is None:
        return by_repr
    name = name_of(kind)
    return lambda walk, value, depth: walk.fields(name, dict(zip(names, tuple.__iter__(value), strict=False)), depth)


def _object(kind: type, names: Iterable[str]) -> Shower:
    """Fields that lie in the instance's dictionary or in slots; what code of the user's computes is left out."""
    name, names = name_of(kind), tuple(names)
    slots = {one: slot for one in names if (slot := _slot(kind, one)) is not None}

    def shower(walk: Walk, value: object, depth: int) -> Any:
        held = instance_dict(value)
        fields = {}
        for one in names:
            if one in held:
                fields[one] = held[one]
            elif one in slots:
                with contextlib.suppress(AttributeError):
                    fields[one] = slots[one].__get__(value, kind)
        return walk.fields(name, fields, depth)

    return shower


def _slot(kind: type, name: str) -> types.MemberDescriptorType | None:
    found = next((dict_of(base)[name] for base in mro_of(kind) if name in dict_of(base)), None)
    return found if type(found) is types.MemberDescriptorType else None


def _attrs_object(kind: type, declared: Any) -> Shower:
    return _object(kind, [attribute.name for attribute in declared])


def _struct(kind: type, declared: Any) -> Shower:
    return _object(kind, type.__getattribute__(kind, "__struct_fields__"))


def _model(kind: type, declared: Any) -> Shower:
    """A pydantic model: its fields and what came beside them."""
    name = name_of(kind)

    def shower(walk: Walk, value: object, depth: int) -> Any:
        fields = instance_dict(value)
        with contextlib.suppress(AttributeError):
            fields.update(object.__getattribute__(value, "__pydantic_extra__") or {})
        return walk.fields(name, fields, depth)

    return shower


def _decorated(kind: type, declared: Any) -> Shower:
    """A decorated callable: as the plain one."""
    return lambda walk, value, depth: walk.show(value._self_target, depth)


def instance_dict(value: object) -> dict[str, Any]:
    try:
        held = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return dict(held) if type(held) is dict else {}


def by_repr(walk: Walk, value: object, depth: int) -> Any:
    """What an object says of itself, without its address, so that equal calls look equal."""
    kind, text = type(value), repr_text(value)
    walk.size += len(text)
    return {"$repr": text} if module_of(kind) == "builtins" else {"$type": name_of(kind), "$repr": text}


def repr_text(value: object) -> str:
    text = str.__str__(repr(value))
    return _address.sub("", text) if len(text) < 10_000 else text


BY_MARK: tuple[tuple[str, Callable[[type, Any], Shower]], ...] = (
    ("_member_map_", _enumeration),
    ("__dataclass_fields__", _object),
    ("__pydantic_fields__", _model),
    ("__attrs_attrs__", _attrs_object),
    ("__struct_fields__", _struct),
    ("_fields", _named_tuple),
    ("_self_target", _decorated),
)
"""Names in a class that tell how its instances keep their fields."""
