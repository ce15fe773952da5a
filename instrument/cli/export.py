"""`instrument export`: one trace as plain files."""

from __future__ import annotations

import argparse
from typing import Any

from instrument.cli.printing import say
from instrument.cli.source import add_trace, find_trace, json_document, path_of, place_trace, tell


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "export",
        help="write one trace as traces.json, logs.json, tokens.json and metrics.json",
        description="The last trace, or the one whose id begins with TRACE. Files of these names are replaced.",
    )
    add_trace(parser)
    parser.add_argument("--dir", required=True, metavar="DIR", help="the folder to write into; made if it is missing")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the files and name them."""
    from instrument.views.files import save
    from instrument.views.theme import clean

    place_trace(args)
    notices: list[str] = []
    trace = find_trace(path_of(args), args.trace, notices)
    files = [str(file) for file in save(trace, args.dir)]
    say(json_document({"trace_id": trace.trace_id, "files": files}) if args.json else "\n".join(map(clean, files)))
    tell(notices)
    return 0
