"""What a span was called with in one short line, without decoding all of it."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Raw

from instrument.kinds import MODEL_KINDS

BRIEF = 160
"""So many letters of what a span was called with are told."""

_NEXT_KEY, _FIRST_KEY = re.compile(r',"(?=\$?\w+":)'), re.compile(r'\{"(?=\$?\w+":)')
_KEY_END = re.compile(r'(?<=\w)":')
_SHORTENED = re.compile(r'\{"\$(?:cut|blob)":(?:"[^"]*"|\d+|null),(?:"bytes":\d+,)?"head":(?=")')
_UNTOLD = re.compile(r'\{"\$hash":"[^"]*","bytes":(?:(\d+)|"[^"]*")\}')
_SAID = re.compile(r'"content":"((?:[^"\\]|\\.)+)|"type":"tool_call",(?:"id":"[^"]*",)?"name":"([^"\\]*)')
_ESCAPED = re.compile(r"\\(.)")


def brief(span: Any) -> str:
    """What a span was called with, in one line: `path="a.py", start=1`. Of a model call the beginning of the answer."""
    if span.kind in MODEL_KINDS:
        said = _SAID.search(_beginning(getattr(span, "output", None)))
        return "" if said is None else f"→ {said[2]}" if said[2] else _cut(_ESCAPED.sub(_letter, said[1]))
    return brief_of_given(span.input)


def brief_of_given(value: Any) -> str:
    """What a call was given, in one line; `value` may be encoded."""
    text = _beginning(value)
    if text in ("{}", "null"):
        return ""
    if '{"$' in text:
        text = _UNTOLD.sub(_size, _SHORTENED.sub("", text))
    if text.startswith('{"'):
        text = text[2:-1] if text.endswith("}") else text[2:]
        if '{"' in text:
            text = _FIRST_KEY.sub("{", text)
        text = _KEY_END.sub("=", _NEXT_KEY.sub(", ", text))
    return _cut(text)


def _beginning(value: Any) -> str:
    raw = value if value.__class__ is Raw else b"" if value is None else msgspec.json.encode(value)
    return bytes(memoryview(raw)[: BRIEF * 3]).decode("utf-8", "ignore")


def _size(untold: re.Match[str]) -> str:
    return f"({untold[1]} bytes)" if untold[1] else "(redacted)"


def _letter(escape: re.Match[str]) -> str:
    return " " if escape[1] in "ntr" else escape[1] if escape[1] in '"\\/' else escape[0]


def _cut(text: str) -> str:
    return text if len(text) <= BRIEF else text[: BRIEF - 1] + "…"
