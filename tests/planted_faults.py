"""Wrappers of generators that are right but for one planted fault, to see that the tests of decorated generators can fail.

Without a fault they are as right as ours and record nothing. The faults: `send lost`, `return value lost`,
`finally late`, `asend lost`, `aclose late`.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

FAULTS = ("send lost", "return value lost", "finally late", "asend lost", "aclose late")


def with_fault(fault: str | None) -> Callable[[Any], Any]:
    """A decorator of generator functions with this fault, or with none."""

    def decorate(function: Any) -> Any:
        drive = _async_generator if inspect.isasyncgenfunction(function) else _generator

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            outer = drive(function(*args, **kwargs), fault)
            outer.__name__ = function.__name__
            return outer

        return call

    return decorate


_LATE: list[Any] = []
"""Keeps what is closed too late."""


def _generator(inner: Any, fault: str | None) -> Any:
    step, box = inner.send, [None]
    while True:
        try:
            box.append(step(box.pop()))
        except StopIteration as stop:
            return None if fault == "return value lost" else stop.value
        try:
            box.append((yield box.pop()))
            step = inner.send
            if fault == "send lost":
                box[0] = None
        except BaseException as error:
            if fault == "finally late" and isinstance(error, GeneratorExit):
                _LATE.append(inner)
                raise
            box.append(error)
            step = inner.throw


async def _async_generator(inner: Any, fault: str | None) -> Any:
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, (lambda inner: None) if hooks.finalizer else None)
    step, box = inner.asend, [inner.asend(None)]
    sys.set_asyncgen_hooks(*hooks)
    while True:
        try:
            box.append(await box.pop())
        except StopAsyncIteration:
            return
        except BaseException:
            del inner, step
            raise
        try:
            box.append((yield box.pop()))
            if fault == "asend lost":
                box[0] = None
            step = inner.asend
        except BaseException as error:
            if fault == "aclose late" and isinstance(error, GeneratorExit):
                _LATE.append(inner)
                raise
            box.append(error)
            step = inner.athrow
        box.append(step(box.pop()))
