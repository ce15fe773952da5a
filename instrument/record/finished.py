"""From live spans, and what capture left over of records, to finished records."""

from __future__ import annotations

import linecache
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from instrument.attributes import AGENT_ID, AGENT_NAME, LEDGER_OPERATION, REQUEST_MODEL
from instrument.kinds import MODEL_KINDS
from instrument.model import Event, Failure, Link, Open, Span
from instrument.record.capture import Large
from instrument.record.spans import LiveSpan

if TYPE_CHECKING:
    from instrument.record.recorder import Recorder

Value = Callable[[Any], Any]


def span_record(live: LiveSpan, recorder: Recorder, given: Any, told: Any) -> Span:
    """The record of a span that has ended, as far as all spans have it, with what the call was given and told."""
    return Span(
        run=recorder.run_id,
        trace_id=live.trace_id,
        span_id=live.span_id,
        parent_id=live.parent_id,
        start_ns=recorder.offset + live.started,
        duration_ns=live.duration or 0,
        kind=live.kind,
        name=live.name,
        status=live.status,
        input=given,
        output=told,
        extra=recorder.no_extra,
        attributes={},  # its own: what a sink adds must not be in every span
        events=recorder.none,
        links=recorder.none,
    )


UNFINISHED = (Large, list)
"""What an output may be that is not yet what it is in the record."""


def output_of(told: Any, value: Value) -> Any:
    """Such an output in the end. `value` finishes what capture left over; a list is what a generator yielded."""
    return value([value(one) for one in told] if told.__class__ is list else told)


def rarer_fields(live: LiveSpan, value: Value) -> dict[str, Any]:
    """Attributes, error, events and links of a span that has ended, as far as it has any."""
    fields: dict[str, Any] = {}
    inherits = live.shared is not None or live.agent_id is not None or live.kind in MODEL_KINDS
    if inherits or live.attributes is not None:
        fields["attributes"] = attributes_of(live, value)
    if live.error is not None:
        fields["error"] = failure(live.error)
    if live.events is not None:
        fields["events"] = [Event(name, at, {k: value(v) for k, v in more.items()}) for name, at, more in live.events]
    if live.links is not None:
        fields["links"] = [Link(*link) for link in live.links]
    return fields


CAPTURED = ("input", "output", "attributes", "metadata")
"""Fields of records that were captured: values, or mappings of them."""

PARTS = ("events", "links")
"""Fields that list what has attributes itself."""

S = TypeVar("S", bound=Struct)


def finished(record: S, value: Value) -> S:
    """A record that did not come from a live span, or a part of it. `value` finishes what capture left over."""
    held = {name: getattr(record, name) for name in CAPTURED if hasattr(record, name)}
    done: dict[str, Any] = {
        name: {key: value(part) for key, part in found.items()} if isinstance(found, dict) else value(found)
        for name, found in held.items()
    }
    parts = {name: [finished(part, value) for part in getattr(record, name, ())] for name in PARTS}
    done |= {name: found for name, found in parts.items() if found}
    return replace(record, **done) if done else record


def open_record(live: LiveSpan, run: str, start_ns: int, value: Value) -> Open:
    """The head of a span that is still running, with the model that is asked as far as the decorator names it."""
    attributes = attributes_of(live, value)
    if live.kind in MODEL_KINDS and live.plan.model is not None:
        attributes.setdefault(REQUEST_MODEL, live.plan.model)
    return Open(
        run=run,
        trace_id=live.trace_id,
        span_id=live.span_id,
        parent_id=live.parent_id,
        start_ns=start_ns,
        kind=live.kind,
        name=live.name,
        input=value(live.input),
        attributes=attributes,
    )


def attributes_of(live: LiveSpan, value: Value) -> dict[str, Any]:
    """What the span inherited, what its kind adds and what was set on it; the nearest wins."""
    attributes: dict[str, Any] = dict(live.shared) if live.shared else {}
    if live.agent_id is not None:
        attributes[AGENT_ID] = live.agent_id
    elif live.agent_name is not None and live.kind in MODEL_KINDS:
        attributes[AGENT_NAME] = live.agent_name
    if live.kind in MODEL_KINDS and live.operation not in (None, live.name):
        attributes[LEDGER_OPERATION] = live.operation
    if live.attributes is not None:
        attributes.update((name, value(taken)) for name, taken in live.attributes.copy().items())
    return attributes


def failure(error: tuple[str, str, list[Any]]) -> Failure:
    """An exception and its causes as they are recorded, nearest cause first."""
    kind, message, chain = error
    causes = [Failure(name, text, stack(frames)) for name, text, frames in chain[1:]]
    return Failure(kind, message, stack(chain[0][2]), causes)


def stack(frames: list[tuple[str, int, str]]) -> str | None:
    """Raw frames as text, outermost first, with the source lines where they can be had; our own frames are left out."""
    lines = [_frame(file, line, name) for file, line, name in frames if not file.startswith(_PACKAGE)]
    return "\n".join(lines) or None


def _frame(file: str, line: int, name: str) -> str:
    if not file:
        return f"  … {line} more frames"
    source = linecache.getline(file, line).strip()
    return f'  File "{file}", line {line}, in {name}' + (f"\n    {source}" if source else "")


_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
