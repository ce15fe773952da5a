"""What can become of a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

SENT, LATER, REFUSED = "sent", "later", "refused"


class Outcome(NamedTuple):
    """What became of a request. `wait` is how many seconds the target asked for, `rejected` how much it left out."""

    state: str
    why: str = ""
    wait: float | None = None
    rejected: int = 0


Send = Callable[[bytes, float], Outcome]
"""Takes a request, as it is or compressed by gzip, and how many seconds it may take."""
