"""Everything that is bounded, measured, with the aim beside it: a table, also in `benchmarks/results/limits.md`.

python -m benchmarks.limits                 everything (some four minutes)
python -m benchmarks.limits memory fsync    some of it, not kept
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.limits import Limit, event_loop, fsync, imports, kill, large_arguments, memory
from benchmarks.overhead import _processor
from instrument.version import __version__

RESULTS = Path(__file__).parents[1] / "results" / "limits.md"
MEASURES: dict[str, Callable[[], list[Limit]]] = {
    "event_loop": event_loop.found,
    "imports": imports.found,
    "memory": memory.found,
    "large_arguments": large_arguments.found,
    "fsync": fsync.found,
    "kill": kill.found,
}


def main() -> int:
    """Exit code 0, or 1 when an aim is missed."""
    chosen = sys.argv[1:] or list(MEASURES)
    if unknown := set(chosen) - set(MEASURES):
        print(f"there is no {', '.join(sorted(unknown))}; choose from {', '.join(MEASURES)}", file=sys.stderr)
        return 2
    limits: list[Limit] = []
    for name in chosen:
        if sys.stderr.isatty():
            print(f"\r\033[K{name}", end="\r", file=sys.stderr)
        limits += MEASURES[name]()
    text = table(limits)
    print(text)
    if chosen == list(MEASURES):
        RESULTS.write_text(f"# What recording costs at worst\n\n{text}\n\n{_circumstances()}\n")
    return int(any(limit.is_missed() for limit in limits))


def table(limits: list[Limit]) -> str:
    """The limits as Markdown."""
    rows = [f"| {one.what} | {_amount(one)} | {_aim(one)} |" for one in limits]
    return "\n".join(["| | measured | at most |", "|---|--:|--:|", *rows])


def _amount(limit: Limit) -> str:
    return f"{limit.measured:.3g} {limit.unit}".strip() + (" (missed)" if limit.is_missed() else "")


def _aim(limit: Limit) -> str:
    return "" if limit.aim is None else f"{limit.aim:g} {limit.unit}".strip()


def _circumstances() -> str:
    day, load = time.strftime("%Y-%m-%d", time.gmtime()), os.getloadavg()[0]
    return (
        f"`python -m benchmarks.limits`, {day}, {os.cpu_count()} × {_processor()}, "
        f"load {load:.1f} at the end, CPython {sys.version.split()[0]}, instrument {__version__}"
    )


if __name__ == "__main__":
    sys.exit(main())
