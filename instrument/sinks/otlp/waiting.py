"""Records that wait to be encoded, each with, or as, the line of JSON that it is on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from instrument.model import Finding, Log, Record, Score, Span
from instrument.statuses import OPEN


class Waiting(NamedTuple):
    """Lines by what becomes of them; a span that is still open is sent when it has ended."""

    spans: list[tuple[Span, bytes]]
    logs: list[bytes]
    findings: list[bytes]

    def take(self, records: Iterable[tuple[Record, bytes]]) -> None:
        """Those records that are sent."""
        for record, line in records:
            kind = record.__class__
            if kind is Span:
                if record.status != OPEN:  # type: ignore[attr-defined]
                    self.spans.append((record, line))  # type: ignore[arg-type]
            elif kind is Finding:
                self.findings.append(line)
            elif kind is Log or kind is Score:
                self.logs.append(line)

    @property
    def longest(self) -> int:
        """About how many records the largest request would hold."""
        return max(len(self.spans), len(self.logs) + len(self.findings))

    def lines(self) -> Iterator[bytes]:
        """All of them."""
        yield from (line for _, line in self.spans)
        yield from self.logs
        yield from self.findings


def nothing() -> Waiting:
    """Nothing waits."""
    return Waiting([], [], [])
