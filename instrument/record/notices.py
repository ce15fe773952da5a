"""What the recording says about itself: one line on stderr through loguru for each sentence, each only once."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable
from contextlib import suppress

hide: Callable[[str], str] | None = None
"""Takes out what the settings in force call secret."""
_said: set[str] = set()


def notice(sentence: str) -> None:
    """Say `sentence` once, without secrets that an error may quote, and without what moves a terminal; never raises.

    Nor does it wait: what stderr has no room for is left for the next time.
    """
    if sentence in _said or len(_said) > 1000 or not _has_room():
        return
    _said.add(sentence)
    with suppress(Exception):  # nobody is listening
        _log(_fit_to_show(sentence))


def _fit_to_show(sentence: str) -> str:
    try:
        from instrument.redact import Redactor
        from instrument.views.theme import clean
    except ImportError:  # as in a subinterpreter: what it quotes is left out
        return " ".join(sentence.partition(" (")[0].splitlines())
    told = (hide or Redactor(os.urandom(32)).text)(sentence)
    return clean(" ".join(told.splitlines()))


def _has_room() -> bool:
    """Whether stderr takes a line now: whoever writes into a full pipe that nobody reads waits for ever."""
    try:
        return bool(select.select([], [sys.stderr], [], 0)[1])
    except Exception:  # noqa: BLE001 - it is closed, or no file, or the system does not tell
        return True


def _log(line: str) -> None:
    try:
        from loguru import logger

        logger.bind(instrument=True).opt(depth=2).warning("instrument: {}", line)
    except Exception:  # noqa: BLE001 - the last word must not fail
        sys.stderr.write(f"instrument: {line}\n")
