"""A connection to a ledger: opened when it is needed, anew where the file is another one, closed for a fork.

SQLite keeps in memory, for the whole process, what it has locked in a file. A child that inherits this takes its
parent's locks for its own: it finds the ledger locked for ever, or writes into a log that its parent deletes.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from instrument import forks
from instrument.store import ledger


class Connection:
    """The connection of one user of the ledger, whose threads take turns."""

    def __init__(self, path: Path, opened: Callable[[Path], sqlite3.Connection]) -> None:
        self.path = path
        self.file: tuple[int, int] | None = None
        """The file that was opened last (`ledger.identity`)."""
        self._opened = opened
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.RLock()
        self._uses = 0
        self._is_held_for_fork = False
        forks.watch(self)

    @contextmanager
    def used(self) -> Iterator[sqlite3.Connection]:
        """The connection to the file that has the ledger's name now, for this thread alone."""
        with self._lock:
            self._uses += 1
            try:
                yield self._current()
            finally:
                self._uses -= 1

    def close(self) -> None:
        """Close it, if it is open; the next use opens another one."""
        with self._lock:
            self._disconnect()

    def _current(self) -> sqlite3.Connection:
        if self._connection is not None and self.file != ledger.identity(self.path):
            self._disconnect()
        if self._connection is None:
            self.file = ledger.identity(self.path)
            self._connection = self._opened(self.path)
            self.file = ledger.identity(self.path)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def before_fork(self, give_up: float, /) -> None:
        """Close it between two uses."""
        self._is_held_for_fork = self._lock.acquire(timeout=max(0.0, give_up - time.monotonic()))
        if self._is_held_for_fork and not self._uses:
            self._disconnect()

    def after_fork(self) -> None:
        """Let it be used again."""
        if self._is_held_for_fork:
            self._is_held_for_fork = False
            self._lock.release()

    def renew(self) -> None:
        """What could not be closed belongs to the parent: closing it here would take the parent's locks away."""
        if self._connection is not None:
            _of_parents.append(self._connection)
            self._connection = None
        self._lock, self._uses, self._is_held_for_fork = threading.RLock(), 0, False


_of_parents: list[sqlite3.Connection] = []
