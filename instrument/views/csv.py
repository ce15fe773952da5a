"""A trace as CSV, one row a span, in order of their start (RFC 4180, UTF-8): for spreadsheets and data frames.

What agents read and write is not to be trusted: a cell that a spreadsheet would take for a formula gets an
apostrophe in front, as `'=1+1`, and every cell is quoted.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from instrument.analysis.facts import agent_of, model_of, operation_of
from instrument.analysis.in_words import iso
from instrument.analysis.totals import carries, dollars
from instrument.analysis.tree import Trace, walk
from instrument.model import Cost, Span, Usage
from instrument.views.text import as_text

FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""What a formula begins with, in some spreadsheet; blanks and controls in front of it are skipped by some."""
BREAKS = ("\t", "\r", "\n")
LONGEST = 32_000
"""Characters of one cell: spreadsheets take no more than 32,767."""


def pieces(trace: Trace) -> Iterator[bytes]:
    """The head and the rows."""
    depths = {span.span_id: depth for span, depth in walk(trace)}
    columns = list(_cells(trace.root, 0))
    yield _row(columns)
    for span in trace.spans:
        yield _row(_cells(span, depths[span.span_id]).values())


def harmless(cell: object) -> object:
    """The cell, with an apostrophe in front of text that a spreadsheet would calculate; numbers stay as they are."""
    if not isinstance(cell, str):
        return cell
    text = cell.replace("\0", "")
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"
    bare = text.lstrip()
    return f"'{text}" if bare.startswith(FORMULA) or text.startswith(BREAKS) else text


def _row(cells: Any) -> bytes:
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_ALL).writerow([harmless(cell) for cell in cells])
    return line.getvalue().encode("utf-8", "backslashreplace")


def _cells(span: Span, depth: int) -> dict[str, object]:
    """The row of a span by column. What is not known is an empty cell, never 0."""
    usage, cost = span.usage or Usage(), span.cost or Cost(basis="")
    is_call = carries(span)
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "depth": depth,
        "start": iso(span.start_ns),
        "duration_ms": span.duration_ns / 1e6,
        "kind": span.kind,
        "name": span.name,
        "status": span.status,
        "error_type": span.error.type if span.error else None,
        "error_message": span.error.message if span.error else None,
        "agent": agent_of(span) if is_call else None,
        "operation": operation_of(span) if is_call else None,
        "model": model_of(span) if is_call else None,
        "input_tokens": usage.input,
        "cached_tokens": usage.cached,
        "cache_write_tokens": usage.cache_write,
        "cache_write_1h_tokens": usage.cache_write_1h,
        "output_tokens": usage.output,
        "reasoning_tokens": usage.reasoning,
        "web_searches": usage.web_searches,
        "file_searches": usage.file_searches,
        "tokens_source": usage.source if span.usage else None,
        "usd": _amount(cost.usd),
        "cost_basis": cost.basis or None,
        "input": _told(span.input),
        "output": _told(span.output),
        "attributes": _told(span.attributes or None),
    }


def _amount(usd: str | None) -> str | float | None:
    """The exact text; below zero a number, because a text that begins with a minus is no number to a spreadsheet."""
    amount = dollars(usd)
    return usd if amount is None or amount >= 0 else float(amount)


def _told(value: object) -> str | None:
    return None if value is None else as_text(value)
