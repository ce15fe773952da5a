"""Whether a recording holds all traces, or those that sampling has stored."""

from __future__ import annotations

import os
import re

from instrument.attributes import SAMPLING_RATE
from instrument.store.jsonl import files

STORED = "sampling has stored what matters and a share of the other traces, so that errors weigh more than they do"
"""What to say beside numbers over all traces of such a recording."""
_MARK = re.compile(rf'"{re.escape(SAMPLING_RATE)}":(0|[\d.]+e-)'.encode())
_LOOKED_AT = 1 << 20
"""Bytes of each file: every root that sampling has stored is marked."""


def is_sampled(path: str | os.PathLike[str]) -> bool:
    """Whether some of the traces that are stored below `path` stand for others that are not."""
    return any(_holds_mark(file) for file in files(path))


def _holds_mark(file: os.PathLike[str]) -> bool:
    try:
        with open(file, "rb") as stream:
            return _MARK.search(stream.read(_LOOKED_AT)) is not None
    except OSError:
        return False
