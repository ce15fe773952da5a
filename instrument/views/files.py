"""A trace as plain files: `traces.json`, `logs.json`, `tokens.json`, `metrics.json`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import asdict

from instrument.analysis.facts import agent_of, model_of, operation_of
from instrument.analysis.in_words import iso
from instrument.analysis.metrics import Metrics, measure
from instrument.analysis.totals import carries
from instrument.analysis.tree import Trace
from instrument.model import Cost, Log, Span, Usage
from instrument.views.plain import MS, log_told, metrics_told, record_told, span_told, total_told

INDENTED = 40
"""Deeper levels are not indented further."""


def save(traces: Trace | Iterable[Trace], folder: str | os.PathLike[str], logs: Iterable[Log] = ()) -> list[Path]:
    """Write the traces into `folder`, which is made if it is missing, and return the files.

    `traces.json` holds a list of traces, each with its spans nested as `children`. `logs.json` holds the logs in order
    of time (UTC, ISO 8601), `logs` being those outside of the traces. `tokens.json` holds `summary` and `detailed_log`,
    one entry a model call. `metrics.json` holds `overall` and, by trace id, `traces`. Existing files are replaced.
    """
    listed = [traces] if isinstance(traces, Trace) else list(traces)
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    contents: dict[str, Callable[[], Iterator[bytes]]] = {
        "traces.json": lambda: _list(nested(trace) for trace in listed),
        "logs.json": lambda: _list(_pretty(told) for told in _logs(listed, logs)),
        "tokens.json": lambda: _pretty(_tokens(listed)),
        "metrics.json": lambda: _pretty(_metrics(listed)),
    }
    return [replace(place / name, chain(parts(), [b"\n"])) for name, parts in contents.items()]


def nested(trace: Trace) -> Iterator[bytes]:
    """One trace as JSON, in pieces: its totals, logs and findings, and its spans nested below `root`.

    A trace of several roots has the others in `more_roots`.
    """
    head = {
        "trace_id": trace.trace_id,
        "name": trace.root.name,
        "status": trace.root.status,
        "start": iso(trace.start_ns),
        "duration_ms": (trace.end_ns - trace.start_ns) / MS,
        "run": record_told(trace.run) if trace.run is not None else None,
        "usage": trace.usage,
        "cost": total_told(trace.cost),
        "metrics": metrics_told(_measured(trace)),
        "logs": list(_logs([trace], ())),
        "findings": [{"time": iso(found.time_ns), **record_told(found)} for found in trace.findings],
        "scores": [{"time": iso(score.time_ns), **record_told(score)} for score in trace.scores],
    }
    yield msgspec.json.format(msgspec.json.encode(head), indent=1)[:-2] + b',\n "root": '
    roots = trace.roots or (trace.root,)
    yield from _branch(trace, roots[0])
    if len(roots) > 1:
        yield b',\n "more_roots": '
        yield from _list(_branch(trace, root) for root in roots[1:])
    yield b"\n}"


def _branch(trace: Trace, top: Span) -> Iterator[bytes]:
    """A span and all below it, one span a line. With a stack of its own: traces may be deeper than Python recurses."""
    waiting: list[tuple[Span, int] | bytes] = [(top, 1)]
    while waiting:
        item = waiting.pop()
        if isinstance(item, bytes):
            yield item
            continue
        span, depth = item
        yield b"\n" + b" " * min(depth, INDENTED) + msgspec.json.encode(span_told(span))[:-1] + b',"children":['
        waiting.append(b"]}")
        children = trace.children(span.span_id)
        for place, child in enumerate(reversed(children)):
            waiting.append((child, depth + 1))
            if place < len(children) - 1:
                waiting.append(b",")


def _logs(traces: Sequence[Trace], others: Iterable[Log]) -> Iterator[dict[str, Any]]:
    names = {(trace.trace_id, span.span_id): span.name for trace in traces for span in trace.spans}
    logs = sorted([*(log for trace in traces for log in trace.logs), *others], key=lambda log: log.time_ns)
    for log in logs:
        yield log_told(log, names.get((log.trace_id or "", log.span_id or "")))


def _tokens(traces: Sequence[Trace]) -> dict[str, Any]:
    calls = [span for trace in traces for span in trace.spans if carries(span)]
    spent = metrics_told(measure(calls))
    summary = {key: spent[key] for key in ("total", "by_model", "by_operation", "by_agent")}
    return {"summary": summary, "detailed_log": [_call(span) for span in calls]}


def _call(span: Span) -> dict[str, Any]:
    usage, cost = span.usage or Usage(), span.cost or Cost()
    return {
        "timestamp": iso(span.start_ns),
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "name": span.name,
        "model": model_of(span),
        "operation": operation_of(span),
        "agent": agent_of(span),
        "duration_ms": span.duration_ns / MS,
        **asdict(usage),
        "total": (usage.input or 0) + (usage.output or 0),
        "usd": cost.usd,
        "basis": cost.basis,
    }


def _metrics(traces: Sequence[Trace]) -> dict[str, Any]:
    every = measure(
        (span for trace in traces for span in trace.spans),
        (log for trace in traces for log in trace.logs),
        (finding for trace in traces for finding in trace.findings),
    )
    wall = sum(trace.end_ns - trace.start_ns for trace in traces)
    overall = {"traces": len(traces), **metrics_told(msgspec.structs.replace(every, wall_ns=wall))}
    return {"overall": overall, "traces": {trace.trace_id: metrics_told(_measured(trace)) for trace in traces}}


def _measured(trace: Trace) -> Metrics:
    return measure(trace.spans, trace.logs, trace.findings)


# JSON


def _pretty(value: Any) -> Iterator[bytes]:
    yield msgspec.json.format(msgspec.json.encode(value), indent=1)


def _list(items: Iterable[Iterable[bytes]]) -> Iterator[bytes]:
    yield b"["
    for place, item in enumerate(items):
        yield b",\n" if place else b"\n"
        yield from item
    yield b"\n]"


def replace(path: Path, parts: Iterable[bytes]) -> Path:
    """Write a file as a whole and return its path: whoever reads it meanwhile sees the old one or the new one.

    What is there and no file, such as `/dev/null` or a named pipe, is written to. A link stays one.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        with open(path, "wb") as place:
            place.writelines(parts)
        return path
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    unfinished = target.parent / f".{target.name}.{os.getpid()}"
    try:
        with open(unfinished, "wb") as file:
            file.writelines(parts)
        os.replace(unfinished, target)
    except BaseException as failed:
        with suppress(OSError):
            unfinished.unlink()
        if isinstance(failed, OSError):
            failed.filename = str(path)  # that is the name which was asked for
        raise
    return path
