"""`instrument costs --reprice`: the calls of the ledger by other prices, beside what they did cost."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from instrument.analysis.reprice import Compared, compared
from instrument.cli.amounts import WITHOUT_TOKENS, doubts, in_places, name_of, places, plain
from instrument.money import decimal_text
from instrument.pricing import Prices
from instrument.store.entries import By, Row, added_up
from instrument.store.ledgers import Address, told
from instrument.views.tables import Column, table
from instrument.views.theme import Theme, clean, theme_for, wrapped


def repriced(
    found: Iterable[Row],
    ledger: Address,
    by: By,
    own: Mapping[str, Any],
    file: Path | None,
    at_ns: int | None,
    *,
    as_json: bool,
) -> str:
    """Both amounts of every group of the rows and of all, as a table or as JSON. Nothing in the ledger is changed.

    Prices of the file win over `own`, those of the settings, and both over the price list. Raises `SettingsError` for
    a price that cannot be one, `InstrumentError` when the ledger cannot be read.
    """
    groups = compared(found, Prices({**own, **_given(file)}), by, at_ns)
    total = Compared(None, added_up(one.old for one in groups), added_up(one.new for one in groups))
    if as_json:
        about = {"ledger": told(ledger), "by": by, "prices": None if file is None else str(file), "at": _moment(at_ns)}
        shown = {**about, "groups": [*map(_plain, groups)], "total": _plain(total), "left_out": WITHOUT_TOKENS}
        return json.dumps(shown, indent=2)
    theme = theme_for(sys.stdout)
    unpriced = "unpriced by the new prices and not in their total"
    below = (*doubts((one.new for one in groups), total.new, unpriced), _basis(file, at_ns))
    lines = (part for line in below for part in wrapped(line, theme.width))
    return "\n".join([_table(by, groups, total, theme), *lines])


def _given(file: Path | None) -> dict[str, Any]:
    from instrument.settings import prices_in

    return {} if file is None else dict(prices_in(file))


def _plain(one: Compared) -> dict[str, Any]:
    difference = None if one.difference is None else decimal_text(one.difference)
    return {"key": one.key, "old": plain(one.old), "new": plain(one.new), "difference": difference}


def _table(by: str, groups: Sequence[Compared], total: Compared, theme: Theme) -> str:
    decimals = max((places(usd) for one in (*groups, total) for usd in _amounts(one)), default=2)
    titles = {"calls": 2, "was unpriced": 3, "still unpriced": 1, "old USD": 0, "new USD": 0, "difference": 0}
    columns = [Column(by, flexible=True), *(Column(title, True, gives_way) for title, gives_way in titles.items())]
    lines = [_cells(one, name_of(one.key), decimals) for one in groups]
    return table(columns, [*lines, _cells(total, "total", decimals)], theme)


def _amounts(one: Compared) -> tuple[Decimal | None, ...]:
    return one.old.usd, one.new.usd, one.difference


def _cells(one: Compared, name: str, decimals: int) -> list[str]:
    unpriced = [f"{count:,}" if count else "" for count in (one.old.unpriced, one.new.unpriced)]
    return [name, f"{one.old.calls:,}", *unpriced, *(in_places(usd, decimals) for usd in _amounts(one))]


def _basis(file: Path | None, at_ns: int | None) -> str:
    source = "today's price list" if file is None else f"{clean(file)}, then today's price list"
    when = "at the time of each call" if at_ns is None else f"at {_moment(at_ns)}"
    return f"new: {source}, {when}; nothing in the ledger was changed"


def _moment(at_ns: int | None) -> str | None:
    return None if at_ns is None else datetime.fromtimestamp(at_ns / 1e9, UTC).isoformat().replace("+00:00", "Z")
