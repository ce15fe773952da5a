"""What our own exports say beside the conventions, put back where it was before the export."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from msgspec.structs import replace

from instrument.attributes import ERROR_TYPE, SETTINGS
from instrument.model import Cost, Failure, Span, Usage
from instrument.store.foreign.shape import Fields, fields, parsed, words

_COST = "instrument.cost."
_PARTS = frozenset(Cost.__struct_fields__)
_TEXTS = frozenset({"basis", "price_date"})
_SAID_TWICE = ("llm.cost.", "gen_ai.usage.cache_creation.", "otel.scope.")


def restored(span: Span) -> Span:
    """The span as it was exported, where it was by us; any other span as it is."""
    rest = dict(span.attributes)
    kind = words(rest.pop("instrument.kind", None))
    if kind is None:
        return span
    rest.pop("instrument.imported_name", None)
    cost = {key.removeprefix(_COST): rest.pop(key) for key in span.attributes if key.startswith(_COST)}
    status = words(rest.pop("instrument.status", None)) or span.status
    return replace(
        span,
        kind=kind,
        name=words(rest.pop("instrument.name", None)) or span.name,
        status=status,
        error=_failure(span, rest),
        usage=_usage(span.usage, words(rest.pop("instrument.usage.source", None))),
        cost=_cost(cost) if "basis" in cost else span.cost,
        input=_asked(span, rest),
        output=_content(span.output, rest, "output.value"),
        attributes={key: value for key, value in rest.items() if not key.startswith(_SAID_TWICE)},
    )


def _failure(span: Span, rest: Fields) -> Failure | None:
    if span.error is not None and span.error.type == rest.get(ERROR_TYPE):
        del rest[ERROR_TYPE]
    return span.error


def _usage(usage: Usage | None, source: str | None) -> Usage | None:
    return replace(usage, source=source) if usage is not None and source is not None else usage


def _cost(told: Fields) -> Cost:
    return msgspec.convert(
        {
            part: str(value) if part in _TEXTS else _dollars(value)
            for part, value in told.items()
            if part in _PARTS and value is not None
        },
        Cost,
    )


def _dollars(value: Any) -> str | None:
    """A number as the decimal that it was written as."""
    return f"{Decimal(repr(value)):f}" if isinstance(value, int | float) and not isinstance(value, bool) else None


def _asked(span: Span, rest: Fields) -> Any:
    settings = fields(parsed(rest.pop(SETTINGS, None)))
    asked = _content(span.input, rest, "input.value")
    return {**asked, "settings": settings} if settings and isinstance(asked, dict) else asked


def _content(found: Any, rest: Fields, name: str) -> Any:
    """What a function took or gave; that of a model call which is no conversation is left among the attributes."""
    left = rest.pop(name, None)
    return found if found is not None else parsed(left)
