"""`make soak`: every fault at random from a seed, for some minutes, and what was made reconciled with what is on disk.

Each round runs `busy.py` in a folder of its own, does something bad to it, and compares its diary with the records.
Prints a table and ends with 1 when anything that had been promised was missing, doubled or torn.
"""

from __future__ import annotations

import argparse
import fcntl
import itertools
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from instrument import read, records, span, tool
from instrument.model import Span
from instrument.testing import record
from tests.faults.programs import environment

PROMISED_NS = 50_000_000
NAMES = ("work", "fails", "counts", "waits", "asks", "guesses")
BUSY, FORKING = (Path(__file__).with_name(f"{name}.py") for name in ("busy", "forking"))


class Round(NamedTuple):
    """What one round gave: calls that had ended in time, those missing on disk, those there twice, torn lines."""

    made: int
    missing: int
    doubled: int
    torn: int
    code_is_right: bool = True


class Diary(NamedTuple):
    ended: dict[int, int]
    pulses: dict[str, list[tuple[int, int]]]

    failed: list[int]

    def slack_before(self, moment: int) -> int:
        """The promised time at the pace at which the slowest process got to run, which is the machine's affair."""
        slowest = 0
        for pulses in self.pulses.values():
            before = [(at, ms) for at, ms in pulses if at < moment]
            if not before:
                return moment
            gap = max(b - a for (a, _), (b, _) in itertools.pairwise([*before, (moment, 0)]))
            slowest = max(slowest, gap + PROMISED_NS * max(1, *(ms for _, ms in before)))
        return slowest if self.pulses else moment


def read_diary(place: Path) -> Diary:
    """What the program wrote down."""
    ended: dict[int, int] = {}
    pulses: dict[str, list[tuple[int, int]]] = {}
    failed: list[int] = []
    for words in (line.split() for line in place.read_text().splitlines()):
        if words[0] == "ended" and len(words) == 3:
            ended[int(words[2])] = int(words[1])
        elif words[0] == "failed" and len(words) == 3:
            failed.append(int(words[2]))
        elif words[0] == "pulse" and len(words) == 4:
            pulses.setdefault(words[2], []).append((int(words[1]), int(words[3])))
    return Diary(ended, pulses, failed)


def on_disk(folder: Path) -> tuple[Counter[int], int]:
    """How often each call is there, and how many notices reading gave."""
    notices: list[str] = []
    there: Counter[int] = Counter()
    if not (folder / ".instrument").exists():
        return there, 0
    for one in records(folder / ".instrument", notices):
        if isinstance(one, Span) and one.name in NAMES and one.input is not None:
            there[one.input["n"]] += 1
    return there, len([said for said in notices if "half-written" not in said])


def started(
    folder: Path, seed: int, seconds: float, ending: str, *, stderr: int = subprocess.DEVNULL, **settings: str
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(BUSY), str(seed), str(seconds), ending, str(folder / "diary")],
        cwd=folder,
        env=environment(INSTRUMENT_LOOPS__ACTION="off", **settings),
        stderr=stderr,
        start_new_session=True,
    )


def settings_by_chance(chance: random.Random) -> dict[str, str]:
    given = {"INSTRUMENT_SINKS": chance.choice(["jsonl", "console,jsonl,ledger"])}
    if chance.random() < 0.3:
        given["INSTRUMENT_JSONL__DURABILITY"] = "fsync"
    if chance.random() < 0.5:
        given["INSTRUMENT_JSONL__ROTATE_BYTES"] = "50000"
    if chance.random() < 0.3:
        given["INSTRUMENT_JSONL__PATH"] = ".instrument/events/all.jsonl"
    return given


def round_of(diary: Diary, folder: Path, before: int | None = None, code_is_right: bool = True) -> Round:
    there, torn = on_disk(folder)
    ended = [n for n, at in diary.ended.items() if before is None or at < before]
    return Round(
        len(ended), sum(not there[n] for n in ended), sum(times > 1 for times in there.values()), torn, code_is_right
    )


