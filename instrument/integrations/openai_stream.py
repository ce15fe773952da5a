"""Streams of the OpenAI client, watched while the caller reads them: nothing is held back, nothing is added."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from instrument.foreign import at, known, listed, one_of, text
from instrument.record.spans import LiveSpan

BODY_LIMIT = 16 * 1024 * 1024
FINAL_EVENTS = ("response.completed", "response.incomplete", "response.failed")


class Chunks:
    """What a stream has said so far, and the span that ends with it."""

    def __init__(self, span: LiveSpan, operation: str, hides_usage: bool) -> None:
        self.span = span
        self.operation = operation
        self.hides_usage = hides_usage
        self.count = 0
        self.reading = False
        self.first: int | None = None
        self._final: Any = None
        self._head: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._text: list[str] = []
        self._begun = span.started

    def take(self, chunk: Any) -> bool:
        """Note one chunk; False when it came only because we asked for usage and the caller must not see it."""
        try:
            return self._take(known(chunk))
        except Exception as error:  # noqa: BLE001 - no fault of ours reaches the user's code
            self.span.recorder.fault("openai chunk", error)
            return True

    def _take(self, chunk: dict[str, Any]) -> bool:
        self.count += 1
        if self.first is None:
            self.first = self.span.recorder.clock()
        if self.operation == "responses":
            self._take_event(chunk)
            return True
        self._head.update({name: chunk[name] for name in ("id", "model", "service_tier") if chunk.get(name)})
        usage = one_of(chunk, "usage") or at(chunk, "x_groq", "usage")
        if usage is not None:
            self._head["usage"] = usage
        for choice in listed(chunk.get("choices")):
            self._take_choice(known(choice))
        return not (self.hides_usage and usage is not None and not listed(chunk.get("choices")))

    def _take_event(self, event: dict[str, Any]) -> None:
        kind = text(event.get("type")) or ""
        if kind in FINAL_EVENTS:
            self._final = event.get("response")
        elif kind.endswith(".delta") and text(event.get("delta")):
            self._text.append(str(event["delta"]))
        elif kind == "response.created":
            self._head["model"] = at(event.get("response"), "model")
            self._head["id"] = at(event.get("response"), "id")

    def _take_choice(self, choice: dict[str, Any]) -> None:
        index = choice.get("index") or 0
        kept = self._choices.setdefault(index, {"message": {"role": "assistant"}, "index": index})
        message, delta = kept["message"], known(choice.get("delta"))
        for name in ("content", "refusal", "reasoning_content", "reasoning"):
            piece = text(delta.get(name))
            if piece:
                message[name] = message.get(name, "") + piece
                self._text.append(piece)
        for call in map(known, listed(delta.get("tool_calls"))):
            self._take_tool_call(message.setdefault("tool_calls", []), call)
        if choice.get("finish_reason"):
            kept["finish_reason"] = choice["finish_reason"]

    def _take_tool_call(self, calls: list[dict[str, Any]], call: dict[str, Any]) -> None:
        index = call.get("index") or 0
        while len(calls) <= index:
            calls.append({"type": "function", "function": {"name": "", "arguments": ""}})
        if call.get("id"):
            calls[index]["id"] = call["id"]
        for name in ("name", "arguments"):
            piece = text(at(call, "function", name))
            if piece:
                calls[index]["function"][name] += piece
                self._text.append(piece)

    def end(self, error: BaseException | None = None, early: bool = False) -> None:
        """End the span: with what the stream said, with the error that broke it, or early."""
        span = self.span
        if span.duration is not None:
            return
        took = span.recorder.clock() - self._begun
        try:
            self._describe(took, early)
        except Exception as fault:  # noqa: BLE001 - no fault of ours reaches the user's code
            span.recorder.fault("openai stream", fault)
        span.duration = took
        if error is not None:
            span.fail(error)
        else:
            span.recorder.take(span)

    def _describe(self, took: int, early: bool) -> None:
        span = self.span
        if self._final is not None:
            span.recorder.read_answer(span, self._final)
        elif self._choices or self._head:
            span.recorder.read_answer(span, {"choices": [*self._choices.values()], **self._head})
        if span.output is None and self._text:
            span.output = span.recorder.value({"messages": [_said("".join(self._text))]})
        self._note_figures(took, early)
        span.wants_estimate = self.count > 0 or early

    def _note_figures(self, took: int, early: bool) -> None:
        figures: dict[str, Any] = {"gen_ai.request.stream": True, "instrument.stream.chunks": self.count}
        if self.first is not None:
            figures["gen_ai.response.time_to_first_chunk"] = round((self.first - self._begun) / 1e9, 6)
            output = (self.span.tokens or {}).get("output")
            streamed = took - (self.first - self._begun)
            if output and streamed > 0:
                figures["instrument.stream.tokens_per_second"] = round(output / streamed * 1e9, 2)
        if early:
            figures["instrument.closed_early"] = True
        self.span.set(figures)


def _said(content: str) -> dict[str, Any]:
    return {"role": "assistant", "parts": [{"type": "text", "content": content}]}


def tap_stream(stream: Any, chunks: Chunks) -> None:
    """Watch a `Stream` in place: it stays the object that the client made."""
    stream._iterator = _watched(stream._iterator, chunks)
    _end_with(stream.response, "close", chunks)


def _watched(inner: Iterator[Any], chunks: Chunks) -> Iterator[Any]:
    chunks.reading = True
    try:
        for chunk in inner:
            chunks.reading = False
            if chunks.take(chunk):
                yield chunk
            chunks.reading = True
    except GeneratorExit:
        chunks.end(early=True)
        raise
    except BaseException as error:
        chunks.end(error)
        raise
    chunks.end()


def tap_stream_async(stream: Any, chunks: Chunks) -> None:
    """As `tap_stream`, for an `AsyncStream`."""
    stream._iterator = _awatched(stream._iterator, chunks)
    _end_with(stream.response, "aclose", chunks)


async def _awatched(inner: AsyncIterator[Any], chunks: Chunks) -> AsyncIterator[Any]:
    chunks.reading = True
    try:
        async for chunk in inner:
            chunks.reading = False
            if chunks.take(chunk):
                yield chunk
            chunks.reading = True
    except GeneratorExit:
        chunks.end(early=True)
        raise
    except BaseException as error:
        chunks.end(error)
        raise
    chunks.end()


def _end_with(response: Any, verb: str, chunks: Chunks) -> None:
    """A caller that closes the response before the stream is over ends the span there and then."""
    close = getattr(response, verb)
    if verb == "aclose":

        async def aclosing() -> None:
            _close_early(chunks)
            await close()

        response.aclose = aclosing
        return

    def closing() -> None:
        _close_early(chunks)
        close()

    response.close = closing


def _close_early(chunks: Chunks) -> None:
    if not chunks.reading:  # the stream itself closes its response when it has read the last of it
        chunks.end(early=True)


def tap_body(response: Any, chunks: Chunks) -> None:
    """Watch the bytes of a raw response while the caller reads them; a body that was read already is taken as it is."""
    body = _read_already(response)
    if body is not None:
        _take_body(chunks, body)
        return
    plain, seen = response.iter_bytes, bytearray()

    def iter_bytes(*args: Any, **kwargs: Any) -> Iterator[bytes]:
        for piece in plain(*args, **kwargs):
            _note_bytes(chunks, seen, piece)
            yield piece

    response.iter_bytes = iter_bytes
    close = response.close

    def closing() -> None:
        close()
        _take_body(chunks, bytes(seen))

    response.close = closing


def tap_body_async(response: Any, chunks: Chunks) -> None:
    """As `tap_body`, for an async client."""
    body = _read_already(response)
    if body is not None:
        _take_body(chunks, body)
        return
    plain, seen = response.aiter_bytes, bytearray()

    async def aiter_bytes(*args: Any, **kwargs: Any) -> AsyncIterator[bytes]:
        async for piece in plain(*args, **kwargs):
            _note_bytes(chunks, seen, piece)
            yield piece

    response.aiter_bytes = aiter_bytes
    close = response.aclose

    async def aclosing() -> None:
        await close()
        _take_body(chunks, bytes(seen))

    response.aclose = aclosing


def _read_already(response: Any) -> bytes | None:
    body = vars(response).get("_content")
    return body if isinstance(body, bytes) else None


def _note_bytes(chunks: Chunks, seen: bytearray, piece: bytes) -> None:
    if chunks.first is None:
        chunks.first = chunks.span.recorder.clock()
    if len(seen) < BODY_LIMIT:
        seen += piece


def _take_body(chunks: Chunks, body: bytes) -> None:
    """A whole body, JSON or server-sent events."""
    span = chunks.span
    if span.duration is not None:
        return
    try:
        if body.lstrip().startswith(b"{"):
            span.succeed(json.loads(body))
            return
        for event in _events(body):
            chunks.take(event)
    except Exception as error:  # noqa: BLE001 - whatever the endpoint sent, the caller has it; we keep what we can
        span.recorder.fault("openai body", error)
    chunks.end(early=b"[DONE]" not in body and b"response.completed" not in body)


def _events(body: bytes) -> Iterator[Any]:
    for line in body.splitlines():
        if line.startswith(b"data:") and not line.startswith(b"data: [DONE]"):
            try:
                yield json.loads(line[5:])
            except ValueError:
                return
