"""Redaction: secrets in text and in JSON become `[redacted:…]`, the same secret always the same twelve digits.

A secret is known by its shape (a key of a provider, a signed token, a private key, the password in a URL) or by the
name that it is kept under (`password`, `api_key`, `Authorization`), as a key of an object, in JSON text held in a
string, in a query string, in `NAME=value`, in a header or behind `--flag`, or as the neighbour of its value in a pair
or an object. What lies in pieces is looked at as a whole. The tables are in `secret_shapes`.

Nearly every line is clean, so there are two looks. The quick one asks whether there could be a secret at all: a few
searches by Rust's regular expressions, which pydantic-core brings along and which skip through text by its
literals (Python's own engine takes twenty times as long). Only where it suspects something does the careful look
decode the line and walk it.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from instrument import secret_shapes as shapes
from instrument.errors import SettingsError
from instrument.installation import installation_key
from instrument.model import AnyRecord, Cost, Event, Failure, Link, Usage
from instrument.secret_search import (
    AHEAD,
    MARGIN,
    Found,
    by_name,
    by_patterns,
    by_shape,
    folded,
    is_secret_name,
    stays,
    without_scheme,
)
from instrument.signals import is_of_signal

if TYPE_CHECKING:
    from instrument.settings import Settings

BLOCK = 4_096
"""Characters that the careful look takes at once: no call into an engine holds the interpreter for long."""

STRETCH = 1 << 15
"""Bytes of lines that the quick look takes at once: so many are read again from the processor's nearest memory."""

_BEHIND = 64

_OURS = ("start_ns", "duration_ns", "time_ns", "pid", "schema", "status", "severity", "detector", "usage", "cost")
"""Fields of a record that hold numbers and words of ours, money as text among them: no pattern is meant for them."""

_PLAIN = re.compile(r"[a-z_]{1,20}|[-+.\dE]{1,60}")
"""Such words and numbers."""

_FIELDS = frozenset(
    field for kind in (*AnyRecord.__args__, Failure, Usage, Cost, Event, Link) for field in kind.__struct_fields__
) | {"type"}


_PARTS = ("error", "causes", "events", "links", "usage", "cost")
"""Fields that hold what has such fields itself."""


