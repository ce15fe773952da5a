"""Values without what differs from run to run and means nothing: ids, times, addresses, folders, ports.

Two values are alike when they are equal after this. What is left out is replaced by what it was, such as `<uuid>`,
so that a value with it and one without still differ.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache
from hashlib import blake2b
from itertools import count
from typing import Any

import msgspec

_HEX = "0-9a-fA-F"
_RULES: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("-", re.compile(rf"\b[{_HEX}]{{8}}-[{_HEX}]{{4}}-[{_HEX}]{{4}}-[{_HEX}]{{4}}-[{_HEX}]{{12}}\b"), "<uuid>"),
    (
        "-",
        re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?(?:Z|UTC)\b|[+-]\d\d:?\d\d)?"),
        "<time>",
    ),
    ("-", re.compile(r"\b\d{4}-\d\d-\d\d\b"), "<date>"),
    (":", re.compile(r"\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b"), "<time>"),
    ("1", re.compile(r"\b1[4-9]\d{8}(?:\.\d+|\d{3}|\d{6}|\d{9})?\b"), "<time>"),
    (".", re.compile(r"\b\d+\.\d+ ?(?:ns|[µμu]s|ms|s|sec|secs|seconds)\b"), "<duration>"),
    ("0x", re.compile(rf"\b0x[{_HEX}]{{6,16}}\b"), "<address>"),
    (
        "",
        re.compile(r"\b(call|resp|msg|chatcmpl|cmpl|req|toolu|fc|rs|ws|run|item|thread|conv|asst)[_-](?=[A-Za-z0-9_-]*\d)[A-Za-z0-9_-]{6,}\b"),
        r"<\1 id>",
    ),
    ("", re.compile(rf"\b(?=[{_HEX}]{{16}})(?=[{_HEX}]*[a-fA-F])(?=[{_HEX}]*\d)[{_HEX}]{{16,64}}\b"), "<id>"),
    (":", re.compile(r"\b(localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\]):\d{2,5}\b"), r"\1:<port>"),
    ("/", re.compile(r"(?<![\w.:/~<])(?:~|/)?(?:/[\w.@+%=-]+)+/(?=[\w.@+%=-]+)"), "<folder>/"),
    ("\\", re.compile(r"\b[A-Za-z]:\\(?:[\w.@+%= -]+\\)+"), r"<folder>/"),
)  # fmt: skip
"""What a text must hold for the rule to be tried, what is replaced, and what by."""

_TIMES = frozenset({
    "timestamp", "created", "created_at", "updated_at", "completed_at", "time_ns", "start_ns", "end_ns", "duration_ns",
    "duration_ms", "duration_s", "duration", "elapsed", "elapsed_ms", "latency", "latency_ms", "mtime", "ctime",
})  # fmt: skip
_IDS = frozenset({
    "call_id", "tool_call_id", "request_id", "response_id", "trace_id", "span_id", "run_id", "pid", "tid",
    "system_fingerprint",
})  # fmt: skip
_PARTS_WITH_IDS = frozenset({"tool_call", "tool_call_response", "server_tool_call", "server_tool_call_response"})
_SIGNS = ("1", "0", "/", "2", "3", "4", "5", "6", "7", "8", "9", "\\")
_SUSPECT = re.compile(r"[\d/\\]")
"""Without any of these there is nothing to replace."""
_OFTEN = 20_000
_EPHEMERAL = 10_000
"""Ports from here on are given out by the system, those below are chosen."""


def steady(value: Any, key: str = "") -> Any:
    """The value without what is volatile; `key` is the name that it has where it comes from."""
    kind = type(value)
    if kind is str:
        return "<id>" if key in _IDS and value else steady_text(value)
    if kind is dict:
        part = value.get("type")
        is_part = isinstance(part, str) and part in _PARTS_WITH_IDS
        return {name: "<id>" if is_part and name == "id" else steady(item, name) for name, item in value.items()}
    if kind is list:
        return [steady(item) for item in value]
    if kind in (int, float) and key:
        return _steady_number(value, key)
    return value


def steady_text(text: str) -> str:
    """The text without what is volatile."""
    if not _is_suspect(text):
        return text
    return _replaced_often(text) if len(text) <= _OFTEN else _replaced(text)


def _is_suspect(text: str) -> bool:
    if not text.isascii():
        return _SUSPECT.search(text) is not None
    for sign in _SIGNS:  # noqa: SIM110 - a generator takes twice as long; the pattern ten times where there is none
        if sign in text:
            return True
    return False


def _replaced(text: str) -> str:
    for needed, pattern, instead in _RULES:
        if needed in text:
            text = pattern.sub(instead, text)
    return text


_replaced_often = lru_cache(maxsize=2048)(_replaced)  # a conversation is in every later prompt again


def _steady_number(value: float, key: str) -> Any:
    if key in _TIMES:
        return "<time>"
    if key in _IDS:
        return "<id>"
    return "<port>" if key in ("port", "server_port") and value >= _EPHEMERAL else value


def print_of(value: Any) -> bytes:
    """A steady value as bytes: equal for values that are alike, whatever the order of their keys."""
    return _encode(steady(value))


class Numbered:
    """Values in numbers that are equal for values that are alike.

    In two runs most values are there twice to the letter: what was seen once is not made steady again.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, int] = {}
        self._alike: dict[bytes, int] = defaultdict(count().__next__)

    def __getitem__(self, value: Any) -> int:
        letters = _digest(_letters(value))
        known = self._known.get(letters)
        if known is None:
            known = self._known[letters] = self._alike[_digest(print_of(value))]
        return known


def _digest(letters: bytes) -> bytes:
    return blake2b(letters, digest_size=16).digest()


_letters = msgspec.json.Encoder().encode
_encode = msgspec.json.Encoder(order="sorted").encode
