"""`instrument logs`: what was logged, inside of traces and outside."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from instrument.cli.moments import since
from instrument.cli.printing import json_document, say, tell
from instrument.cli.source import add_path, chosen_id, is_path, path_of
from instrument.views.theme import RANKS, broken, clean, cut_painted, theme_for

if TYPE_CHECKING:
    from instrument.model import Log


WIDE = 100
"""In narrower terminals the day is a line of its own and the time has milliseconds."""
ROOM = 30
"""With fewer columns beside the time a log is cut; else it is broken into lines."""


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "logs",
        help="print the logs in order of time",
        description="Each line: time (UTC), trace, level, event, message, metadata. Logs outside of any trace too. "
        "In place of a path the first digits of a trace's id, or `last`, are taken too.",
    )
    add_path(parser)
    parser.add_argument("--event", metavar="NAME", help="only this event; * and ? stand for any letters")
    parser.add_argument("--level", type=_level, metavar="LEVEL", help="this level and above, such as WARNING")
    parser.add_argument("--since", type=since, metavar="TIME", help="from then on: 2026-11-23, 2026-11-23T09:30, 2h")
    parser.add_argument("--trace", metavar="TRACE", help="only of the trace whose id begins so, or `last`")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the logs."""
    notices: list[str] = []
    word = args.path if args.path and not is_path(args.path) else None  # a trace, as other verbs take it
    args.path = None if word else args.path
    path = path_of(args)
    if word or (args.trace or "").startswith("last"):
        args.trace = chosen_id(path, word or args.trace)
    logs = sorted(_logs(path, _wanted(args), notices), key=lambda log: log.time_ns)
    (_print_json if args.json else _print_lines)(logs)
    if not logs:
        notices.append(f"no log in {path}" + (" fits" if args.event or args.level or args.since or args.trace else ""))
    tell(notices)
    return 0


def _logs(path: str, wanted: Callable[[Log], bool], notices: list[str]) -> Iterator[Log]:
    from instrument.model import Log
    from instrument.store.jsonl import decoded, record_of

    for record in decoded(path, record_of, notices, lambda line: b'"log"' in line):
        if isinstance(record, Log) and wanted(record):
            yield record


def _wanted(args: argparse.Namespace) -> Callable[[Log], bool]:
    tests: list[Callable[[Log], bool]] = []
    if args.event:
        tests.append(lambda log: fnmatchcase(log.event.upper(), args.event.upper()))
    if args.level:
        tests.append(lambda log: RANKS.get(log.level.upper(), RANKS["INFO"]) >= RANKS[args.level])
    if args.since:
        tests.append(lambda log: log.time_ns >= args.since)
    if args.trace:
        tests.append(lambda log: (log.trace_id or "").startswith(args.trace.lower()))
    return lambda log: all(test(log) for test in tests)


def _level(text: str) -> str:
    if text.upper() not in RANKS:
        raise argparse.ArgumentTypeError(f"{text!r} is no level: give one of {', '.join(RANKS)}")
    return text.upper()


def _print_lines(logs: list[Log]) -> None:
    from instrument.analysis.in_words import iso
    from instrument.views.text import line

    theme = theme_for(sys.stdout)
    uncut = replace(theme, width=None)
    is_narrow = theme.width is not None and theme.width < WIDE
    told = ""
    for log in logs:
        moment = iso(log.time_ns)
        day, _, time = moment.partition("T")
        if is_narrow and time and day != told:
            say(theme.paint(day, "dim"))
            told = day
        head = f"{time[:12] if is_narrow and time else moment}  {clean((log.trace_id or '-')[:8]):8}"
        text, beside = line(log, 0, uncut), len(head) + 2
        if theme.width is None:
            lines = [text]
        elif theme.width - beside >= ROOM:
            lines = broken(text, theme.width - beside)
        else:
            lines = [cut_painted(text, theme.width - beside, theme.ellipsis)]
        say(f"\n{' ' * beside}".join([f"{theme.paint(head, 'dim')}  {lines[0]}", *lines[1:]]))


def _print_json(logs: list[Log]) -> None:
    from instrument.views.plain import log_told

    say(json_document([log_told(log) for log in logs]))
