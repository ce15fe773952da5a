"""What verbs over all traces of a place share: their rows and their numbers, by whichever engine reads the files."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from instrument.cli.source import fresh
from instrument.statuses import OPEN, UNFINISHED

if TYPE_CHECKING:
    from instrument.analysis.overview import Overall, Overview, Row


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Let the user say what reads the files."""
    parser.add_argument(
        "--engine",
        choices=("auto", "duckdb", "python"),
        default="auto",
        help="what reads the files; the numbers are the same (default: DuckDB for large files where it is installed)",
    )


def overview_of(path: str, notices: list[str], engine: str = "auto") -> Overview:
    """One row for each trace at a path; what cannot be read goes to the notices."""
    from instrument.analysis.overview import overview
    from instrument.query.overview import overview as by_duckdb
    from instrument.store.heads import heads

    found = by_duckdb(path) if _is_duckdb(engine, path) else None
    return found or overview(lambda: heads(path, fresh(notices)))


def overall_of(path: str, notices: list[str], engine: str = "auto", since_ns: int | None = None) -> Overall:
    """The numbers over all traces at a path, of what began at that moment or later."""
    from instrument.analysis.overview import overall
    from instrument.query.overview import overall as by_duckdb
    from instrument.store.heads import heads

    found = by_duckdb(path, since_ns) if _is_duckdb(engine, path) else None
    return found or overall(lambda: _begun_since(since_ns, heads(path, fresh(notices))))


def as_they_are(rows: list[Row], path: str) -> list[Row]:
    """The rows; those without an end last until now, or are unfinished where their process is known to run no more."""
    from instrument.store.folder import processes_alive
    from instrument.store.jsonl import files

    if all(row.status != OPEN for row in rows):
        return rows
    lives = processes_alive(files(path))
    now = time.time_ns()

    def as_it_is(row: Row) -> Row:
        lives_on = lives.get(row.run) if row.status == OPEN else None
        if lives_on is None:
            return row
        return replace(row, duration_ns=max(0, now - row.start_ns)) if lives_on else replace(row, status=UNFINISHED)

    return [as_it_is(row) for row in rows]


def _is_duckdb(asked: str, path: str) -> bool:
    """As was asked for, or as suits the size of the files."""
    from instrument.query.overview import worth

    return worth(path) if asked == "auto" else asked == "duckdb"


def _begun_since(moment: int | None, heads: Iterable[Any]) -> Iterable[Any]:
    """Spans, logs and findings from then on; what was learned of a span later comes with it."""
    if moment is None:
        return heads
    return (head for head in heads if getattr(head, "start_ns", getattr(head, "time_ns", moment)) >= moment)
