"""Keeps records in memory: the sink `memory`, and what the test kit reads."""

from __future__ import annotations

from instrument.model import Batch, Record


class MemorySink:
    """`records` are all that were written, in order, decoded to plain values."""

    direct = True
    calls_nobody = True

    def __init__(self) -> None:
        self.records: list[Record] = []

    def write(self, batch: Batch) -> None:
        """Keep the records."""
        self.records.extend(batch.plain())

    def flush(self) -> None:
        """Nothing is on its way."""

    def close(self) -> None:
        """The records stay."""
