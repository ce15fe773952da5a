"""Records folded into traces: every span finds its place, whatever order, gaps and doubles the files have."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instrument.analysis.tree import Trace, traces, traces_apart
from instrument.model import Cost, Record, Span, Usage
from tests.random_recordings import recordings
from tests.recorded import MS, NOON, TRACE, call, finding, fold, head, log, review, run, span, update


def shape(trace: Trace, span_id: str | None = None) -> list[object]:
    """The tree as nested lists of names."""
    found: list[object] = []
    for child in trace.children(span_id):
        below = shape(trace, child.span_id)
        found.append([child.name, *below] if below else child.name)
    return found


def reached(trace: Trace) -> list[str]:
    waiting: list[Span] = list(trace.roots)
    found = []
    while waiting:
        one = waiting.pop()
        found.append(one.span_id)
        waiting += trace.children(one.span_id)
    return found


def test_spans_hang_at_their_parents() -> None:
    """Siblings are in order of their start."""
    assert [["span1", "span2", ["span3", "span4"]]] == shape(fold(span(4, 3), span(3, 1), span(2, 1), span(1)))


@given(st.permutations(review()))
def test_the_order_of_the_records_does_not_matter(records: list[Record]) -> None:
    """For every order in which the records of a review lie in the files, the trace is the same."""
    expected, found = fold(*review()), fold(*records)
    assert all(getattr(expected, name) == getattr(found, name) for name in Trace.__struct_fields__)


@st.composite
def parents(draw: st.DrawFn) -> list[Span]:
    """Spans with any parents: unknown ones, themselves, their own descendants."""
    size = draw(st.integers(1, 12))
    chosen = draw(st.lists(st.none() | st.integers(0, size + 1), min_size=size, max_size=size))
    starts = draw(st.permutations(range(size)))
    return [span(number, parent, start_ns=starts[number]) for number, parent in enumerate(chosen)]


@given(parents())
def test_every_span_is_in_the_tree_once(spans: list[Span]) -> None:
    """For all parents, cycles and strangers included, each span is reached from the roots exactly once."""
    assert sorted(one.span_id for one in spans) == sorted(reached(fold(*spans)))


def test_orphans_hang_at_the_root() -> None:
    """A span whose parent was never written is not lost, and not mistaken for a root."""
    assert [["span1", "span2", ["span5", "span6"]]] == shape(fold(span(1), span(2, 1), span(5, 99), span(6, 5)))


def test_spans_below_a_parent_of_another_system_are_roots() -> None:
    """Where no span is without a parent, those below unknown ones stand side by side."""
    assert ["span1", ["span2", "span3"]] == shape(fold(span(1, 98), span(2, 99), span(3, 2)))


def test_several_roots_stand_side_by_side() -> None:
    """`root` is the first of them."""
    trace = fold(span(2), span(1), span(3, 2))
    assert (["span1", ["span2", "span3"]], "span1") == (shape(trace), trace.root.name)


def test_a_cycle_is_cut_at_its_earliest_span() -> None:
    """Spans that name each other as parents hang at the root, and what hangs below them stays there."""
    trace = fold(span(9), span(5, 6), span(6, 5), span(4, 6))
    assert [["span9", ["span5", ["span6", "span4"]]]] == shape(trace)


def test_a_span_that_is_its_own_parent_is_an_orphan() -> None:
    """The shortest cycle."""
    assert [["span1", "span2"]] == shape(fold(span(1), span(2, 2)))


def test_a_deep_trace_does_not_exhaust_the_stack() -> None:
    """Five thousand levels fold as well as five."""
    trace = fold(*(span(number, number - 1 if number else None) for number in range(5000)))
    assert 5000 == len(reached(trace))


@pytest.mark.parametrize("sign", [log(50), span(3, 1, duration_ns=47 * MS)])
def test_a_span_that_never_ended_is_open(sign: Record) -> None:
    """It has what its head says, and lasted until the last sign of life of its process."""
    begun = head(1, name="agent", kind="agent", input={"task": "x"})
    trace = fold(begun, sign, span(2, 1), log(70, run="another"))
    assert ("open", 49 * MS, {"task": "x"}, "agent") == (
        trace.root.status,
        trace.root.duration_ns,
        trace.root.input,
        trace.root.kind,
    )


def test_the_head_of_a_span_that_ended_is_forgotten() -> None:
    """A span counts once, whether its head comes before or after it."""
    assert ["ok"] == [one.status for one in fold(head(1), span(1), head(1)).spans]


def test_of_doubles_the_one_that_ended_last_counts() -> None:
    """A span that lies in two files counts once."""
    short, long = span(1, duration_ns=1), span(1, duration_ns=2)
    assert ([long], [long]) == ([*fold(short, long, short).spans], [*fold(long, short).spans])


def test_late_facts_are_merged_into_their_span() -> None:
    """Usage of an update takes the place of the span's own and is counted once; attributes are added."""
    late = update(1, usage=Usage(input=7, output=1), cost=Cost(usd="0.5", basis="priced"), attributes={"b": 2})
    trace = fold(late, call(1, attributes={"a": 1}))
    assert (8, Decimal("0.5"), {"a": 1, "b": 2}) == (trace.cost.tokens, trace.cost.usd, trace.root.attributes)


