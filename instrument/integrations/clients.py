"""Clients of the family that OpenAI's and Anthropic's belong to, watched where every call of theirs passes.

All of a client's methods (`create`, `parse`, `stream`, raw and streaming responses, `with_options`, Azure) end in
`SyncAPIClient.request` or `AsyncAPIClient.request`, so that is where one call is seen exactly once, retries included,
with the request as it is sent. Subclasses that have a `request` of their own, or were given one by another
instrumentation, are watched there as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

import wrapt

from instrument import forks
from instrument.integrations import openai_later
from instrument.integrations.openai_calls import (
    Args,
    Keywords,
    begin_exchange,
    note_retry,
    note_sending_again,
    options_of,
)
from instrument.record.safely import safely

WAIT = "_sleep_for_retry"
"""What clients call before they send a request again; where one of them has another way its tries are not counted."""


class Patched:
    """What patching changed; `.undo()`, or leaving it as a context manager, puts the plain client back."""

    def __init__(self, undo: Callable[[], None]) -> None:
        self._undo: Callable[[], None] | None = undo

    def undo(self) -> None:
        """Put the plain client back; a second time does nothing."""
        undo, self._undo = self._undo, None
        if undo is not None:
            undo()

    def __enter__(self) -> Patched:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.undo()


class Library:
    """One client library: which of its clients are watched, and what was wrapped for that."""

    def __init__(self, function: str, client: str) -> None:
        """`function` is what users call, `client` what they give it, for messages."""
        self._function, self._client = function, client
        self._lock = forks.Lock()
        self._everyone: set[object] = set()
        self._clients: WeakKeyDictionary[Any, set[object]] = WeakKeyDictionary()
        self._wrappers: dict[tuple[type, str], tuple[Any, Any]] = {}

    def patch(self, sync: type, asynchronous: type, client: Any) -> Patched:
        """Watch one client, or all where it is None. A copy shares the handles of its original.

        Raises `TypeError` for what is no client of the library.
        """
        if client is not None and not isinstance(client, (sync, asynchronous)):
            raise TypeError(
                f"{self._function} takes a client such as {self._client}, or nothing for all, not {client!r}"
            )
        with self._lock:
            token = object()
            watchers = self._everyone if client is None else self._clients.setdefault(client, set())
            watchers.add(token)
            watched = ((sync, self._request, _tried_again), (asynchronous, self._arequest, _atried_again))
            for base, wrapper, wait in watched:
                for kind in _family(base):
                    if "request" in vars(kind):
                        self._wrap(kind, "request", wrapper)
                    if WAIT in vars(kind):
                        self._wrap(kind, WAIT, wait)
            if client is not None:
                self._wrap_copies(type(client))
        return Patched(lambda: self._unwatch(watchers, token))

    def _unwatch(self, watchers: set[object], token: object) -> None:
        with self._lock:
            watchers.discard(token)
            if not self._everyone and not any(self._clients.values()):
                while self._wrappers:
                    _unwrap(*self._wrappers.popitem())

    def _wrap_copies(self, kind: type) -> None:
        for name in ("copy", "with_options"):
            owner = next((base for base in kind.__mro__ if name in vars(base)), None)
            if owner is not None:
                self._wrap(owner, name, self._copied)

    def _wrap(self, owner: type, name: str, wrapper: Callable[..., Any]) -> None:
        plain = vars(owner)[name]
        if self._wrappers.get((owner, name), (None, None))[1] is not plain:
            wrapped = wrapt.FunctionWrapper(plain, wrapper)
            setattr(owner, name, wrapped)
            self._wrappers[owner, name] = plain, wrapped

    def _is_watched(self, client: Any) -> bool:
        return bool(self._everyone or (self._clients and self._clients.get(client)))

    def _copied(self, wrapped: Callable[..., Any], client: Any, args: Args, kwargs: Keywords) -> Any:
        copy = wrapped(*args, **kwargs)
        safely(self._watch_copy, client, copy)
        return copy

    def _watch_copy(self, client: Any, copy: Any) -> None:
        watchers = self._clients.get(client)
        if watchers is not None:
            self._clients[copy] = watchers

    def _request(self, wrapped: Callable[..., Any], client: Any, args: Args, kwargs: Keywords) -> Any:
        exchange = safely(begin_exchange, client, args, kwargs) if safely(self._is_watched, client) else None
        if exchange is None:
            result = wrapped(*args, **kwargs)
            safely(_note_fetched, args, kwargs, result)
            return result
        refused = False
        try:
            try:
                result = wrapped(*exchange.args, **exchange.kwargs)
            except Exception as error:
                refused = bool(safely(exchange.may_be_our_doing, error))
                if not refused:
                    raise
            if refused:  # outside of the handler, so that no exception carries the refusal along
                result = wrapped(*args, **kwargs)
                safely(exchange.was_our_doing)
        except BaseException as error:
            exchange.leave(destroyed=isinstance(error, GeneratorExit))
            safely(exchange.fail, error)
            raise
        exchange.leave(destroyed=False)
        if safely(exchange.succeed, result) is None:
            safely(exchange.give_up, result)
        return result

    async def _arequest(self, wrapped: Callable[..., Any], client: Any, args: Args, kwargs: Keywords) -> Any:
        exchange = safely(begin_exchange, client, args, kwargs) if safely(self._is_watched, client) else None
        if exchange is None:
            result = await wrapped(*args, **kwargs)
            safely(_note_fetched, args, kwargs, result)
            return result
        refused = False
        try:
            try:
                result = await wrapped(*exchange.args, **exchange.kwargs)
            except Exception as error:
                refused = bool(safely(exchange.may_be_our_doing, error))
                if not refused:
                    raise
            if refused:  # as above
                result = await wrapped(*args, **kwargs)
                safely(exchange.was_our_doing)
        except BaseException as error:
            exchange.leave(destroyed=isinstance(error, GeneratorExit))
            safely(exchange.fail, error)
            raise
        exchange.leave(destroyed=False)
        if safely(exchange.succeed, result) is None:
            safely(exchange.give_up, result)
        return result


def _tried_again(wrapped: Callable[..., Any], client: Any, args: Args, kwargs: Keywords) -> Any:
    safely(note_retry, client, kwargs.get("response"))
    slept = wrapped(*args, **kwargs)
    safely(note_sending_again, client)
    return slept


async def _atried_again(wrapped: Callable[..., Any], client: Any, args: Args, kwargs: Keywords) -> Any:
    safely(note_retry, client, kwargs.get("response"))
    slept = await wrapped(*args, **kwargs)
    safely(note_sending_again, client)
    return slept


def _unwrap(place: tuple[type, str], methods: tuple[Any, Any]) -> None:
    """Put the plain method back. A wrapper that another instrumentation has wrapped since stays, and passes through."""
    owner, name = place
    plain, wrapper = methods
    if vars(owner).get(name) is wrapper:
        setattr(owner, name, plain)


def _family(kind: type) -> Iterator[type]:
    yield kind
    below: list[type] = kind.__subclasses__()
    for child in below:
        yield from _family(child)


def _note_fetched(args: Args, kwargs: Keywords, result: Any) -> None:
    openai_later.note_fetched(options_of(args, kwargs), result)
