"""Any Python value as it is at this moment, as a tree of plain JSON values.

The walk never raises and never runs more of the user's code than it must: it looks at `type(value)`, reads fields from
the instance's dictionary or its slots (not through properties), takes containers by the methods of the built-in type
that they are made of, and falls back to a guarded `repr` for what it does not know. Iterators, generators, files and
their like are never consumed. How each kind of value is shown, and how it is said that something was left out, is in
the table of `capture`.

Strings and bytes are immutable, so long ones are only referred to; the worker cuts them.
"""

from __future__ import annotations

import collections
import contextlib
import datetime
import decimal
import enum
import fractions
import pathlib
import re
import sys
import types
import uuid
from collections.abc import Callable, Iterable
from itertools import chain, islice
from math import isfinite
from typing import Any

MAX_NODES = 2_000
"""Values that are looked at one by one."""

MAX_LEAVES = 20_000
"""Numbers and strings that are taken over together with the list or dict they lie in."""

MAX_DEPTH = 64
MAX_KEY = 1_000
"""Characters of a key; a dict with a longer one is shown as pairs."""

INLINE_BYTES = 16_384
"""Bytes that are decoded at once; longer ones are left to the worker."""

MAX_DIGIT_BITS = 14_000
"""An integer with more bits has more digits than Python writes by default."""

NOT_PLAIN = 1 << 62

_ATOMS = frozenset({str, int, bool, type(None)})
_NUMBERS = frozenset({int, bool, float, type(None)})
_CONTAINERS = frozenset({dict, list, tuple})
_STRINGS = frozenset({str})
_address = re.compile(r" at 0x[0-9A-Fa-f]+")

_mro_of = type.__dict__["__mro__"].__get__
_dict_of = type.__dict__["__dict__"].__get__
_qualname_of = type.__dict__["__qualname__"].__get__
_module_of = type.__dict__["__module__"].__get__


def plain_size(value: object, max_leaves: int = MAX_LEAVES, max_size: int = NOT_PLAIN) -> int:
    """Roughly the bytes of a value's JSON when all of it is of exact plain types, else `NOT_PLAIN`.

    Goes through the value level by level and lets C do the work of each; stops when a limit is passed.
    """
    level: list[Any] = [value]
    size = leaves = 0
    for _ in range(MAX_DEPTH):
        leaves += len(level)
        kinds = set(map(type, level))
        if str in kinds:
            size += sum(map(len, level if kinds == _STRINGS else [one for one in level if type(one) is str]))
        size += 8 * len(level)
        if leaves > max_leaves or size > max_size:
            return NOT_PLAIN
        if float in kinds and not isfinite(sum([one for one in level if type(one) is float])):
            return NOT_PLAIN
        inner = kinds - _ATOMS
        inner.discard(float)
        if not inner:
            return size
        if not inner <= _CONTAINERS:
            return NOT_PLAIN
        containers = [one for one in level if type(one) in _CONTAINERS]
        if leaves + sum(map(len, containers)) > max_leaves:
            return NOT_PLAIN
        level = []
        if dict in inner:
            dicts = [one for one in containers if type(one) is dict]
            keys = list(chain.from_iterable(dicts))
            if set(map(type, keys)) > _STRINGS or (keys and type(keys[0]) is not str):
                return NOT_PLAIN
            size += sum(map(len, keys))
            level.extend(chain.from_iterable(map(dict.values, dicts)))
        level.extend(chain.from_iterable([one for one in containers if type(one) is not dict]))
        if not level:
            return size
    return NOT_PLAIN


def snapshot(value: object) -> Any:
    """The value as a tree of dicts, lists, strings, finite numbers, booleans and None; long `bytes` stay for the worker."""
    return _Walk().show(value, 0)


