"""The Trace Event Format: what Perfetto and chrome://tracing need to draw a trace right."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from hypothesis import given

from instrument.analysis.tree import Trace, traces
from instrument.model import Event, Link, Record, Span
from instrument.views.chrome import pieces
from tests.random_traces import spans
from tests.recorded import MS, call, finding, log, review, run, span

Fields = dict[str, Any]


def of(*records: Record) -> Trace:
    (trace,) = traces(records)
    return trace


def exported(*records: Record) -> list[Fields]:
    document = json.loads(b"".join(pieces(of(*records))))
    found: list[Fields] = document["traceEvents"]
    return found


def only(events: list[Fields], phase: str, **wanted: Any) -> list[Fields]:
    return [event for event in events if event["ph"] == phase and wanted.items() <= event.items()]


@given(spans())
def test_on_every_thread_events_lie_within_or_beside_each_other(found: list[Span]) -> None:
    """For all traces, however their spans overlap: half overlaps are what the viewers cannot draw."""
    rows = defaultdict(list)
    for event in only(exported(*found), "X"):
        rows[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    halves = [
        (one, two) for row in rows.values() for one in row for two in row if one[0] < two[0] < one[1] < two[1]
    ]  # fmt: skip
    assert [] == halves


@given(spans())
def test_every_span_is_there_once(found: list[Span]) -> None:
    """For all traces: with its id, and times in microseconds from the start of the trace."""
    zero = min(one.start_ns for one in found)
    expected = {one.span_id: ((one.start_ns - zero) / 1000, one.duration_ns / 1000) for one in found}
    events = only(exported(*found), "X")
    assert (expected, len(found)) == (
        {event["args"]["span_id"]: (event["ts"], event["dur"]) for event in events},
        len(events),
    )


@given(spans(inside=True))
def test_arrows_go_from_parents_on_other_threads(found: list[Span]) -> None:
    """For all traces: one arrow each, two ends with one id, the head not before the tail."""
    events = exported(*found)
    threads = {event["args"]["span_id"]: (event["pid"], event["tid"]) for event in only(events, "X")}
    apart = [one for one in found if one.parent_id and threads[one.parent_id] != threads[one.span_id]]
    tails = {event["id"]: event["ts"] for event in only(events, "s", name="calls")}
    heads = {event["id"]: event["ts"] for event in only(events, "f", name="calls")}
    assert (len(apart), True) == (len(tails), tails.keys() == heads.keys() and all(tails[n] <= heads[n] for n in tails))


def test_children_after_each_other_lie_on_the_thread_of_their_parent() -> None:
    """A program without concurrency has one thread."""
    events = exported(span(1, duration_ns=90 * MS), *(span(10 * n, 1) for n in range(1, 5)))
    assert {1} == {event["tid"] for event in only(events, "X")}


def test_children_at_one_time_have_threads_of_their_own() -> None:
    """Three at once: one beside the parent, two on others, which are used again as soon as they are free."""
    events = exported(span(1, duration_ns=90 * MS), *(span(n, 1) for n in (2, 3, 4, 7, 8)))
    assert [1, 1, 2, 3, 1, 2] == [event["tid"] for event in only(events, "X")]


def test_processes_are_named_and_have_their_pid() -> None:
    """By service, agent or command line; a pid that two machines share is given once."""
    other = run(run="r2", service="search")
    names = only(exported(run(), other, span(1), span(2, 1, run="r2")), "M", name="process_name")
    assert [(42, "python -m agent"), (43, "search")] == [(event["pid"], event["args"]["name"]) for event in names]


def test_counters_grow_with_every_model_call() -> None:
    """Tokens in and out, and money, at the end of the call."""
    events = exported(span(1, duration_ns=90 * MS), call(2, 1), call(20, 1))
    tokens = [(event["ts"], event["args"]) for event in only(events, "C", name="tokens")]
    money = [event["args"]["usd"] for event in only(events, "C", name="US dollars")]
    assert [(6000, {"input": 100, "output": 10}), (24000, {"input": 200, "output": 20})] == tokens
    assert [0.001, 0.002] == money


def test_events_logs_and_findings_are_marks() -> None:
    """Each on the thread of its span."""
    first = span(1, events=[Event("retry", span(2).start_ns, {"n": 1})], duration_ns=9 * MS)
    marks = only(exported(first, log(3, 1), finding(1)), "i")
    assert {("retry", 1), ("EVENT3", 1), ("same_call", 1)} == {(mark["name"], mark["tid"]) for mark in marks}


def test_links_are_arrows() -> None:
    """From the span that is linked to, where it had ended before."""
    events = exported(span(1), span(9, links=[Link(span(1).trace_id, span(1).span_id)]))
    (tail,), (head,) = (only(events, phase, name="link") for phase in "sf")
    assert (5000, 8000, "e") == (tail["ts"], head["ts"], head["bp"])  # the head is bound to the span that is around it


def test_a_failed_span_stands_out() -> None:
    """By the colour that the viewers keep for it, and by what went wrong."""
    failed = [event for event in only(exported(*review()), "X") if event.get("cname") == "terrible"]
    assert ["FileNotFoundError"] == [event["args"]["error"]["type"] for event in failed]
