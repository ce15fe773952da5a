"""Processes of `multiprocessing` that are not forked know what forked ones do: where they hang, and the settings.

Python pickles the process for them. What it is told goes along beside a text that the process keeps anyhow.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from instrument.record.headers import extract, inject
from instrument.record.patching import patch_later

__tracebackhide__ = True  # as in `wrappers`

told: tuple[Callable[[], bytes], Mapping[str, str]] | None = None
"""What gives the settings in force, pickled, and the environment variables that go with them."""
handed: bytes | None = None
"""The settings that were in force where this process was started, pickled."""

_LAUNCHES = "multiprocessing.popen_spawn_posix", "multiprocessing.popen_forkserver"
_around: list[Any] = []
"""What is not left as long as this process lives."""


def hand_on(given: Callable[[], bytes], environment: Mapping[str, str]) -> None:
    """To processes that are started from now on; what they set or configure themselves wins."""
    global told
    told = given, environment
    for module in _LAUNCHES:
        patch_later(module, "Popen", "_launch", _launch)


def _launch(wrapped: Callable[..., Any], popen: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    process: Any = args[0] if args else None
    text = getattr(process, "_parent_name", None)
    if text is None or told is None:
        return wrapped(*args, **kwargs)
    (settings, environment), pickled = told, None
    with suppress(Exception):
        pickled = settings()
    process._parent_name = Beside(text, inject({}), environment, pickled)
    try:
        return wrapped(*args, **kwargs)
    finally:
        process._parent_name = text


class Beside:
    """A text that, unpickled in another process, is itself again; the process then knows what it was told."""

    __slots__ = ("parts",)

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def __reduce__(self) -> Any:
        return _arrive, self.parts


def _arrive(text: str, headers: Mapping[str, str], environment: Mapping[str, str], pickled: bytes | None) -> str:
    global handed
    handed = pickled
    if pickled is not None:
        hand_on(lambda: pickled, environment)
    record_as_told(environment)
    with suppress(Exception):  # of which the process knows nothing
        _around.append(extract(headers))
        _around[-1].__enter__()
    return text


def record_as_told(environment: Mapping[str, str]) -> None:
    """By the variables of the process that started this one, but for those that are set here."""
    for name, value in environment.items():
        os.environ.setdefault(name, value)