class Redactor:
    """Replaces secrets by `[redacted:XXXXXXXXXXXX]`, twelve digits of HMAC-SHA256 under `key`.

    `names` are further names whose values are secrets (any spelling of the same words), `patterns` further regular
    expressions (group 1 is the secret where there is one, else the whole match; for their sake every line is looked at
    carefully), `keep` names or whole values that stay. Raises `SettingsError` for a pattern that does not compile.
    """

    def __init__(
        self, key: bytes, names: Iterable[str] = (), patterns: Iterable[str] = (), keep: Iterable[str] = ()
    ) -> None:
        names = tuple(names)
        self._key = key
        self._names = frozenset(map(folded, names))
        self._kept = frozenset(keep)
        self._kept_names = frozenset(map(folded, self._kept))
        self._patterns = tuple(map(_compiled, patterns))
        self._finds_names = _search(shapes.LOOK_FOR_NAMES)
        self._is_sure_of_names = _search(shapes.SURE_OF_NAMES)
        self._is_sure_of_words = _search(shapes.SURE_OF_WORDS)
        self._finds_owners = tuple(map(_search, shapes.LOOK_FOR_OWNERS))
        self._is_sure_of_owners = _search(shapes.SURE_OF_OWNERS)
        self._finds_short = _search(shapes.LOOK_FOR_SHORT)
        self._finds_beside = _search(shapes.LOOK_BESIDE)
        self._finds_tokens = _search(shapes.LOOK_FOR_TOKENS)
        self._finds_rest = _search(shapes.LOOK_FOR_REST)
        self._finds_own = _search(shapes.look_for_own(names)) if self._names else None
        self._assignment = re.compile(shapes.assignment(names))
        self._is_secret_name = lru_cache(4096)(self._secret_name)

    def line(self, data: bytes, start: int = 0) -> bytes:
        """One encoded JSON record without its secrets; the very same object when there are none.

        The part before `start` holds ids and numbers of ours and stays as it is. The result is JSON of the same shape.
        """
        try:
            if not self._suspects_encoded(data) and not self._patterns:
                return data
        except UnicodeDecodeError:
            return self.text(data.decode(errors="backslashreplace")).encode()
        try:
            return self._careful_line(data, start)
        except (msgspec.MsgspecError, RecursionError):
            return self._text(data.decode()).encode()

    def suspected(self, lines: bytes) -> list[tuple[int, int]]:
        """Where in the lines a secret could be, by one quick look at all of them: stretches of whole lines."""
        if self._patterns:
            return [(0, len(lines))]
        view = memoryview(lines)
        return [(start, end) for start, end in _stretches(lines) if self._suspects_or_cannot_tell(view[start:end])]

    def text(self, text: str) -> str:
        """Plain text without its secrets; the very same object when there are none."""
        if len(text) > MARGIN or self._suspects(text) or any(pattern.search(text) for pattern in self._patterns):
            return self._text(text)
        return text

    def stretch(self, text: str, begin: int, end: int) -> str:
        """A part of a text; a secret that one of its ends goes through is known by what lies beyond."""
        first = max(0, begin - MARGIN)
        return self.text(self._replaced(text[first : end + MARGIN], begin - first, end - first))

    def secret_name(self, name: str) -> bool:
        """Whether a value under this name is a secret: `db_password`, `X-Api-Key`, `accessToken`; not `max_tokens`."""
        return self._is_secret_name(name)

    def value(self, value: Any) -> Any:
        """A plain JSON value (dicts, lists, strings, numbers) without its secrets; `value` itself is left alone."""
        kind = type(value)
        if kind is str:
            return self.text(value)
        if kind is dict:
            return self._walk_object(value)
        if kind is list:
            return self._walk_array(value)
        return value

    def pieces(self, parts: list[Any], between: str = "") -> list[Any]:
        """Values that belong together, such as what a stream gave, without the secrets that only the whole shows.

        The first text that a secret goes over has its placeholder. The very same list where there is none.
        """
        texts = [_text_in(part) or "" for part in parts]
        whole = between.join(texts)
        if sum(map(bool, texts)) < 2 or not (self._patterns or self._suspects(whole)):
            return parts
        cut, begin = list(parts), 0
        alone = list(self._found_in_each(texts, len(between)))
        beside = [one._replace(secret=whole[one.start : one.end]) for one in self._found_in(_without(whole, alone))]
        secrets = _merged(whole, [*self._found_in(whole), *alone, *beside])
        for at, text in enumerate(texts):
            end = begin + len(text)
            here = [one for one in secrets if one.start < end and one.end > begin]
            if here:
                cut[at] = _with_text(parts[at], self._left_of(whole, begin, end, here))
            begin = end + len(between)
        return cut

    def placeholder(self, secret: str) -> str:
        """What stands for the secret."""
        digest = hmac.digest(self._key, secret.encode("utf-8", "surrogatepass"), "sha256")
        return f"[redacted:{digest[:6].hex()}]"

    def keyed_hash(self, data: bytes) -> str:
        """Twelve hexadecimal digits that say whether two contents are equal and nothing else."""
        return hmac.digest(self._key, data, "sha256")[:6].hex()

    # The quick look

    def _suspects(self, text: str) -> bool:
        """Whether a secret could be there. Wrongly yes costs time, wrongly no would cost a secret."""
        return self._suspects_readable(text) or _has_surrogates(text)

    def _suspects_encoded(self, data: bytes | memoryview) -> bool:
        """The same of UTF-8. Raises `UnicodeDecodeError` where it is none: Rust could not read it and would say no."""
        text = str(data, "utf-8")
        return self._suspects_readable(text if text.isascii() else bytes(data))  # else it would be encoded again

    def _suspects_or_cannot_tell(self, data: memoryview) -> bool:
        try:
            return self._suspects_encoded(data)
        except UnicodeDecodeError:
            return True

    def _suspects_readable(self, text: str | bytes) -> bool:
        if self._finds_tokens(text) or self._finds_rest(text):
            return True
        if self._finds_names(text) and (self._is_sure_of_names(text) or self._suspects_owner(text)):
            return True
        return self._finds_own is not None and self._finds_own(text)

    def _suspects_owner(self, text: str | bytes) -> bool:
        return any(finds(text) for finds in self._finds_owners) and self._is_sure_of_owners(text)

    def _suspects_shape(self, text: str) -> bool:
        looks = (self._finds_tokens, self._finds_rest, self._finds_short, self._finds_beside)
        return any(finds(text) for finds in looks)

    def _suspects_name(self, text: str) -> bool:
        own = self._finds_own is not None and self._finds_own(text)
        return own or self._is_sure_of_words(text) or self._suspects_owner(text) or self._finds_rest(text)

    # The careful look at a line

    def _careful_line(self, data: bytes, start: int) -> bytes:
        head, body = data[:start], data
        if start and data[start - 1 : start] == b",":
            body = b"{" + data[start:]
        else:
            head = b""
        decoded = msgspec.json.decode(body)
        redacted = self._walk_record(decoded)
        if type(decoded) is dict:
            redacted.update({name: decoded[name] for name in _OURS if name in decoded and _is_ours(decoded[name])})
        if redacted == decoded:
            return data
        encoded = msgspec.json.encode(redacted)
        return head + encoded[1:] if head else encoded

    def _walk_record(self, node: Any) -> Any:
        """A record, or one of its parts: how we call a field makes no secret of what is in it."""
        if type(node) is list:
            return [self._walk_record(one) for one in node]
        if type(node) is not dict:
            return self.value(node)
        walked: dict[str, Any] = {}
        for name, value in node.items():
            if name in _FIELDS:
                walked[name] = self._walk_record(value) if name in _PARTS else self.value(value)
            else:
                walked |= self._walk_object({name: value})
        return walked

    def _walk_object(self, node: dict[str, Any]) -> dict[str, Any]:
        walked = {}
        if (named := _named_value(node)) is not None and self.secret_name(node[named[0]]):
            node = {**node, named[1]: self._hide(node[named[0]], node[named[1]])}
        for name, value in node.items():
            if self.secret_name(name) and not (name == "token" and "logprob" in node):
                walked[self._name(name)] = self._hide(name, value)
            elif name == "auth" and type(value) is list and len(value) == 2:
                walked[name] = [self.value(value[0]), self._hide("password", value[1])]
            else:
                walked[self._name(name)] = self.value(value)
        return walked

    def _name(self, name: str) -> str:
        """A key without its secrets: what the fields of records are called is none, whatever patterns say."""
        return name if name in _FIELDS else self.text(name)

    def _walk_array(self, node: list[Any]) -> list[Any]:
        """Every element; after an element that is a flag (`--password`) the next one is its value."""
        if _are_pairs(node):
            return [self._walk_pair(*pair) for pair in node]
        if any(type(one) is str and "-----BEGIN " in one for one in node):
            node = self.pieces(node)
        elif _is_command(node):
            node = self.pieces(node, " ")
        walked, flag = [], None
        for element in node:
            is_text = type(element) is str
            walked.append(self._hide(flag, element) if flag and is_text else self.value(element))
            flag = element if is_text and element[:1] == "-" and self.secret_name(element) else None
        return walked

    def _walk_pair(self, name: Any, value: Any) -> list[Any]:
        """A name and its value, as headers and the items of a mapping are listed."""
        text = _text_in(name)
        if _text_in(value) is not None and text is not None and self.secret_name(text):
            return [name, self._hide(text, value)]
        return self._walk_array([name, value])

    def _hide(self, name: str, value: Any) -> Any:
        """What is kept under a secret name, every scalar replaced."""
        kind = type(value)
        if kind is str:
            return self._hide_text(name, value)
        if kind is dict and _is_schema(value):
            return self.value({key: self._hide(name, one) if key in _EXAMPLES else one for key, one in value.items()})
        if kind is dict:
            return {self.text(key): self._hide_in(key, one, name) for key, one in value.items()}
        if kind is list:
            return [self._hide(name, element) for element in value]
        return value if value is None or kind is bool else self.placeholder(str(value))

    def _hide_in(self, key: str, value: Any, name: str) -> Any:
        return value if key[:1] == "$" and type(value) is int else self._hide(name, value)

    def _hide_text(self, name: str, value: str) -> str:
        start, end = without_scheme(value)
        secret = value[start:end]
        if stays(secret, name) or secret in self._kept:
            return self.text(value)
        return value[:start] + self.placeholder(secret) + value[end:]

    # The careful look at text

    def _text(self, text: str) -> str:
        """Redact until nothing changes, so that doing it twice is the same as doing it once."""
        for _ in range(4):
            told = self._replaced(text, 0, len(text))
            if told == text:
                break
            text = told
        return text

    def _replaced(self, text: str, begin: int, end: int) -> str:
        """The stretch of the text with placeholders for what was found in it or reaches into it."""
        parts: list[str] = []
        at = begin
        for found in self._found_in(text):
            if found.end > at and found.start < end:
                parts += text[at : found.start], found.quote, self.placeholder(found.secret), found.quote
                at = found.end
        return "".join((*parts, text[at : max(at, end)])) if parts else text[begin:end]

    def _left_of(self, whole: str, begin: int, end: int, found: list[Found]) -> str:
        """One piece of a text, with the placeholders of what begins in it and without what goes on in it."""
        left = ""
        for one in found:
            left += whole[begin : max(begin, one.start)]
            left += f"{one.quote}{self.placeholder(one.secret)}{one.quote}" if one.start >= begin else ""
            begin = min(one.end, end)
        return left + whole[begin:end]

    def _found_in(self, text: str) -> Iterator[Found]:
        """The secrets of a text in order, block by block; of two that overlap the first stands for both."""
        last = 0
        for begin in range(0, len(text), BLOCK):
            for found in _merged(text, self._found_in_block(text, begin, begin + BLOCK)):
                if found.end > last and found.secret not in self._kept:
                    yield found if found.start >= last else Found(last, found.end, text[last : found.end])
                    last = found.end

    def _found_in_each(self, texts: list[str], between: int) -> Iterator[Found]:
        """The secrets of texts that are joined, each looked at alone: joined, two may run into each other."""
        begin = 0
        for text in texts:
            for found in self._found_in(text):
                yield found._replace(start=begin + found.start, end=begin + found.end)
            begin += len(text) + between

    def _found_in_block(self, text: str, begin: int, end: int) -> Iterator[Found]:
        block = text[max(0, begin - _BEHIND) : end + AHEAD]
        if _has_surrogates(block):
            block = block.encode("utf-8", "replace").decode()
        if self._suspects_shape(block):
            yield from by_shape(text, begin, end)
        if self._suspects_name(block) or "input_value=" in block:
            yield from by_name(self._assignment, self.secret_name, text, begin, end)
        if self._patterns:
            ours = [match.span() for match in shapes.PLACEHOLDER.finditer(text, max(0, begin - 32), end + AHEAD)]
            for found in by_patterns(self._patterns, text, begin, end):
                if not any(first <= found.start and found.end <= last for first, last in ours):
                    yield found

    def _secret_name(self, name: str) -> bool:
        plain = folded(name)
        if plain in self._kept_names:
            return False
        return plain in self._names or is_secret_name(name)


