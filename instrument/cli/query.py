"""`instrument query "SELECT …"`: SQL over what was recorded, by DuckDB."""

from __future__ import annotations

import argparse
import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any

from msgspec import Raw
from msgspec.json import encode

from instrument.cli.printing import say, tell
from instrument.cli.source import path_of, tell_of_sampling
from instrument.errors import InstrumentError
from instrument.money import decimal_text
from instrument.views.theme import clean, theme_for, wrapped

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from instrument.views.tables import Cell

MOST_ROWS = 1000
"""A table for people has no more rows; the other forms have all."""
CHUNK = 10_000
NUMBERS = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$|DOUBLE|DECIMAL|FLOAT)")


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "query",
        help="answer a SELECT over spans, llm_calls, tools, costs, logs, findings (needs the extra `query`)",
        description="SQL as DuckDB speaks it over the views spans, llm_calls, tools, costs, logs, findings and scores "
        "of all the files that are named. `DESCRIBE spans` lists the columns of one. Nothing is written.",
        epilog='Example: instrument query "SELECT model, count(*), sum(usd) FROM costs GROUP BY model"',
    )
    parser.add_argument("sql", metavar="SELECT", help="the statement, or - to read it from stdin")
    told = "files or folders (default: the nearest .instrument)"
    parser.add_argument("paths", nargs="*", default=[], metavar="PATH", help=told)
    parser.add_argument("--path", dest="named_path", metavar="PATH", help=argparse.SUPPRESS)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON, one object a row")
    form.add_argument("--csv", action="store_true", help="print CSV with a header")
    parser.set_defaults(run=run, path=None)


def run(args: argparse.Namespace) -> int:
    """Print the rows."""
    from instrument.query.views import database, select

    notices: list[str] = []
    sql = _statement(args.sql)
    paths = args.paths or [path_of(args)]
    with database(paths, notices) as connection:
        tell(notices)
        found = select(connection, sql)
        (_print_json if args.json else _print_csv if args.csv else _print_table)(found)
    tell_of_sampling(*paths)
    return 0


def _statement(given: str) -> str:
    try:
        sql = sys.stdin.read() if given == "-" else given
        sql.encode()
    except UnicodeError:
        raise InstrumentError("the statement is no text in UTF-8") from None
    return sql


def _rows(found: DuckDBPyConnection) -> Iterator[Sequence[Any]]:
    while rows := found.fetchmany(CHUNK):
        yield from rows


def _names(found: DuckDBPyConnection) -> list[str]:
    return [column[0] for column in found.description or ()]


def _print_json(found: DuckDBPyConnection) -> None:
    names = _names(found)
    holds_json = [str(column[1]) == "JSON" for column in found.description or ()]
    opening = "[\n"
    for row in _rows(found):
        values = [_plain(value, is_json) for value, is_json in zip(row, holds_json, strict=True)]
        say(f"{opening}{_encoded(dict(zip(names, values, strict=True)))}", end="")
        opening = ",\n"
    say("\n]" if opening == ",\n" else "[]")


def _plain(value: Any, is_json: bool) -> Any:
    return Raw(value.encode()) if is_json and value is not None else _told(value)


def _encoded(row: dict[str, Any]) -> str:
    return encode(row, enc_hook=str).decode()


def _told(value: Any) -> Any:
    """The value as it is, amounts of money without the zeros behind."""
    return decimal_text(value) if isinstance(value, Decimal) else value


def _print_csv(found: DuckDBPyConnection) -> None:
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")
    for row in chain([_names(found)], _rows(found)):
        writer.writerow(["" if value is None else _told(value) for value in row])
        say(line.getvalue(), end="")
        line.seek(0)
        line.truncate()


def _print_table(found: DuckDBPyConnection) -> None:
    from instrument.views.tables import Column, table, that_fit

    theme = theme_for(sys.stdout)
    columns = [
        Column(clean(name, 60), right=(number := NUMBERS.match(str(kind)) is not None), flexible=not number)
        for name, kind, *_ in found.description or ()
    ]
    rows = found.fetchmany(MOST_ROWS + 1)
    told = [[_cell(value) for value in row] for row in rows[:MOST_ROWS]]
    fit = that_fit(columns, told, theme)
    say(table(columns[:fit], [row[:fit] for row in told], theme))
    if left := [
        column.title for place, column in enumerate(columns) if place >= fit and any(row[place] for row in told)
    ]:
        more = f"{theme.ellipsis} no room for {', '.join(left)}: name those that you want; --csv and --json print all"
        say("\n".join(theme.paint(line, "dim") for line in wrapped(more, theme.width)))
    if len(rows) > MOST_ROWS:
        say(theme.paint(f"{theme.ellipsis} there are more than {MOST_ROWS:,} rows: --csv or --json print all", "dim"))


def _cell(value: Any) -> Cell:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"
    return clean(_told(value), 300)
