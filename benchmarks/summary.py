"""From repeats to a table: medians of ratios to the reference in µs, multiples of the floor and of the OpenTelemetry SDK."""

from __future__ import annotations

from statistics import median, quantiles
from typing import Any, NamedTuple

from benchmarks.cases import CASES
from benchmarks.contestants import ENTRIES

PEER = "otel"
FLOOR = "floor"

_ABOVE = (
    "What one decorated call adds: **µs of CPU**, all threads and the final flush included (quartiles) · "
    "µs that pass for the caller · multiple of the floor · share of the OpenTelemetry SDK"
)


class Cell(NamedTuple):
    """One contestant in one case: µs that a call adds.

    `cpu` is that of all threads, half of all repeats lie between `low` and `high`; `wall` is the time that passes for
    the caller. `floors` and `peers` are multiples of the floor and of the OpenTelemetry SDK where these were measured.
    """

    cpu: float
    low: float
    high: float
    wall: float
    floors: float | None
    peers: float | None
    line_bytes: float | None


class Row(NamedTuple):
    """One contestant."""

    name: str
    title: str
    cells: dict[str, Cell]


def rows(result: dict[str, Any]) -> list[Row]:
    """What was measured, contestant by contestant."""
    contestants = result["contestants"]
    paces = {case: _fast_pace(contestants, case) for case in CASES}
    return [
        Row(
            name,
            ENTRIES[name].title,
            {case: _cell(contestants, name, case, paces[case]) for case in CASES if case in found.get("cases", {})},
        )
        for name, found in contestants.items()
    ]


def _cell(contestants: dict[str, Any], name: str, case: str, pace: tuple[float, float]) -> Cell:
    measured = contestants[name]["cases"][case]
    ratios = [one["cpu"] / one["pace_cpu"] for one in measured["repeats"]]
    low, middle, high = quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    floors = _multiple(middle, contestants, FLOOR, case)
    peers = _multiple(middle, contestants, PEER, case) if ENTRIES[name].writes else None
    wall = _ratio(measured["repeats"], "wall") * pace[1]
    return Cell(middle * pace[0], low * pace[0], high * pace[0], wall, floors, peers, measured["line_bytes"])


def _multiple(ratio: float, contestants: dict[str, Any], other: str, case: str) -> float | None:
    """How many times as much as another contestant, which was measured in a process of its own."""
    measured = contestants.get(other, {}).get("cases", {}).get(case)
    return ratio / _ratio(measured["repeats"], "cpu") if measured else None


def _ratio(repeats: list[dict[str, float]], clock: str) -> float:
    return median(one[clock] / one[f"pace_{clock}"] for one in repeats)


def _fast_pace(contestants: dict[str, Any], case: str) -> tuple[float, float]:
    """What the reference adds while the machine is fast and nothing disturbs it: the lowest twentieth of its repeats."""
    cases = [found.get("cases", {}).get(case, {}) for found in contestants.values()]
    repeats = [repeat for measured in cases for repeat in measured.get("repeats", ())]
    return _low(one["pace_cpu"] for one in repeats), _low(one["pace_wall"] for one in repeats)


def _low(values: Any) -> float:
    ordered = sorted(values)
    return float(ordered[len(ordered) // 20]) if ordered else 0.0


def table(result: dict[str, Any]) -> str:
    """A Markdown table: µs of CPU, the quartiles, the caller's time, multiples."""
    found = rows(result)
    cases = [case for case in CASES if any(case in row.cells for row in found)]
    lines = [
        _ABOVE,
        "",
        "| | " + " | ".join(f"{case}: {CASES[case].title}" for case in cases) + " |",
        "|---|" + "---|" * len(cases),
    ]
    for row in found:
        lines.append(f"| {row.title} | " + " | ".join(_text(row.cells.get(case)) for case in cases) + " |")
    return "\n".join([*lines, "", _below(result)])


def _text(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    floors = f" · {cell.floors:.3g}×" if cell.floors is not None else ""
    peers = f" · {_share(cell.peers)} OTel" if cell.peers is not None else ""
    return f"**{_us(cell.cpu)}** ({_us(cell.low)} to {_us(cell.high)}) · {_us(cell.wall)}{floors}{peers}"


def _us(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _share(peers: float) -> str:
    return f"1/{1 / peers:.1f}" if peers < 0.95 else f"{peers:.1f}×"


def _below(result: dict[str, Any]) -> str:
    versions: dict[str, str] = {}
    for found in result["contestants"].values():
        versions |= found.get("versions", {})
    listed = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    return (
        f"{result['date']}, {result['machine']}, {result['python']}, {listed}; {result['rounds']} processes of "
        f"{result['repeats']} repeats each, `{result['command']}`"
    )
