"""What a fork waits for: its child has one thread, and what others held at that moment stays held in it for ever.

Whoever has something that a child needs free, or must not inherit, is watched here. Threads fork one after the other:
what is held for one fork must not be given back by another.
"""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Protocol
from weakref import ref

for _home in ("logging", "concurrent.futures.thread"):  # also where Python 3.15 is told to import lazily
    importlib.import_module(_home)  # their hooks come before ours: none may be added while a fork waits in these

PATIENCE_SECONDS = 10.0
"""How long a fork waits in all; it goes on without what is stuck then."""


class Watched(Protocol):
    """What is held during a fork, or renewed after it. None of the methods raises."""

    def before_fork(self, give_up: float, /) -> None:
        """Take hold, unless that is not possible until `give_up` (seconds of the monotonic clock)."""

    def after_fork(self) -> None:
        """Let go of what was taken, on the thread that forked, in the parent and in the child."""

    def renew(self) -> None:
        """In the child: have anew what could not be taken, and what belongs to the parent."""


class Lock:
    """A lock for blocks that may be nested in one thread, which no child finds held by another.

    It is made when it is first needed: gevent may have replaced the locks since, and greenlets would pass an old one.
    """

    def __init__(self, *, first: bool = False) -> None:
        self.is_held_for_fork = False
        watch(self, first=first)

    def _made(self) -> Any:
        return vars(self).get("_lock") or vars(self).setdefault("_lock", threading.RLock())

    def __enter__(self) -> None:
        self._made().acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._made().release()

    def before_fork(self, give_up: float, /) -> None:
        """Take hold."""
        self.is_held_for_fork = self._made().acquire(timeout=max(0.0, give_up - time.monotonic()))

    def after_fork(self) -> None:
        """Let go."""
        if self.is_held_for_fork:
            self.is_held_for_fork = False
            self._made().release()

    def renew(self) -> None:
        """A thread that is no more may have it."""
        self.is_held_for_fork = False
        if self._made().acquire(blocking=False):
            self._made().release()
        else:
            self._lock = threading.RLock()


class Hold:
    """Locks that are taken for a fork, though not for ever, and for one that is stuck only once."""

    def __init__(self) -> None:
        self._taken: list[threading.Lock] = []
        self._stuck: list[threading.Lock] = []

    def take(self, locks: Iterable[threading.Lock], give_up: float) -> None:
        """Take all of them that are free until then."""
        stuck: list[threading.Lock] = []
        for lock in locks:
            patience = 0.0 if lock in self._stuck else max(0.0, give_up - time.monotonic())
            (self._taken if lock.acquire(timeout=patience) else stuck).append(lock)
        self._stuck = stuck

    def release(self) -> None:
        """Let go of them."""
        while self._taken:
            self._taken.pop().release()


def watch(one: Watched, *, first: bool = False) -> None:
    """Heed it at every fork as long as it lives; `first` for what may be held while the others are asked for."""
    _watched.insert(0 if first else len(_watched), ref(one, _watched.remove))


_watched: list[ref[Watched]] = []
importing = Lock()
"""Held while a call imports what it needs on the thread of its caller, who holds locks of the modules meanwhile."""

_taken: list[Watched] = []
_turn = threading.Lock()
_forking: int | None = None
"""The thread that has the turn."""


def _before() -> None:
    global _forking
    give_up = time.monotonic() + PATIENCE_SECONDS
    if _turn.acquire(timeout=PATIENCE_SECONDS):
        _forking = threading.get_ident()
        while left := [one for one in _living() if one not in _taken]:  # some begin to be watched while others are held
            _taken.append(left[0])
            left[0].before_fork(give_up)


def _after_in_parent() -> None:
    global _forking
    if _forking == threading.get_ident():
        _let_go()
        _forking = None
        _turn.release()


def _after_in_child() -> None:
    global _forking, _turn
    if _forking == threading.get_ident():
        _let_go()
    _taken.clear()
    _forking, _turn = None, threading.Lock()
    for one in _living():
        one.renew()


def _let_go() -> None:
    while _taken:
        _taken.pop().after_fork()


def _living() -> list[Watched]:
    return [one for reference in list(_watched) if (one := reference()) is not None]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
