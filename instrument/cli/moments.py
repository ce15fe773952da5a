"""Points in time as people write them: `2026-11-23`, `2026-11-23T09:30`, or so long ago, `2h`."""

from __future__ import annotations

import argparse
import re
import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def since(text: str) -> int:
    """A point in time in nanoseconds since the epoch: an ISO date or time, in UTC unless it says otherwise, or `2h`."""
    ago = re.fullmatch(r"(\d{1,9})([smhdw])", text.strip())
    if ago is not None:
        return _recorded(text, time.time_ns() - int(ago[1]) * _SECONDS[ago[2]] * 10**9)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: give 2026-11-23, 2026-11-23T09:30 or 2h, 7d") from None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return _recorded(text, (aware - _EPOCH) // timedelta(microseconds=1) * 1_000)


def _recorded(text: str, ns: int) -> int:
    """The moment, if a record or a ledger can hold it: nanoseconds since 1970 in 64 bits."""
    if not 0 <= ns < 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is too far away: give a time from 1970 to 2262")
    return ns
