"""What is done with records that others made, whichever way they came: secrets go, calls are entered in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from instrument.model import Batch, Record, decode_known, encode
from instrument.sinks.ledger import LedgerSink
from instrument.sinks.postgres import ledger_sink

if TYPE_CHECKING:
    from instrument.redact import Redactor


class Redacted(NamedTuple):
    """Records without secrets, and their lines."""

    records: list[Record]
    lines: list[bytes]


def redacted(records: Sequence[Record], redactor: Redactor) -> Redacted:
    """The records as they are stored: in the ledger, too, are names of users, sessions and calls."""
    lines = [encode(record) for record in records]
    clean = [redactor.line(line) for line in lines]
    kept = [one if new is old else decode_known(new) for one, old, new in zip(records, lines, clean, strict=True)]
    return Redacted(kept, clean)


def entered(records: Sequence[Record], url: str) -> None:
    """Enter the calls among the records in the ledger at `url`."""
    ledger: LedgerSink = ledger_sink(url)
    try:
        ledger.write(Batch(records, [], []))
    finally:
        ledger.close()
