"""Money and numbers of calls as the verbs about costs show them: to the last digit, aligned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from instrument.money import decimal_text
from instrument.store.entries import Total
from instrument.views.theme import clean

WITHOUT_TOKENS = "calls whose tokens nobody told, as of failed ones, have no row in the ledger and are not counted here"


def in_places(usd: Decimal | None, decimals: int) -> str:
    """The exact amount with so many decimals."""
    return "unknown" if usd is None else f"{usd:.{decimals}f}"


def places(usd: Decimal | None) -> int:
    """How many decimals an amount has, two at least."""
    return 2 if usd is None else max(2, -int(usd.as_tuple().exponent))


def name_of(group: str | None) -> str:
    """What a group of calls is called."""
    return clean(group or "(none)", 60)


def calls(number: int) -> str:
    """The subject of a sentence about calls."""
    return f"{number:,} call is" if number == 1 else f"{number:,} calls are"


def doubts(groups: Iterable[Total], total: Total, unpriced: str) -> Iterator[str]:
    """What amounts leave out, and what they take for granted; `unpriced` is said of calls without a price."""
    yield WITHOUT_TOKENS
    if total.unpriced:
        yield f"{calls(total.unpriced)} {unpriced}: {', '.join(name_of(one.key) for one in groups if one.unpriced)}"
    if total.estimated:
        yield f"{calls(total.estimated)} estimated: tokens, or a price, had to be assumed"


def plain(total: Total) -> dict[str, Any]:
    """The total as plain values, money as decimal text."""
    named = {name: getattr(total, name) for name in total.__struct_fields__}
    return {**named, "usd": None if total.usd is None else decimal_text(total.usd)}
