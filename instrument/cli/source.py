"""What verbs read from: the files that a path names or the nearest folder, and the trace that is meant."""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from instrument.cli.printing import tell
from instrument.errors import InstrumentError
from instrument.statuses import OPEN, UNFINISHED

if TYPE_CHECKING:
    from pathlib import Path

    from instrument.analysis.tree import Trace
    from instrument.detectors import History
    from instrument.model import Finding, Span
    from instrument.settings import Settings
    from instrument.thresholds import Thresholds


def add_path(parser: argparse.ArgumentParser) -> None:
    """Let the verb take a path, with or without `--path`, and `--json`."""
    parser.add_argument("path", nargs="?", help="a file, or a folder with files (default: the nearest .instrument)")
    parser.add_argument("--path", dest="named_path", metavar="PATH", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_trace(
    parser: argparse.ArgumentParser, told: str = "the first digits of a trace's id, `last` or `last~1` (default: last)"
) -> None:
    """Let the verb take a trace and a path, in this order or with only one of them, and `--json`."""
    parser.add_argument("trace", nargs="?", help=told)
    add_path(parser)


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings as `main` found them."""
    from instrument.settings import only

    return only() if args.settings is None else args.settings


def limits(args: argparse.Namespace) -> Thresholds:
    """The thresholds that the settings give the detectors."""
    from instrument import thresholds

    known: Thresholds = thresholds.thresholds() if args.settings is None else args.settings.thresholds
    return known


def usual(path: str, notices: list[str]) -> History:
    """What is known to be usual in the folder of a path; a damaged history is told of and counts for nothing."""
    from instrument.store import history

    return history.near(path, notices.append)


def judge_of(args: argparse.Namespace, path: str, notices: list[str]) -> Callable[[Trace], Sequence[Finding]]:
    """What finds in a trace what `show` finds: by the settings, and by what is usual in the folder of the path."""
    from instrument.analysis.report import findings_of

    thresholds = limits(args)
    return lambda trace: findings_of(trace, thresholds, usual(path, notices))


def path_of(args: argparse.Namespace) -> str:
    """The path that was given, or the file that the settings name for all processes, or the nearest recording folder.

    Raises `InstrumentError` where there is none.
    """
    given = args.named_path or args.path
    if given is not None:
        return str(given)
    shared = args.settings.jsonl_path if args.settings is not None else None
    if shared is not None and shared.is_file():
        return str(shared)
    folder = folder_of(args)
    if folder is None:
        raise InstrumentError(f"there is no recording {looked(args)}: run a decorated program first, or name a file")
    return str(folder)


def folder_of(args: argparse.Namespace) -> Path | None:
    """The nearest recording folder, if there is one."""
    if args.settings is None:
        from instrument.origins import nearest
        from instrument.store.folder import NAME

        return nearest(NAME, os.path.isdir)
    from instrument.settings import find_folder

    return find_folder(args.settings)


def looked(args: argparse.Namespace) -> str:
    """Where `folder_of` looked."""
    named = os.environ.get("INSTRUMENT_DIR", "").strip()
    return f"at {args.settings.folder}, which INSTRUMENT_DIR names" if args.settings and named else "here or above"


def place_trace(args: argparse.Namespace) -> None:
    """See which of the words is the trace and which the path: what exists on disk or looks like a file is a path."""
    given = args.trace
    if given is None or args.named_path is not None:
        return
    if args.path is None and is_path(given):
        args.trace, args.path = None, given
    elif args.path is not None and os.path.exists(given) and not is_path(args.path):
        args.trace, args.path = args.path, given


def is_path(word: str) -> bool:
    """Whether a word means a file or folder and no trace: it exists, or looks like a path."""
    return os.path.exists(word) or os.sep in word or word.endswith((".jsonl", ".gz"))


def find_trace(path: str, wanted: str | None, notices: list[str], began: dict[str, int] | None = None) -> Trace:
    """The trace whose id begins with `wanted`; the one that began last for `last` or None, before it for `last~1`.

    `began` is what `trace_ids` gave, where that is known. Raises `InstrumentError` where there is none.
    """
    from instrument.analysis.tree import traces
    from instrument.reading import Trace
    from instrument.store.jsonl import decoded, record_of

    trace_id = chosen_id(path, wanted, began).encode()
    records = decoded(
        path, record_of, notices, lambda line: trace_id in line or _IS_RUN.search(line, 0, 200) is not None
    )
    found = [trace for trace in traces(records, Trace) if trace.trace_id.encode() == trace_id]
    if not found:
        raise InstrumentError(f"trace {trace_id.decode()} in {path} has gone while it was read")
    return _until_now(found[0], path)


_IS_RUN = re.compile(rb'"type"\s*:\s*"run"')


def _until_now(trace: Trace, path: str) -> Trace:
    """The trace; its open spans last until now where their process lives, else until its last sign of life."""
    if all(span.status != OPEN for span in trace.spans):
        return trace
    lives = _lives(trace)
    until = _last_signs(path, {span.run for span in trace.spans if span.status == OPEN})
    until |= dict.fromkeys((run for run, lives_on in lives.items() if lives_on), time.time_ns())

    def as_it_is(span: Span) -> Span:
        if span.status != OPEN:
            return span
        status = OPEN if lives.get(span.run, True) else UNFINISHED
        return replace(span, status=status, duration_ns=max(0, until.get(span.run, 0) - span.start_ns))

    return replace(trace, spans=[as_it_is(span) for span in trace.spans])


def _lives(trace: Trace) -> dict[str, bool]:
    """Whether each of its processes still runs."""
    from instrument.store.processes import is_running

    return {run.run: is_running(run.pid, run.start_ns, run.run) for run in trace.runs if run.pid}


def with_unfinished(trace: Trace) -> Trace:
    """The trace; what is open in it is unfinished where its process is known to run no more."""
    from instrument.analysis.tree import left_unfinished

    lives = cache(lambda: _lives(trace))
    return left_unfinished(trace, lambda run: not lives().get(run, True))


def _last_signs(path: str, runs: set[str]) -> dict[str, int]:
    """The latest moment that each of these processes spoke of, in whatever trace."""
    from instrument.analysis.tree import last_sign
    from instrument.store.heads import heads

    signs: dict[str, int] = {}
    for head in heads(path, []):
        if head.run in runs:
            signs[head.run] = max(signs.get(head.run, 0), last_sign(head))
    return signs


def span_named(path: str, wanted: str | None) -> tuple[str, str] | None:
    """The span whose id begins with `wanted`, after its trace; None where none does, or a trace's id does.

    Raises `InstrumentError` where several do.
    """
    prefix = (wanted or "").lower()
    if not re.fullmatch(r"[\da-z-]{2,}", prefix) or prefix == "last":
        return None
    mention = re.compile(rb'"(?:span|trace)_id"\s*:\s*"' + re.escape(prefix.encode()))
    found: set[tuple[str, str]] = set()
    for record in _mentioning(path, mention):
        trace_id, span_id = getattr(record, "trace_id", None), getattr(record, "span_id", None)
        if trace_id is not None and trace_id.startswith(prefix):
            return None
        if trace_id is not None and span_id is not None and span_id.startswith(prefix):
            found.add((trace_id, span_id))
    if len(found) > 1:
        shown = ", ".join(sorted(span_id for _, span_id in found)[:5])
        raise InstrumentError(f"{len(found)} spans in {path} begin with {wanted!r}: {shown}")
    return found.pop() if found else None


def _mentioning(path: str, mention: re.Pattern[bytes]) -> Iterator[Any]:
    """The heads of the lines that hold what is looked for."""
    from instrument.store.heads import head_of
    from instrument.store.jsonl import decoded

    return decoded(path, head_of, [], lambda line: mention.search(line) is not None)


def trace_ids(path: str) -> dict[str, int]:
    """The traces at a path and when each began, in nanoseconds."""
    from instrument.store.heads import heads

    began: dict[str, int] = {}
    for head in heads(path, []):
        trace_id = getattr(head, "trace_id", None)
        start = getattr(head, "start_ns", getattr(head, "time_ns", None))
        if trace_id is not None and start is not None:
            began[trace_id] = min(began.get(trace_id, start), start)
    return began


def chosen_id(path: str, wanted: str | None, began: dict[str, int] | None = None) -> str:
    """The id of the trace that `wanted` means, as with `find_trace`. Raises `InstrumentError` where there is none."""
    began = trace_ids(path) if began is None else began
    wanted = wanted or "last"
    if not began:
        raise no_trace(path)
    if back := re.fullmatch(r"last(?:~(\d{1,9}))?", wanted):
        return _before_last(began, int(back[1] or 0), path)
    matching = [trace_id for trace_id in began if trace_id.startswith(wanted.lower())]
    if not matching and (span := span_named(path, wanted)):
        told = f"{wanted!r} is a span of trace {span[0][:8]}"
        raise InstrumentError(f"{told}: name the trace, or `instrument show {wanted}`")
    if not matching:
        raise InstrumentError(f"no trace or span in {path} begins with {wanted!r}: `instrument runs` lists the traces")
    if len(matching) > 1:
        shown = ", ".join(sorted(matching)[:5])
        raise InstrumentError(f"{len(matching)} traces in {path} begin with {wanted!r}: {shown}")
    return matching[0]


def no_trace(path: str) -> InstrumentError:
    """That there is none, and what could not be read."""
    from instrument.store.heads import heads

    unread: list[str] = []
    for _ in heads(path, unread):
        pass
    return InstrumentError("; ".join([f"there is no trace in {path}", *unread]))


def _before_last(began: dict[str, int], number: int, path: str) -> str:
    ordered = sorted(began, key=lambda trace_id: (began[trace_id], trace_id))
    if number >= len(ordered):
        held = "only 1 trace" if len(ordered) == 1 else f"only {len(ordered)} traces"
        raise InstrumentError(f"there is no last~{number}: {path} has {held}")
    return ordered[-1 - number]


def fresh(notices: list[str]) -> list[str]:
    """The same list, emptied: files that are read twice are complained about once."""
    notices.clear()
    return notices


def tell_of_sampling(*paths: str) -> None:
    """Say on stderr that numbers over all traces are those of the stored ones, where sampling has left others out."""
    from instrument.store.sampled import STORED, is_sampled

    if any(map(is_sampled, paths)):
        tell([f"{STORED}; `instrument costs` has the model calls of all"])
