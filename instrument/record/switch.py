"""Holds the recorder that is in force, if any."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from instrument.record.recorder import Recorder


class Switch:
    """Holds the installed recorder; `start` installs one at the first recorded call.

    `lock` is held while that changes, and by a fork: a child that is forked while another thread starts the recording,
    and imports what it needs, would wait for that thread for ever.
    """

    recorder: Recorder | None = None
    decided = False
    starting = False
    start: Callable[[], None]

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._held = False

    def before_fork(self) -> None:
        self._held = self.lock.acquire(timeout=10.0)

    def after_fork_in_parent(self) -> None:
        if self._held:
            self.lock.release()

    def after_fork_in_child(self) -> None:
        self.lock, self.starting = threading.RLock(), False


switch = Switch()
if hasattr(os, "register_at_fork"):
    # What starting the recording imports must not register hooks of its own while a fork waits in ours.
    import concurrent.futures.thread  # noqa: F401

    os.register_at_fork(
        before=switch.before_fork,
        after_in_parent=switch.after_fork_in_parent,
        after_in_child=switch.after_fork_in_child,
    )


def installed() -> Recorder | None:
    """The recorder in force, or None when recording is off; the first call configures with defaults."""
    if not switch.decided:
        with switch.lock:
            if not switch.decided and not switch.starting:
                switch.starting = True
                try:
                    switch.start()
                finally:
                    switch.starting = False
    return switch.recorder
