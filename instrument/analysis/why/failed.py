"""Why a run failed, and what else went wrong in it though it went on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from instrument.analysis.asked import messages, never_called
from instrument.analysis.facts import attribute
from instrument.analysis.failures import exception_of, held_by, identity, is_group, origin_of
from instrument.analysis.in_words import many, often
from instrument.analysis.tree import Trace
from instrument.analysis.why.reason import MOST_CAUSES, Reason, among, ids
from instrument.attributes import OUTCOME
from instrument.detectors.calls import plain
from instrument.detectors.error_text import error_text
from instrument.detectors.told import listed
from instrument.kinds import TOOL_KINDS
from instrument.model import Span
from instrument.statuses import FAILED, OPEN, REFUSED, UNENDED, UNFINISHED

MOST_NAMES = 6
FATES = {
    "cancelled": ("was cancelled", "were cancelled"),
    UNFINISHED: ("never ended", "never ended"),
    OPEN: ("has not ended", "have not ended"),
}
"""What befell a call that came to no end, of one and of several."""
NOTHING_FOUND: Sequence[object] = ([], {}, {"documents": []})
BAD_LOGS = frozenset({"ERROR", "CRITICAL", "FATAL"})

K = TypeVar("K")
V = TypeVar("V")


def reasons(trace: Trace) -> Iterator[Reason]:
    """How it ended and what came before that."""
    root = trace.root
    yield from _how_it_ended(trace, root)
    outcome = attribute(root, OUTCOME)
    if outcome:
        yield Reason(f"its outcome: {outcome}", ids(trace))
    yield from _survived(trace)
    yield from _never_came_to_an_end(trace)
    yield from _errors_as_results(trace)
    yield from _came_with_nothing(trace)
    yield from _left_alone(trace)
    for log in trace.logs:
        if log.level.upper() in BAD_LOGS:
            raised = f" ({log.metadata['exception']})" if "exception" in log.metadata else ""
            yield Reason(f"log {log.event}: {log.message}{raised}", [log.span_id] if log.span_id else [])
            return


def _how_it_ended(trace: Trace, root: Span) -> Iterator[Reason]:
    if root.status in FAILED:
        ways = _ways(trace, root)
        others = [*_without_a_span(ways)]
        for passed in ways[:MOST_CAUSES]:
            if len(passed) > 1 or not others:
                yield Reason(_told_of(trace, passed), [one.span_id for one in passed[::-1]])
        yield from others[:MOST_CAUSES]
    elif root.status in UNENDED:
        innermost = _innermost_open(trace, root)
        fate = "it has not ended" if root.status == OPEN else "its process was ended from outside"
        yield Reason(f"{fate}; {innermost.name} was open at the last sign of life", [innermost.span_id])
    elif root.status == "cancelled":
        yield Reason("it was cancelled", ids(trace))
    else:
        yield Reason("it did not fail", ids(trace))


def _told_of(trace: Trace, passed: Sequence[Span]) -> str:
    root, first = passed[0], passed[-1]
    if root is first:
        return _with_origin(root)
    where = f"{first.name}{among(trace.spans, [first])}, passed on by {many(len(passed) - 1, 'span')}"
    began = _with_origin(first).removesuffix(".")
    if _same(first, root):
        return f"{began}; it began in {where}"
    return f"{_error(root).removesuffix('.')} came of {began}, which began in {where}"


def _without_a_span(ways: Sequence[Sequence[Span]]) -> Iterator[Reason]:
    """What groups of exceptions hold that no span failed with."""
    spans = {one.span_id: one for way in ways for one in way}
    seen = {exception_of(one) for one in spans.values()}
    for span in spans.values():
        for held in held_by(span.error):
            if identity(held) not in seen:
                seen.add(identity(held))
                yield Reason(f"{_error(span)} came of {held.type}: {held.message[:200]}", [span.span_id])


def _ways(trace: Trace, failed: Span) -> list[list[Span]]:
    """The spans that an exception passed through, from the outermost to where it or what it came of began.

    There are several such ways where it is a group, as a `TaskGroup` raises: one for each exception in it.
    """
    passed = [failed]
    while True:
        inside = [one for one in trace.children(passed[-1].span_id) if one.status in FAILED and _leads(one, passed[-1])]
        if not inside:
            return [passed]
        if passed[-1].error is not None and is_group(passed[-1].error):
            parts = {exception_of(one): one for one in inside}
            return [[*passed, *way] for one in parts.values() for way in _ways(trace, one)]
        passed.append(inside[-1])


def _innermost_open(trace: Trace, root: Span) -> Span:
    span: Span | None = root
    while span is not None:
        found = span
        span = next((one for one in reversed(trace.children(found.span_id)) if one.status in UNENDED), None)
    return found


def _survived(trace: Trace) -> Iterator[Reason]:
    """Failures that did not end the run, by where they began and what they were."""
    ways = _ways(trace, trace.root) if trace.root.status in FAILED else []
    fatal = {one.span_id for way in ways for one in way}
    groups: dict[tuple[str, str], list[Span]] = defaultdict(list)
    for span in trace.spans:
        if span.status in FAILED and span.span_id not in fatal and _ways(trace, span) == [[span]]:
            groups[span.name, span.error.type if span.error else ""].append(span)
    for (name, _), spans in _largest(groups):
        fate = f"{'was refused' if spans[-1].status == REFUSED else 'failed'} {often(len(spans))}"
        text = f"{name}{among(trace.spans, spans)} {fate} and the run went on: {_with_origin(spans[-1])}"
        yield Reason(text, [span.span_id for span in spans])


def _never_came_to_an_end(trace: Trace) -> Iterator[Reason]:
    """Calls that were cancelled, and those that were still open when the run was over: a deadlock, a forgotten task."""
    if trace.root.status in UNENDED:
        return
    broken = [one for one in trace.spans if one is not trace.root and one.status in FATES]
    around = {one.parent_id for one in broken}
    groups: dict[tuple[str, str], list[Span]] = defaultdict(list)
    for span in broken:
        if span.span_id not in around:
            groups[span.status, span.name].append(span)
    for (status, name), spans in _largest(groups):
        one, several = FATES[status]
        text = f"{many(len(spans), 'call')} of {name}{among(trace.spans, spans)} {one if len(spans) == 1 else several}"
        yield Reason(text, [span.span_id for span in spans])


def _came_with_nothing(trace: Trace) -> Iterator[Reason]:
    """Retrievals that found nothing, and questions without a word in them, on which a model answers all the same."""
    groups: dict[str, list[str]] = defaultdict(list)
    for span in trace.spans:
        if span.kind == "retrieval" and span.status == "ok" and plain(span.output) in NOTHING_FOUND:
            groups[f"{span.name} found nothing"].append(span.span_id)
        elif span.kind == "llm" and (prompt := messages(span)) and not prompt[-1].text.strip():
            groups[f"the last message that {span.name} was sent is empty"].append(span.span_id)
    for what, span_ids in groups.items():
        yield Reason(f"{what}{f', {often(len(span_ids))}' if len(span_ids) > 1 else ''}", span_ids)


def _errors_as_results(trace: Trace) -> Iterator[Reason]:
    """Tools whose calls succeeded with an error as what they gave back."""
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for span in trace.spans:
        if span.kind in TOOL_KINDS and span.status == "ok" and (said := error_text(plain(span.output))):
            groups[span.name].append((span.span_id, said))
    for name, found in _largest(groups):
        said = " ".join(found[-1][1][:200].split())
        text = f"{name} gave an error as its result {often(len(found))}: {said}"
        yield Reason(text, [span_id for span_id, _ in found])


def _left_alone(trace: Trace) -> Iterator[Reason]:
    """Tools that were offered and never called, as when a model says that it has done what it has not."""
    names = never_called(trace.spans) if trace.root.kind != "llm" else []
    if names:
        offered = [span for span in trace.spans if span.kind == "llm"]
        text = f"offered and never called: {listed(names, MOST_NAMES)}"
        yield Reason(text, [offered[-1].span_id])


def _leads(inner: Span, outer: Span) -> bool:
    """Whether what the outer span failed with is the inner one's exception, or was raised because of it."""
    if _same(inner, outer):
        return True
    causes = outer.error.causes if outer.error is not None else ()
    return exception_of(inner) in [identity(cause) for cause in causes]


def _same(one: Span, other: Span) -> bool:
    return exception_of(one) == exception_of(other)


def _error(span: Span) -> str:
    return f"{span.error.type}: {span.error.message[:200]}" if span.error is not None else f"{span.name} failed"


def _with_origin(span: Span) -> str:
    """What a span failed with, and what that came of where it does not say so itself: `Connection error.` does not."""
    origin = origin_of(span.error)
    if origin is None:
        return _error(span)
    return f"{_error(span).removesuffix('.')} ({origin.type}: {origin.message[:200].removesuffix('.')})"


def _largest(groups: Mapping[K, Sequence[V]]) -> Sequence[tuple[K, Sequence[V]]]:
    return sorted(groups.items(), key=lambda item: -len(item[1]))[:MOST_CAUSES]
