"""The heads of records in a DuckDB table, for totals over more spans than a loop in Python gets through quickly.

There is a table only where nothing about the files is out of the ordinary: every line is a record, and no span is
there twice. Anything else is left to the reader that goes line by line, copes with it and says what it skipped.
"""

from __future__ import annotations

import os
from string import Template
from typing import TYPE_CHECKING, Any

from instrument.query.source import connect, rows_of
from instrument.store.heads import NAMES
from instrument.store.jsonl import files

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LONGEST_LINE = 4 << 20
"""DuckDB keeps room for a few lines of this many bytes in each thread."""
MEMORY = "280MB"
TOKENS = ("input", "cached", "cache_write", "output", "reasoning", "audio")
BASES = ("priced", "estimated", "unpriced", "free")
ID, HASH = "trace_id", "case when trace_id is not null then hash(trace_id) end"
"""What a trace is known by in the table: its id, or in half the space a hash of it."""


class Unusual(Exception):
    """There is something about the files that the table cannot hold."""


class Heads:
    """The table `heads` with one row a record: those of type `span` are all spans, unended ones too.

    `trace` is `ID` or `HASH`, `more` names more columns. Raises `Unusual`, or `duckdb.Error` for unreadable files.
    """

    def __init__(self, path: str | os.PathLike[str], trace: str, more: str = "", since_ns: int | None = None) -> None:
        self._connection: DuckDBPyConnection = connect(memory_limit=MEMORY)
        of_row = trace.replace("trace_id", "r.trace_id")
        self._names = {"trace": trace, "trace_of_r": of_row, "more": more, "source": _source(path, since_ns)}
        self._run(_TABLE)
        self._refuse_any(_BROKEN)
        self._refuse_any("select count(*) - count(distinct hash(trace, span)) from heads where type = 'span'")
        self._run(_UNENDED)
        self._refuse_any("select count(*) - count(distinct hash(trace, span)) from unended")
        self._run("insert into heads by name from unended")
        updated = self._run("select count(*) from heads where type = 'update'") != [(0,)]
        self._run(_LATE if updated else _LATE.replace("type = 'update'", "false"))
        self._refuse_any(_LATE_HEADS)

    def select(self, sql: str) -> list[Any]:
        """Rows of the table `heads`."""
        return self._run(f"select {sql}")

    def calls(self, columns: str, groups: str) -> list[Any]:
        """The model calls in each of the `groups`: `columns`, then the columns of `SUMS`, then those of `times_of`.

        There are `trace`, `name`, `kind`, `status`, `duration_ns`, and the names of `store.heads.Attributes`.
        """
        selected = f"{columns}, {SUMS}, {times_of('duration_ns', 'status')}, count_if(strange)"
        found = self._run(f"select {selected} from ({_CALLS}) group by grouping sets ({groups})")
        if any(row[-1] for row in found):
            raise Unusual("an amount of money that is no plain decimal")
        return [row[:-1] for row in found]

    def _refuse_any(self, counted: str) -> None:
        if self._run(counted) != [(0,)]:
            raise Unusual(counted)

    def _run(self, sql: str) -> list[Any]:
        return self._connection.execute(Template(sql).substitute(self._names)).fetchall()


def times_of(duration: str, status: str) -> str:
    """The columns that a `metrics.Timing` is made of."""
    quantiles = f"quantile_cont({duration}, [0.5, 0.9, 0.95, 0.99])"
    return f"count(*), count_if({status} = 'error'), sum({duration}), max({duration}), {quantiles}"


def _source(path: str | os.PathLike[str], since_ns: int | None) -> str:
    rows = rows_of(files(path), _COLUMNS, LONGEST_LINE)
    began = "coalesce(start_ns, time_ns, case type when 'finding' then 0 end)"
    return rows if since_ns is None else f"(from {rows} where coalesce({began} >= {since_ns}, true))"


