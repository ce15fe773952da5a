"""What a ledger holds, whatever its database: a row for each priced model call, and totals of them.

Money is kept as decimal text and added up exactly. Writing the same call again changes its row, it never adds one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from functools import reduce
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import fields

from instrument.model import BASES
from instrument.money import EXACT

By = Literal["model", "operation", "agent", "session", "user", "day"]


class Row(Struct, frozen=True, kw_only=True):
    """One priced call. `time_ns` is the start of the call, money is USD as decimal text, None is unknown.

    `source` says whether the tokens were `reported` or `estimated`, `basis` what the money rests on (see `Cost`).
    """

    time_ns: int
    run: str
    trace_id: str
    span_id: str
    agent_id: str | None = None
    operation: str | None = None
    model_requested: str | None = None
    model_answered: str | None = None
    provider: str | None = None
    input: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    output: int | None = None
    reasoning: int | None = None
    audio: int | None = None
    cache_write_1h: int | None = None
    web_searches: int | None = None
    file_searches: int | None = None
    source: str = "reported"
    usd: str | None = None
    usd_input: str | None = None
    usd_cached: str | None = None
    usd_cache_write: str | None = None
    usd_output: str | None = None
    basis: str = "unpriced"
    price_date: str | None = None
    status: str = "ok"
    service_tier: str | None = None
    session: str | None = None
    user: str | None = None


class Total(Struct, frozen=True, kw_only=True):
    """Calls of one model, operation, agent, session, user or day (`key`), or of all, added up.

    `usd` is what is known: unpriced calls are not in it, estimated ones are. It is None when no price is known.
    """

    key: str | None
    calls: int
    input: int
    cached: int
    cache_write: int
    output: int
    reasoning: int
    priced: int
    estimated: int
    unpriced: int
    free: int
    usd: Decimal | None


COLUMNS = tuple(field.name for field in fields(Row))
SUMMED = ("input", "cached", "cache_write", "output", "reasoning")
COUNTED = ", ".join(
    (
        "count(*)",
        *(f"coalesce(sum({name}), 0)" for name in SUMMED),
        *(f"count(*) FILTER (WHERE basis = '{name}')" for name in BASES),
    )
)
"""What every total counts, as SQL."""

LATER_COUNTS = ("cache_write_1h", "web_searches", "file_searches")
"""Columns that calls have only since the third version."""

_MEASURED = COLUMNS[COLUMNS.index("input") : COLUMNS.index("status")]
_DESCRIBED = (
    "agent_id", "operation", "model_requested", "model_answered", "provider", "service_tier", "session", "user",
)  # fmt: skip


def upsert(table: str, mark: str, columns: Sequence[str] = COLUMNS) -> str:
    """The statement that enters one row, or brings it up to date where it is there.

    Tokens and money change together, and an estimate never replaces what was reported.
    """
    names = dict(zip(COLUMNS, columns, strict=True))
    measured = [f"{names[name]} = excluded.{names[name]}" for name in _MEASURED]
    described = [f"{names[name]} = coalesce(excluded.{names[name]}, {table}.{names[name]})" for name in _DESCRIBED]
    return f"""
        INSERT INTO {table} ({", ".join(columns)}) VALUES ({", ".join([mark] * len(columns))})
        ON CONFLICT (run, span_id) DO UPDATE SET {", ".join((*measured, *described))}
        WHERE {table}.source = 'estimated' OR excluded.source = 'reported'
    """


def in_order(found: Iterable[tuple[Any, ...]], by: By | None) -> list[Total]:
    """Totals from rows of a key, what `COUNTED` says, and money."""
    return sorted(map(_total, found), key=order(by))


def order(by: By | None) -> Callable[[Total], tuple[Decimal, str]]:
    """What totals by this are sorted by: days in their order, of others the dearest first."""
    return lambda total: (Decimal(0) if by == "day" else -(total.usd or Decimal(0)), total.key or "")


def _total(found: tuple[Any, ...]) -> Total:
    *counted, money = found
    usd = Decimal(money) if money is not None else Decimal(0) if not counted[1] else None
    names = (field.name for field in fields(Total))
    return Total(**dict(zip(names, (*counted, usd), strict=True)))


def conditions(
    since_ns: int | None, until_ns: int | None, run: str | None = None, trace_id: str | None = None
) -> tuple[str, list[Any]]:
    """The WHERE of a query and its values; each stands as `?`."""
    known = {"time_ns >= ?": since_ns, "time_ns < ?": until_ns, "run = ?": run, "trace_id = ?": trace_id}
    given = {condition: value for condition, value in known.items() if value is not None}
    return ("WHERE " + " AND ".join(given) if given else ""), list(given.values())


def added_up(groups: Iterable[Total]) -> Total:
    """The groups in one total, exact like they are."""
    listed = list(groups)
    counts = {name: sum(getattr(one, name) for one in listed) for name in ("calls", *SUMMED, *BASES)}
    known = [one.usd for one in listed if one.usd is not None]
    return Total(key=None, **counts, usd=None if listed and not known else reduce(EXACT.add, known, Decimal(0)))
