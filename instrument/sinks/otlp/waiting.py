"""Records that wait to be encoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from instrument.model import Finding, Log, Record, Score, Span, encode
from instrument.statuses import OPEN


class Waiting(NamedTuple):
    """Records by what becomes of them; a span that is still open is sent when it has ended."""

    spans: list[Span]
    logs: list[Log | Score]
    findings: list[Finding]

    def take(self, records: Iterable[Record]) -> None:
        """Those of them that are sent."""
        for record in records:
            if isinstance(record, Span):
                if record.status != OPEN:
                    self.spans.append(record)
            elif isinstance(record, Finding):
                self.findings.append(record)
            elif isinstance(record, Log | Score):
                self.logs.append(record)

    @property
    def longest(self) -> int:
        """About how many records the largest request would hold."""
        return max(len(self.spans), len(self.logs) + len(self.findings))

    def lines(self) -> Iterator[bytes]:
        """All of them as they are on disk."""
        for part in self:
            yield from map(encode, part)


def nothing() -> Waiting:
    """Nothing waits."""
    return Waiting([], [], [])
