"""Printing on whatever stdout and stderr are."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

import msgspec

from instrument.views.theme import clean, encodable


def say(text: str, end: str = "\n", before: str = "") -> None:
    """Print the text and a newline; what the stream's encoding cannot show is escaped."""
    sys.stdout.write(before + encodable(text, sys.stdout) + end)


def tell(notices: Iterable[str]) -> None:
    """Say on stderr what could not be read."""
    for sentence in notices:
        sys.stderr.write(f"note: {clean(sentence)}\n")


def json_document(value: Any) -> str:
    """The value as indented JSON."""
    try:
        return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    except UnicodeEncodeError:  # the name of a file need not be text
        return json.dumps(msgspec.to_builtins(value), indent=2)
