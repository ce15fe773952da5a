"""Functions of Python and of libraries that are wrapped, each once in a process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import wrapt

Wrapper = Callable[..., Any]
_patched: set[tuple[Any, ...]] = set()


def patch(owner: Any, name: str, wrapper: Wrapper) -> None:
    """Put wrapt's `wrapper` around a function of a class or module."""
    if (owner, name) not in _patched:
        _patched.add((owner, name))
        wrapt.wrap_function_wrapper(owner, name, wrapper)


def patch_later(module: str, owner: str, name: str, wrapper: Wrapper) -> None:
    """The same of a class in a module, when that is imported, if it has it: an error would be that of the import."""

    def imported(found: Any) -> None:
        if hasattr(getattr(found, owner, None), name):
            patch(getattr(found, owner), name, wrapper)

    if (module, owner, name) not in _patched:
        _patched.add((module, owner, name))
        wrapt.register_post_import_hook(imported, module)
