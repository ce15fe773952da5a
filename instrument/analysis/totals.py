"""Tokens and money of many calls, added up.

Only spans that carry usage or cost of their own count: an agent or step never carries its children's.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from msgspec import Struct

from instrument.kinds import MODEL_KINDS
from instrument.model import BASES, Cost, Usage
from instrument.money import EXACT
from instrument.statuses import REFUSED

NO_USAGE = Usage()
_COUNTED = ("input", "cached", "cache_write", "output", "reasoning", "audio")


class Total(Struct, frozen=True):
    """The sum over some model calls: tokens by kind, money in US dollars, and how sure the money is.

    `usd` leaves `unpriced` calls out, whose price nobody knows; it is None when no call has a known price. Of the
    others `priced` go by reported tokens, `estimated` by our own count, and `free` ones cost nothing.
    """

    calls: int = 0
    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    audio: int = 0
    usd: Decimal | None = Decimal(0)
    priced: int = 0
    estimated: int = 0
    unpriced: int = 0
    free: int = 0

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input + self.output


Call = tuple[Usage, str, Decimal | None]
"""One model call: its tokens, what its money is based on (empty where it reports neither), and the money."""


class Sum:
    """A total that is still growing."""

    __slots__ = (*_COUNTED, *BASES, "calls", "usd")

    def __init__(self) -> None:
        self.calls = self.input = self.cached = self.cache_write = self.output = self.reasoning = self.audio = 0
        self.priced = self.estimated = self.unpriced = self.free = 0
        self.usd = Decimal(0)

    def add(self, call: Call) -> None:
        """Count one call."""
        usage, basis, usd = call
        self.calls += 1
        self.input += usage.input or 0
        self.cached += usage.cached or 0
        self.cache_write += usage.cache_write or 0
        self.output += usage.output or 0
        self.reasoning += usage.reasoning or 0
        self.audio += usage.audio or 0
        if basis:
            setattr(self, basis, getattr(self, basis) + 1)
        if usd:
            self.usd = EXACT.add(self.usd, usd)

    def include(self, other: Sum | Total) -> None:
        """Count the calls of another sum as well."""
        if not other.calls and not any(getattr(other, name) for name in (*_COUNTED, *BASES)):
            return  # tokens that came late may stand there without a call
        for name in (*_COUNTED, *BASES, "calls"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.usd = EXACT.add(self.usd, other.usd or Decimal(0))

    def total(self) -> Total:
        """What it has come to."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        if self.unpriced and not (self.priced or self.estimated or self.free):
            fields["usd"] = None
        return Total(**fields)


def carries(span: Any) -> bool:
    """Whether the span is a model call that was made: by its kind, or because it has tokens or money of its own."""
    return span.status != REFUSED and (span.usage is not None or span.cost is not None or span.kind in MODEL_KINDS)


def call_of(span: Any) -> Call | None:
    """The model call that the span is, or that an update tells of, if it is one that was made."""
    if getattr(span, "status", "") == REFUSED:
        return None
    usage, cost = span.usage, span.cost
    if cost is not None:
        return (usage or NO_USAGE, *_judged(cost))
    if usage is not None:
        return usage, "unpriced", None
    # a call that failed before it used anything costs nothing, but it was made
    return (NO_USAGE, "", None) if span.kind in MODEL_KINDS else None


def _judged(cost: Cost) -> tuple[str, Decimal | None]:
    usd, basis = dollars(cost.usd), cost.basis
    if basis == "free":
        return basis, usd
    if usd is None or basis == "unpriced":
        return "unpriced", None
    return (basis if basis in BASES else "priced"), usd


def total(spans: Iterable[Any]) -> Total:
    """The model calls among the spans, added up."""
    growing = Sum()
    for span in spans:
        call = call_of(span)
        if call is not None:
            growing.add(call)
    return growing.total()


def usage_of(spans: Iterable[Any]) -> Usage:
    """The tokens of the spans as one usage; a kind that no call reported stays None."""
    reported = [span.usage for span in spans if span.usage is not None]
    sums = {name: _sum(getattr(usage, name) for usage in reported) for name in _COUNTED}
    estimated = any(usage.source == "estimated" for usage in reported)
    return Usage(**sums, source="estimated" if estimated else "reported")


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def dollars(text: str | None) -> Decimal | None:
    """The decimal string of a cost as a number; None where it holds none that could be money."""
    try:
        amount = Decimal(text) if text is not None else None
    except InvalidOperation:
        return None
    return amount if amount is not None and amount.is_finite() and abs(amount.adjusted()) < 30 else None


def dollars_in_float(text: str | None) -> float | None:
    """The same for formats that have no decimals."""
    usd = dollars(text)
    return None if usd is None else float(usd)