def killed(folder: Path, chance: random.Random, **more: str) -> Round:
    """kill -9 of a program and all its children at a random instant."""
    process = started(folder, chance.randrange(10**6), 30.0, "end", **{**settings_by_chance(chance), **more})
    while not (folder / "diary").exists() or not (folder / "diary").stat().st_size:
        time.sleep(0.005)
    time.sleep(chance.uniform(0.05, 1.5))
    at = time.monotonic_ns()
    os.killpg(process.pid, 9)
    process.wait()
    diary = read_diary(folder / "diary")
    return round_of(diary, folder, at - diary.slack_before(at))


def ended(folder: Path, chance: random.Random) -> Round:
    """A process that ends in one of the orderly ways, with threads and forked children."""
    ending = chance.choice(["end", "exit", "raise", "sigint"])
    code = started(folder, chance.randrange(10**6), 0.6, ending, **settings_by_chance(chance)).wait()
    expected = {"end": 0, "exit": 3, "raise": 1, "sigint": -2}[ending]
    return round_of(read_diary(folder / "diary"), folder, code_is_right=code == expected)


def deleted(folder: Path, chance: random.Random) -> Round:
    """The recording folder is made unusable for a while: what was written meanwhile comes later."""
    process = started(folder, chance.randrange(10**6), 4.0, "end", INSTRUMENT_SINKS="jsonl")
    events = folder / ".instrument/events"
    while not events.exists():
        time.sleep(0.005)
    time.sleep(chance.uniform(0.1, 0.4))
    aside = folder / ".instrument/aside"
    events.rename(aside)
    events.write_text("in the way")
    time.sleep(chance.uniform(0.1, 0.5))
    is_over = process.poll() is not None
    events.unlink()
    code = process.wait()
    if is_over:
        return Round(0, 0, 0, 0, code == 0)  # on so slow a machine there was nothing to see
    events.mkdir(exist_ok=True)
    for file in aside.iterdir():
        (events / f"before-{file.name}").write_bytes(file.read_bytes())
    return round_of(read_diary(folder / "diary"), folder, code_is_right=code == 0)


def sampled(folder: Path, chance: random.Random) -> Round:
    """At a random rate every trace is whole, and every trace in which something failed is there."""
    rate = chance.choice(["1e-12", "0.1", "0.5"])
    started(folder, chance.randrange(10**6), 0.8, "end", INSTRUMENT_SINKS="jsonl", INSTRUMENT_SAMPLE_RATE=rate).wait()
    stored = list(read(folder / ".instrument", []))
    orphans = sum(len(trace.roots) != 1 or trace.root.parent_id is not None for trace in stored)
    diary = read_diary(folder / "diary")
    there, torn = on_disk(folder)
    left = len(list((folder / ".instrument/spool").rglob("*.jsonl")))
    forgotten = sum(not there[n] for n in diary.failed)
    return Round(len(diary.ended), orphans + left + forgotten, sum(n > 1 for n in there.values()), torn)


HANGING = (
    "import time\nclass Hanging:\n    def write(self, batch): time.sleep(1000)\n    flush = close = lambda self: None\n"
)


def hung(folder: Path, chance: random.Random) -> Round:
    """A sink of the user's that never comes back."""
    (folder / "hanging.py").write_text(HANGING)
    path = environment()["PYTHONPATH"] + f":{folder}"
    process = started(
        folder, chance.randrange(10**6), 0.5, "end", INSTRUMENT_SINKS="jsonl,hanging:Hanging", PYTHONPATH=path
    )
    code = process.wait()
    diary = read_diary(folder / "diary")
    return round_of(diary, folder, code_is_right=code == 0)


def unread(folder: Path, chance: random.Random) -> Round:
    """A pipe on stderr that is soon full, and that nobody reads."""
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    given = {"INSTRUMENT_SINKS": "console,jsonl,ledger", "INSTRUMENT_CONSOLE__LEVEL": "TRACE"}
    code = started(folder, chance.randrange(10**6), 0.5, "end", stderr=write_end, **given).wait()
    os.close(read_end)
    os.close(write_end)
    return round_of(read_diary(folder / "diary"), folder, code_is_right=code == 0)


