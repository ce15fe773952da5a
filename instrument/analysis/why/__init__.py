"""Why a run was slow, expensive, or failed: rules over one trace, each answer with the spans that prove it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from instrument.analysis.asked import Whole, as_it_is
from instrument.analysis.tree import Trace
from instrument.analysis.why import expensive, failed, slow
from instrument.analysis.why.reason import Reason
from instrument.model import Finding

__all__ = ["OF_TIME", "Reason", "Why", "why"]

OF_TIME = frozenset({"slow", "stalled"})
OF_MONEY = frozenset({"spending", "context_growth"})


class Why(Struct, frozen=True):
    """The answers to the three questions, the weightiest first; the first of each says how it was over all."""

    slow: Sequence[Reason]
    expensive: Sequence[Reason]
    failed: Sequence[Reason]


def why(trace: Trace, findings: Sequence[Finding], whole: Whole = as_it_is) -> Why:
    """The answers for one trace and what was found in it; `whole` gives contents with what is stored apart."""
    return Why(
        [*slow.reasons(trace), *_told(findings, lambda one: one.detector in OF_TIME)],
        [*expensive.reasons(trace, whole), *_told(findings, lambda one: one.detector in OF_MONEY)],
        [*failed.reasons(trace), *_told(findings, lambda one: one.detector not in OF_TIME | OF_MONEY)],
    )


def _told(findings: Sequence[Finding], fits: Callable[[Finding], bool]) -> list[Reason]:
    return [Reason(f"{one.detector}: {one.message}", one.span_ids) for one in findings if fits(one)]
