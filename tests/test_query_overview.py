"""DuckDB and the loop in Python give the same numbers; files that DuckDB cannot be trusted with are left to the loop."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from msgspec.structs import asdict, replace

from instrument.analysis import overview as loop
from instrument.model import Failure, Record, Usage, encode
from instrument.query import overview as duck
from instrument.store.heads import heads
from tests.random_recordings import recordings, written
from tests.recorded import MS, NOON, as_lines, call, finding, log, review, span, update, write

pytest.importorskip("duckdb", reason="DuckDB is not installed")


def numbers(value: Any) -> Any:
    """The value in plain dicts and lists, floats to be compared as nearly equal."""
    if isinstance(value, float):
        return pytest.approx(value, rel=1e-12)
    if isinstance(value, dict):
        return {key: numbers(one) for key, one in value.items()}
    if hasattr(value, "__struct_fields__"):
        return numbers(asdict(value))
    return value


def test_what_a_group_of_exceptions_holds_is_told_alike(tmp_path: Path) -> None:
    """The first that is no group itself, however long; the group where nothing is known of what it holds."""
    inner = [Failure("ExceptionGroup", "more"), Failure("KeyError", "k" * 300)]
    errors = [Failure("ExceptionGroup", "tasks", causes=causes) for causes in (inner, inner[:1], [])]
    failed = [replace(span(n), trace_id=f"{n:032x}", status="error", error=error) for n, error in enumerate(errors, 1)]
    path = written(tmp_path, failed)
    expected = [f"KeyError: {'k' * 190}", "ExceptionGroup: tasks", "ExceptionGroup: tasks"]
    found = [duck.overview(path), loop.overview(lambda: heads(path, []))]
    assert [expected] * 2 == [[row.error for row in one.rows] for one in found if one is not None]


def test_a_group_of_exceptions_is_no_error_beside_those_that_it_holds(tmp_path: Path) -> None:
    """A task failed, and the group passed that on; of one whose tasks have no spans the group is the error."""
    no = Failure("ValueError", "no")
    group = Failure("ExceptionGroup", "tasks", causes=[Failure("ExceptionGroup", "inner"), no])
    told = replace(span(1), status="error", error=group), replace(span(2, 1), status="error", error=no)
    alone = replace(span(3), trace_id="b" * 32, status="error", error=group)
    path = written(tmp_path, [*told, alone])
    found = [duck.overall(path), loop.overall(lambda: heads(path, []))]
    assert [2, 2] == [one.metrics.errors for one in found if one is not None]
    rows = [duck.overview(path), loop.overview(lambda: heads(path, []))]
    assert [[1, 1]] * 2 == [[row.errors for row in one.rows] for one in rows if one is not None]


@settings(max_examples=12, phases=[Phase.explicit, Phase.generate])
@given(recordings())
def test_stats_and_runs_are_the_same(tmp_path_factory: pytest.TempPathFactory, records: list[Record]) -> None:
    """For all recordings: counts, times, tokens and money in their order, every row, the logs outside of any trace."""
    path = written(tmp_path_factory.mktemp("same"), records)
    expected, found = loop.overall(lambda: heads(path, [])), duck.overall(path)
    assert found is not None
    assert numbers(expected) == numbers(found)
    groups = ("by_name", "by_model", "tools")
    assert [list(getattr(expected.metrics, one)) for one in groups] == [
        list(getattr(found.metrics, one)) for one in groups
    ]
    assert loop.overview(lambda: heads(path, [])) == duck.overview(path)


def test_a_refusal_without_an_exception_takes_no_error_away(tmp_path: Path) -> None:
    """A failed span above a refused one, neither with an exception, is an error for both ways."""
    failed = replace(span(1), status="error", error=None)
    refused = replace(span(2), status="refused", error=None, trace_id=failed.trace_id, parent_id=failed.span_id)
    path = written(tmp_path, [failed, refused])
    found = duck.overall(path)
    assert found is not None
    assert [1, 1] == [found.metrics.errors, loop.overall(lambda: heads(path, [])).metrics.errors]


def test_amounts_are_told_with_the_same_digits(tmp_path: Path) -> None:
    """0.10 and 0.2 are 0.30, not 0.300000000000000000."""
    path = written(tmp_path, [call(1, usd="0.10"), call(2, usd="0.2")])
    found = duck.overall(path)
    assert found is not None
    assert "0.30" == str(found.metrics.total.usd)


ODD = {
    "a torn line": encode(span(2))[:-9],
    "a line that is no record": b"nonsense\n",
    "a span without a name": b'{"type":"span","trace_id":"a","span_id":"b","start_ns":1,"duration_ns":2,"kind":"k","status":"ok"}\n',
    "a span twice": encode(span(1)) + b"\n",
    "an absurd number": encode(span(2, duration_ns=10**30)) + b"\n",
    "money that is none": encode(call(3, usd="1e-7")) + b"\n",
    "two late tokens": b"".join(encode(update(1, usage=Usage(input=n))) + b"\n" for n in (1, 2)),
    "a late label": encode(update(1, attributes={"instrument.label": "x"})) + b"\n",
    "a late agent": encode(update(1, attributes={"gen_ai.agent.id": "x"})) + b"\n",
}


@pytest.mark.parametrize("odd", ODD)
def test_files_with_something_odd_are_left_to_the_loop(tmp_path: Path, odd: str) -> None:
    """It copes with them and says what it skipped."""
    path = written(tmp_path, [span(1)])
    path.write_bytes(path.read_bytes() + ODD[odd])
    assert (None, None) == (duck.overall(path), duck.overview(path))


def test_a_gzip_file_cut_short_is_left_to_the_loop(tmp_path: Path) -> None:
    """As a disk that was full left it."""
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(as_lines(*review()))[:-20])
    assert None is duck.overall(tmp_path)


def test_a_trace_of_which_a_finding_is_left_counts(tmp_path: Path) -> None:
    """As one of which there are logs only."""
    path = written(tmp_path, [span(1), replace(finding(2), trace_id="b" * 32), replace(log(3), trace_id="c" * 32)])
    found = [duck.overall(path), loop.overall(lambda: heads(path, []))]
    assert [3, 3] == [one.traces for one in found if one is not None]


def test_gzipped_and_rotated_files_are_read_together(tmp_path: Path) -> None:
    """A folder is one recording, however its files are kept."""
    records = review()
    write(tmp_path / "a.jsonl", *records[:9])
    (tmp_path / "a.1.jsonl.gz").write_bytes(gzip.compress(as_lines(*records[9:])))
    assert loop.overview(lambda: heads(tmp_path, [])) == duck.overview(tmp_path)


def test_an_empty_folder_has_no_spans(tmp_path: Path) -> None:
    """That is nothing odd."""
    found = duck.overall(tmp_path)
    assert found is not None
    assert (0, 0) == (found.traces, found.metrics.spans)


def test_what_began_before_a_moment_can_be_left_out(tmp_path: Path) -> None:
    """As `--since` asks for."""
    path = written(tmp_path, [span(1), span(50, name="late"), log(20), log(60, level="ERROR")])
    found = duck.overall(path, NOON + 40 * MS)
    assert found is not None
    assert ({"late"}, 1) == (set(found.metrics.by_name), found.metrics.warnings)


def test_small_files_are_not_worth_it(tmp_path: Path) -> None:
    """To import DuckDB takes longer than to read them."""
    assert not duck.worth(written(tmp_path, review()))
