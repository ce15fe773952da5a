"""Model calls that are on disk before they are priced.

The first price and the first count of tokens in a process load tables for about a second. A call that needs them is
handed on without usage and cost, which follow as an `update` record; what ended meanwhile is on disk as well.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from instrument import tokens
from instrument.kinds import MODEL_KINDS
from instrument.model import Batch, Cost, Span, Update, Usage
from instrument.pricing import Prices
from instrument.record import llm, scopes
from instrument.record.pipeline import Pipeline
from instrument.record.spans import LiveSpan
from instrument.record.tables import Tables

Took = Callable[[LiveSpan, int], tuple[Usage | None, Cost | None]]
Completed = Callable[[Batch, Mapping[int, Update]], tuple[Batch, Batch]]


class Later:
    """The calls of one recorder that wait for their price; `unpriced` are those of the batch that is being made."""

    def __init__(self, took: Took, completed: Completed, fault: Callable[[str, Exception], None]) -> None:
        self.unpriced: dict[str, LiveSpan] = {}
        self._took = took
        self._completed = completed
        self._fault = fault

    def attach(self, pipeline: Pipeline) -> None:
        """Say where the batches wait."""
        self._pipeline = pipeline
        self._tables = Tables(pipeline.hurry, pipeline.wake)

    @property
    def busy(self) -> threading.Lock:
        """Held while tables load."""
        return self._tables.busy

    def is_ready(self) -> bool:
        """Whether no table is being loaded."""
        return self._tables.is_ready()

    def takes(self, live: LiveSpan, prices: Prices) -> bool:
        """Whether the call that has ended is priced later."""
        try:
            if not self._pipeline.may_defer() or not llm.waits_for_tables(live, prices):
                return False
        except Exception as error:  # noqa: BLE001 - it is priced at once, or that reports the fault again
            self._fault("price", error)
            return False
        self.unpriced[live.span_id] = live
        self._tables.want(llm.model_of(live), llm.must_be_counted(live))
        return True

    def expect(self, live: LiveSpan, prices: Prices) -> None:
        """Begin to load prices while a model answers, so that they are there when it has.

        Where a budget will have prompts counted before they are sent, the ranks as well, so that the first is not kept.
        """
        if not self._pipeline.may_defer():
            return
        if live.kind not in MODEL_KINDS:
            if scopes.count_tokens(live.budgets) and not tokens.is_built():
                self._tables.want(None, True)
                self._tables.load()
            return
        model = llm.model_of(live) or live.plan.model
        if not (prices.are_at_hand(model) if model else prices.are_loaded()):
            self._tables.want(model, False)
            self._tables.load()

    def load(self) -> None:
        """Begin to load what these calls need."""
        self._tables.load()

    def complete(self, batch: Batch) -> tuple[Batch, Batch]:
        """The batch with usage, cost and findings, and the updates and findings alone."""
        late: dict[int, Update] = {}
        for at, record in enumerate(batch):
            live = batch.unpriced.get(record.span_id) if isinstance(record, Span) else None
            if live is not None and isinstance(record, Span):
                usage, cost = self._took(live, record.start_ns)
                live.input = live.output = None
                late[at] = Update(
                    run=record.run, trace_id=record.trace_id, span_id=record.span_id, usage=usage, cost=cost
                )
        return self._completed(batch, late)
