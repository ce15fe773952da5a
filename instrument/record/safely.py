"""No fault of ours reaches the caller: everything that a patched library runs of ours goes through `safely`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

from instrument.errors import InstrumentError
from instrument.record.switch import switch

P = ParamSpec("P")
R = TypeVar("R")


def safely(do: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R | None:
    """What `do` gives; None where it failed, which is counted and said once. Refusals of a guard pass."""
    try:
        return do(*args, **kwargs)
    except InstrumentError:
        raise
    except Exception as fault:  # noqa: BLE001 - this is the place
        with suppress(Exception):
            if switch.recorder is not None:
                switch.recorder.fault(getattr(do, "__qualname__", "integration"), fault)
        return None
