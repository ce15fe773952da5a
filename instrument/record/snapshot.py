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
import re
import sys
import types
from collections.abc import Callable, Iterable
from itertools import chain, islice
from math import isfinite
from typing import Any, NamedTuple
from weakref import ref

import msgspec

MAX_WORK = 2_400
"""Bounds what is looked at one by one: a string or number counts one, anything else `OBJECT_WORK`."""

OBJECT_WORK = 4

MAX_LEAVES = 8_000
"""Numbers and strings that are taken over together with the list or dict they lie in."""

ROOM_FOR_ONE = 24
"""Work kept free for each value that is still to come."""

MAX_DEPTH = 64
MAX_KEY = 1_000
"""Characters of a key; a dict with a longer one is shown as pairs."""

CHUNK = 500
"""Elements of a list that are copied by C at once when all of them are plain."""

INLINE_SIZE = 1 << 18
"""Bytes of JSON up to which such a stretch is encoded to see whether all is well with it."""

INLINE_BYTES = 16_384
"""Bytes that are decoded at once; longer ones are left to the worker."""

MAX_DIGIT_BITS = 14_000
"""An integer with more bits has more digits than Python writes by default."""

NARROW = 64
"""Elements up to which a container is looked through in Python: below, C is no faster."""

NOT_PLAIN = 1 << 62

_ATOMS = frozenset({str, int, bool, type(None)})
_LEAVES = _ATOMS | {float}
_CONTAINERS = frozenset({dict, list, tuple})
_PLAIN = _LEAVES | _CONTAINERS
_STRINGS = frozenset({str})
_encode = msgspec.json.Encoder().encode
_address = re.compile(r" at 0x[0-9A-Fa-f]+| id='\d+'")

_mro_of = type.__dict__["__mro__"].__get__
_dict_of = type.__dict__["__dict__"].__get__
_qualname_of = type.__dict__["__qualname__"].__get__
_module_of = type.__dict__["__module__"].__get__


def plain_size(value: Any, max_size: int = NOT_PLAIN, depth: int = MAX_DEPTH) -> int:
    """Roughly the bytes of a value's JSON; `NOT_PLAIN` unless all of it is of exact plain types, or above the limit."""
    kind = type(value)
    if kind is str:
        return len(value)
    if value is None or kind is int or kind is bool:
        return 8
    if kind is float:
        return 8 if isfinite(value) else NOT_PLAIN
    if not depth or (kind is not dict and kind is not list and kind is not tuple):
        return NOT_PLAIN
    if len(value) > NARROW:
        return _wide_size(value, max_size)
    size = 64
    if kind is dict:
        size += len("".join(value))
        value = value.values()
    for one in value:
        kind = type(one)
        if kind is str:
            size += len(one)
        elif kind is int or kind is bool or one is None:
            size += 8
        else:
            size += plain_size(one, max_size, depth - 1)
            if size > max_size:
                return NOT_PLAIN
    return size


def _wide_size(value: object, max_size: int) -> int:
    """`plain_size` of long containers: level by level, the work of each level done by C."""
    level: list[Any] = [value]
    size = leaves = 0
    while level:
        leaves += len(level)
        kinds = set(map(type, level))
        if leaves > MAX_LEAVES or not kinds <= _PLAIN:
            return NOT_PLAIN
        if str in kinds:
            size += sum(map(len, level if kinds == _STRINGS else [one for one in level if type(one) is str]))
        if float in kinds and not isfinite(sum([one for one in level if type(one) is float])):
            return NOT_PLAIN
        size += 8 * len(level)
        containers = [one for one in level if type(one) in _CONTAINERS] if not kinds <= _LEAVES else []
        if size > max_size or leaves + sum(map(len, containers)) > MAX_LEAVES:
            return NOT_PLAIN
        dicts = [one for one in containers if type(one) is dict]
        size += len("".join(chain.from_iterable(dicts)))
        level = list(chain.from_iterable([one.values() if type(one) is dict else one for one in containers]))
    return size


