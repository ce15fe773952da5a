"""`with multiprocessing.Pool()` kills its workers at the end: those that record get the time to write of their work."""

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
    patch_later("multiprocessing.pool", "Pool", "terminate", _terminate)


def _terminate(wrapped: Callable[..., Any], pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        if safely(_is_idle, pool) and safely(_records, pool):
            time.sleep(MOMENT)
    finally:
        wrapped(*args, **kwargs)


def _is_idle(pool: Any) -> bool:
    """Whether all workers have done all their work."""
    return not pool._cache and any(hasattr(one, "terminate") and one.exitcode is None for one in pool._pool)


def _records(pool: Any) -> bool:
    """Whether the workers may. Where this process has not called anything their threads tell, of which one is ours."""
    if switch.decided:
        return switch.recorder is not None
    return any(threads_of_the_system(one.pid) > 1 for one in pool._pool)
