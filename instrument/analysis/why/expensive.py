"""Why a run cost as much as it did: which of its model calls, and what filled their prompts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from itertools import pairwise

from instrument.analysis.asked import Parting, Whole, asked_before, early_partings, filling, messages, twice
from instrument.analysis.facts import agent_of, model_of, operation_of
from instrument.analysis.in_words import bill, count, many, percent
from instrument.analysis.totals import Total, carries, dollars, total
from instrument.analysis.tree import Trace
from instrument.analysis.why.reason import WORTH_TELLING, Reason, among
from instrument.model import Span

LEAST = Decimal(str(WORTH_TELLING))
AROUND = 40
"""Letters of a message that show which one it is."""
GROWN = 2.0
"""Prompts of one operation that have grown by this factor are told."""
RISING = 0.75
"""Prompts grow where so many of them are larger than the one before: those that only differ go up and down."""
MUCH_INPUT = 10_000
"""From so many input tokens on it is told how few of them came from the cache."""


def reasons(trace: Trace, whole: Whole) -> Iterator[Reason]:
    """What its model calls used, and what of that went where; `whole` as for `why`."""
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
        whose = f"{name}{among(calls, [ended])}"
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
