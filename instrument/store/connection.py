"""Connections to ledgers: opened when they are needed, anew where the file is another one, closed for a fork.

SQLite keeps in memory, for the whole process, what it has locked in a file. A child that inherits this takes its
parent's locks for its own: it finds the ledger locked for ever, or writes into a log that its parent deletes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from weakref import WeakSet

from instrument import forks
from instrument.store import ledger
from instrument.store.descriptors import aside_of, is_of, numbers_below_taken


class Connection:
    """The connection of one user of a ledger. In a process one thread at a time uses any: the file has one writer."""

    def __init__(self, path: Path, opened: Callable[[Path], sqlite3.Connection]) -> None:
        self.path = path
        self.file: tuple[int, int] | None = None
        """The file that was opened last (`ledger.identity`)."""
        self._opened = opened
        self._connection: sqlite3.Connection | None = None
        self._number: int | None = None
        with _turn:
            _all.add(self)

    @contextmanager
    def used(self) -> Iterator[sqlite3.Connection]:
        """The connection to the file that has the ledger's name now, for this thread alone."""
        with _turn:
            outside, _turn.is_used = _turn.is_used, True
            try:
                yield self._current()
            finally:
                _turn.is_used = outside

    def close(self) -> None:
        """Close it, if it is open; the next use opens another one."""
        with _turn:
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(sqlite3.Error):
                    connection.close()

    def leave_to_parent(self) -> None:
        """Forget it: closing it here would take the parent's locks away."""
        if self._connection is not None:
            _of_parents.append(self._connection)
            self._connection = None

    def _current(self) -> sqlite3.Connection:
        if self._connection is not None and (self.file != ledger.identity(self.path) or self._is_closed_by_others()):
            self.close()
        if self._connection is None:
            self.file = ledger.identity(self.path)
            with numbers_below_taken():
                self._connection = self._opened(self.path)
            self.file = ledger.identity(self.path)
            self._number = aside_of(self.file)
        return self._connection

    def _is_closed_by_others(self) -> bool:
        """Whether the program has closed what it did not open. SQLite would wait for its locks, and not get them."""
        return self._number is not None and not is_of(self._number, self.file)


class _Turn(forks.Lock):
    """Held while a ledger is used, and by a fork, which closes all."""

    is_used = False

    def before_fork(self, give_up: float, /) -> None:
        super().before_fork(give_up)
        if self.is_held_for_fork and not self.is_used:
            for one in _all:
                one.close()

    def renew(self) -> None:
        super().renew()
        self.is_used = False
        for one in _all:
            one.leave_to_parent()


_turn = _Turn()
_all: WeakSet[Connection] = WeakSet()
_of_parents: list[sqlite3.Connection] = []
