"""The critical path, on traces that a small simulator of sequential and parallel work makes, so the answer is known."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from operator import itemgetter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from instrument.analysis.critical_path import CriticalPath, critical_path, shortest_without, waited_for
from instrument.analysis.tree import Trace, traces
from instrument.model import Record, Span
from tests.recorded import MS, NOON, span

Known = tuple[int, Counter[int]]
"""When a part ends, and what each span has of the path that led there, in nanoseconds."""


def fold(records: Iterable[Record]) -> Trace:
    (trace,) = traces(records)
    return trace


def at(number: int, parent: int | None, start: int, end: int, **fields: Any) -> Span:
    """Span `number` from one millisecond after noon to another."""
    return span(number, parent, start_ns=NOON + start * MS, duration_ns=(end - start) * MS, **fields)


def told(path: CriticalPath) -> list[tuple[str, int]]:
    """Name and milliseconds of each stretch."""
    return [(stretch.span.name.removeprefix("span"), stretch.duration_ns // MS) for stretch in path.stretches]


# A simulator: work is done alone, one part after the other, or in branches at once of which all are waited for

Work = tuple[str, int, list[Any]]
"""How its parts run (`seq` or `par`), how long it works by itself before each part and at the end, and its parts."""


def work() -> st.SearchStrategy[Work]:
    alone: st.SearchStrategy[Work] = st.tuples(st.just("seq"), st.integers(0, 9), st.just([]))
    return st.recursive(
        alone,
        lambda parts: st.tuples(st.sampled_from(["seq", "par"]), st.integers(0, 9), st.lists(parts, max_size=4)),
        max_leaves=25,
    )


def simulate(todo: Work, gone: frozenset[int] = frozenset()) -> list[Span]:
    """The spans of the work, numbered in the order of the description; work that is gone takes no time."""
    spans: list[Span] = []
    numbers = iter(range(1, 10_000))

    def do(item: Work, parent: int | None, start: int, skipped: bool) -> int:
        number, (how, alone, parts) = next(numbers), item
        skipped = skipped or number in gone
        own = 0 if skipped else alone
        now, ends = start + own, []
        for part in parts:
            ends.append(do(part, number, now, skipped))
            now = now if how == "par" else ends[-1] + own
        end = max([now, *(end + own for end in ends)])
        spans.append(at(number, parent, start, end))
        return end

    do(todo, None, 0, False)
    return spans


def ids(numbers: Iterable[int]) -> frozenset[str]:
    return frozenset(f"{number:016x}" for number in numbers)


@given(work())
def test_self_times_add_up_to_the_duration(todo: Work) -> None:
    """For all runs, parallel branches included, the path is as long as the root and has neither gaps nor overlaps."""
    trace = fold(simulate(todo))
    path = critical_path(trace)
    edges = [(one.start_ns, one.end_ns) for one in path.stretches]
    ends = [trace.root.start_ns, *(end for _, end in edges)]
    assert (trace.root.duration_ns, [start for start, _ in edges]) == (path.duration_ns, ends[:-1])
    assert path.duration_ns == sum(path.self_times().values())


@given(work(), st.integers(1, 60))
def test_what_is_off_the_path_does_not_shorten_the_run(todo: Work, number: int) -> None:
    """For all runs: a branch of which nothing lies on the path may vanish, the run takes as long as before."""
    spans = simulate(todo)
    trace = fold(spans)
    on_path = {one.span.span_id for one in critical_path(trace).stretches}
    if not on_path & below(trace, f"{number:016x}"):
        assert trace.root.duration_ns == fold(simulate(todo, frozenset({number}))).root.duration_ns


@given(work(), st.frozensets(st.integers(1, 30), max_size=4))
def test_played_again_without_spans_it_takes_what_the_simulator_takes(todo: Work, gone: frozenset[int]) -> None:
    """For all runs and all spans taken away the foretold duration is the one of the run without them."""
    shorter = fold(simulate(todo, gone)).root.duration_ns
    assert shorter == shortest_without(critical_path(fold(simulate(todo))), ids(gone))


def below(trace: Trace, span_id: str) -> set[str]:
    """The ids of a span and all below it."""
    found = [span_id]
    for one in found:
        found += [child.span_id for child in trace.children(one)]
    return set(found)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 30), st.integers(0, 30)), max_size=8))
def test_any_trace_has_a_path(given_spans: list[tuple[int, int, int]]) -> None:
    """For all spans, whatever their parents and times, the path is as long as the root; what goes adds nothing."""
    spans = [at(n + 1, parent, start, start + took) for n, (parent, start, took) in enumerate(given_spans)]
    trace = fold([at(0, None, 0, 20), *spans])
    assert 20 * MS == critical_path(trace).duration_ns
    assert 20 * MS == shortest_without(critical_path(trace), ())
    assert 20 * MS >= shortest_without(critical_path(trace), ids({1, 2}))


def depending(
    rng: random.Random, spans: list[Span], parent: int | None = None, start: int = 0, depth: int = 0
) -> Known:
    """A span whose parts begin when the last of those that they depend on ends; when it ends, and its critical path."""
    number = len(spans) + 1
    spans.append(at(number, parent, 0, 0))
    lead, tail = rng.randrange(10**6), rng.randrange(1, 10**6)
    parts: list[Known] = []
    for _ in range(rng.randrange(6) if depth < 3 else 0):
        awaited = max((part for part in parts if rng.random() < 0.4), key=itemgetter(0), default=None)
        begin, before = awaited or (start + lead, Counter({number: lead}))
        end, path = depending(rng, spans, number, begin, depth + 1)
        parts.append((end, before + path))
    nothing = rng.random() < 0.2  # some take no time at all
    alone = start + (0 if nothing else tail), Counter({number: 0 if nothing else tail})
    end, path = max(parts, key=itemgetter(0), default=alone)
    if parts:
        end, path = end + tail, path + Counter({number: tail})
    spans[number - 1] = span(number, parent, start_ns=NOON + start, duration_ns=end - start)
    return end, path


@given(st.randoms(use_true_random=False))
def test_parts_that_wait_for_each_other_have_the_path_of_what_they_wait_for(rng: random.Random) -> None:
    """For all works of parts that overlap and depend on some of the others, nested, recorded in any order."""
    spans: list[Span] = []
    _, known = depending(rng, spans)
    rng.shuffle(spans)
    found = critical_path(fold(spans)).self_times()
    assert {f"{number:016x}": took for number, took in known.items() if took} == {i: t for i, t in found.items() if t}


# Answers that can be seen


def test_of_parallel_branches_the_longest_counts() -> None:
    """The others run in its shadow."""
    spans = [at(1, None, 0, 20), at(2, 1, 2, 9), at(3, 1, 2, 15), at(4, 1, 2, 14)]
    assert [("1", 2), ("3", 13), ("1", 5)] == told(critical_path(fold(spans)))


def test_a_branch_consists_of_what_it_waited_for() -> None:
    """The path goes down into the longest branch, between its parts it is the branch itself."""
    spans = [at(1, None, 0, 20), at(2, 1, 0, 9), at(3, 1, 0, 20), at(4, 3, 1, 8), at(5, 3, 10, 20)]
    assert [("3", 1), ("4", 7), ("3", 2), ("5", 10)] == told(critical_path(fold(spans)))


def test_shortening_the_longest_branch_helps_down_to_the_next() -> None:
    """Without a branch of 13 ms beside one of 12 ms the run is 1 ms shorter, not 13."""
    spans = [at(1, None, 0, 20), at(3, 1, 2, 15), at(4, 1, 2, 14)]
    assert 19 * MS == shortest_without(critical_path(fold(spans)), ids({3}))


def test_without_a_branch_in_the_shadow_nothing_is_gained() -> None:
    """The other one takes as long as before."""
    spans = [at(1, None, 0, 20), at(3, 1, 2, 15), at(4, 1, 2, 14)]
    assert 20 * MS == shortest_without(critical_path(fold(spans)), ids({4}))


def test_of_branches_that_end_together_the_longest_counts() -> None:
    """Whichever of them had been shorter, the run would have taken as long."""
    spans = [at(1, None, 0, 20), at(2, 1, 2, 15), at(3, 1, 7, 15), at(4, 1, 5, 15)]
    assert [("1", 2), ("2", 13), ("1", 5)] == told(critical_path(fold(spans)))


def test_self_times_begin_with_the_longest() -> None:
    """What to shorten first stands first."""
    path = critical_path(fold([at(1, None, 0, 20), at(2, 1, 2, 5), at(3, 1, 5, 15)]))
    assert [10, 7, 3] == [took // MS for took in path.self_times().values()]


def test_the_spans_that_were_waited_for_are_those_of_the_path() -> None:
    """As far as times are known."""
    for known, expected in (({}, [3, 1, 2]), ({"instrument.times": "order"}, [])):
        trace = fold([at(1, None, 0, 20, attributes=known), at(2, 1, 2, 5), at(3, 1, 5, 15)])
        assert [f"{number:016x}" for number in expected] == waited_for(trace)


def test_what_was_left_running_is_not_waited_for() -> None:
    """A child that outlives its parent is not why the parent took so long, and without it nothing is faster."""
    trace = fold([at(1, None, 0, 20), at(2, 1, 5, 30)])
    assert ([("1", 20)], 20 * MS) == (told(critical_path(trace)), shortest_without(critical_path(trace), ids({2})))


def test_a_child_of_this_process_that_ends_late_was_left_running() -> None:
    """There is one clock: 3 ms late are late."""
    assert [("1", 20)] == told(critical_path(fold([at(1, None, 0, 20), at(2, 1, 5, 23)])))


def test_what_a_child_did_before_its_parent_does_not_count() -> None:
    """By a clock that is a little off a child may seem to begin before its parent."""
    spans = [at(1, None, 0, 20), at(2, 1, 5, 15), at(3, 2, 3, 15, run="r2")]
    assert [("1", 5), ("3", 10), ("1", 5)] == told(critical_path(fold(spans)))
    assert 15 * MS == shortest_without(critical_path(fold([*spans, at(4, 3, 3, 10)])), ids({4}))


def test_clocks_of_other_processes_may_be_a_little_off() -> None:
    """A child of another process that seems to end 3 ms late was waited for."""
    spans = [at(1, None, 0, 20), at(2, 1, 5, 23, run="r2")]
    assert [("1", 5), ("2", 15)] == told(critical_path(fold(spans)))


def test_what_a_consumer_does_is_not_hidden_by_the_generator() -> None:
    """A generator is open while its consumer works; that work is on the path."""
    spans = [
        at(1, None, 0, 20),
        at(2, 1, 1, 19, output=["a", "b"]),
        at(3, 2, 1, 4),
        at(4, 1, 5, 11),
        at(5, 2, 12, 13),
        at(6, 1, 14, 18),
    ]
    expected = [("1", 1), ("3", 3), ("2", 1), ("4", 6), ("2", 1), ("5", 1), ("2", 1), ("6", 4), ("2", 1), ("1", 1)]
    assert expected == told(critical_path(fold(spans)))


def test_what_began_with_a_generator_ran_beside_it() -> None:
    """Also by a coarse clock: the generator was not suspended yet."""
    spans = [at(1, None, 0, 20), at(2, 1, 1, 19, output=["a", "b"]), at(3, 1, 1, 11)]
    assert [("1", 1), ("2", 18), ("1", 1)] == told(critical_path(fold(spans)))


def test_a_tool_that_gives_a_list_is_no_generator() -> None:
    """It was at work all the time; what ran beside it ran at once."""
    spans = [at(1, None, 0, 20), at(2, 1, 1, 19, output=["a", "b"], kind="tool"), at(3, 1, 5, 11)]
    assert [("1", 1), ("2", 18), ("1", 1)] == told(critical_path(fold(spans)))


def test_spans_without_length_are_passed_over() -> None:
    """They take nothing from anybody."""
    assert [("1", 20)] == told(critical_path(fold([at(1, None, 0, 20), at(2, 1, 5, 5), at(3, 1, 5, 5)])))


def test_a_root_without_length_has_no_path() -> None:
    """Nothing to shorten."""
    assert [] == told(critical_path(fold([at(1, None, 0, 0), at(2, 1, 0, 0)])))


def test_orphans_count_at_the_root() -> None:
    """A span whose parent was lost is waited for by the root."""
    assert [("1", 5), ("2", 5), ("1", 10)] == told(critical_path(fold([at(1, None, 0, 20), at(2, 99, 5, 10)])))


def test_a_trace_without_spans_has_no_path() -> None:
    """Of a process killed early there may be logs only."""
    assert ([], 0) == (told(critical_path(Trace(trace_id="a" * 32, spans=()))), 0)


def test_depth_does_not_matter() -> None:
    """Traces may be deeper than Python recurses."""
    trace = fold(at(n, n - 1 if n else None, n, 10_000 - n) for n in range(4_000))
    assert (10_000 * MS, 2 * MS) == (critical_path(trace).duration_ns, shortest_without(critical_path(trace), ids({1})))
