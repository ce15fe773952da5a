"""`patch_openai()`: every call of the OpenAI client becomes one llm span, by whatever method and wherever it goes.

All of the client's methods (`create`, `parse`, `stream`, raw and streaming responses, `with_options`, Azure) end in
`SyncAPIClient.request` or `AsyncAPIClient.request`, so that is where one call is seen exactly once, retries included,
with the request as it is sent. Subclasses that have a `request` of their own, or were given one by another
instrumentation, are watched there as well.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

import wrapt

from instrument.integrations import openai_later
from instrument.integrations.openai_calls import Args, Keywords, begin_exchange, options_of
from instrument.record.safely import safely


class Patched:
    """What `patch_openai` changed; `.undo()`, or leaving it as a context manager, puts the plain client back."""

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


def patch_openai(client: Any = None) -> Patched:
    """Record the calls of one OpenAI client (and of what its `with_options` gives), or of all.

    Calling it again changes nothing more; each handle undoes its own call. Raises `ImportError` when openai is not
    installed, `TypeError` for what is no client of it.
    """
    from openai._base_client import AsyncAPIClient, SyncAPIClient

    if client is not None and not isinstance(client, SyncAPIClient | AsyncAPIClient):
        raise TypeError(f"patch_openai takes a client such as OpenAI(), or nothing for all, not {client!r}")
    with _lock:
        token = object()
        watchers = _everyone if client is None else _clients.setdefault(client, set())
        watchers.add(token)
        _wrap_classes(SyncAPIClient, AsyncAPIClient)
        if client is not None:
            _wrap_copies(type(client))
    return Patched(lambda: _unwatch(watchers, token))


_lock = threading.RLock()
_everyone: set[object] = set()
"""Handles of `patch_openai()` that are in force."""

_clients: WeakKeyDictionary[Any, set[object]] = WeakKeyDictionary()
"""Clients that are watched by themselves, with the handles in force; a copy shares the handles of its original."""

_wrappers: dict[tuple[type, str], tuple[Any, Any]] = {}
"""Methods that are wrapped now: the plain one and its wrapper."""


def _unwatch(watchers: set[object], token: object) -> None:
    with _lock:
        watchers.discard(token)
        if not _everyone and not any(_clients.values()):
            while _wrappers:
                _unwrap(*_wrappers.popitem())


def _unwrap(place: tuple[type, str], methods: tuple[Any, Any]) -> None:
    """Put the plain method back. A wrapper that another instrumentation has wrapped since stays, and passes through."""
    owner, name = place
    plain, wrapper = methods
    if vars(owner).get(name) is wrapper:
        setattr(owner, name, plain)


def _wrap_classes(sync: type, asynchronous: type) -> None:
    for base, wrapper in ((sync, _request), (asynchronous, _arequest)):
        for kind in _family(base):
            if "request" in vars(kind):
                _wrap(kind, "request", wrapper)


def _wrap_copies(kind: type) -> None:
    for name in ("copy", "with_options"):
        owner = next((base for base in kind.__mro__ if name in vars(base)), None)
        if owner is not None:
            _wrap(owner, name, _copied)


def _wrap(owner: type, name: str, wrapper: Callable[..., Any]) -> None:
    plain = vars(owner)[name]
    if _wrappers.get((owner, name), (None, None))[1] is not plain:
        wrapped = wrapt.FunctionWrapper(plain, wrapper)
        setattr(owner, name, wrapped)
        _wrappers[owner, name] = plain, wrapped


def _family(kind: type) -> Iterator[type]:
    yield kind
    below: list[type] = kind.__subclasses__()
    for child in below:
        yield from _family(child)


def _is_watched(client: Any) -> bool:
    return bool(_everyone or (_clients and _clients.get(client)))


def _copied(wrapped: Callable[..., Any], client: Any, args: Args, kwargs: Keywords) -> Any:
    copy = wrapped(*args, **kwargs)
    safely(_watch_copy, client, copy)
    return copy


def _watch_copy(client: Any, copy: Any) -> None:
    watchers = _clients.get(client)
    if watchers is not None:
        _clients[copy] = watchers


def _request(wrapped: Callable[..., Any], client: Any, args: Args, kwargs: Keywords) -> Any:
    exchange = safely(begin_exchange, client, args, kwargs) if safely(_is_watched, client) else None
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


async def _arequest(wrapped: Callable[..., Any], client: Any, args: Args, kwargs: Keywords) -> Any:
    exchange = safely(begin_exchange, client, args, kwargs) if safely(_is_watched, client) else None
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


def _note_fetched(args: Args, kwargs: Keywords, result: Any) -> None:
    openai_later.note_fetched(options_of(args, kwargs), result)
