"""Cut answers: stopped at a limit or by a filter, broken off, refused, empty, or with arguments that are no JSON."""

from __future__ import annotations

import msgspec

from instrument.attributes import BROKEN_OFF
from instrument.detectors.answers import Wish, finish_reasons, is_empty, is_refusal
from instrument.detectors.calls import encoded
from instrument.detectors.told import Growth, gone_on, often, told, worth_telling
from instrument.model import Finding, Span

_CUT = frozenset({"length", "max_tokens", "max_output_tokens", "model_length", "incomplete"})
_FILTERED = frozenset({"content_filter", "content-filter", "safety", "blocked"})
_REFUSED = "refusal"


class CutAnswer:
    """Watches the model calls of one run."""

    def __init__(self) -> None:
        self._growth: Growth = {}
        self._times: dict[str, int] = {}

    def feed(self, span: Span, asked: list[Wish]) -> Finding | None:
        """A finding when the answer of this model call cannot be used as it is."""
        fault = _fault(span, asked)
        if fault is None:
            return None
        times = self._times[fault] = self._times.get(fault, 0) + 1
        if not worth_telling(self._growth, fault, times):
            return None
        sentence = f"the answer of {span.name} {fault}, {often(times)} in this run"
        found = told("cut_answer", sentence, [span], calls=[span.name], fault=fault, times=times)
        return gone_on(self._growth, fault, found)


def _fault(span: Span, asked: list[Wish]) -> str | None:
    if span.status != "ok":
        return None
    reasons = {reason.lower() for reason in finish_reasons(span)}
    if reasons & _CUT:
        return "was cut off at its length limit"
    if reasons & _FILTERED:
        return "was stopped by a content filter"
    if BROKEN_OFF in span.attributes:
        return "broke off before the service had said that it was over"
    answer = encoded(span.output)
    if _REFUSED in reasons or is_refusal(answer):
        return "is a refusal"
    broken = next((wish.name for wish in asked if not _is_json(wish.arguments)), None)
    if broken is not None:
        return f"calls {broken} with arguments that are no JSON"
    return "is empty" if is_empty(answer) else None


def _is_json(arguments: object) -> bool:
    if not isinstance(arguments, str) or not arguments.strip():
        return True
    try:
        msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return False
    return True
