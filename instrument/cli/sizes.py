"""Sizes and numbers as people write them: `10 MB` is 10,000,000 bytes, `10 MiB` is 10,485,760."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_SIZE = re.compile(r"\s*(\d[\d_]*(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", re.IGNORECASE | re.ASCII)


def in_bytes(text: str) -> int:
    """`500000`, `500 kB` or `1.5GiB` as bytes. Raises `ValueError` for anything else."""
    found = _SIZE.fullmatch(text) if len(text) <= 40 else None
    if found is None:
        raise ValueError(f"{text[:40]!r} is no size: give bytes, or a number with kB, MB, GB, KiB, MiB, GiB")
    return int(float(found[1]) * _UNITS[(found[2] or "").lower()])


def in_words(size: int) -> str:
    """Bytes with three digits and a unit: `812 B`, `1.23 MB`."""
    number = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def from_zero_up(text: str) -> float | None:
    """The number, unless it is none, negative or without end."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None


def whole(what: str, least: int = 0) -> Callable[[str], int]:
    """For argparse: a whole number of something, such as `traces`, and what is said of anything else."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 1000 and int(text) >= least):
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number of {what}: give {least} or more")
        return int(text)

    return read


def any_number(what: str, such_as: str) -> Callable[[str], float]:
    """For argparse: a number from 0 up, such as a `duration in seconds`, and what is said of anything else."""

    def read(text: str) -> float:
        found = from_zero_up(text)
        if found is None:
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is no {what}: give a number such as {such_as}")
        return found

    return read
