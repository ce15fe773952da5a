"""What stands for our functions in a subinterpreter, where not every extension that they need loads."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

_DO_WITHOUT = {"configure", "flush", "log", "score", "shutdown"}


def refuses_subinterpreters(error: ImportError) -> bool:
    """Whether an extension says so."""
    return "subinterpreter" in str(error)


def stand_in(name: str, error: ImportError) -> Callable[..., Any]:
    """Does nothing where a program can do without what it does; anything else is refused when it is called."""

    def unloaded(*args: Any, **kwargs: Any) -> Any:
        if name not in _DO_WITHOUT:
            raise error
        return SimpleNamespace(written=0, lost={})

    return unloaded
