"""A thread of ours that ends where its process forks; another one goes on with its work when there is some.

Python 3.12 and newer warn whoever forks beside other threads, on stderr where it is the program itself that forks. A
plain program has none, and a decorated one shall not be told of ours. (Python 3.13.0 to 3.13.9 and 3.14.0 also count
those that begin again after the fork: https://github.com/python/cpython/issues/137109)
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from instrument.signals import leave_to_others, left_to_others

GONE_SECONDS = 0.02
"""So long, at most, is waited until the system, too, has forgotten threads that have ended."""

HANDLER_SECONDS = 0.05
"""So long, at most, is waited for who begins or leaves: it is this very thread where a handler of signals forks."""

OURS = "instrument"
"""What the names of our threads begin with."""

WAITS = "S"
"""The state of a thread that waits and has nothing to do."""


class Shift:
    """At most one thread that does the work. The work asks `leaves` where it could end.

    A thread that does not end in time stays, and no later fork waits for it until it has asked again. Where it runs
    code of the user's it `takes_signals` as who has made it does, and so do processes that are started there.
    """

    def __init__(self, name: str, work: Callable[[], None], *, takes_signals: bool = False) -> None:
        self.thread: threading.Thread | None = None
        self.is_over = False
        self._coming: threading.Thread | None = None
        self._name = name
        self._work = work
        self._left = left_to_others() if takes_signals else None
        self._is_stuck = False
        self._changing = threading.Lock()

    def has(self, thread: threading.Thread) -> bool:
        """Whether it is this one's, also where it just begins."""
        return thread is self._coming or thread is self.thread  # in this order: that is how it changes

    def is_alive(self) -> bool:
        """Whether there is a thread."""
        return self.thread is not None and self.thread.is_alive()

    def begin(self) -> bool:
        """Start the thread, unless there is one or the process forks. Raises `RuntimeError` where none can start."""
        if not self._changing.acquire(blocking=False):  # a handler of signals has come in between
            return False
        try:
            if self.thread is not None or self.is_over:
                return False
            thread = self._coming = threading.Thread(target=self._enter, name=self._name, daemon=True)
            thread.start()
            self.thread = thread
            return True
        finally:
            self._coming = None
            self._changing.release()

    def _enter(self) -> None:
        """Work, unless Ctrl-C kept who began this thread from knowing it and another one was begun."""
        me = threading.current_thread()
        name_for_the_system(self._name)
        leave_to_others(self._left)
        with self._changing:
            if self.thread not in (None, me):
                return
            self.thread = me
        self._work()

    def leaves(self) -> bool:
        """Asked by the thread: whether it ends now. If so it must, at once."""
        self._is_stuck = False
        if not self.is_over:
            return False
        with self._changing:
            if self.is_over:
                self.thread = None
            return self.is_over

    def end(self, wake: Callable[[], object], give_up: float) -> None:
        """Have the thread end, also one that just begins; returns when it has, or at `give_up` (monotonic seconds)."""
        if self.has(threading.current_thread()):
            return
        self.is_over = True
        if self._changing.acquire(timeout=HANDLER_SECONDS):  # who begins it has told of it then
            self._changing.release()
        thread = self.thread
        if thread is None:
            return
        wake()
        thread.join(0.0 if self._is_stuck else max(0.0, give_up - time.monotonic()))
        self._is_stuck = thread.is_alive()

    def go_on(self) -> None:
        """Threads may begin again."""
        is_held = self._changing.acquire(timeout=HANDLER_SECONDS)
        self.is_over = False
        if is_held:
            self._changing.release()


def threads_of_the_system(process: int | str = "self") -> int:
    """How many threads the system knows in a process; 0 where it does not say."""
    return len(_threads(process))


def _threads(process: int | str) -> list[str]:
    try:
        return os.listdir(f"/proc/{process}/task")
    except OSError:
        return []


class Seen(NamedTuple):
    """What the system shows of a thread; `waits` counts how often it has begun to wait."""

    thread: str
    state: str
    waits: str


def seen_of_ours(process: int) -> list[Seen]:
    """Our threads in a process, of which other processes know nothing but what the system shows."""
    seen = []
    for thread in _threads(process):
        with suppress(OSError):  # it has ended
            lines = Path(f"/proc/{process}/task/{thread}/status").read_text("utf-8", "replace").splitlines()
            told = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
            if told["Name"].startswith(OURS):
                seen.append(Seen(thread, told["State"][0], told["voluntary_ctxt_switches"]))
    return seen


def name_for_the_system(name: str) -> None:
    """Said by a thread of ours, of which Python 3.14 and newer tell it by themselves."""
    with suppress(OSError):
        Path("/proc/thread-self/comm").write_text(name, "utf-8")


def wait_until_gone(most: int) -> None:
    """Wait a moment until the system knows no more threads than so many: one that was joined may be about to end."""
    give_up = time.monotonic() + GONE_SECONDS
    while threads_of_the_system() > most and time.monotonic() < give_up:
        time.sleep(0.0001)
