"""Threads of ours pause after a piece of work, so that the user's threads get the interpreter's lock.

CPython takes the lock from a thread that has kept it for 5 ms while another one waits. A thread that gives it back for
less time than the other takes to wake up, as around a write to a file, has that wait begin anew: the worker, with its
many short writes, would keep an event loop from its work for as long as there is something to write.
"""

from __future__ import annotations

import time

PAUSE = 0.000_1
"""Seconds; longer than a thread takes to wake up."""

CONTENDED = 0.002
"""A pause from which the way back took so many seconds longer has met a thread that computes."""

PIECE = 0.002
"""Seconds of work between two pauses."""

LONG_PIECE = 0.004
"""The same where a thread computes: there each pause costs the interval of 5 ms."""


class Breath:
    """The pauses of one thread."""

    def __init__(self) -> None:
        self._due = 0.0

    def take(self) -> None:
        """Pause, unless the last pause was a moment ago."""
        before = time.perf_counter()
        if before < self._due:
            return
        time.sleep(PAUSE)
        after = time.perf_counter()
        self._due = after + (LONG_PIECE if after - before > CONTENDED else PIECE)

    def waited(self, seconds: float) -> None:
        """A call of the system has just taken so long: one that was long was as good as a pause."""
        if seconds > CONTENDED:
            self._due = time.perf_counter() + LONG_PIECE
