"""Ends of a process that run no handlers of `atexit`: `os._exit`, and a signal that the process raises to die of.

Children of a fork end by the one (RQ does so after each job), servers that were told to stop by the other (uvicorn
raises the SIGTERM again that it has handled). Both mean to end in order: what is left is written first.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from instrument.record.safely import safely

DEADLY = "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM"
"""Signals that end a process unless it handles them, of those that programs send to say so."""

__tracebackhide__ = True  # as in `wrappers`
_attached = False


def attach(leave: Callable[[int], None], die: Callable[[], None]) -> None:
    """Have `leave` called with the code before each `os._exit`, and `die` before a signal that will end the process."""
    global _attached
    if _attached:
        return
    _attached = True
    _replace(os, "_exit", _exit_after(os._exit, leave))
    _replace(signal, "raise_signal", _signal_after(signal.raise_signal, die))


def _exit_after(plain: Callable[[int], Any], leave: Callable[[int], None]) -> Callable[[int], Any]:
    def _exit(status: int) -> Any:
        try:
            if isinstance(status, int):  # else it is about to raise
                safely(leave, status)
        finally:
            plain(status)

    return _exit


def _signal_after(plain: Callable[[int], None], die: Callable[[], None]) -> Callable[[int], None]:
    def raise_signal(signalnum: int, /) -> None:
        try:
            if safely(_is_deadly, signalnum):
                safely(die)
        finally:
            plain(signalnum)

    return raise_signal


def _is_deadly(number: int) -> bool:
    if number not in {getattr(signal, name, None) for name in DEADLY}:
        return False
    is_blocked = hasattr(signal, "pthread_sigmask") and number in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    return signal.getsignal(number) is signal.SIG_DFL and not is_blocked


def _replace(module: Any, name: str, ours: Any) -> None:
    """Also where it comes from: it is pickled by that name."""
    plain = getattr(module, name)
    home = sys.modules.get(plain.__module__)
    ours.__module__, ours.__qualname__, ours.__doc__ = plain.__module__, plain.__qualname__, plain.__doc__
    for place in (module, home):
        if getattr(place, name, None) is plain:
            setattr(place, name, ours)
