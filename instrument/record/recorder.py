"""The installed recorder: one process's recording, and everything about it that changes."""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from instrument.analysis.running import Running
from instrument.errors import InstrumentError
from instrument.model import Batch, Cost, Finding, Head, Record, Run, Sink, Span, Update, Usage
from instrument.pricing import Prices
from instrument.record import llm, streams
from instrument.record.capture import Camera, settle
from instrument.record.failures import describe
from instrument.record.hidden import without_words
from instrument.record.lanes import Bounds
from instrument.record.later import Later, reported
from instrument.record.pipeline import Flushed, Pipeline
from instrument.record.plan import MODEL_KINDS
from instrument.record.sampling import Rules, Sampling
from instrument.record.settle import finished, line_of, open_record, span_record, together
from instrument.record.spans import LiveSpan
from instrument.store.spool import Held, Spool

if TYPE_CHECKING:
    from instrument.detectors import Detectors
    from instrument.record.context import Place
    from instrument.redact import Redactor
    from instrument.store.blobs import Blobs

ANNOUNCE_NS = 50_000_000
"""A span that has been open for longer is written as an `open` record."""

WATCH_SECONDS = 0.05

TICK_NS = 1_000_000_000
"""How often the detectors are shown what is open."""

ANNOUNCED_AT_ONCE = frozenset({"agent", "workflow", "step"})


class Begun(Struct, gc=False):
    """Queued when a span begins that is worth announcing at once, so that live views show it before its children."""

    span: LiveSpan


class Guard(Protocol):
    """Asked before a call, told after it. It may refuse the call by raising, nothing else."""

    def before(self, span: LiveSpan, /) -> None:
        """Raise to refuse the call."""

    def after(self, span: LiveSpan, /) -> None:
        """The call is over; called on the caller's thread, also when the call failed."""


