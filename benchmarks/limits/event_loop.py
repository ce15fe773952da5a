"""How long the event loop is kept from its work while a thousand agents call tools.

Each of the tasks is a run of an agent, which waits a second or so, as for an answer from the network, in an async tool,
then calls a plain one, and so on: 2,000 spans a second. A ticker
that wants to wake up every millisecond notes how late it is. Plain and decorated take turns, each in a process of its
own, so what the loop is late by itself (a thousand tasks are woken one after the other) is known.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from statistics import median
from typing import Any

from benchmarks.limits import Limit, in_a_child

TASKS = 1000
SECONDS = 8.0
PAUSE = 1.0
"""Seconds that an async tool waits, half as long to half as long again."""
ROUNDS = 3
TICK = 0.001
SHARES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
AIM_MS = 5.0

Adds = Callable[..., int]
Waits = Callable[..., Awaitable[int]]
Works = Callable[..., Coroutine[Any, Any, None]]


def found() -> list[Limit]:
    """What decorating adds, the median of the rounds."""
    added: dict[str, list[float]] = {name: [] for name in SHARES}
    firsts: list[float] = []
    for _ in range(ROUNDS):
        plain, ours = (in_a_child("event_loop", how, str(PAUSE)) for how in ("plain", "decorated"))
        firsts.append(ours["first"])
        for name in SHARES:
            added[name].append(ours[name] - plain[name])
    told = [
        Limit(
            f"event loop, 1,000 tasks: late by more, {name}", median(values), "ms", AIM_MS if name == "p99.9" else None
        )
        for name, values in added.items()
    ]
    return [*told, Limit("the first recorded call of a process takes", median(firsts), "ms")]


async def _waits(n: int, pause: float) -> int:
    await asyncio.sleep(pause)
    return n


def _adds(a: int, b: int) -> int:
    return a + b


async def _works(number: int, waits: Waits, adds: Adds, pause: float, until: float) -> None:
    chance = random.Random(number)
    await asyncio.sleep(chance.uniform(0, pause))
    turn = 0
    while time.monotonic() < until:
        turn += 1
        adds(await waits(number * 100_000 + turn, chance.uniform(0.5, 1.5) * pause), turn)


async def _late(until: float) -> list[float]:
    """By how many milliseconds each tick was late."""
    late: list[float] = []
    while (before := time.monotonic()) < until:
        await asyncio.sleep(TICK)
        late.append((time.monotonic() - before - TICK) * 1000)
    return late


async def _measure(works: Works, waits: Waits, adds: Adds, pause: float) -> list[float]:
    gc.collect()
    until = time.monotonic() + SECONDS
    tasks = [asyncio.create_task(works(number, waits, adds, pause, until)) for number in range(TASKS)]
    late = await _late(until)
    await asyncio.gather(*tasks)
    return late


def _of(sorted_values: Sequence[float], share: float) -> float:
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))]


def main() -> None:
    """One process, `plain` or `decorated`."""
    first, pause = 0.0, float(sys.argv[2])
    if sys.argv[1] == "plain":
        late = sorted(asyncio.run(_measure(_works, _waits, _adds, pause)))
    else:
        from instrument import agent, flush, tool

        adds = tool(_adds)
        start = time.perf_counter()
        adds(1, 2)
        first = (time.perf_counter() - start) * 1000
        late = sorted(asyncio.run(_measure(agent(_works), tool(_waits), adds, pause)))
        flush()
    print(
        json.dumps({"first": first, **{name: _of(late, share) for name, share in SHARES.items()}, "ticks": len(late)})
    )


if __name__ == "__main__":
    main()
