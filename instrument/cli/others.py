"""That other runs failed, where the last one was taken: behind a service it is often a health check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from instrument.cli.over_all import overview_of
from instrument.cli.printing import say
from instrument.statuses import FAILED
from instrument.views.theme import Theme, clean

if TYPE_CHECKING:
    from instrument.analysis.tree import Trace


def say_of_others(trace: Trace, path: str, began: Mapping[str, int], verb: str, theme: Theme) -> None:
    """Print `2 of 7 runs failed since its process began, the last: instrument why 3fa2bc91 (ask)`, where any did.

    `began` is when each trace at the path did. Those of earlier processes may have been mended since.
    """
    from instrument.analysis.in_words import count, many
    from instrument.views.tables import telling_digits

    since = min((run.start_ns for run in trace.runs), default=trace.start_ns)
    if trace.root.status in FAILED or sum(start >= since for start in began.values()) < 2:
        return
    rows = [row for row in overview_of(path, []).rows if row.start_ns >= since]
    failed = [row for row in rows if row.status in FAILED]
    if not failed:
        return
    last = failed[-1]
    shown = last.trace_id[: telling_digits([row.trace_id for row in rows])]
    told = f"{count(len(failed))} of {many(len(rows), 'run')} failed since its process began, the last"
    say(theme.paint(f"{told}: instrument {verb} {clean(shown)} ({clean(last.name, 80)})", "dim"))
