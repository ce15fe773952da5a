"""A call that was refused was not made: every reader counts it apart, and it is nobody's failure."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

import instrument
from instrument.analysis import overview
from instrument.analysis.metrics import measure
from instrument.analysis.running import Running
from instrument.analysis.tree import traces
from instrument.model import Batch, Failure, Record
from instrument.query import overview as duck
from instrument.sinks.console import ConsoleSink
from instrument.store.heads import heads
from instrument.store.jsonl import records
from instrument.testing import record
from instrument.views.catalog import Catalog
from instrument.views.outline import outline
from instrument.views.text import summary
from tests.random_recordings import written
from tests.recorded import call, span

WHY = Failure("instrument.errors.BudgetExceeded", "no money left")
RUN: list[Record] = [
    call(3, 2),
    span(4, 2, kind="llm", status="refused", error=WHY),
    span(5, 2, kind="tool", name="read_file"),
    span(6, 2, kind="tool", name="read_file", status="refused", error=Failure("instrument.errors.LoopDetected", "no")),
    span(2, 1, kind="step", status="error", error=WHY),
    span(1, kind="agent", status="error", error=WHY),
]
Told = tuple[int, int, int]
"""Model calls, errors and refused calls."""


def by_trace(path: Path) -> Told:
    (trace,) = traces(records(path))
    found = measure(trace.spans)
    return found.model_calls, found.errors, found.refused


def by_stats(path: Path) -> Told:
    found = overview.overall(lambda: heads(path)).metrics
    return found.model_calls, found.errors, found.refused


def by_stats_of_duckdb(path: Path) -> Told:
    pytest.importorskip("duckdb", reason="DuckDB is not installed")
    found = duck.overall(path)
    assert found is not None
    return found.metrics.model_calls, found.metrics.errors, found.metrics.refused


def by_runs(path: Path) -> Told:
    (row,) = overview.overview(lambda: heads(path)).rows
    return row.total.calls, row.errors, row.refused


def by_page(path: Path) -> Told:
    catalog = Catalog(path)
    catalog.refresh()
    (row,) = catalog.rows()
    return row["calls"], row["errors"], row["refused"]


def by_metrics(path: Path) -> Told:
    running = Running()
    running.feed(records(path))
    found = running.numbers()
    return found.total.calls, found.errors - 2, found.refused  # it counts each span that passes an exception on


@pytest.mark.parametrize("read", [by_trace, by_stats, by_stats_of_duckdb, by_runs, by_page, by_metrics])
def test_every_reader_counts_refused_calls_apart(tmp_path: Path, read: Callable[[Path], Told]) -> None:
    """One call to the model, no error of its own, two refusals."""
    assert (1, 0, 2) == read(written(tmp_path, RUN))


def test_times_and_tools_are_those_of_calls_that_were_made(tmp_path: Path) -> None:
    """A tool that was refused has not failed, nor was it fast."""
    found = measure(next(traces(records(written(tmp_path, RUN)))).spans)
    assert ({"read_file": 1}, 1, 0) == (
        found.tools,
        found.by_name["read_file"].count,
        found.by_name["read_file"].errors,
    )


def test_a_summary_tells_of_them(tmp_path: Path) -> None:
    """Whoever reads it learns that something was held back."""
    trace = next(traces(records(written(tmp_path, RUN))))
    assert "2 refused calls" in summary(trace, measure(trace.spans))


def test_the_tree_tells_a_refusal_in_full_once(tmp_path: Path) -> None:
    """What was refused over and over is told in short afterwards."""
    looped = Failure("LoopDetected", "read_file was called 3 times")
    again = [span(number, 1, kind="tool", status="refused", error=looped) for number in (2, 3, 4)]
    drawn = outline(next(traces(records(written(tmp_path, [*again, span(1)])))), all=True)
    assert (1, 2) == (drawn.count("was called 3 times"), drawn.count("LoopDetected: as before"))


def test_the_console_tells_a_refusal_in_full_once() -> None:
    """The same holds for the lines that are shown while it runs."""
    shown = io.StringIO()
    looped = Failure("LoopDetected", "read_file was called 3 times")
    again: list[Record] = [span(n, 1, kind="tool", name="t", status="refused", error=looped) for n in (2, 3, 4)]
    ConsoleSink(shown, summary=False).write(Batch(again))
    assert (1, 2) == (shown.getvalue().count("called 3 times"), shown.getvalue().count("as before"))


def test_what_a_budget_refuses_is_recorded_as_refused() -> None:
    """The one place where it is decided is the recorder, which knows it for certain; who passes it on has failed."""

    @instrument.llm_call(model="m")
    def ask() -> None: ...

    @instrument.agent
    def work() -> None:
        ask()

    with record() as recording, pytest.raises(instrument.BudgetExceeded), instrument.budget(calls=0):
        work()
    assert [("ask", "refused"), ("work", "error")] == [(one.name, one.status) for one in recording.spans]
