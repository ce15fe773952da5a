"""The current span in the headers of another process or host: W3C Trace Context and W3C Baggage.

`traceparent` names the span, `tracestate` is handed on as it came, and `baggage` tells the session, the user and the
budgets that processes share. Baggage of others in the same headers stays.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from instrument.attributes import SESSION, USER
from instrument.errors import SettingsError
from instrument.record.context import Place, at, current, place_with

if TYPE_CHECKING:
    from instrument.record.scopes import Budget
    from instrument.record.spans import LiveSpan

TRACEPARENT, TRACESTATE, BAGGAGE = "traceparent", "tracestate", "baggage"
WHOSE = (SESSION, USER)
BUDGET = "instrument.budget"

MOST_BAGGAGE = 8192
"""Bytes of baggage that W3C asks everyone to hand on; ours stays out where it would not fit."""

MOST_STATES = 1024
"""Traces whose `tracestate` is remembered."""

for_children: Mapping[str, str] = {}
"""What tells child processes where to record, for the environment of those that are started below a span."""

_states: OrderedDict[str, str] = OrderedDict()


def inject(headers: MutableMapping[str, str]) -> MutableMapping[str, str]:
    """Write the current span into `headers` as W3C `traceparent`; returns `headers`. Outside of a span it adds nothing.

    The session, its user and shared budgets (those with a `period`) go along as `baggage`, a `tracestate` that came
    with the trace as it came. For the environment of a subprocess give a copy of `os.environ`: there the names are
    written in capitals, and the folder goes along, so that the process records into the same one wherever it runs.
    """
    place = current.get()
    if place is None or not place.trace_id or not place.span_id or not _is_stored(place):
        return headers
    _write(headers, TRACEPARENT, f"00-{place.trace_id}-{place.span_id}-{int(place.sampled or 0):02x}")
    if place.sampled is False and place.span is not None:
        place.span.recorder.sampling.share(place.trace_id)
    state = _states.get(place.trace_id)
    if state is not None:
        _write(headers, TRACESTATE, state)
    members = [f"{name}={quote(value, safe='', errors='replace')}" for name, value in _told_of(place)]
    if members:
        theirs = [member for member in _members(_read(headers, BAGGAGE)) if _name_of(member) not in (*WHOSE, BUDGET)]
        joined = ",".join((*theirs, *members))
        if len(joined) <= MOST_BAGGAGE:
            _write(headers, BAGGAGE, joined)
    if _is_environment(headers):
        headers.update({name: told for name, told in for_children.items() if _is_inherited(headers, name)})
    return headers


@contextmanager
def extract(headers: Mapping[str, str]) -> Iterator[None]:
    """What begins inside hangs below the span that `inject` wrote into `headers`, in its session and shared budgets.

    Headers that are missing or malformed change nothing.
    """
    remote, outer = place_of(headers), current.get()
    told = dict(_baggage(headers))
    shared = {name: told[name] for name in WHOSE if name in told}
    budgets = told.get(BUDGET)
    if remote is None and not shared and budgets is None:
        yield
        return
    changes: dict[str, Any] = {}
    if remote is not None:
        changes = {"trace_id": remote.trace_id, "span_id": remote.span_id, "sampled": remote.sampled}
        changes |= {"depth": -1, "span": None}
    if shared:
        changes["shared"] = {**((outer.shared if outer is not None else None) or {}), **shared}
    with at(place_with(outer, **changes)), ExitStack() as stack:
        for given in (budgets or "").split():
            stack.enter_context(_budget(given))
        yield


@contextmanager
def _budget(spoken: str) -> Iterator[None]:
    """The shared budget that a caller spends on; what is no budget is none."""
    from instrument.record.budgets import budget

    with ExitStack() as stack:
        with suppress(SettingsError, TypeError):
            stack.enter_context(budget(**_limits(spoken)))
        yield


def place_of(headers: Mapping[str, str]) -> Place | None:
    """The remote parent that W3C `traceparent` in `headers` names, or None where it is missing or bad."""
    place = _parse(_read(headers, TRACEPARENT))
    state = _read(headers, TRACESTATE)
    if place is not None and place.trace_id is not None and isinstance(state, str) and _is_handed_on(state):
        _states[place.trace_id] = state
        while len(_states) > MOST_STATES:
            _states.popitem(last=False)
    return place


def _is_handed_on(state: str) -> bool:
    """Of anything but printable ASCII, which W3C allows alone, the environment of a process would not take all."""
    return bool(state) and state.isascii() and state.isprintable()


def origin_of(environment: Mapping[str, str]) -> Place | None:
    """The place that a process was started from: its remote parent, in that one's session."""
    place = place_of(environment)
    if place is not None:
        place.shared = {name: value for name, value in _baggage(environment) if name in WHOSE} or None
    return place


