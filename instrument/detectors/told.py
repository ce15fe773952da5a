"""How findings are worded, and when a pattern that goes on is told again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from msgspec.structs import replace

from instrument.detectors.calls import Call
from instrument.model import AGAIN_OF, Finding, Span

_MOST_SPANS = 32
_MOST_PATTERNS = 64
_BRIEF = 80


Growth = dict[Hashable, tuple[float, Finding | None]]
"""At which size patterns were told last, and what told of them first.

One that has ended is taken out, so that it starts anew when it returns.
"""


def worth_telling(growth: Growth, pattern: Hashable, size: float) -> bool:
    """Whether to tell of a pattern at this size: when it starts and each time it has doubled. If so it counts as told.

    The oldest of many patterns are forgotten.
    """
    before, first = growth.get(pattern, (0.0, None))
    if first is not None and size < 2 * before:
        return False
    if len(growth) >= _MOST_PATTERNS and pattern not in growth:
        del growth[next(iter(growth))]
    growth[pattern] = size, first
    return True


def retold(growth: Growth, pattern: Hashable, found: Finding) -> Finding:
    """The finding about a pattern that is told at this size; where it was told before, it says so."""
    size, first = growth.get(pattern, (0.0, None))
    if first is None:
        growth[pattern] = size, found
    else:
        found.data[AGAIN_OF] = first.span_ids[-1]
    return found


def gone_on(growth: Growth, pattern: Hashable, found: Finding) -> Finding:
    """As `retold`, for a pattern that is counted from its beginning, which the window has forgotten by now.

    The first call and its moment are taken from the finding that told of the pattern first.
    """
    _, first = growth.get(pattern, (0.0, None))
    if first is not None and first.data["since_ns"] < found.data["since_ns"]:
        found = _begun_with(first, found)
    return retold(growth, pattern, found)


def _begun_with(first: Finding, found: Finding) -> Finding:
    seen, began = found.data["since_ns"], first.data["since_ns"]
    return replace(
        found,
        span_ids=[first.span_ids[0], *found.span_ids[1 - _MOST_SPANS :]],
        message=found.message.replace(since(seen), since(began)),
        data={**found.data, "since_ns": began},
    )


class Beginning(NamedTuple):
    """The first of some calls, without what it holds."""

    span_id: str
    start_ns: int


def told(
    detector: str,
    message: str,
    calls: Sequence[Call | Span],
    first: Beginning | None = None,
    /,
    *,
    severity: str = "warning",
    **data: Any,
) -> Finding:
    """A finding about calls of one trace, in the order in which they were made; `since` is added to the sentence.

    `first` is the call that it began with, where that is not among them any more.
    """
    begun = calls[0] if first is None else first
    last = calls[-1]
    return Finding(
        trace_id=last.trace_id,
        span_ids=list(dict.fromkeys([begun.span_id, *(call.span_id for call in _ends(calls))])),
        time_ns=last.end_ns,
        detector=detector,
        severity=severity,
        message=f"{message}{since(begun.start_ns)}",
        data={"since_ns": begun.start_ns, **data},
    )


def some(*found: Finding | None) -> list[Finding]:
    """The findings that there are."""
    return [finding for finding in found if finding is not None]


def since(time_ns: int) -> str:
    """How the sentence of a finding ends."""
    return f", since {clock(time_ns)}."


def _ends(calls: Sequence[Call | Span]) -> Sequence[Call | Span]:
    half = _MOST_SPANS // 2
    return calls if len(calls) <= _MOST_SPANS else [*calls[:half], *calls[-half:]]


def brief(call: Call) -> str:
    """The call in a few characters: `search({"q":"tides"})`."""
    text = call.input[: 4 * _BRIEF].decode("utf-8", "ignore")
    return f"{call.name}({text if len(text) <= _BRIEF else text[:_BRIEF] + '…'})"


def names(calls: Sequence[Call]) -> str:
    """The names of calls, each once, in order: `search, open and read`."""
    distinct = list(dict.fromkeys(call.name for call in calls))
    return distinct[0] if len(distinct) == 1 else f"{', '.join(distinct[:-1])} and {distinct[-1]}"


def listed(names: Sequence[str], most: int) -> str:
    """The first of some names, and how many more there are: `paris, rome and 3 more`."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def often(times: int) -> str:
    """`once`, `3 times`."""
    return "once" if times == 1 else f"{times} times"


def clock(time_ns: int) -> str:
    """A moment as UTC time of day."""
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%H:%M:%S UTC")


def seconds(duration_ns: float) -> str:
    """A duration in the unit that reads best."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if duration_ns >= size:
            return f"{number(duration_ns / size)} {unit}"
    return f"{duration_ns:.0f} ns"


def number(value: float) -> str:
    """Three digits, or all that stand before the point: `0.123`, `12.3`, `1,234`."""
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"
