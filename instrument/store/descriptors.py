"""High numbers for what we keep open: a program may close descriptors that it has not opened, to be a daemon perhaps.

What it opens since gets the lowest numbers that are free. Ours are not among them, and what we still write gets into no
file of the program.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

if sys.platform != "win32":
    import resource

ASIDE = 512
"""Descriptors from here on are not given to what a program opens, unless it has as many open."""
AT_ONCE = 250
"""So many descriptors one message may carry."""


@contextmanager
def numbers_below_taken() -> Iterator[None]:
    """What a library opens in the block, and does not let us move, gets a number from `ASIDE` on, if possible."""
    if sys.platform != "linux" or 0 <= resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2 * ASIDE:
        yield
        return
    taken: list[int] = []
    try:
        with suppress(OSError):
            taken.append(os.open(os.devnull, os.O_RDONLY))
            _take(taken)
            taken += [os.dup(taken[0]), os.dup(taken[0])]  # where the two sockets were
        yield
    finally:
        _give_back(sorted(taken))


def aside_of(file: tuple[int, int] | None) -> int | None:
    """The number from `ASIDE` on under which this file (device and inode) has been opened; None where none is known."""
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return None
    return next((number for number in numbers if number >= ASIDE and is_of(number, file)), None)


def is_of(number: int, file: tuple[int, int] | None) -> bool:
    """Whether the descriptor is one of this file still."""
    try:
        found = os.fstat(number)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == file


def _take(taken: list[int]) -> None:
    """Take all numbers below `ASIDE`, as copies of the first.

    They come in messages of many, because beside busy threads each call of the system may have to wait for its turn.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        while (left := ASIDE - max(taken)) > 0:
            asked = min(AT_ONCE, left)
            socket.send_fds(ours, [b" "], [taken[0]] * asked)
            got = socket.recv_fds(theirs, 1, asked, socket.MSG_CMSG_CLOEXEC)[1]
            taken += got
            if len(got) < asked:
                return


def _give_back(taken: Sequence[int]) -> None:
    begin = 0
    for at, number in enumerate(taken, 1):
        if at == len(taken) or taken[at] != number + 1:
            os.closerange(taken[begin], number + 1)
            begin = at
