"""`instrument ledger copy FROM TO`: bring the calls of one ledger into another, such as a file's into PostgreSQL."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from instrument.cli.costs import ledger_at
from instrument.cli.printing import say
from instrument.store import ledgers
from instrument.store.entries import Row
from instrument.store.ledgers import told

AT_ONCE = 1_000
"""Rows that are entered in one transaction."""

WIDTH = 30
"""Characters of the progress bar."""


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser: argparse.ArgumentParser = subparsers.add_parser("ledger", help="bring the calls of one ledger into another")
    verbs = parser.add_subparsers(dest="ledger_verb", metavar="copy", required=True)
    copy: argparse.ArgumentParser = verbs.add_parser(
        "copy",
        help="enter every call of one ledger in another one",
        description="A call that is there already is brought up to date, none is doubled: an interrupted copy is "
        "simply begun again. The first ledger stays as it is.",
    )
    copy.add_argument("source", metavar="FROM", help="a ledger file, a recording folder, or postgresql://…")
    copy.add_argument(
        "target", metavar="TO", help="a ledger file (made where it is missing), a recording folder, or postgresql://…"
    )
    copy.add_argument("--json", action="store_true", help="print JSON")
    copy.set_defaults(run=run)


class Copied(NamedTuple):
    """What a copy came to."""

    source: str
    target: str
    calls: int


def run(args: argparse.Namespace) -> int:
    """Copy and say how many calls there are; 0 when done. Raises `InstrumentError` for a ledger that cannot be used."""
    source, target = ledger_at(args.source), ledger_at(args.target)
    [total] = ledgers.totals(source)
    count = 0
    for batch in _batches(ledgers.rows(source)):
        ledgers.enter(target, batch)
        count += len(batch)
        _show_progress(count, total.calls)
    if not count:
        ledgers.enter(target, [])
    copied = Copied(told(source), told(target), count)
    if args.json:
        say(json.dumps(copied._asdict(), indent=2))
    else:
        are = "call of {} is" if copied.calls == 1 else "calls of {} are"
        say(f"{copied.calls:,} {are.format(copied.source)} in {copied.target}")
    return 0


def _batches(rows: Iterator[Row]) -> Iterator[Sequence[Row]]:
    while batch := list(islice(rows, AT_ONCE)):
        yield batch


def _show_progress(done: int, of: int) -> None:
    """A bar where somebody watches."""
    if sys.stderr.isatty():
        share = min(1.0, done / of) if of else 1.0
        full = round(share * WIDTH)
        end = "\n" if done >= of else ""
        sys.stderr.write(f"\r{'█' * full}{'░' * (WIDTH - full)} {done:,} of {of:,} calls{end}")
        sys.stderr.flush()
