"""Streams of a client library, watched while the caller reads them: nothing is held back, nothing is added."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol

from instrument.attributes import (
    BROKEN_OFF,
    CHUNKS,
    CLOSED_EARLY,
    FINISH_REASONS,
    FIRST_CHUNK,
    FIRST_TOKEN,
    STREAM,
    TOKENS_PER_SECOND,
)
from instrument.foreign import library_of
from instrument.pieces import AnySaid, Said
from instrument.record.http_bodies import watch
from instrument.record.safely import safely
from instrument.record.spans import LiveSpan


class Droppable(Protocol):
    """Is told that nobody reads on."""

    def drop(self) -> None:
        """The stream was let go of, which may be noticed late, or the process ends."""


class Listener(Droppable, Protocol):
    """Is told what a stream gives. `reading` is on while the client works on the next chunk."""

    reading: bool

    def take(self, chunk: Any) -> None:
        """Note one chunk."""

    def end(self, error: BaseException | None = None, early: bool = False) -> None:
        """The stream is over, or broken, or was closed early."""


class Chunks:
    """What a stream has said so far, and the span that ends with it.

    `before_end` is done with what was said just before the span ends. The recorder knows it as long as the span is
    open, because a stream that the caller has dropped lives on until the garbage collector comes, if ever.
    """

    def __init__(
        self,
        span: LiveSpan,
        said: Said,
        before_end: Callable[[LiveSpan, Said], None] | None = None,
    ) -> None:
        self.span = span
        self.said = said
        self.reading = False
        self._before_end = before_end
        self._count = 0
        self._first: int | None = None
        self._first_token: int | None = None
        self._last: int | None = None
        self._open = threading.Lock()
        self.heard_by(self)

    def heard_by(self, listener: Droppable) -> None:
        """Have the recorder tell the listener when nobody reads on."""
        if self.span in self.span.recorder.open:
            self.span.recorder.open[self.span] = listener

    def take(self, chunk: Any) -> None:
        """Note one chunk."""
        self.note_time()
        self.note(chunk)
        if self._first_token is None and self.said.has_spoken:
            self._first_token = self.span.recorder.clock()

    def note(self, chunk: Any) -> None:
        """Note one chunk of which is not known when it came."""
        self._count += 1
        self.said.take(chunk)

    def note_time(self) -> None:
        """Something has arrived; the first time counts."""
        self._last = self.span.recorder.clock()
        if self._first is None:
            self._first = self._last

    def end(self, error: BaseException | None = None, early: bool = False) -> None:
        """End the span, once: with what the stream said, with the error that broke it, or early."""
        self._end(self.span.recorder.clock(), error, early)

    def drop(self) -> None:
        """End the span early, as of the last thing that arrived."""
        self._end(self._last or self.span.recorder.clock(), None, early=True)

    def _end(self, now: int, error: BaseException | None, early: bool) -> None:
        if not self._open.acquire(blocking=False):
            return
        span = self.span
        took = safely(self._describe, now, early)
        if error is None and not early:
            safely(self._note_how_it_ended)
        if error is not None:
            span.fail(error)
        elif took is None:
            span.end()
        else:
            span.duration = took
            span.hand_over()

    def _describe(self, now: int, early: bool) -> int:
        """Put all that is known on the span; gives its duration in nanoseconds."""
        took = now - self.span.started
        self.describe(took, early)
        if self._before_end is not None:
            self._before_end(self.span, self.said)
        return took

    def describe(self, took: int, early: bool) -> None:
        """Put what was said and how fast on the span."""
        span = self.span
        span.wants_estimate = span.wants_estimate or self._count > 0 or early
        found = self.said.answer()
        if found is not None:
            span.recorder.read_answer(span, found)
        if isinstance(found, str) and span.plan.capture_output:
            span.output = span.recorder.value(found)
        if self.said.error is not None:
            mark_failed(span, *self.said.error)
        span.set({**self._times(took), STREAM: True, CHUNKS: self._count, **({CLOSED_EARLY: True} if early else {})})

    def _note_how_it_ended(self) -> None:
        """Mark what the client takes for an end where the service had begun an answer, and said neither why it ends
        nor, as some do alone, what it took.
        """
        says_why = self.said.error is not None or FINISH_REASONS in (self.span.attributes or {})
        is_counted = (self.span.tokens or {}).get("output") is not None
        if not says_why and not is_counted and isinstance(self.said.answer(), dict):
            self.span.set({BROKEN_OFF: True})

    def _times(self, took: int) -> dict[str, float]:
        """When the first chunk and the first token came, and how fast the tokens after that one."""
        found: dict[str, float] = {}
        if self._first is not None:
            found[FIRST_CHUNK] = round((self._first - self.span.started) / 1e9, 6)
        if self._first_token is not None:
            waited = self._first_token - self.span.started
            found[FIRST_TOKEN] = round(waited / 1e9, 6)
            seen = self._tokens_seen()
            if seen > 0 and took > waited:
                found[TOKENS_PER_SECOND] = round(seen / (took - waited) * 1e9, 2)
        return found

    def _tokens_seen(self) -> int:
        """Reported output without thoughts of which nothing was streamed: they came before the first token."""
        tokens = self.span.tokens or {}
        hidden = 0 if self.said.thinks_aloud else tokens.get("reasoning") or 0
        return (tokens.get("output") or 0) - hidden


def mark_failed(span: LiveSpan, kind: str, message: str) -> None:
    """The endpoint says in its answer that the call failed; the client raises nothing for it."""
    span.status = "error"
    span.error = (kind, message, [(kind, message, [])])


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


class Nobody:
    """Listens to nothing."""

    reading = False

    def take(self, chunk: Any) -> None:
        """Nothing to note."""

    def end(self, error: BaseException | None = None, early: bool = False) -> None:
        """Nothing to end."""

    def drop(self) -> None:
        """Nothing to end."""


class Watched:
    """The iterator inside of a `Stream` or `AsyncStream`: gives what the client's own gives, and tells a listener.

    The caller does not see what `is_ours` says came only because of us. It is no generator, so that a
    stream that is dropped, or never read, ends its span as well, and what the client's own generator does when it is
    closed or dropped happens as ever.
    """

    def __init__(self, inner: Any, listener: Listener, is_ours: Callable[[Any], bool] | None = None) -> None:
        self._inner = inner
        self._listener = listener
        self._is_ours = is_ours

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
            if self._is_ours is None or not safely(self._is_ours, chunk):
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
            if self._is_ours is None or not safely(self._is_ours, chunk):
                return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __del__(self) -> None:
        safely(self._listener.drop)


def assemble(span: LiveSpan) -> Chunks:
    """What will put together the pieces that a model call yields, of whatever dialect they are."""
    return Chunks(span, AnySaid())


def follow(span: LiveSpan, result: object) -> bool:
    """Where a model call returned the stream of a known library: let that end the span when it has been read."""
    if library_of(type(result)) is None:
        return False
    inner = getattr(result, "_iterator", None)
    if not hasattr(inner, "__next__") and not hasattr(inner, "__anext__"):
        return False
    chunks = assemble(span)
    put(result, Watched(inner, chunks), Closing(chunks))
    return True


def put(stream: Any, watched: Watched, closing: Closing) -> None:
    """Watch a `Stream` or `AsyncStream` in place: it stays the object that its client made."""
    stream._iterator = watched
    watch(stream.response, closing)
