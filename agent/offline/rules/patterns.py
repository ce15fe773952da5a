"""Regular expressions that take exponential time on a text that almost matches."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .source import Finding, Source, dotted, told

takers = {
    f"re.{name}" for name in ("compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer")
}
atom = r"(?:\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\()\[\]|?*+{}^$])"
optional = rf"(?:{atom}[*?]\??)*"
nested = re.compile(
    rf"(?<!\\)\((?:\?:|\?P<\w+>)?{optional}{atom}\+\??{optional}\)(?:[*+]|\{{\d*,\}})(?!\+)\??(?P<rest>.*)", re.S
)
"""A group that repeats, and is one repeated character and perhaps optional ones: `(\\w+\\s?)+`."""


def find(source: Source) -> Iterator[Finding]:
    for call in source.calls:
        match call.args:
            case [ast.Constant(value=str(pattern)), *_] if dotted(call.func) in takers and not is_verbose(call):
                found = nested.search(pattern)
                if found and can_fail(found["rest"], call):
                    yield told(
                        call,
                        "slow-pattern",
                        f"`{pattern[:60]}` in {source.place(call)} repeats what repeats already: a text that "
                        "does not match takes time that doubles with every character",
                        "let the inner and the outer repetition differ in what they match, or drop one of the two",
                    )


def is_verbose(call: ast.Call) -> bool:
    flags = [*call.args[1:], *(keyword.value for keyword in call.keywords)]
    return any(dotted(part) in ("re.X", "re.VERBOSE") for flag in flags for part in ast.walk(flag))


def can_fail(rest: str, call: ast.Call) -> bool:
    """Whether something has to follow the repetition: only then is every way to divide a text tried."""
    return (
        dotted(call.func) == "re.fullmatch"
        or re.fullmatch(rf"{optional}(?:\)[*?]?)*{optional}(?:\|.*)?", rest, re.S) is None
    )
