"""Spans in rows: what is said of many calls in direct succession that are alike is found out once for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any

from instrument.model import Span


def rows_of(records: Iterable[Any]) -> Iterator[list[Span]]:
    """The spans of some records in their order, those together that follow each other and share their name, kind,
    status, usage and cost."""
    spans = [record for record in records if record.__class__ is Span]
    for _, alike in groupby(spans, key=_what_is_shared):
        yield list(alike)


_what_is_shared = attrgetter("name", "kind", "status", "usage", "cost")
