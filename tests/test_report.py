"""A trace with its metrics and findings, from records or from files."""

from __future__ import annotations

from pathlib import Path

import pytest

from instrument.analysis.report import analyse
from instrument.analysis.tree import traces
from instrument.model import encode
from instrument.reading import read
from tests.recorded import call, review, span, write


def written(folder: Path) -> Path:
    return write(folder / "a.jsonl", *review())


def test_a_report_holds_trace_metrics_and_findings() -> None:
    """All that a view may show."""
    (trace,) = traces(review())
    report = analyse(trace)
    found = [one.detector for one in report.findings]
    assert (trace, 4, ["same_call"]) == (report.trace, report.metrics.model_calls, found)


def test_read_gives_the_traces_of_a_file(tmp_path: Path) -> None:
    """From path to traces in one call."""
    (trace,) = read(written(tmp_path))
    assert ("review", 15, 2) == (trace.root.name, len(trace.spans), len(trace.logs))


def test_read_says_what_it_skips(tmp_path: Path) -> None:
    """To the list that was given."""
    path = written(tmp_path)
    path.write_bytes(path.read_bytes() + b'{"type":"sp')
    notices: list[str] = []
    list(read(path, notices))
    assert [f"{path}: the last line is half-written and was skipped"] == notices


def test_read_of_a_missing_path_is_an_error(tmp_path: Path) -> None:
    """Not an empty answer."""
    with pytest.raises(FileNotFoundError):
        list(read(tmp_path / "missing"))


def test_a_trace_shows_itself_as_a_tree(tmp_path: Path) -> None:
    """`print(trace)` is enough to see what happened."""
    (trace,) = read(written(tmp_path))
    assert (True, True) == (str(trace).startswith("✔ review"), "└─ ✔ responses" in str(trace))


def test_a_notebook_shows_the_tree_and_runs_nothing(tmp_path: Path) -> None:
    """What stands in the records is text in a notebook too, never markup."""
    (tmp_path / "a.jsonl").write_bytes(encode(span(1, name="<script>alert(1)</script>")))
    (trace,) = read(tmp_path)
    assert (True, False) == ("&lt;script&gt;" in trace._repr_html_(), "<script>" in trace._repr_html_())


def test_costs_of_a_read_trace_are_added_once(tmp_path: Path) -> None:
    """A folder with a copy of a file gives the trace once."""
    for name in ("a.jsonl", "b.jsonl"):
        write(tmp_path / name, call(1))
    (trace,) = read(tmp_path)
    assert 110 == trace.cost.tokens
