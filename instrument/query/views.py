"""The records of any files as views for SQL: `spans`, `llm_calls`, `tools`, `costs`, `logs`, `findings`, `scores`.

Each span is there once, with what was learned of it later; one that never ended has the status `open`. Of a pattern
that goes on there is the finding that told it last. The database can be read, nothing else: no statement writes, no
file but the recordings is opened, no extension is fetched.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from instrument.errors import InstrumentError
from instrument.query.source import connect, literal, rows_of
from instrument.store.jsonl import decoded, files, record_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

VIEWS = ("spans", "llm_calls", "tools", "costs", "logs", "findings", "scores")
LONGEST_LINE = 16 << 20
"""A file with longer lines is copied without them: DuckDB keeps room for several lines of this size in each thread."""


@contextmanager
def database(paths: Sequence[str], notices: list[str]) -> Iterator[DuckDBPyConnection]:
    """The views over all files below the paths, for as long as the context lasts.

    What cannot be read is skipped and said in `notices`. Raises `InstrumentError` without DuckDB.
    """
    every = list(dict.fromkeys(file.absolute() for path in paths for file in files(path)))
    with tempfile.TemporaryDirectory(prefix="instrument-query-") as folder:
        connection = connect(temp_directory=folder)
        try:
            _make_views(connection, _readable(connection, every, Path(folder), notices), folder)
            yield connection
        finally:
            connection.close()


def select(connection: DuckDBPyConnection, sql: str) -> DuckDBPyConnection:
    """The result of one SELECT. Raises `InstrumentError` for what is none and for what DuckDB cannot do."""
    import duckdb

    try:
        statements = connection.extract_statements(sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise InstrumentError("give one SELECT: recordings are only read here (DESCRIBE spans lists the columns)")
        return connection.execute(statements[0])
    except duckdb.Error as error:
        said = str(error).strip().partition("\n")[0]
        known = f"the views are {', '.join(VIEWS)}; DESCRIBE spans tells the columns of one"
        raise InstrumentError(f"the query failed: {said} ({known})") from None


# Files


def _readable(connection: DuckDBPyConnection, every: list[Path], folder: Path, notices: list[str]) -> list[Path]:
    """The files, copies of their good lines in place of those that DuckDB cannot read as they are.

    Leaves the table `marks`: what is to be known of every line to make the views.
    """
    bad = _bad(connection, every)
    copies = {
        file: _mended(file, folder / f"{place}.jsonl", notices) for place, file in enumerate(every) if file in bad
    }
    readable = [copies.get(file, file) for file in every]
    if copies:
        _mark(connection, readable)
        for file, copy in copies.items():
            lost = connection.execute(f"select count(*) from {_rows([copy])} where {_NO_RECORD}").fetchall()[0][0]
            if lost:
                notices.append(f"{file}: {lost} records hold what DuckDB cannot read and were left out")
    return readable


def _bad(connection: DuckDBPyConnection, every: list[Path]) -> set[Path]:
    import duckdb

    try:
        _mark(connection, every)
        if connection.execute("select count(*) from marks where broken").fetchall() == [(0,)]:
            return set()
        rows = connection.execute(f"select distinct filename from {_rows(every)} where {_NO_RECORD}").fetchall()
        return {Path(name) for (name,) in rows}
    except (duckdb.Error, ValueError):
        if len(every) == 1:
            return set(every)
        half = len(every) // 2
        return _bad(connection, every[:half]) | _bad(connection, every[half:])


def _mark(connection: DuckDBPyConnection, every: list[Path]) -> None:
    connection.execute(f"create or replace table marks as select {_MARKS} from {_rows(every)}")


def _mended(file: Path, copy: Path, notices: list[str]) -> Path:
    with open(copy, "wb") as kept:
        kept.writelines(decoded(file, _good_line, notices))
    return copy


def _good_line(line: bytes) -> bytes:
    record_of(line)
    if len(line) >= LONGEST_LINE:
        raise ValueError("longer than DuckDB reads")
    return line.rstrip() + b"\n"


def _rows(every: Sequence[Path]) -> str:
    return rows_of(every, COLUMNS, LONGEST_LINE, filename=True)


# Views


def _make_views(connection: DuckDBPyConnection, every: Sequence[Path], folder: str) -> None:
    spans, distinct, updates, unended = connection.execute(_SHAPE).fetchall()[0]
    names = {
        "source": _rows(every),
        "ended": "copies_left_out" if spans > distinct else f"(from {_rows(every)} where type = 'span')",
        "updates": "type = 'update'" if updates else "false",
        "opens": f"type = 'open' and {_KEY} in (from unended_keys)" if unended else "false",
    }
    if spans > distinct:
        connection.execute(Template(_WITHOUT_COPIES).substitute(names))
    for statement in (_LATE, _UNENDED, _SPANS, *_OTHERS):
        connection.execute(Template(statement).substitute(names))
    for statement in (
        f"set allowed_paths = [{', '.join(literal(str(file)) for file in every)}]",
        f"set allowed_directories = [{literal(folder)}]",
        "set enable_external_access = false",
        "set lock_configuration = true",
    ):
        connection.execute(statement)


COLUMNS = {
    **dict.fromkeys(("type", "run", "trace_id", "span_id", "parent_id", "kind", "name", "status"), "VARCHAR"),
    **dict.fromkeys(("level", "event", "message", "agent_id", "logger", "detector", "severity"), "VARCHAR"),
    **dict.fromkeys(("label", "source"), "VARCHAR"),
    **dict.fromkeys(("start_ns", "duration_ns", "time_ns"), "BIGINT"),
    **dict.fromkeys(("input", "output", "attributes", "events", "links", "metadata", "data"), "JSON"),
    "value": "DOUBLE",
    "span_ids": "VARCHAR[]",
    "error": "STRUCT(type VARCHAR, message VARCHAR, stack VARCHAR)",
    "usage": "STRUCT(input BIGINT, cached BIGINT, cache_write BIGINT, output BIGINT, reasoning BIGINT, audio BIGINT, "
    "cache_write_1h BIGINT, web_searches BIGINT, file_searches BIGINT, source VARCHAR)",
    "cost": "STRUCT(usd VARCHAR, basis VARCHAR, price_date VARCHAR)",
}
_NO_RECORD = """type is null
    or (type in ('span', 'open', 'update') and (trace_id is null or span_id is null))
    or (type in ('span', 'open') and (start_ns is null or name is null))
    or (type = 'span' and (duration_ns is null or kind is null or status is null))
    or (type in ('log', 'score') and time_ns is null)"""
_KEY = "hash(trace_id, span_id)"
_MARKS = f"""type, {_KEY} "key", coalesce(run, '') run, coalesce({_NO_RECORD}, true) broken,
    coalesce(try_cast(start_ns::hugeint + duration_ns as bigint), time_ns, start_ns, 0) sign"""
_SHAPE = """
create table signs as select run, max(sign) sign from marks where run in (select run from marks where type = 'open')
    group by run;
