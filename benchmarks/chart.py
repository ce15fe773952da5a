"""The table as a bar chart, drawn as SVG by hand: one panel a case, linear axes, so that lengths tell the truth."""

from __future__ import annotations

from html import escape
from typing import Any

from benchmarks.cases import CASES
from benchmarks.summary import Row

_LABELS, _PANEL, _GAP, _ROW, _TOP = 236, 210, 26, 22, 64
_SHOWN = ("a", "b", "c", "nested", "model")
_OURS, _FLOOR, _PEER = "#2f6fdb", "#8a8f98", "#d9a03f"
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#24292f}.head{font-weight:600}.dim{fill:#6e7781}.axis{stroke:#d0d7de}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.dim{fill:#9198a1}.axis{stroke:#3d444d}.ground{fill:#0d1117}}"
)


def svg(rows: list[Row], caption: str) -> str:
    """The chart; `rows` that lack a case have no bar there."""
    cases = [case for case in _SHOWN if any(case in row.cells for row in rows)]
    width = _LABELS + len(cases) * (_PANEL + _GAP) + 10
    height = _TOP + len(rows) * _ROW + 44
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f"<title>{escape(caption)}</title><style>{_STYLE}</style>",
        f'<rect class="ground" width="{width}" height="{height}" fill="#ffffff"/>',
        _text(12, 22, "What one decorated call costs: µs of CPU, all threads, everything written", "head"),
    ]
    for number, row in enumerate(rows):
        parts.append(_text(_LABELS - 8, _middle(number), row.title, "head" if row.name == "ours" else "", "end"))
    for panel, case in enumerate(cases):
        parts += _panel(rows, case, _LABELS + panel * (_PANEL + _GAP))
    parts.append(_text(12, height - 14, caption, "dim"))
    return "\n".join([*parts, "</svg>\n"])


def caption(result: dict[str, Any]) -> str:
    """Machine, versions and date in one line."""
    return f"{result['date']} · {result['machine']} · {result['python']} · {result['command']}"


def _panel(rows: list[Row], case: str, left: int) -> list[str]:
    most = max(row.cells[case].cpu for row in rows if case in row.cells)
    bottom = _TOP + len(rows) * _ROW
    parts = [
        _text(left, _TOP - 16, f"{case}: {CASES[case].title}", "dim"),
        f'<line class="axis" x1="{left}" y1="{_TOP - 8}" x2="{left}" y2="{bottom}"/>',
    ]
    for number, row in enumerate(rows):
        if case in row.cells:
            parts += _bar(row, row.cells[case].cpu, most, left, _TOP + number * _ROW)
    return parts


def _bar(row: Row, value: float, most: float, left: int, top: int) -> list[str]:
    length = max(1.0, (_PANEL - 46) * value / most)
    shape = f'x="{left}" y="{top}" width="{length:.1f}" height="{_ROW - 7}" rx="2"'
    label = _text(left + length + 5, top + _ROW / 2 + 0.5, f"{value:.3g}", "head" if row.name == "ours" else "")
    return [f'<rect {shape} fill="{_color(row.name)}"/>', label]


def _color(name: str) -> str:
    return _OURS if name.startswith("ours") else _FLOOR if name in ("floor", "wrapt") else _PEER


def _middle(number: int) -> float:
    return _TOP + number * _ROW + _ROW / 2 + 0.5


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'
