"""Printing on whatever stdout is."""

from __future__ import annotations

import sys


def say(text: str, end: str = "\n", before: str = "") -> None:
    """Print the text and a newline; what the stream's encoding cannot show is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(before + text.encode(encoding, "backslashreplace").decode(encoding) + end)
