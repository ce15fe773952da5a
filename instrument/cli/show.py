"""`instrument show`: one trace as a tree, or one span whole."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from instrument.cli.others import say_of_others
from instrument.cli.printing import json_document, say, tell
from instrument.cli.sizes import any_number, whole
from instrument.cli.source import add_trace, find_trace, limits, path_of, place_trace, span_named, trace_ids, usual
from instrument.errors import InstrumentError
from instrument.statuses import FAILED, UNFINISHED
from instrument.views.theme import Theme, theme_for

if TYPE_CHECKING:
    from instrument.analysis.report import Report
    from instrument.analysis.tree import Trace
    from instrument.detectors import History
    from instrument.model import Span

MS = 1_000_000


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "show",
        help="show one trace as a tree with times, tokens, money, errors and findings, or one span whole",
        description="The last trace, the one whose id begins with TRACE, or the span whose id does: that one whole, "
        "with its messages, input, output, error and logs. Tokens and money in the tree are those of a span and of all "
        "below it; + behind an amount: some calls below have no known price, ~: tokens, or a price, were estimated.",
    )
    add_trace(parser, "the first digits of the id of a trace or a span, `last` or `last~1` (default: last)")
    parser.add_argument("--all", action="store_true", help="every span, where a big trace is folded otherwise")
    parser.add_argument("--ids", action="store_true", help="a column with the ids of the spans, for `show SPAN`")
    only = parser.add_argument_group("what the tree shows, each with all that is above it")
    only.add_argument("--depth", type=whole("levels", 1), metavar="N", help="only N levels")
    only.add_argument("--kind", action="append", metavar="KIND", help="only such spans: llm, tool, … (may be repeated)")
    only.add_argument(
        "--errors", action="store_true", help="only what failed or was refused and what findings are about"
    )
    only.add_argument(
        "--min-ms",
        type=any_number("duration in milliseconds", "250 or 0.5"),
        metavar="X",
        help="only what took X milliseconds or more",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the tree and what the trace came to, or one span."""
    place_trace(args)
    notices: list[str] = []
    path = path_of(args)
    span_id = span_named(path, args.trace)
    if span_id is not None:
        args.trace = span_id[0]
    began = trace_ids(path)
    trace = find_trace(path, args.trace, notices, began)
    if span_id is not None:
        _print_span(trace, span_id[1], path, args, notices)
    elif args.json:
        from instrument.views.files import nested

        _refuse_choice(args)
        say(b"".join(nested(trace)).decode())
    else:
        theme = theme_for(sys.stdout)
        _print_tree(trace, args, usual(path, notices), theme)
        if args.trace is None:
            say_of_others(trace, path, began, "show", theme)
    tell(notices)
    return 0


def _refuse_choice(args: argparse.Namespace) -> None:
    if args.kind or args.errors or args.depth is not None or args.min_ms is not None:
        raise InstrumentError("--json has the whole trace: leave --depth, --kind, --errors and --min-ms out")


def _print_tree(trace: Trace, args: argparse.Namespace, history: History, theme: Theme) -> None:
    from instrument.analysis.in_words import count
    from instrument.analysis.report import analyse
    from instrument.views.folding import matching
    from instrument.views.outline import outline
    from instrument.views.text import summary

    report = analyse(trace, limits(args), history)
    matches = _choice(args, report)
    found, keep = matching(trace, matches) if matches is not None else (None, None)
    if keep is None or keep:
        chosen = {"all": args.all, "depth": args.depth, "keep": keep, "ids": args.ids}
        say(outline(trace, theme, findings=report.findings, unfold="--all shows every one", **chosen))
    if found is not None:
        say(theme.paint(f"{count(len(found))} of {count(len(trace.spans))} spans", "dim"))
    say("")
    say(summary(trace, report.metrics, theme))


def _choice(args: argparse.Namespace, report: Report) -> Callable[[Span], bool] | None:
    """Whether a span is one of those that were asked for; None where all are."""
    if not (args.kind or args.errors or args.min_ms is not None):
        return None
    kinds = {kind for given in args.kind or () for kind in given.split(",")}
    _refuse_unknown(kinds, report.trace)
    about = {span_id for one in report.findings for span_id in one.span_ids}

    def matches(span: Span) -> bool:
        return (
            (not kinds or span.kind in kinds)
            and (not args.errors or span.status in (*FAILED, UNFINISHED) or span.span_id in about)
            and (args.min_ms is None or span.duration_ns >= args.min_ms * MS)
        )

    return matches


def _refuse_unknown(kinds: set[str], trace: Trace) -> None:
    """Kinds are free: known are those that have a meaning and those of the trace."""
    from instrument.attributes import KINDS

    known = {*KINDS, *(span.kind for span in trace.spans)}
    unknown = sorted(kinds - known)
    if unknown:
        raise InstrumentError(
            f"no span is of kind {', '.join(map(repr, unknown))}: give one of {', '.join(sorted(known))}"
        )


def _print_span(trace: Trace, span_id: str, path: str, args: argparse.Namespace, notices: list[str]) -> None:
    from instrument.analysis.report import findings_of
    from instrument.store import blobs
    from instrument.views.detail import detail
    from instrument.views.plain import log_told, span_told

    span = next((one for one in trace.spans if one.span_id == span_id), None)
    if span is None:
        raise InstrumentError(f"span {span_id} has gone while it was read")
    stored = blobs.folder_for(path)
    span = replace(span, input=blobs.whole(span.input, stored), output=blobs.whole(span.output, stored))
    if not args.json:
        found = findings_of(trace, limits(args), usual(path, notices))
        say(detail(trace, span, theme_for(sys.stdout), found))
        return
    logs = [log_told(log) for log in trace.logs if log.span_id == span_id]
    below = [child.span_id for child in trace.children(span_id)]
    say(json_document({"trace_id": trace.trace_id, **span_told(span), "logs": logs, "children": below}))
