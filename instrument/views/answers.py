"""Why a run was slow, why expensive, why it failed, as the page takes it: the lines of `instrument why`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from instrument.analysis.tree import Trace
from instrument.analysis.why import OF_TIME, Reason, why
from instrument.model import Finding
from instrument.store import blobs

MOST_LINES, MOST_PROOFS = 100, 50
"""So many lines of one question are told, and so many of the spans that prove a line."""
TEXT = 500


def answers(trace: Trace, findings: Sequence[Finding], blob_folder: Path | None) -> dict[str, list[Any]]:
    """By question the lines, each its text, the ids of spans that prove it, and how many there are in all.

    A question is left out where there is nothing to say: its first line only tells how it was over all, except of a
    failure, and where the time of a run that is one span went is no question.
    """
    told = why(trace, findings, lambda value: value if blob_folder is None else blobs.whole(value, blob_folder))
    is_usual = len(trace.spans) == 1 and all(one.detector not in OF_TIME for one in findings)
    lines = {
        "failed": told.failed if len(told.failed) > 1 or trace.root.status not in ("ok", "cancelled") else (),
        "slow": told.slow if len(told.slow) > 1 and not is_usual else (),
        "expensive": told.expensive if len(told.expensive) > 1 else (),
    }
    return {question: [*map(_told, few[:MOST_LINES])] for question, few in lines.items() if few}


def _told(reason: Reason) -> tuple[str, Sequence[str], int]:
    text = reason.text if len(reason.text) <= TEXT else f"{reason.text[:TEXT]}…"
    return text, list(reason.span_ids[:MOST_PROOFS]), len(reason.span_ids)
