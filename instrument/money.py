"""Decimal arithmetic for money: exact, whatever the user's own decimal context says, and its text."""

from __future__ import annotations

from decimal import Context, Decimal

EXACT = Context(prec=60)
"""Arithmetic in which sums and products of money never round."""


def decimal_text(value: Decimal) -> str:
    """A decimal without exponent and without zeros at its end."""
    text = str(value)
    if "E" in text:
        text = format(value, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
