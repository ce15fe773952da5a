"""The heads of records in a DuckDB table, for totals over more spans than a loop in Python gets through quickly.

There is a table only where nothing about the files is out of the ordinary: every line is a record, and no span is
there twice. Anything else is left to the reader that goes line by line, copes with it and says what it skipped.
"""

from __future__ import annotations

import os
from string import Template
from typing import TYPE_CHECKING, Any

from instrument.analysis.failures import CANCELLED, GROUP
from instrument.model import AGAIN_OF, BASES
from instrument.query.source import connect, rows_of
from instrument.statuses import UNENDED
from instrument.store.heads import NAMES
from instrument.store.jsonl import files

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LONGEST_LINE = 4 << 20
"""DuckDB keeps room for a few lines of this many bytes in each thread."""
MEMORY = "300MB"
TOKENS = ("input", "cached", "cache_write", "output", "reasoning", "audio")


class Unusual(Exception):
    """There is something about the files that the table cannot hold."""


class Heads:
    """The table `heads` with one row a record: those of type `span` are all spans, unended ones too.

    The files are read once. `trace` and `run` are there whole or, when `hashed`, in half the space; `more` names more
    columns. Raises `Unusual`, or `duckdb.Error` for unreadable files.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, hashed: bool, more: str = "", since_ns: int | None = None
    ) -> None:
        self._connection: DuckDBPyConnection = connect(memory_limit=MEMORY, preserve_insertion_order=False)
        kept = _HASHED if hashed else "{0}"
        trace, run = kept.format("trace_id"), kept.format("run")
        self._names = {"trace": trace, "run": run, "more": more, "source": _source(path, since_ns)}
        self._run(_TABLE)
        self._refuse_any("select count(*) from heads where odd")
        self._refuse_repeated("heads where type = 'span'")
        self._refuse_repeated("heads where type = 'update'")
        self._run(_UNENDED)
        self._refuse_repeated("unended")
        self._run("insert into heads by name from unended")
        self._names["updated"] = _UPDATED if self._run("from heads where type = 'update' limit 1") else "heads"

    def select(self, sql: str) -> list[Any]:
        """Rows of the table `heads`."""
        return self._run(f"select {sql}")

    def calls(self, columns: str, groups: str) -> list[Any]:
        """The `columns` of the model calls in each of the groups; there are those of `heads`, `SUMS` and `TIMES`."""
        found = self._run(f"select {columns}, count_if(strange) from ({_CALLS}) group by grouping sets ({groups})")
        if any(row[-1] for row in found):
            raise Unusual("an amount of money that is no plain decimal")
        return [row[:-1] for row in found]

    def _refuse_repeated(self, rows: str) -> None:
        """Refuse a span that is there twice."""
        self._refuse_any(f"select count(*) - count(distinct hash(trace, span)) from {rows}")

    def _refuse_any(self, counted: str) -> None:
        if self._run(counted) != [(0,)]:
            raise Unusual(counted)

    def _run(self, sql: str) -> list[Any]:
        return self._connection.execute(Template(sql).substitute(self._names)).fetchall()


def _source(path: str | os.PathLike[str], since_ns: int | None) -> str:
    rows = rows_of(files(path), _COLUMNS, LONGEST_LINE)
    began = "coalesce(start_ns, time_ns, case type when 'finding' then 0 end)"
    return rows if since_ns is None else f"(from {rows} where coalesce({began} >= {since_ns}, true))"


_COLUMNS = {
    **dict.fromkeys(("type", "run", "trace_id", "span_id", "parent_id", "kind", "name", "status"), "VARCHAR"),
    **dict.fromkeys(("level", "severity", "label"), "VARCHAR"),
    "value": "DOUBLE",
    **dict.fromkeys(("start_ns", "duration_ns", "time_ns"), "BIGINT"),
    "error": "STRUCT(type VARCHAR, message VARCHAR, causes STRUCT(type VARCHAR, message VARCHAR)[])",
    "attributes": "STRUCT(" + ", ".join(f'"{name}" VARCHAR' for name in NAMES.values()) + ")",
    "usage": f"STRUCT({', '.join(f'{name} BIGINT' for name in TOKENS)})",
    "cost": "STRUCT(usd VARCHAR, basis VARCHAR)",
    "data": f"STRUCT({AGAIN_OF} VARCHAR)",
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
TIMES = (
    "count(*), count_if(word = 'error'), coalesce(sum(last - start) filter (not untimed), 0),"
    " coalesce(max(last - start) filter (not untimed), 0),"
    " quantile_cont(last - start, [0.5, 0.9, 0.95, 0.99]) filter (not untimed), count_if(untimed),"
    f" count_if(word in {UNENDED})"
)
"""What a `metrics.Timing` is made of."""
_HASHED = "case when {0} is not null then hash({0}) end"
_SETTLED = ", ".join(f'attributes."{name}"' for short, name in NAMES.items() if short != "response_model")
"""What no update should tell of a span that has ended."""
_TABLE = f"""
create table heads as select
    type, $trace trace, hash(span_id) span, case when parent_id is not null then hash(parent_id) end parent,
    $run run, coalesce(start_ns, time_ns) start,
    case type when 'span' then start_ns + duration_ns else coalesce(time_ns, start_ns, 0) end last,
    name, case type when 'open' then coalesce(kind, 'span') else kind end kind,
    case type when 'log' then upper(coalesce(level, 'INFO')) when 'finding'
        then case when data.{AGAIN_OF} is null then coalesce(severity, 'warning') else 'info' end
        when 'score' then label else status end word,
    case when error is not null then hash(error.type, coalesce(error.message, '')) else 0 end exception,
    case when suffix(error.type, '{GROUP}') then [hash(one.type, coalesce(one.message, '')) for one in error.causes
        if not suffix(one.type, '{GROUP}') and not suffix(one.type, '{CANCELLED}')] end held,
    attributes."instrument.iteration" is not null numbered,
    attributes."instrument.no_iteration" is not null uncounted, attributes."instrument.times" is not null untimed,
    coalesce(attributes."gen_ai.response.model", attributes."gen_ai.request.model") model,
    coalesce(attributes."gen_ai.agent.id", attributes."gen_ai.agent.name") agent,
    attributes."instrument.operation" operation, usage, cost, value,
    case type
        when 'span' then trace is null or span_id is null or start_ns is null or last is null or name is null
            or kind is null or word is null
        when 'open' then trace is null or span_id is null or start_ns is null or name is null
        when 'update' then trace is null or span_id is null or coalesce({_SETTLED}) is not null
        when 'log' then time_ns is null
        when 'score' then time_ns is null or name is null
        else type is null end odd $more
from $source
"""
_UNENDED = """
create table unended as
with opened as (from heads where type = 'open'),
ended as (select trace, span from heads where type = 'span' and span in (select span from opened)),
signs as (select run, max(last) sign from heads group by run)
select opened.* replace ('span' as type, 'open' as word, sign as last)
from (from opened anti join ended using (trace, span)) opened join signs on opened.run is not distinct from signs.run
"""
MONEY = "-?[0-9]{1,15}([.][0-9]{1,18})?"
"""Amounts that a DECIMAL(38, 18) holds exactly."""
_UPDATED = """(
    select heads.* replace (coalesce(late.model, heads.model) as model, coalesce(late.usage, heads.usage) as usage,
        coalesce(late.cost, heads.cost) as cost)
    from heads left join (from heads where type = 'update') late
        on heads.word != 'open' and late.span = heads.span and late.trace = heads.trace
)"""
_CALLS = f"""
with judged as (
    select *, try_cast(cost.usd as decimal(38, 18)) usd, coalesce(cost.basis, 'unpriced') said,
        cost.usd is not null and not regexp_full_match(cost.usd, '{MONEY}') strange
    from $updated where type = 'span' and word != 'refused'
        and (usage is not null or cost is not null or kind in ('llm', 'embedding'))
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
