"""A pool of `multiprocessing` that is not closed kills its workers: those that record get the time to write of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from instrument.record.patching import patch_later
from instrument.record.safely import safely
from instrument.record.shift import threads_of_the_system
from instrument.record.switch import switch

MOMENT = 0.05
"""Seconds within which what has ended is on disk."""

__tracebackhide__ = True  # as in `wrappers`


def attach() -> None:
    """Patch `Pool` when it is imported. Decorating is enough: often it is the workers alone that call."""
    patch_later("multiprocessing.pool", "Pool", "_terminate_pool", _terminate)


def _terminate(wrapped: Callable[..., Any], kind: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What ends a pool whoever asks: its `terminate`, the end of its block, the collector or the end of the program."""
    try:
        if safely(_is_idle, *args) and safely(_records, args[3]):
            time.sleep(MOMENT)
    finally:
        wrapped(*args, **kwargs)


def _is_idle(*parts: Any) -> bool:
    """Whether all workers have done all their work."""
    workers, unanswered = parts[3], parts[8]
    return not unanswered and any(hasattr(one, "terminate") and one.exitcode is None for one in workers)


def _records(workers: Any) -> bool:
    """Whether they may. Where this process has not called anything their threads tell, of which one is ours."""
    return switch.recorder is not None or any(threads_of_the_system(one.pid) > 1 for one in workers)
