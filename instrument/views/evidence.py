"""Findings with what proves them and what to do about them, for terminals and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from instrument.analysis.beyond import BEYOND, TAKEN
from instrument.analysis.in_words import count, iso, moment
from instrument.analysis.tree import Trace
from instrument.detectors import advice_of
from instrument.detectors.calls import call_of
from instrument.detectors.told import brief
from instrument.model import Finding, Span
from instrument.views.brief import brief as of_answer
from instrument.views.outline import took
from instrument.views.theme import LEVELS, SEVERITIES, Theme, clean, cut, wrapped

SHOWN = 6
"""More spans of one finding than this are counted, not listed; the first and the last ones stay."""


def severity_of(finding: Finding) -> str:
    """The severity; one that this version does not know counts as a warning."""
    return finding.severity if finding.severity in SEVERITIES else "warning"


def as_text(finding: Finding, trace: Trace, theme: Theme) -> str:
    """The finding, one line for each span that proves it, and what to do."""
    level = SEVERITIES[severity_of(finding)]
    head = f"{theme.mark('finding')} {severity_of(finding)} {clean(finding.detector, 60)}: {clean(finding.message)}"
    spans = {span.span_id: span for span in trace.spans}
    known = [spans[span_id] for span_id in finding.span_ids if span_id in spans]
    lines = [theme.paint(part, LEVELS.get(level)) for part in wrapped(head, theme.width)]
    lines += [_fitted(f"    {text}", theme) for text in _listed(known, theme, _taken(finding))]
    return "\n".join([*lines, *_advised(advice_of(finding) or "", theme)])


def told(finding: Finding, trace: Trace) -> dict[str, Any]:
    """The finding for JSON."""
    spans: Mapping[str, Span] = {span.span_id: span for span in trace.spans}
    return {
        "trace_id": trace.trace_id,
        "detector": finding.detector,
        "severity": severity_of(finding),
        "message": finding.message,
        "time": iso(finding.time_ns),
        "evidence": [_span_told(spans[span_id]) for span_id in finding.span_ids if span_id in spans],
        "advice": advice_of(finding),
        "data": finding.data,
    }


def span_line(span: Span, theme: Theme, taken: str | None) -> str:
    """A span as evidence: `00000000000000a1  12:00:01Z  34 ms  search({"q":"tides"})  ValueError: no`.

    Where the finding is about something else than time, what the span has `taken` of that stands in its place.
    """
    failed = f"  {clean(f'{span.error.type}: {span.error.message}', 120)}" if span.error is not None else ""
    taken = taken or took([span], theme)
    return f"{clean(span.span_id, 16)}  {moment(span.start_ns)[11:]}  {taken}  {called(span)}{failed}"


def called(span: Span) -> str:
    """The span's name with its arguments in brief, of a model call with its answer: prompts begin all the same."""
    if span.kind == "llm" and (span.error is not None or span.output is not None):
        return clean(f"{span.name}  {of_answer(span)}".rstrip(), 200)
    return clean(brief(call_of(span)), 200) if span.input is not None else clean(span.name, 80)


def _taken(finding: Finding) -> Mapping[str, str]:
    """What the spans took of what is limited, in words."""
    taken = finding.data.get(TAKEN) if finding.detector == BEYOND else None
    return {key: clean(text, 40) for key, text in taken.items()} if isinstance(taken, dict) else {}


def _listed(spans: Sequence[Span], theme: Theme, taken: Mapping[str, str]) -> Iterator[str]:
    half = SHOWN // 2
    left = len(spans) - SHOWN
    for place, span in enumerate(spans):
        if left <= 0 or place < half or place >= len(spans) - half:
            yield span_line(span, theme, taken.get(span.span_id))
        elif place == half:
            yield f"{theme.ellipsis} {count(left)} more"


def _advised(text: str, theme: Theme) -> list[str]:
    room = None if theme.width is None else theme.width - 7
    arrow = "→ " if theme.unicode else "> "
    return [f"    {'  ' if place else arrow}{part}" for place, part in enumerate(wrapped(text, room)) if text]


def _fitted(text: str, theme: Theme) -> str:
    return text if theme.width is None else cut(text, theme.width, theme.ellipsis)


def _span_told(span: Span) -> dict[str, Any]:
    return {
        "span_id": span.span_id,
        "name": span.name,
        "kind": span.kind,
        "status": span.status,
        "start": iso(span.start_ns),
        "duration_ms": span.duration_ns / 1_000_000,
        "call": called(span),
        "error": None if span.error is None else f"{span.error.type}: {span.error.message[:500]}",
    }
