"""`instrument stats`: how often, how long, how much, over all traces."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from instrument.cli.printing import say
from instrument.cli.source import add_path, fresh, json_document, path_of, tell


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "stats",
        help="count and time calls by name and kind, tokens and money by model, operation and agent",
        description="Durations: mean, median (p50), 95th percentile (p95), longest, sum.",
    )
    add_path(parser)
    parser.add_argument("--all", action="store_true", help="every name, where the list is cut at 40 otherwise")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the numbers."""
    from instrument.analysis.overview import overall
    from instrument.store.heads import heads

    path = path_of(args)
    notices: list[str] = []
    found = overall(lambda: heads(path, fresh(notices)))
    if args.json:
        from instrument.views.files import metrics_told

        say(json_document({"traces": found.traces, **metrics_told(found.metrics)}))
    else:
        from instrument.views.tables import stats_tables
        from instrument.views.theme import theme_for

        names = None if args.all else 40
        say(stats_tables(found.metrics, theme_for(sys.stdout), traces=found.traces, names=names))
    tell(notices)
    return 0