def snapshot_of_named(named: dict[str, object]) -> dict[str, Any]:
    """The same for every argument; none of them can use up what the others need."""
    shown = {}
    for name, value in list(named.items()):
        shown[_escaped_key(name)] = _Walk(max(200, MAX_NODES // (len(named) or 1))).show(value, 0)
    return shown


def without_surrogates(tree: Any) -> Any:
    """The tree with what is no valid Unicode written in Python's escapes, and marked."""
    if type(tree) is str:
        escaped = _valid(tree)
        return tree if escaped is tree else {"$escaped": escaped}
    if type(tree) is list:
        return [without_surrogates(element) for element in tree]
    if type(tree) is dict:
        return {_valid(key): without_surrogates(element) for key, element in tree.items()}
    return tree


def _valid(text: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def shown_bytes(content: bytes, length: int | None = None) -> dict[str, Any]:
    """Bytes as text where they are UTF-8, else in Python's escapes: either way a secret in them can be seen."""
    length = len(content) if length is None else length
    try:
        return {"$bytes": length, "text": content.decode()}
    except UnicodeDecodeError:
        shown = content[:256]
        cut = {} if len(shown) == length else {"hash": hash_of(content)}
        return {"$bytes": length, "escaped": shown.decode("utf-8", "backslashreplace"), **cut}


def hash_of(content: bytes) -> str:
    """Sixteen digits that say whether two binary contents are equal, as a checksum does."""
    import hashlib

    return hashlib.blake2b(content, digest_size=8).hexdigest()


class _Walk:
    """One walk; `left` values may still be looked at, those below `floor` are kept for what comes after."""

    __slots__ = ("floor", "leaves", "left", "path")

    def __init__(self, nodes: int = MAX_NODES) -> None:
        self.left = nodes
        self.leaves = MAX_LEAVES
        self.floor = 0
        self.path: set[int] = set()

    def show(self, value: object, depth: int) -> Any:
        self.left -= 1
        kind = type(value)
        if kind is str or kind is bool or value is None:
            return value
        try:
            return self._show(value, kind, depth)
        except (KeyboardInterrupt, SystemExit):  # perhaps a signal, which is the user's
            raise
        except BaseException as fault:  # noqa: BLE001 - whatever the user's code raises, the call goes on
            return {"$unreadable": _name_of(kind), "error": _name_of(type(fault))}

    def _show(self, value: Any, kind: type, depth: int) -> Any:
        if kind is int:
            return _integer(value)
        if kind is float:
            return _float(value)
        if depth > MAX_DEPTH:
            return {"$deep": _name_of(kind)}
        if id(value) in self.path:
            return {"$cycle": _name_of(kind)}
        self.path.add(id(value))
        try:
            return _shower(kind)(self, value, depth)
        finally:
            self.path.discard(id(value))

    def items(self, values: Iterable[Any], length: int, depth: int) -> list[Any]:
        """The elements, as many as there is room for, and how many were left out."""
        if self._takes_whole(values, length):
            return list(values)
        shown: list[Any] = []
        for value in islice(values, self._room()):
            if self.left <= self.floor:
                break
            shown.append(self._share(value, len(shown) + 1 == length, depth))
        return shown if len(shown) >= length else [*shown, {"$omitted": length - len(shown)}]

    def pairs(self, items: Iterable[tuple[Any, Any]], length: int, depth: int) -> dict[str, Any]:
        """A mapping; as `$items` where its keys are not told apart by their text."""
        taken = list(islice(items, min(self._room(), self.leaves)))
        shown: dict[str, Any] = {}
        for index, (key, value) in enumerate(taken):
            text = key if type(key) is str else _key_text(key)
            text = _escaped_key(text)
            if text in shown or len(text) > MAX_KEY:
                return {"$items": self.items([list(pair) for pair in taken], length, depth)}
            if self.left <= self.floor:
                break
            shown[text] = self._share(value, index + 1 == length, depth)
        return shown if len(shown) >= length else {**shown, "$omitted": length - len(shown)}

    def fields(self, kind: type, fields: dict[str, Any], depth: int) -> dict[str, Any]:
        """An object by its fields, with its type."""
        return {"$type": _name_of(kind), **self.pairs(fields.items(), len(fields), depth)}

    def _share(self, value: object, is_last: bool, depth: int) -> Any:
        """Show one of several: it may use half of what is left, so that the others are seen too."""
        kind = type(value)
        if kind is str or kind is bool or value is None:
            self.left -= 1
            return value
        before = self.floor
        if not is_last:
            self.floor = max(before, self.left - max(16, (self.left - before) // 2))
        try:
            return self.show(value, depth + 1)
        finally:
            self.floor = before

    def _takes_whole(self, values: Iterable[Any], length: int) -> bool:
        """Whether all elements are numbers or strings that can be copied together."""
        if type(values) is not list or length > self.leaves:
            return False
        kinds = set(map(type, values))
        if kinds <= _STRINGS or (kinds <= _NUMBERS and _all_finite(values, kinds)):
            self.leaves -= length
            self.left -= 1 + length // 50
            return True
        return False

    def _room(self) -> int:
        return max(1, self.left - self.floor)


def _all_finite(values: list[Any], kinds: set[type]) -> bool:
    if int in kinds and max(map(int.bit_length, [one for one in values if type(one) is int])) > MAX_DIGIT_BITS:
        return False
    return float not in kinds or isfinite(sum([one for one in values if type(one) is float]))


def _integer(value: int) -> Any:
    if value.bit_length() <= MAX_DIGIT_BITS:
        return value
    bits = value.bit_length()
    return {"$int": f"{'-' if value < 0 else ''}{hex(abs(value) >> (bits - 256))}…", "bits": bits}


def _float(value: float) -> Any:
    return value if isfinite(value) else {"$float": {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(value)]}


def _escaped_key(key: str) -> str:
    """A key of the user's that begins as our marks do gets one more sign."""
    return f"${key}" if key[:1] == "$" else key


def _key_text(key: object) -> str:
    kind = type(key)
    if kind is int or kind is bool or kind is float or key is None:
        return str(_integer(key) if kind is int else key)
    base = _base_among(_mro_of(kind), (str, bytes))
    if base is str:
        return str.__str__(key)  # type: ignore[arg-type]
    try:
        return _repr_text(key)
    except Exception:  # noqa: BLE001 - the key is the user's
        return f"<{_name_of(kind)} that cannot be shown>"


def _name_of(kind: type) -> str:
    """`package.module.Class`; built-in types and those of the main program without the module."""
    try:
        module, name = _module_of(kind), _qualname_of(kind)
        name = name.rpartition("<locals>.")[2]
        return str(name) if module in ("builtins", "__main__") else f"{module}.{name}"
    except Exception:  # noqa: BLE001 - a metaclass may do anything
        return "?"


# How each kind of value is shown

Shower = Callable[[_Walk, Any, int], Any]


def _shower(kind: type) -> Shower:
    mro = _mro_of(kind)
    for base in mro:
        found = _BY_TYPE.get(id(base)) if kind is base else None
        if found is not None:
            return found
        break
    own = [_dict_of(base) for base in mro[:-1]]
    for mark, shower in _BY_MARK:
        if any(mark in names for names in own):
            return shower
    for base in mro:
        found = _BY_BASE.get(id(base))
        if found is not None:
            return found
    numpy = sys.modules.get("numpy")
    if numpy is not None and (base := _base_among(mro, (numpy.ndarray, numpy.generic))):
        return _array if base is numpy.ndarray else _scalar
    return _by_repr


def _base_among(mro: tuple[type, ...], bases: tuple[type, ...]) -> type | None:
    return next((base for one in mro for base in bases if one is base), None)


def _dict(walk: _Walk, value: dict[Any, Any], depth: int) -> Any:
    items = collections.OrderedDict.items if type(value) is collections.OrderedDict else dict.items
    return walk.pairs(items(value), dict.__len__(value), depth)  # type: ignore[arg-type]


def _list(walk: _Walk, value: list[Any], depth: int) -> Any:
    length = list.__len__(value)
    taken = list.__getitem__(value, slice(MAX_LEAVES))
    return _elements(walk, taken, length, depth)


def _tuple(walk: _Walk, value: tuple[Any, ...], depth: int) -> Any:
    return _elements(walk, list(islice(tuple.__iter__(value), MAX_LEAVES)), tuple.__len__(value), depth)


def _deque(walk: _Walk, value: collections.deque[Any], depth: int) -> Any:
    taken = list(islice(collections.deque.__iter__(value), MAX_LEAVES))
    return _elements(walk, taken, collections.deque.__len__(value), depth)


def _elements(walk: _Walk, taken: list[Any], length: int, depth: int) -> list[Any]:
    if length > len(taken) and walk._takes_whole(taken, len(taken)):
        return [*taken, {"$omitted": length - len(taken)}]
    return walk.items(taken, length, depth)


def _set(walk: _Walk, value: Any, depth: int) -> Any:
    """A set in a stable order: numbers and strings by value, anything else by what it is shown as."""
    base = set if _base_among(_mro_of(type(value)), (set,)) else frozenset
    taken = list(islice(base.__iter__(value), MAX_LEAVES))  # type: ignore[attr-defined]
    kinds = set(map(type, taken))
    if len(kinds) == 1 and kinds <= (_STRINGS | {int}):
        taken.sort()
        shown = _elements(walk, taken, base.__len__(value), depth)  # type: ignore[attr-defined]
    else:
        shown = walk.items(taken, base.__len__(value), depth)  # type: ignore[attr-defined]
        shown.sort(key=lambda one: (type(one) is dict and "$omitted" in one, repr(one)))
    return {"$set": shown}


def _bytes(walk: _Walk, value: Any, depth: int) -> Any:
    base = _base_among(_mro_of(type(value)), (bytes, bytearray, memoryview))
    if base is memoryview:
        flat = memoryview(value).cast("B")
        return _some_bytes(bytes(flat[: 1 << 23]), flat.nbytes)
    if base is bytearray:
        return _some_bytes(bytes(bytearray.__getitem__(value, slice(1 << 23))), bytearray.__len__(value))
    exact = value if type(value) is bytes else bytes.__getitem__(value, slice(None))
    return _some_bytes(exact, len(exact))


def _some_bytes(content: bytes, length: int) -> Any:
    return shown_bytes(content, length) if len(content) <= INLINE_BYTES else content


def _str(walk: _Walk, value: str, depth: int) -> str:
    return str.__str__(value)


def _int(walk: _Walk, value: int, depth: int) -> Any:
    return _integer(int.__index__(value))


def _float_like(walk: _Walk, value: float, depth: int) -> Any:
    return _float(float.__float__(value))


def _enum(walk: _Walk, value: Any, depth: int) -> Any:
    fields = _instance_dict(value)
    name = f"{_name_of(type(value))}.{fields.get('_name_')}"
    return {"$enum": name, "value": walk.show(fields.get("_value_"), depth + 1)}


def _named_tuple(walk: _Walk, value: Any, depth: int) -> Any:
    kind = type(value)
    if _base_among(_mro_of(kind), (tuple,)) is None:
        return _by_repr(walk, value, depth)
    names = next(_dict_of(base)["_fields"] for base in _mro_of(kind) if "_fields" in _dict_of(base))
    return walk.fields(kind, dict(zip(names, tuple.__iter__(value), strict=False)), depth)


def _dataclass(walk: _Walk, value: Any, depth: int) -> Any:
    return _by_fields(walk, value, depth, "__dataclass_fields__")


def _struct(walk: _Walk, value: Any, depth: int) -> Any:
    return _by_fields(walk, value, depth, "__struct_fields__")


def _attrs(walk: _Walk, value: Any, depth: int) -> Any:
    kind = type(value)
    declared = next(_dict_of(base)["__attrs_attrs__"] for base in _mro_of(kind) if "__attrs_attrs__" in _dict_of(base))
    return walk.fields(kind, _read_fields(value, kind, [attribute.name for attribute in declared]), depth)


def _by_fields(walk: _Walk, value: Any, depth: int, where: str) -> Any:
    kind = type(value)
    names = next(_dict_of(base)[where] for base in _mro_of(kind) if where in _dict_of(base))
    return walk.fields(kind, _read_fields(value, kind, list(names)), depth)


def _model(walk: _Walk, value: Any, depth: int) -> Any:
    """A pydantic model: its fields and what came beside them."""
    fields = dict(_instance_dict(value))
    with contextlib.suppress(AttributeError):
        fields.update(object.__getattribute__(value, "__pydantic_extra__") or {})
    return walk.fields(type(value), fields, depth)


def _read_fields(value: object, kind: type, names: list[str]) -> dict[str, Any]:
    """Fields that lie in the instance's dictionary or in slots; what is computed by code of the user's is left out."""
    held = _instance_dict(value)
    fields: dict[str, Any] = {}
    for name in names:
        if name in held:
            fields[name] = held[name]
            continue
        slot = next((_dict_of(base)[name] for base in _mro_of(kind) if name in _dict_of(base)), None)
        if type(slot) is types.MemberDescriptorType:
            with contextlib.suppress(AttributeError):
                fields[name] = slot.__get__(value, kind)
    return fields


def _instance_dict(value: object) -> dict[str, Any]:
    try:
        held = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return dict(held) if type(held) is dict else {}


def _exception(walk: _Walk, value: BaseException, depth: int) -> Any:
    return {"$exception": _name_of(type(value)), "message": str.__str__(str(value))}


def _class(walk: _Walk, value: type, depth: int) -> Any:
    return {"$class": _name_of(value)}


def _function(walk: _Walk, value: Any, depth: int) -> Any:
    module, name = value.__module__, value.__qualname__
    return {"$function": f"{module}.{name}" if type(module) is str and module != "builtins" else str(name)}


def _module(walk: _Walk, value: types.ModuleType, depth: int) -> Any:
    return {"$module": str(_instance_dict(value).get("__name__"))}


def _text_of(method: Callable[[Any], str]) -> Shower:
    return lambda walk, value, depth: str.__str__(method(value))


def _array(walk: _Walk, value: Any, depth: int) -> Any:
    """A small numpy array as lists, a large one by shape, type and its first elements."""
    base = sys.modules["numpy"].ndarray
    shape, size = list(base.shape.__get__(value)), base.size.__get__(value)
    if size <= 100:
        return walk.show(base.tolist(value), depth + 1)
    head = [walk.show(one, depth + 1) for one in base.tolist(base.ravel(value[tuple(slice(20) for _ in shape)])[:20])]
    return {"$array": shape, "dtype": str(base.dtype.__get__(value)), "head": head}


def _scalar(walk: _Walk, value: Any, depth: int) -> Any:
    plain = sys.modules["numpy"].generic.item(value)
    return _by_repr(walk, value, depth) if type(plain) is type(value) else walk.show(plain, depth + 1)


def _by_repr(walk: _Walk, value: object, depth: int) -> Any:
    """What an object says of itself, without its address, so that equal calls look equal."""
    kind = type(value)
    if _module_of(kind) == "builtins":
        return {"$repr": _repr_text(value)}
    return {"$type": _name_of(kind), "$repr": _repr_text(value)}


def _repr_text(value: object) -> str:
    text = str.__str__(repr(value))
    return _address.sub("", text) if len(text) < 10_000 else text


_BY_MARK: tuple[tuple[str, Shower], ...] = (
    ("__dataclass_fields__", _dataclass),
    ("__pydantic_fields__", _model),
    ("__attrs_attrs__", _attrs),
    ("__struct_fields__", _struct),
    ("_member_map_", _enum),
    ("_fields", _named_tuple),
)

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
    decimal.Decimal: _text_of(decimal.Decimal.__str__),
    fractions.Fraction: _text_of(fractions.Fraction.__str__),
    complex: _text_of(complex.__str__),
    datetime.datetime: _text_of(datetime.datetime.isoformat),
    datetime.date: _text_of(datetime.date.isoformat),
    datetime.time: _text_of(datetime.time.isoformat),
    datetime.timedelta: _text_of(datetime.timedelta.__str__),
    uuid.UUID: _text_of(uuid.UUID.__str__),
    pathlib.PurePath: _text_of(pathlib.PurePath.__str__),
}
_BY_BASE = {id(kind): shower for kind, shower in _SHOWERS.items()}
_BY_TYPE = _BY_BASE
