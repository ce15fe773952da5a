"""What differs between two spans that are the same call: the cause in one word, where it lies, both values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from instrument.analysis.align import ended, same
from instrument.analysis.asked import spoken
from instrument.analysis.volatile import steady
from instrument.attributes import REQUEST, REQUEST_MODEL, RESPONSE_MODEL, STREAM
from instrument.kinds import MODEL_KINDS
from instrument.model import Span

_REQUEST = "gen_ai.request."
_NO_SETTINGS = frozenset({REQUEST_MODEL, STREAM, REQUEST["previous_response_id"]})

_SHOWN = 30
"""Letters of a message that tell it from others of its kind."""

MISSING = type("Missing", (), {"__repr__": lambda _: "(missing)"})()
"""Stands for what one side does not have."""


class Difference(NamedTuple):
    """One difference. `at_end`: it shows in what the call gave back, not in what it was given."""

    cause: str
    at_end: bool
    where: str
    before: Any
    after: Any


def differences(a: Span, b: Span) -> Iterator[Difference]:
    """The differences between two calls, what was given first; volatile parts count as equal."""
    yield from _given(a, b)
    if ended(a) != ended(b):
        yield Difference("error", True, "status", _outcome(a), _outcome(b))
    elif steady(a.output) != steady(b.output):
        where, before, after = first_difference(a.output, b.output)
        yield Difference("answer" if a.kind in MODEL_KINDS else "result", True, where, before, after)
    elif a.kind in MODEL_KINDS and _differ(a, b, RESPONSE_MODEL) and not _differ(a, b, REQUEST_MODEL):
        yield Difference("model", True, "model", a.attributes[RESPONSE_MODEL], b.attributes[RESPONSE_MODEL])


def _given(a: Span, b: Span) -> Iterator[Difference]:
    if same(a) != same(b):
        yield Difference("other call", False, "call", a.name, b.name)
    if a.kind not in MODEL_KINDS:
        yield from _arguments(a.input, b.input, "arguments")
        return
    if REQUEST_MODEL in a.attributes and REQUEST_MODEL in b.attributes and _differ(a, b, REQUEST_MODEL):
        yield Difference("model", False, "model", a.attributes[REQUEST_MODEL], b.attributes[REQUEST_MODEL])
    one, two = _request(a), _request(b)
    if one is None or two is None:
        yield from _arguments(a.input, b.input, "prompt")
        one = two = {}
    yield from _settings(one, two, a, b)
    if steady(one.get("tools")) != steady(two.get("tools")):
        yield Difference("tools", False, *first_difference(one.get("tools"), two.get("tools"), "tools"))
    yield from _prompt(one.get("messages", []), two.get("messages", []))


def _differ(a: Span, b: Span, attribute: str) -> bool:
    one, two = a.attributes.get(attribute), b.attributes.get(attribute)
    return one is not None and two is not None and one != two


def _request(span: Span) -> dict[str, Any] | None:
    known = isinstance(span.input, dict) and isinstance(span.input.get("messages"), list)
    return span.input if known else None


def _arguments(one: Any, two: Any, cause: str) -> Iterator[Difference]:
    if steady(one) != steady(two):
        yield Difference(cause, False, *first_difference(one, two))


def _settings(one: dict[str, Any], two: dict[str, Any], a: Span, b: Span) -> Iterator[Difference]:
    before, after = _settings_of(one, a), _settings_of(two, b)
    for name in sorted({*before, *after}):
        old, new = before.get(name, MISSING), after.get(name, MISSING)
        if old is MISSING or new is MISSING or steady(old, name) != steady(new, name):
            yield Difference("setting", False, name, old, new)


def _settings_of(request: dict[str, Any], span: Span) -> dict[str, Any]:
    """The settings of the request, and those that only the attributes tell."""
    told = request.get("settings")
    settings = dict(told) if isinstance(told, dict) else {}
    settings.pop("model", None)
    if settings:
        return settings
    return {
        key.removeprefix(_REQUEST): value
        for key, value in span.attributes.items()
        if key.startswith(_REQUEST) and key not in _NO_SETTINGS
    }


def _prompt(one: list[Any], two: list[Any]) -> Iterator[Difference]:
    place = next((n for n, (x, y) in enumerate(zip(one, two, strict=False)) if steady(x) != steady(y)), None)
    if place is None and len(one) == len(two):
        return
    place = min(len(one), len(two)) if place is None else place
    end = _end_of_turned(one, two, place)
    if end:
        where = f"messages {place + 1} to {end}, the same in another order"
        yield Difference("prompt", False, where, _in_order(one, place, end), _in_order(two, place, end))
        return
    before = one[place] if place < len(one) else MISSING
    after = two[place] if place < len(two) else MISSING
    role = next((str(side.get("role")) for side in (after, before) if isinstance(side, dict)), "?")
    inner, old, new = first_difference(before, after)
    yield Difference("prompt", False, f"message {place + 1} ({role}){_inner(inner)}", old, new)


def _end_of_turned(one: list[Any], two: list[Any], place: int) -> int:
    """Behind which message both agree again where those from `place` on only stand in another order; else 0."""
    if len(one) != len(two):
        return 0
    end = len(one)
    while end > place and steady(one[end - 1]) == steady(two[end - 1]):
        end -= 1
    left = [steady(message) for message in two[place:end]]
    for message in map(steady, one[place:end]):
        if message not in left:
            return 0
        left.remove(message)
    return end


def _in_order(messages: list[Any], place: int, end: int) -> str:
    """`results of flights, results of hotels`: where all are of one kind, with how they begin."""
    part = spoken(messages)[place:end]
    is_plain = len({said.whose for said in part}) == len(part)
    return ", ".join(said.whose if is_plain else f"{said.whose} “{said.text[:_SHOWN]}”" for said in part)


def _inner(where: str) -> str:
    return f", {where}" if where and where != "parts[0].content" else ""


def _outcome(span: Span) -> str:
    if span.error is None:
        return span.status
    return f"{span.status}: {span.error.type}: {span.error.message}" if span.error.message else span.error.type


def first_difference(one: Any, two: Any, path: str = "") -> tuple[str, Any, Any]:
    """Where two values differ first, such as `plan[2].path`, and what is there on either side."""
    while True:
        below = _below(one, two)
        if below is None:
            return path, one, two
        step, one, two = below
        path = f"{path}{step}" if step.startswith("[") or not path else f"{path}.{step}"


def _below(one: Any, two: Any) -> tuple[str, Any, Any] | None:
    """The first part of two objects or two lists that differs; None where there are no parts to compare."""
    if isinstance(one, dict) and isinstance(two, dict):
        for key in dict.fromkeys((*one, *two)):
            old, new = one.get(key, MISSING), two.get(key, MISSING)
            if old is MISSING or new is MISSING or steady({key: old}) != steady({key: new}):
                return str(key), old, new
    if isinstance(one, list) and isinstance(two, list):
        for place in range(max(len(one), len(two))):
            old = one[place] if place < len(one) else MISSING
            new = two[place] if place < len(two) else MISSING
            if old is MISSING or new is MISSING or steady(old) != steady(new):
                return f"[{place}]", old, new
    return None
