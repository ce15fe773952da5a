"""Printing on whatever stdout is."""

from __future__ import annotations

import sys

from instrument.views.theme import encodable


def say(text: str, end: str = "\n", before: str = "") -> None:
    """Print the text and a newline; what the stream's encoding cannot show is escaped."""
    sys.stdout.write(before + encodable(text, sys.stdout) + end)
