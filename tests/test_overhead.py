"""The benchmark: what it counts, and that it refuses to show a contestant that lost a call. No timing is asserted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from benchmarks import chart, measure, summary
from benchmarks.cases import CASES
from benchmarks.contestants import ENTRIES, Contestant


def result_of(**ratios: list[float]) -> dict[str, object]:
    """A result with these ratios to a reference of 2 µs, in case a."""
    return {
        "command": "c",
        "date": "d",
        "machine": "m",
        "python": "p",
        "rounds": 1,
        "repeats": 3,
        "contestants": {
            name: {
                "versions": {"x": "1"},
                "cases": {
                    "a": {
                        "repeats": [{"cpu": 2 * r, "pace_cpu": 2.0, "wall": r, "pace_wall": 1.0} for r in of],
                        "line_bytes": None,
                    }
                },
            }
            for name, of in ratios.items()
        },
    }


def test_every_call_of_the_floor_is_on_disk() -> None:
    """What a contestant wrote is counted line by line."""
    found = measure.measured("floor", CASES["a"], repeats=1, seconds=0.001)
    assert found.calls == found.records


@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_our_own_rows_write_every_call(case: str) -> None:
    """The contestant `ours-jsonl` records name, input and output of every call, sync and async."""
    import subprocess
    import sys

    command = [sys.executable, "-m", "benchmarks.measure", "ours-jsonl", case, "--repeats=1", "--seconds=0.001"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent, timeout=60)
    assert (0, "") == (done.returncode, done.stderr)


def test_a_lost_call_fails_the_contestant(tmp_path: Path) -> None:
    """Fewer complete lines than calls is an error, not a fast contestant."""

    def lines() -> Iterator[bytes]:
        yield b'{"name":"add","input":{"a":40507}}\n'

    contestant = Contestant(lambda function: function, nullcontext, lambda: None, lines)
    with pytest.raises(AssertionError, match="1 of 2 calls"):
        measure._written(CASES["a"], contestant, 2)


def test_the_median_ratio_is_shown_in_the_reference_s_own_time() -> None:
    """µs are the median ratio times what the reference costs; floor and OpenTelemetry SDK are units of the last columns."""
    rows = summary.rows(result_of(floor=[1.5, 1.5, 1.5], ours=[3.0, 2.0, 9.0], otel=[30.0, 30.0, 30.0]))
    ours = next(row for row in rows if row.name == "ours").cells["a"]
    assert (6.0, 2.0, 0.1) == (ours.cpu, ours.floors, ours.peers)


def test_bars_are_as_long_as_their_values() -> None:
    """The axes are linear: half the cost is half the length."""
    rows = summary.rows(result_of(floor=[1.0] * 3, ours=[5.0] * 3, otel=[10.0] * 3))
    drawn = chart.svg(rows, "caption")
    lengths = [float(part.split('"')[0]) for part in drawn.split('width="')[3:]]
    assert lengths[1] * 2 == pytest.approx(lengths[2])


def test_every_entry_has_its_file() -> None:
    """Each row of the table is a module of its own or a variant of one."""
    folder = Path(measure.__file__).parent / "contestants"
    assert [] == [name for name, entry in ENTRIES.items() if not (folder / f"{entry.module}.py").exists()]
