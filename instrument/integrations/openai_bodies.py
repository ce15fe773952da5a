"""The body of an answer of OpenAI's, JSON or server-sent events, as the end of its span."""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from typing import Any

from instrument.attributes import UNREAD_BODY
from instrument.foreign import Fields, known, listed, text
from instrument.pieces.joining import error_of
from instrument.record.safely import safely
from instrument.record.spans import LiveSpan
from instrument.record.streams import Chunks, mark_failed

BODY_LIMIT = 16 * 1024 * 1024
"""Bytes of a body that are kept to be read when it has come to its end."""

LAST_EVENTS = (b"[DONE]", b"response.completed", b"response.incomplete", b"response.failed", b"message_stop")


class Body:
    """Keeps the bytes that the caller reads and ends the span with what they say."""

    def __init__(self, chunks: Chunks, response: Any) -> None:
        self._chunks = chunks
        self._kind = type(response)  # not the response: it must go when the caller drops it
        self._encoding = response.headers.get("content-encoding")
        self._kept: bytearray | None = bytearray()
        self._length = 0
        self._is_whole = False
        self._is_closed = False
        self._error: BaseException | None = None
        chunks.heard_by(self)

    def piece(self, data: bytes) -> None:
        """Keep them, as long as there is room."""
        self._chunks.note_time()
        self._length += len(data)
        if self._kept is not None and len(self._kept) + len(data) > BODY_LIMIT:
            self._kept = None
        if self._kept is not None:
            self._kept += data

    def over(self, error: BaseException | None) -> None:
        """Remember how it ended; the response is closed next."""
        self._is_whole, self._error = error is None, error

    def closing(self) -> None:
        """End the span with what was read."""
        if not self._is_closed:
            self._is_closed = True
            end_with_body(self._chunks, self._read(), self._error, is_whole=self._is_whole)

    def drop(self) -> None:
        """Nobody reads on: the span ends as of the last bytes."""
        if not self._is_closed:
            self._is_closed = True
            _note_events(self._chunks, self._read())
            self._chunks.drop()

    def _read(self) -> bytes:
        if self._kept is None:
            self._chunks.span.set({UNREAD_BODY: self._length})
        return safely(decoded, bytes(self._kept or b""), self._encoding, self._kind) or b""


def decoded(body: bytes, encoding: str | None, response_kind: Any) -> bytes:
    """The bytes without their content encoding; as far as they go where they were cut off."""
    if not encoding or not body:
        return body
    try:
        whole: bytes = response_kind(200, headers={"content-encoding": encoding}, content=body).content
        return whole
    except Exception:  # noqa: BLE001 - cut off in the middle: what zlib can make of it
        with suppress(zlib.error):
            return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body)
    return b""


def body_of(response: Any) -> bytes | None:
    """The body that has been read already, else None."""
    body = vars(response).get("_content")
    return body if isinstance(body, bytes) else None


def end_with_body(chunks: Chunks, body: bytes, error: BaseException | None = None, is_whole: bool = True) -> None:
    """End the span with a body, JSON or server-sent events, as far as it goes."""
    answer = safely(_json, body)
    if error is None and isinstance(answer, dict):
        end_with_answer(chunks.span, answer)
        return
    _note_events(chunks, body)
    chunks.end(error, early=not is_whole and not any(mark in body for mark in LAST_EVENTS))


def _note_events(chunks: Chunks, body: bytes) -> None:
    for event in safely(_events, body) or []:
        safely(chunks.note, event)


def end_with_answer(span: LiveSpan, result: Any) -> None:
    """End the span with an answer that came whole."""
    took = span.recorder.clock() - span.started
    safely(_describe, span, result)
    span.duration = took
    span.hand_over()


def _describe(span: LiveSpan, result: Any) -> None:
    span.wants_estimate = span.kind == "embedding"
    span.recorder.read_answer(span, result)
    failure = _failure_in(known(result))
    if failure is not None:
        mark_failed(span, *error_of(failure))


def _failure_in(answer: Fields) -> Any:
    """What an answer that came with status 200 says went wrong, for which the client raises nothing; None if nothing.

    Responses say so by their status, some services put an error where the choices would be, or into one of them.
    """
    if text(answer.get("status")) == "failed":
        return answer.get("error") or {}
    choices = [known(choice) for choice in listed(answer.get("choices"))]
    told = [choice.get("error") or {} for choice in choices if text(choice.get("finish_reason")) == "error"]
    has_answer = any(listed(answer.get(name)) for name in ("choices", "output", "data"))
    return told[0] if told else None if has_answer else answer.get("error")


def _json(body: bytes) -> Any:
    if not body.lstrip().startswith(b"{"):
        return None
    with suppress(ValueError):
        return json.loads(body)
    return None


def _events(body: bytes) -> list[Any]:
    """The data of each event; one that is cut off is left out."""
    found = []
    for event in body.replace(b"\r\n", b"\n").split(b"\n\n"):
        lines = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
        with suppress(ValueError):
            found.append(json.loads(b"\n".join(lines)))
    return found
