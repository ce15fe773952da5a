"""`instrument costs`: what the model calls in the ledger cost, to the last digit."""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from instrument.cli.amounts import WITHOUT_TOKENS, calls, doubts, in_places, name_of, places, plain
from instrument.cli.moments import since
from instrument.cli.printing import say
from instrument.cli.reprice import repriced
from instrument.cli.source import folder_of, looked, settings_of
from instrument.errors import InstrumentError
from instrument.store.entries import By, Total, added_up
from instrument.store.folder import LEDGER
from instrument.store.ledger import in_folder
from instrument.store.ledgers import Address, file_of, rows, told, totals
from instrument.store.postgres import is_postgres
from instrument.views.tables import Column, table
from instrument.views.theme import clean, theme_for, wrapped


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "costs",
        help="show what the model calls cost, by model, operation, agent, session, user or day",
        description="Money is in US dollars and exact. Calls without a known price are counted apart, never as 0.",
    )
    parser.add_argument(
        "path", nargs="?", help="a ledger (a file or postgresql://…) or a recording folder (default: the nearest one)"
    )
    parser.add_argument("--by", choices=get_args(By), default="model", help="what to add up by (default: model)")
    parser.add_argument("--since", type=since, metavar="TIME", help="from then on: 2026-11-23, 2026-11-23T09:30, 7d")
    parser.add_argument("--json", action="store_true", help="print JSON, money as decimal strings")
    parser.add_argument(
        "--reprice", action="store_true", help="price the calls anew, beside what they did cost; changes nothing"
    )
    parser.add_argument("--prices", type=Path, metavar="FILE", help='a TOML file of [prices."model"] for --reprice')
    parser.add_argument(
        "--at", type=since, metavar="DATE", help="for --reprice: prices of that day, not of each call's"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the costs. Raises `InstrumentError` when there is no ledger or it cannot be read."""
    if not args.reprice and (args.prices is not None or args.at is not None):
        raise InstrumentError("--prices and --at say by what prices to compute anew: add --reprice")
    try:
        path = ledger_at(args.path) if args.path is not None else _usual_ledger(args)
        shown = _shown(args, path)
    except sqlite3.Error as error:
        raise InstrumentError(clean(error)) from None
    say(shown)
    return 0


def _shown(args: argparse.Namespace, path: Address) -> str:
    unused = _is_unused(args, path)
    if unused and not args.json:
        return _of_none(path)
    if args.reprice:
        found = () if unused else rows(path, args.since)
        return repriced(found, path, args.by, settings_of(args).prices, args.prices, args.at, as_json=args.json)
    groups = [] if unused else totals(path, by=args.by, since_ns=args.since)
    return _as_json(path, args.by, groups) if args.json else _as_text(args.by, groups)


def ledger_at(given: str | Path) -> Address:
    """The ledger that a path names: itself, or the one in the folder."""
    if is_postgres(given):
        return given
    path = file_of(given)
    return in_folder(path) if path.is_dir() else path


def _usual_ledger(args: argparse.Namespace) -> Address:
    """The one that the settings name, or that of the nearest folder. Raises `InstrumentError` when there is neither."""
    settings = settings_of(args)
    if settings.ledger.url is not None:
        return settings.ledger_url if is_postgres(settings.ledger_url) else file_of(settings.ledger_url)
    folder = folder_of(args)
    if folder is None:
        raise InstrumentError(f"there is no recording folder {looked(args)}: run a decorated program, or name a ledger")
    return folder / LEDGER


def _is_unused(args: argparse.Namespace, path: Address) -> bool:
    """Whether there is no ledger because no model call in the records beside it took anything."""
    from instrument.store.heads import heads

    folder = folder_of(args) if args.path is None else Path(args.path)
    if isinstance(path, str) or path.exists() or folder is None or not folder.is_dir():
        return False
    number = 0
    for number, head in enumerate(heads(folder, []), 1):  # noqa: B007 - it is asked for afterwards
        if getattr(head, "usage", None) is not None or getattr(head, "cost", None) is not None:
            return False
    return number > 0


def _of_none(path: Address) -> str:
    """What there is to say where no model was called."""
    theme = theme_for(sys.stdout)
    lines = f"no model call that told its tokens in {clean(Path(path).parent)}", WITHOUT_TOKENS
    return "\n".join(part for line in lines for part in wrapped(line, theme.width))


def _as_json(path: Address, by: str, groups: Sequence[Total]) -> str:
    shown = {"ledger": told(path), "by": by, "groups": [*map(plain, groups)], "total": plain(added_up(groups))}
    return json.dumps({**shown, "left_out": WITHOUT_TOKENS}, indent=2)


def _as_text(by: str, groups: Sequence[Total]) -> str:
    total = added_up(groups)
    decimals = max((places(one.usd) for one in (*groups, total)), default=2)
    titles = ("calls", "input", "cached", "output", "reasoning", "unpriced", "USD")
    theme = theme_for(sys.stdout)
    columns = [Column(by, flexible=True), *(Column(title, True, _GIVES_WAY.get(title, 0)) for title in titles)]
    lines = [_cells(one, name_of(one.key), decimals) for one in groups]
    shown = table(columns, [*lines, _cells(total, "total", decimals)], theme)
    below = [*doubts(groups, total, "unpriced and not in the total")]
    if total.free:
        below.append(f"{calls(total.free)} free")
    return "\n".join([shown, *(part for line in below for part in wrapped(line, theme.width))])


_GIVES_WAY = {"reasoning": 4, "cached": 3, "output": 2, "input": 1}


def _cells(one: Total, name: str, decimals: int) -> list[str]:
    """One line of the table; the amount is exact. A column that is empty in every line is not shown."""
    counts = [f"{count:,}" for count in (one.calls, one.input, one.cached, one.output, one.reasoning)]
    return [name, *counts, f"{one.unpriced:,}" if one.unpriced else "", in_places(one.usd, decimals)]
