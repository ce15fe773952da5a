"""What one decorated call costs, side by side: a table, a chart and a JSON file of every repeat.

    python -m benchmarks.overhead            everything (some minutes)
    python -m benchmarks.overhead --quick    a first impression (under a minute)

The method is in `measure.py`, what it means in README.md. Peers that are not installed are left out; `peers.sh`
installs them into `.bench/`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import chart
from benchmarks.cases import CASES
from benchmarks.contestants import ENTRIES, Entry
from benchmarks.summary import rows, table

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "overhead.json"
LONGEST_CHILD = 180
"""Seconds after which a contestant is given up."""


def main() -> int:
    """Exit code 0, or 1 when a contestant failed."""
    given = _options()
    pythons = {"": sys.executable, **_environments(given.peer_python)}
    present = {name: entry for name, entry in ENTRIES.items() if entry.environment in pythons}
    chosen = {name: entry for name, entry in present.items() if not given.only or name in given.only}
    for name in ENTRIES.keys() - present.keys():
        print(f"{name} is left out: there is no environment for it (benchmarks/peers.sh makes one)")
    measured: dict[str, dict[str, Any]] = {name: {} for name in chosen}
    failed = False
    for round_, name, case in _turns(chosen, given.cases, given.rounds):
        found = _child(pythons[chosen[name].environment], name, case, given)
        failed = failed or found is None
        if found is not None:
            _merge(measured[name], case, found)
        _say_where(f"round {round_ + 1} of {given.rounds}: {name} {case}")
    _say_where("")
    result = {**_circumstances(given), "contestants": measured}
    print(table(result))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        given.json.with_suffix(".svg").write_text(chart.svg(rows(result), chart.caption(result)))
        print(f"\nwritten: {given.json.name} and {given.json.with_suffix('.svg').name} in {given.json.parent.name}/")
    return int(failed)


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description="cost of one decorated call")
    options.add_argument("--quick", action="store_true", help="one round of few repeats, kept only with --json")
    options.add_argument("--json", type=Path, metavar="FILE", help="where results go; the chart lies beside it as .svg")
    options.add_argument("--rounds", type=int, help="how often every contestant is started anew (3)")
    options.add_argument("--repeats", type=int, help="in each of its processes (7)")
    options.add_argument("--seconds", type=float, help="the length of a repeat (0.2)")
    options.add_argument("--only", nargs="+", choices=ENTRIES, metavar="NAME", help=f"of {', '.join(ENTRIES)}")
    options.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    options.add_argument("--peer-python", action="append", default=[], metavar="NAME=PATH", help="a peer's interpreter")
    given = options.parse_args()
    whole = not given.quick and not given.only and given.cases == list(CASES)
    given.rounds = given.rounds or (1 if given.quick else 3)
    given.repeats = given.repeats or (3 if given.quick else 7)
    given.seconds = given.seconds or (0.05 if given.quick else 0.2)
    given.json = given.json or (RESULTS if whole else None)
    return given


def _environments(given: list[str]) -> dict[str, str]:
    """Interpreters of peers: those in `.bench/`, then those that were given."""
    made = HERE.parent / ".bench"
    found = {name: made / name / "bin" / "python" for name in {entry.environment for entry in ENTRIES.values()} - {""}}
    known = {name: str(path) for name, path in found.items() if path.exists()}
    return {**known, **dict(one.split("=", 1) for one in given)}


def _turns(chosen: dict[str, Entry], cases: list[str], rounds: int) -> Iterator[tuple[int, str, str]]:
    """Case by case, every contestant, in each round."""
    for round_ in range(rounds):
        for case in cases:
            for name in chosen:
                yield round_, name, case


def _say_where(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr)


def _child(python: str, name: str, case: str, given: argparse.Namespace) -> dict[str, Any] | None:
    options = [f"--repeats={given.repeats}", f"--seconds={given.seconds}"]
    command = [python, "-m", "benchmarks.measure", name, case, *options]
    try:
        done = subprocess.run(
            command, cwd=HERE.parent, env=_clean_environment(), capture_output=True, text=True, timeout=LONGEST_CHILD
        )
    except subprocess.TimeoutExpired:
        print(f"\n{name} {case}: gave up after {LONGEST_CHILD} s", file=sys.stderr)
        return None
    if done.returncode:
        print(f"\n{name} {case}: {done.stderr.strip()[-2000:]}", file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _clean_environment() -> dict[str, str]:
    """Without settings that would change what is measured."""
    ours = ("INSTRUMENT_", "OTEL_", "LOGFIRE_", "LANGFUSE_", "MALLOC_", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _merge(known: dict[str, Any], case: str, found: dict[str, Any]) -> None:
    known["versions"] = found.pop("versions")
    before = known.setdefault("cases", {}).setdefault(case, {**found, "repeats": [], "calls": 0, "records": 0})
    before["repeats"] += found["repeats"]
    before["calls"] += found["calls"]
    before["records"] = None if found["records"] is None else before["records"] + found["records"]


def _circumstances(given: argparse.Namespace) -> dict[str, Any]:
    return {
        "command": "python -m benchmarks.overhead" + (" --quick" if given.quick else ""),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": f"{os.cpu_count()} × {_processor()}, {platform.system()} {platform.release().split('-')[0]}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "rounds": given.rounds,
        "repeats": given.repeats,
        "seconds": given.seconds,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    sys.exit(main())
