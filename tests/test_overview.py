"""The overview, which never holds the records, tells what the folded traces tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from instrument.analysis.judged import Judged
from instrument.analysis.metrics import measure
from instrument.analysis.overview import Heads, Row, overall, overview
from instrument.analysis.tree import traces
from instrument.model import Cost, Failure, Other, Record, Score, Usage, encode
from instrument.store.heads import SpanHead, head_of, heads, span_of
from tests.recorded import MS, NOON, TRACE, call, finding, head, log, review, run, span, update


def from_disk(*records: Record) -> Heads:
    """The heads of the records, as they are decoded from disk."""
    lines = [encode(record) for record in records]
    return lambda: map(head_of, lines)


def one(*records: Record) -> Row:
    (row,) = overview(from_disk(*records)).rows
    return row


LATE = update(3, usage=Usage(input=1, output=1), cost=Cost(usd="7", basis="priced"))


@given(st.permutations([*review(), head(1), LATE]))
def test_it_agrees_with_the_folded_trace(records: list[Record]) -> None:
    """For every order of the records, with heads and updates, all numbers are those of the trace."""
    (trace,) = traces(records)
    expected = measure(trace.spans, trace.logs, trace.findings)
    outside = [record for record in records if getattr(record, "event", "") == "SETUP"]
    expected = replace(expected, wall_ns=trace.end_ns - trace.start_ns, warnings=expected.warnings + len(outside))
    found = overall(from_disk(*records))
    assert (1, expected, trace.cost) == (found.traces, found.metrics, one(*records).total)


def test_a_row_tells_what_a_trace_was_about() -> None:
    """Name, label, outcome and status are those of the root."""
    row = one(*review())
    assert (TRACE, "review", "Review examples/ for faults", "answered", "ok", "r1", NOON + MS) == (
        row.trace_id,
        row.name,
        row.label,
        row.outcome,
        row.status,
        row.run,
        row.start_ns,
    )


def test_a_row_tells_what_its_root_failed_with() -> None:
    """Which of many requests failed is asked together with why."""
    failed = span(1, status="error", error=Failure("ValueError", "no row 13"))
    assert "ValueError: no row 13" == one(failed, span(2, 1, status="error", error=Failure("KeyError", "13"))).error


def test_a_row_tells_whose_it_was() -> None:
    """Session and user are those of the root."""
    row = one(span(1, attributes={"session.id": "s-42", "user.id": "ada"}), call(2, 1))
    assert ("s-42", "ada") == (row.session, row.user)


@pytest.mark.parametrize(("other", "expected"), [("s-42", "s-42"), ("s-43", None)])
def test_a_session_that_a_run_opens_is_its_own(other: str, expected: str | None) -> None:
    """Where all its calls that are in one are in the same; of several none is the run's."""
    row = one(span(1), call(2, 1, attributes={"session.id": "s-42"}), call(3, 1, attributes={"session.id": other}))
    assert expected == row.session


def test_a_trace_that_has_not_ended_is_open() -> None:
    """Its root is known by its head only; it has lasted until the last sign of life."""
    row = one(head(1, name="agent"), span(2, 1), log(50, 1))
    assert ("agent", "open", 2, 49 * MS) == (row.name, row.status, row.spans, row.duration_ns)


def test_an_open_span_without_a_kind_is_no_step() -> None:
    """As the whole record is read."""
    line = encode(head(1)).replace(b'"kind":"span",', b"")
    assert ["span"] == list(overall(lambda: [head_of(line)]).metrics.by_kind)


def test_a_span_in_two_files_counts_once() -> None:
    """A copied file does not double the bill."""
    assert (1, 110) == (one(call(1), call(1)).spans, one(call(1), call(1)).total.tokens)


def test_late_attributes_count() -> None:
    """The model that answered may become known after the call had ended."""
    found = overall(from_disk(call(1), update(1, attributes={"gen_ai.response.model": "m-2026"})))
    assert ["m-2026"] == list(found.metrics.by_model)


