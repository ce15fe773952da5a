"""What the recording says about itself: one line on stderr for each sentence, each only once."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

_said: set[str] = set()


def notice(sentence: str) -> None:
    """Say `sentence` once, without secrets that an error may quote; never raises, whatever has become of stderr."""
    if sentence in _said or len(_said) > 1000:
        return
    _said.add(sentence)
    with suppress(Exception):  # nobody is listening
        from instrument.redact import Redactor

        sentence = Redactor(os.urandom(32)).text(sentence)
        sys.stderr.write(f"instrument: {' '.join(sentence.splitlines())}\n")
