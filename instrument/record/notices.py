"""What the recording says about itself: one line on stderr through loguru for each sentence, each only once."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

_said: set[str] = set()


def notice(sentence: str) -> None:
    """Say `sentence` once, without secrets that an error may quote; never raises, whatever has become of loguru."""
    if sentence in _said or len(_said) > 1000:
        return
    _said.add(sentence)
    with suppress(Exception):  # nobody is listening
        from instrument.redact import Redactor

        _log(" ".join(Redactor(os.urandom(32)).text(sentence).splitlines()))


def _log(line: str) -> None:
    try:
        from loguru import logger

        logger.bind(instrument=True).opt(depth=2).warning("instrument: {}", line)
    except Exception:  # noqa: BLE001 - the last word must not fail
        sys.stderr.write(f"instrument: {line}\n")
