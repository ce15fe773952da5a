"""The bytes of a response, watched where the HTTP client reads them, whichever of its methods the caller uses.

`response.stream` is what all of them read and what closing the response closes; a stand-in for it sees every byte and
leaves the response, its methods and its pickled form alone.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import cache
from typing import Any, Protocol

from instrument.foreign import at, text
from instrument.integrations.openai_said import error_of
from instrument.integrations.openai_stream import Chunks, close_early, kept_from_caller, mark_failed
from instrument.record.spans import LiveSpan

BODY_LIMIT = 16 * 1024 * 1024
"""Bytes of a body that are kept to be read when it has come to its end."""

LAST_EVENTS = (b"[DONE]", b"response.completed", b"response.incomplete", b"response.failed")


class Witness(Protocol):
    """Is told what happens to a response's bytes; none of this may raise."""

    def piece(self, data: bytes) -> None:
        """Some bytes have come."""

    def over(self, error: BaseException | None) -> None:
        """There are no more, or reading them failed."""

    def closing(self) -> None:
        """The response is about to be closed."""


class Closing:
    """Sees only the end: what comes is seen in chunks, elsewhere."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks

    def piece(self, data: bytes) -> None:
        """Nothing to note."""

    def over(self, error: BaseException | None) -> None:
        """Nothing to note."""

    def closing(self) -> None:
        """A caller that closes the response before the stream is over ends the span there and then."""
        close_early(self._chunks)


class Body:
    """Keeps the bytes that the caller reads and ends the span with what they say."""

    def __init__(self, chunks: Chunks, response: Any) -> None:
        self._chunks = chunks
        self._kind = type(response)  # not the response: it must go when the caller drops it
        self._encoding = response.headers.get("content-encoding")
        self._is_closed = False
        self._kept: bytearray | None = bytearray()
        self._is_over = False
        self._error: BaseException | None = None

    def piece(self, data: bytes) -> None:
        """Keep them."""
        try:
            self._chunks.note_time()
            if self._kept is not None and len(self._kept) + len(data) > BODY_LIMIT:
                self._kept = None
            if self._kept is not None:
                self._kept += data
        except Exception as fault:  # noqa: BLE001 - no fault of ours reaches the user's code
            kept_from_caller(self._chunks.span.recorder, "openai body", fault)

    def over(self, error: BaseException | None) -> None:
        """Remember how it ended; the response is closed next."""
        self._is_over, self._error = error is None, error

    def closing(self) -> None:
        """End the span with what was read."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            kept = decoded(bytes(self._kept or b""), self._encoding, self._kind)
            end_with_body(self._chunks, kept, self._error, is_whole=self._is_over)
        except Exception as fault:  # noqa: BLE001 - as above
            kept_from_caller(self._chunks.span.recorder, "openai body", fault)
            self._chunks.end(self._error)


def watch(response: Any, witness: Witness) -> None:
    """Tell `witness` of the bytes that will be read from the response, and of its closing."""
    if response.is_closed:  # the body was there from the start, as with test doubles: its bytes lie in the response
        _watch_closing(response, witness)
    else:
        stream = response.stream
        response.stream = _stand_in(_kinds_of(type(stream)))(stream, witness)


def _watch_closing(response: Any, witness: Witness) -> None:
    for name, plain in ((name, getattr(response, name)) for name in ("close", "aclose")):
        setattr(response, name, _telling(plain, witness))


def _telling(plain: Any, witness: Witness) -> Any:
    def closing() -> Any:
        witness.closing()
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
        self._witness.closing()


class _SyncStandIn(_StandIn):
    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._plain:
                self._witness.piece(piece)
                yield piece
        except GeneratorExit:
            raise
        except BaseException as error:
            self._witness.over(error)
            raise
        self._witness.over(None)

    def close(self) -> None:
        self._witness.closing()
        self._plain.close()


class _AsyncStandIn(_StandIn):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        inner = self._plain.__aiter__()
        try:
            async for piece in inner:
                self._witness.piece(piece)
                yield piece
        except GeneratorExit:
            raise
        except BaseException as error:
            self._witness.over(error)
            raise
        else:
            self._witness.over(None)
        finally:
            if hasattr(inner, "aclose"):
                await inner.aclose()

    async def aclose(self) -> None:
        self._witness.closing()
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
    answer = _json(body)
    if error is None and isinstance(answer, dict):
        end_with_answer(chunks.span, answer)
        return
    for event in _events(body):
        chunks.take(event)
    chunks.end(error, early=not is_whole and not any(mark in body for mark in LAST_EVENTS))


def end_with_answer(span: LiveSpan, result: Any) -> None:
    """End the span with an answer that came whole."""
    recorder = span.recorder
    try:
        took = recorder.clock() - span.started
        recorder.read_answer(span, result)
        span.wants_estimate = span.kind == "embedding"
        if text(at(result, "status")) == "failed":
            mark_failed(span, *error_of(at(result, "error")))
        span.duration = took
    except Exception as fault:  # noqa: BLE001 - no fault of ours reaches the user's code
        kept_from_caller(recorder, "openai answer", fault)
        span.end()
        return
    span.hand_over()


def _json(body: bytes) -> Any:
    if not body.lstrip().startswith(b"{"):
        return None
    with suppress(ValueError):
        return json.loads(body)
    return None


def _events(body: bytes) -> Iterator[Any]:
    """The data of each event; one that is cut off is left out."""
    for event in body.replace(b"\r\n", b"\n").split(b"\n\n"):
        lines = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
        with suppress(ValueError):
            yield json.loads(b"\n".join(lines))
