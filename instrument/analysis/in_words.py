"""Numbers for people: durations, counts and shares, the money of some calls, moments."""

from __future__ import annotations

import time
from decimal import Decimal

from instrument.analysis.totals import Total
from instrument.money import money


def duration(ns: float, unicode: bool = True) -> str:
    """Nanoseconds for people: `12 µs`, `3.4 ms`, `1.25 s`, `2 m 05 s`, `1 h 02 m`."""
    micro = "µs" if unicode else "us"
    for limit, unit, size in ((1e3, "ns", 1), (1e6, micro, 1e3), (1e9, "ms", 1e6), (6e10, "s", 1e9)):
        if ns < limit * 0.9995:
            return f"{_three_digits(ns / size)} {unit}"
    seconds = round(ns / 1e9)
    if seconds < 3600:
        return f"{seconds // 60} m {seconds % 60:02} s"
    minutes = seconds // 60
    return f"{minutes // 60:,} h {minutes % 60:02} m"


def _three_digits(value: float) -> str:
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") if digits and value < 1e3 else f"{value:.0f}"


def amount(value: float) -> str:
    """A number that may mean anything, to four digits: `0.8333`, `1`, `12,345`."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e12 else f"{value:.4g}"


def count(number: int) -> str:
    """A number with separators, shortened from a million on."""
    return f"{number:,}" if number < 1_000_000 else f"{number / 1e6:,.2f}M"


def percent(part: float | Decimal, whole: float | Decimal) -> str:
    """A share of something: `62%`, `0.4%`; empty where there is nothing to share."""
    share = 100 * float(part) / float(whole) if part and whole else 0
    return f"{share:.{0 if share >= 1 else 1}f}%" if share else ""


def many(number: int, what: str) -> str:
    """`1 call`, `1,234 calls`, shortened from a million on."""
    return f"{count(number)} {what}{'' if number == 1 else 's'}"


def often(times: int) -> str:
    """`once`, `3 times`."""
    return "once" if times == 1 else f"{count(times)} times"


def bill(total: Total) -> str:
    """The money of a total in one word: an amount, `~` before it where some is estimated, `free` or `unpriced`."""
    if not total.calls or not (total.priced or total.estimated or total.unpriced or total.free):
        return ""
    if total.usd is None:
        return "unpriced"
    if total.free == total.priced + total.estimated + total.unpriced + total.free:
        return "free"
    return f"{'~' if total.estimated else ''}{money(total.usd)}{'+' if total.unpriced else ''}"


def moment(ns: int) -> str:
    """Nanoseconds since the epoch as UTC for people: `2026-11-23 10:45:00Z`."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(ns // 1_000_000_000))
    except (ValueError, OverflowError, OSError):
        return f"{ns} ns"


def iso(ns: int) -> str:
    """Nanoseconds since the epoch as UTC with microseconds, by ISO 8601: `2026-11-23T10:45:00.123456Z`."""
    try:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // 1_000_000_000))
        return f"{seconds}.{ns % 1_000_000_000 // 1000:06}Z"
    except (ValueError, OverflowError, OSError):
        return f"{ns} ns"