create table unended_keys as select distinct "key" from marks where type = 'open'
    and "key" not in (select "key" from marks where type = 'span');
select count(*) filter (type = 'span'), count(distinct "key") filter (type = 'span'),
    count(*) filter (type = 'update'), (select count(*) from unended_keys) from marks
"""
_WITHOUT_COPIES = """
create table copies_left_out as from $source where type = 'span'
qualify row_number() over (partition by trace_id, span_id order by start_ns::hugeint + duration_ns desc) = 1
"""
_LATE = """
create table late as select trace_id, span_id, last(usage order by place) filter (usage is not null) usage,
    last(cost order by place) filter (cost is not null) cost,
    list_reduce(list(coalesce(attributes, '{}') order by place), lambda a, b: json_merge_patch(a, b)) attributes
from (select *, row_number() over () place from $source where $updates) group by all
"""
_UNENDED = """
create table unended as
select opened.* replace ('open' as status, coalesce(kind, 'span') as kind,
    least(sign::hugeint - start_ns, 9223372036854775807)::bigint as duration_ns)
from (from $source where $opens) opened left join signs on signs.run = coalesce(opened.run, '')
qualify row_number() over (partition by trace_id, span_id) = 1;
drop table marks
"""
_SPANS = """
create view spans as
with every as (from $ended union all by name from unended),
known as (
    select every.* replace (coalesce(late.usage, every.usage) as usage, coalesce(late.cost, every.cost) as cost,
        case when late.attributes is null then every.attributes
            else json_merge_patch(coalesce(every.attributes, '{}'), late.attributes) end as attributes)
    from every left join late using (trace_id, span_id)
)
select trace_id, span_id, parent_id, name, kind, status, make_timestamp(start_ns // 1000) start,
    duration_ns / 1e6 duration_ms,
    coalesce(attributes ->> '$$."gen_ai.response.model"', attributes ->> '$$."gen_ai.request.model"') model,
    attributes ->> '$$."instrument.operation"' operation,
    coalesce(attributes ->> '$$."gen_ai.agent.id"', attributes ->> '$$."gen_ai.agent.name"') agent,
    attributes ->> '$$."session.id"' session, attributes ->> '$$."user.id"' "user",
    attributes ->> '$$."instrument.label"' label,
    try_cast(attributes ->> '$$."instrument.iteration"' as bigint) iteration,
    usage.input input_tokens, usage.cached cached_tokens, usage.cache_write cache_write_tokens,
    usage.output output_tokens, usage.reasoning reasoning_tokens, usage.cache_write_1h cache_write_1h_tokens,
    usage.web_searches web_searches, usage.file_searches file_searches,
    case when usage is not null then coalesce(usage.input, 0) + coalesce(usage.output, 0) end tokens,
    try_cast(cost.usd as decimal(24, 12)) usd,
    case when cost is not null then coalesce(cost.basis, 'unpriced') when usage is not null then 'unpriced' end basis,
    error.type error_type, error.message error_message, error.stack error_stack,
    input, output, attributes, events, start_ns, duration_ns, run, filename file
from known
"""
_OTHERS = (
    """create view llm_calls as select trace_id, span_id, parent_id, name, kind, status, start, duration_ms, model,
    operation, agent, session, "user", input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
    cache_write_1h_tokens, web_searches, file_searches, tokens, usd, basis, error_type, error_message,
    input -> '$$.messages' messages, output -> '$$.messages' answer, input, output, attributes, run, file
    from spans
    where status != 'refused' and (kind in ('llm', 'embedding') or tokens is not null or basis is not null)""",
    """create view tools as select trace_id, span_id, parent_id, name, status, start, duration_ms, input arguments,
    output result, error_type, error_message, attributes, run, file
    from spans where kind = 'tool' and status != 'refused'""",
    """create view costs as select start, cast(start as date) as day, model, operation, agent, session, "user",
    input_tokens, cached_tokens, output_tokens, tokens, usd, basis, trace_id, span_id, run, file from llm_calls""",
    """create view logs as select make_timestamp(time_ns // 1000) as time, coalesce(level, 'INFO') as level, event,
    message, metadata, logger, agent_id, trace_id, span_id, time_ns, run, filename file
    from $source where type = 'log'""",
    """create view findings as select make_timestamp(time_ns // 1000) as time, detector,
    coalesce(severity, 'warning') severity, message, trace_id, span_ids, data, run, filename file
    from $source where type = 'finding'
    qualify row_number() over (partition by trace_id, detector, coalesce(data ->> '$$."measure"', ''),
        coalesce(data ->> '$$."again_of"', span_ids[-1], message) order by time_ns desc) = 1
    order by time_ns""",
    """create view scores as select make_timestamp(time_ns // 1000) as time, name, value, label, source as given_by,
    trace_id, span_id, run, filename file from $source where type = 'score'""",
)
