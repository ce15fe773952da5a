"""A program that forks while its threads record, count tokens and charge a budget that all its processes share.

`python forking.py CHILDREN DIARY`: DIARY gets a line `ended <monotonic ns> <n>` after each call. Exit code 1 when a
child hung or failed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from itertools import count

from instrument import budget, current_span, flush, llm_call, tool

PATIENCE_SECONDS = 30
AT_ONCE = 3

children, diary = int(sys.argv[1]), sys.argv[2]
file = os.open(diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
stop = threading.Event()


@tool
def work(n: int) -> int:
    return n


@llm_call(model="gpt-4.1-mini")
def asks(n: int) -> str:
    live = current_span()
    assert live is not None
    live.usage(input=10, output=1)
    return "yes"


@llm_call(model="gpt-4o")
def guesses(n: int) -> str:
    return "some words of an answer"


def charges(n: int) -> None:
    with budget(usd=1_000_000, name="shared", period="day"):
        asks(n)


def done(what: Callable[[int], object], n: int) -> None:
    """Do it and write that down."""
    what(n)
    os.write(file, f"ended {time.monotonic_ns()} {n}\n".encode())


def goes_on(what: Callable[[int], object], first: int) -> None:
    for n in count(first):
        if stop.is_set():
            return
        done(what, n)
        time.sleep(0.001)


def child(number: int) -> None:
    """A forked child: it does a little of everything and ends in one of three ways."""
    signal.alarm(PATIENCE_SECONDS)
    first = 10_000_000 * (number + 1)
    done(work, first)
    done(charges, first + 1)
    if number % 4 == 0:
        done(guesses, first + 2)
    if number % 3 == 0:
        flush()
        os._exit(0)
    if number % 3 == 1:
        sys.exit(0)


def main() -> int:
    jobs = ((charges, 1_000_000), (charges, 2_000_000), (work, 3_000_000), (guesses, 4_000_000))
    threads = [threading.Thread(target=goes_on, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    running: list[int] = []
    codes: list[int] = []
    for number in range(children):
        pid = os.fork()
        if pid == 0:
            child(number)
            return 0
        running.append(pid)
        if len(running) == AT_ONCE:
            codes.append(os.waitpid(running.pop(0), 0)[1])
    codes += [os.waitpid(pid, 0)[1] for pid in running]
    stop.set()
    for thread in threads:
        thread.join()
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