def test_of_late_tokens_the_last_count() -> None:
    """As a service corrects what it told."""
    late = [update(1, usage=Usage(input=n, output=0)) for n in (5, 7)]
    assert 7 == one(span(1, kind="llm"), *late).total.tokens


def test_rows_come_in_order_of_their_start() -> None:
    """The latest at the end."""
    found = overview(from_disk(span(5, trace_id="a" * 32), span(1, trace_id="b" * 32)))
    assert ["b" * 32, "a" * 32] == [row.trace_id for row in found.rows]


def test_logs_outside_of_any_trace_are_counted_apart() -> None:
    """They make no row."""
    found = overview(from_disk(log(1), log(2), run()))
    assert ([], 2) == (found.rows, found.stray_logs)


def test_a_trace_of_which_only_logs_were_kept_is_listed() -> None:
    """A process that was killed early is seen to have been there, from its first log on."""
    assert NOON + 3 * MS == one(log(5, 1), log(3, 1), log(4, 1)).start_ns
    assert ("(not recorded)", "open", 0) == (one(log(3, 1)).name, one(log(3, 1)).status, one(log(3, 1)).spans)


def test_findings_and_warnings_count_for_their_trace() -> None:
    """Those without a trace count in the whole only."""
    records = span(1), finding(1), finding(trace_id=None), log(1), log(1, 1), *(log(1, 1, level="error") for _ in "ab")
    assert (1, 2) == (one(*records).findings, overall(from_disk(*records)).metrics.findings)
    assert 2 == one(*records).warnings


def test_wall_time_is_the_sum_over_the_traces() -> None:
    """Ten runs of a minute are ten minutes, whenever they were; logs do not add to it."""
    other = span(500, trace_id="b" * 32, duration_ns=7 * MS)
    found = overall(from_disk(span(3), span(1), other, log(900, 1), log(901, trace_id="c" * 32)))
    assert (3, 14 * MS) == (found.traces, found.metrics.wall_ns)


def test_a_head_has_what_its_record_has() -> None:
    """A span made of its head has everything that totals and trees show."""
    whole = call(1, input={"a": 1}, output=2)
    made = head_of(encode(whole))
    assert isinstance(made, SpanHead)
    assert replace(whole, input=None, output=None) == span_of(made)


def test_heads_of_unknown_types_come_whole(tmp_path: Path) -> None:
    """A later version's records do not count as broken lines."""
    (tmp_path / "a.jsonl").write_bytes(b'{"type":"hologram","run":"r1"}\n' + encode(span(1)) + b"\n")
    notices: list[str] = []
    assert ([Other, SpanHead], []) == ([type(found) for found in heads(tmp_path, notices)], notices)


def judged(name: str, at: int, trace_id: str = TRACE, **how: Any) -> Score:
    return Score(trace_id=trace_id, time_ns=NOON + at, name=name, **how)


def test_scores_are_told_over_all_and_of_each_trace() -> None:
    """Numbers by their mean and ends, words by how often each was given; of a trace the first ones in order."""
    scores = [
        judged("ok", 3, value=1.0),
        judged("ok", 1, value=0.0),
        judged("tone", 2, label="kind"),
        judged("ok", 4, value=0.5),
    ]
    tones = [judged("tone", n, "b" * 32, label="rude") for n in range(25)]
    records: list[Record] = [*scores, span(1), *tones]
    expected = {"ok": Judged(3, 0.5, 0.0, 1.0), "tone": Judged(26, words={"rude": 25, "kind": 1})}
    assert expected == overall(lambda: records).scores
    (row,) = overview(lambda: records).rows
    assert [("ok", 0.0), ("tone", "kind"), ("ok", 1.0), ("ok", 0.5)] == [
        (one.name, one.label or one.value) for one in row.scores
    ]


def test_of_many_scores_a_row_has_the_first() -> None:
    """All of them are in the trace."""
    (row,) = overview(lambda: [span(1), *(judged("ok", n, value=n) for n in range(30, 0, -1))]).rows
    assert list(range(1, 21)) == [one.value for one in row.scores]
