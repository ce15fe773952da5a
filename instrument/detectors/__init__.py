"""Detectors: fed with finished spans one by one they give findings; the same code runs live and afterwards.

    watch = default()
    for span in spans:
        for finding in watch.feed(span):
            ...

With `watch.worth_feeding(spans)` instead of `spans`, calls by the thousand take a third of the time.

Everything is incremental and bounded: some kilobytes for each of the traces that are remembered, some hundred bytes for
each name whose usual duration is known. Spans that are neither tool nor model calls cost one look at their duration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instrument.detectors.advice import ADVICE, advice_of
from instrument.detectors.calls import fingerprint, outcome
from instrument.detectors.history import History
from instrument.detectors.watch import Detectors
from instrument.thresholds import Thresholds, thresholds

__all__ = [
    "ADVICE",
    "Detectors",
    "History",
    "Thresholds",
    "advice_of",
    "default",
    "fingerprint",
    "outcome",
    "thresholds",
]


def default(
    settings: Any = None,
    *,
    limits: Mapping[str, Any] | Thresholds | None = None,
    history: Mapping[str, Any] | History | None = None,
) -> Detectors:
    """All detectors, with `limits`, else those of `settings`, else the defaults.

    `history` is what `detectors.history.save()` gave earlier. Raises `SettingsError` for thresholds that cannot be
    used, `InstrumentError` for a damaged history.
    """
    given = limits if limits is not None else getattr(settings, "thresholds", None)
    known = history if isinstance(history, History) else History(history)
    return Detectors(given if isinstance(given, Thresholds) else thresholds(given), known)
