"""The file that scale is measured on: what it holds, and that both engines tell the same of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.scale import lines, write
from instrument.analysis import overview as loop
from instrument.cli.main import main
from instrument.store.heads import heads


def test_it_is_as_a_recording_is(tmp_path: Path) -> None:
    """Every line a record, as many spans as were asked for, errors, logs, findings, priced and unpriced calls."""
    notices: list[str] = []
    write(tmp_path / "a.jsonl", 1000)
    found = loop.overall(lambda: heads(tmp_path, notices))
    metrics = found.metrics
    assert ([], 10, 1000, 250, 240) == (notices, found.traces, metrics.spans, metrics.model_calls, metrics.tool_calls)
    assert all((metrics.errors, metrics.warnings, metrics.findings, metrics.total.priced, metrics.total.unpriced))


def test_it_is_the_same_every_time() -> None:
    """So that figures can be compared."""
    assert list(lines(200)) == list(lines(200))


@pytest.mark.parametrize("verb", ["stats", "runs"])
def test_both_engines_print_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    """To the last character."""
    pytest.importorskip("duckdb", reason="DuckDB is not installed")
    write(tmp_path / "a.jsonl", 1000)
    printed = []
    for engine in ("duckdb", "python"):
        assert 0 == main([verb, str(tmp_path), "--engine", engine])
        printed.append(capsys.readouterr())
    assert printed[0] == printed[1]


def test_the_engine_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the cure."""
    monkeypatch.setitem(sys.modules, "duckdb", None)
    write(tmp_path / "a.jsonl", 100)
    assert 2 == main(["stats", str(tmp_path), "--engine", "duckdb"])
    assert "instrument: this needs DuckDB: pip install 'agent-instrument[query]'\n" == capsys.readouterr().err
