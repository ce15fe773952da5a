"""`instrument show`: one trace as a tree."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from instrument.cli.printing import say
from instrument.cli.source import add_trace, find_trace, limits, path_of, place_trace, tell


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "show",
        help="show one trace as a tree with times, tokens, money, errors and findings",
        description="The last trace, or the one whose id begins with TRACE. Tokens and money of a span are its own and "
        "those of all below it; + behind an amount: some calls below have no known price, ~: tokens were estimated.",
    )
    add_trace(parser)
    parser.add_argument("--all", action="store_true", help="every span, where a big trace is folded otherwise")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the tree and what the trace came to."""
    place_trace(args)
    notices: list[str] = []
    trace = find_trace(path_of(args), args.trace, notices)
    if args.json:
        from instrument.views.files import nested

        say(b"".join(nested(trace)).decode())
    else:
        _print(trace, args.all)
    tell(notices)
    return 0


def _print(trace: Any, all: bool) -> None:
    from instrument.analysis.report import analyse
    from instrument.views.outline import outline
    from instrument.views.text import summary
    from instrument.views.theme import theme_for

    theme = theme_for(sys.stdout)
    report = analyse(trace, limits())
    say(outline(trace, theme, findings=report.findings, all=all))
    say("")
    say(summary(trace, report.metrics, theme))
