"""`instrument query`: SQL over views that say what the folded traces say, and nothing but reading."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from instrument.analysis.totals import call_of
from instrument.analysis.tree import traces
from instrument.cli.main import main
from instrument.model import Cost, Record, Usage, encode
from instrument.query.views import VIEWS, database, select
from tests.programs import left_after_a_line
from tests.random_recordings import recordings, written
from tests.recorded import MS, NOON, as_lines, call, finding, head, log, review, span, update, write

pytest.importorskip("duckdb", reason="DuckDB is not installed")

Capture = pytest.CaptureFixture[str]


def rows(path: Path, sql: str, notices: list[str] | None = None) -> list[Any]:
    with database([str(path)], [] if notices is None else notices) as connection:
        return select(connection, sql).fetchall()


def told(capsys: Capture, *words: str, code: int = 0) -> tuple[str, str]:
    assert code == main(["query", *words])
    out, err = capsys.readouterr()
    return out, err


# What the views hold


@settings(max_examples=8)
@given(recordings(), st.booleans())
def test_spans_are_those_of_the_traces(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record], twice: bool
) -> None:
    """For all recordings: each span once, updated, unended ones as open; model calls as they are counted."""
    path = written(tmp_path_factory.mktemp("same"), records)
    if twice:
        (path.parent / "copy.jsonl").write_bytes(path.read_bytes())
    folded = [one for trace in traces(records) for one in trace.spans]
    expected = sorted(
        (one.trace_id, one.span_id, one.status, one.duration_ns, (one.usage or Usage()).input, _dollars(one))
        for one in folded
    )
    sql = "select trace_id, span_id, status, duration_ns, input_tokens, usd from spans order by all"
    assert expected == sorted(rows(path.parent, sql))
    calls = sum(call_of(one) is not None for one in folded)
    assert [(calls, calls)] == rows(path, "select (select count(*) from llm_calls), (select count(*) from costs)")


def _dollars(one: Any) -> Decimal | None:
    return None if one.cost is None or one.cost.usd is None else Decimal(one.cost.usd)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select count(*), count_if(status = 'error') from spans", [(15, 1)]),
        ("select model, count(*), sum(usd) from costs group by model order by 2", [("my-local-model", 1, None), ("gpt-4.1-mini", 3, Decimal("0.002397"))]),
        ("select arguments ->> 'path', error_type from tools where status = 'error'", [("m.py", "FileNotFoundError")]),
        ("select event, metadata ->> 'tool' from logs where level = 'ERROR'", [("ACT_ERROR", "read_file")]),
        ("select detector, severity, len(span_ids) from findings", [("same_call", "warning", 1)]),
        ("select iteration from spans where iteration is not null order by 1", [(1,), (2,), (3,)]),
        ("select label from spans where parent_id is null", [("Review examples/ for faults",)]),
        ("select strftime(min(start), '%H:%M:%S.%f') from spans", [("12:00:00.001000",)]),
        ("select agent, operation from llm_calls where operation = 'create_plan'", [("reviewer-1", "create_plan")]),
    ],
)  # fmt: skip
def test_questions_about_a_review(tmp_path: Path, sql: str, expected: list[Any]) -> None:
    """Every view answers what it is there for."""
    assert expected == rows(written(tmp_path, review()), sql)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_can_be_described(tmp_path: Path, view: str) -> None:
    """Of nothing at all, too."""
    assert len(rows(tmp_path, f"describe {view}")) > 5


def test_a_pattern_that_goes_on_is_one_finding(tmp_path: Path) -> None:
    """The one that told it last, as everywhere else; others stand in order of time."""
    again = finding(1, 2, message="four times", data={"again_of": span(1).span_id}, time_ns=NOON + 9)
    other = finding(3, message="another", time_ns=NOON + 5)
    path = written(tmp_path, [finding(1, message="twice"), again, other])
    assert [("another",), ("four times",)] == rows(path, "select message from findings")


def test_attributes_learned_later_count(tmp_path: Path) -> None:
    """They are added to those that the span had."""
    late = update(1, attributes={"gen_ai.response.model": "m-2026"})
    path = written(tmp_path, [late, call(1)])
    assert [("m-2026", "think")] == rows(path, "select model, operation from spans")


def test_what_was_told_last_counts(tmp_path: Path) -> None:
    """Of a span that is there twice that which ended last, of late costs the last; tokens of an answer alone count."""
    told = [replace(call(1, usage=Usage(output=3)), duration_ns=took) for took in (9 * MS, 5 * MS)]
    path = written(tmp_path, [*told, *(update(1, cost=Cost(usd=usd, basis="priced")) for usd in ("1", "2"))])
    assert [(9.0, 3, 2)] == rows(path, "select duration_ms, tokens, usd::int from spans")


def test_a_refused_call_is_no_call(tmp_path: Path) -> None:
    """Of a tool or of a model: it stands among the spans alone."""
    path = written(tmp_path, [span(1, kind="tool", status="refused"), call(2, status="refused")])
    counted = ", ".join(f"(select count(*) from {view})" for view in ("spans", "tools", "llm_calls", "costs"))
    assert [(2, 0, 0, 0)] == rows(path, f"select {counted}")


def test_an_unended_span_is_open(tmp_path: Path) -> None:
    """It lasted until the last sign of life of its process."""
    path = written(tmp_path, [head(1, name="agent"), span(2, 1), log(50, 1)])
    assert [("agent", 49.0)] == rows(path, "select name, duration_ms from spans where status = 'open'")


def test_a_time_beyond_all_measure_is_no_obstacle(tmp_path: Path) -> None:
    """A span whose end no number of 64 bits holds is there, also where it is there twice."""
    longest, earliest = replace(span(1), duration_ns=2**63 - 1), replace(head(2), start_ns=-(2**63))
    for copies in (1, 2):
        path = written(tmp_path, [*[longest] * copies, earliest, span(3)])
        assert [(2**63 - 1,), (2**63 - 1,), (5 * MS,)] == rows(path, "select duration_ns from spans order by name")


# Files of all kinds


def test_broken_lines_are_skipped_and_said(tmp_path: Path) -> None:
    """What stands behind a torn line on the same line is kept; whole files are read as they are."""
    torn = encode(span(1))[:40] + encode(span(2)) + b"\nnonsense\n" + encode(span(3)) + b"\n" + encode(span(4))[:50]
    (tmp_path / "a.jsonl").write_bytes(torn)
    write(tmp_path / "b.jsonl", span(5))
    notices: list[str] = []
    assert [("span2",), ("span3",), ("span5",)] == rows(tmp_path, "select name from spans order by name", notices)
    assert 1 == len(notices)
    assert "2 lines, the first of them line 1, are no records" in notices[0]
    assert "the last line is half-written" in notices[0]


def test_gzipped_files_are_read(tmp_path: Path) -> None:
    """Also one that a crash cut short, as far as it goes."""
    (tmp_path / "a.1.jsonl.gz").write_bytes(gzip.compress(as_lines(*review())))
    (tmp_path / "b.jsonl.gz").write_bytes(
        gzip.compress(encode(span(99)) + b"\n" + os.urandom(5000).hex().encode())[:-200]
    )
    assert [(15,)] == rows(tmp_path, "select count(*) from spans where name != 'span99'")


def test_paths_that_look_like_patterns_are_paths(tmp_path: Path) -> None:
    """Brackets, quotes and stars in names of folders are taken as they are."""
    place, other = tmp_path / "it's [a] *", tmp_path / "it's a x"
    place.mkdir()
    other.mkdir()
    written(other, [span(1)])
    assert [(15,)] == rows(written(place, review()), "select count(*) from spans")


def test_records_of_other_versions_are_no_obstacle(tmp_path: Path) -> None:
    """Unknown types and keys, and keys with values of another kind."""
    path = tmp_path / "a.jsonl"
    newer = b'{"type":"hologram","run":"r1"}\n{"type":"log","time_ns":5,"message":"m","metadata":7,"colour":[1]}\n'
    path.write_bytes(newer + encode(finding(1)) + b"\n")
    assert [("m", "7")] == rows(path, "select message, metadata from logs")


# Forms


def test_a_table_for_people(tmp_path: Path, capsys: Capture) -> None:
    """Aligned, numbers to the right, money without the zeros behind."""
    path = written(tmp_path, review())
    out, _ = told(
        capsys,
        "select name, count(*) n, sum(usd) usd from spans where kind = 'llm' group by name order by n",
        str(path),
    )
    expected = (
        "name                      n       usd\nresponses my-local-model  1\nresponses gpt-4.1-mini    3  0.002397\n"
    )
    assert expected == out
    assert ["0.125", "7,000,000"] == told(capsys, "select 0.125::double a, 7e6::double b", str(path))[0].split()[-2:]


def test_of_more_columns_than_there_is_room_for_the_first_are_shown(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line fits a terminal of 80 columns; what else there is is named below, what is empty is not."""
    monkeypatch.setenv("COLUMNS", "80")
    out, _ = told(capsys, "select * from spans", str(written(tmp_path, review())))
    _, _, below = out.partition("… no room for ")
    found = max(map(len, out.splitlines())), " usd," in below, " web_searches," in below
    assert (True, True, False) == (found[0] <= 80, *found[1:])