def _is_ours(value: Any) -> bool:
    """Whether a field holds what we write there: where records come from others it may be anything."""
    if type(value) is dict:
        return all(map(_is_ours, value.values()))
    return value is None or type(value) is int or (type(value) is str and _PLAIN.fullmatch(value) is not None)


def _stretches(lines: bytes) -> Iterator[tuple[int, int]]:
    """Where to cut long lines into stretches of whole ones, so that no search holds the interpreter for long."""
    start = 0
    while start < len(lines):
        end = lines.find(b"\n", start + STRETCH) + 1 or len(lines)
        yield start, end
        start = end


_EXAMPLES = ("default", "const", "example", "examples")


def _is_schema(value: dict[str, Any]) -> bool:
    """Whether an object describes a parameter (JSON schema) instead of holding one."""
    kind = value.get("type")
    named = type(kind) is str and kind in ("string", "number", "integer", "boolean", "object", "array", "null")
    return named or type(kind) is list or "$ref" in value or "anyOf" in value or "oneOf" in value or "allOf" in value


def _text_in(value: Any) -> str | None:
    """The text of a string or of bytes as `capture` shows them; None for anything else."""
    if type(value) is msgspec.Raw and bytes(memoryview(value)[:9]) == b'{"$bytes"':
        value = msgspec.json.decode(value)
    if type(value) is dict and "$bytes" in value:
        value = value.get("text", value.get("escaped"))
    return value if type(value) is str else None


