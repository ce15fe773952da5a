"""Makes runs for the tests of the detectors: a tape of tool and model calls, one after the other, a second apart."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

import msgspec

from instrument.detectors import Detectors, default
from instrument.model import Cost, Failure, Finding, Span, Usage

START_NS = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
TRACE = "a" * 32
NUMBERS = count(1)


class Tape:
    """Writes the calls of one trace."""

    def __init__(self, trace: str = TRACE) -> None:
        self.trace = trace
        self.spans: list[Span] = []

    def tool(self, name: str, result: Any = "fine", /, *, failed: str | None = None, **arguments: Any) -> Span:
        """A tool call with its result, or the message it failed with."""
        error = None if failed is None else Failure("ToolError", failed)
        return self.span(name, "tool", input=arguments, output=None if error else result, error=error)

    def model(self, output: Any = None, **given: Any) -> Span:
        """A model call; `tools` are the names offered, `prompt` and `written` tokens, `usd` its price.

        `texts` are its messages; without them nothing of its prompt is known but the size.
        """
        tools = [{"type": "function", "function": {"name": name}} for name in given.pop("tools", [])]
        usage = Usage(
            input=given.pop("prompt", None), output=given.pop("written", 10), cached=given.pop("cached", None)
        )
        usd = given.pop("usd", None)
        cost = None if usd is None else Cost(usd=usd, basis="priced")
        texts = given.pop("texts", [f"turn {len(self.spans)}"])
        asked = {"messages": [{"role": "user", "content": text} for text in texts], "tools": tools}
        return self.span("chat", "llm", input=asked, output=output, usage=usage, cost=cost, **given)

    def span(self, name: str, kind: str, *, error: Failure | None = None, seconds: float = 0.5, **fields: Any) -> Span:
        """Any span, at the end of the tape."""
        fields.setdefault("parent_id", "f" * 16)
        span = Span(
            trace_id=self.trace,
            span_id=f"{next(NUMBERS):016x}",
            kind=kind,
            name=name,
            start_ns=START_NS + len(self.spans) * SECOND,
            duration_ns=int(seconds * SECOND),
            status="error" if error else "ok",
            error=error,
            **fields,
        )
        self.spans.append(span)
        return span

    def root(self, status: str = "ok") -> Span:
        """The end of the run: its agent span."""
        span = self.span("agent", "agent", parent_id=None)
        self.spans[-1] = span = msgspec.structs.replace(span, status=status)
        return span


def wish(name: str, arguments: Any = "{}") -> dict[str, Any]:
    """The output of a model call that wishes for a tool."""
    part = {"type": "tool_call", "id": "1", "name": name, "arguments": arguments}
    return {"messages": [{"role": "assistant", "parts": [part]}]}


def said(text: str) -> dict[str, Any]:
    """The output of a model call that says something."""
    return {"messages": [{"role": "assistant", "parts": [{"type": "text", "content": text}]}]}


def feed(spans: Iterable[Span], detectors: Detectors | None = None, **limits: Any) -> list[Finding]:
    """All findings of spans fed one by one."""
    watch = detectors or default(limits=limits)
    return [finding for span in spans for finding in watch.feed(span)]


def names(findings: Iterable[Finding]) -> set[str]:
    """The detectors that found something."""
    return {finding.detector for finding in findings}


def alarms(findings: Iterable[Finding]) -> set[str]:
    """The detectors that found something worth more than a hint."""
    return {finding.detector for finding in findings if finding.severity != "info"}