class Recorder:
    """Ids, clock, capture, guards, the spans that are open, and the way to the sinks.

    `clock` gives monotonic nanoseconds, `now` the wall clock at the start plus the monotonic clock since, so that
    order and durations survive a jumping clock. `guards` are asked where a budget is in force, or at every call when
    `asks_always`. `origin` is the span of another process that roots hang below. `redactor` is None only in tests.
    `notify` says a sentence about the recording itself, `closing` is done last of all.
    """

    def __init__(
        self,
        run: Run,
        sinks: Sequence[Sink],
        *,
        camera: Camera,
        redactor: Redactor | None = None,
        blobs: Blobs | None = None,
        guards: tuple[Guard, ...] = (),
        asks_always: bool = False,
        prices: Prices | None = None,
        asks_stream_usage: bool = True,
        detectors: Detectors | None = None,
        sampling: Rules = Rules(),  # noqa: B008 - it cannot be changed
        spool: Spool | None = None,
        bounds: Bounds = Bounds(),  # noqa: B008 - it cannot be changed
        notify: Callable[[str], None] = lambda sentence: None,
        closing: Callable[[], None] | None = None,
        clock: Callable[[], int] = time.perf_counter_ns,
        ids: random.Random | None = None,
        origin: Place | None = None,
    ) -> None:
        self.run = run
        self.clock = clock
        self.value = camera.taken
        self.arguments = camera.taken_arguments
        self._hides_words = not camera.content
        self.guards = guards
        self.asks_always = asks_always
        self.read_answer = llm.read_answer
        self.follow = streams.follow
        self.assemble = streams.assemble
        self.take_over = llm.take_over
        self.open: dict[LiveSpan, None] = {}
        self.faults: Counter[str] = Counter()
        self.running = Running()
        self.stores = bool(sinks)
        self.sampling = Sampling(sampling, spool or Held(), self._open_traces)
        self._later = Later(self._took, self._completed, self.fault)
        self.pipeline = Pipeline(
            sinks, self._settle, self._watch, self._sink_failed, bounds, self.sampling, self._later
        )
        self._later.attach(self.pipeline)
        self.queue = self.pipeline.queue
        self._redactor = redactor
        self._redact = _unredacted if redactor is None else redactor.line
        self._is_clean: Callable[[bytes], bool] | None = getattr(redactor, "is_clean", None)
        self._blobs = blobs
        self.prices = prices or Prices()
        self.asks_stream_usage = asks_stream_usage
        self._detectors = detectors
        self.records_all = self.sampling.follows or detectors is not None
        """Whether traces that the rate leaves out are recorded all the same."""
        self.skips = not (self.records_all or asks_always)
        """Whether calls in traces that are not stored concern nobody, unless a budget is in force."""
        self._notify = notify
        self._closing = closing
        ids = ids or random.Random()
        self._bits, self._bytes = ids.getrandbits, ids.randbytes
        self.span_ids: deque[str] = deque()
        self._offset = run.start_ns - clock()
        self._headed = False
        self._next_tick = 0
        self.origin = origin

    def now(self) -> int:
        """Nanoseconds since the epoch."""
        return self._offset + self.clock()

    def wall(self, moment: int) -> int:
        """A moment of the monotonic clock in nanoseconds since the epoch."""
        return self._offset + moment

    def new_trace_id(self) -> str:
        """32 hexadecimal digits, from a generator of our own: the user's `random` is neither read nor moved."""
        return f"{self._bits(128) or 1:032x}"

    def new_span_id(self) -> str:
        """16 hexadecimal digits; further ones are laid up in `span_ids`, because one at a time takes twice as long."""
        digits = self._bytes(8 * 64).hex()
        self.span_ids.extend([digits[at : at + 16] for at in range(16, len(digits), 16)])
        return digits[:16]

    def samples(self, trace_id: str, name: str) -> bool:
        """Whether the trace of this root is stored whatever becomes of it; the same for every process that sees it."""
        return self.sampling.samples(trace_id, name)

    def _open_traces(self) -> list[str]:
        return [span.trace_id for span in list(self.open)]

    def opened(self, span: LiveSpan) -> None:
        """Keep sight of a span that is running."""
        self.open[span] = None
        if span.sampled is False:
            self.sampling.met(span.trace_id, is_root=span.parent_id is None)
        if span.kind in ANNOUNCED_AT_ONCE:
            span.started = self.clock()
            self.pipeline.put(Begun(span))
        if self.pipeline.asleep:
            self.pipeline.wake()

    def ask_guards(self, span: LiveSpan) -> None:
        """Raise what a guard refuses the call with; the refused call is recorded as failed."""
        span.started = self.clock()
        for guard in self.guards:
            try:
                guard.before(span)
            except InstrumentError as refusal:
                span.refused = True
                span.fail(refusal)
                raise
            except Exception as error:  # noqa: BLE001 - no fault of ours reaches the user's code
                self.fault("guard", error)

    def _tell_guards(self, span: LiveSpan) -> None:
        for guard in self.guards:
            try:
                guard.after(span)
            except Exception as error:  # noqa: BLE001 - no fault of ours reaches the user's code
                self.fault("guard", error)

    def take(self, span: LiveSpan) -> None:
        """Hand over a span that has ended, once; what began before a fork stays with the process that began it."""
        if span.taken:
            return
        span.taken = True
        self.open.pop(span, None)
        if self.asks_always or span.budgets:
            self._tell_guards(span)
        self.pipeline.put(span)

    def put(self, record: Record, depth: int = 0) -> None:
        """Hand over a finished record that belongs `depth` levels below its root."""
        self.pipeline.put((record, depth))

    def fault(self, where: str, error: BaseException) -> None:
        """Count a fault of ours; the first of its kind is said aloud."""
        key = f"{where}: {type(error).__name__}"
        self.faults[key] += 1
        if self.faults[key] == 1:
            self._notify(f"a fault of the recording itself was kept from your program ({key}: {error!s:.200})")

    def agent_id_of(self, instance: object, attribute: str) -> str | None:
        """What the agent's instance calls itself; None while it has no such attribute."""
        try:
            found = getattr(instance, attribute, None)
            return None if found is None else str(found)
        except Exception as error:  # noqa: BLE001 - a property of the user's may do anything
            self.fault("agent id", error)
            return None

    def flush(self, timeout: float | None = 30.0) -> Flushed:
        """Return when everything ended before is where it belongs; says what was written and lost."""
        self.pipeline.flush(timeout)
        return self.told()

    def close(self, timeout: float = 2.0) -> Flushed:
        """Write what is left, close the sinks, and last do what `closing` says."""
        self.pipeline.close(timeout)
        if self._closing is not None:
            self._closing()
        return self.told()

    def abandon(self) -> None:
        """In a forked child: take nothing more, touch no sink."""
        self.pipeline.abandon()

    def told(self) -> Flushed:
        """What was written and what was lost, faults of the recording included."""
        written, lost = self.pipeline.told()
        unstored = {} if self._blobs is None else {f"long values: {why}": n for why, n in self._blobs.lost.items()}
        return Flushed(
            written, {**lost, **unstored, **{f"fault in {where}": count for where, count in self.faults.items()}}
        )

    def _settle(self, items: list[Any]) -> Batch:
        if not self._headed:
            self._headed = True
            items.insert(0, (self.run, 0))
        batch = self._batch(*self._records_of(items))
        if self._later.unpriced or self.pipeline.defers():
            batch.unpriced, self._later.unpriced = self._later.unpriced, {}
            return batch
        return self._looked_at(batch)

    def _records_of(self, items: list[Any]) -> tuple[list[Record], list[int]]:
        """What was queued as records, and how deep each lies."""
        records: list[Record] = []
        depths: list[int] = []
        hidden = self._redactor.keyed_hash if self._redactor is not None and self._hides_words else None
        for item in items:
            try:
                is_live = item.__class__ is LiveSpan
                record, depth = (self._ended(item), item.depth) if is_live else self._other(item)
                if record is not None:
                    records.append(record if hidden is None else without_words(record, hidden))
                    depths.append(depth)
            except Exception as error:  # noqa: BLE001 - one odd record must not cost the others
                self.fault("settle", error)
        return records, depths

    def _completed(self, batch: Batch, late: Mapping[int, Update]) -> tuple[Batch, Batch]:
        """The batch with the usage and cost that came late, by place, and with findings; and these alone."""
        records, lines = list(batch), list(batch.lines)
        for at, update in late.items():
            try:
                whole_span = replace(records[at], usage=update.usage, cost=update.cost)
                records[at], lines[at] = line_of(whole_span, self._redact)
            except Exception as error:  # noqa: BLE001 - a span without its price is better than none
                self.fault("price", error)
        whole = self._looked_at(Batch(records, lines, batch.depths))
        known = set(map(id, records))
        rest: list[Record] = [*late.values(), *(record for record in whole if id(record) not in known)]
        return whole, self._batch(rest, [0] * len(rest))

    def _looked_at(self, batch: Batch) -> Batch:
        """The batch and what the detectors find in it, counted."""
        if self._detectors is not None:
            batch = self._with_findings(batch, self._detectors)
        self._count(batch)
        return batch

    def _count(self, batch: Batch) -> None:
        try:
            self.running.feed(batch)
        except Exception as error:  # noqa: BLE001 - an odd record must not cost the others
            self.fault("count", error)

    def _other(self, item: Any) -> tuple[Record | None, int]:
        if item.__class__ is Begun:
            return self._begun(item.span)
        record, depth = item
        return finished(record, self._finish), depth

    def _batch(self, records: list[Record], depths: list[int]) -> Batch:
        """Everything encoded and without secrets."""
        data = None if self._is_clean is None else together(records)
        if data is not None and self._is_clean is not None and self._is_clean(data):
            return Batch(records, depths=depths, data=data)
        kept: list[tuple[Record, bytes, int]] = []
        for record, depth in zip(records, depths, strict=True):
            try:
                kept.append((*line_of(record, self._redact), depth))
            except Exception as error:  # noqa: BLE001 - one odd record must not cost the others
                self.fault("settle", error)
        return Batch([record for record, _, _ in kept], [line for _, line, _ in kept], [depth for _, _, depth in kept])

    def _with_findings(self, batch: Batch, detectors: Detectors) -> Batch:
        """The batch with each finding of the detectors directly behind the span that it was found with."""
        found = self._found_in(batch, detectors)
        if not found:
            return batch
        records, lines, depths = list(batch), list(batch.lines), list(batch.depths)
        for at in reversed(range(len(batch))):
            findings = found.get(id(records[at]), [])
            more = self._batch(findings, [depths[at]] * len(findings))
            records[at + 1 : at + 1], lines[at + 1 : at + 1], depths[at + 1 : at + 1] = more, more.lines, more.depths
        return Batch(records, lines, depths)

    def _found_in(self, batch: Batch, detectors: Detectors) -> dict[int, list[Record]]:
        """What the detectors find, by the identity of the span."""
        found: dict[int, list[Record]] = {}
        spans = (record for record in batch if record.__class__ is Span)
        try:
            for span in detectors.worth_feeding(spans):
                if findings := detectors.feed(span):
                    found[id(span)] = [self._signed(finding) for finding in findings]
        except Exception as error:  # noqa: BLE001 - a fault in a detector must not cost the spans
            self.fault("detect", error)
        return found

    def _signed(self, finding: Finding) -> Finding:
        return replace(finding, run=self.run.run)

    def _ended(self, live: LiveSpan) -> Span | None:
        if live.settled or not (live.sampled or self._records(live)):
            return None
        live.settled = True
        if live.unsettled is not None:
            live.status, live.error, live.unsettled = "error", describe(live.unsettled), None
        if live.duration is None:
            live.duration = self.clock() - live.started
        if not live.taken:  # queued at the recursion limit
            self.open.pop(live, None)
        start = self._offset + live.started
        if live.kind in MODEL_KINDS or live.tokens is not None:
            if self._later.takes(live, self.prices):
                return span_record(live, self.run.run, start, self._finish, reported(live))
            record = span_record(live, self.run.run, start, self._finish, *self._took(live, start))
        else:
            record = span_record(live, self.run.run, start, self._finish)
        live.input = live.output = None
        return record

    def _records(self, live: LiveSpan) -> bool:
        """Whether anybody wants to know: of what is not stored the detectors and, of model calls, the ledger."""
        if live.sampled is None:
            return False  # made by a sink
        return live.sampled or self.records_all or live.kind in MODEL_KINDS or live.tokens is not None

    def _took(self, live: LiveSpan, start: int) -> tuple[Usage | None, Cost | None]:
        """Usage and cost of a call that has ended."""
        try:
            return llm.settled(live, self.prices, start)
        except Exception as error:  # noqa: BLE001 - a span without its price is better than none
            self.fault("price", error)
            return (reported(live), Cost()) if live.tokens else (None, None)

    def _finish(self, captured: Any) -> Any:
        return settle(captured, self._redactor, self._blobs)

    def _watch(self) -> tuple[list[Any], float | None]:
        """Open spans that are news, and what the detectors say of those that stay open; when to look again."""
        try:
            return self._news()
        except Exception as error:  # noqa: BLE001 - the worker must go on
            self.fault("watch", error)
            return [], TICK_NS / 1e9

    def _news(self) -> tuple[list[Any], float | None]:
        open_spans = list(self.open)
        if not open_spans:
            return [], None
        late = self.clock() - ANNOUNCE_NS
        fresh = [span for span in open_spans if not span.announced and self._stores(span)]
        said: list[Any] = [Begun(span) for span in fresh if 0 < span.started < late]
        if self._detectors is not None and self.clock() >= self._next_tick:
            self._next_tick = self.clock() + TICK_NS
            said += [
                (self._signed(finding), 0) for finding in self._detectors.tick(self.now(), self._heads(open_spans))
            ]
        return said, (WATCH_SECONDS if len(said) < len(fresh) else TICK_NS / 1e9)

    def _heads(self, spans: list[LiveSpan]) -> list[Head]:
        return [
            Head(span.trace_id, span.span_id, span.parent_id, self.wall(span.started), span.kind, span.name)
            for span in spans
            if span.announced and span.duration is None
        ]

    def _begun(self, span: LiveSpan) -> tuple[Record | None, int]:
        """The head of an agent's run or step that is still running; one that is over already needs none."""
        is_news = span.duration is None and span.started > 0 and self._stores(span) and not span.announced
        return self._announce(span) if is_news else (None, 0)

    def _stores(self, span: LiveSpan) -> bool:
        """Whether the span is stored, or may be."""
        return span.sampled or (span.sampled is False and self.sampling.follows)

    def _announce(self, span: LiveSpan) -> tuple[Record, int]:
        span.announced = True
        return open_record(span, self.run.run, self._offset + span.started, self._finish), span.depth

    def _sink_failed(self, name: str, why: str) -> None:
        self._notify(f"the sink {name} failed and is switched off, the others go on ({why})")


def _unredacted(line: bytes, start: int) -> bytes:
    return line
