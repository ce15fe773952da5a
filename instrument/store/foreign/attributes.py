"""The content of a span that its attributes hold, in whichever convention: kind, model, messages, tokens, tools."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from instrument.answer import answer
from instrument.attributes import (
    ERROR_TYPE,
    FINISH_REASONS,
    ITERATION,
    NO_ITERATION,
    PROVIDER,
    REQUEST_MODEL,
    RESPONSE_MODEL,
    RESPONSE_TIER,
    TOOL_NAME,
)
from instrument.foreign import DEEPEST
from instrument.kinds import MODEL_KINDS
from instrument.messages import Message, message_of, messages_of, parts_of, said
from instrument.model import Event, Failure, Link, Span, Usage
from instrument.pricing import Prices
from instrument.store.foreign import names
from instrument.store.foreign.ours import restored
from instrument.store.foreign.shape import Fields, fields, parsed, run_id, whole, words


class Bare(NamedTuple):
    """A span as its envelope tells it; `attributes` are still those of its convention. Times in nanoseconds."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start_ns: int
    duration_ns: int
    attributes: Fields
    failed: bool = False
    message: str = ""
    events: Sequence[Event] = ()
    links: Sequence[Link] = ()
    extra: Fields = {}


def span_of(bare: Bare) -> Span:
    """The span in our words. Attributes that are not known are kept as they are."""
    rest = _with_content_events(bare)
    kind = _taken_kind(rest)
    usage = _taken_usage(rest) if kind in MODEL_KINDS or kind == "span" else None
    kind = "llm" if kind == "span" and usage is not None else kind
    described = _renamed(rest)
    asked, answered = (_model_content if kind in MODEL_KINDS else _plain_content)(rest)
    name = words(described.get(TOOL_NAME)) if kind == "tool" else None
    if name is not None and name != bare.name:
        described["instrument.imported_name"] = bare.name
    failure, events = _failure(bare)
    span = Span(
        run=run_id(bare.trace_id),
        trace_id=bare.trace_id,
        span_id=bare.span_id,
        parent_id=bare.parent_id,
        start_ns=bare.start_ns,
        duration_ns=bare.duration_ns,
        kind=kind,
        name=name or bare.name,
        status="error" if failure is not None else "ok",
        error=failure,
        input=asked,
        output=answered,
        attributes={**described, **rest, **bare.extra},
        usage=usage,
        events=events,
        links=[*bare.links],
    )
    return restored(span) if "instrument.kind" in span.attributes else _as_framework(span)


def _as_framework(span: Span) -> Span:
    """What other tools call chain, task or plan is part of their making; what they name `Step 3` is an iteration."""
    if span.kind != "step" or ITERATION in span.attributes:
        return span
    numbered = _NUMBERED.fullmatch(span.name)
    said: Fields = {NO_ITERATION: True} if numbered is None else {ITERATION: int(numbered[1])}
    return msgspec.structs.replace(span, attributes={**span.attributes, **said})


_NUMBERED = re.compile(r"(?:step|turn|iteration|round|cycle)[\s_#-]*(\d{1,9})", re.IGNORECASE)


def priced(span: Span, prices: Prices) -> Span:
    """The span; where it has tokens, with what they cost: as it was exported, else by the prices."""
    if span.usage is None or (span.cost is not None and span.cost.usd is not None):
        return span
    told = span.attributes
    cost = prices.cost(
        span.usage,
        words(told.get(RESPONSE_MODEL)) or words(told.get(REQUEST_MODEL)),
        provider=words(told.get(PROVIDER)),
        tier=words(told.get(RESPONSE_TIER)),
        at_ns=span.start_ns,
    )
    return msgspec.structs.replace(span, cost=cost)


def _with_content_events(bare: Bare) -> Fields:
    content = [event.attributes for event in bare.events if event.name in names.CONTENT_EVENTS]
    return {key: value for group in (*content, bare.attributes) for key, value in group.items()}


def _taken_kind(rest: Fields) -> str:
    told = [words(rest.get(name)) for name in names.KIND_NAMES]
    known = next((kind for one in told if one and (kind := names.KINDS.get(one.lower()))), None)
    if known is not None and names.KIND_NAMES[0] in rest and names.KINDS.get(str(told[0]).lower()):
        del rest[names.KIND_NAMES[0]]
    return known or "span"


def _taken_usage(rest: Fields) -> Usage | None:
    counts = {ours: _taken_count(rest, theirs) for ours, theirs in names.TOKENS.items()}
    if counts["input"] is None and counts["output"] is None:
        return None
    for name in names.TOTALS:
        rest.pop(name, None)
    return msgspec.convert(counts, Usage)


def _taken_count(rest: Fields, wanted: Sequence[str]) -> int | None:
    for name in wanted:
        count = whole(rest.get(name))
        if count is not None and count >= 0:
            del rest[name]
            return count
    return None


def _renamed(rest: Fields) -> Fields:
    """Attributes by our names; of several names for one thing with one value only ours is left."""
    found: Fields = {}
    for ours, theirs in names.RENAMED.items():
        present = [name for name in (ours, *theirs) if rest.get(name) not in (None, "")]
        if present:
            value = found[ours] = rest[present[0]]
            for name in present:
                if rest[name] == value:
                    del rest[name]
    reasons = found.get(FINISH_REASONS)
    if isinstance(reasons, str):
        told = parsed(reasons)
        found[FINISH_REASONS] = told if isinstance(told, list) else [told]
    return found


