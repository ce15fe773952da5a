"""Any Python value as it is at this moment, as a tree of plain JSON values.

The walk never raises and never runs more of the user's code than it must: it looks at `type(value)`, reads fields from
the instance's dictionary or its slots (not through properties), takes containers by the methods of the built-in type
that they are made of, and falls back to a guarded `repr` for what it does not know. Iterators, generators, files and
their like are never consumed. How each kind of value is shown, and how it is said that something was left out, is in
the table of `capture`.

Strings and bytes are immutable, so long ones are only referred to; the worker cuts them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from instrument.record.classes import base_among, mro_of, name_of
from instrument.record.objects import repr_text
from instrument.record.plain import MAX_DEPTH, MAX_LEAVES, NOT_PLAIN, float_or_mark, integer, plain_size, size_of_leaves
from instrument.record.showers import known_showers, shower_of, taken_of
from instrument.signals import is_of_signal

MAX_WORK = 2_400
"""Bounds what is looked at one by one: a string or number counts one, anything else `OBJECT_WORK`."""

OBJECT_WORK = 4

ROOM_FOR_ONE = 24
"""Work kept free for each value that is still to come."""

MAX_KEY = 1_000
"""Characters of a key; a dict with a longer one is shown as pairs."""

CHUNK = 500
"""Elements of a list that are copied by C at once when all of them are plain."""

INLINE_SIZE = 1 << 18
"""Bytes of JSON up to which such a stretch is encoded to see whether all is well with it."""
_encode = msgspec.json.Encoder().encode


class Snapshot(NamedTuple):
    """A tree of dicts, lists, strings, finite numbers, booleans and None; long `bytes` in it stay for the worker.

    `size` is roughly the bytes of its JSON, `NOT_PLAIN` where such bytes are in it.
    """

    tree: Any
    size: int


def snapshot(value: object) -> Snapshot:
    """The value as it is now."""
    walk = Walk(MAX_WORK)
    tree = walk.show(value, 0)
    return Snapshot(tree, walk.size)


def snapshot_of_named(named: dict[str, object]) -> Snapshot:
    """All arguments of a call; none of them can use up what the others need."""
    shown: dict[str, Any] = {}
    size = 0
    for name, value in list(named.items()):
        walk = Walk(max(100, MAX_WORK // len(named)))
        shown[escaped_key(name)] = walk.show(value, 0)
        size += walk.size
    return Snapshot(shown, size)


class Walk:
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
            return integer(value)
        self.left -= OBJECT_WORK - 1
        try:
            return self._show(value, kind, depth)
        except (KeyboardInterrupt, SystemExit):  # perhaps a signal, which is the user's
            raise
        except BaseException as fault:
            if fault.__class__ is not RecursionError and is_of_signal(fault):
                raise
            return {"$unreadable": name_of(kind), "error": name_of(type(fault))}

    def _show(self, value: Any, kind: type, depth: int) -> Any:
        if kind is float:
            return float_or_mark(value)
        if depth > MAX_DEPTH:
            return {"$deep": name_of(kind)}
        if id(value) in self.path:
            return {"$cycle": name_of(kind)}
        known = known_showers.get(id(kind))
        shower = known[1] if known is not None and known[0]() is kind else shower_of(kind)
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
        taken = taken_of(items, self._room())
        shown: dict[str, Any] = {}
        for index, (key, value) in enumerate(taken):
            text = escaped_key(key if type(key) is str else _key_text(key))
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
        size = size_of_leaves(values)
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


def escaped_key(key: str) -> str:
    """A key of the user's that begins as our marks do gets one more sign."""
    return f"${key}" if key[:1] == "$" else key


def _key_text(key: Any) -> str:
    kind = type(key)
    if kind is int or kind is bool or kind is float or key is None:
        return str(integer(key) if kind is int else key)
    base = base_among(mro_of(kind), (str, bytes))
    if base is str:
        return str.__str__(key)
    try:
        return repr_text(key)
    except Exception:  # noqa: BLE001 - the key is the user's
        return f"<{name_of(kind)} that cannot be shown>"
