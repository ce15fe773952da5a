"""Streams of the OpenAI client, watched while the caller reads them: nothing is held back, nothing is added."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

from instrument.integrations.openai_said import Said, said_by
from instrument.record.recorder import Recorder
from instrument.record.spans import LiveSpan


def kept_from_caller(recorder: Recorder, where: str, fault: Exception) -> None:
    """Count a fault of ours; never raises, whatever has become of the recorder."""
    with suppress(Exception):
        recorder.fault(where, fault)


class Chunks:
    """What a stream has said so far, and the span that ends with it.

    `hides_usage` says that usage comes only because we asked for it: the caller must not see what it adds. `reading`
    is on while the client works on the next chunk: if it closes the response then, the stream is over.
    """

    def __init__(self, span: LiveSpan, operation: str, hides_usage: bool = False) -> None:
        self.span = span
        self.said: Said = said_by(operation)
        self.reading = False
        self._hides_usage = hides_usage
        self._count = 0
        self._first: int | None = None
        self._open = threading.Lock()

    def take(self, chunk: Any) -> bool:
        """Note one chunk; False when the caller must not see it."""
        try:
            self.note_time()
            self._count += 1
            is_usage = self.said.take(chunk)
            if self._hides_usage:
                _forget_empty_usage(chunk)
            return not (self._hides_usage and is_usage)
        except Exception as fault:  # noqa: BLE001 - no fault of ours reaches the user's code
            kept_from_caller(self.span.recorder, "openai chunk", fault)
            return True

    def note_time(self) -> None:
        """Something has arrived; the first time counts."""
        if self._first is None:
            self._first = self.span.recorder.clock()

    def end(self, error: BaseException | None = None, early: bool = False) -> None:
        """End the span, once: with what the stream said, with the error that broke it, or early."""
        if not self._open.acquire(blocking=False):
            return
        span = self.span
        try:
            took = span.recorder.clock() - span.started
            self._describe(took, early)
            span.duration = took
        except Exception as fault:  # noqa: BLE001 - as above
            kept_from_caller(span.recorder, "openai stream", fault)
        self._hand_over(error)

    def _hand_over(self, error: BaseException | None) -> None:
        span = self.span
        try:
            if error is not None:
                span.fail(error)
            elif span.duration is None:
                span.end()
            else:
                span.hand_over()
        except Exception as fault:  # noqa: BLE001 - as above
            kept_from_caller(span.recorder, "openai stream", fault)

    def _describe(self, took: int, early: bool) -> None:
        span = self.span
        found = self.said.answer()
        if found is not None:
            span.recorder.read_answer(span, found)
        if self.said.error is not None:
            mark_failed(span, *self.said.error)
        self._note_figures(took, early)
        span.wants_estimate = self._count > 0 or early

    def _note_figures(self, took: int, early: bool) -> None:
        figures: dict[str, Any] = {"gen_ai.request.stream": True, "instrument.stream.chunks": self._count}
        if self._first is not None:
            waited = self._first - self.span.started
            figures["gen_ai.response.time_to_first_chunk"] = round(waited / 1e9, 6)
            output = (self.span.tokens or {}).get("output")
            if output and took > waited:
                figures["instrument.stream.tokens_per_second"] = round(output / (took - waited) * 1e9, 2)
        if early:
            figures["instrument.closed_early"] = True
        self.span.set(figures)


def mark_failed(span: LiveSpan, kind: str, message: str) -> None:
    """The endpoint says in its answer that the call failed; the client raises nothing for it."""
    span.status = "error"
    span.error = (kind, message, [(kind, message, [])])


def _forget_empty_usage(chunk: Any) -> None:
    """Where usage was asked for, services write `usage: null` into every other chunk: unasked it would not be set."""
    if getattr(chunk, "usage", None) is None:
        getattr(chunk, "__pydantic_fields_set__", set()).discard("usage")


class Watched:
    """The iterator inside of a `Stream` or `AsyncStream`: gives what the client's own gives, and tells `Chunks`.

    It is no generator, so that a stream that is dropped, or never read, ends its span as well, and what the client's
    own generator does when it is closed or dropped happens as ever.
    """

    def __init__(self, inner: Any, chunks: Chunks) -> None:
        self._inner = inner
        self._chunks = chunks

    def __iter__(self) -> Iterator[Any]:
        return self

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    def __next__(self) -> Any:
        chunks = self._chunks
        if chunks.reading:  # by another thread: the client says what it thinks of that
            return next(self._inner)
        while True:
            chunks.reading = True
            try:
                chunk = next(self._inner)
            except StopIteration:
                chunks.end()
                raise
            except BaseException as error:
                chunks.end(error)
                raise
            finally:
                chunks.reading = False
            if chunks.take(chunk):
                return chunk

    async def __anext__(self) -> Any:
        chunks = self._chunks
        if chunks.reading:
            return await anext(self._inner)
        while True:
            chunks.reading = True
            try:
                chunk = await anext(self._inner)
            except StopAsyncIteration:
                chunks.end()
                raise
            except BaseException as error:
                chunks.end(error)
                raise
            finally:
                chunks.reading = False
            if chunks.take(chunk):
                return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __del__(self) -> None:
        self._chunks.end(early=True)


def close_early(chunks: Chunks) -> None:
    """The response is being closed: early, unless the stream itself does so because it has read the last of it."""
    if not chunks.reading:
        chunks.end(early=True)
