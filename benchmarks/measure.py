"""Measures one contestant in one case, in a process of its own, and prints what it found as JSON.

The machine changes its speed for seconds at a time, so the contestant is never timed alone: chunks of 50 calls of the
contestant, of a reference (`floor.pace`) and of the bare function take turns, and only ratios of what was added count.
CPU is that of all threads: of the calling thread within the contestant's chunks and its final flush, and everything
that other threads have used meanwhile. Time that passes for the caller, waiting for the interpreter's lock included,
is measured in longer blocks, each followed by a flush, so that the contestant's threads do not disturb the reference.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, Arguments, Case
from benchmarks.contestants import ENTRIES, Contestant, floor

CHUNK = 50
LEAST_CALLS = 500
BLOCKS = 3
BLOCK_SHARE = 4
"""A block for the caller's time is so many times shorter than a repeat."""

Caller = Callable[[Callable[..., Any], list[Arguments]], Awaitable[None]]


@dataclass(frozen=True)
class Repeat:
    """One repeat: what a call added, in microseconds of CPU of all threads and of time that passed for the caller."""

    calls: int
    cpu: float
    pace_cpu: float
    wall: float
    pace_wall: float


@dataclass(frozen=True)
class Measured:
    """All repeats, and what was written of how many calls."""

    repeats: list[Repeat]
    calls: int
    records: int | None
    line_bytes: float | None
    versions: dict[str, str]


async def _calls(function: Callable[..., Any], chunk: list[Arguments]) -> None:
    for arguments in chunk:
        function(*arguments)


async def _awaited_calls(function: Callable[..., Any], chunk: list[Arguments]) -> None:
    for arguments in chunk:
        await function(*arguments)


class _Turns:
    """Contestant, reference and bare function, called in turns."""

    def __init__(self, case: Case, contestant: Contestant) -> None:
        self.case = case
        self.contestant = contestant
        self.call: Caller = _awaited_calls if case.awaited else _calls
        decorate = contestant.decorate_model or contestant.decorate if case.of_model else contestant.decorate
        self.functions = (
            decorate(case.function),
            floor.pace()(case.function),
            case.function,
        )
        self.calls = 0

    async def repeat(self, calls: int) -> Repeat:
        """Call each so many times below one parent, flush, and say what was added by contestant and reference."""
        cpu = await self._cpu(calls)
        wall = await self._wall(max(CHUNK, calls // BLOCK_SHARE // CHUNK * CHUNK))
        return Repeat(calls, *cpu, *wall)

    async def _cpu(self, calls: int) -> tuple[float, float]:
        spent = [0, 0, 0]
        process, thread = time.process_time_ns(), time.thread_time_ns()
        with self.contestant.parent():
            for _ in range(calls // CHUNK):
                chunk = self._next(CHUNK)
                for who, function in enumerate(self.functions):
                    _collect_in(who == 0)
                    start = time.thread_time_ns()
                    await self.call(function, chunk)
                    spent[who] += time.thread_time_ns() - start
        _collect_in(True)
        before = time.thread_time_ns()
        self.contestant.flush()
        after = time.thread_time_ns()
        others = time.process_time_ns() - process - (after - thread)
        spent[0] += after - before + others
        return _added(spent, calls)

    async def _wall(self, calls: int) -> tuple[float, float]:
        passed = [0, 0, 0]
        for _ in range(BLOCKS):
            block = self._next(calls)
            for who, function in enumerate(self.functions):
                _collect_in(who == 0)
                with self.contestant.parent() if who == 0 else nullcontext():
                    start = time.perf_counter_ns()
                    await self.call(function, block)
                    passed[who] += time.perf_counter_ns() - start
                self.contestant.flush()
        return _added(passed, calls * BLOCKS)

    def _next(self, calls: int) -> list[Arguments]:
        """The arguments of so many further calls; none is like one before."""
        first, self.calls = self.calls, self.calls + calls
        return [self.case.arguments(number) for number in range(first, self.calls)]

    async def measure(self, repeats: int, seconds: float) -> list[Repeat]:
        """Warm up, find how many calls fill `seconds`, repeat."""
        for _ in range(2):
            warm = await self.repeat(LEAST_CALLS)
        fitting = int(seconds * 1e6 / (max(warm.cpu, 0.5) + warm.pace_cpu)) // CHUNK * CHUNK
        calls = max(LEAST_CALLS, min(fitting, self.case.most_calls))
        return [await self.repeat(calls) for _ in range(repeats)]


def _collect_in(contestant: bool) -> None:
    """Let the collector run only within the contestant's turns: what it leaves would else be charged to the others."""
    if contestant:
        gc.enable()
    else:
        gc.disable()


def _added(sums: list[int], calls: int) -> tuple[float, float]:
    """What contestant and reference took more than the bare function, in microseconds a call."""
    contestant, reference, bare = sums
    return (contestant - bare) / calls / 1000, (reference - bare) / calls / 1000


def _written(case: Case, contestant: Contestant, calls: int) -> tuple[int | None, float | None]:
    """How many calls were recorded in full, and bytes a line. Raises `AssertionError` when that is not every call."""
    if contestant.kept is not None:
        records, last = contestant.kept()
        parents = records - calls
        assert parents >= 0, f"{records} of {calls} calls reached the sink"
        return calls, float(len(last))
    if contestant.lines is None:
        return None, None
    records = size = 0
    for line in contestant.lines():
        if all(mark in line for mark in case.marks):
            records += 1
            size += len(line)
    assert records == calls, f"{records} of {calls} calls were written in full"
    return records, size / records


def measured(entry: str, case: Case, repeats: int, seconds: float) -> Measured:
    """Everything about one contestant in one case."""
    row = ENTRIES[entry]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        contestant = importlib.import_module(f"benchmarks.contestants.{row.module}").start(folder, row.variant)
        turns = _Turns(case, contestant)
        gc.collect()
        found = asyncio.run(turns.measure(repeats, seconds))
        records, line_bytes = _written(case, contestant, turns.calls)
    return Measured(found, turns.calls, records, line_bytes, contestant.versions)


def main() -> int:
    """Called by `benchmarks.overhead`."""
    options = argparse.ArgumentParser()
    options.add_argument("entry", choices=ENTRIES)
    options.add_argument("case", choices=CASES)
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--seconds", type=float, default=0.2)
    given = options.parse_args()
    errors = sys.stderr
    try:
        found = measured(given.entry, CASES[given.case], given.repeats, given.seconds)
    except BaseException:  # noqa: BLE001 - a contestant may have taken stderr away
        traceback.print_exc(file=errors)
        return 1
    print(json.dumps(asdict(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
