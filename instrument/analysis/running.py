"""Numbers about spans that go on for ever: counts, quantiles, tokens and money in bounded memory.

Quantiles come from t-digests: exact for few values, beyond that a value whose rank is right to half a per cent as a
rule, to one at worst (beside a gap in the durations to three), and better towards the ends. A name takes some 50 KiB.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from instrument.analysis.digest import Digest
from instrument.analysis.facts import model_of
from instrument.analysis.metrics import OTHERS, Timing
from instrument.analysis.totals import Sum, Total, call_of
from instrument.kinds import MODEL_KINDS
from instrument.model import Finding, Span, Update
from instrument.rows import rows_of
from instrument.statuses import REFUSED

MOST_NAMES = 1_000
"""So many names and models are told apart, the rest stand under `(others)`."""
MOST_AWAITED = 10_000
"""Calls without usage that are remembered, so that usage which comes later does not count them again."""

_FRESH = 1024
"""So many durations of one name are counted together, which takes a quarter less time than 512 at once."""


class _Times:
    """The durations of one name and kind; the `fresh` ones are counted when there are many."""

    __slots__ = ("count", "digest", "errors", "fresh", "kind", "longest", "total")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.count = self.errors = self.total = self.longest = 0
        self.digest = Digest()
        self.fresh: list[int] = []

    def settle(self) -> None:
        if self.fresh:
            fresh, self.fresh = self.fresh, []
            self.count += len(fresh)
            self.total += sum(fresh)
            self.longest = max(self.longest, max(fresh))
            self.digest.extend(fresh)

    def copy(self) -> _Times:
        copied = _Times(self.kind)
        copied.include(self)
        copied.fresh = self.fresh.copy()
        return copied

    def include(self, other: _Times) -> None:
        self.count += other.count
        self.errors += other.errors
        self.total += other.total
        self.longest = max(self.longest, other.longest)
        self.digest.merge(other.digest)

    def timing(self) -> Timing:
        p50, p90, p95, p99 = (min(value, self.longest) for value in self.digest.quantiles(0.5, 0.9, 0.95, 0.99))
        return Timing(
            self.count, self.errors, self.total, self.total / self.count, p50, p95, self.longest, p90_ns=p90, p99_ns=p99
        )


class Numbers(Struct, frozen=True, kw_only=True):
    """What the spans of a process have come to so far.

    `calls` counts all spans that have ended but for those `refused`, `errors` those that failed. Durations are in
    nanoseconds, the ranks of their quantiles as a rule right to half a per cent. `total` and `by_model` hold tokens and
    money of the model calls, `findings` counts by detector.
    """

    calls: int = 0
    errors: int = 0
    refused: int = 0
    total: Total = Total()
    by_name: dict[str, Timing] = {}
    by_kind: dict[str, Timing] = {}
    by_model: dict[str, Total] = {}
    findings: dict[str, int] = {}


class Running:
    """Takes records in on one thread; `numbers` may be asked from any."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], _Times] = {}
        self._spent: dict[str, Sum] = {}
        self._findings: Counter[str] = Counter()
        self._awaited: dict[str, bool] = {}
        self._refused = 0
        self._busy = threading.Lock()

    def feed(self, records: Iterable[Any]) -> None:
        """Count the spans, what was learned of them later, and the findings; other records are passed over."""
        records = list(records)
        self.take(rows_of(records), records)

    def take(self, rows: Iterable[list[Span]], others: Iterable[Any]) -> None:
        """As `feed`, of spans that stand in rows as `rows_of` gives them; those among the others do not count."""
        with self._busy:
            for row in rows:
                self._take(row)
            for record in others:
                if record.__class__ is not Span:
                    self._take_other(record)

    def _take_other(self, record: Any) -> None:
        if record.__class__ is Finding:
            self._found(record.detector)
        elif record.__class__ is Update and record.usage is not None:
            self._spend(record, OTHERS)
            self._spent[OTHERS].calls -= self._awaited.pop(record.span_id, False)

    def numbers(self) -> Numbers:
        """What it has come to so far."""
        with self._busy:
            times = [(key, one.copy()) for key, one in self._times.items()]
            spent = {model: one.total() for model, one in self._spent.items()}
            whole = Sum()
            for one in self._spent.values():
                whole.include(one)
            refused, findings = self._refused, dict(self._findings)
        for _, of_name in times:  # of copies, so that no record waits for it
            of_name.settle()
        return Numbers(
            calls=sum(one.count for _, one in times),
            errors=sum(one.errors for _, one in times),
            refused=refused,
            total=whole.total(),
            by_name=_merged((name, one) for (name, _), one in times),
            by_kind=_merged((kind, one) for (_, kind), one in times),
            by_model=spent,
            findings=findings,
        )

    def _take(self, row: list[Span]) -> None:
        one = row[0]
        if one.status == REFUSED:
            self._refused += len(row)
        else:
            self._time(one, row)
        if one.kind in MODEL_KINDS or one.usage is not None or one.cost is not None:
            for span in row:
                self._spend_on(span)

    def _time(self, one: Span, row: list[Span]) -> None:
        times = self._times.get((one.name, one.kind)) or self._new(one.name, one.kind)
        times.fresh += [span.duration_ns for span in row]
        if len(times.fresh) >= _FRESH:
            times.settle()
        if one.status == "error":
            times.errors += len(row)

    def _spend_on(self, span: Span) -> None:
        self._spend(span, model_of(span))
        if span.usage is None and len(self._awaited) < MOST_AWAITED:
            self._awaited[span.span_id] = True

    def _new(self, name: str, kind: str) -> _Times:
        key = (name, kind) if len(self._times) < MOST_NAMES else (OTHERS, kind if len(kind) < 20 else OTHERS)
        return self._times.setdefault(key, _Times(kind))

    def _spend(self, span: Any, model: str) -> None:
        call = call_of(span)
        if call is not None:
            key = model if model in self._spent or len(self._spent) < MOST_NAMES else OTHERS
            self._spent.setdefault(key, Sum()).add(call)

    def _found(self, detector: str) -> None:
        self._findings[detector if len(self._findings) < MOST_NAMES else OTHERS] += 1


def _merged(parts: Iterable[tuple[str, _Times]]) -> dict[str, Timing]:
    merged: dict[str, _Times] = {}
    for name, times in parts:
        merged.setdefault(name, _Times(times.kind)).include(times)
    ordered = sorted(merged.items(), key=lambda item: (-item[1].total, item[0]))
    return {name: times.timing() for name, times in ordered}
