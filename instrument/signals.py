"""Signals are the program's: what its handlers raise while we are at work, and what it waits for itself."""

from __future__ import annotations

import signal
import threading
from traceback import walk_tb


def is_of_signal(error: BaseException) -> bool:
    """Whether a handler of signals has raised it, a timeout perhaps: it is the user's and only met us at work."""
    below = error.__traceback__ and error.__traceback__.tb_next
    if below is None or threading.current_thread() is not threading.main_thread():
        return False
    handlers = map(signal.getsignal, signal.valid_signals())
    codes = [code for handler in handlers if (code := getattr(handler, "__code__", None)) is not None]
    return bool(codes) and any(frame.f_code in codes for frame, _ in walk_tb(below))


_OF_ONE_THREAD = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS")
"""What a fault of a thread sends to that very thread; faulthandler and debuggers tell of it."""


def left_to_others() -> set[int]:
    """The signals that this thread leaves to others of the process."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, ()) if hasattr(signal, "pthread_sigmask") else set()


def leave_to_others(left: set[int] | None = None) -> None:
    """Said by a thread of ours: what the program blocks and waits for (`sigwait`) would end it where nobody blocks it.

    All are left but those of the thread itself, or only those `left`.
    """
    if hasattr(signal, "pthread_sigmask"):
        own = {getattr(signal, name, None) for name in _OF_ONE_THREAD}
        signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals() - own if left is None else left)
