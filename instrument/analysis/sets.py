"""All runs of two recordings in figures: agents do not do the same twice, so that one run beside one proves little."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from instrument.analysis.judged import Judged
from instrument.analysis.metrics import percentile
from instrument.analysis.overview import Row
from instrument.analysis.totals import Sum, Total
from instrument.statuses import FAILED, UNFINISHED

Tasks = Mapping[str, tuple[str, str, int]]
"""By trace what was to be done: the name of the run, what it was given in short, and a mark of all of that."""


class Runs(Struct, frozen=True, kw_only=True):
    """Some runs in figures, of all together; half of those whose times are known took `median_ns` at most."""

    runs: int
    failed: int
    errors: int
    refused: int
    findings: int
    median_ns: float | None
    total: Total
    scores: dict[str, Judged]


class Ended(Struct, frozen=True):
    """How many runs a task had on one side, and how many of them failed."""

    runs: int = 0
    failed: int = 0

    @property
    def share(self) -> float:
        """How many of them failed, from 0 to 1."""
        return self.failed / self.runs if self.runs else 0.0


class Task(Struct, frozen=True):
    """Runs of one name that were given the same."""

    name: str
    given: str
    a: Ended
    b: Ended


class Sets(Struct, frozen=True):
    """Both sides, and the tasks that both had and that failed more or less often: what got worst first."""

    a: Runs
    b: Runs
    tasks: Sequence[Task]


def sets(a: Sequence[Row], b: Sequence[Row], scores: tuple[dict[str, Judged], dict[str, Judged]], tasks: Tasks) -> Sets:
    """Two sets of runs side by side."""
    one, two = _by_task(a, tasks), _by_task(b, tasks)
    both = [Task(*task[:2], one[task], two[task]) for task in one if task in two]
    changed = [task for task in both if task.a.share != task.b.share]
    return Sets(_runs(a, scores[0]), _runs(b, scores[1]), sorted(changed, key=lambda task: task.a.share - task.b.share))


def has_failed(row: Row) -> bool:
    """Whether a run did not come to its end as it should; one that was cancelled was wished to."""
    return row.status in (*FAILED, UNFINISHED)


def _runs(rows: Sequence[Row], scores: dict[str, Judged]) -> Runs:
    spent = Sum()
    for row in rows:
        spent.include(row.total)
    times = sorted(row.duration_ns for row in rows if row.timed)
    return Runs(
        runs=len(rows),
        failed=sum(map(has_failed, rows)),
        errors=sum(row.errors for row in rows),
        refused=sum(row.refused for row in rows),
        findings=sum(row.findings for row in rows),
        median_ns=percentile(times, 0.5) if times else None,
        total=spent.total(),
        scores=scores,
    )


def _by_task(rows: Sequence[Row], tasks: Tasks) -> dict[tuple[str, str, int], Ended]:
    found: dict[tuple[str, str, int], Ended] = {}
    for row in rows:
        task = tasks.get(row.trace_id)
        if task is not None:
            known = found.get(task, Ended())
            found[task] = Ended(known.runs + 1, known.failed + has_failed(row))
    return found
