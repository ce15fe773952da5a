"""`instrument check`: what went wrong in some traces, with the proof and what to do about it; made for CI."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import msgspec

from instrument.cli.printing import json_document, say, tell
from instrument.cli.sizes import any_number, from_zero_up, whole
from instrument.cli.source import find_trace, fresh, is_path, limits, no_trace, path_of, usual, with_unfinished
from instrument.views.theme import SEVERITIES, clean, theme_for, wrapped

if TYPE_CHECKING:
    from decimal import Decimal

    from instrument.analysis.beyond import AtMost
    from instrument.analysis.judged import TooLow
    from instrument.analysis.tree import Trace
    from instrument.detectors import History
    from instrument.model import Finding, Score

FOUND = 1


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "check",
        help="show each finding with its evidence and what to do about it; exit code 1 when there are any",
        description="Findings that were recorded and those that the detectors make of the traces now. Without TRACE "
        "all traces are checked. That a run failed is no finding without --max-errors. Exit code: "
        "0 nothing found, 1 something at or above --fail-on or a score too low, 2 nothing to check.",
    )
    parser.add_argument("traces", nargs="*", metavar="TRACE", help="first digits of a trace's id, `last`, or a path")
    parser.add_argument("--path", dest="named_path", metavar="PATH", help="a file or folder (default: .instrument)")
    parser.add_argument(
        "--fail-on", choices=SEVERITIES, default="warning", help="the least that ends with 1 (default: warning)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    most = parser.add_argument_group("what each trace may take; more is a finding of severity error")
    most.add_argument(
        "--max-usd", type=_usd, metavar="X", help="US dollars; model calls of unknown cost are a warning of their own"
    )
    most.add_argument("--max-tokens", type=whole("tokens"), metavar="N", help="input and output tokens together")
    most.add_argument(
        "--max-seconds",
        type=any_number("number of seconds", "60 or 0.5"),
        metavar="X",
        help="seconds from its start to its end",
    )
    most.add_argument(
        "--max-errors",
        type=whole("errors"),
        metavar="N",
        help="calls that failed, or a run that was ended from outside",
    )
    parser.add_argument(
        "--min-score",
        type=_least_score,
        action="append",
        default=[],
        metavar="NAME=X",
        help="the least that the mean of a score over all that is checked may be; may be repeated",
    )
    parser.set_defaults(run=run, path=None)


class _Checked(NamedTuple):
    """What is kept of a trace that was checked: where it stands among the others, how many findings it has, how many of
    those fail the check, what is shown of them, whether the run itself failed, and how it was judged."""

    place: Any
    findings: int
    failing: int
    shown: Any
    went_wrong: bool
    scores: Sequence[Score]


def run(args: argparse.Namespace) -> int:
    """Print what was found; 1 when there is something at or above the severity, else 0."""
    from instrument.analysis.judged import too_low
    from instrument.analysis.report import findings_of

    notices: list[str] = []
    thresholds, most = limits(args), _at_most(args)
    show = _as_json if args.json else _as_text(sys.stdout)
    checked = []
    for place, trace, history in _chosen(args, notices):
        found = [*findings_of(trace, thresholds, history), *_beyond(trace, most)]
        failing = _failing(found, args.fail_on)
        went_wrong = trace.root.status == "error"
        checked.append(_Checked(place, len(found), failing, show(trace, found), went_wrong, trace.scores))
    checked.sort(key=lambda one: one.place)
    failing = sum(one.failing for one in checked)
    low = too_low(chain.from_iterable(one.scores for one in checked), dict(args.min_score))
    if args.json:
        findings = [told for one in checked for told in one.shown]
        told = {"traces": len(checked), "fail_on": args.fail_on, "failing": failing, "findings": findings}
        asked = {"scores": dict(args.min_score), "too_low": low} if args.min_score else {}
        say(json_document({**told, **({"allowed": most} if most else {}), **asked}))
    else:
        _print(checked, args.fail_on, failing, are_counted=most is not None and most.errors is not None)
        _print_scores(low)
    tell(notices)
    return FOUND if failing or low else 0


def _at_most(args: argparse.Namespace) -> AtMost | None:
    """What is allowed each trace; None where nothing is limited."""
    given = {name: getattr(args, f"max_{name}") for name in ("usd", "tokens", "seconds", "errors")}
    if all(limit is None for limit in given.values()):
        return None
    from instrument.analysis.beyond import AtMost

    return AtMost(**given)


def _beyond(trace: Trace, most: AtMost | None) -> Sequence[Finding]:
    if most is None:
        return ()
    from instrument.analysis.beyond import beyond

    return beyond(with_unfinished(trace), most)


def _chosen(args: argparse.Namespace, notices: list[str]) -> Iterator[tuple[Any, Trace, History]]:
    """The traces that are meant, each once, with its place in the list and what is usual where it lies.

    Raises `InstrumentError` where there is none: that must not look fine.
    """
    paths = [word for word in args.traces if is_path(word)]
    wanted = [word for word in args.traces if word not in paths]
    seen: set[str] = set()
    for number, path in enumerate(paths or [path_of(args)]):
        history = usual(path, notices)
        for place, trace in _named(path, wanted, notices) if wanted else _all(path, notices):
            if trace.trace_id not in seen:
                seen.add(trace.trace_id)
                yield (number, *place), trace, history


def _named(path: str, wanted: Sequence[str], notices: list[str]) -> Iterator[tuple[Any, Trace]]:
    for number, one in enumerate(wanted):
        yield (number,), find_trace(path, one, notices)


def _all(path: str, notices: list[str]) -> Iterator[tuple[Any, Trace]]:
    """Every trace, as soon as it was read; its place is by its start."""
    from instrument.analysis.tree import traces_apart
    from instrument.store.jsonl import records

    unread: list[str] = []
    trace = None
    for trace in traces_apart(lambda: records(path, fresh(unread))):
        yield (trace.start_ns, trace.trace_id), trace
    if trace is None:
        raise no_trace(path)
    notices += unread


def _failing(findings: Sequence[Finding], least: str) -> int:
    from instrument.views.evidence import severity_of

    rank = list(SEVERITIES).index
    return sum(rank(severity_of(one)) >= rank(least) for one in findings)


def _as_json(trace: Trace, findings: Sequence[Finding]) -> list[Any]:
    """Encoded already, which takes a third of the memory."""
    from instrument.views.evidence import told

    return [msgspec.Raw(msgspec.json.encode(told(one, trace))) for one in findings]


def _as_text(stream: TextIO) -> Callable[[Trace, Sequence[Finding]], str]:
    from instrument.analysis.in_words import moment
    from instrument.views.evidence import as_text

    theme = theme_for(stream)

    def shown(trace: Trace, findings: Sequence[Finding]) -> str:
        if not findings:
            return ""
        title = f"{clean(trace.root.name, 100)}  {clean(trace.trace_id[:12])}  {moment(trace.start_ns)}"
        lines = [theme.paint(part, "bold") for part in wrapped(title, theme.width)]
        return "\n".join([*lines, *(as_text(one, trace, theme) for one in findings), ""])

    return shown


def _print(checked: Sequence[_Checked], least: str, failing: int, *, are_counted: bool) -> None:
    """The findings and how many there are; that runs failed is said where nothing has counted it."""
    from instrument.analysis.in_words import many

    for one in checked:
        if one.shown:
            say(one.shown)
    traces, found = many(len(checked), "trace"), many(sum(one.findings for one in checked), "finding")
    told = f"{traces} checked: {found}, {failing:,} at or above {least}"
    failed = sum(one.went_wrong for one in checked)
    if failed and not are_counted:
        told += f"; {many(failed, 'run')} failed, which only --max-errors 0 counts as found"
    say("\n".join(wrapped(told, theme_for(sys.stdout).width)))


def _print_scores(low: Sequence[TooLow]) -> None:
    from instrument.analysis.in_words import amount

    for one in low:
        what = f"the score {clean(one.name, 60)}"
        if one.mean is None:
            say(f"{what} has no number: at least {amount(one.least)} is asked for")
        else:
            say(f"{what} is {amount(one.mean)} on average of {one.count:,}: at least {amount(one.least)} is asked for")


def _least_score(text: str) -> tuple[str, float]:
    name, is_given, number = text.rpartition("=")
    try:
        least = float(number)
    except ValueError:
        least = math.nan
    if not (name and is_given and math.isfinite(least)):
        raise argparse.ArgumentTypeError(f"{text!r} is no score and its least: give them as helpful=0.8")
    return name, least


def _usd(text: str) -> Decimal:
    from decimal import Decimal

    if from_zero_up(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of US dollars: give a number such as 2 or 0.50")
    return Decimal(text.strip())