class Snapshot(NamedTuple):
    """A tree of dicts, lists, strings, finite numbers, booleans and None; long `bytes` in it stay for the worker.

    `size` is roughly the bytes of its JSON, `NOT_PLAIN` where such bytes are in it.
    """

    tree: Any
    size: int


def snapshot(value: object) -> Snapshot:
    """The value as it is now."""
    walk = _Walk(MAX_WORK)
    tree = walk.show(value, 0)
    return Snapshot(tree, walk.size)


def snapshot_of_named(named: dict[str, object]) -> Snapshot:
    """All arguments of a call; none of them can use up what the others need."""
    shown: dict[str, Any] = {}
    size = 0
    for name, value in list(named.items()):
        walk = _Walk(max(100, MAX_WORK // len(named)))
        shown[_escaped_key(name)] = walk.show(value, 0)
        size += walk.size
    return Snapshot(shown, size)


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


Shower = Callable[["_Walk", Any, int], Any]


class _Walk:
    """One walk; so much work is `left` for it, what lies below `floor` is kept for what comes after."""

    __slots__ = ("floor", "leaves", "left", "path", "size")

    def __init__(self, work: int) -> None:
        self.left = work
        self.leaves = MAX_LEAVES
        self.floor = 0
        self.size = 0
        self.path: set[int] = set()

    def show(self, value: Any, depth: int) -> Any:
        self.left -= 1
        kind = type(value)
        if kind is str:
            self.size += 8 + len(value)
            return value
        self.size += 32
        if kind is bool or value is None:
            return value
        if kind is int:
            return _integer(value)
        self.left -= OBJECT_WORK - 1
        try:
            return self._show(value, kind, depth)
        except (KeyboardInterrupt, SystemExit):  # perhaps a signal, which is the user's
            raise
        except BaseException as fault:  # noqa: BLE001 - whatever the user's code raises, the call goes on
            return {"$unreadable": _name_of(kind), "error": _name_of(type(fault))}

    def _show(self, value: Any, kind: type, depth: int) -> Any:
        if kind is float:
            return _float(value)
        if depth > MAX_DEPTH:
            return {"$deep": _name_of(kind)}
        if id(value) in self.path:
            return {"$cycle": _name_of(kind)}
        known = _known.get(id(kind))
        shower = known[1] if known is not None and known[0]() is kind else _learn(kind)
        self.path.add(id(value))
        try:
            return shower(self, value, depth)
        finally:
            self.path.discard(id(value))

    def items(self, values: list[Any], length: int, depth: int) -> list[Any]:
        """The elements, as many as there is room for, and how many of the `length` were left out."""
        shown: list[Any] = []
        for at in range(0, len(values), CHUNK):
            chunk = values[at : at + CHUNK]
            if self._takes_whole(chunk):
                shown += msgspec.to_builtins(chunk)
                continue
            if self.leaves <= 0:
                break
            for value in chunk:
                if self.left <= self.floor:
                    break
                shown.append(self._share(value, length - len(shown) - 1, depth))
        return shown if len(shown) >= length else [*shown, {"$omitted": length - len(shown)}]

    def pairs(self, items: Callable[[], Iterable[Any]], length: int, depth: int) -> dict[str, Any]:
        """A mapping; as `$items` where its keys are not told apart by their text."""
        taken = _taken(items, self._room())
        shown: dict[str, Any] = {}
        for index, (key, value) in enumerate(taken):
            text = _escaped_key(key if type(key) is str else _key_text(key))
            if text in shown or len(text) > MAX_KEY:
                return {"$items": self.items([list(pair) for pair in taken], length, depth)}
            if self.left <= self.floor:
                break
            self.size += len(text)
            shown[text] = self._share(value, length - index - 1, depth)
        return shown if len(shown) >= length else {**shown, "$omitted": length - len(shown)}

    def fields(self, name: str, fields: dict[str, Any], depth: int) -> dict[str, Any]:
        """An object by its fields, with the name of its type."""
        return {"$type": name, **self.pairs(fields.items, len(fields), depth)}

    def _share(self, value: Any, after: int, depth: int) -> Any:
        """Show one of several; room is kept for the `after` that come after it, half of all at most."""
        kind = type(value)
        if not after or kind is str or kind is int or kind is bool or value is None:
            return self.show(value, depth + 1)
        before = self.floor
        self.floor += min((self.left - before) // 2, ROOM_FOR_ONE * after)
        try:
            return self.show(value, depth + 1)
        finally:
            self.floor = before

    def _takes_whole(self, values: list[Any]) -> bool:
        """Whether all of it is plain, so that C can copy it."""
        if len(values) < 8 or len(values) > self.leaves:
            return False
        size = _size_of_leaves(values)
        if size != NOT_PLAIN:
            self.leaves -= len(values)
        else:
            size = plain_size(values, INLINE_SIZE)
            if size > INLINE_SIZE or b'"$' in _encode(values):
                return False
            self.leaves -= size // 8
        self.size += size
        return True

    def _room(self) -> int:
        return max(1, self.left - self.floor)


def _size_of_leaves(values: list[Any]) -> int:
    """The size of strings, truth values and numbers that need no mark; `NOT_PLAIN` if there is anything else."""
    kinds = set(map(type, values))
    if not kinds <= _LEAVES:
        return NOT_PLAIN
    if int in kinds and max(map(int.bit_length, [one for one in values if type(one) is int])) > MAX_DIGIT_BITS:
        return NOT_PLAIN
    if float in kinds and not isfinite(sum([one for one in values if type(one) is float])):
        return NOT_PLAIN
    return 8 * len(values) + sum(map(len, [one for one in values if type(one) is str]))


def _integer(value: int) -> Any:
    if value.bit_length() <= MAX_DIGIT_BITS:
        return value
    bits = value.bit_length()
    return {"$int": f"{'-' if value < 0 else ''}{hex(abs(value) >> 4 * ((bits + 3) // 4 - 64))}…", "bits": bits}


def _float(value: float) -> Any:
    return value if isfinite(value) else {"$float": {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(value)]}


def _escaped_key(key: str) -> str:
    """A key of the user's that begins as our marks do gets one more sign."""
    return f"${key}" if key[:1] == "$" else key


def _key_text(key: Any) -> str:
    kind = type(key)
    if kind is int or kind is bool or kind is float or key is None:
        return str(_integer(key) if kind is int else key)
    base = _base_among(_mro_of(kind), (str, bytes))
    if base is str:
        return str.__str__(key)
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

_known: dict[int, tuple[ref[type], Shower]] = {}
"""What was found out about types, by identity: a metaclass may have a `__hash__` of its own."""


def _learn(kind: type) -> Shower:
    if len(_known) > 2_000:
        _known.clear()
    shower = _shower(kind)
    with contextlib.suppress(TypeError):  # the classes of some metaclasses take no weak reference
        _known[id(kind)] = (ref(kind), shower)
    return shower


def _shower(kind: type) -> Shower:
    exact = _BY_BASE.get(id(kind))
    if exact is not None:
        return exact
    mro = _mro_of(kind)
    own = [_dict_of(base) for base in mro[:-1]]
    for mark, shower_for in _BY_MARK:
        declared = next((names[mark] for names in own if mark in names), None)
        if declared is not None:
            return shower_for(kind, declared)
    for base in mro:
        found = _BY_BASE.get(id(base))
        if found is not None:
            return found
    for module, name, method in _TEXT_TYPES:
        if module in sys.modules and _base_among(mro, (known := getattr(sys.modules[module], name),)):
            return _text_of(known, method)
    numpy = sys.modules.get("numpy")
    if numpy is not None and (base := _base_among(mro, (numpy.ndarray, numpy.generic))):
        return _array if base is numpy.ndarray else _scalar
    return _by_repr


def _taken(iterate: Callable[[], Iterable[Any]], most: int) -> list[Any]:
    """The first elements of a container, also when another thread changes it between two tries."""
    for _ in range(20):
        with contextlib.suppress(RuntimeError):
            return list(islice(iterate(), most))
    return list(islice(iterate(), most))


def _base_among(mro: tuple[type, ...], bases: tuple[type, ...]) -> type | None:
    return next((base for one in mro for base in bases if one is base), None)


def _dict(walk: _Walk, value: dict[Any, Any], depth: int) -> Any:
    if type(value) is dict and len(value) > NARROW and (taken := _copied(walk, value)) is not None:
        return taken
    items = collections.OrderedDict.items if type(value) is collections.OrderedDict else dict.items
    return walk.pairs(lambda: items(value), dict.__len__(value), depth)  # type: ignore[arg-type]  # its own type's method


def _copied(walk: _Walk, value: dict[Any, Any]) -> dict[str, Any] | None:
    """A long dict of strings and numbers, as much of it as there is room for; None where it is anything else."""
    taken = dict(_taken(value.items, walk.leaves))
    if set(map(type, taken)) != _STRINGS or "$" in (names := "".join(taken)):
        return None
    size = _size_of_leaves([*taken.values()])
    if size == NOT_PLAIN:
        return None
    walk.leaves -= len(taken)
    walk.size += size + len(names)
    return taken if len(taken) == len(value) else {**taken, "$omitted": len(value) - len(taken)}


def _list(walk: _Walk, value: list[Any], depth: int) -> Any:
    length = list.__len__(value)
    taken = list.__getitem__(value, slice(MAX_LEAVES))
    return walk.items(taken, length, depth)


def _tuple(walk: _Walk, value: tuple[Any, ...], depth: int) -> Any:
    return walk.items(_taken(lambda: tuple.__iter__(value), MAX_LEAVES), tuple.__len__(value), depth)


def _deque(walk: _Walk, value: collections.deque[Any], depth: int) -> Any:
    taken = _taken(lambda: collections.deque.__iter__(value), MAX_LEAVES)
    return walk.items(taken, collections.deque.__len__(value), depth)


def _set(walk: _Walk, value: Any, depth: int) -> Any:
    """A set in a stable order: numbers and strings by value, anything else by what it is shown as."""
    base = set if _base_among(_mro_of(type(value)), (set,)) else frozenset
    taken = _taken(lambda: base.__iter__(value), MAX_LEAVES)
    kinds = set(map(type, taken))
    if len(kinds) == 1 and kinds <= (_STRINGS | {int}):
        taken.sort()
        shown = walk.items(taken, base.__len__(value), depth)
    else:
        shown = walk.items(taken, base.__len__(value), depth)
        shown.sort(key=lambda one: (type(one) is dict and "$omitted" in one, repr(one)))
    return {"$set": shown}


def _bytes(walk: _Walk, value: Any, depth: int) -> Any:
    base = _base_among(_mro_of(type(value)), (bytes, bytearray, memoryview))
    if base is memoryview:
        flat = memoryview(value).cast("B")
        return _some_bytes(walk, bytes(flat[: 1 << 23]), flat.nbytes)
    if base is bytearray:
        return _some_bytes(walk, bytes(bytearray.__getitem__(value, slice(1 << 23))), bytearray.__len__(value))
    exact = value if type(value) is bytes else bytes.__getitem__(value, slice(None))
    return _some_bytes(walk, exact, len(exact))


def _some_bytes(walk: _Walk, content: bytes, length: int) -> Any:
    if len(content) > INLINE_BYTES:
        walk.size = NOT_PLAIN
        return content
    walk.size += 2 * len(content)
    return shown_bytes(content, length)


def _str(walk: _Walk, value: str, depth: int) -> str:
    text = str.__str__(value)
    walk.size += len(text)
    return text


def _int(walk: _Walk, value: int, depth: int) -> Any:
    return _integer(int.__index__(value))


def _float_like(walk: _Walk, value: float, depth: int) -> Any:
    return _float(float.__float__(value))


def _enumeration(kind: type, members: Any) -> Shower:
    name = _name_of(kind)

    def shower(walk: _Walk, value: object, depth: int) -> Any:
        fields = _instance_dict(value)
        return {"$enum": f"{name}.{fields.get('_name_')}", "value": walk.show(fields.get("_value_"), depth + 1)}

    return shower


def _named_tuple(kind: type, names: Any) -> Shower:
    if _base_among(_mro_of(kind), (tuple,)) is None:
        return _by_repr
    name = _name_of(kind)
    return lambda walk, value, depth: walk.fields(name, dict(zip(names, tuple.__iter__(value), strict=False)), depth)


def _object(kind: type, names: Iterable[str]) -> Shower:
    """Fields that lie in the instance's dictionary or in slots; what code of the user's computes is left out."""
    name, names = _name_of(kind), tuple(names)
    slots = {one: slot for one in names if (slot := _slot(kind, one)) is not None}

    def shower(walk: _Walk, value: object, depth: int) -> Any:
        held = _instance_dict(value)
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
    found = next((_dict_of(base)[name] for base in _mro_of(kind) if name in _dict_of(base)), None)
    return found if type(found) is types.MemberDescriptorType else None


def _attrs_object(kind: type, declared: Any) -> Shower:
    return _object(kind, [attribute.name for attribute in declared])


def _struct(kind: type, declared: Any) -> Shower:
    return _object(kind, type.__getattribute__(kind, "__struct_fields__"))


def _model(kind: type, declared: Any) -> Shower:
    """A pydantic model: its fields and what came beside them."""
    name = _name_of(kind)

    def shower(walk: _Walk, value: object, depth: int) -> Any:
        fields = _instance_dict(value)
        with contextlib.suppress(AttributeError):
            fields.update(object.__getattribute__(value, "__pydantic_extra__") or {})
        return walk.fields(name, fields, depth)

    return shower


def _instance_dict(value: object) -> dict[str, Any]:
    try:
        held = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return dict(held) if type(held) is dict else {}


def _exception(walk: _Walk, value: BaseException, depth: int) -> Any:
    message = str.__str__(str(value))
    walk.size += len(message)
    return {"$exception": _name_of(type(value)), "message": message}


def _class(walk: _Walk, value: type, depth: int) -> Any:
    return {"$class": _name_of(value)}


def _function(walk: _Walk, value: Any, depth: int) -> Any:
    module, name = value.__module__, value.__qualname__
    return {"$function": f"{module}.{name}" if type(module) is str and module != "builtins" else str(name)}


def _module(walk: _Walk, value: types.ModuleType, depth: int) -> Any:
    return {"$module": str(_instance_dict(value).get("__name__"))}


def _text_of(kind: type, method: str) -> Shower:
    return lambda walk, value, depth: str.__str__(getattr(kind, method)(value))


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
    kind, text = type(value), _repr_text(value)
    walk.size += len(text)
    return {"$repr": text} if _module_of(kind) == "builtins" else {"$type": _name_of(kind), "$repr": text}


def _repr_text(value: object) -> str:
    text = str.__str__(repr(value))
    return _address.sub("", text) if len(text) < 10_000 else text


_BY_MARK: tuple[tuple[str, Callable[[type, Any], Shower]], ...] = (
    ("_member_map_", _enumeration),
    ("__dataclass_fields__", _object),
    ("__pydantic_fields__", _model),
    ("__attrs_attrs__", _attrs_object),
    ("__struct_fields__", _struct),
    ("_fields", _named_tuple),
)
"""Names in a class that tell how its instances keep their fields."""

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
}
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
