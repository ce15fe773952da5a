"""A stock of goods kept in memory."""

from dataclasses import dataclass, field


@dataclass
class Item:
    """One kind of goods."""

    name: str
    price: float
    quantity: int = 0
    tags: list[str] = field(default_factory=list)

    def value(self) -> float:
        return self.price * self.quantity


class OutOfStock(Exception):
    """Raised when more is taken than there is."""


class Inventory:
    """Items by name."""

    def __init__(self, items=None):
        self.items = {}
        self.history = []
        for item in items or []:
            self.add(item)

    def add(self, item):
        known = self.items.get(item.name)
        if known is None:
            self.items[item.name] = item
        else:
            known.quantity += item.quantity
        self.history.append(("add", item.name, item.quantity))

    def take(self, name, quantity):
        item = self.items.get(name)
        if item is None:
            raise KeyError(name)
        if quantity > item.quantity:
            raise OutOfStock(f"only {item.quantity} of {name} left")
        item.quantity -= quantity
        self.history.append(("take", name, quantity))
        return item

    def drop_empty(self):
        for name in list(self.items):
            if self.items[name].quantity == 0:
                del self.items[name]

    def total(self):
        return sum(item.value() for item in self.items.values())

    def average_price(self):
        if not self.items:
            return 0.0
        return sum(item.price for item in self.items.values()) / len(self.items)

    def tagged(self, tag):
        return [item for item in self.items.values() if tag in item.tags]

    def cheapest(self):
        if not self.items:
            return None
        return min(self.items.values(), key=lambda item: item.price)

    def report(self):
        lines = []
        for position, (name, item) in enumerate(sorted(self.items.items()), start=1):
            lines.append(f"{position}. {name}: {item.quantity} at {item.price:.2f}")
        return "\n".join(lines)