def _with_text(value: Any, text: str) -> Any:
    """The same string or bytes with another text."""
    if type(value) is str:
        return text
    shown = msgspec.json.decode(value) if type(value) is msgspec.Raw else value
    return {**shown, "text" if "text" in shown else "escaped": text}


def _without(text: str, found: list[Found]) -> str:
    """The text with signs that stand in no secret in the place of what was found in it."""
    for one in found:
        text = f"{text[: one.start]}{']' * (one.end - one.start)}{text[one.end :]}"
    return text


def _are_pairs(node: list[Any]) -> bool:
    """Whether it lists names with their values, as the headers of a request are."""
    return bool(node) and all(type(one) is list and len(one) == 2 and _text_in(one[0]) is not None for one in node)


def _is_command(node: list[Any]) -> bool:
    """Whether it is the command line of a program that takes a password as an argument."""
    return len(node) > 1 and type(node[0]) is str and bool(_has_own_flag(node[0]))


_has_own_flag = re.compile(r"(?:.*[/\\])?(?:curl|sshpass|(?:mysql|mariadb)\w*)(?:\.exe)?").fullmatch


def _named_value(node: dict[str, Any]) -> tuple[str, str] | None:
    """The keys of name and value where an object holds one of each: `{"name": "API_KEY", "value": "…"}`."""
    for names, values in _NAMED:
        for value in values:
            if _text_in(node.get(value)) is not None:
                return next(((name, value) for name in names if type(node.get(name)) is str), None)
    return None


