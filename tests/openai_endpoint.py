"""A small endpoint on loopback that answers the real OpenAI client with what a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from instrument.integrations import openai_stream_usage
from tests import loopback

Answer = tuple[int, str, bytes | Iterator[bytes]]


class Endpoint:
    """`answer(path, body)` gives status, content type and body; `requests` keeps what was asked.

    A body may be an iterator: each piece is sent as it comes, and where the iterator raises the connection breaks.
    `extra` are headers to send, `broken` is set when a client went away before the end, `over` when the block ends.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.answer: Callable[[str, dict[str, Any]], Answer] = respond
        self.base_url = ""
        self.extra: dict[str, str] = {}
        self.broken, self.over = threading.Event(), threading.Event()


@contextmanager
def endpoint() -> Iterator[Endpoint]:
    """Serve on loopback until the block ends."""
    told = Endpoint()

    class Handler(loopback.Handler):
        def do_POST(self) -> None:
            path, body = self.path.split("?")[0].removeprefix("/v1"), json.loads(self.body() or b"{}")
            told.requests.append((path, body))
            status, kind, content = told.answer(path, body)
            if told.over.is_set():
                self.close_connection = True
                return  # nobody listens any more
            headers = {"content-type": kind, "x-request-id": "req_1", **told.extra}
            if isinstance(content, bytes):
                self.reply(status, content, headers)
            else:
                self.begin(status, headers | {"transfer-encoding": "chunked"})
                self._send_pieces(content)

        do_GET = do_POST

        def _send_pieces(self, pieces: Iterator[bytes]) -> None:
            try:
                for piece in pieces:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")
            except OSError:
                told.broken.set()
                self.close_connection = True
            except EOFError:
                self.connection.close()
                self.close_connection = True

    with loopback.serving(Handler) as server:
        told.base_url = f"http://127.0.0.1:{server.server_port}/v1"
        forget(told.base_url)
        try:
            yield told
        finally:
            told.over.set()


def forget(base_url: str) -> None:
    """Forget what was learned of an endpoint that had the same port before."""
    for learned in (openai_stream_usage._known, openai_stream_usage._refused):
        learned -= {endpoint for endpoint in learned if endpoint[0].startswith(base_url)}


def as_json(value: Any, status: int = 200) -> Answer:
    """A JSON answer."""
    return status, "application/json", json.dumps(value).encode()


def as_events(*events: Any) -> Answer:
    """Server-sent events, the way chat completions send them."""
    lines = [f"data: {json.dumps(event)}\n\n" for event in events] + ["data: [DONE]\n\n"]
    return 200, "text/event-stream", "".join(lines).encode()


CHAT_USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 4},
}


def chat(**more: Any) -> dict[str, Any]:
    """A chat completion."""
    message = {"role": "assistant", "content": "hello"}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4.1-mini-2025-04-14"}
    return {**head, "choices": choices, "usage": CHAT_USAGE, **more}


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    """One chunk of a chat completion."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4.1-mini-2025-04-14"}
    return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def chat_stream(with_usage: bool) -> Answer:
    """A streamed chat completion; the last chunk has the usage where it was asked for."""
    chunks = [chunk({"role": "assistant", "content": "hel"}), chunk({"content": "lo"}), chunk({}, "stop")]
    return as_events(*chunks, *([{**chunk({}), "choices": [], "usage": CHAT_USAGE}] if with_usage else []))


def response(status: str = "completed", usage: bool = True) -> dict[str, Any]:
    """A response of the Responses API."""
    content = [{"type": "output_text", "text": '{"answer": 4}', "annotations": []}]
    output = [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}]
    spent = {
        "input_tokens": 20,
        "output_tokens": 5,
        "total_tokens": 25,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 2},
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-4.1-mini-2025-04-14",
        "status": status,
        "output": output if usage else [],
        "usage": spent if usage else None,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


def response_stream() -> Answer:
    """A streamed response in the order of the real API."""
    head = {"response": response("in_progress", usage=False)}
    part = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    item = response()["output"][0]
    events = [
        {"type": "response.created", **head},
        {"type": "response.in_progress", **head},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {"type": "response.content_part.added", **part, "part": {"type": "output_text", "text": "", "annotations": []}},
        {"type": "response.output_text.delta", **part, "delta": '{"answer": ', "logprobs": []},
        {"type": "response.output_text.delta", **part, "delta": "4}", "logprobs": []},
        {"type": "response.output_text.done", **part, "text": '{"answer": 4}', "logprobs": []},
        {"type": "response.content_part.done", **part, "part": item["content"][0]},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": response()},
    ]
    numbered = [{**event, "sequence_number": n} for n, event in enumerate(events)]
    text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in numbered)
    return 200, "text/event-stream", text.encode()


def respond(path: str, body: dict[str, Any]) -> Answer:
    """What a well-behaved endpoint answers."""
    if path.endswith("/chat/completions"):
        asked = (body.get("stream_options") or {}).get("include_usage", False)
        return chat_stream(asked) if body.get("stream") else as_json(chat())
    if path.endswith("/embeddings"):
        data = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.5]}]
        return as_json(
            {
                "object": "list",
                "data": data,
                "model": "text-embedding-3-small",
                "usage": {"prompt_tokens": 3, "total_tokens": 3},
            }
        )
    if path.endswith("/responses") and body.get("stream"):
        return response_stream()
    if path.endswith("/responses") and body.get("background"):
        return as_json(response("queued", usage=False))
    return as_json(response())
