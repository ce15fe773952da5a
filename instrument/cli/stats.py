"""`instrument stats`: how often, how long, how much, over all traces."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from instrument.cli.moments import since
from instrument.cli.over_all import add_engine, overall_of
from instrument.cli.printing import json_document, say, tell
from instrument.cli.source import add_path, path_of, tell_of_sampling

if TYPE_CHECKING:
    from instrument.analysis.overview import Overall


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "stats",
        help="count and time calls by name and kind, tokens and money by model, operation and agent, scores",
        description="Durations: mean, median (p50), percentiles (p90, p95, p99), longest, sum, and its share of the "
        "wall time of all traces; calls inside one another count each. Unended are those without an end, as after a "
        "crash: they last until the last sign of life of their process.",
    )
    add_path(parser)
    parser.add_argument("--by", choices=("name", "kind", "model", "agent"), help="only one table, by this")
    parser.add_argument("--since", type=since, metavar="TIME", help="what began then or later: 2026-11-23, 2h, 7d")
    parser.add_argument("--all", action="store_true", help="every name, where the list is cut at 40 otherwise")
    add_engine(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the numbers."""
    path = path_of(args)
    notices: list[str] = []
    found = overall_of(path, notices, args.engine, args.since)
    if args.json:
        say(json_document(_told(found, args.by)))
    else:
        _print(found, args.by, None if args.all else 40)
    tell(notices)
    tell_of_sampling(path)
    return 0


def _print(found: Overall, by: str | None, names: int | None) -> None:
    from instrument.views.tables import stats_tables, times_table
    from instrument.views.theme import theme_for

    theme = theme_for(sys.stdout)
    if by is None:
        say(stats_tables(found.metrics, theme, traces=found.traces, names=names, scores=found.scores))
    else:
        say(times_table(found.metrics, by, theme, names) or f"no call has {'an' if by == 'agent' else 'a'} {by}")


def _told(found: Overall, by: str | None) -> dict[str, Any]:
    from msgspec.structs import asdict

    from instrument.views.plain import metrics_told, total_told
    from instrument.views.tables import grouped

    if by is None:
        scores = {name: asdict(one) for name, one in found.scores.items()}
        return {"traces": found.traces, **metrics_told(found.metrics), "scores": scores}
    times, spent = grouped(found.metrics, by)
    wall = found.metrics.wall_ns
    groups = {
        name: {
            **asdict(timing),
            "share": timing.total_ns / wall if wall else None,
            "total": total_told(spent[name]) if name in spent else None,
        }
        for name, timing in times.items()
    }
    return {"traces": found.traces, "by": by, "wall_ns": wall, "groups": groups}
