"""The loop breaker: refuses the call that would only repeat what was already tried."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from instrument.detectors import Detectors, fingerprint, outcome
from instrument.detectors.watch import REFUSALS
from instrument.errors import LoopDetected
from instrument.kinds import CALLS
from instrument.model import Cost, Failure, Finding, Usage
from instrument.record.spans import LiveSpan

if TYPE_CHECKING:
    from instrument.record.recorder import Recorder

SHUT_TRACES = 1000

Decide = Callable[[Finding], object]
"""Given what speaks against a call; whether the call is refused."""


class LoopGuard:
    """Asks the detectors before a tool or model call and tells them at once how it ended.

    With `scope` "call" only the call that repeats is refused, with "run" every later call of the trace as well.
    `decide` is asked, where there is one, and refuses by a true answer; a fault of its own refuses nothing.
    """

    def __init__(self, detectors: Detectors, scope: str = "call", decide: Decide | None = None) -> None:
        self._detectors = detectors
        self._decide = decide
        self._shuts_run = scope == "run"
        self._shut: OrderedDict[str, str] = OrderedDict()

    def before(self, span: LiveSpan) -> None:
        """Raise `LoopDetected` for a call that would continue a pattern that is proven useless."""
        if span.kind not in CALLS:
            return
        if span.trace_id in self._shut:
            raise LoopDetected(f"{self._shut[span.trace_id]} The run is shut: loops.scope is 'run'.")
        mark = fingerprint(span.input)
        agent = span.agent_id or ""
        found = self._detectors.check(span.name, span.kind, mark, span.trace_id, given=span.input, agent=agent)
        if found is None or not self._refuses(found):
            return
        if self._shuts_run:
            self._shut[span.trace_id] = found.message
            if len(self._shut) > SHUT_TRACES:
                self._shut.popitem(last=False)
        raise LoopDetected(f"{found.message} {span.name} was not called again: try something else.")

    def _refuses(self, found: Finding) -> bool:
        if self._decide is None:
            return True
        try:
            return bool(self._decide(found))
        except LoopDetected:
            raise
        except Exception as fault:
            raise RuntimeError(f"the function of loops.action failed, the call goes on: {fault!r}") from fault

    def met(self, span: Any) -> None:
        """What is not asked here is not broken off either."""

    def spent(self, recorder: Recorder, span: Any, usage: Usage, cost: Cost | None) -> None:
        """What a call took does not matter here."""

    def after(self, span: LiveSpan) -> None:
        """Tell the detectors of a call that was made."""
        if span.refused or span.kind not in CALLS:
            return
        failure = Failure(span.error[0], span.error[1]) if span.error is not None else None
        if failure is not None and failure.type.endswith(REFUSALS):
            return
        self._detectors.note(
            span.name,
            span.kind,
            fingerprint(span.input),
            outcome(span.output, failure),
            failed=failure is not None,
            trace_id=span.trace_id,
            span_id=span.span_id,
            start_ns=span.recorder.wall(span.started),
            agent=span.agent_id or "",
        )
