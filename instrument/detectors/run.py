"""One run of an agent, that is one trace, as the detectors watch it: its tool calls, its model calls, its totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from instrument.detectors.answers import offered_tools, wishes
from instrument.detectors.breaker import MODEL, Breaker
from instrument.detectors.calls import Call
from instrument.detectors.context_growth import ContextGrowth
from instrument.detectors.cut_answer import CutAnswer
from instrument.detectors.hallucinated_tool import HallucinatedTool
from instrument.detectors.history import History
from instrument.detectors.patterns import Patterns
from instrument.detectors.repeated_call import RepeatedCall
from instrument.detectors.spending import Spending
from instrument.detectors.told import some
from instrument.detectors.tool_abuse import ToolAbuse
from instrument.detectors.unseen import Unseen
from instrument.detectors.window import OwnCalls, Window, is_among
from instrument.detectors.wrong_arguments import WrongArguments
from instrument.model import Finding, Span
from instrument.thresholds import Thresholds

TOOL = "tool"

LOOKED_AT_EACH = 32
"""Equal calls in a row that are each looked at; of more only every doubling."""


class Run:
    """What watches one trace. A single call makes no pattern: the watch over patterns is set up with the second."""

    def __init__(self, limits: Thresholds, history: History) -> None:
        self._limits = limits
        self._history = history
        self._first: Call | None = None
        self.patterns: Patterns | None = None
        self._models: ModelCalls | None = None
        self.abuse = ToolAbuse(limits, history)
        self.before: Span | None = None
        self._in_row = 0
        self._passed_over = 0
        self._answers = 0

    def begin(self, span: Span, call: Call) -> None:
        """Take in the first tool call: alone it shows nothing."""
        self.goes_on(span)
        self.feed_tool(span, call, None)

    def goes_on(self, span: Span) -> bool:
        """Whether the call only continues a long row of equal ones, so that a look at each doubling is enough."""
        before, self.before = self.before, span
        if before is None or not is_same(before, span):
            self._in_row = self._passed_over = 0
            return False
        self._in_row += 1
        is_over = self._in_row > LOOKED_AT_EACH and bool((self._in_row + 1) & self._in_row)
        self._passed_over += is_over
        return is_over

    def count(self, span: Span) -> list[Finding]:
        """Findings from a tool call that is not looked at: it is counted."""
        if self._models is not None:
            self._models.unseen.seen()
        return some(self.abuse.feed(span))

    def passes(self, row: Sequence[Span], tools: Mapping[str, list[Span]]) -> bool:
        """Whether a glance shows that nothing could be found with these tool calls but that they are many.

        `tools` are the same calls by name.
        """
        patterns, models = self.patterns, self._models
        if patterns is None or self._passed_over or not all(map(self.abuse.knows, tools)):
            return False
        if not patterns.passes(row, tools):
            return False
        self.before, self._in_row = row[-1], 0
        if models is not None:
            models.unseen.seen()
            for calls in tools.values():
                models.hallucinated.feed_tool(calls[0])
        return True

    def feed_tool(self, span: Span, call: Call, breaker: Breaker | None) -> list[Finding]:
        """Findings from one tool call, which `breaker`, where one is given, learns from too."""
        if self._passed_over and self.patterns is not None:
            self.patterns.passed_over(call, self._passed_over)
            self._passed_over = 0
        call.answers = self._answers
        found = self._feed_patterns(call, breaker)
        if self._models is not None:
            self._models.unseen.seen()
            found += some(self._models.hallucinated.feed_tool(span))
        has_several = self.patterns is not None and self.patterns.own.of(call.agent)
        return [*found, *some(self.abuse.feed(span, call.agent if has_several else None))]

    def _feed_patterns(self, call: Call, breaker: Breaker | None) -> list[Finding]:
        patterns = self.patterns
        if patterns is None:
            if self._first is None:
                self._first = call
                return []
            patterns = self.patterns = Patterns(self._limits)
            patterns.feed(self._first, known=False)
        if breaker is not None:
            _learn(breaker, call, TOOL, patterns.window, patterns.own)
        return patterns.feed(call, patterns.window.holds(call.key))

    def feed_model(self, span: Span, call: Call, breaker: Breaker | None) -> list[Finding]:
        """Findings from one model call, as `feed_tool`."""
        if self._models is None:
            self._models = ModelCalls(self._limits, self._history)
        self._answers += 1
        if breaker is not None:
            _learn(breaker, call, MODEL, self._models.window, self._models.own)
        found = self._models.feed(span, call)
        has_several = self._models.own.of(call.agent)
        return [*found, *some(self.abuse.feed(span, call.agent if has_several else None))]

    def proof_of(self, finding: Finding) -> list[Call]:
        """The calls that prove a finding, as far as they are still remembered."""
        calls = self.patterns.window.calls if self.patterns is not None else ()
        return [call for call in calls if call.span_id in finding.span_ids]

    def end(self, succeeded: bool) -> None:
        """The run is over; what a successful one needed becomes part of what is usual."""
        self.abuse.end(succeeded)
        if self._models is not None:
            self._models.spending.end(succeeded)


def _learn(breaker: Breaker, call: Call, kind: str, window: Window, own: OwnCalls) -> None:
    """Show the breaker this call behind the last ones of the run, and of its agent where there are several."""
    known = window.holds(call.key)
    if known or breaker.proven:
        breaker.learn([*window.calls, call], kind, (call.trace_id, None), known)
    if before := own.of(call.agent):
        breaker.learn([*before, call], kind, (call.trace_id, call.agent), is_among(before, call.key))


def is_same(one: Span, other: Span) -> bool:
    """Whether two calls are equal in name, arguments and result, as they stand."""
    return (
        one.name == other.name
        and one.status == other.status == "ok"
        and one.input == other.input
        and one.output == other.output
    )


class ModelCalls:
    """What watches the model calls of one trace."""

    def __init__(self, limits: Thresholds, history: History) -> None:
        self.window = Window(limits.window)
        self.own = OwnCalls(self.window)
        self.hallucinated = HallucinatedTool()
        self.unseen = Unseen(limits)
        self._wrong = WrongArguments()
        self.spending = Spending(limits, history)
        self._repeated = RepeatedCall(limits, of_models=True)
        self._context = ContextGrowth(limits)
        self._cut = CutAnswer()

    def feed(self, span: Span, call: Call) -> list[Finding]:
        """Findings from one model call."""
        asked = wishes(span)
        offered = offered_tools(span) if asked else None
        found = some(
            self._repeated.feed(call, self.window, self.own.of(call.agent)),
            self._cut.feed(span, asked),
            self.hallucinated.feed(span, asked, offered),
        )
        found += self._wrong.feed(span, asked, offered) + self.unseen.feed(span, asked)
        self.window.add(call)
        self.own.add(call)
        if span.usage is not None:
            found += self._context.feed(span) + self.spending.feed(span)
        return found
