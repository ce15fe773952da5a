"""Prices and the ranks that tokens are counted with take a second to load: that is done once, beside the worker."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from instrument import pricing, tokens
from instrument.record.shift import name_for_the_system
from instrument.signals import leave_to_others


class Tables:
    """What the model calls of this process need to be priced and counted.

    `hurry` is called before a step in which no other thread runs, `done` when all is loaded.

    `busy` is held while something loads: a fork must wait for it, or the child would wait for ever for a lock.
    """

    def __init__(self, hurry: Callable[[], None], done: Callable[[], None]) -> None:
        self.busy = threading.Lock()
        self._hurry = hurry
        self._done = done
        self._wanted: deque[tuple[str | None, bool]] = deque()
        self._thread: threading.Thread | None = None

    def want(self, model: str | None, counts: bool) -> None:
        """Note what a call of this model needs; ranks only where its tokens must be counted."""
        self._wanted.append((model, counts))

    def load(self) -> None:
        """Begin to load what is wanted. To start the thread takes a while where others compute."""
        if self._wanted and self.is_ready():
            try:
                self._thread = threading.Thread(target=self._load, name="instrument-tables", daemon=True)
                self._thread.start()
            except RuntimeError:
                self._thread = None  # the interpreter ends: who needs the tables loads them

    def is_ready(self) -> bool:
        """Whether nothing is being loaded."""
        thread = self._thread
        return thread is None or not thread.is_alive()

    def _load(self) -> None:
        name_for_the_system("instrument-tables")
        leave_to_others()
        with self.busy:
            while self._wanted:
                model, counts = self._wanted.popleft()
                try:
                    pricing.load()
                    if counts:
                        tokens.encoding(model, self._hurry)
                except Exception:  # noqa: BLE001, S110 - who needs the tables meets the same fault and reports it
                    pass
        self._thread = None
        self._done()
