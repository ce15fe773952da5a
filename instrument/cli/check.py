"""`instrument check`: what went wrong in some traces, with the proof and what to do about it; made for CI."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from instrument.cli.printing import say
from instrument.cli.source import find_trace, is_path, json_document, limits, path_of, tell, usual
from instrument.errors import InstrumentError

if TYPE_CHECKING:
    from instrument.analysis.tree import Trace
    from instrument.detectors import History
    from instrument.model import Finding

SEVERITIES = ("info", "warning", "error")
FOUND = 1


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "check",
        help="show each finding with its evidence and what to do about it; exit code 1 when there are any",
        description="Findings that were recorded and those that the detectors make of the traces now. Without TRACE "
        "all traces are checked. Exit code: 0 nothing found, 1 something at or above --fail-on, 2 nothing to check.",
    )
    parser.add_argument("traces", nargs="*", metavar="TRACE", help="first digits of a trace's id, `last`, or a path")
    parser.add_argument("--path", dest="named_path", metavar="PATH", help="a file or folder (default: .instrument)")
    parser.add_argument(
        "--fail-on", choices=SEVERITIES, default="warning", help="the least that ends with 1 (default: warning)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run, path=None)


def run(args: argparse.Namespace) -> int:
    """Print what was found; 1 when there is something at or above the severity, else 0."""
    from instrument.analysis.report import findings_of

    notices: list[str] = []
    thresholds = limits(args)
    checked = [(trace, findings_of(trace, thresholds, history)) for trace, history in _chosen(args, notices)]
    alarming = _alarming(checked, args.fail_on)
    if args.json:
        say(json_document(_as_json(checked, args.fail_on, alarming)))
    else:
        _print(checked, args.fail_on, alarming)
    tell(notices)
    return FOUND if alarming else 0


def _chosen(args: argparse.Namespace, notices: list[str]) -> Iterator[tuple[Trace, History]]:
    """The traces that are meant, each once, and what is usual where they lie.

    Raises `InstrumentError` where there is none: that must not look fine.
    """
    paths = [word for word in args.traces if is_path(word)]
    wanted = [word for word in args.traces if word not in paths]
    places = paths or [path_of(args)]
    seen: set[str] = set()
    for place in places:
        history = usual(place, notices)
        for trace in [find_trace(place, one, notices) for one in wanted] if wanted else _all(place, notices):
            if trace.trace_id not in seen:
                seen.add(trace.trace_id)
                yield trace, history


def _all(place: str, notices: list[str]) -> list[Trace]:
    from instrument.reading import read

    found: list[Any] = list(read(place, notices))
    if not found:
        raise InstrumentError(f"there is no trace in {place}")
    return found


Checked = Sequence[tuple["Trace", Sequence["Finding"]]]


def _alarming(checked: Checked, least: str) -> int:
    from instrument.views.evidence import severity_of

    rank = SEVERITIES.index
    return sum(rank(severity_of(one)) >= rank(least) for _, findings in checked for one in findings)


def _as_json(checked: Checked, least: str, alarming: int) -> dict[str, Any]:
    from instrument.views.evidence import told

    findings = [told(one, trace) for trace, found in checked for one in found]
    return {"traces": len(checked), "fail_on": least, "failing": alarming, "findings": findings}


def _print(checked: Checked, least: str, alarming: int) -> None:
    from instrument.views.evidence import as_text
    from instrument.views.theme import clean, moment, theme_for

    theme = theme_for(sys.stdout)
    for trace, findings in checked:
        if findings:
            title = f"{clean(trace.root.name, 100)}  {clean(trace.trace_id[:12])}  {moment(trace.start_ns)}"
            say(theme.paint(title, "bold"))
            for one in findings:
                say(as_text(one, trace, theme))
            say("")
    total = sum(len(findings) for _, findings in checked)
    traces, found = _many(len(checked), "trace"), _many(total, "finding")
    say(f"{traces} checked: {found}, {alarming:,} at or above {least}")


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
