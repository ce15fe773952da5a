"""What one trace may take at most; findings where it took more: how much, what is allowed, which spans took most."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Any

from msgspec import Struct

from instrument.analysis.critical_path import critical_path
from instrument.analysis.facts import is_timed, model_of
from instrument.analysis.failures import exception_of, exceptions_of, failures_of
from instrument.analysis.totals import carries, dollars, total
from instrument.analysis.tree import Trace
from instrument.model import Finding, Span
from instrument.money import decimal_text
from instrument.statuses import FAILED, UNFINISHED

BEYOND = "limit"
"""Stands where findings of detectors have the detector's name."""
TAKEN = "taken"
"""In the data of such a finding: what its spans took, by their ids, in words."""
_MOST = 3
_UNSPENT = (*FAILED, "cancelled")
"""Statuses of calls that may have come to an end before anything was used."""


class AtMost(Struct, frozen=True, omit_defaults=True):
    """What is allowed a trace; None is no limit."""

    usd: Decimal | None = None
    tokens: int | None = None
    seconds: float | None = None
    errors: int | None = None


def beyond(trace: Trace, most: AtMost) -> list[Finding]:
    """A finding for each limit that the trace is beyond, and for what is not known of a limited thing."""
    found: list[Finding] = []
    if most.usd is not None:
        found += _money(trace, most.usd)
    if most.tokens is not None:
        found += _tokens(trace, most.tokens)
    if most.seconds is not None:
        found += _time(trace, most.seconds)
    if most.errors is not None:
        found += _errors(trace, most.errors)
    return found


def _money(trace: Trace, most: Decimal) -> Iterator[Finding]:
    calls = _calls(trace)
    spent, allowed = total(calls), f"{_dollars(most)} allowed"
    usd = spent.usd or Decimal(0)
    if usd > most:
        amount = f"{'~' if spent.estimated else ''}{_dollars(usd)}"
        amounts = {call.span_id: _usd(call) for call in calls if _usd(call)}
        yield _told(
            trace,
            f"{amount} spent, {allowed}",
            _dearest(amounts, _dollars),
            limit="usd",
            reached=decimal_text(usd),
        )
    unknown = [call for call in calls if total([call]).unpriced or _is_silent(call)]
    if unknown:
        names = ", ".join(dict.fromkeys(map(model_of, unknown)))
        price = 'a price under [prices."MODEL"] in the settings counts from the next run on'
        text = f"what {len(unknown):,} of {len(calls):,} model calls cost is not known ({names}), {allowed}: {price}"
        yield _doubt(trace, text, unknown, limit="usd")


def _tokens(trace: Trace, most: int) -> Iterator[Finding]:
    calls = _calls(trace)
    tokens = total(calls).tokens
    if tokens > most:
        amounts = {call.span_id: total([call]).tokens for call in calls}
        text = f"{tokens:,} tokens taken, {most:,} allowed"
        yield _told(trace, text, _dearest(amounts, lambda number: f"{number:,} tokens"), limit="tokens", reached=tokens)
    silent = [call for call in calls if call.usage is None and call.status not in _UNSPENT]
    if silent:
        text = f"what {len(silent):,} of {len(calls):,} model calls took is not known, {most:,} tokens allowed"
        yield _doubt(trace, text, silent, limit="tokens")


def _time(trace: Trace, most: float) -> Iterator[Finding]:
    allowed = f"{most:g} s allowed"
    if not is_timed(trace.root):
        yield _doubt(trace, f"how long it took is not known, {allowed}", [trace.root], limit="seconds")
        return
    took = trace.end_ns - trace.start_ns
    if took > most * 10**9:
        times = critical_path(trace).self_times()
        text = f"it took {_seconds(took)}, {allowed}"
        yield _told(
            trace, text, _dearest(times, lambda ns: f"{_seconds(ns)} itself"), limit="seconds", reached=took / 10**9
        )


def _errors(trace: Trace, most: int) -> Iterator[Finding]:
    failed = _where_failures_began(trace)
    if len(failed) > most:
        cut_short = "; its process was ended from outside" if trace.root.status == UNFINISHED else ""
        text = f"{len(failed):,} error{'' if len(failed) == 1 else 's'}, {most:,} allowed{cut_short}"
        yield _told(trace, text, {span.span_id: None for span in failed}, limit="errors", reached=len(failed))


def _where_failures_began(trace: Trace) -> list[Span]:
    """Failed spans as `Metrics.errors` counts them; the root too where a refusal or an end from outside ended it."""
    began, root = failures_of(trace.spans).began(trace.spans), trace.root
    ended_by = set(exceptions_of(root))
    told = root.status in FAILED and not ended_by.isdisjoint(map(exception_of, began))
    return [root, *began] if root.status in (*FAILED, UNFINISHED) and not told else began


def _calls(trace: Trace) -> list[Span]:
    return [span for span in trace.spans if carries(span)]


def _is_silent(call: Span) -> bool:
    """Whether a call came to its end and says neither what it used nor what it cost."""
    return call.usage is None and call.cost is None and call.status not in _UNSPENT


def _usd(call: Span) -> Decimal:
    return (dollars(call.cost.usd) if call.cost is not None else None) or Decimal(0)


def _dearest(amounts: Mapping[str, Any], in_words: Callable[[Any], str]) -> dict[str, str | None]:
    most = sorted(amounts, key=lambda span_id: -amounts[span_id])[:_MOST]
    return {span_id: in_words(amounts[span_id]) for span_id in most if amounts[span_id]}


def _dollars(usd: Decimal) -> str:
    """Exact, so that what is just beyond its limit does not look like it."""
    whole, _, cents = decimal_text(usd).partition(".")
    return f"${whole}.{cents:0<2}"


def _seconds(ns: int) -> str:
    """To the millisecond, upwards, so that what is just beyond its limit does not look like it; below one exact."""
    took = Decimal(ns).scaleb(-9)
    return f"{decimal_text(took if ns < 10**6 else took.quantize(Decimal('0.001'), ROUND_CEILING))} s"


def _told(trace: Trace, text: str, taken: Mapping[str, str | None], **data: Any) -> Finding:
    known = {span_id: words for span_id, words in taken.items() if words is not None}
    return _finding(trace, text, taken, "error", {**data, TAKEN: known} if known else data)


def _doubt(trace: Trace, text: str, spans: Sequence[Span], **data: str) -> Finding:
    return _finding(trace, text, (span.span_id for span in spans), "warning", data)


def _finding(trace: Trace, text: str, span_ids: Iterable[str], severity: str, data: Mapping[str, Any]) -> Finding:
    return Finding(
        trace_id=trace.trace_id,
        span_ids=list(span_ids),
        time_ns=trace.end_ns,
        detector=BEYOND,
        severity=severity,
        message=text,
        data=dict(data),
    )