_NAMED = (
    (("name", "key", "header", "variable", "env", "selector", "locator", "Name", "Key", "Header"), ("value", "Value")),
    (("selector", "locator", "element"), ("text",)),
)
"""What an object calls a name, and the value beside it; a browser is told what to type where."""


def _merged(text: str, found: Iterable[Found]) -> list[Found]:
    """In order and without overlaps: of two that overlap the one that begins first stands for both."""
    merged: list[Found] = []
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        last = merged[-1] if merged else None
        if last is None or one.start >= last.end:
            merged.append(one)
        elif one.end > last.end:
            merged[-1] = Found(last.start, one.end, text[last.start : one.end], last.quote)
    return merged


def _has_surrogates(text: str) -> bool:
    """Whether Rust could not read the text, so that its searches said nothing."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise SettingsError(
            f"redact.patterns: {pattern!r} is no regular expression ({error}); write it as Python's `re` reads it"
        ) from None


@cache
def _search(pattern: str) -> Callable[[str | bytes], bool]:
    """A function that says whether the pattern occurs in a text, or in the UTF-8 of one.

    pydantic-core validates strings against patterns with Rust's engine; a yes or no is all that is asked of it here.
    Where it cannot be had Python's engine does the same, slower.
    """
    try:
        if _rust_search("é")("é".encode()):
            return _rust_search(pattern)
    except Exception as fault:  # another version may not know the option; any fault here means the slow way
        if is_of_signal(fault):
            raise
    search = re.compile(pattern).search
    return lambda text: search(text if isinstance(text, str) else text.decode()) is not None


@cache
def _rust_search(pattern: str) -> Callable[[str | bytes], bool]:
    from pydantic_core import SchemaValidator, core_schema

    schema = core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")
    return SchemaValidator(schema).isinstance_python


def redactor_of(settings: Settings) -> Redactor:
    """What redacts by the settings, with this installation's key."""
    hidden = settings.redact
    return Redactor(installation_key(), names=hidden.names, patterns=hidden.patterns, keep=hidden.keep)
