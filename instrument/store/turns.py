"""Taking turns with other processes on a file or in a folder."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: writing works all the same, processes only cannot take turns
    fcntl = None  # type: ignore[assignment]

WAIT_SECONDS = 1.0
"""How long to wait for another process's turn before going on without one: a stopped process must not stop us."""


@contextmanager
def turn(fd: int) -> Iterator[bool]:
    """Hold the lock of an open file; yields whether it could be had in time."""
    locked = _lock(fd)
    try:
        yield locked
    finally:
        if locked:
            with suppress(OSError):  # closed meanwhile, and given back with that
                fcntl.flock(fd, fcntl.LOCK_UN)


@contextmanager
def turn_in(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder; yields whether it could be had in time."""
    try:
        fd = os.open(folder, os.O_RDONLY)
    except OSError:  # gone, or a system where folders cannot be opened
        yield False
        return
    try:
        with turn(fd) as locked:
            yield locked
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    if fcntl is None:
        return False
    give_up = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > give_up:
                return False
            time.sleep(0.001)
        except OSError:  # a file system without locks
            return False
