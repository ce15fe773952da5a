"""Wrong arguments: the model leaves out what a tool requires, gives what it does not take, or a word for a number.

A tool that ignores what it does not know takes its defaults then, and nothing fails. What a schema leaves open, as most
do, is a hint only, and so is a value of another type: whoever checks it tells the model. Schemas that choose between
forms are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from contextlib import suppress
from typing import Any, NamedTuple

from msgspec import Raw

from instrument.detectors.answers import Wish, functions
from instrument.detectors.calls import plain
from instrument.detectors.told import Growth, gone_on, listed, often, some, told, worth_telling
from instrument.model import Finding, Span

_CHOICES = frozenset(("anyOf", "oneOf", "allOf", "$ref", "patternProperties"))
_FORMS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
"""What JSON has for the types of a schema. A missing value, `null`, fits each: tools mostly have a default for it."""
_TRUTHS = {"true": True, "false": False}
_READ_AS: dict[str, Callable[[str], object]] = {"integer": float, "number": float, "boolean": _TRUTHS.__getitem__}
"""Types that frameworks read from a text as well."""
_MOST_NAMES = 8
_MOST_PATTERNS = 64


class Parameters(NamedTuple):
    """What a tool takes: the names, those that it requires, whether it takes no others, and the types it names."""

    known: frozenset[str]
    required: frozenset[str]
    closed: bool
    types: dict[str, str]


class WrongArguments:
    """Watches the model calls of one run."""

    def __init__(self) -> None:
        self._definitions = Raw(b"")
        self._tools: dict[str, Parameters] = {}
        self._growth: Growth = {}
        self._times: dict[str, int] = {}

    def feed(self, span: Span, asked: list[Wish], offered: Raw | None) -> list[Finding]:
        """Findings where what this model call wishes for does not fit the tools that it was offered."""
        if offered is None:
            return []
        if offered != self._definitions:
            self._definitions, self._tools = offered, _parameters(plain(offered))
        return some(*(self._judged(span, wish) for wish in asked))

    def _judged(self, span: Span, wish: Wish) -> Finding | None:
        tool, given = self._tools.get(wish.name), wish.given if _is_said(wish) else {}
        if tool is None or not isinstance(given, dict) or _is_apart(given):
            return None
        missing, strange = tool.required - given.keys(), given.keys() - tool.known
        if missing:
            return self._told(span, wish, f"without {_named(missing)}, which it requires", "", "warning")
        if strange and tool.known:
            severity = "warning" if tool.closed else "info"
            how, takes = f"with {_named(strange)}, which it does not take", f"; it takes {_named(tool.known)}"
            return self._told(span, wish, how, takes, severity)
        for name, kind in tool.types.items():
            if name in given and not _fits(given[name], kind):
                how = f"with {name} as {_called(given[name])}, which is to be of type {kind}"
                return self._told(span, wish, how, "", "info")
        return None

    def _told(self, span: Span, wish: Wish, how: str, takes: str, severity: str) -> Finding | None:
        pattern = f"{wish.name} {how}"
        times = self._times[pattern] = self._times.pop(pattern, 0) + 1
        if len(self._times) > _MOST_PATTERNS:
            del self._times[next(iter(self._times))]
        if not worth_telling(self._growth, pattern, times):
            return None
        sentence = f"{wish.name} was called {how}, {often(times)} so far{takes}"
        found = told("wrong_arguments", sentence, [span], severity=severity, calls=[wish.name], times=times)
        return gone_on(self._growth, pattern, found)


def _parameters(tools: Any) -> dict[str, Parameters]:
    """What each function takes whose schema says it in a plain way."""
    plainly = ((name, schema) for name, schema in functions(tools) if isinstance(schema, dict))
    return {name: _taken(schema) for name, schema in plainly if _CHOICES.isdisjoint(schema)}


def _taken(schema: dict[str, Any]) -> Parameters:
    known, required = schema.get("properties"), schema.get("required")
    return Parameters(
        frozenset(known) if isinstance(known, dict) else frozenset(),
        frozenset(name for name in required if isinstance(name, str)) if isinstance(required, list) else frozenset(),
        schema.get("additionalProperties") is False,
        dict(_types(known)) if isinstance(known, dict) else {},
    )


def _types(properties: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, schema in properties.items():
        kind = schema.get("type") if isinstance(schema, dict) else None
        if isinstance(kind, str) and kind in _FORMS and _CHOICES.isdisjoint(schema):
            yield name, kind


def _fits(value: Any, kind: str) -> bool:
    if isinstance(value, _FORMS[kind]) and (kind == "boolean" or not isinstance(value, bool)):
        return True
    if value is None or _stands_for_another(value):
        return True
    if isinstance(value, str):
        with suppress(ValueError, KeyError):
            _READ_AS[kind](value.strip().lower())
            return True
    return kind == "integer" and isinstance(value, float) and value.is_integer()


def _stands_for_another(value: Any) -> bool:
    """Whether this was put in the place of a value: of one that is secret, or stored apart."""
    return (isinstance(value, str) and "[redacted:" in value) or (isinstance(value, dict) and _is_apart(value))


def _called(value: Any) -> str:
    """What the form of a value is called by those who write schemas."""
    form = next((kind for kind, forms in _FORMS.items() if type(value) in forms), "something else")
    return f"{'an' if form[0] in 'aio' else 'a'} {form}"


def _is_said(wish: Wish) -> bool:
    """Whether there are arguments: a text without any stands for none."""
    return not isinstance(wish.arguments, str) or wish.arguments.strip() != ""


def _is_apart(given: dict[str, Any]) -> bool:
    """Whether these are no arguments but what stands for them."""
    return any(name.startswith("$") for name in given)


def _named(names: Set[str]) -> str:
    return listed(sorted(names), _MOST_NAMES)
