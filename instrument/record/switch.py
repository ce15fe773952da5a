"""Holds the recorder that is in force, if any."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from instrument import forks

if TYPE_CHECKING:
    from instrument.record.recorder import Recorder


FORK_SECONDS = 5.0
"""How long a fork waits for sinks that are at work: one may be stuck, or fork itself."""
START_FRAMES = 200
"""So many calls deep is the start, imports included. What meets the limit of recursion half way is otherwise taken for
settings that cannot be read or a sink that cannot start, for as long as the process lives."""


HALF_DONE = "nothing is recorded in this process: it was forked while a thread took too long to begin the recording"


class Switch:
    """Holds the installed recorder; `start` installs one at the first recorded call.

    `lock` is held while that changes. The recorder of a process that forks stays with it: in the child it is kept, so
    that nothing closes its files, but out of force, and the first recorded call installs another.
    """

    recorder: Recorder | None = None
    decided = False
    starting: int | None = None
    """The thread that is at it."""

    start: Callable[[], None]

    def __init__(self) -> None:
        self._sinks = forks.Hold()
        self._of_parents: list[Recorder] = []
        self._forking = 0
        forks.watch(self, first=True)
        self.lock = forks.Lock(first=True)

    def before_fork(self, give_up: float, /) -> None:
        """Wait for sinks that write, and for what loads beside them; our threads end."""
        if self.recorder is not None:
            give_up = min(time.monotonic() + FORK_SECONDS, give_up)
            self.recorder.sampling.share_all()
            self.recorder.pipeline.before_fork(give_up)
            self._sinks.take(self.recorder.pipeline.locks(), give_up)
        self._forking = os.getpid()

    def after_fork(self) -> None:
        """Let them go on."""
        self._sinks.release()
        if self.recorder is not None and self._forking == os.getpid():
            self.recorder.pipeline.after_fork()

    def renew(self) -> None:
        """Leave the recorder to the parent, and what a thread of the parent's was still importing for it, too."""
        is_half_done = self.starting not in (None, threading.get_ident())
        self._sinks, self.starting = forks.Hold(), None
        if self.recorder is not None:
            self.recorder.abandon()
            self._of_parents.append(self.recorder)
            self.recorder, self.decided = None, False
        if is_half_done:  # who imported that here would wait for ever, a notice included
            self.decided = True
            with suppress(Exception):
                sys.stderr.write(f"instrument: {HALF_DONE}\n")


switch = Switch()


def installed() -> Recorder | None:
    """The recorder in force, or None when recording is off; the first call configures with defaults."""
    if not switch.decided:
        with switch.lock:
            if not switch.decided and not switch.starting:
                switch.starting = threading.get_ident()
                try:
                    if _has_room(START_FRAMES):
                        switch.start()
                finally:
                    switch.starting = None
    return switch.recorder


def _has_room(frames: int) -> bool:
    """Whether so many calls fit in; otherwise a call that is less deep starts the recording."""
    try:
        return frames == 0 or _has_room(frames - 1)
    except RecursionError:
        return False
