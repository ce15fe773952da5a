"""What stands behind the recorder in tests of it: sinks of few words, and prices that are there when they should be."""

from __future__ import annotations

import threading
from typing import Any

from instrument.model import Batch


class Nothing:
    """A sink that keeps nothing."""

    direct = False

    def write(self, batch: Batch) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class Keeping(Nothing):
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.closed = 0

    def write(self, batch: Batch) -> None:
        self.records.extend(batch)

    def close(self) -> None:
        self.closed += 1


class Direct(Keeping):
    """A sink that is written to at once, as our files are."""

    direct = True


class Tables:
    """What prices model calls, once it is ready; there is nothing to add to any of these."""

    def __init__(self, *, ready: bool = True) -> None:
        self.busy = threading.Lock()
        self.ready = ready

    def is_ready(self) -> bool:
        return self.ready

    def load(self) -> None: ...

    def complete(self, batch: Batch) -> tuple[Batch, Batch]:
        return batch, Batch([])
