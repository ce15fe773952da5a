"""Server-sent events: one response told bit by bit, in the order and with the fields of the real API."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from . import words

Event = dict[str, Any]


def events(begun: Mapping[str, Any], done: Mapping[str, Any]) -> Iterator[Event]:
    """The events from a response that has begun to the same one done, numbered from 0."""
    for number, event in enumerate(unnumbered(begun, done)):
        yield {**event, "sequence_number": number}


def unnumbered(begun: Mapping[str, Any], done: Mapping[str, Any]) -> Iterator[Event]:
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": {**begun, "status": "in_progress"}}
    for index, item in enumerate(done["output"]):
        told = call_events if item["type"] == "function_call" else message_events
        yield from told(index, item)
    yield {"type": f"response.{done['status']}", "response": done}


def message_events(index: int, item: Mapping[str, Any]) -> Iterator[Event]:
    yield {
        "type": "response.output_item.added",
        "output_index": index,
        "item": {**item, "status": "in_progress", "content": []},
    }
    for place, part in enumerate(item["content"]):
        where = {"item_id": item["id"], "output_index": index, "content_index": place}
        yield {"type": "response.content_part.added", **where, "part": {**part, "text": ""}}
        for piece in words.pieces(part["text"]):
            yield {"type": "response.output_text.delta", **where, "delta": piece, "logprobs": []}
        yield {"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []}
        yield {"type": "response.content_part.done", **where, "part": part}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def call_events(index: int, item: Mapping[str, Any]) -> Iterator[Event]:
    where = {"item_id": item["id"], "output_index": index}
    yield {
        "type": "response.output_item.added",
        "output_index": index,
        "item": {**item, "status": "in_progress", "arguments": ""},
    }
    for piece in words.pieces(item["arguments"]):
        yield {"type": "response.function_call_arguments.delta", **where, "delta": piece}
    yield {
        "type": "response.function_call_arguments.done",
        **where,
        "name": item["name"],
        "arguments": item["arguments"],
    }
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def encoded(event: Event) -> bytes:
    """One event as it goes over the wire."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
