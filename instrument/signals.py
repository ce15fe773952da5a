"""What handlers of signals raise is the user's, also where it strikes while we are at work."""

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
