"""Amounts of money in whole cents."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_AMOUNT = re.compile(r"(-?)(\d+)(?:\.(\d{2}))?")


@dataclass(frozen=True, order=True)
class Money:
    """An amount in cents; may be negative."""

    cents: int

    @classmethod
    def parse(cls, text: str) -> Money:
        """An amount written as `12`, `12.50` or `-3.00`."""
        match = _AMOUNT.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not an amount like 12.50")
        sign, whole, fraction = match.groups()
        cents = int(whole) * 100 + int(fraction or 0)
        return cls(-cents if sign else cents)

    def __add__(self, other: Money) -> Money:
        return Money(self.cents + other.cents)

    def split(self, parts: int) -> list[Money]:
        """Equal shares; the first ones are a cent larger where it does not come out even."""
        if parts < 1:
            raise ValueError(f"cannot split into {parts} parts")
        share, rest = divmod(self.cents, parts)
        return [Money(share + 1)] * rest + [Money(share)] * (parts - rest)

    def __str__(self) -> str:
        sign = "-" if self.cents < 0 else ""
        whole, fraction = divmod(abs(self.cents), 100)
        return f"{sign}{whole}.{fraction:02}"


def total(amounts: Iterable[Money]) -> Money:
    """The sum of the amounts, nothing for none."""
    return Money(sum(amount.cents for amount in amounts))
