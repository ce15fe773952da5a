"""What the recording says about itself: one sentence on stderr through loguru, each only once."""

from __future__ import annotations

import sys
from contextlib import suppress

_said: set[str] = set()


def notice(sentence: str) -> None:
    """Say `sentence` once; never raises, whatever has become of loguru or stderr."""
    if sentence in _said or len(_said) > 1000:
        return
    _said.add(sentence)
    try:
        from loguru import logger

        logger.bind(instrument=True).opt(depth=1).warning("instrument: {}", sentence)
    except Exception:  # noqa: BLE001 - the last word must not fail
        with suppress(Exception):  # nobody is listening
            sys.stderr.write(f"instrument: {sentence}\n")
