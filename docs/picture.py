"""Draws the terminal of a review as docs/terminal.svg: `.venv/bin/python docs/picture.py`."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
SGR = re.compile(r"\x1b\[([0-9;]*)m")
WORDS = re.compile(r"\S+(?: \S+)*")
COLUMNS, WIDTH, HEIGHT = 112, 8.43, 19
COLORS = {
    "30": "#51576d", "31": "#e78284", "32": "#a6d189", "33": "#e5c890", "34": "#8caaee", "35": "#f4b8e4",
    "36": "#81c8be", "37": "#b5bfe2", "90": "#838ba7", "91": "#e78284", "92": "#a6d189", "93": "#e5c890",
    "94": "#8caaee", "95": "#f4b8e4", "96": "#81c8be", "97": "#c6d0f5",
}  # fmt: skip


def run() -> list[str]:
    """What `make review FILE=examples/review/shop.py` shows, with its colours: the beginning, then tree and review."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "INSTRUMENT_CONSOLE__COLOR": "always",
            "INSTRUMENT_DIR": str(Path(folder) / ".instrument"),
            "COLUMNS": str(COLUMNS),
        }
        environment.pop("NO_COLOR", None)
        command = [sys.executable, "-m", "agent", "review", "examples/review/shop.py"]
        done = subprocess.run(
            command,
            cwd=HERE.parent,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
    lines = [line.replace(folder + "/", "") for line in done.stdout.splitlines()]
    return [*lines[:12], "  …", *lines[lines.index("", 1) :]]


def spans(line: str) -> Iterator[tuple[str, str]]:
    """The pieces of a line, each with its style."""
    style: set[str] = set()
    for n, piece in enumerate(SGR.split(line)):
        if n % 2:
            codes = piece.split(";") if piece else ["0"]
            style = set() if "0" in codes else style | set(codes)
        elif piece:
            color = next((COLORS[code] for code in style if code in COLORS), "#c6d0f5")
            weight = ' font-weight="bold"' if "1" in style else ""
            faint = ' opacity="0.6"' if "2" in style else ""
            yield piece, f'fill="{color}"{weight}{faint}'


def svg(lines: list[str]) -> str:
    """The lines as a picture of a terminal."""
    rows = []
    for n, line in enumerate(lines):
        column, texts = 0, []
        for piece, style in spans(line):
            piece = piece[: max(COLUMNS - column, 0)]
            for words in WORDS.finditer(piece):
                x, length = 14 + (column + words.start()) * WIDTH, len(words[0]) * WIDTH
                place = f'x="{x:.1f}" y="{46 + n * HEIGHT}" textLength="{length:.1f}"'
                texts.append(f"<text {place} {style}>{html.escape(words[0])}</text>")
            column += len(piece)
        rows.append("".join(texts))
    width, height = 28 + COLUMNS * WIDTH, 60 + len(lines) * HEIGHT
    dots = "".join(
        f'<circle cx="{20 + 18 * n}" cy="18" r="5.5" fill="{c}"/>'
        for n, c in enumerate(("#e78284", "#e5c890", "#a6d189"))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}">'
        f'<rect width="100%" height="100%" rx="9" fill="#232634"/>{dots}'
        f'<g font-family="ui-monospace, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="14">'
        + "\n".join(rows)
        + "</g></svg>\n"
    )


if __name__ == "__main__":
    shown = run()
    (HERE / "terminal.svg").write_text(svg(shown))
    print(f"docs/terminal.svg: {len(shown)} lines")
