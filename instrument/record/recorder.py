"""The installed recorder: one process's recording, and everything about it that changes."""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from instrument.analysis.running import Running
from instrument.cutting import beginning
from instrument.errors import InstrumentError
from instrument.kinds import ANNOUNCED
from instrument.model import Cost, Record, Run, Sink, Usage
from instrument.pricing import Prices
from instrument.record import llm, streams
from instrument.record.capture import Camera, large_bytes, left_out
from instrument.record.failures import message_of
from instrument.record.finished import UNFINISHED, span_record
from instrument.record.lanes import Bounds
from instrument.record.pipeline import Flushed, Pipeline
from instrument.record.safely import safely
from instrument.record.sampling import Rules, Sampling
from instrument.record.settling import Settling
from instrument.record.spans import Begun, LiveSpan, Told
from instrument.record.tools import Meets
from instrument.store.spool import Held, Spool

if TYPE_CHECKING:
    from instrument.detectors import Detectors
    from instrument.record.context import Place
    from instrument.redact import Redactor
    from instrument.store.blobs import Blobs


NO_MEMORY = "recording: MemoryError"
"""What this is counted as is there from the beginning: to make it takes memory."""


class Guard(Protocol):
    """Asked before a call, told after it. It may refuse the call by raising, nothing else."""

    def before(self, span: LiveSpan, /) -> None:
        """Raise to refuse the call."""

    def after(self, span: LiveSpan, /) -> None:
        """The call is over; called on the caller's thread, also when the call failed."""

    def met(self, span: Any, /) -> None:
        """A call begins that others tell of; it goes on whatever the guard thinks of it."""

    def spent(self, recorder: Recorder, span: Any, usage: Usage, cost: Cost | None, /) -> None:
        """Such a call is over that is no live span of ours, and took so much."""


