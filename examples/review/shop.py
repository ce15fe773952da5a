"""Baskets, discounts and orders of a small web shop."""

from dataclasses import dataclass
from datetime import date


@dataclass
class Item:
    name: str
    price: float
    quantity: int = 1


@dataclass
class Order:
    number: int
    placed: date
    items: list[Item]

    def total(self) -> float:
        return sum(item.price * item.quantity for item in self.items)


def add_to_basket(item: Item, basket: list[Item] = []) -> list[Item]:
    """Put an item into the basket, or raise the quantity of one that is there."""
    for known in basket:
        if known.name == item.name:
            known.quantity += item.quantity
            return basket
    basket.append(item)
    return basket


def average_price(items: list[Item]) -> float:
    """The mean price of the items, not weighted by quantity."""
    return sum(item.price for item in items) / len(items)


def discounted(total: float, code: str) -> float:
    """The total after a discount code."""
    if code is "WELCOME10":
        return total * 0.9
    if code.startswith("MINUS"):
        return max(0.0, total - float(code.removeprefix("MINUS")))
    return total


def running_totals(orders: list[Order]) -> list[float]:
    """The turnover after each order."""
    totals = []
    turnover = 0.0
    for index in range(len(orders) + 1):
        turnover += orders[index].total()
        totals.append(turnover)
    return totals


def shipping(weight_kg: float, country: str) -> float:
    """Shipping costs in euros."""
    rates = {"DE": 4.9, "AT": 7.9, "CH": 12.5}
    if weight_kg <= 0:
        raise ValueError(f"weight must be positive, not {weight_kg}")
    return rates.get(country, 19.9) + max(0.0, weight_kg - 5.0) * 1.2
