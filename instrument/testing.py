"""The test kit: `record()` keeps what is recorded inside a block in memory, and a pytest fixture does so for a test.

with record() as recording:
    agent.run("task")
assert ["think", "Agent.run"] == [span.name for span in recording.spans]
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from instrument import wiring
from instrument.building import build
from instrument.model import Finding, Log, Open, Record, Score, Span
from instrument.record.pipeline import Flushed
from instrument.settings import only
from instrument.sinks.memory import MemorySink


class Recording:
    """What has been recorded so far; reading any of it first waits for what is on its way."""

    def __init__(self, flush: Callable[[], Flushed], memory: MemorySink) -> None:
        self._flush = flush
        self._memory = memory

    @property
    def records(self) -> list[Record]:
        """Every record, in the order of arrival, decoded to plain values."""
        self._flush()
        return list(self._memory.records)

    @property
    def spans(self) -> list[Span]:
        """The spans that have ended, in the order of their end."""
        return [record for record in self.records if isinstance(record, Span)]

    @property
    def open(self) -> list[Open]:
        """The heads of spans that stayed open for a moment."""
        return [record for record in self.records if isinstance(record, Open)]

    @property
    def logs(self) -> list[Log]:
        """The logs, in order."""
        return [record for record in self.records if isinstance(record, Log)]

    @property
    def findings(self) -> list[Finding]:
        """The findings, in order."""
        return [record for record in self.records if isinstance(record, Finding)]

    @property
    def scores(self) -> list[Score]:
        """The scores, in order."""
        return [record for record in self.records if isinstance(record, Score)]

    def span(self, name: str) -> Span:
        """The only span called `name`; raises `LookupError` where there is none or more than one."""
        found = [span for span in self.spans if span.name == name]
        if len(found) != 1:
            names = ", ".join(sorted({span.name for span in self.spans})) or "no spans"
            raise LookupError(f"{len(found)} spans are called {name!r}; recorded: {names}")
        return found[0]

    def children(self, span: Span | None) -> list[Span]:
        """The spans directly below `span` (None: the roots), by their start."""
        parent = None if span is None else span.span_id
        return sorted((s for s in self.spans if s.parent_id == parent), key=lambda s: s.start_ns)

    def flush(self) -> Flushed:
        """What was written and what was lost, by reason."""
        return self._flush()


@contextmanager
def record(
    *,
    clock: Callable[[], int] = time.perf_counter_ns,
    seed: int | None = None,
    sinks: tuple[Any, ...] = (),
    **settings: Any,
) -> Iterator[Recording]:
    """Record what happens inside the block into memory; whatever was configured before is put back at the end.

    Nothing is read from the environment or from files and nothing is written. `clock` (monotonic nanoseconds) and
    `seed` (of the ids) make whole traces predictable; `sinks` get every batch as well; `settings` as for `configure`.
    """
    memory = MemorySink()
    ids = None if seed is None else random.Random(seed)
    effective = only(**settings)
    with wiring.installed(
        lambda: build(effective, [memory, *sinks], blobs=None, clock=clock, ids=ids, origin=None, program=None),
        propagate_threads=effective.propagate_threads,
    ) as recorder:
        recording = Recording(recorder.flush, memory)
        yield recording
        recorder.flush()


try:
    import pytest
except ImportError:  # the kit works without pytest, only the fixture is missing
    pass
else:

    @pytest.fixture
    def recorded() -> Iterator[Recording]:
        """What the test's decorated code records."""
        with record() as recording:
            yield recording