class Recorder:
    """Ids, clock, capture, guards, the spans that are open, and the way to the sinks.

    `clock` gives monotonic nanoseconds, `now` the wall clock at the start plus the monotonic clock since, so that
    order and durations survive a jumping clock. `guards` are asked where a budget is in force, or at every call when
    `asks_always`. `origin` is the span of another process that roots hang below, `program` says which of them hang
    below the run of a program instead. `notify` says a sentence about the
    recording itself, `closing` is done last of all.
    """

    def __init__(
        self,
        run: Run,
        sinks: Sequence[Sink],
        *,
        camera: Camera,
        redactor: Redactor,
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
        program: Callable[[LiveSpan, LiveSpan | Place], Place | None] | None = None,
    ) -> None:
        self.run = run
        self.clock = clock
        self.value = camera.taken
        self.attributes = camera.attributes
        self.arguments = camera.taken_arguments
        self.holds = camera.holds
        self._quotes = camera.content
        self.guards = guards
        self.asks_always = asks_always
        # spans call these by way of us: their modules import that of spans
        self.read_answer = llm.read_answer
        self.follow = streams.follow
        self.assemble = streams.assemble
        self.take_over = llm.take_over
        self.open: dict[LiveSpan, streams.Droppable | None] = {}
        self.told_tools: dict[str, Meets] = {}
        """By span id, the tool calls that frameworks tell of and that run; of most programs none."""
        self.faults = Counter({NO_MEMORY: 0})
        self.running = Running()
        self.stores = bool(sinks)
        self.sampling = Sampling(sampling, spool or Held(), self._open_traces)
        self._blobs = blobs
        self.prices = prices or Prices()
        self.asks_stream_usage = asks_stream_usage
        self.records_all = self.sampling.follows or detectors is not None
        """Whether traces that the rate leaves out are recorded all the same."""
        self.skips = not (self.records_all or asks_always)
        """Whether calls in traces that are not stored concern nobody, unless a budget is in force."""
        self._notify = notify
        self._closing = closing
        ids = ids or random.Random()
        self._bits, self._bytes = ids.getrandbits, ids.randbytes
        self.span_ids: deque[str] = deque()
        self.offset = run.start_ns - clock()
        self.run_id = run.run
        # most spans have these in common; the worker empties both, so that what a sink adds is in no later batch
        self.no_extra: dict[str, Any] = {}
        self.none: list[Any] = []
        settling = Settling(self, redactor, blobs, detectors, hides_words=not camera.content)
        self.pipeline = Pipeline(
            sinks, settling.settle, settling.watch, self._sink_failed, bounds, self.sampling, settling.later
        )
        settling.later.attach(self.pipeline)
        self.queue = self.pipeline.queue
        self.origin = origin
        self.program = program

    def now(self) -> int:
        """Nanoseconds since the epoch."""
        return self.offset + self.clock()

    def wall(self, moment: int) -> int:
        """A moment of the monotonic clock in nanoseconds since the epoch."""
        return self.offset + moment

    def new_trace_id(self) -> str:
        """32 hexadecimal digits, from a generator of our own: the user's `random` is neither read nor moved."""
        return f"{self._bits(128) or 1:032x}"

    def new_span_id(self) -> str:
        """16 hexadecimal digits; further ones are laid up in `span_ids`, because one at a time takes twice as long."""
        first, *others = self._bytes(8 * 64).hex(" ", 8).split()
        self.span_ids.extend(others)
        return first

    def _open_traces(self) -> list[str]:
        return [span.trace_id for span in list(self.open)]

    def opened(self, span: LiveSpan) -> None:
        """See to what a span needs that has begun: traces that are not sampled, live views, a worker that sleeps."""
        if span.sampled is False:
            self.sampling.met(span.trace_id, is_root=span.parent_id is None)
        if span.kind in ANNOUNCED:
            span.started = self.clock()
            self.announce(span)
        if self.pipeline.asleep:
            self.pipeline.wake()

    def announce(self, span: LiveSpan) -> None:
        """Have live views show the span before what happens below it."""
        self.pipeline.put(Begun(span))

    def ask_guards(self, span: LiveSpan) -> None:
        """Raise what a guard refuses the call with; the call is recorded as refused."""
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
        self._each_guard(lambda guard: guard.after(span))

    def meet(self, span: Any) -> None:
        """Show the guards a call that others tell of, which is not refused."""
        self._each_guard(lambda guard: guard.met(span))

    def spent(self, span: Any, usage: Usage, cost: Cost | None) -> None:
        """Tell the guards what such a call took, where it is no live span."""
        self._each_guard(lambda guard: guard.spent(self, span, usage, cost))

    def _each_guard(self, tell: Callable[[Guard], None]) -> None:
        for guard in self.guards:
            try:
                tell(guard)
            except Exception as error:  # noqa: BLE001 - no fault of ours reaches the user's code
                self.fault("guard", error)

    def take(self, span: LiveSpan) -> None:
        """Hand over a span that has ended, once; what began before a fork stays with the process that began it."""
        if span.taken:
            return
        span.taken = True
        self.open.pop(span, None)
        if self.told_tools and span.kind == "tool" and (meets := self.told_tools.get(span.parent_id or "")):
            meets(span)
        if self.asks_always or span.budgets:
            self._tell_guards(span)
        pipeline = self.pipeline
        queue = pipeline.queue
        if len(queue) >= pipeline.room.free:
            self._see_to_long_values(span)
            pipeline.put(span)
            return
        if (
            span.sampled
            and span.seldom is None
            and span.shared is None
            and span.agent_id is None
            and span.input.__class__ is dict
            and span.output.__class__ not in UNFINISHED
            and not span.plan.is_model_call
        ):  # nothing is left to find out, and of its record the collector need not look at anything
            item = (span_record(span, self, span.input, span.output), span.depth)
            span.settled = True  # no signal is handled between this and the next line: behind one it is queued again
            queue.append(item)
            span.input = span.output = None
        else:
            self._see_to_long_values(span)
            queue.append(span)
        if pipeline.asleep:  # asked behind it: the worker may have gone to sleep in between
            pipeline.wake()

    def _see_to_long_values(self, span: LiveSpan) -> None:
        """Leave out the long values of a span that there is no room for; the span itself is recorded all the same.

        Those of model calls are kept: tokens may have to be counted in them.
        """
        size = large_bytes(span.input) + large_bytes(span.output)
        if not size:
            return
        if self.pipeline.room.takes_large(size, always=span.plan.is_model_call):
            span.large = size
        else:
            span.input, span.output = left_out(span.input), left_out(span.output)

    def put(self, record: Record, depth: int = 0) -> None:
        """Hand over a record that belongs `depth` levels below its root."""
        self.pipeline.put(Told(record, depth))

    def fault(self, where: str, error: BaseException) -> None:
        """Count a fault of ours; the first of its kind is said aloud, in words where contents may be told."""
        if isinstance(error, MemoryError):  # which leaves no room for words
            self.faults[NO_MEMORY] += 1
            return
        key = f"{where}: {type(error).__name__}"
        self.faults[key] += 1
        if self.faults[key] == 1:
            told = f": {beginning(message_of(error), 200)}" if self._quotes else ""
            self._notify(f"a fault of the recording itself was kept from your program ({key}{told})")

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

    def close(self, timeout: float = 2.0, *, has_heir: bool = False) -> Flushed:
        """Write what is left, close the sinks, and last do what `closing` says.

        Streams that are still read end here, unless `has_heir`; what else is open is written as unfinished.
        """
        for span in list(self.open):  # making pairs of them could run the collector, which ends some
            listener = self.open.get(span)
            if listener is not None and not has_heir:
                safely(listener.drop)
            elif span.duration is None:
                self.pipeline.put(Begun(span))
        self.pipeline.close(timeout, has_heir=has_heir)
        try:
            if self._closing is not None:
                self._closing()
        except Exception as error:  # noqa: BLE001 - the program may have put anything in the place of what it needs
            self.fault("closing", error)
        return self.told()

    def adopt(self, item: Any) -> None:
        """Queue what began under another recorder, which this one has replaced, and has ended now."""
        if item.__class__ is LiveSpan and item.sampled is False:
            self.sampling.met(item.trace_id, is_root=item.parent_id is None)
        self.pipeline.put(item)

    def abandon(self) -> None:
        """In a forked child: take nothing more, touch no sink, ask no guard whose lock a thread of the parent has."""
        self.guards = ()
        self.pipeline.abandon()

    def told(self) -> Flushed:
        """What was written and what was lost, faults of the recording included."""
        written, lost = self.pipeline.told()
        unstored = (
            {} if self._blobs is None else {f"long values: {why}": n for why, n in dict(self._blobs.lost).items()}
        )
        counted = dict(self.faults)  # other threads count meanwhile
        faults = {f"fault in {where}": count for where, count in counted.items() if count}
        return Flushed(written, {**lost, **unstored, **faults})

    def _sink_failed(self, name: str, why: str) -> None:
        self._notify(f"the sink {name} failed and is switched off, the others go on ({why})")
