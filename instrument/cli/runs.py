"""`instrument runs`: one line for every trace."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from instrument.cli.moments import since
from instrument.cli.over_all import add_engine, as_they_are, overview_of
from instrument.cli.printing import json_document, say, tell
from instrument.cli.sizes import whole
from instrument.cli.source import add_path, path_of, tell_of_sampling
from instrument.views.theme import STATUSES

if TYPE_CHECKING:
    from instrument.analysis.overview import Overview, Row


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "runs",
        help="list the traces: when, how long, tokens, money, errors, findings",
        description="One line a trace, the latest at the end; show one with `instrument show` and the first digits.",
    )
    add_path(parser)
    parser.add_argument("--status", choices=STATUSES, help="only those that ended so, or are open, or never ended")
    parser.add_argument("--name", metavar="NAME", help="only those of this name; * and ? stand for any letters")
    parser.add_argument("--since", type=since, metavar="TIME", help="what began then or later: 2026-11-23, 2h, 7d")
    parser.add_argument("--last", type=whole("traces", 1), metavar="N", help="only the latest N")
    parser.add_argument("--session", metavar="ID", help="only those of this session")
    parser.add_argument("--user", metavar="ID", help="only those of this user")
    parser.add_argument("--contains", metavar="TEXT", help="only those in whose contents the text stands, in any case")
    add_engine(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    path = path_of(args)
    notices: list[str] = []
    found = overview_of(path, notices, args.engine)
    rows = _chosen(found.rows, args, path)
    if args.json:
        say(json_document([told(row) for row in rows]))
    else:
        _print(found, rows, path)
    tell(notices)
    tell_of_sampling(path)
    return 0


def _chosen(rows: Sequence[Row], args: argparse.Namespace, path: str) -> list[Row]:
    """Those that were asked for, the latest of them with --last."""
    fitting = _holding(args.contains, [row for row in rows if _fits(row, args)], path)
    last = -args.last if args.last else None
    if args.status is None:
        return as_they_are(fitting[last:], path)
    return [row for row in as_they_are(fitting, path) if row.status == args.status][last:]


def _fits(row: Row, args: argparse.Namespace) -> bool:
    return (
        args.session in (None, row.session)
        and args.user in (None, row.user)
        and (args.name is None or fnmatchcase(row.name.upper(), args.name.upper()))
        and (args.since is None or row.start_ns >= args.since)
    )


def _holding(text: str | None, rows: list[Row], path: str) -> list[Row]:
    if not text or not rows:
        return rows
    from instrument.store.contents import Search

    search = Search(path, text)
    search.look()
    return [row for row in rows if row.trace_id in search.found]


def _print(found: Overview, rows: list[Row], path: str) -> None:
    from instrument.analysis.in_words import many
    from instrument.views.tables import runs_table
    from instrument.views.theme import clean, theme_for

    theme = theme_for(sys.stdout)
    if rows:
        say(runs_table(rows, theme))
    else:
        say(f"no {'such ' if found.rows else ''}trace in {clean(path)}")
    if 0 < len(rows) < len(found.rows):
        say(theme.paint(_sums(rows, len(found.rows)), "dim"))
    if found.stray_logs:
        say(theme.paint(f"{many(found.stray_logs, 'log')} outside of any trace: instrument logs", "dim"))


def _sums(rows: Sequence[Row], of: int) -> str:
    """What some of the traces come to: `3 of 40 traces: 1,234 tokens, $0.12, 2 errors`."""
    from instrument.analysis.in_words import bill, many
    from instrument.analysis.totals import Sum

    spent = Sum()
    for row in rows:
        spent.include(row.total)
    total, errors = spent.total(), sum(row.errors for row in rows)
    parts = [many(total.tokens, "token") if total.tokens else "", bill(total), many(errors, "error") if errors else ""]
    return f"{len(rows):,} of {many(of, 'trace')}: {', '.join(part for part in parts if part)}".removesuffix(": ")


def told(row: Row) -> dict[str, Any]:
    """A row for JSON."""
    from msgspec import to_builtins
    from msgspec.structs import asdict

    from instrument.analysis.in_words import iso
    from instrument.views.plain import total_told

    told_apart = {"start": iso(row.start_ns), "total": total_told(row.total), "scores": to_builtins(row.scores)}
    return {**asdict(row), **told_apart}
