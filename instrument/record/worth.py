"""What is left out first where not everything fits: how much a queued thing is worth, and how much room it takes."""

from __future__ import annotations

from typing import Any

from instrument.kinds import MODEL_KINDS, TOOL_KINDS
from instrument.model import Finding, Log, Open, Run, Score, Update
from instrument.record.spans import Begun, Told
from instrument.statuses import FAILED

MOST = 3
_ANYWAY = (Run, Update, Finding, Score)
_QUIET = ("TRACE", "DEBUG")
_LOUD = ("WARNING", "ERROR", "CRITICAL")
_PLAIN_KINDS = TOOL_KINDS | {"span"}
_DEPTH = 4
_LOOKED_AT = 64
_SMALL = frozenset({int, float, bool, type(None)})


def worth(item: Any) -> int:
    """From 0 (heads of spans that are running, debug logs) over 1 (calls that went well) and 2 (roots, steps, warnings)
    to 3 (what failed, model calls, findings). `item` is a record, a live span, or what holds a record.
    """
    item = _held(item)
    if isinstance(item, Open | Begun):
        return 0
    if isinstance(item, _ANYWAY):
        return MOST
    if isinstance(item, Log):
        return 0 if item.level in _QUIET else 2 if item.level in _LOUD else 1
    return _worth_of_span(item)


def _held(item: Any) -> Any:
    if isinstance(item, tuple):
        return item[0] if item else None
    return item.record if isinstance(item, Told) else item


def _worth_of_span(span: Any) -> int:
    if getattr(span, "status", "ok") in FAILED or getattr(span, "kind", "") in MODEL_KINDS:
        return MOST
    is_inner = getattr(span, "parent_id", None) is not None and getattr(span, "kind", "span") in _PLAIN_KINDS
    return 1 if is_inner else 2


def weight(item: Any) -> int:
    """About how many bytes a queued thing holds."""
    item = _held(item)
    held = [getattr(item, name, None) for name in ("input", "output", "attributes", "metadata", "message")]
    return 512 + sum([_size(value, _DEPTH) for value in held if value is not None])


def _size(value: Any, depth: int) -> int:
    if type(value) in _SMALL:
        return 64
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict | list | tuple):
        if not depth:
            return 64
        inner = list(value.values()) if isinstance(value, dict) else value
        seen = inner[:_LOOKED_AT]
        return sum([_size(one, depth - 1) for one in seen]) * max(1, len(inner) // max(1, len(seen)))
    try:
        return memoryview(value).nbytes
    except TypeError:  # of long values `Room.large` knows
        return 64
