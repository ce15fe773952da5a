"""The bytes of a response, watched where the HTTP client reads them, whichever of its methods the caller uses.

`response.stream` is what all of them read and what closing the response closes; a stand-in for it sees every byte and
leaves the response, its methods and its pickled form alone.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any, Protocol

from instrument.foreign import at, text
from instrument.integrations.faults import safely
from instrument.integrations.openai_said import error_of
from instrument.integrations.openai_stream import Chunks, Listener, mark_failed
from instrument.record.spans import LiveSpan

BODY_LIMIT = 16 * 1024 * 1024
"""Bytes of a body that are kept to be read when it has come to its end."""

LAST_EVENTS = (b"[DONE]", b"response.completed", b"response.incomplete", b"response.failed")


class Witness(Protocol):
    """Is told what happens to a response's bytes."""

    def piece(self, data: bytes) -> None:
        """Some bytes have come."""

    def over(self, error: BaseException | None) -> None:
        """There are no more, or reading them failed."""

    def closing(self) -> None:
        """The response is about to be closed."""


class Closing:
    """Sees only the end of a response whose chunks are seen elsewhere."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def piece(self, data: bytes) -> None:
        """Nothing to note."""

    def over(self, error: BaseException | None) -> None:
        """Nothing to note."""

    def closing(self) -> None:
        """End the stream early, unless it closes its response itself because it has read the last of it."""
        if not self._listener.reading:
            self._listener.end(early=True)


class Body:
    """Keeps the bytes that the caller reads and ends the span with what they say."""

    def __init__(self, chunks: Chunks, response: Any) -> None:
        self._chunks = chunks
        self._kind = type(response)  # not the response: it must go when the caller drops it
        self._encoding = response.headers.get("content-encoding")
        self._kept: bytearray | None = bytearray()
        self._is_whole = False
        self._is_closed = False
        self._error: BaseException | None = None

    def piece(self, data: bytes) -> None:
        """Keep them, as long as there is room."""
        self._chunks.note_time()
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
            kept = safely(decoded, bytes(self._kept or b""), self._encoding, self._kind)
            end_with_body(self._chunks, kept or b"", self._error, is_whole=self._is_whole)


def watch(response: Any, witness: Witness) -> None:
    """Tell `witness` of the bytes that will be read from the response, and of its closing."""
    if response.is_closed:  # as with test doubles, whose bytes lie in the response from the start
        response.close = _telling(response.close, witness)
        response.aclose = _telling(response.aclose, witness)
    else:
        response.stream = _stand_in(_kinds_of(type(response.stream)))(response.stream, witness)


def _telling(plain: Callable[[], Any], witness: Witness) -> Callable[[], Any]:
    def closing() -> Any:
        safely(witness.closing)
        return plain()

    return closing


def _kinds_of(kind: type) -> tuple[type, ...]:
    """The abstract bases that the HTTP client asks for; httpx2 and httpx have their own."""
    return tuple(base for base in kind.__mro__ if base.__name__ in _STAND_INS)


@cache
def _stand_in(bases: tuple[type, ...]) -> Any:
    return type("StandIn", (*(_STAND_INS[base.__name__] for base in bases), *bases), {})


class _StandIn:
    def __init__(self, plain: Any, witness: Witness) -> None:
        self._plain = plain
        self._witness = witness

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def __del__(self) -> None:
        safely(self._witness.closing)


class _SyncStandIn(_StandIn):
    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._plain:
                safely(self._witness.piece, piece)
                yield piece
        except GeneratorExit:
            raise
        except BaseException as error:
            safely(self._witness.over, error)
            raise
        safely(self._witness.over, None)

    def close(self) -> None:
        safely(self._witness.closing)
        self._plain.close()


class _AsyncStandIn(_StandIn):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        inner = self._plain.__aiter__()
        try:
            async for piece in inner:
                safely(self._witness.piece, piece)
                yield piece
        except GeneratorExit:
            raise
        except BaseException as error:
            safely(self._witness.over, error)
            raise
        finally:
            if hasattr(inner, "aclose"):
                await inner.aclose()
        safely(self._witness.over, None)

    async def aclose(self) -> None:
        safely(self._witness.closing)
        await self._plain.aclose()


_STAND_INS: dict[str, type] = {"SyncByteStream": _SyncStandIn, "AsyncByteStream": _AsyncStandIn}


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
    for event in safely(_events, body) or []:
        safely(chunks.take, event)
    chunks.end(error, early=not is_whole and not any(mark in body for mark in LAST_EVENTS))


def end_with_answer(span: LiveSpan, result: Any) -> None:
    """End the span with an answer that came whole."""
    took = span.recorder.clock() - span.started
    safely(_describe, span, result)
    span.duration = took
    span.hand_over()


def _describe(span: LiveSpan, result: Any) -> None:
    span.wants_estimate = span.kind == "embedding"
    span.recorder.read_answer(span, result)
    if text(at(result, "status")) == "failed":
        mark_failed(span, *error_of(at(result, "error")))


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
