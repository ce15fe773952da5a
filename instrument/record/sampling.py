"""Which traces are stored: by rate, by the root's name, by the parent's decision, and those that turn out to matter.

The rate decides when the root begins, by the trace id, so that every process decides alike. A trace that it leaves out
is recorded all the same and waits in the spool: when something in it fails, when it has a finding, is slow or dear, it
is stored in full, otherwise forgotten when its root has ended. The root says what was decided and why. Where the root
is in another process, that one decides. Ledger, budgets and detectors see every trace.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from decimal import Decimal
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any, NamedTuple

from msgspec.structs import replace

from instrument.allowed import KEEPS
from instrument.attributes import SAMPLING_RATE
from instrument.model import Batch, Finding, Record, Span, Update, decode, encode
from instrument.statuses import FAILED
from instrument.store.spool import DROPPED, KEPT, Spool

REMEMBERED = 20_000
"""Decisions that are remembered, for what still comes of a trace that is over."""

GRACE_SECONDS = 1.0
"""How long other processes that took part in a trace may ask to keep it after its root has ended."""

ERROR, FINDING, SLOW, DEAR = KEEPS


class Rules(NamedTuple):
    """`rate` of all traces, `names` a rate by the pattern of the root's name, `keep` what is kept whatever the rate.

    Slow is a span of `slow_ns` nanoseconds or more, dear a trace of `dear_usd` or more.
    """

    rate: float = 1.0
    names: tuple[tuple[str, float], ...] = ()
    keep: frozenset[str] = frozenset()
    slow_ns: int = 60 * 10**9
    dear_usd: Decimal = Decimal(1)

    @property
    def keep_all(self) -> bool:
        """Whether there is nothing to decide, but for what a parent decided."""
        return self.rate >= 1 and all(rate >= 1 for _, rate in self.names)


class _Pending:
    """What is known of a trace that is not decided."""

    __slots__ = ("has_ended", "is_spooled", "is_there", "reason", "usd")

    def __init__(self, is_there: bool) -> None:
        self.is_there = is_there  # the root is in this process
        self.has_ended = self.is_spooled = False
        self.reason: str | None = None
        self.usd = Decimal(0)


class Sampling:
    """The decisions of one process; `open_traces` gives the ids of the traces that have open spans."""

    def __init__(self, rules: Rules, spool: Spool, open_traces: Callable[[], Iterable[str]]) -> None:
        self.rules = rules
        self.follows = bool(rules.keep)
        self._spool = spool
        self._open_traces = open_traces
        self._pending: dict[str, _Pending] = {}
        self._decided: OrderedDict[str, str] = OrderedDict()
        self._due: deque[tuple[float, str]] = deque()
        self._shared: set[str] = set()
        spool.sweep()

    # On the caller's thread

    def samples(self, trace_id: str, name: str) -> bool:
        """Whether the trace of this root is stored whatever becomes of it; the same for every process that sees it."""
        rate, _ = self._rate(name)
        return rate >= 1.0 or int(trace_id[16:], 16) < rate * 2**64

    def may_store(self, sampled: bool | None) -> bool:
        """Whether what belongs to a trace that is `sampled` so is stored, or may be once the trace turns out to matter.

        None says that it happens in a sink, to which it would come back.
        """
        return sampled or (sampled is False and self.follows)

    def met(self, trace_id: str, *, is_root: bool) -> None:
        """A span of a trace begins that the rate left out."""
        if not self.follows:
            self._decided[trace_id] = DROPPED
            self._forget()
        elif trace_id not in self._decided:
            pending = self._pending.get(trace_id)
            if pending is None:
                self._pending[trace_id] = _Pending(is_root)
            elif is_root:
                pending.is_there = True

    def share(self, trace_id: str) -> None:
        """Another process is about to work for the trace: it will look for the decision."""
        pending = self._pending.get(trace_id)
        if pending is not None and pending.is_there and trace_id not in self._shared:
            self._shared.add(trace_id)
            self._spool.share(trace_id)

    def share_all(self) -> None:
        """As `share`, for every trace: the process forks."""
        for trace_id in tuple(self._pending):
            self.share(trace_id)

    def _rate(self, name: str) -> tuple[float, str]:
        for pattern, rate in self.rules.names:
            if fnmatchcase(name, pattern):
                return rate, "name"
        return self.rules.rate, "rate"

    # On the worker

    def stores_all(self, batch: Batch) -> bool:
        """Whether the batch is stored now, and its roots have nothing to say of it."""
        if not self.rules.keep_all and any(isinstance(one, Span) and one.parent_id is None for one in batch):
            return False
        traces = {getattr(record, "trace_id", None) or "" for record in batch}
        return not any(trace in self._pending or self._decided.get(trace) == DROPPED for trace in traces)

    def due(self) -> Iterator[Batch]:
        """Traces that waited for other processes and are stored, as one of these asks for it. As `sift`."""
        while self._due and self._due[0][0] < time.monotonic():
            trace_id = self._due.popleft()[1]
            if trace_id in self._pending:
                yield from self._over(trace_id, self._pending[trace_id], Batch([]))

    def sift(self, batch: Batch) -> Iterator[Batch]:
        """What of the batch is stored now, and traces that it decides. What is yielded must be stored at once."""
        if not self._pending and not self._decided:
            yield self._marked(batch)
            return
        stored: list[int] = []
        waiting: dict[str, list[int]] = {}
        for at, record in enumerate(batch):
            trace_id = getattr(record, "trace_id", None) or ""
            if trace_id in self._pending:
                waiting.setdefault(trace_id, []).append(at)
            elif self._decided.get(trace_id) != DROPPED:
                stored.append(at)
        if stored:
            yield self._marked(batch.part(stored) if waiting or len(stored) < len(batch) else batch)
        if waiting:
            open_traces = set(self._open_traces())
            for trace_id, places in waiting.items():
                yield from self._judged(trace_id, batch.part(places), open_traces)
        self._forget()

    def _forget(self) -> None:
        """Forget the oldest decisions, but none about a trace that goes on."""
        if len(self._decided) > REMEMBERED:
            open_traces = set(self._open_traces())
            for trace_id in list(islice(self._decided, REMEMBERED // 10)):
                with suppress(KeyError):  # another thread forgets as well
                    if trace_id in open_traces:
                        self._decided.move_to_end(trace_id)
                    else:
                        del self._decided[trace_id]

    def finish(self) -> Iterator[Batch]:
        """At the end of the process: what has not ended is kept, as if the process had been killed."""
        for trace_id in list(self._pending):  # making pairs of them could run the collector, which begins some
            pending = self._pending[trace_id]
            if not pending.is_there:
                yield from self._leave(trace_id, pending, Batch([]))
            elif pending.has_ended:
                yield from self._over(trace_id, pending, Batch([]))
            else:
                yield from self._keep(trace_id, pending, Batch([]), pending.reason or "unfinished")
        self._spool.sweep()

    def _judged(self, trace_id: str, batch: Batch, open_traces: set[str]) -> Iterator[Batch]:
        pending = self._pending[trace_id]
        for record in batch:
            self._see(record, pending)
        is_over = pending.has_ended and trace_id not in open_traces
        if not pending.is_there:
            if trace_id not in open_traces:
                yield from self._leave(trace_id, pending, batch)
            else:
                yield from self._put_aside(trace_id, pending, batch)
        elif pending.reason is not None:
            yield from self._keep(trace_id, pending, batch, pending.reason)
        elif is_over and trace_id not in self._shared:
            yield from self._over(trace_id, pending, batch)
        elif is_over:  # what other processes have to say of it may come a moment later
            self._due.append((time.monotonic() + GRACE_SECONDS, trace_id))
            yield from self._put_aside(trace_id, pending, batch)
        else:
            yield from self._put_aside(trace_id, pending, batch)

    def _see(self, record: Record, pending: _Pending) -> None:
        reason = None
        if isinstance(record, Span):
            if record.parent_id is None:
                pending.has_ended = True
            if record.status in FAILED:
                reason = ERROR
            elif record.duration_ns >= self.rules.slow_ns:
                reason = SLOW
        elif isinstance(record, Finding) and record.severity != "info":
            reason = FINDING
        if isinstance(record, Span | Update) and record.cost is not None and record.cost.usd is not None:
            pending.usd += Decimal(record.cost.usd)
            if pending.usd >= self.rules.dear_usd:
                reason = reason or DEAR
        if reason in self.rules.keep:
            pending.reason = pending.reason or reason

    def _over(self, trace_id: str, pending: _Pending, batch: Batch) -> Iterator[Batch]:
        """The root has ended, and nothing of the trace is open."""
        reason = self._spool.wanted(trace_id) if trace_id in self._shared else None
        if reason is not None:
            yield from self._keep(trace_id, pending, batch, reason)
            return
        self._drop(trace_id, pending)

    def _drop(self, trace_id: str, pending: _Pending) -> None:
        self._decide(trace_id, DROPPED, DROPPED)
        if pending.is_spooled or trace_id in self._shared:
            self._spool.remove(trace_id, of_all=trace_id in self._shared, taken=False)
            self._shared.discard(trace_id)

    def _keep(self, trace_id: str, pending: _Pending, batch: Batch, reason: str) -> Iterator[Batch]:
        self._decide(trace_id, reason, KEPT)
        on_disk, is_shared = pending.is_spooled or trace_id in self._shared, trace_id in self._shared
        if on_disk:
            yield from self._spooled(trace_id, of_all=is_shared)
        if batch:
            yield self._marked(batch)
        if on_disk:
            self._shared.discard(trace_id)
            self._spool.remove(trace_id, of_all=is_shared, taken=True)

    def _leave(self, trace_id: str, pending: _Pending, batch: Batch) -> Iterator[Batch]:
        """The root is in another process: to that one, if it says in the spool that it decides, else decided here."""
        verdict = self._spool.verdict(trace_id)
        if verdict == KEPT:
            yield from self._keep(trace_id, pending, batch, "parent")
        elif verdict == DROPPED:
            self._drop(trace_id, pending)
        elif not self._spool.is_shared(trace_id):
            yield from (
                self._keep(trace_id, pending, batch, pending.reason)
                if pending.reason is not None
                else self._over(trace_id, pending, batch)
            )
        else:
            if pending.reason is not None:
                self._spool.want(trace_id, pending.reason)
            yield from self._put_aside(trace_id, pending, batch)
            self._pending.pop(trace_id, None)
            if self._spool.verdict(trace_id) == DROPPED:
                self._drop(trace_id, pending)

    def _put_aside(self, trace_id: str, pending: _Pending, batch: Batch) -> Iterator[Batch]:
        if not batch:
            return
        try:
            self._spool.append(trace_id, list(batch.lines))
            pending.is_spooled = True
        except OSError:
            yield from self._keep(trace_id, pending, batch, "cannot be spooled")

    def _decide(self, trace_id: str, decision: str, verdict: str) -> None:
        self._pending.pop(trace_id, None)
        self._decided[trace_id] = decision
        if trace_id in self._shared:
            self._spool.decide(trace_id, verdict)

    def _spooled(self, trace_id: str, *, of_all: bool) -> Iterator[Batch]:
        parents: dict[str, str | None] = {}
        for lines in self._spool.lines(trace_id, of_all=of_all):
            records = [(record, line) for line in lines if (record := _decoded(line)) is not None]
            parents.update(
                (record.span_id, record.parent_id)  # type: ignore[attr-defined]  # spans and heads have both
                for record, _ in records
                if hasattr(record, "parent_id")
            )
            depths = [_depth(getattr(record, "span_id", None), parents) for record, _ in records]
            yield self._marked(Batch([record for record, _ in records], [line for _, line in records], depths))

    # What the root says

    def _marked(self, batch: Batch) -> Batch:
        if self.rules.keep_all:
            return batch
        roots = [at for at, record in enumerate(batch) if isinstance(record, Span) and record.parent_id is None]
        if not roots:
            return batch
        records, lines = list(batch), list(batch.lines)
        for at in roots:
            root: Any = records[at]
            records[at] = replace(root, attributes={**root.attributes, **self._mark(root)})
            lines[at] = encode(records[at])
        return Batch(records, lines, batch.depths)

    def _mark(self, root: Span) -> dict[str, Any]:
        rate, by = self._rate(root.name)
        return {
            "instrument.sampling.decision": KEPT,
            "instrument.sampling.reason": self._decided.get(root.trace_id, by),
            SAMPLING_RATE: rate,
        }


def _decoded(line: bytes) -> Record | None:
    try:
        return decode(line)
    except ValueError:
        return None  # half-written by a process that was killed


def _depth(span_id: str | None, parents: dict[str, str | None]) -> int:
    depth = 0
    while span_id is not None and (span_id := parents.get(span_id)) is not None and depth < 1000:
        depth += 1
    return depth
