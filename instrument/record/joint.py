"""The ledgers that shared budgets of this process use: one connection each, and the settlements that wait for it."""

from __future__ import annotations

import atexit
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from instrument.errors import InstrumentError
from instrument.store.reservations import Accounts, accounts_at

R = TypeVar("R")

MOST_WAITING = 10_000
"""Settlements kept while a ledger cannot be used."""

MOST_IDLE = 4
"""Ledgers that stay open, beyond those that have settlements to make up for."""

FAULTS = (sqlite3.Error, OSError, InstrumentError)
"""What the steps raise where the ledger cannot be used."""


class Joint:
    """One ledger for all scopes and threads of this process.

    The garbage collector may end a model call in the middle of a step, on the same thread: what that call took waits
    until the step is over.
    """

    def __init__(self, url: str) -> None:
        self.accounts: Accounts = accounts_at(url)
        self.waiting: deque[Callable[[Accounts], Any]] = deque(maxlen=MOST_WAITING)
        self._lock = threading.RLock()
        self._is_inside = False

    def ask(self, step: Callable[[Accounts], R]) -> R:
        """Do it now, or raise what prevents it."""
        with self._lock:
            if self._is_inside:
                raise InstrumentError("a step of the same thread is not over")
            with self._inside():
                done = step(self.accounts)
            with suppress(*FAULTS):
                self._make_up(None)
            return done

    def enter(self, step: Callable[[Accounts], R]) -> R | None:
        """Do it after what is still waiting; where that is not possible it waits as well, and the fault is raised."""
        with self._lock:
            self.waiting.append(step)
            return None if self._is_inside else self._make_up(step)

    def close(self) -> None:
        """Enter what is waiting, if that is possible now, and close the connection."""
        with self._lock:
            with suppress(*FAULTS):
                self._make_up(None)
            if not self._is_inside and not self.waiting:
                self.accounts.close()

    def _make_up(self, mine: Callable[[Accounts], R] | None) -> R | None:
        """Do what is waiting; what `mine` gives."""
        done: Any = None
        with self._inside():
            while self.waiting:
                first = self.waiting[0]
                try:
                    outcome = first(self.accounts)
                except FAULTS:
                    raise
                except Exception:
                    self.waiting.popleft()  # it will never do, and the others need not wait for it
                    raise
                self.waiting.popleft()
                done = outcome if first is mine else done
        return done  # type: ignore[no-any-return]  # of the step that is ours

    @contextmanager
    def _inside(self) -> Iterator[None]:
        self._is_inside = True
        try:
            yield
        finally:
            self._is_inside = False


_open: dict[str, Joint] = {}
_changing = threading.Lock()


def joint(url: str) -> Joint:
    """The ledger at this address; of those that are not used any more the longest idle is closed."""
    found = _open.get(url)
    if found is not None:
        return found
    with _changing:
        found = _open.get(url) or _open.setdefault(url, Joint(url))
        idle = [one for one in _open if not _open[one].waiting and one != url]
        for one in idle[: max(len(idle) - MOST_IDLE, 0)]:
            _open.pop(one).close()
        return found


def _close_all() -> None:
    for one in list(_open.values()):
        one.close()


def _leave_to_parent() -> None:
    """In a forked child: connections, and locks that some thread may hold, stay with the parent."""
    global _open, _changing
    _of_parents.append(_open)
    _open, _changing = {}, threading.Lock()


_of_parents: list[object] = []
atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
