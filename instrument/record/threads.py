"""Threads, executors and processes keep their parent span without a change in the user's code.

Only our variable travels, set for one piece of work and put back after it: the user's own context variables stay as
Python has them, and a pool's worker never keeps the span of whoever submitted first.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from instrument.record import headers
from instrument.record.context import call_at, current
from instrument.record.headers import extract, inject
from instrument.record.launched import record_as_told
from instrument.record.patching import patch, patch_later

_ENV_POSITION = 11  # of `env` among the parameters of Popen.__init__, `self` counted
_PROCESS_POOLS = "concurrent.futures.process", "loky.process_executor", "joblib.externals.loky.process_executor"

__tracebackhide__ = True  # as in `wrappers`
carrying = True
"""Whether threads and thread pools keep their parent; child processes always do."""


def attach(threads: bool = True) -> None:
    """Patch `Popen` and the executors' `submit` (when they are imported), each once in a process.

    `threads` says whether threads and thread pools keep their parent from now on; `Thread.start` is patched for that.
    """
    global carrying
    carrying = threads
    patch(subprocess.Popen, "__init__", _popen)
    for module in _PROCESS_POOLS:
        patch_later(module, "ProcessPoolExecutor", "submit", _submit_across)
    if threads:
        patch(threading.Thread, "start", _start)
        patch_later("concurrent.futures.thread", "ThreadPoolExecutor", "submit", _submit)


def _start(wrapped: Callable[..., Any], thread: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    place = current.get()
    if place is None or not carrying:
        return wrapped(*args, **kwargs)
    own = vars(thread).get("run")
    run = thread.run
    is_given = getattr(thread, "_context", None) is not None  # the user's, in Python 3.14: it stays as it is

    def run_below() -> None:
        _put_back(thread, own)
        before = current.get()
        current.set(place if before is None else before)
        try:
            run()
        finally:
            current.set(before if is_given else None)

    thread.run = run_below
    try:
        return wrapped(*args, **kwargs)
    except BaseException:
        _put_back(thread, own)
        raise


def _put_back(thread: Any, own: Any) -> None:
    if own is None:
        vars(thread).pop("run", None)
    else:
        thread.run = own


class Carried:
    """A piece of work that runs below the place it was submitted from."""

    __slots__ = ("fn", "place")

    def __init__(self, fn: Callable[..., Any], place: Any) -> None:
        self.fn = fn
        self.place = place

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        before = current.get()
        current.set(self.place)
        try:
            return self.fn(*args, **kwargs)
        finally:
            current.set(before)


def _submit(wrapped: Callable[..., Any], executor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """As if no span were current: a worker that is started now must not inherit the one that is."""
    if not args or not carrying:
        return wrapped(*args, **kwargs)
    interpreters = sys.modules.get("concurrent.futures.interpreter")
    if interpreters is not None and isinstance(executor, interpreters.InterpreterPoolExecutor):
        return call_at(None, wrapped, *args, **kwargs)  # a place cannot go there, nor recording start
    return call_at(None, wrapped, Carried(args[0], current.get()), *args[1:], **kwargs)


class CarriedAcross:
    """A piece of work for another process, with the submitter's span as W3C `traceparent`."""

    __slots__ = ("environment", "fn", "headers")

    def __init__(self, fn: Callable[..., Any], headers: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self.fn = fn
        self.headers = headers
        self.environment = environment

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        record_as_told(self.environment)
        with extract(self.headers):
            return self.fn(*args, **kwargs)


def _submit_across(wrapped: Callable[..., Any], executor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    told = inject({})
    if not args or not told:
        return wrapped(*args, **kwargs)
    return call_at(None, wrapped, CarriedAcross(args[0], told, headers.for_children), *args[1:], **kwargs)


def _popen(wrapped: Callable[..., Any], process: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given = kwargs.get("env") if len(args) < _ENV_POSITION else args[_ENV_POSITION - 1]
    if given is None and len(args) < _ENV_POSITION:
        told = inject({})
        if told:
            handed = {name.upper(): value for name, value in told.items()}
            kwargs = {**kwargs, "env": {**os.environ, **headers.for_children, **handed}}
    return wrapped(*args, **kwargs)
