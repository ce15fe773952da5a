"""Tool abuse: far more calls of a tool, or of the model, than earlier successful runs needed, or than the limit."""

from __future__ import annotations

from instrument.detectors.history import Beyond, History
from instrument.detectors.told import Beginning, Growth, retold, told
from instrument.detectors.window import MOST_AGENTS
from instrument.model import Finding, Span
from instrument.thresholds import Thresholds

_FEWEST_MORE = 5
_MANY = 0.9
_MOST_NAMES = 256


class ToolAbuse:
    """Counts the calls of one run, and of each of its agents where it has several: nothing being usual yet, each has
    the limit to itself."""

    def __init__(self, limits: Thresholds, history: History, whose: str = "") -> None:
        self._thresholds = limits
        self._history = history
        self._whose = whose
        self._own: dict[str, ToolAbuse] = {}
        self._most = limits.calls_of_one_tool
        self._beyond = Beyond(times=limits.times_usual, least=_FEWEST_MORE, enough=limits.history_runs, usual=_MANY)
        self._counts: dict[str, int] = {}
        self._limits: dict[str, float] = {}
        self._learned: set[str] = set()
        self._first: dict[str, Beginning] = {}
        self._growth: Growth = {}

    def feed(self, span: Span, agent: str | None = None) -> Finding | None:
        """A finding when this call is one more than is usual; `agent` is given where the run has several."""
        name = span.name
        times = self._counts.get(name, 0) + 1
        if times == 1 and not self._begin(span):
            return None
        self._counts[name] = times
        if agent is not None and name not in self._learned:
            own = self._of(agent)
            return None if own is None else own.feed(span)
        return self._told(span, times) if times > self._limits[name] else None

    def _of(self, agent: str) -> ToolAbuse | None:
        if agent not in self._own and len(self._own) < MOST_AGENTS:
            self._own[agent] = ToolAbuse(self._thresholds, History(), f" by {agent}" if agent else "")
        return self._own.get(agent)

    def knows(self, name: str) -> bool:
        """Whether calls of this tool are counted."""
        return name in self._counts

    def room(self, name: str) -> int:
        """How many more calls of a tool that is known are no more than usual."""
        return max(0, int(self._limits[name]) - self._counts[name])

    def count(self, name: str, calls: int) -> None:
        """So many more calls were made, for which there was room."""
        self._counts[name] += calls

    def end(self, succeeded: bool) -> None:
        """The run is over; what a successful one needed becomes part of what is usual."""
        if not succeeded:
            return
        for name, times in self._counts.items():
            series = self._history.series("calls", name, self._beyond)
            if series is not None:
                series.add(times)

    def _begin(self, span: Span) -> bool:
        if len(self._counts) >= _MOST_NAMES:
            return False
        series = self._history.series("calls", span.name, self._beyond)
        if series is not None and series.limit != float("inf"):
            self._learned.add(span.name)
            self._limits[span.name] = series.limit
        else:
            self._limits[span.name] = self._most
        self._first[span.name] = Beginning(span.span_id, span.start_ns)
        return True

    def _told(self, span: Span, times: int) -> Finding:
        """The finding; the next is due at twice as many calls."""
        limit, self._limits[span.name] = self._limits[span.name], 2 * times - 1
        series = self._history.known("calls", span.name) if span.name in self._learned else None
        usual = series.quantile(_MANY) if series is not None else None
        measure = (
            f"nine of ten earlier successful runs needed at most {usual:,.0f}"
            if usual
            else f"the limit is {self._most:,}"
        )
        found = told(
            "tool_abuse",
            f"{span.name} was called {times:,} times{self._whose} in this run, {measure}",
            [span],
            self._first[span.name],
            calls=[span.name],
            times=times,
            usual=usual,
            limit=limit,
        )
        return retold(self._growth, span.name, found)
