"""Capture: any Python value becomes bounded JSON at the moment of the call, on the caller's thread.

Plain values are encoded in one go. Everything else is walked once into a tree of plain values (`snapshot`). What is
long leaves the caller's thread as a `Large` and is finished by `finish` on the worker: redacted first, cut or stored
by its content afterwards. Nothing here raises, and nothing runs code of the user's but the `repr` of unknown types.

Plain values, mappings, lists, sets and objects look as one expects; dates, decimals, UUIDs, paths and their like are
strings. Every mark is an object whose first key begins with `$`; a key of the user's that begins so gets one `$` more.

    {"$type": name, field: value, …}                      an object by its fields
    {"$type": name, "$repr": text} or {"$repr": text}     an object by what it says of itself
    {"$unreadable": name, "error": name}                  an object that raised when it was looked at
    {"$enum": name, "value": value}                       a member of an enumeration
    {"$exception": name, "message": text}                 an exception
    {"$class": name}  {"$function": name}  {"$module": name}
    {"$set": [value, …]}                                  a set, in a stable order
    {"$items": [[key, value], …]}                         a mapping whose keys are no distinct strings
    {"$template": [text, {expression: value}, …]}         a t-string
    {"$bytes": length, "text": text}                      bytes that are UTF-8
    {"$bytes": length, "escaped": text[, "hash": …]}      other bytes, the first of them in Python's escapes
    {"$escaped": text}                                    a string that is no valid Unicode, in Python's escapes
    {"$float": "NaN" | "Infinity" | "-Infinity"}          what JSON has no number for
    {"$int": text, "bits": n}                             an integer of more than 4,000 digits, its beginning in hex
    {"$array": shape, "dtype": name, "head": [value, …]}  a large numpy array
    {"$cycle": name}                                      a container that holds itself
    {"$deep": name}                                       a container nested too deep
    {"$omitted": n} at the end of a list or object        n elements left out
    {"$cut": characters, "head": text, "tail": text}      a string too long to be stored
    {"$blob": reference, "bytes": n, "head": text, "tail": text}
                                                          a value stored apart (`store.blobs`), null if it could not be;
                                                          head and tail of the string itself or of the value's JSON
    {"$hash": digits, "bytes": n}                         a value whose content is not recorded

Integers of up to 4,000 digits stay JSON numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from instrument.attributes import TELLS_NO_CONTENT
from instrument.cutting import beginning
from instrument.record.held import held, size_of
from instrument.record.plain import MAX_DIGITS, NOT_PLAIN, holds_endless_integer, plain_size
from instrument.record.snapshot import snapshot, snapshot_of_named
from instrument.record.texts import shown_bytes, without_surrogates
from instrument.signals import is_of_signal

if TYPE_CHECKING:
    from instrument.redact import Redactor
    from instrument.store.blobs import Blobs

DIRECT_SIZE = 1 << 20
"""A plain value up to about this many bytes is encoded on the caller's thread (under a millisecond)."""

LEAST_BYTES = 1_024
STEP = 1 << 18
"""What makes more JSON is encoded piece by piece."""
_HEAD, _TAIL = 2_000, 500
_WORTH_STORING = 200
"""Bytes of JSON from which an argument is stored apart."""

_encode = msgspec.json.Encoder().encode
_SIGN = ord("$")


class Large:
    """A value too long for the caller's thread to finish: its own snapshot, which nobody changes any more.

    `size` is roughly the bytes that it takes until the worker has finished it.
    """

    __slots__ = ("by_name", "camera", "encoded", "size", "tree")

    def __init__(self, camera: Camera, tree: Any, size: int, *, by_name: bool, encoded: bytes | None = None) -> None:
        self.camera = camera
        self.tree = tree
        self.size = size
        self.by_name = by_name
        self.encoded = encoded

    def whole(self) -> Any:
        """All of it, with secrets, as a tree of plain values."""
        return self.tree if self.encoded is None else msgspec.json.decode(self.encoded)

    def sample(self) -> bytes:
        """Some bytes that tell this value from most others: for fingerprints, at once."""
        return self.encoded if self.encoded is not None else _sample(self.tree)


Captured = Raw | Large


