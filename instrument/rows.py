"""Spans in rows: what is said of many calls in direct succession that are alike is found out once for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from instrument.model import Span


def rows_of(records: Iterable[Any]) -> Iterator[list[Span]]:
    """The spans of some records in their order, those together that follow each other and share their name, kind,
    status, usage and cost."""
    row: list[Span] = []
    name = kind = status = usage = cost = None
    for record in records:
        if record.__class__ is not Span:
            continue
        if (
            record.name != name
            or record.kind != kind
            or record.status != status
            or record.usage != usage
            or record.cost != cost
        ):
            if row:
                yield row
                row = []
            name, kind, status, usage, cost = record.name, record.kind, record.status, record.usage, record.cost
        row.append(record)
    if row:
        yield row
