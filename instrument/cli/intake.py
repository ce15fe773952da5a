"""What is done with records that others made, whichever way they came: they are priced and entered in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from instrument.model import Batch, Record, Span
from instrument.pricing import Prices
from instrument.sinks.ledger import LedgerSink
from instrument.sinks.postgres import ledger_sink

R = TypeVar("R", bound=Record)


def priced(record: R, prices: Prices) -> R:
    """The record; where it is a span with tokens, with what they cost."""
    if not isinstance(record, Span) or record.usage is None:
        return record
    told = record.attributes
    cost = prices.cost(
        record.usage,
        _text(told, "gen_ai.response.model") or _text(told, "gen_ai.request.model"),
        provider=_text(told, "gen_ai.provider.name"),
        tier=_text(told, "openai.response.service_tier"),
        at_ns=record.start_ns,
    )
    return msgspec.structs.replace(record, cost=cost)


def entered(records: Sequence[Record], url: str) -> None:
    """Enter the calls among the records in the ledger at `url`."""
    ledger: LedgerSink = ledger_sink(url)
    try:
        ledger.write(Batch(records, [], []))
    finally:
        ledger.close()


def _text(attributes: dict[str, Any], name: str) -> str | None:
    value = attributes.get(name)
    return value if isinstance(value, str) else None
