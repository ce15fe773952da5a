"""A trace in the Trace Event Format, for ui.perfetto.dev and chrome://tracing.

Every process of the run is a process there, concurrent spans lie on threads of it. A child on another thread than
its parent, and a link, is an arrow. Logs, events and findings are marks; tokens and money are counters that grow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from instrument.analysis.in_words import iso
from instrument.analysis.totals import call_of
from instrument.analysis.tree import Trace
from instrument.model import Run, Span
from instrument.version import __version__
from instrument.views.lanes import lanes

Fields = dict[str, Any]

_DOLLARS = "US dollars"


class Thread(NamedTuple):
    """Where a span lies: the number of its process and of its lane there."""

    pid: int
    tid: int


def pieces(trace: Trace) -> Iterator[bytes]:
    """The document, one event a line. Times count from the start of the trace, in microseconds."""
    about = {"trace_id": trace.trace_id, "start": iso(trace.start_ns), "instrument": __version__}
    yield b'{"displayTimeUnit":"ms","otherData":' + msgspec.json.encode(about) + b',"traceEvents":['
    for place, event in enumerate(events(trace)):
        yield (b",\n" if place else b"\n") + msgspec.json.encode(event)
    yield b"\n]}\n"


def events(trace: Trace) -> Iterator[Fields]:
    """The events of the format: names of processes and threads, spans, arrows, marks, counters."""
    numbers = _process_numbers(trace)
    threads = {
        span_id: Thread(numbers[span.run], lane + 1)
        for span, (span_id, lane) in zip(trace.spans, lanes(trace).items(), strict=True)
    }
    zero = trace.start_ns
    yield from _names(trace, numbers, threads)
    for span in trace.spans:
        yield _complete(span, threads[span.span_id], zero)
        for event in span.events:
            yield _mark(event.name, event.time_ns - zero, threads[span.span_id], "t", event.attributes)
    yield from _arrows(trace, threads, zero)
    yield from _told(trace, threads, zero)
    yield from _counters(trace, numbers, zero)


def _process_numbers(trace: Trace) -> Mapping[str, int]:
    """A number for each process: its own where it is known and no other has it, as on two machines."""
    known = {run.run: run.pid for run in trace.runs}
    numbers: dict[str, int] = {}
    for span in trace.spans:
        if span.run not in numbers:
            wanted = known.get(span.run, 0)
            taken = set(numbers.values())
            numbers[span.run] = wanted if wanted and wanted not in taken else max(taken, default=0) + 1
    return numbers


def _names(trace: Trace, numbers: Mapping[str, int], threads: Mapping[str, Thread]) -> Iterator[Fields]:
    runs = {run.run: run for run in trace.runs}
    for place, (run_id, pid) in enumerate(numbers.items()):
        yield _meta("process_name", Thread(pid, 0), {"name": _process_name(runs.get(run_id), run_id)})
        yield _meta("process_sort_index", Thread(pid, 0), {"sort_index": place})
    for thread in sorted(set(threads.values())):
        yield _meta("thread_name", thread, {"name": "main" if thread.tid == 1 else f"lane {thread.tid}"})
        yield _meta("thread_sort_index", thread, {"sort_index": thread.tid})


def _process_name(run: Run | None, run_id: str) -> str:
    if run is None:
        return f"process {run_id}".strip()
    return run.service or run.agent_id or " ".join(run.argv)[:80] or f"process {run_id}"


def _meta(name: str, thread: Thread, args: Fields) -> Fields:
    return {"ph": "M", "name": name, "pid": thread.pid, "tid": thread.tid, "args": args}


def _complete(span: Span, thread: Thread, zero: int) -> Fields:
    told = {
        "span_id": span.span_id,
        "status": span.status,
        "error": span.error,
        "input": span.input,
        "output": span.output,
        "usage": span.usage,
        "cost": span.cost,
        **span.attributes,
    }
    event: Fields = {
        "ph": "X",
        "name": span.name,
        "cat": span.kind,
        "ts": _us(span.start_ns - zero),
        "dur": _us(span.duration_ns),
        "pid": thread.pid,
        "tid": thread.tid,
        "args": {key: value for key, value in told.items() if value is not None},
    }
    return {**event, "cname": "terrible"} if span.status == "error" else event


def _arrows(trace: Trace, threads: Mapping[str, Thread], zero: int) -> Iterator[Fields]:
    spans = {span.span_id: span for span in trace.spans}
    number = 0
    for span in trace.spans:
        for child in trace.children(span.span_id):
            if threads[child.span_id] != threads[span.span_id]:
                number += 1
                yield from _arrow("calls", number, span, child, threads, zero)
        for link in span.links:
            if link.trace_id == trace.trace_id and link.span_id in spans:
                number += 1
                yield from _arrow("link", number, spans[link.span_id], span, threads, zero)


def _arrow(
    name: str, number: int, tail: Span, head: Span, threads: Mapping[str, Thread], zero: int
) -> Iterator[Fields]:
    """An arrow begins within its tail and ends at the start of its head, not before it began."""
    at = min(max(head.start_ns, tail.start_ns), tail.end_ns)
    ends = (("s", tail, at), ("f", head, max(head.start_ns, at)))
    for phase, span, time_ns in ends:
        thread = threads[span.span_id]
        event = {"ph": phase, "name": name, "cat": "flow", "id": number, "ts": _us(time_ns - zero)}
        yield {**event, "pid": thread.pid, "tid": thread.tid, **({"bp": "e"} if phase == "f" else {})}


def _told(trace: Trace, threads: Mapping[str, Thread], zero: int) -> Iterator[Fields]:
    """Logs and findings where they belong; those that name no span lie with the root."""
    home = next(iter(threads.values()), Thread(1, 1))
    for log in trace.logs:
        args = {"level": log.level, "message": log.message, **log.metadata}
        yield _mark(log.event or log.message[:80], log.time_ns - zero, threads.get(log.span_id or "", home), "t", args)
    for found in trace.findings:
        thread = threads.get(found.span_ids[0] if found.span_ids else "", home)
        args = {"severity": found.severity, "message": found.message, "span_ids": found.span_ids, **found.data}
        yield _mark(found.detector, found.time_ns - zero, thread, "p", args)


def _mark(name: str, ns: int, thread: Thread, scope: str, args: Fields) -> Fields:
    event = {"ph": "i", "name": name, "ts": _us(ns), "pid": thread.pid, "tid": thread.tid, "s": scope}
    return {**event, "args": args}


def _counters(trace: Trace, numbers: Mapping[str, int], zero: int) -> Iterator[Fields]:
    """Tokens and money so far, in each process, at the end of every model call."""
    spent: dict[int, tuple[int, int, Decimal]] = {}
    for span in sorted(trace.spans, key=lambda span: span.end_ns):
        call = call_of(span)
        if call is None:
            continue
        usage, _, usd = call
        pid = numbers[span.run]
        before = spent.get(pid, (0, 0, Decimal(0)))
        spent[pid] = now = (before[0] + (usage.input or 0), before[1] + (usage.output or 0), before[2] + (usd or 0))
        at = {"ph": "C", "ts": _us(span.end_ns - zero), "pid": pid, "tid": 0}
        yield {**at, "name": "tokens", "args": {"input": now[0], "output": now[1]}}
        yield {**at, "name": _DOLLARS, "args": {"usd": float(now[2])}}


def _us(ns: int) -> float:
    return ns / 1000
