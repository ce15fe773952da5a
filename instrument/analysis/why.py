"""Why a run was slow, expensive, or failed: rules over one trace, each answer with the spans that prove it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple, TypeVar

from msgspec import Struct

from instrument.analysis.asked import (
    Parting,
    Whole,
    as_it_is,
    asked_before,
    early_partings,
    filling,
    messages,
    never_called,
    twice,
)
from instrument.analysis.critical_path import CriticalPath, critical_path, shortest_without
from instrument.analysis.facts import (
    NOBODY,
    agent_of,
    attribute,
    is_timed,
    model_of,
    operation_of,
    retried_for,
    retries_of,
)
from instrument.analysis.failures import exception_of, held_by, identity, is_group, origin_of
from instrument.analysis.in_words import bill, count, duration, many, often, percent
from instrument.analysis.totals import Total, carries, dollars, total
from instrument.analysis.tree import Trace
from instrument.attributes import ERROR_TYPE, STATUS_CODE
from instrument.detectors.calls import TOOL_KINDS, plain
from instrument.detectors.error_text import error_text
from instrument.detectors.told import listed
from instrument.model import Finding, Span
from instrument.statuses import FAILED, OPEN, REFUSED, UNENDED, UNFINISHED

WORTH_TELLING = 0.05
"""What makes up less of the time or the money than this is not an answer."""
LEAST = Decimal(str(WORTH_TELLING))
WORTH_SAVING = 0.001
"""A run that would be shorter by less than this share of it would take as long."""
MOST_CAUSES = 4
AROUND = 40
"""Letters of a message that show which one it is."""
MOST_NAMES = 6
GROWN = 2.0
"""Prompts of one operation that have grown by this factor are told."""
RISING = 0.75
"""Prompts grow where so many of them are larger than the one before: those that only differ go up and down."""
MUCH_INPUT = 10_000
"""From so many input tokens on it is told how few of them came from the cache."""
OF_TIME = frozenset({"slow", "stalled"})
OF_MONEY = frozenset({"spending", "context_growth"})
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


class Reason(Struct, frozen=True):
    """One answer: a sentence and the ids of the spans that prove it, the most telling first."""

    text: str
    span_ids: Sequence[str] = ()


class Why(Struct, frozen=True):
    """The answers to the three questions, the weightiest first; the first of each says how it was over all."""

    slow: Sequence[Reason]
    expensive: Sequence[Reason]
    failed: Sequence[Reason]


def why(trace: Trace, findings: Sequence[Finding], whole: Whole = as_it_is) -> Why:
    """The answers for one trace and what was found in it; `whole` gives contents with what is stored apart."""
    return Why(
        [*_time(trace), *_told(findings, lambda one: one.detector in OF_TIME)],
        [*_money(trace, whole), *_told(findings, lambda one: one.detector in OF_MONEY)],
        [*_failure(trace), *_told(findings, lambda one: one.detector not in OF_TIME | OF_MONEY)],
    )


def _told(findings: Sequence[Finding], fits: Callable[[Finding], bool]) -> list[Reason]:
    return [Reason(f"{one.detector}: {one.message}", one.span_ids) for one in findings if fits(one)]


# Time


def _time(trace: Trace) -> Iterator[Reason]:
    if not is_timed(trace.root):
        yield Reason("the times of its calls are not known, only their order", _ids(trace))
        return
    path = critical_path(trace)
    whole = path.duration_ns
    spans = len({stretch.span.span_id for stretch in path.stretches})
    known = len(trace.spans)
    where = f", on a critical path of {count(spans)} of its {count(known)} spans" if 1 < spans < known else ""
    least = "at least " if trace.root.status == UNFINISHED else ""
    yield Reason(f"{trace.root.name} took {least}{duration(whole)}{where}", _ids(trace))
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


# Money


def _money(trace: Trace, whole: Whole) -> Iterator[Reason]:
    calls = [span for span in trace.spans if carries(span)]
    if not calls:
        yield Reason("no model was called")
        return
    if all(call.usage is None and call.cost is None for call in calls):
        yield Reason(f"what its {many(len(calls), 'model call')} used is not known", [call.span_id for call in calls])
        return
    spent = total(calls)
    yield Reason(f"{_amount(spent)} in {many(len(calls), 'model call')}", [_dearest(calls).span_id])
    told: list[Sequence[str]] = []
    for what, key in (("model", model_of), ("operation", operation_of), ("agent", agent_of)):
        for share in _share_of_money(what, key, calls):
            if what != "agent" or share.span_ids not in told:
                yield share
            told.append(share.span_ids)
    yield from _one_dear_call(calls)
    yield from _asked_again(calls)
    yield from _growing_prompts(calls)
    yield from _longest_prompt(calls, whole)
    yield from _of_tokens(calls, spent, whole)
    yield from _unpaid_doubts(calls, spent)


def _amount(spent: Total) -> str:
    paid = {"": "nothing", "free": "nothing", "unpriced": "an unknown amount"}.get(bill(spent), bill(spent))
    return f"{paid} for {count(spent.input)} tokens in, {count(spent.output)} out"


def _share_of_money(what: str, key: Callable[[Span], str], calls: Sequence[Span]) -> Iterator[Reason]:
    """The model, operation or agent that most of it went to, where there are several."""
    groups: dict[str, list[Span]] = defaultdict(list)
    for call in calls:
        groups[key(call)].append(call)
    if len(groups) > 1:
        name, most = max(groups.items(), key=lambda item: sum(map(weight, item[1])))
        share = percent(sum(map(weight, most)), sum(map(weight, calls)))
        if share:
            text = f"{what} {name}: {share} of the {_measure(calls)} in {many(len(most), 'call')}"
            yield Reason(text, [call.span_id for call in sorted(most, key=weight, reverse=True)])


def _one_dear_call(calls: Sequence[Span]) -> Iterator[Reason]:
    dearest, whole = _dearest(calls), sum(map(weight, calls))
    if len(calls) > 2 and whole and weight(dearest) >= whole * max(Decimal(3) / len(calls), LEAST):
        text = f"one call of {operation_of(dearest)} is {percent(weight(dearest), whole)} of the {_measure(calls)}"
        yield Reason(text, [dearest.span_id])


def _growing_prompts(calls: Sequence[Span]) -> Iterator[Reason]:
    """Of each operation whose prompts grew, the agent whose prompt grew longest."""
    groups: dict[tuple[str, str], list[tuple[int, Span]]] = defaultdict(list)
    for call in calls:
        if call.usage is not None and call.usage.input:
            groups[operation_of(call), agent_of(call)].append((call.usage.input, call))
    longest: dict[str, list[tuple[int, Span]]] = {}
    for (name, _), turns in groups.items():
        sizes = [tokens for tokens, _ in turns]
        if _have_grown(sizes) and (name not in longest or sizes[-1] > longest[name][-1][0]):
            longest[name] = turns
    for name, turns in longest.items():
        (first, begun), (last, ended) = turns[0], turns[-1]
        whose = f"{name}{_among(calls, [ended])}"
        grown = f"prompts of {whose} grew from {count(first)} to {count(last)} tokens in {len(turns)} calls"
        yield Reason(grown, [ended.span_id, begun.span_id])


def _have_grown(sizes: Sequence[int]) -> bool:
    rises = sum(before < after for before, after in pairwise(sizes))
    is_longest = sizes[-1] >= GROWN * sizes[0] and sizes[-1] == max(sizes)
    return len(sizes) > 2 and is_longest and rises >= RISING * (len(sizes) - 1)


def _asked_again(calls: Sequence[Span]) -> Iterator[Reason]:
    """What it cost to ask the very same once more, as programs do that try until they like the answer."""
    again = [call for group in asked_before(calls) for call in group[1:]]
    share, whole = sum(map(weight, again)), sum(map(weight, calls))
    if whole and share >= LEAST * whole:
        what = f"{many(len(again), 'call')} asked the very same as one before"
        text = f"{what}: {percent(share, whole)} of the {_measure(calls)}"
        yield Reason(text, [call.span_id for call in again])


def _longest_prompt(calls: Sequence[Span], whole: Whole) -> Iterator[Reason]:
    """What a long prompt consists of, and what stands in it more than once."""
    longest = max(calls, key=_prompt)
    prompt = messages(longest, whole)
    if not prompt:
        return
    whose, share, number = filling(prompt)
    if _prompt(longest) >= MUCH_INPUT and len(prompt) > 1:
        text = f"the longest prompt is {share:.0%} {whose}, {many(number, 'message')} of {len(prompt)}"
        yield Reason(text, [longest.span_id])
    said, times = twice(prompt) or (prompt[0], 1)
    if (times - 1) * len(said.text) > WORTH_TELLING * sum(len(one.text) for one in prompt):
        text = f"the longest prompt holds one message {times} times: {said.whose}, “{said.text[:AROUND]}…”"
        yield Reason(text, [longest.span_id])


def _of_tokens(calls: Sequence[Span], spent: Total, whole: Whole) -> Iterator[Reason]:
    if spent.input >= MUCH_INPUT and len(calls) > 1 and spent.cached < spent.input / 10:
        text = f"{percent(spent.cached, spent.input) or '0%'} of the input came from the cache"
        yield Reason(text, [call.span_id for call in sorted(calls, key=_prompt, reverse=True)])
        yield from _no_cache(calls, whole)
    if spent.reasoning > spent.output / 2:
        yield Reason(f"{percent(spent.reasoning, spent.output)} of the output was reasoning")


def _no_cache(calls: Sequence[Span], whole: Whole) -> Iterator[Reason]:
    """What keeps the prompts of an operation from beginning as the one before did, such as a clock."""
    groups: dict[tuple[str, str, str], list[Span]] = defaultdict(list)
    for call in calls:
        groups[operation_of(call), agent_of(call), model_of(call)].append(call)
    for group in sorted(groups.values(), key=lambda group: -sum(map(_prompt, group))):
        found = early_partings(group, whole)
        if 2 * len(found) > len(group) - 1:
            where = _where(found[0][1])
            whose = f"prompts of {operation_of(group[0])} differ from the one before"
            yield Reason(f"{whose} {where}: no cache finds what follows", [call.span_id for call, _ in found])
            return


def _where(parting: Parting) -> str:
    if not parting.number:
        return "in the tools on offer, which come first"
    return f"in message {parting.number} ({parting.whose}), at “{parting.around}”"


def _unpaid_doubts(calls: Sequence[Span], spent: Total) -> Iterator[Reason]:
    if spent.unpriced:
        unknown = [call.span_id for call in calls if total([call]).unpriced]
        yield Reason(f"{many(spent.unpriced, 'call')} without a known price, not in the amount", unknown)
    failed = [call for call in calls if call.status == "error" and weight(call)]
    if failed:
        yield Reason(f"{_amount(total(failed))}, went into calls that failed", [call.span_id for call in failed])


def weight(call: Span) -> Decimal:
    """The money of a call; where no price is known its tokens as if a million of them were a dollar."""
    usd = dollars(call.cost.usd) if call.cost is not None else None
    return usd if usd is not None else Decimal(_tokens(call)) / 1_000_000


def _measure(calls: Sequence[Span]) -> str:
    spent = total(calls)
    if not spent.unpriced:
        return "money"
    return "tokens" if spent.usd is None else "money (by tokens where no price is known)"


def _dearest(calls: Sequence[Span]) -> Span:
    return max(calls, key=weight)


def _prompt(call: Span) -> int:
    return (call.usage.input or 0) if call.usage is not None else 0


def _tokens(call: Span) -> int:
    return _prompt(call) + ((call.usage.output or 0) if call.usage is not None else 0)


# Failure


def _failure(trace: Trace) -> Iterator[Reason]:
    root = trace.root
    yield from _how_it_ended(trace, root)
    outcome = attribute(root, "instrument.agent.outcome")
    if outcome:
        yield Reason(f"its outcome: {outcome}", _ids(trace))
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
        yield Reason("it was cancelled", _ids(trace))
    else:
        yield Reason("it did not fail", _ids(trace))


def _told_of(trace: Trace, passed: Sequence[Span]) -> str:
    root, first = passed[0], passed[-1]
    if root is first:
        return _with_origin(root)
    where = f"{first.name}{_among(trace.spans, [first])}, passed on by {many(len(passed) - 1, 'span')}"
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
        text = f"{name}{_among(trace.spans, spans)} {fate} and the run went on: {_with_origin(spans[-1])}"
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
        text = f"{many(len(spans), 'call')} of {name}{_among(trace.spans, spans)} {one if len(spans) == 1 else several}"
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


# Words


def _among(every: Sequence[Span], some: Sequence[Span]) -> str:
    """Whose these are, in brackets, where agents have several names."""
    if len({agent_of(one) for one in every} - {NOBODY}) < 2:
        return ""
    known = sorted({agent_of(one) for one in some} - {NOBODY})
    return f" [{listed(known, MOST_CAUSES)}]" if known else ""


def _ids(trace: Trace) -> list[str]:
    return [trace.root.span_id]
