"""How each kind of value is shown."""

from __future__ import annotations

import builtins
import collections
import contextlib
import functools
import sys
import types
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any
from weakref import ref

from instrument.record.classes import base_among, dict_of, module_of, mro_of, name_of
from instrument.record.objects import BY_MARK, Shower, by_repr, instance_dict
from instrument.record.plain import MAX_LEAVES, NARROW, NOT_PLAIN, STRINGS, float_or_mark, integer, size_of_leaves
from instrument.record.texts import shown_bytes

if TYPE_CHECKING:
    from instrument.record.snapshot import Walk

INLINE_BYTES = 16_384
"""Bytes that are decoded at once; longer ones are left to the worker."""

known_showers: dict[int, tuple[ref[type], Shower]] = {}
"""What was found out about types, by identity: a metaclass may have a `__hash__` of its own."""


def shower_of(kind: type) -> Shower:
    if len(known_showers) > 2_000:
        known_showers.clear()
    shower = _shower(kind)
    with contextlib.suppress(TypeError):  # the classes of some metaclasses take no weak reference
        known_showers[id(kind)] = (ref(kind), shower)
    return shower


def _shower(kind: type) -> Shower:
    exact = _BY_BASE.get(id(kind))
    if exact is not None:
        return exact
    mro = mro_of(kind)
    own = [dict_of(base) for base in mro[:-1]]
    for mark, shower_for in BY_MARK:
        declared = next((names[mark] for names in own if mark in names), None)
        if declared is not None:
            return shower_for(kind, declared)
    for base in mro:
        found = _BY_BASE.get(id(base))
        if found is not None:
            return found
    for module, name, method in _TEXT_TYPES:
        if module in sys.modules and base_among(mro, (known := getattr(sys.modules[module], name),)):
            return _text_of(known, method)
    numpy = sys.modules.get("numpy")
    if numpy is not None and (base := base_among(mro, (numpy.ndarray, numpy.generic))):
        return _array if base is numpy.ndarray else _scalar
    if module_of(kind) == "string.templatelib" and "interpolations" in own[0]:
        return _template
    if "array" in sys.modules and base_among(mro, (sys.modules["array"].array,)):
        return _plain_array
    return by_repr


def taken_of(iterate: Callable[[], Iterable[Any]], most: int) -> list[Any]:
    """The first elements of a container, also when another thread changes it between two tries."""
    for _ in range(20):
        with contextlib.suppress(RuntimeError):
            return list(islice(iterate(), most))
    return list(islice(iterate(), most))


def _dict(walk: Walk, value: dict[Any, Any], depth: int) -> Any:
    if type(value) is dict and len(value) > NARROW and (taken := _copied(walk, value)) is not None:
        return taken
    items = collections.OrderedDict.items if type(value) is collections.OrderedDict else dict.items
    return walk.pairs(lambda: items(value), dict.__len__(value), depth)  # type: ignore[arg-type]  # its own type's method


_FROZEN_DICT: Any = vars(builtins).get("frozendict")
"""Python 3.15's, else None."""


def _frozen_dict(walk: Walk, value: Any, depth: int) -> Any:
    return walk.pairs(lambda: _FROZEN_DICT.items(value), _FROZEN_DICT.__len__(value), depth)


def _copied(walk: Walk, value: dict[Any, Any]) -> dict[str, Any] | None:
    """A long dict of strings and numbers, as much of it as there is room for; None where it is anything else."""
    taken = dict(taken_of(value.items, walk.leaves))
    if set(map(type, taken)) != STRINGS or "$" in (names := "".join(taken)):
        return None
    size = size_of_leaves([*taken.values()])
    if size == NOT_PLAIN:
        return None
    walk.leaves -= len(taken)
    walk.size += size + len(names)
    return taken if len(taken) == len(value) else {**taken, "$omitted": len(value) - len(taken)}


def _list(walk: Walk, value: list[Any], depth: int) -> Any:
    length = list.__len__(value)
    taken = list.__getitem__(value, slice(MAX_LEAVES))
    return walk.items(taken, length, depth)


def _tuple(walk: Walk, value: tuple[Any, ...], depth: int) -> Any:
    return walk.items(taken_of(lambda: tuple.__iter__(value), MAX_LEAVES), tuple.__len__(value), depth)


def _deque(walk: Walk, value: collections.deque[Any], depth: int) -> Any:
    taken = taken_of(lambda: collections.deque.__iter__(value), MAX_LEAVES)
    return walk.items(taken, collections.deque.__len__(value), depth)


def _set(walk: Walk, value: Any, depth: int) -> Any:
    """A set in a stable order: numbers and strings by value, anything else by what it is shown as."""
    base = set if base_among(mro_of(type(value)), (set,)) else frozenset
    taken = taken_of(lambda: base.__iter__(value), MAX_LEAVES)
    kinds = set(map(type, taken))
    if len(kinds) == 1 and kinds <= (STRINGS | {int}):
        taken.sort()
        shown = walk.items(taken, base.__len__(value), depth)
    else:
        shown = walk.items(taken, base.__len__(value), depth)
        shown.sort(key=lambda one: (type(one) is dict and "$omitted" in one, repr(one)))
    return {"$set": shown}


def _bytes(walk: Walk, value: Any, depth: int) -> Any:
    base = base_among(mro_of(type(value)), (bytes, bytearray, memoryview))
    if base is memoryview:
        flat = memoryview(value).cast("B")
        return _some_bytes(walk, bytes(flat[: 1 << 23]), flat.nbytes)
    if base is bytearray:
        return _some_bytes(walk, bytes(bytearray.__getitem__(value, slice(1 << 23))), bytearray.__len__(value))
    exact = value if type(value) is bytes else bytes.__getitem__(value, slice(None))
    return _some_bytes(walk, exact, len(exact))