def forked(folder: Path, chance: random.Random) -> Round:
    """Children are forked while threads write to the ledger: no child hangs, every call is entered and booked once."""
    done = subprocess.run(
        [sys.executable, str(FORKING), str(chance.randrange(5, 40)), str(folder / "diary")],
        cwd=folder,
        env=environment(INSTRUMENT_LOOPS__ACTION="off", INSTRUMENT_SINKS="jsonl,ledger"),
        stderr=subprocess.DEVNULL,
        check=False,
    )
    one = round_of(read_diary(folder / "diary"), folder, code_is_right=done.returncode == 0)
    asked = {
        one.span_id
        for one in records(folder / ".instrument", [])
        if isinstance(one, Span) and one.name in ("asks", "guesses")
    }
    with closing(sqlite3.connect(folder / ".instrument/ledger.db")) as ledger:
        entered = {span_id for (span_id,) in ledger.execute("SELECT span_id FROM calls")}
        [booked] = ledger.execute("SELECT calls FROM budgets WHERE name = 'shared'").fetchone()
        [charged] = ledger.execute("SELECT count(*) FROM calls WHERE operation = 'asks'").fetchone()
    return one._replace(missing=one.missing + len(asked ^ entered) + abs(booked - charged))


FAULTS: dict[str, Callable[[Path, random.Random], Round]] = {
    "kill -9": killed,
    "orderly end": ended,
    "folder unusable": deleted,
    "sampling": sampled,
    "hanging sink": hung,
    "stderr unread": unread,
    "forks under load": forked,
}


@tool
def small(n: int) -> int:
    return n


def long_life(spans: int, at_once: int) -> tuple[int, int]:
    """Bytes and live spans beyond the baseline after a million spans, many traces at once, one that never ends."""
    from instrument.record.switch import switch

    with record() as recording:
        recording._memory.write = lambda batch: None  # type: ignore[method-assign]  # it would keep all
        recorder: Any = switch.recorder
        never = span("never ends")
        never.__enter__()
        for n in range(2_000):
            small(n)
        recording.flush()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for n in range(spans):
            small(n)
        blocks = [span(f"trace {n}") for n in range(at_once)]
        for block in blocks:
            block.__enter__()
        for block in reversed(blocks):
            block.__exit__(None, None, None)
        del blocks
        lost = recording.flush().lost
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        left = len(recorder.open) - 1
        never.__exit__(None, None, None)
    if lost:
        print("lost in the long life:", lost)
    return grown, left + sum(lost.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    parser.add_argument("--spans", type=int, default=1_000_000)
    given = parser.parse_args()
    chance, until = random.Random(given.seed), time.monotonic() + 60 * given.minutes
    print(f"seed {given.seed}")
    told: dict[str, list[Round]] = {name: [] for name in FAULTS}
    while time.monotonic() < until:
        name = chance.choice(list(FAULTS))
        folder = Path(tempfile.mkdtemp(prefix="soak-"))
        one = FAULTS[name](folder, chance)
        told[name].append(one)
        if one.missing or one.doubled or one.torn or not one.code_is_right:
            print(f"{name}: {one}, kept in {folder}")
        else:
            shutil.rmtree(folder)
    print(f"{'fault':<18}{'rounds':>8}{'calls':>9}{'missing':>9}{'doubled':>9}{'torn':>6}")
    wrong = 0
    for name, rounds in told.items():
        sums = [sum(one[at] for one in rounds) for at in range(4)]
        wrong += sum(sums[1:]) + sum(not one.code_is_right for one in rounds)
        print(f"{name:<18}{len(rounds):>8}{sums[0]:>9}{sums[1]:>9}{sums[2]:>9}{sums[3]:>6}")
    if given.spans:
        grown, left = long_life(given.spans, 1000)
        print(
            f"after {given.spans} spans and 1000 traces at once: {grown / 2**20:.1f} MiB more, {left} spans left or lost"
        )
        wrong += left + (grown > 20 * 2**20)
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
