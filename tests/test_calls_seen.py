"""One model call that two instrumentations tell of is counted once, however their spans are spread over requests."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from instrument.model import Span, encode
from instrument.store.appender import Appender
from instrument.store.foreign import calls
from instrument.store.foreign.calls import CallsSeen
from instrument.store.jsonl import event_file
from tests.recorded import call, log, span

OUTER, BETWEEN, INNER = call(1), span(2, 1), call(3, 2)
BESIDE = call(4)


def counted(*requests: list[Span]) -> list[str]:
    """Ids of the calls that are counted."""
    seen = CallsSeen()
    return [one.span_id[-1] for request in requests for one in seen.once_each(request) if one.usage is not None]


def test_the_inner_one_is_the_call() -> None:
    """As spans come: those that end first first."""
    assert ["3", "4"] == counted([INNER], [BETWEEN], [OUTER, BESIDE])


def test_an_outer_one_that_came_first_stays_the_call() -> None:
    """It has been entered in the ledger; the inner one is a step of it."""
    assert ["1"] == counted([OUTER, BETWEEN], [INNER])


@given(st.permutations([OUTER, BETWEEN, INNER, BESIDE]), st.lists(st.integers(1, 3), max_size=3, unique=True))
def test_each_call_is_counted_once(order: list[Span], cuts: list[int]) -> None:
    """For all orders in all requests, but where what is between two spans of one call comes after both of them."""
    places = [0, *sorted(cuts), len(order)]
    requests = [order[start:end] for start, end in pairwise(places)]
    at = {one.span_id[-1]: place for place, request in enumerate(requests) for one in request}
    unknown = at["2"] > max(at["1"], at["3"]) or at["1"] < at["3"] < at["2"]
    inner_first = ["3"] if at["3"] <= at["1"] else ["1"]
    found = counted(*requests)
    assert "4" in found
    if not unknown:
        assert inner_first == [one for one in found if one in "13"]


@given(st.permutations([OUTER, BETWEEN, INNER, BESIDE]), st.integers(1, 3))
def test_what_was_stored_is_remembered(order: list[Span], cut: int) -> None:
    """For all orders: the same calls are counted where the receiver was started anew in between."""
    first, second = CallsSeen(), CallsSeen()
    before = first.once_each(order[:cut])
    with TemporaryDirectory() as folder:
        Appender(event_file(Path(folder), "otlp-1", 0)).append([encode(one) for one in before])
        second.remember(calls.stored_last(Path(folder), "otlp"))
    assert first.once_each(order[cut:]) == second.once_each(order[cut:])


def test_what_was_stored_last_is_read(tmp_path: Path) -> None:
    """So many bytes of it, from whole lines of the newest files on; half a line and other records are passed over."""
    lines = [encode(call(number)) for number in range(6)]
    for number, some in enumerate((lines[:2], [*lines[2:4], encode(log(1))], [*lines[4:], lines[0][:40]])):
        Appender(event_file(tmp_path, "otlp-1", number * 10**9)).append(some)
    Appender(event_file(tmp_path, "another", 10**9)).append(lines)
    found = [[one.span_id[-1] for one in calls.stored_last(tmp_path, "otlp", size)]
             for size in (10**6, 3 * len(lines[0]) + len(encode(log(1))) + 60, 60)]  # fmt: skip
    assert [[*"012345"], [*"345"], []] == found


def test_a_request_that_is_sent_again_is_told_the_same() -> None:
    """Exporters do so where they saw no answer."""
    assert ["3", "3"] == counted([INNER, BETWEEN], [INNER, BETWEEN], [OUTER])


def test_what_is_remembered_is_bounded() -> None:
    """In traces; the oldest go."""
    seen = CallsSeen()
    for number in range(calls.MOST_TRACES + 5):
        seen.once_each([call(1, trace_id=f"{number:032x}")])
    assert calls.MOST_TRACES == len(seen._traces)