def large_bytes(captured: Any) -> int:
    """The bytes of what is left to be finished of a value, or of what a generator yielded."""
    if captured.__class__ is list:
        return sum(map(large_bytes, captured))
    return captured.size if captured.__class__ is Large else 0


def left_out(captured: Any) -> Any:
    """What stands for a value that there is no room for. What is finished already is given back as it is."""
    if captured.__class__ is list:
        return [left_out(one) for one in captured]
    if captured.__class__ is not Large:
        return captured
    mark = {"$blob": None, "bytes": captured.size, "head": "", "tail": ""}
    return Raw(_encode({"$omitted": len(captured.whole())} if captured.by_name else mark))


class Camera:
    """Captures values. `max_bytes` bounds the JSON of one capture, `max_blob_bytes` what is stored of a longer one.

    With `content=False` nothing but sizes and keyed hashes is recorded, with the key of `redactor`, which takes secrets
    out of what is too long for `max_bytes`; what is short has its secrets taken out with the rest of its record.
    Values of up to `holds` characters are held as they are (`held`) and encoded on the worker.
    """

    def __init__(
        self,
        max_bytes: int = 65_536,
        max_blob_bytes: int = 8_388_608,
        content: bool = True,
        *,
        redactor: Redactor,
    ) -> None:
        self.max_bytes = max(max_bytes, LEAST_BYTES)
        self.max_blob_bytes = max_blob_bytes
        self.content = content
        self.holds = self.max_bytes // 8 if content else -1
        self._direct = min(DIRECT_SIZE, 16 * self.max_bytes) if content else -1
        self._short = min(MAX_DIGITS, self.max_bytes)
        self.redactor = redactor

    def taken(self, value: object) -> Any:
        """Any value, as it is now: itself or a copy where nothing in it can change, else as `value` gives it."""
        kept = held(value, self.holds)
        return self.value(value) if kept is None else kept

    def attribute(self, name: str, value: object) -> Any:
        """The value of an attribute, as `taken` gives it; of some it is recorded where contents are not."""
        kept = None if self.content or name not in TELLS_NO_CONTENT else held(value, self.max_bytes // 8)
        return self.taken(value) if kept is None else kept

    def attributes(self, named: Mapping[str, object]) -> dict[str, Any]:
        """The mapping with each value as `attribute` gives it."""
        return {name: self.attribute(name, value) for name, value in named.items()}

    def taken_arguments(self, named: dict[str, Any]) -> Any:
        """The arguments of a call by parameter, in a dict that is ours to keep, as `taken` takes values."""
        room = self.holds
        for name, value in named.items():
            kept = held(value, room)
            if kept is None and value is not None:
                return self.arguments(named)
            named[name] = kept
            room -= size_of(kept)
        try:
            is_kept = room >= 0 and "$" not in "".join(named)
        except TypeError:  # a keyword that is no string, for which Python will refuse the call
            is_kept = False
        return named if is_kept else self.arguments(named)

    def arguments(self, named: dict[str, object]) -> Captured:
        """The arguments of a call by parameter, as they are now."""
        try:
            size = 0
            for value in named.values():
                kind = type(value)
                if kind is str:
                    size += len(value)  # type: ignore[arg-type]
                elif kind is not int and kind is not bool and value is not None:
                    size += plain_size(value, self._direct)
            if size <= self._direct:
                data = _encode(named)
                if self._is_as_it_came(data):
                    return Raw(data)
        except (KeyboardInterrupt, SystemExit):  # perhaps a signal, which is the user's
            raise
        except BaseException as fault:
            if fault.__class__ is not RecursionError and is_of_signal(fault):
                raise
        return self._carefully(named, by_name=True)

    def value(self, value: object) -> Captured:
        """Any value, as it is now."""
        try:
            if plain_size(value, self._direct) <= self._direct:
                data = _encode(value)
                if self._is_as_it_came(data):
                    return Raw(data)
        except (KeyboardInterrupt, SystemExit):  # perhaps a signal, which is the user's
            raise
        except BaseException as fault:
            if fault.__class__ is not RecursionError and is_of_signal(fault):
                raise
        return self._carefully(value, by_name=False)

    def _is_as_it_came(self, data: bytes) -> bool:
        """Whether this JSON can stand for the value: short enough, readable, and nothing in it looks like a mark."""
        is_whole = len(data) <= self._short or (len(data) <= self.max_bytes and not holds_endless_integer(data))
        return is_whole and (_SIGN not in data or b'"$' not in data)

    def _carefully(self, value: Any, *, by_name: bool) -> Captured:
        try:
            tree, size = snapshot_of_named(value) if by_name else snapshot(value)
            if size > DIRECT_SIZE:
                return Large(self, tree, size, by_name=by_name)
            data = encode_valid(tree)
            if len(data) <= self.max_bytes and self.content:
                return Raw(data)
            return Large(self, None, len(data), by_name=by_name, encoded=data)
        except (KeyboardInterrupt, SystemExit):  # perhaps a signal, which is the user's
            raise
        except BaseException as fault:
            if fault.__class__ is not RecursionError and is_of_signal(fault):
                raise
            return Raw(_encode({"$unreadable": "value", "error": type(fault).__name__}))


def finish(captured: Any, blobs: Blobs | None) -> Any:
    """Finish what `Camera` left over; runs on the worker. What is finished already is given back as it is."""
    if type(captured) is not Large:
        return captured
    try:
        return Raw(_settled(captured, blobs))
    except Exception as fault:  # noqa: BLE001 - one odd value must not cost its record
        return Raw(_encode({"$unreadable": "value", "error": type(fault).__name__}))


def _settled(large: Large, blobs: Blobs | None) -> bytes:
    camera, tree = large.camera, large.whole()
    if not camera.content:
        return _encode(_hidden(tree, camera.redactor, large.by_name))
    tree = _shortened(tree, camera.redactor, _longest(tree, camera.max_blob_bytes))
    tree = camera.redactor.value(tree)
    return _fitted(tree, camera, large.by_name, blobs)


def _hidden(tree: Any, redactor: Redactor, by_name: bool) -> Any:
    if by_name:
        return {name: _hidden(value, redactor, False) for name, value in tree.items()}
    data = b"".join(_encoded_in_steps(_shortened(tree, redactor, NOT_PLAIN)))
    return {"$hash": redactor.keyed_hash(data), "bytes": len(data)}


# On the worker: what is too long


def _longest(tree: Any, most: int) -> int:
    """How long a single string may be, so that all of them together are no longer than what is stored."""
    lengths = list(_lengths(tree))
    return most if sum(lengths) <= most else max(most // len(lengths), 2 * _HEAD)


def _lengths(tree: Any) -> Iterator[int]:
    kind = type(tree)
    if kind is str or kind is bytes:
        yield len(tree)
    elif kind is dict or kind is list:
        for value in tree.values() if kind is dict else tree:
            yield from _lengths(value)


def _shortened(tree: Any, redactor: Redactor, limit: int) -> Any:
    """The tree with bytes shown as text, and with every string that alone is longer than what is stored cut."""
    kind = type(tree)
    if kind is str:
        return tree if len(tree) <= limit else _cut(tree, redactor, limit)
    if kind is bytes:
        shown = tree if len(tree) <= limit else beginning(tree, limit // 2)
        return _shortened(shown_bytes(shown, len(tree)), redactor, limit)
    if kind is dict:
        return {key: _shortened(value, redactor, limit) for key, value in tree.items()}
    if kind is list:
        return [_shortened(value, redactor, limit) for value in tree]
    return tree


def _cut(text: str, redactor: Redactor, limit: int) -> dict[str, Any]:
    """Both ends of a string. A secret that reaches over a cut is known by what lies beyond and goes as a whole."""
    head, tail = min(_HEAD, limit), min(_TAIL, limit)
    return {
        "$cut": len(text),
        "head": redactor.stretch(text, 0, head),
        "tail": redactor.stretch(text, len(text) - tail, len(text)),
    }


def _fitted(tree: Any, camera: Camera, by_name: bool, blobs: Blobs | None) -> bytes:
    """The JSON of the tree, what makes it too long stored apart."""
    data = _fitted_by_name(tree, camera, blobs) if by_name else b"".join(_encoded_in_steps(tree))
    if len(data) <= camera.max_bytes:
        return data
    return encode_valid(_stored(tree, camera, blobs, camera.max_bytes // 12))


def _fitted_by_name(tree: dict[str, Any], camera: Camera, blobs: Blobs | None) -> bytes:
    """Arguments; the longest are stored apart, one after the other, until the rest fits."""
    pieces = {name: b"".join(_encoded_in_steps(value)) for name, value in tree.items()}
    size = sum(len(piece) + len(name) + 4 for name, piece in pieces.items())
    share = camera.max_bytes // (12 * (len(pieces) or 1))
    for name in sorted(pieces, key=lambda name: -len(pieces[name])):
        if size <= camera.max_bytes or len(pieces[name]) < _WORTH_STORING:
            break
        size -= len(pieces[name])
        pieces[name] = encode_valid(_stored(tree[name], camera, blobs, share))
        size += len(pieces[name])
    return b"{" + b",".join(encode_valid(name) + b":" + piece for name, piece in pieces.items()) + b"}"


def _stored(tree: Any, camera: Camera, blobs: Blobs | None, share: int) -> dict[str, Any]:
    """What stands for a value that is stored apart; `share` bounds the characters of its head and tail."""
    pieces = _encoded_in_steps(tree)
    size = sum(map(len, pieces))
    reference = blobs.put(pieces) if blobs is not None and size <= camera.max_blob_bytes else None
    head, tail = min(_HEAD, share // 2), min(_TAIL, share // 4)
    if type(tree) is str:
        return {"$blob": reference, "bytes": size, "head": tree[:head], "tail": tree[len(tree) - tail :]}
    first, last = _ends(pieces, 4 * head, 4 * tail)
    return {"$blob": reference, "bytes": size, "head": first[:head], "tail": last[len(last) - tail :]}


def _ends(pieces: list[bytes], head: int, tail: int) -> tuple[str, str]:
    """The first and the last bytes of the joined pieces, as text."""
    first, last = b"", b""
    for piece in pieces:
        if len(first) >= head:
            break
        first += piece[:head]
    for piece in reversed(pieces):
        if len(last) >= tail:
            break
        last = piece[len(piece) - min(tail, len(piece)) :] + last
    return first.decode(errors="ignore"), last.decode(errors="ignore")


def _encoded_in_steps(tree: Any) -> list[bytes]:
    """The JSON of a tree in pieces, so that no step holds the interpreter for long."""
    kind = type(tree)
    if kind is str and len(tree) > STEP:
        inner = (_encode_valid_text(tree[at : at + STEP])[1:-1] for at in range(0, len(tree), STEP))
        return [b'"', *inner, b'"']
    if kind is dict and tree and plain_size(tree, STEP) > STEP:
        pieces = [b"{"]
        for name, value in tree.items():
            pieces += (encode_valid(name), b":", *_encoded_in_steps(value), b",")
        return [*pieces[:-1], b"}"]
    if kind is list and tree and plain_size(tree, STEP) > STEP:
        pieces = [b"["]
        for value in tree:
            pieces += (*_encoded_in_steps(value), b",")
        return [*pieces[:-1], b"]"]
    return [encode_valid(tree)]


def encode_valid(tree: Any) -> bytes:
    try:
        return _encode(tree)
    except UnicodeEncodeError:
        return _encode(without_surrogates(tree))


def _encode_valid_text(text: str) -> bytes:
    try:
        return _encode(text)
    except UnicodeEncodeError:
        return _encode(text.encode("utf-8", "backslashreplace").decode())


def _sample(tree: Any, depth: int = 3) -> bytes:
    """The type, the size and the ends of a tree that was not encoded."""
    kind = type(tree)
    if kind is str:
        ends = tree if len(tree) <= 2_000 else tree[:1_000] + tree[-1_000:]
        return b"%d:%s" % (len(tree), ends.encode("utf-8", "backslashreplace"))
    if kind is bytes:
        return b"%d:%s" % (len(tree), tree[:1_000] + tree[-1_000:])
    if kind in (list, dict) and depth:
        some = [*tree][:20] + [*tree.values()][:20] if kind is dict else [*tree[:10], *tree[-10:]]
        return b"%d[%s]" % (len(tree), b",".join(_sample(one, depth - 1) for one in some))
    return repr(tree)[:100].encode("utf-8", "backslashreplace")
