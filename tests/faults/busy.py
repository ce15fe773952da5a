"""A program that does a little of everything at random from a seed, and writes down what it did as it did it.

`python busy.py SEED SECONDS ENDING DIARY`: DIARY gets a line `ended <monotonic ns> <n>` after each call, written
straight to the file, so that it survives whatever becomes of the process; `pulse <ns> <pid> <ms>` shows when it got to run, and how slowly.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

from instrument import agent, log, span, tool, traced

seed, seconds, ending, diary = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4]
chance = random.Random(seed)
file = os.open(diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
until = float("inf")


def tell(what: str, *more: int) -> None:
    """One line in the diary, at once."""
    os.write(file, f"{what} {time.monotonic_ns()} {' '.join(map(str, more))}\n".encode())


@tool
def work(n: int, text: str = "") -> int:
    return n


@tool
def fails(n: int) -> None:
    raise ValueError(f"no {n}")


@traced
def counts(n: int) -> Iterator[int]:
    yield from range(n, n + 3)


@traced
async def waits(n: int) -> int:
    await asyncio.sleep(0.001)
    return n


class Numbers:
    """Numbers that no other thread or process gives to a call."""

    def __init__(self, first: int) -> None:
        self.next = first

    def __call__(self) -> int:
        self.next += 1
        return self.next


def once(numbers: Numbers, chance: random.Random) -> None:
    """One small act."""
    n = numbers()
    kind = chance.randrange(8)
    if kind == 0:
        try:
            fails(n)
        except ValueError:
            tell("failed", n)
    elif kind == 1:
        list(counts(n))
    elif kind == 2:
        asyncio.run(waits(n))
    elif kind == 3:
        work(n, "x" * chance.choice([10, 5_000, 100_000]))
    elif kind == 4:
        log("NOTE", f"note {n}", n=n)
        work(n)
    else:
        work(n)
    tell("ended", n)


@agent
def review(numbers: Numbers, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(chance.randrange(1, 12)):
        if chance.random() < 0.2:
            with span("block", kind="step"):
                once(numbers, chance)
        once(numbers, chance)
        time.sleep(chance.choice([0, 0, 0.001, 0.005]))


def reviews(first: int) -> None:
    """Reviews until the time is up."""
    numbers, chance = Numbers(first), random.Random(seed + first)
    while time.monotonic() < until:
        review(numbers, chance.randrange(2**30))


def pulse() -> None:
    """How long a millisecond of work takes here: a loaded machine takes longer than the recording can help."""
    while True:
        begun, worked = time.monotonic_ns(), time.thread_time_ns()
        while time.thread_time_ns() - worked < 1_000_000:
            pass
        tell("pulse", os.getpid(), (time.monotonic_ns() - begun) // 1_000_000)
        time.sleep(0.01)


def forked(first: int) -> int:
    """A child that does reviews of its own and ends in order."""
    pid = os.fork()
    if pid == 0:
        threading.Thread(target=pulse, daemon=True).start()
        reviews(first)
        sys.exit(0)
    return pid


ENDINGS: dict[str, Callable[[], None]] = {
    "end": lambda: None,
    "exit": lambda: sys.exit(3),
    "raise": lambda: (_ for _ in ()).throw(KeyError("mine")).__next__(),
    "sigint": lambda: os.kill(os.getpid(), signal.SIGINT),
}

if __name__ == "__main__":
    work(0)
    tell("ended", 0)
    until = time.monotonic() + seconds
    children = [forked(10_000_000 * (n + 1)) for n in range(chance.randrange(3))]
    threading.Thread(target=pulse, daemon=True).start()
    threads = [threading.Thread(target=reviews, args=(1_000_000 * (n + 1),)) for n in range(chance.randrange(1, 4))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for child in children:
        os.waitpid(child, 0)
    ENDINGS.get(ending, ENDINGS["end"])()
