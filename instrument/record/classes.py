"""What a class says of itself, asked past its metaclass: its name, its bases, what its body defines."""

from __future__ import annotations

mro_of = type.__dict__["__mro__"].__get__
dict_of = type.__dict__["__dict__"].__get__
qualname_of = type.__dict__["__qualname__"].__get__
module_of = type.__dict__["__module__"].__get__


def base_among(mro: tuple[type, ...], bases: tuple[type, ...]) -> type | None:
    return next((base for one in mro for base in bases if one is base), None)


def name_of(kind: type) -> str:
    """`package.module.Class`; built-in types and those of the main program without the module."""
    try:
        module, name = module_of(kind), qualname_of(kind)
        name = name.rpartition("<locals>.")[2]
        return str(name) if module in ("builtins", "__main__") else f"{module}.{name}"
    except Exception:  # noqa: BLE001 - a metaclass may do anything
        return "?"
