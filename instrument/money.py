"""Money: decimal arithmetic that is exact whatever the user's own decimal context says, its text, exact and for people,
and the periods of budgets."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal

EXACT = Context(prec=60)
"""Arithmetic in which sums and products of money never round."""

PERIODS = ("hour", "day", "week", "month", "year", "total")
"""For how long processes share a budget, in UTC; `total` never ends."""


def decimal_text(value: Decimal) -> str:
    """A decimal without exponent and without zeros at its end."""
    text = str(value)
    if "E" in text:
        text = format(value, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def money(usd: Decimal) -> str:
    """US dollars: cents from one dollar on, below that three digits that mean something, at least four decimals."""
    if usd == 0:
        return "$0"
    size = abs(usd)
    places = 2 if size >= 1 else max(4, 2 - size.adjusted())
    return f"${usd.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN, EXACT):,f}"
