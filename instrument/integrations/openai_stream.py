"""Streams of the OpenAI client, watched while the caller reads them: nothing is held back, nothing is added."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol

from instrument.attributes import CHUNKS, CLOSED_EARLY, FIRST_CHUNK, STREAM, TOKENS_PER_SECOND
from instrument.integrations.faults import safely
from instrument.integrations.openai_said import Said, said_by
from instrument.record.spans import LiveSpan


class Listener(Protocol):
    """Is told what a stream gives. `reading` is on while the client works on the next chunk."""

    reading: bool

    def take(self, chunk: Any) -> None:
        """Note one chunk."""

    def end(self, error: BaseException | None = None, early: bool = False) -> None:
        """The stream is over, or broken, or nobody reads on."""


class Chunks:
    """What a stream has said so far, and the span that ends with it.

    `before_end` is done with what was said just before the span ends.
    """

    def __init__(
        self,
        span: LiveSpan,
        operation: str,
        before_end: Callable[[LiveSpan, Said], None] | None = None,
    ) -> None:
        self.span = span
        self.said: Said = said_by(operation)
        self.reading = False
        self._before_end = before_end
        self._count = 0
        self._first: int | None = None
        self._open = threading.Lock()

    def take(self, chunk: Any) -> None:
        """Note one chunk."""
        self.note_time()
        self._count += 1
        self.said.take(chunk)

    def note_time(self) -> None:
        """Something has arrived; the first time counts."""
        if self._first is None:
            self._first = self.span.recorder.clock()

    def end(self, error: BaseException | None = None, early: bool = False) -> None:
        """End the span, once: with what the stream said, with the error that broke it, or early."""
        if not self._open.acquire(blocking=False):
            return
        span = self.span
        took = safely(self._describe, early)
        if error is not None:
            span.fail(error)
        elif took is None:
            span.end()
        else:
            span.duration = took
            span.hand_over()

    def _describe(self, early: bool) -> int:
        """Put all that is known on the span; gives its duration in nanoseconds."""
        span = self.span
        took = span.recorder.clock() - span.started
        span.wants_estimate = self._count > 0 or early
        found = self.said.answer()
        if found is not None:
            span.recorder.read_answer(span, found)
        if self.said.error is not None:
            mark_failed(span, *self.said.error)
        self._note_figures(took, early)
        if self._before_end is not None:
            self._before_end(span, self.said)
        return took

    def _note_figures(self, took: int, early: bool) -> None:
        figures: dict[str, Any] = {STREAM: True, CHUNKS: self._count}
        if self._first is not None:
            waited = self._first - self.span.started
            figures[FIRST_CHUNK] = round(waited / 1e9, 6)
            output = (self.span.tokens or {}).get("output")
            if output and took > waited:
                figures[TOKENS_PER_SECOND] = round(output / (took - waited) * 1e9, 2)
        if early:
            figures[CLOSED_EARLY] = True
        self.span.set(figures)


def mark_failed(span: LiveSpan, kind: str, message: str) -> None:
    """The endpoint says in its answer that the call failed; the client raises nothing for it."""
    span.status = "error"
    span.error = (kind, message, [(kind, message, [])])


class Nobody:
    """Listens to nothing."""

    reading = False

    def take(self, chunk: Any) -> None:
        """Nothing to note."""

    def end(self, error: BaseException | None = None, early: bool = False) -> None:
        """Nothing to end."""


def only_for_us(chunk: Any) -> bool:
    """Whether the chunk came because we asked for usage. Others are made as they would have come: services that are
    asked for usage write `usage: null` into each of them."""
    if getattr(chunk, "usage", None) is not None:
        return not getattr(chunk, "choices", None)
    getattr(chunk, "__pydantic_fields_set__", set()).discard("usage")
    return False


class Watched:
    """The iterator inside of a `Stream` or `AsyncStream`: gives what the client's own gives, and tells a listener.

    `hides_usage` says that we asked for usage and the caller must not see what that adds. It is no generator, so that a
    stream that is dropped, or never read, ends its span as well, and what the client's own generator does when it is
    closed or dropped happens as ever.
    """

    def __init__(self, inner: Any, listener: Listener, hides_usage: bool = False) -> None:
        self._inner = inner
        self._listener = listener
        self._hides_usage = hides_usage

    def __iter__(self) -> Iterator[Any]:
        return self

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    def __next__(self) -> Any:
        listener = self._listener
        if listener.reading:  # by another thread: the client says what it thinks of that
            return next(self._inner)
        while True:
            listener.reading = True
            try:
                chunk = next(self._inner)
            except StopIteration:
                safely(listener.end)
                raise
            except BaseException as error:
                safely(listener.end, error)
                raise
            finally:
                listener.reading = False
            safely(listener.take, chunk)
            if not (self._hides_usage and safely(only_for_us, chunk)):
                return chunk

    async def __anext__(self) -> Any:
        listener = self._listener
        if listener.reading:
            return await anext(self._inner)
        while True:
            listener.reading = True
            try:
                chunk = await anext(self._inner)
            except StopAsyncIteration:
                safely(listener.end)
                raise
            except BaseException as error:
                safely(listener.end, error)
                raise
            finally:
                listener.reading = False
            safely(listener.take, chunk)
            if not (self._hides_usage and safely(only_for_us, chunk)):
                return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __del__(self) -> None:
        safely(self._listener.end, early=True)