def test_late_facts_without_usage_leave_it_alone() -> None:
    """What an update does not speak of stays."""
    assert 110 == fold(call(1), update(1, attributes={"b": 2})).cost.tokens


def test_totals_sum_the_spans_that_carry_usage() -> None:
    """Tokens by kind and money; what no call reported stays unknown."""
    usage = Usage(input=10, output=5, cached=4)
    trace = fold(span(1), call(2, 1, usage=usage), call(3, 1, tokens=(1, 1)))
    assert (Usage(input=11, output=6, cached=4), Decimal("0.002")) == (trace.usage, trace.cost.usd)


def test_one_estimated_call_makes_the_usage_estimated() -> None:
    """A sum is only as sure as its least sure part."""
    assert "estimated" == fold(call(1), call(2, usage=Usage(input=1, source="estimated"))).usage.source


def test_a_trace_spans_processes() -> None:
    """Spans of several recordings hang together by their ids; the root's process comes first."""
    worker = run(run="r2", pid=43)
    trace = fold(worker, span(2, 1, run="r2"), run(), span(1))
    assert ([["span1", "span2"]], ["r1", "r2"]) == (shape(trace), [one.run for one in trace.runs])


def test_traces_come_in_order_of_their_start() -> None:
    """Whatever order the files have."""
    late, early = span(5, trace_id="a" * 32), span(1, trace_id="b" * 32)
    assert ["b" * 32, "a" * 32] == [trace.trace_id for trace in traces([late, early])]


def test_logs_findings_and_scores_belong_to_their_trace_in_order_of_time() -> None:
    """What lies outside of any trace is left out."""
    trace = fold(span(1), log(9, 1), log(3), finding(1), log(2, 1))
    assert (["EVENT2", "EVENT9"], 1, 0) == ([one.event for one in trace.logs], len(trace.findings), len(trace.scores))


def test_a_trace_of_which_only_logs_were_kept_has_a_root() -> None:
    """A process that was killed before its first span ended leaves an unfinished trace, not an error."""
    trace = fold(log(3, 1))
    assert (("(not recorded)", "open", NOON + 3 * MS), 0) == (
        (trace.root.name, trace.root.status, trace.root.start_ns),
        len(trace.spans),
    )


def test_a_trace_cannot_be_changed() -> None:
    """Views share traces and cannot spoil them for each other."""
    with pytest.raises(AttributeError):
        fold(span(1)).trace_id = "x"  # type: ignore[misc]


def test_many_cycles_are_folded_in_reasonable_work() -> None:
    """Hostile files cost time in proportion to their size: 20,000 spans, each its own parent."""
    spans = [span(number, number ^ 1) for number in range(20_000)]
    random.Random(1).shuffle(spans)
    assert 20_000 == len(reached(fold(*spans)))


def names(spans: Iterable[Span]) -> list[str]:
    return [one.name for one in spans]


def test_the_trace_id_and_kind_are_those_asked_for() -> None:
    """A subclass of the trace can be asked for, which adds how it shows itself."""

    class Shown(Trace, frozen=True, kw_only=True, dict=True, eq=False):
        pass

    (trace,) = traces([span(1)], Shown)
    assert (Shown, TRACE, ["span1"]) == (type(trace), trace.trace_id, names(trace.spans))


# One after the other


@settings(max_examples=12)
@given(recordings())
def test_traces_read_apart_are_the_same(records: list[Record]) -> None:
    """Whatever the order, gaps and doubles."""
    apart = sorted(traces_apart(lambda: records), key=lambda trace: (trace.start_ns, trace.trace_id))
    assert [shown(trace) for trace in traces(records)] == [shown(trace) for trace in apart]


def shown(trace: Trace) -> tuple[object, ...]:
    return tuple(getattr(trace, name) for name in trace.__struct_fields__)


def test_a_trace_is_given_when_its_last_record_has_come() -> None:
    """So that not all are held: of three only the one that an earlier record belongs to waits."""
    a, b, c = ({"trace_id": letter * 32} for letter in "abc")
    read: list[Record] = []

    def again() -> Iterator[Record]:
        read.clear()
        for record in (span(1, **a), span(2, **b), span(3, **b), span(4, **c), span(5, **a)):
            read.append(record)
            yield record

    assert [("b", 3), ("c", 4), ("a", 5)] == [(trace.trace_id[0], len(read)) for trace in traces_apart(again)]


def test_a_trace_that_runs_on_is_given_as_it_is_at_the_end() -> None:
    """Between both looks it and another get a span more, and one begins: what was given as a whole stays as it is."""
    first = [head(1), span(2, trace_id="b" * 32)]
    looks = iter([first, [*first, span(3, trace_id="b" * 32), span(4, 1), span(5, trace_id="c" * 32)]])
    found = {trace.trace_id[0]: names(trace.spans) for trace in traces_apart(lambda: next(looks))}
    assert {"b": ["span2"], "3": ["span1", "span4"], "c": ["span5"]} == found
