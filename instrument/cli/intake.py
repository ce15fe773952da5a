"""What is done with records that others made, whichever way they came: their calls are entered in the ledger."""

from __future__ import annotations

from collections.abc import Sequence

from instrument.model import Batch, Record
from instrument.sinks.ledger import LedgerSink
from instrument.sinks.postgres import ledger_sink


def entered(records: Sequence[Record], url: str) -> None:
    """Enter the calls among the records in the ledger at `url`."""
    ledger: LedgerSink = ledger_sink(url)
    try:
        ledger.write(Batch(records, [], []))
    finally:
        ledger.close()