def _is_stored(place: LiveSpan | Place) -> bool:
    """Not so where recording is off and only budgets are held: others may record, and begin traces of their own."""
    return place.span is None or place.span.recorder.stores


def _told_of(place: LiveSpan | Place) -> Iterator[tuple[str, str]]:
    for name in WHOSE:
        if place.shared and isinstance(place.shared.get(name), str):
            yield name, place.shared[name]
    budgets = " ".join(_spoken(scope) for scope in place.budgets if scope.period is not None)
    if budgets:
        yield BUDGET, budgets


def _spoken(scope: Budget) -> str:
    limits = {name: value for name, value in scope.limits._asdict().items() if value not in (None, False)}
    return urlencode({"name": scope.name, "period": scope.period, **limits})


def _limits(spoken: str) -> dict[str, Any]:
    given: dict[str, Any] = dict(parse_qsl(spoken))
    numbers = {"tokens": int, "calls": int, "seconds": float, "strict": bool}
    with suppress(ValueError):
        return {name: numbers.get(name, str)(value) for name, value in given.items()}
    return {}


def _read(headers: Mapping[str, str], name: str) -> Any:
    return next((value for key, value in headers.items() if isinstance(key, str) and key.lower() == name), None)


def _write(headers: MutableMapping[str, str], name: str, value: str) -> None:
    """Under the name that stands there already; else as suits the environment of a process, or HTTP."""
    usual = name.upper() if _is_environment(headers) else name
    headers[next((key for key in headers if isinstance(key, str) and key.lower() == name), usual)] = value


def _is_environment(headers: Mapping[str, str]) -> bool:
    return "PATH" in headers


def _is_inherited(environment: Mapping[str, str], name: str) -> bool:
    """Whether the variable is as it is here: a path may be relative, and the process may run elsewhere."""
    return environment.get(name) == os.environ.get(name)


def _baggage(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for member in _members(_read(headers, BAGGAGE)):
        value = member.partition("=")[2].partition(";")[0].strip()
        yield _name_of(member), unquote(value)


def _members(baggage: Any) -> list[str]:
    return [member.strip() for member in baggage.split(",") if "=" in member] if isinstance(baggage, str) else []


def _name_of(member: str) -> str:
    return member.partition("=")[0].strip()


def _parse(value: object) -> Place | None:
    """`version-trace-parent-flags` in lower-case hexadecimals; later versions may go on behind, version 00 may not."""
    parts = value.strip().split("-") if isinstance(value, str) else []
    if [len(part) for part in parts[:4]] != [2, 32, 16, 2] or parts[0] == "ff" or (parts[0] == "00" and len(parts) > 4):
        return None
    if not all(_is_hex(part) for part in parts[:4]) or not int(parts[1], 16) or not int(parts[2], 16):
        return None
    return Place(parts[1], parts[2], sampled=bool(int(parts[3], 16) & 1))


def _is_hex(text: str) -> bool:
    return all(letter in "0123456789abcdef" for letter in text)
