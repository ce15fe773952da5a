"""One answer to a question about a run, and the words that answers have in common."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from instrument.analysis.facts import NOBODY, agent_of
from instrument.analysis.tree import Trace
from instrument.detectors.told import listed
from instrument.model import Span

WORTH_TELLING = 0.05
"""What makes up less of the time or the money than this is not an answer."""
MOST_CAUSES = 4


class Reason(Struct, frozen=True):
    """One answer: a sentence and the ids of the spans that prove it, the most telling first."""

    text: str
    span_ids: Sequence[str] = ()


def among(every: Sequence[Span], some: Sequence[Span]) -> str:
    """Whose these are, in brackets, where agents have several names."""
    if len({agent_of(one) for one in every} - {NOBODY}) < 2:
        return ""
    known = sorted({agent_of(one) for one in some} - {NOBODY})
    return f" [{listed(known, MOST_CAUSES)}]" if known else ""


def ids(trace: Trace) -> list[str]:
    """What proves a sentence about the whole run."""
    return [trace.root.span_id]