def test_json_has_whole_values(tmp_path: Path, capsys: Capture) -> None:
    """Arguments as JSON, not as text; nothing as an empty list."""
    path = str(written(tmp_path, review()))
    sql = "select arguments, start from tools order by start limit 1"
    assert [{"arguments": {"path": "m.py"}, "start": "2026-11-23T12:00:00.013000"}] == json.loads(
        told(capsys, sql, path, "--json")[0]
    )
    assert [] == json.loads(told(capsys, "select 1 where false", path, "--json")[0])


def test_csv_has_a_header(tmp_path: Path, capsys: Capture) -> None:
    """And quotes what needs it; nothing is an empty field."""
    path = str(written(tmp_path, [span(1, name='a, "b"')]))
    out, _ = told(capsys, "select name, usd, duration_ms from spans", path, "--csv")
    assert [["name", "usd", "duration_ms"], ['a, "b"', "", "5.0"]] == list(csv.reader(io.StringIO(out)))


@pytest.mark.parametrize(("number", "is_cut"), [(2, False), (3, True)])
def test_a_table_says_where_it_was_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, number: int, is_cut: bool
) -> None:
    """Only there."""
    monkeypatch.setattr("instrument.cli.query.MOST_ROWS", 2)
    path = written(tmp_path, [span(n) for n in range(1, number + 1)])
    assert is_cut is ("there are more than 2 rows" in told(capsys, "select name from spans", str(path))[0])


