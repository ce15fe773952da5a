"""Why a run took as long as it did: what lay on its critical path."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from instrument.analysis.critical_path import CriticalPath, critical_path, shortest_without
from instrument.analysis.facts import attribute, is_timed, retried_for, retries_of
from instrument.analysis.in_words import count, duration, many, often, percent
from instrument.analysis.tree import Trace
from instrument.analysis.why.reason import MOST_CAUSES, WORTH_TELLING, Reason, ids
from instrument.attributes import ERROR_TYPE, STATUS_CODE
from instrument.model import Span
from instrument.statuses import REFUSED, UNFINISHED

WORTH_SAVING = 0.001
"""A run that would be shorter by less than this share of it would take as long."""


def reasons(trace: Trace) -> Iterator[Reason]:
    """How long it took, and what of that was spent where."""
    if not is_timed(trace.root):
        yield Reason("the times of its calls are not known, only their order", ids(trace))
        return
    path = critical_path(trace)
    whole = path.duration_ns
    spans = len({stretch.span.span_id for stretch in path.stretches})
    known = len(trace.spans)
    where = f", on a critical path of {count(spans)} of its {count(known)} spans" if 1 < spans < known else ""
    least = "at least " if trace.root.status == UNFINISHED else ""
    yield Reason(f"{trace.root.name} took {least}{duration(whole)}{where}", ids(trace))
    causes = sorted(_by_name(path).items(), key=lambda item: -sum(item[1].values()))
    for cause, times in causes[:MOST_CAUSES]:
        took = sum(times.values())
        if took >= WORTH_TELLING * whole:
            yield Reason(_share_of_time(trace, path, cause, times), list(times))
    yield from _lost_time(path, whole)
    yield from _tried_again(trace)


class _Cause(NamedTuple):
    """What took time: all spans of one name, and what they are called in a sentence, `call` or `refused call`.

    `leaves` is None where other spans run inside of them: then it is their own time that counts.
    """

    name: str
    leaves: str | None


def _by_name(path: CriticalPath) -> dict[_Cause, dict[str, int]]:
    """Nanoseconds on the path by cause and span id, the longest first."""
    inner = {stretch.span.parent_id for stretch in path.stretches}
    spans = {stretch.span.span_id: stretch.span for stretch in path.stretches}
    found: dict[_Cause, dict[str, int]] = defaultdict(dict)
    for span_id, took in path.self_times().items():
        span = spans[span_id]
        leaves = "refused call" if span.status == REFUSED else "call"
        found[_Cause(span.name, None if span_id in inner else leaves)][span_id] = took
    return found


def _share_of_time(trace: Trace, path: CriticalPath, cause: _Cause, times: dict[str, int]) -> str:
    took, whole = sum(times.values()), path.duration_ns
    share = f"{percent(took, whole)} of the time, {duration(took)}"
    if cause.leaves is None:
        return f"{cause.name} itself, outside of what it calls: {share}"
    saved = whole - shortest_without(path, times.keys())
    beside = _beside_them(trace, path, cause, times, saved)
    shorter = f"{duration(saved)} shorter" if saved >= WORTH_SAVING * whole else "no shorter"
    without = f"without {_it(times)} the run is {shorter}{beside}"
    return f"{cause.name}: {share} in {many(len(times), cause.leaves)}; {without}"


def _beside_them(trace: Trace, path: CriticalPath, cause: _Cause, times: dict[str, int], without: int) -> str:
    """What it would bring to have none of these calls, where others ran beside those on the path, as in a pool."""
    refused = cause.leaves == "refused call"
    every = [one.span_id for one in trace.spans if one.name == cause.name and (one.status == REFUSED) == refused]
    if len(every) < 2 * len(times):
        return ""
    whole = path.duration_ns
    saved = whole - shortest_without(path, every)
    worth = 0 < WORTH_TELLING * whole <= saved - without
    return f", without all {count(len(every))} of them {duration(saved)}" if worth else ""


def _it(times: dict[str, int]) -> str:
    return "it" if len(times) == 1 else "them"


def _lost_time(path: CriticalPath, whole: int) -> Iterator[Reason]:
    inner = {stretch.span.parent_id for stretch in path.stretches}
    failed: dict[str, int] = defaultdict(int)
    for stretch in path.stretches:
        if stretch.span.status == "error" and stretch.span.span_id not in inner:
            failed[stretch.span.span_id] += stretch.duration_ns
    took = sum(failed.values())
    if took and took >= WORTH_TELLING * whole:
        calls = f"{many(len(failed), 'call')} that failed"
        text = f"{percent(took, whole)} of the time, {duration(took)}, went into {calls}"
        yield Reason(text, sorted(failed, key=lambda span_id: -failed[span_id]))


def _tried_again(trace: Trace) -> Iterator[Reason]:
    """Model calls whose client waited and sent them again, which is in their time."""
    known = {span.span_id: tries for span in trace.spans if (tries := retries_of(span))}
    if known:
        spans = [span for span in trace.spans if span.span_id in known]
        times = f"{many(len(known), 'model call')} again, {many(sum(known.values()), 'time')} in all"
        text = f"the client sent {times}: {_faults(spans) or 'busy services, timeouts'}{_lost_by_then(spans)}"
        yield Reason(text, sorted(known, key=lambda span_id: -known[span_id]))


def _faults(spans: Sequence[Span]) -> str:
    """`429 3 times, APITimeoutError once`."""
    retries = [event for span in spans for event in span.events if event.name == "retry"]
    found = Counter(attribute(event, STATUS_CODE, ERROR_TYPE) for event in retries).most_common()
    return ", ".join(f"{why} {often(times)}" for why, times in found if why)


def _lost_by_then(spans: Sequence[Span]) -> str:
    lost = sum(map(retried_for, spans))
    whole = f"{'its' if len(spans) == 1 else 'their'} {duration(sum(span.duration_ns for span in spans))}"
    return f"; {duration(lost)} of {whole} had passed by the last try" if lost else ""