def _model_content(rest: Fields) -> tuple[Any, Any]:
    """Input `{messages, tools, settings}` and output `{messages}` of a model call, None where nothing is told."""
    settings = fields(_taken(rest, names.SETTINGS))
    asked = [*_instructions(rest), *_messages(_taken(rest, names.INPUT_MESSAGES), "user")]
    answered = _messages(_taken(rest, names.OUTPUT_MESSAGES), "assistant")
    plain_in, plain_out = _plain_content(rest)
    request = fields(plain_in)
    if "messages" in request or isinstance(plain_in, str | list):
        asked = asked or messages_of(request.get("messages", plain_in))
        settings = {**{key: value for key, value in request.items() if key != "messages"}, **settings}
    elif plain_in is not None:
        rest["input.value"] = plain_in
    told = any(message["parts"] for message in answered)
    answered = answered if told else _answered(plain_out) or answered
    if plain_out and not any(message["parts"] for message in answered):
        rest["output.value"] = plain_out
    whole_input = {"messages": asked, "tools": _tools(rest), "settings": settings}
    used = {key: value for key, value in whole_input.items() if value}
    return used or None, {"messages": answered} if answered else None


def _answered(told: Any) -> list[Message]:
    """The messages of an answer: a text, messages, or what a provider returned."""
    listed = told if isinstance(told, list) else [told]
    if all(isinstance(one, str) or "role" in fields(one) for one in listed):
        return _messages(told, "assistant")
    found = answer(told)
    return found.output_messages if found is not None else []


def _plain_content(rest: Fields) -> tuple[Any, Any]:
    """Input and output as they were given, JSON in texts decoded."""
    asked = _decoded(_taken(rest, names.INPUT), rest.pop("input.mime_type", None))
    return asked, _decoded(_taken(rest, names.OUTPUT), rest.pop("output.mime_type", None))


def _decoded(value: Any, mime_type: object) -> Any:
    """JSON objects and arrays whatever is said of them, numbers and truth values where they are said to be JSON."""
    if mime_type == "application/json" and isinstance(value, str):
        with suppress(ValueError, RecursionError):
            return msgspec.json.decode(value)
    return value


def _instructions(rest: Fields) -> list[Message]:
    told = _taken(rest, names.INSTRUCTIONS)
    parts = _parts(told) if told is not None else []
    return [said("system", parts)] if parts else []


def _messages(told: Any, role: str) -> list[Message]:
    listed = told if isinstance(told, list) else [told] if told else []
    return [_message(one, role) for one in listed]


def _message(told: Any, role: str) -> Message:
    """A message that is in parts already stays as it is; all other dialects are for `messages`."""
    message = fields(told)
    if isinstance(message.get("parts"), list) and all("type" in fields(part) for part in message["parts"]):
        return {"role": role, **message}
    return message_of(message or told, role) if role == "user" or message else said(role, parts_of(told))


def _parts(told: Any) -> list[Any]:
    return told if isinstance(told, list) and all("type" in fields(part) for part in told) else parts_of(told)


def _tools(rest: Fields) -> list[Any]:
    told = _taken(rest, names.TOOLS)
    defined = told if isinstance(told, list) else []
    return [parsed(fields(tool).get("json_schema", tool)) for tool in defined]


def _taken(rest: Fields, wanted: Sequence[str]) -> Any:
    """The value of the first of these attributes that is there, also where it is flattened; taken off."""
    for name in wanted:
        if rest.get(name) is not None:
            return _unwrapped(parsed(rest.pop(name)))
        flat = [key for key in rest if key.startswith(f"{name}.") and _is_item(key[len(name) + 1 :])]
        if flat:
            return _unwrapped(nested({key[len(name) + 1 :]: rest.pop(key) for key in flat}))
    return None


def _is_item(path: str) -> bool:
    return path.partition(".")[0].isdecimal()


def nested(flat: Fields) -> Any:
    """The lists and objects that dotted names stand for: `0.role` is the role of the first item."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".", DEEPEST)
        level = tree
        for step in path:
            below = level.setdefault(step, {})
            level = below if isinstance(below, dict) else level
        level[last] = value
    return _with_lists(tree)


def _with_lists(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    if tree and all(key.isdecimal() for key in tree):
        return [_with_lists(tree[key]) for key in sorted(tree, key=int)]
    return {key: _with_lists(value) for key, value in tree.items()}


def _unwrapped(value: Any, depth: int = 0) -> Any:
    """Without the levels that only flattened names have, and with the names that messages usually have."""
    below = depth + 1
    if depth > DEEPEST or not isinstance(value, list | dict):
        return value
    if isinstance(value, list):
        return [_unwrapped(item, below) for item in value]
    if any("." in key for key in value):
        value = nested(value)
    if len(value) == 1 and value.keys() <= names.WRAPPERS:
        return _unwrapped(next(iter(value.values())), below)
    plain = {("content" if key == "contents" else key): _unwrapped(item, below) for key, item in value.items()}
    picture = fields(plain.get("image"))
    shown = {"type": "image_url", "image_url": _unwrapped(picture.get("image", picture), below)} if picture else {}
    return {**plain, **shown}


def _failure(bare: Bare) -> tuple[Failure | None, list[Event]]:
    """What went wrong, and the events that do not say it."""
    told = [event for event in bare.events if event.name == "exception"]
    events = [event for event in bare.events if event.name not in names.CONTENT_EVENTS]
    kind = words(bare.attributes.get(ERROR_TYPE))
    if not bare.failed and kind is None:
        return None, events
    last = told[-1].attributes if told else {}
    failure = Failure(
        words(last.get("exception.type")) or kind or "Error",
        words(last.get("exception.message")) or bare.message,
        words(last.get("exception.stacktrace")),
    )
    return failure, [event for event in events if not told or event is not told[-1]]