def test_control_characters_are_neutralised(tmp_path: Path, capsys: Capture) -> None:
    """A name cannot clear the screen."""
    path = str(written(tmp_path, [span(1, name="\x1b[2Jx")]))
    assert "\\x1b[2Jx" in told(capsys, "select name from spans", path)[0]


def test_several_paths_are_one(tmp_path: Path, capsys: Capture) -> None:
    """Files and folders."""
    (tmp_path / "b").mkdir()
    first, second = written(tmp_path, [span(1)]), written(tmp_path / "b", [span(2)])
    out, _ = told(capsys, "select count(*) n from spans", str(first), str(second.parent), "--csv")
    assert "n\n2\n" == out


# Only reading


@pytest.mark.parametrize(
    "sql",
    [
        "drop table late",
        "create table mine as select 1",
        "insert into late values (1)",
        "copy (select 1) to '{out}'",
        "select 1; select 2",
        "attach '{out}'",
        "set threads = 1",
        "explain analyze insert into late select * from late",
        "install httpfs",
        "pragma database_list",
        "",
    ],
)
def test_only_one_select_is_run(tmp_path: Path, capsys: Capture, sql: str) -> None:
    """Nothing that writes, sets or loads; one clear sentence."""
    path, target = written(tmp_path, review()), tmp_path / "out.csv"
    _, err = told(capsys, sql.format(out=target), str(path), code=2)
    assert (True, False) == (err.startswith("instrument: give one SELECT: "), target.exists())


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_text('{file}')",
        "select * from '{file}'",
        "select * from glob('{folder}/*')",
        "select * from read_csv('/etc/passwd')",
    ],
)
def test_no_other_file_is_read(tmp_path: Path, capsys: Capture, sql: str) -> None:
    """A statement that somebody pasted cannot look around."""
    (tmp_path / "events").mkdir()
    path, secret = written(tmp_path / "events", review()), tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    _, err = told(capsys, sql.format(file=secret, folder=tmp_path), str(path), code=2)
    assert err.startswith("instrument: the query failed: ")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["selec 1"], "the query failed: Parser Error: syntax error at or near"),
        (["select nope from spans"], "the query failed: Binder Error"),
        (["select '\udcff'"], "the statement is no text in UTF-8"),
        (["select 1", "missing.jsonl"], "there is no file or folder 'missing.jsonl'"),
        ([], "the following arguments are required: SELECT"),
        (["select 1", "--json", "--csv"], "not allowed with argument"),
    ],
)
def test_bad_use_is_one_clear_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, words: list[str], sentence: str
) -> None:
    """Exit code 2, no traceback, nothing on stdout."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".instrument/events").mkdir(parents=True)
    written(tmp_path / ".instrument/events", review())
    out, err = told(capsys, *words, code=2)
    assert ("", True, False) == (out, sentence in err, "Traceback" in err)


def test_without_duckdb_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """It is an extra."""
    monkeypatch.setitem(sys.modules, "duckdb", None)
    path = written(tmp_path, review())
    expected = "instrument: this needs DuckDB: pip install 'agent-instrument[query]'\n"
    assert ("", expected) == told(capsys, "select 1", str(path), code=2)


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """`instrument query … | head -1`: no complaint, exit code 0."""
    path = written(tmp_path, [log(n, message="x" * 500) for n in range(3000)])
    assert ("", 0) == left_after_a_line("-m", "instrument", "query", "select * from logs", path, "--csv")