def _some_bytes(walk: Walk, content: bytes, length: int) -> Any:
    if len(content) > INLINE_BYTES:
        walk.size = NOT_PLAIN
        return content
    walk.size += 2 * len(content)
    return shown_bytes(content, length)


def _str(walk: Walk, value: str, depth: int) -> str:
    text = str.__str__(value)
    walk.size += len(text)
    return text


def _int(walk: Walk, value: int, depth: int) -> Any:
    return integer(int.__index__(value))


def _float_like(walk: Walk, value: float, depth: int) -> Any:
    return float_or_mark(float.__float__(value))


def _exception(walk: Walk, value: BaseException, depth: int) -> Any:
    message = str.__str__(str(value))
    walk.size += len(message)
    return {"$exception": name_of(type(value)), "message": message}


def _class(walk: Walk, value: type, depth: int) -> Any:
    return {"$class": name_of(value)}


def _function(walk: Walk, value: Any, depth: int) -> Any:
    module, name = value.__module__, value.__qualname__
    return {"$function": f"{module}.{name}" if type(module) is str and module != "builtins" else str(name)}


def _module(walk: Walk, value: types.ModuleType, depth: int) -> Any:
    return {"$module": str(instance_dict(value).get("__name__"))}


def _text_of(kind: type, method: str) -> Shower:
    return lambda walk, value, depth: str.__str__(getattr(kind, method)(value))


def _array(walk: Walk, value: Any, depth: int) -> Any:
    """A small numpy array as lists, a large one by shape, type and its first elements."""
    base = sys.modules["numpy"].ndarray
    shape, size = list(base.shape.__get__(value)), base.size.__get__(value)
    if size <= 100:
        return walk.show(base.tolist(value), depth + 1)
    head = [walk.show(one, depth + 1) for one in base.tolist(base.ravel(value[tuple(slice(20) for _ in shape)])[:20])]
    return {"$array": shape, "dtype": str(base.dtype.__get__(value)), "head": head}


def _scalar(walk: Walk, value: Any, depth: int) -> Any:
    plain = sys.modules["numpy"].generic.item(value)
    return by_repr(walk, value, depth) if type(plain) is type(value) else walk.show(plain, depth + 1)


def _plain_array(walk: Walk, value: Any, depth: int) -> Any:
    if len(value) <= 100:
        return walk.show(value.tolist(), depth + 1)
    head = [walk.show(one, depth + 1) for one in value[:20].tolist()]
    return {"$array": [len(value)], "dtype": value.typecode, "head": head}


def _view(walk: Walk, value: Any, depth: int) -> Any:
    """The keys, values or pairs of a dict."""
    return walk.items(taken_of(lambda: value, MAX_LEAVES), len(value), depth)


def _mapping(walk: Walk, value: Any, depth: int) -> Any:
    return walk.pairs(value.items, len(value), depth)


def _template(walk: Walk, value: Any, depth: int) -> Any:
    """A t-string: its texts, and each value by the expression that gave it, whose name may tell of a secret."""
    parts = [part if type(part) is str else {part.expression: part.value} for part in value]
    return {"$template": walk.items(parts, len(parts), depth)}


def _held_in(name: str) -> Shower:
    """A container that keeps what it holds in another one."""
    return lambda walk, value, depth: walk.show(instance_dict(value).get(name), depth + 1)


def _partial(walk: Walk, value: functools.partial[Any], depth: int) -> Any:
    fields = {"func": value.func, "args": value.args, "keywords": value.keywords}
    return walk.fields("functools.partial", fields, depth)


def _slice(walk: Walk, value: slice, depth: int) -> Any:
    ends = {"start": value.start, "stop": value.stop, "step": value.step}
    if all(end is None or type(end) is int for end in ends.values()):
        return by_repr(walk, value, depth)
    return walk.fields("slice", ends, depth)


_SHOWERS: dict[type, Shower] = {
    dict: _dict,
    list: _list,
    tuple: _tuple,
    set: _set,
    frozenset: _set,
    collections.deque: _deque,
    str: _str,
    bool: lambda walk, value, depth: value,
    int: _int,
    float: _float_like,
    bytes: _bytes,
    bytearray: _bytes,
    memoryview: _bytes,
    BaseException: _exception,
    type: _class,
    types.ModuleType: _module,
    types.FunctionType: _function,
    types.BuiltinFunctionType: _function,
    types.MethodType: lambda walk, value, depth: _function(walk, value.__func__, depth),
    complex: lambda walk, value, depth: complex.__str__(value),
    type({}.keys()): _view,
    type({}.values()): _view,
    type({}.items()): _view,
    types.MappingProxyType: _mapping,
    types.SimpleNamespace: lambda walk, value, depth: walk.fields(name_of(type(value)), instance_dict(value), depth),
    collections.UserList: _held_in("data"),
    collections.UserDict: _held_in("data"),
    collections.ChainMap: _held_in("maps"),
    functools.partial: _partial,
    slice: _slice,
}
if _FROZEN_DICT is not None:
    _SHOWERS[_FROZEN_DICT] = _frozen_dict
_BY_BASE = {id(kind): shower for kind, shower in _SHOWERS.items()}

_TEXT_TYPES = (
    ("decimal", "Decimal", "__str__"),
    ("fractions", "Fraction", "__str__"),
    ("uuid", "UUID", "__str__"),
    ("pathlib", "PurePath", "__str__"),
    ("datetime", "datetime", "isoformat"),
    ("datetime", "date", "isoformat"),
    ("datetime", "time", "isoformat"),
    ("datetime", "timedelta", "__str__"),
)
"""Types that are shown as a string, and the method that gives it. Their modules are not imported for that."""
