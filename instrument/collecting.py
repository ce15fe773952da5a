"""Python's garbage collector switched off for a while: where much is read that stays, it would look at all of it again
and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Nothing is collected inside. Only for processes of ours: in a user's program the collector is theirs."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
