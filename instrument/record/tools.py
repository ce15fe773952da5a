"""A decorated tool that a framework runs and tells of by the same name is one call: the outer span is a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from instrument.attributes import NO_ITERATION

if TYPE_CHECKING:
    from instrument.record.spans import LiveSpan

Meets = Callable[["LiveSpan"], None]
"""Told of each tool call that ends directly below a span that a framework tells of."""


def around(outer: LiveSpan) -> Meets:
    """Makes a step of a tool call that is told of, where the call itself is recorded in it."""

    def meets(inner: LiveSpan) -> None:
        if called(outer.name) == called(inner.name):
            outer.kind = "step"
            outer.set({NO_ITERATION: True})

    return meets


def called(name: str) -> str:
    """What a tool is called, without the class that it belongs to."""
    return name.rpartition(".")[2]
