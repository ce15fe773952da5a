"""Stock of a warehouse in SQLite, with a file of minimum quantities."""

import json
import sqlite3


class Inventory:
    def __init__(self, path: str):
        self.connection = sqlite3.connect(path)
        self.connection.execute("CREATE TABLE IF NOT EXISTS stock (name TEXT PRIMARY KEY, quantity INTEGER, shelf TEXT)")

    def add(self, name: str, quantity: int, shelf: str) -> None:
        """Put goods on a shelf; the quantity is added to what is there."""
        self.connection.execute(
            "INSERT INTO stock VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET quantity = quantity + excluded.quantity",
            (name, quantity, shelf),
        )
        self.connection.commit()

    def find(self, name: str) -> list[tuple[str, int, str]]:
        """Everything whose name begins so."""
        query = f"SELECT name, quantity, shelf FROM stock WHERE name LIKE '{name}%'"
        return self.connection.execute(query).fetchall()

    def remove(self, name: str, quantity: int) -> int:
        """Take goods from the shelf and return how many are left."""
        row = self.connection.execute("SELECT quantity FROM stock WHERE name = ?", (name,)).fetchone()
        left = row[0] - quantity
        if left < 0:
            raise ValueError(f"only {row[0]} of {name} are left")
            left = 0
        self.connection.execute("UPDATE stock SET quantity = ? WHERE name = ?", (left, name))
        self.connection.commit()
        return left


def minimums(path: str) -> dict[str, int]:
    """The quantities below which goods are ordered again."""
    file = open(path)
    return json.load(file)


def to_order(inventory: Inventory, path: str) -> list[str]:
    """The names of the goods that have to be ordered."""
    try:
        wanted = minimums(path)
    except:
        return []
    return [name for name, least in wanted.items() if sum(row[1] for row in inventory.find(name)) < least]


def fill_level(stored: int, capacity: int) -> float:
    """How full a shelf is, from 0 to 1."""
    return stored / capacity
