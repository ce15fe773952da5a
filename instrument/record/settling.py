"""The worker's half of a recorder: from what was queued to batches, with usage, cost and findings, without secrets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from instrument.kinds import MODEL_KINDS
from instrument.model import Batch, Cost, Finding, Head, Record, Span, Update, Usage
from instrument.record import llm
from instrument.record.capture import finish
from instrument.record.chunks import without_secrets_across
from instrument.record.failures import describe
from instrument.record.finished import UNFINISHED, finished, open_record, output_of, rarer_fields, span_record
from instrument.record.hidden import without_words
from instrument.record.later import Later
from instrument.record.lines import apart, line_of, together
from instrument.record.spans import Begun, LiveSpan
from instrument.rows import rows_of

if TYPE_CHECKING:
    from instrument.detectors import Detectors
    from instrument.record.recorder import Recorder
    from instrument.redact import Redactor
    from instrument.store.blobs import Blobs

ANNOUNCE_NS = 50_000_000
"""A span that has been open for longer is written as an `open` record."""

WATCH_SECONDS = 0.05

TICK_NS = 1_000_000_000
"""How often the detectors are shown what is open."""

PIECE_OF_OPEN = 256
"""So many open spans are shown to them without a pause."""


class Settling:
    """`settle` and `watch` are what the pipeline's worker calls, `later` the calls that wait for their price."""

    def __init__(
        self,
        recorder: Recorder,
        redactor: Redactor,
        blobs: Blobs | None,
        detectors: Detectors | None,
        *,
        hides_words: bool,
    ) -> None:
        self.later = Later(self._took, self._completed, recorder.fault)
        self._recorder = recorder
        self._run = recorder.run
        self._redactor = redactor
        self._hides_words = hides_words
        self._blobs = blobs
        self._detectors = detectors
        self._may_store = recorder.sampling.may_store
        self._headed = False
        self._next_tick = self._late = 0

    def settle(self, items: list[Any]) -> Batch:
        """What was queued as one batch; `items` is empty then."""
        if self._headed:
            return self._settled(items)
        items.insert(0, (self._run, 0))
        batch = self._settled(items)
        self._headed = True  # where the first batch fails the head goes with the next
        return batch

    def _settled(self, items: list[Any]) -> Batch:
        self._recorder.no_extra.clear()
        self._recorder.none.clear()
        batch = self._batch(*self._records_of(items))
        if self.later.unpriced or self._recorder.pipeline.delivery.waits_for_prices():
            batch.unpriced, self.later.unpriced = self.later.unpriced, {}
            return batch
        return self._looked_at(batch)

    def _records_of(self, items: list[Any]) -> tuple[list[Record], list[int]]:
        """What was queued as records, and how deep each lies.

        Each is let go of at once: the collector, whom every new call may set to work, looks at all that are left.
        """
        records: list[Record] = []
        depths: list[int] = []
        hidden = self._redactor.keyed_hash if self._hides_words else None
        items.reverse()
        while items:
            item = items.pop()
            try:
                record: Record | None
                if item.__class__ is tuple:
                    record, depth = item
                elif item.__class__ is LiveSpan:
                    record, depth = self._ended(item), item.depth
                else:
                    record, depth = self._other(item)
                if record is not None:
                    records.append(record if hidden is None else without_words(record, hidden))
                    depths.append(depth)
            except Exception as error:  # noqa: BLE001 - one odd record must not cost the others
                self._recorder.fault("settle", error)
        return records, depths

    def _completed(self, batch: Batch, late: Mapping[int, Update]) -> tuple[Batch, Batch]:
        """The batch with the usage and cost that came late, by place, and with findings; and these alone."""
        records, lines = list(batch), list(batch.lines)
        for at, update in late.items():
            try:
                whole_span = replace(records[at], usage=update.usage, cost=update.cost)
                records[at], lines[at] = line_of(whole_span, self._redactor.line)
            except Exception as error:  # noqa: BLE001 - a span without its price is better than none
                self._recorder.fault("price", error)
        whole = self._looked_at(Batch(records, lines, batch.depths))
        known = set(map(id, records))
        rest: list[Record] = [*late.values(), *(record for record in whole if id(record) not in known)]
        return whole, self._batch(rest, [0] * len(rest))

    def _looked_at(self, batch: Batch) -> Batch:
        """The batch and what the detectors find in it, counted."""
        rows = list(rows_of(batch))
        if self._detectors is not None:
            batch = self._with_findings(batch, rows, self._detectors)
        self._count(batch, rows)
        return batch

    def _count(self, batch: Batch, rows: list[list[Span]]) -> None:
        has_others = len(batch) > sum(map(len, rows))
        try:
            self._recorder.running.take(rows, batch if has_others else ())
        except Exception as error:  # noqa: BLE001 - an odd record must not cost the others
            self._recorder.fault("count", error)

    def _other(self, item: Any) -> tuple[Record | None, int]:
        if item.__class__ is Begun:
            return self._begun(item.span)
        return finished(item.record, self._finish), item.depth

    def _batch(self, records: list[Record], depths: list[int]) -> Batch:
        """Everything encoded and without secrets."""
        data = together(records)
        suspected = [] if data is None else self._redactor.suspected(data)
        if data is not None and not suspected:
            return Batch(records, depths=depths, data=data)
        lines = [(None, True)] * len(records) if data is None else apart(data, suspected)
        kept: list[tuple[Record, bytes, int]] = []
        for record, depth, (line, is_suspected) in zip(records, depths, lines, strict=True):
            try:
                redact = self._redactor.line if is_suspected else _unredacted
                kept.append((*line_of(record, redact, line), depth))
            except Exception as error:  # noqa: BLE001 - one odd record must not cost the others
                self._recorder.fault("settle", error)
        return Batch([record for record, _, _ in kept], [line for _, line, _ in kept], [depth for _, _, depth in kept])

    def _with_findings(self, batch: Batch, rows: list[list[Span]], detectors: Detectors) -> Batch:
        """The batch with each finding of the detectors directly behind the span that it was found with."""
        found = self._found_in(rows, detectors)
        if not found:
            return batch
        records, lines, depths = list(batch), list(batch.lines), list(batch.depths)
        for at in reversed(range(len(batch))):
            if findings := found.get(id(records[at])):
                more = self._batch(findings, [depths[at]] * len(findings))
                behind = slice(at + 1, at + 1)
                records[behind], lines[behind], depths[behind] = more, more.lines, more.depths
        return Batch(records, lines, depths)

    def _found_in(self, rows: list[list[Span]], detectors: Detectors) -> dict[int, list[Record]]:
        """What the detectors find, by the identity of the span."""
        found: dict[int, list[Record]] = {}
        try:
            for span in detectors.not_passed(rows):
                if findings := self._found(span, detectors):
                    found[id(span)] = findings
                self._recorder.pipeline.breathe()
        except Exception as error:  # noqa: BLE001 - a fault in a detector must not cost the spans
            self._recorder.fault("detect", error)
        return found

    def _found(self, span: Span, detectors: Detectors) -> list[Record]:
        try:
            return [self._signed(finding) for finding in detectors.feed(span)]
        except Exception as error:  # noqa: BLE001 - nor what is found in the spans behind it
            self._recorder.fault("detect", error)
            return []

    def _signed(self, finding: Finding) -> Finding:
        return replace(finding, run=self._run.run)

    def _ended(self, live: LiveSpan) -> Span | None:
        """The record of a span that has ended, once; None where nobody wants to know."""
        if live.settled:
            return None
        live.settled = True
        if live.duration is None or live.seldom is not None or not live.taken:
            self._see_to_its_end(live)
            self._recorder.pipeline.room.large -= live.large
        if not (live.sampled or self._is_wanted_unstored(live)):
            return None
        given, told = live.input, live.output
        span = span_record(
            live,
            self._recorder,
            given if given.__class__ is dict else self._finish(given),
            told if told.__class__ not in UNFINISHED else output_of(told, self._finish),
        )
        if live.seldom is not None or live.shared is not None or live.agent_id is not None or live.plan.is_model_call:
            return self._with_what_is_rarer(live, span)
        live.input = live.output = None
        return span

    def _with_what_is_rarer(self, live: LiveSpan, span: Span) -> Span:
        told: dict[str, Any] = {}
        is_priced_later = False
        if live.kind in MODEL_KINDS or live.tokens is not None:
            self._recorder.pipeline.breathe()
            is_priced_later = self.later.takes(live, self._recorder.prices)
            took = (llm.reported(live), None) if is_priced_later else self._took(live, span.start_ns)
            told["usage"], told["cost"] = took
        told |= rarer_fields(live, self._finish)  # behind it: what was found out of the model is an attribute
        if not is_priced_later:
            live.input = live.output = None
        return replace(span, **told)

    def _see_to_its_end(self, live: LiveSpan) -> None:
        """What is left to do of what the caller had no room for: it was queued at the recursion limit."""
        if live.unsettled is not None:
            live.status, live.error, live.unsettled = "error", describe(live.unsettled), None
        if live.duration is None:
            live.duration = self._recorder.clock() - live.started
        if not live.taken:
            self._recorder.open.pop(live, None)

    def _is_wanted_unstored(self, live: LiveSpan) -> bool:
        """Whether anybody wants to know of what the rate leaves out: the detectors or, of model calls, the ledger."""
        if live.sampled is None:
            return False  # made by a sink
        return self._recorder.records_all or live.kind in MODEL_KINDS or live.tokens is not None

    def _took(self, live: LiveSpan, start: int) -> tuple[Usage | None, Cost | None]:
        """Usage and cost of a call that has ended."""
        try:
            return llm.settled(live, self._recorder.prices, start)
        except Exception as error:  # noqa: BLE001 - a span without its price is better than none
            self._recorder.fault("price", error)
            return (llm.reported(live), Cost()) if live.tokens else (None, None)

    def _finish(self, captured: Any) -> Any:
        if captured.__class__ is list:
            return without_secrets_across(captured, self._redactor)
        return finish(captured, self._blobs)

    def watch(self) -> tuple[list[Any], float | None]:
        """Open spans that are news, and what the detectors say of those that stay open; when to look again."""
        try:
            return self._news()
        except Exception as error:  # noqa: BLE001 - the worker must go on
            self._recorder.fault("watch", error)
            return [], TICK_NS / 1e9

    def _news(self) -> tuple[list[Any], float | None]:
        open_spans = list(self._recorder.open)
        if not open_spans:
            return [], None
        now = self._recorder.clock()
        is_tick, late, before = now >= self._next_tick, now - ANNOUNCE_NS, self._late
        self._late = late
        looked_at = open_spans if is_tick else begun_since(before - ANNOUNCE_NS, open_spans)
        fresh = [span for span in looked_at if not _is_announced(span) and self._may_store(span.sampled)]
        said: list[Any] = [Begun(span) for span in fresh if 0 < span.started < late]
        if is_tick:
            self._next_tick = now + TICK_NS
            if self._detectors is not None:
                found = self._detectors.tick(self._recorder.now(), self._heads(open_spans))
                said += [(self._signed(finding), 0) for finding in found]
        return said, (WATCH_SECONDS if len(said) < len(fresh) else TICK_NS / 1e9)

    def _heads(self, spans: list[LiveSpan]) -> Iterator[Head]:
        for at, span in enumerate(spans):
            if at % PIECE_OF_OPEN == 0:
                self._recorder.pipeline.breathe()
            if span.duration is None and _is_announced(span):
                start = self._recorder.wall(span.started)
                yield Head(span.trace_id, span.span_id, span.parent_id, start, span.kind, span.name)

    def _begun(self, span: LiveSpan) -> tuple[Record | None, int]:
        """The head of an agent's run or step that is still running; one that is over already needs none."""
        self.later.expect(span, self._recorder.prices)
        is_news = span.duration is None and span.started > 0 and self._may_store(span.sampled) and not span.announced
        return self._announce(span) if is_news else (None, 0)

    def _announce(self, span: LiveSpan) -> tuple[Record, int]:
        span.announced = True
        return open_record(span, self._run.run, self._recorder.wall(span.started), self._finish), span.depth


def begun_since(moment: int, spans: list[LiveSpan]) -> list[LiveSpan]:
    """Those that began since the moment, of spans in the order of their beginning; with them those that only begin."""
    first = len(spans)
    while first > 0 and not 0 < spans[first - 1].started < moment:
        first -= 1
    return spans[first:]


def _is_announced(span: LiveSpan) -> bool:
    return span.seldom is not None and "announced" in span.seldom


def _unredacted(line: bytes, start: int) -> bytes:
    return line
