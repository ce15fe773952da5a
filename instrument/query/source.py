"""A DuckDB of our own, and record files as something that it can select from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from instrument.errors import InstrumentError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MISSING = "this needs DuckDB: pip install 'agent-instrument[query]'"
_GLOB = frozenset("*?[{")
_ALONE: Mapping[str, str | bool] = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}


def connect(**config: str | bool | int) -> DuckDBPyConnection:
    """An empty database in memory that loads nothing from elsewhere. Raises `InstrumentError` without DuckDB."""
    try:
        import duckdb
    except ImportError:
        raise InstrumentError(MISSING) from None
    return duckdb.connect(":memory:", config={**_ALONE, **config})


def rows_of(files: Iterable[Path], columns: Mapping[str, str], longest_line: int, *, filename: bool = False) -> str:
    """SQL for the lines of the files as rows, with the `filename` if so; of what is no record every column is null.

    Raises `ValueError` for a path that DuckDB would take as a pattern.
    """
    paths = [str(file.absolute()) for file in files]
    if not paths:
        nothing = ", ".join(f'null::{kind} "{name}"' for name, kind in columns.items())
        return f"(select {nothing}{', null::varchar filename' if filename else ''} limit 0)"
    if any(_GLOB & set(path) for path in paths):
        raise ValueError("a path with *, ?, [ or { in it is a pattern for DuckDB")
    types = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in columns.items())
    return (
        f"read_json([{', '.join(map(literal, paths))}], columns = {{{types}}}, format = 'newline_delimited', "
        f"ignore_errors = true, filename = {filename}, maximum_object_size = {longest_line})"
    )


def literal(text: str) -> str:
    """The text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"