_COLUMNS = {
    **dict.fromkeys(("type", "run", "trace_id", "span_id", "parent_id", "kind", "name", "status"), "VARCHAR"),
    **dict.fromkeys(("level", "severity"), "VARCHAR"),
    **dict.fromkeys(("start_ns", "duration_ns", "time_ns"), "BIGINT"),
    "error": "STRUCT(type VARCHAR, message VARCHAR)",
    "attributes": "STRUCT(" + ", ".join(f'"{name}" VARCHAR' for name in NAMES.values()) + ")",
    "usage": f"STRUCT({', '.join(f'{name} BIGINT' for name in TOKENS)})",
    "cost": "STRUCT(usd VARCHAR, basis VARCHAR)",
}
SUMS = ", ".join(
    [
        "count(*)",
        *(f"coalesce(sum(usage.{name}), 0)" for name in TOKENS),
        *(f"count_if(basis = '{basis}')" for basis in BASES),
        "coalesce(sum(money), 0)",
        "coalesce(max(case when money != 0 then places end), 0)",
    ]
)
"""What a `totals.Sum` is made of."""
_TABLE = """
create table heads as select
    type, $trace trace, hash(span_id) span, case when parent_id is not null then hash(parent_id) end parent,
    coalesce(run, '') run, coalesce(start_ns, time_ns) start,
    case type when 'span' then start_ns + duration_ns else coalesce(time_ns, start_ns, 0) end last,
    name, case type when 'open' then coalesce(kind, 'span') else kind end kind,
    case type when 'log' then upper(coalesce(level, 'INFO')) when 'finding' then coalesce(severity, 'warning')
        else status end word,
    case when error is not null then hash(error.type, coalesce(error.message, '')) else 0 end exception,
    attributes."instrument.iteration" is not null numbered, span_id is not null known $more
from $source
"""
_BROKEN = """
select count(*) from heads where type is null
    or (type in ('span', 'open', 'update') and (trace is null or not known))
    or (type in ('span', 'open') and (start is null or last is null or name is null or kind is null))
    or (type = 'span' and word is null) or (type in ('log', 'score') and start is null)
"""
_UNENDED = """
create table unended as
with signs as (select run, max(last) sign from heads group by run)
select heads.* replace ('span' as type, 'open' as word, greatest(start, sign) as last) from heads join signs using (run)
where type = 'open' and not exists (
    from heads ended where ended.type = 'span' and ended.span = heads.span and ended.trace = heads.trace)
"""
_LATEST = ", ".join(
    f'last({column} order by place) filter ({column} is not null) "{name}"'
    for name, column in {
        "usage": "usage",
        "cost": "cost",
        **{short: f'attributes."{name}"' for short, name in NAMES.items()},
    }.items()
)
_LATE = f"""
create table late as select $trace trace, hash(span_id) span, {_LATEST}
from (select *, row_number() over () place from $source where type = 'update') group by all
"""
MONEY = "-?[0-9]{1,15}([.][0-9]{1,18})?"
"""Amounts that a DECIMAL(38, 18) holds exactly."""
_LATE_HEADS = "select count(*) from late where coalesce(label, outcome, iteration) is not null"
_ATTRIBUTES = ", ".join(f'coalesce(late."{short}", attributes."{name}") "{short}"' for short, name in NAMES.items())
_CALLS = f"""
with merged as (
    select $trace_of_r trace, name, case r.type when 'open' then coalesce(r.kind, 'span') else r.kind end kind,
        case r.type when 'open' then 'open' else status end status,
        case r.type when 'open' then took else duration_ns end duration_ns,
        {_ATTRIBUTES}, coalesce(late.usage, r.usage) usage, coalesce(late.cost, r.cost) cost
    from $source r
    left join late on r.type = 'span' and late.span = hash(r.span_id) and late.trace = $trace_of_r
    left join (select trace, span, last - start took from unended) u
        on r.type = 'open' and u.span = hash(r.span_id) and u.trace = $trace_of_r
    where r.type = 'span' or u.span is not null
), judged as (
    select *, try_cast(cost.usd as decimal(38, 18)) usd, coalesce(cost.basis, 'unpriced') said,
        cost.usd is not null and not regexp_full_match(cost.usd, '{MONEY}') strange
    from merged where usage is not null or cost is not null or kind in ('llm', 'embedding')
)
select *,
    case
        when cost is null then case when usage is null then '' else 'unpriced' end
        when said = 'free' then 'free'
        when usd is null or said = 'unpriced' then 'unpriced'
        when said = 'estimated' then 'estimated' else 'priced' end basis,
    case when basis in ('priced', 'estimated', 'free') then usd end money,
    case when contains(cost.usd, '.') then length(cost.usd) - position('.' in cost.usd) else 0 end places
from judged
"""
