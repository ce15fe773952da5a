"""A pool of `multiprocessing` that is not closed kills its workers: those that record get the time to write of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from instrument.record.patching import patch_later
from instrument.record.safely import safely
from instrument.record.shift import WAITS, Seen, seen_of_ours, threads_of_the_system
from instrument.record.switch import switch

MOMENT = 0.05
"""So many seconds after our threads have last done anything in a worker, what has ended there is on disk."""
PATIENCE = 2.0
"""So long, at most, is waited for that: a machine may be busy, and the first call of a worker opens its files."""
LOOK_SECONDS = 0.005

__tracebackhide__ = True  # as in `wrappers`


def attach() -> None:
    """Patch `Pool` when it is imported. To import us is enough: often it is the workers alone that call."""
    patch_later("multiprocessing.pool", "Pool", "_terminate_pool", _terminate)


def _terminate(wrapped: Callable[..., Any], kind: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What ends a pool whoever asks: its `terminate`, the end of its block, the collector or the end of the program."""
    try:
        if safely(_is_idle, *args):
            safely(_wait_until_written, [one.pid for one in args[3]])
    finally:
        wrapped(*args, **kwargs)


def _is_idle(*parts: Any) -> bool:
    """Whether all workers have done all their work."""
    workers, unanswered = parts[3], parts[8]
    return not unanswered and any(hasattr(one, "terminate") and one.exitcode is None for one in workers)


def _wait_until_written(processes: Sequence[int]) -> None:
    """Wait until our threads in all of them rest; not where there are none."""
    if not threads_of_the_system():  # it does not say
        time.sleep(MOMENT if switch.recorder is not None else 0.0)
    give_up = time.monotonic() + PATIENCE
    before, since = _ours_in(processes), time.monotonic()
    while before and time.monotonic() < min(give_up, since + MOMENT):
        time.sleep(LOOK_SECONDS)
        now = _ours_in(processes)
        if now != before or any(one.state != WAITS for one in now):
            before, since = now, time.monotonic()


def _ours_in(processes: Sequence[int]) -> list[Seen]:
    return [one for process in processes for one in seen_of_ours(process)]
