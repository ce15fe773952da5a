"""Hallucinated tools: the model calls one that it was not offered."""

from __future__ import annotations

from msgspec import Raw

from instrument.detectors.answers import Wish, tool_names
from instrument.detectors.told import Growth, gone_on, told, worth_telling
from instrument.model import Finding, Span

_MOST_NAMES = 16
_MOST_OFFERED = 1_024


class HallucinatedTool:
    """Watches the model and tool calls of one run."""

    def __init__(self) -> None:
        self._definitions = Raw(b"")
        self._offered: frozenset[str] = frozenset()
        self._ever: frozenset[str] = frozenset()
        self._strange = False
        self._times: dict[str, int] = {}
        self._total = 0
        self._growth: Growth = {}

    def feed(self, span: Span, asked: list[Wish], offered: Raw | None) -> Finding | None:
        """A finding when this model call wishes for a tool that it was not given."""
        if not asked:
            return None
        self._read(offered)
        missing = next((wish.name for wish in asked if self._offered and wish.name not in self._offered), None)
        return self._told(span, missing) if missing is not None else None

    def feed_tool(self, span: Span) -> Finding | None:
        """A finding when a tool call failed under a name that the models of this run were never given.

        Silent once a tool that was not offered has worked: then tools have other names here than those on offer.
        """
        if not self._ever or span.name in self._ever or self._strange:
            return None
        if span.status != "error":
            self._strange = True
            return None
        return self._told(span, span.name)

    def _read(self, definitions: Raw | None) -> None:
        if definitions is None:
            self._offered = frozenset()
        elif definitions != self._definitions:
            self._definitions = definitions
            self._offered = tool_names(definitions)
        else:
            self._offered = self._offered or tool_names(definitions)
        if len(self._ever) < _MOST_OFFERED:
            self._ever = self._ever | self._offered

    def _told(self, span: Span, name: str) -> Finding | None:
        """Each invented name is told of its own; when there are many, all together."""
        self._total += 1
        if name in self._times or len(self._times) < _MOST_NAMES:
            pattern = name
            times = self._times[name] = self._times.get(name, 0) + 1
        else:
            pattern, times = "", self._total
        if not worth_telling(self._growth, pattern, times):
            return None
        offered = ", ".join(sorted(self._ever)[:12])
        often = f"{times} times" if pattern else f"{times} such calls"
        sentence = f"{name} was called though it was not offered, {often} so far; offered were {offered}"
        found = told("hallucinated_tool", sentence, [span], calls=[name], times=times, offered=sorted(self._ever))
        return gone_on(self._growth, pattern, found)
