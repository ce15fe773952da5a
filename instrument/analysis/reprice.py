"""Calls of the ledger priced anew: what they did cost by the rows, and what they would cost by other prices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from instrument.model import BASES, Usage
from instrument.money import EXACT
from instrument.pricing import Prices
from instrument.store.entries import SUMMED, By, Row, Total, order

ZERO = Decimal(0)

KEYS: dict[By, Callable[[Row], str | None]] = {
    "model": lambda row: row.model_answered or row.model_requested,
    "operation": lambda row: row.operation,
    "agent": lambda row: row.agent_id,
    "session": lambda row: row.session,
    "user": lambda row: row.user,
    "day": lambda row: datetime.fromtimestamp(row.time_ns // 10**9, UTC).strftime("%Y-%m-%d"),
}


class Compared(Struct, frozen=True):
    """The calls of one group (`key`, as `By` says), or all: `old` by the ledger, `new` by other prices."""

    key: str | None
    old: Total
    new: Total

    @property
    def difference(self) -> Decimal | None:
        """US dollars more by the new prices; None while either amount is unknown."""
        return None if self.old.usd is None or self.new.usd is None else EXACT.subtract(self.new.usd, self.old.usd)


def priced_anew(row: Row, prices: Prices, at_ns: int | None = None) -> Row:
    """The row by `prices`, those of its own time or of `at_ns`. A call that was not billed (a cache hit) stays free."""
    if row.basis == "free" and row.price_date is None:
        return row
    cost = prices.cost(
        usage_of(row),
        row.model_answered or row.model_requested,
        provider=row.provider,
        tier=row.service_tier,
        at_ns=row.time_ns if at_ns is None else at_ns,
    )
    return replace(
        row,
        usd=cost.usd,
        usd_input=cost.input,
        usd_cached=cost.cached,
        usd_cache_write=cost.cache_write,
        usd_output=cost.output,
        basis=cost.basis,
        price_date=cost.price_date,
    )


def usage_of(row: Row) -> Usage:
    """The tokens of a row."""
    return Usage(**{name: getattr(row, name) for name in Usage.__struct_fields__})


def compared(rows: Iterable[Row], prices: Prices, by: By, at_ns: int | None = None) -> list[Compared]:
    """The rows in groups, each with both amounts; the dearest by the new prices first, days in their order."""
    old: dict[str | None, _Sum] = defaultdict(_Sum)
    new: dict[str | None, _Sum] = defaultdict(_Sum)
    for row in rows:
        key = KEYS[by](row)
        old[key].add(row)
        new[key].add(priced_anew(row, prices, at_ns))
    found = [Compared(key, old[key].total(key), new[key].total(key)) for key in old]
    rank = order(by)
    return sorted(found, key=lambda one: rank(one.new))


class _Sum:
    """Rows, added up."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(("calls", *SUMMED, *BASES), 0)
        self._usd: Decimal | None = None

    def add(self, row: Row) -> None:
        counts = self._counts
        counts["calls"] += 1
        counts[row.basis] += 1
        for name in SUMMED:
            counts[name] += getattr(row, name) or 0
        if row.usd is not None:
            self._usd = EXACT.add(self._usd or ZERO, Decimal(row.usd))

    def total(self, key: str | None) -> Total:
        return Total(key=key, **self._counts, usd=self._usd)
