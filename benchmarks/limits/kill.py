"""How old what a `kill -9` takes away can be: a process is killed at random instants, by default settings.

The process notes each span that has ended, and when, straight into a file before it goes on. What it noted and what is
readable afterwards are compared; a span that is missing has the age that it had when the process was killed.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.limits import ROOT, Limit, environment

KILLS = 100
AIM_MS = 50.0
PAUSES = {"0.5 to 5 ms between calls": (0.0005, 0.005), "nothing but calls": (0.0,)}
"""Seconds between the calls of a thread, of which a process has one to three."""


def found(kills: int = KILLS) -> list[Limit]:
    """The age of the oldest span that was lost, of each kill; 0 where none was."""
    return [limit for pace in PAUSES for limit in _found(pace, kills)]


class Lost(NamedTuple):
    """Of one kill: how long ago the oldest span that was lost had ended, and the newest of all (milliseconds)."""

    oldest: float
    newest: float


def _found(pace: str, kills: int) -> Iterator[Limit]:
    chance = random.Random(11)
    lost = [_killed(pace, chance) for _ in range(kills)]
    ages = sorted(one.oldest for one in lost)
    what = f"kill -9 at {kills} instants, {pace}: what was lost had ended at most so long before"
    yield Limit(f"{what}, p50", ages[kills // 2], "ms")
    yield Limit(f"{what}, p99", ages[kills * 99 // 100 - 1], "ms")
    yield Limit(f"{what}, max", ages[-1], "ms", AIM_MS)
    behind = max(max(0.0, one.oldest - one.newest) for one in lost)
    yield Limit(f"{what}, max, less the time that all threads had stood still", behind, "ms")


def _killed(pace: str, chance: random.Random) -> Lost:
    from instrument import records
    from instrument.model import Span

    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".limits-") as folder:
        diary = Path(folder) / "diary"
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.limits.kill", str(diary), pace, str(chance.randrange(10**6))],
            cwd=ROOT,
            env=environment(folder),
            stderr=subprocess.DEVNULL,
        )
        while not (diary.exists() and diary.stat().st_size):
            time.sleep(0.002)
        time.sleep(chance.uniform(0.02, 0.6))
        os.kill(process.pid, signal.SIGKILL)
        killed = time.monotonic_ns()
        process.wait()
        events = Path(folder) / ".instrument"
        there = {one.span_id for one in records(events, []) if isinstance(one, Span)} if events.exists() else set()
        ended = dict(map(str.split, diary.read_text().splitlines()))
    lost = [int(at) for span_id, at in ended.items() if span_id not in there]
    oldest, newest = min(lost, default=killed), max(map(int, ended.values()))
    return Lost(max(0.0, (killed - oldest) / 1e6), max(0.0, (killed - newest) / 1e6))


def main(diary: str, pace: str, seed: int) -> None:
    """The process that is killed: one thread or some, each an agent that calls tools and a model."""
    from instrument import agent, current_span, llm_call, tool

    file = os.open(diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    ids = threading.local()

    def remember() -> None:
        live = current_span()
        assert live is not None
        ids.last = live.span_id

    def ended() -> None:
        os.write(file, f"{ids.last} {time.monotonic_ns()}\n".encode())

    @tool
    def look_up(query: str) -> list[str]:
        remember()
        return [query] * 3

    @llm_call(model="gpt-4.1-mini")
    def think(prompt: str) -> str:
        live = current_span()
        assert live is not None
        live.usage(input=len(prompt) // 4, output=7)
        remember()
        return f"an answer to {prompt}"

    @agent
    def review(chance: random.Random, pause: float) -> None:
        for n in range(chance.randrange(1, 30)):
            if n % 10 == 0:
                think(f"question {n} " + "and some words of the conversation so far " * 10)
            else:
                look_up(f"what {n}")
            ended()
            if pause:
                time.sleep(pause)

    def go_on(chance: random.Random) -> None:
        pause = chance.choice(PAUSES[pace])
        while True:
            review(chance, pause)

    chance = random.Random(seed)
    for _ in range(chance.randrange(3)):
        threading.Thread(target=go_on, args=(random.Random(chance.random()),)).start()
    go_on(chance)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
