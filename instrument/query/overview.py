"""What `analysis.overview` tells, worked out by DuckDB: the same numbers, quantiles to the last digits of a float."""

from __future__ import annotations

import os
from collections.abc import Sequence
from decimal import Decimal
from importlib.util import find_spec
from typing import Any

from instrument.analysis.facts import NOBODY
from instrument.analysis.failures import GROUP
from instrument.analysis.judged import Judged, Judgements, told
from instrument.analysis.metrics import ALARMING, MOST_GROUPS, Metrics, Timing, by_time, totals
from instrument.analysis.overview import LONGEST_ERROR, MOST_SCORES, Overall, Overview, Row, RowScore, row_scores
from instrument.analysis.totals import Sum
from instrument.analysis.tree import NOT_RECORDED
from instrument.model import BASES
from instrument.query.heads import SUMS, TIMES, TOKENS, Heads, Unusual
from instrument.store.heads import NAMES, ScoreHead
from instrument.store.jsonl import files

WORTH_BYTES = 16 << 20
"""Smaller recordings are read line by line before DuckDB has been imported."""

_MODEL = f"coalesce(nullif(model, ''), '{NOBODY}')"
_AGENT = f"coalesce(nullif(agent, ''), '{NOBODY}')"
_OPERATION = "coalesce(nullif(operation, ''), name)"
_REFUSED = "type = 'span' and word = 'refused'"
_WHOSE = ("session", "user")
_OF_ROOT = ("label", "outcome", *_WHOSE)
_CAUSE = f"[one for one in error.causes if not suffix(one.type, '{GROUP}')][1]"
_ERROR = (
    f", case when error is not null then case when suffix(error.type, '{GROUP}') and {_CAUSE} is not null"
    f" then left({_CAUSE}.type || ': ' || coalesce({_CAUSE}.message, ''), {LONGEST_ERROR})"
    f" else left(error.type || ': ' || coalesce(error.message, ''), {LONGEST_ERROR}) end end error"
)
_ALARMING = f"word in ({', '.join(repr(level) for level in sorted(ALARMING))})"


def worth(path: str | os.PathLike[str]) -> bool:
    """Whether DuckDB is installed and the files are so large that it answers sooner."""
    return sum(file.stat().st_size for file in files(path)) >= WORTH_BYTES and find_spec("duckdb") is not None


def overall(path: str | os.PathLike[str], since_ns: int | None = None) -> Overall | None:
    """The metrics over all traces below `path`; None where the files are such that they must be read line by line.

    With `since_ns` only of what began then or later. Raises `InstrumentError` without DuckDB.
    """
    try:
        return _overall(Heads(path, hashed=True, since_ns=since_ns))
    except _refusals():
        return None


def overview(path: str | os.PathLike[str]) -> Overview | None:
    """One row for each trace below `path`; None and `InstrumentError` as for `overall`."""
    more = "".join(f', attributes."{NAMES[name]}" "{name}"' for name in _OF_ROOT) + _ERROR
    try:
        return _overview(Heads(path, hashed=False, more=more))
    except _refusals():
        return None


def _refusals() -> tuple[type[Exception], ...]:
    try:
        import duckdb
    except ImportError:
        return (Unusual, ValueError)
    return (Unusual, ValueError, duckdb.Error)


# Numbers over all


def _overall(heads: Heads) -> Overall:
    ((spans, refused, warnings, findings, traces),) = heads.select(
        f"count(*) filter (type = 'span'), count(*) filter ({_REFUSED}),"
        f" count(*) filter (type = 'log' and {_ALARMING}),"
        " count(*) filter (type = 'finding' and word != 'info'),"
        " count(distinct trace) filter (type in ('span', 'log', 'finding')) from heads"
    )
    ((errors,),) = heads.select(f"count(*) {_errors()}")
    times = _times(heads)
    tools = _tools(heads)
    calls, by_model, by_agent = _calls(heads)
    whole = Sum()
    for spent in calls.values():
        whole.include(spent)
    metrics = Metrics(
        spans=spans,
        iterations=_iterations(heads),
        model_calls=whole.calls,
        tool_calls=sum(tools.values()),
        errors=errors,
        refused=refused,
        warnings=warnings,
        findings=findings,
        wall_ns=_wall(heads),
        total=whole.total(),
        tools=tools,
        by_name=times[0],
        by_kind=times[1],
        by_model=totals(calls, 0),
        by_operation=totals(calls, 1),
        by_agent=totals(calls, 2),
        spent_by_name=totals(calls, 3),
        spent_by_kind=totals(calls, 4),
        times_by_model=by_model,
        times_by_agent=by_agent,
    )
    return Overall(traces, metrics, _judged(heads))


def _judged(heads: Heads) -> dict[str, Judged]:
    """How often each score was given, and how."""
    found: dict[str, Judgements] = {}
    rows = heads.select(
        "name, count(value), coalesce(sum(value), 0), min(value), max(value) from heads where type = 'score'"
        " group by name"
    )
    _refuse_many(rows)
    for name, *numbers in rows:
        one = found[name] = Judgements()
        one.numbers, one.sum, one.lowest, one.highest = numbers
    words = heads.select(
        "name, coalesce(word, ''), count(*) from heads where type = 'score' and value is null group by all"
    )
    _refuse_many(words)
    for name, word, times in words:
        found[name].words[word] = times
    return told(found)


def _times(heads: Heads) -> tuple[dict[str, Timing], dict[str, Timing]]:
    """How long spans took, by name and by kind."""
    rows = heads.select(
        f"grouping(name), coalesce(name, kind), {TIMES} from heads where type = 'span' and word != 'refused'"
        " group by grouping sets ((name), (kind))"
    )
    _refuse_many(rows)
    by_name = {key: _timing(row) for other, key, *row in rows if not other}
    return by_time(by_name), by_time({key: _timing(row) for other, key, *row in rows if other})


def _timing(row: Sequence[Any]) -> Timing:
    count, errors, total, longest, quantiles, untimed, unended = row
    p50, p90, p95, p99 = quantiles or (0.0, 0.0, 0.0, 0.0)
    mean = int(total) / max(1, count - untimed)
    return Timing(count, errors, int(total), mean, p50, p95, longest, p90, p99, untimed, unended)


def _tools(heads: Heads) -> dict[str, int]:
    rows = heads.select(
        "name, count(*) from heads where type = 'span' and word != 'refused' and kind = 'tool' group by name"
    )
    return dict(sorted(rows, key=lambda row: (-row[1], row[0])))


def _calls(heads: Heads) -> tuple[dict[tuple[str, ...], Sum], dict[str, Timing], dict[str, Timing]]:
    """Tokens and money of the model calls in all groups, and how long they took by model and by agent."""
    rows = heads.calls(
        f"{_MODEL} of_model, {_OPERATION} of_operation, {_AGENT} of_agent, name, kind, {SUMS}, {TIMES}",
        "(of_model, of_operation, of_agent, name, kind), (of_model), (of_agent)",
    )
    _refuse_many(rows)
    whole = [row for row in rows if row[4] is not None]
    by_model = {row[0]: _timing(row[-7:]) for row in rows if row[4] is None and row[0] is not None}
    by_agent = {row[2]: _timing(row[-7:]) for row in rows if row[4] is None and row[2] is not None}
    return {tuple(row[:5]): _sum(row[5:-7]) for row in whole}, by_time(by_model), by_time(by_agent)


def _refuse_many(rows: Sequence[Any]) -> None:
    if len(rows) > MOST_GROUPS:
        raise Unusual("more names than are told apart")


def _sum(row: Sequence[Any]) -> Sum:
    """The columns of `heads.SUMS` as a sum."""
    spent = Sum()
    names = ("calls", *TOKENS, *BASES)
    for name, number in zip(names, row, strict=False):
        setattr(spent, name, int(number))
    usd, places = row[len(names) :]
    spent.usd = Decimal(usd).quantize(Decimal(1).scaleb(-places))
    return spent


def _iterations(heads: Heads) -> int:
    ((iterations,),) = heads.select(
        "coalesce(sum(case when numbered_ones > 0 then numbered_ones else all_ones end), 0) from"
        " (select count_if(numbered) numbered_ones, count_if(not uncounted) all_ones from heads"
        " where type = 'span' and word != 'refused' and kind = 'step' group by trace)"
    )
    return int(iterations)


def _wall(heads: Heads) -> int:
    ((wall,),) = heads.select(
        "coalesce(sum(took), 0) from (select max(last) - min(start) took from heads where type = 'span' group by trace)"
    )
    return int(wall)


# Rows


def _overview(heads: Heads) -> Overview:
    spent = {trace: _sum(sums) for trace, *sums in heads.calls(f"trace, {SUMS}", "(trace)")}
    errors = dict(heads.select(f"trace, count(*) {_errors(' and child.trace = heads.trace')} group by trace"))
    ((stray,),) = heads.select("count(*) from heads where type = 'log' and trace is null")
    of_root = ", ".join(f"'{name}': {_named(name)}" for name in _OF_ROOT)
    rows = heads.select(
        f"""found.* exclude (top, only_session, only_user), case when top is not null then {{'name': name, {of_root},
            'status': word, 'run': coalesce(run, ''), 'timed': not untimed, 'error': error}} end
        from (select trace, count(*) filter (is_span), min(start) filter (is_span), max(last) filter (is_span),
            count(*) filter ({_REFUSED}), count(*) filter (type = 'log' and {_ALARMING}),
            count(*) filter (type = 'finding' and word != 'info'),
            coalesce(min(start) filter (type = 'log'), 0),
            {_only("session")}, {_only("user")},
            coalesce(arg_min(place, start) filter (is_span and parent is null),
                arg_min(place, start) filter (is_span)) top
            from (select *, rowid place, type = 'span' is_span from heads where trace is not null
                and type in ('span', 'log', 'finding'))
            group by trace) found
        left join heads on heads.rowid = top"""
    )
    scores = _scores(heads)
    found = [_row(row, errors.get(row[0], 0), spent.get(row[0], Sum()), scores.get(row[0], [])) for row in rows]
    return Overview(sorted(found, key=lambda row: (row.start_ns, row.trace_id)), stray, _judged(heads))


def _named(name: str) -> str:
    """What the root says; of session and user else what all spans say that say any, where they agree."""
    return f'coalesce("{name}", only_{name})' if name in _WHOSE else f'"{name}"'


def _only(name: str) -> str:
    said = f'("{name}") filter (is_span)'
    return f"case when min{said} = max{said} then min{said} end only_{name}"


def _scores(heads: Heads) -> dict[str, list[RowScore]]:
    """The scores of each trace."""
    found: dict[str, list[ScoreHead]] = {}
    rows = heads.select(
        "trace, start, name, value, word from heads where type = 'score' and trace is not null"
        f" qualify row_number() over (partition by trace order by start, name) <= {MOST_SCORES}"
    )
    for trace_id, moment, name, value, word in rows:
        found.setdefault(trace_id, []).append(ScoreHead(time_ns=moment, name=name, value=value, label=word))
    return {trace_id: row_scores(scores) for trace_id, scores in found.items()}


def _row(row: Sequence[Any], errors: int, spent: Sum, scores: Sequence[RowScore]) -> Row:
    trace_id, spans, start, end, refused, warnings, findings, first_log, root = row
    said = root or {"name": NOT_RECORDED, **dict.fromkeys(_OF_ROOT), "status": "open", "run": ""}
    return Row(
        trace_id=trace_id,
        **said,
        start_ns=first_log if start is None else start,
        duration_ns=0 if start is None or end is None else end - start,
        spans=spans,
        errors=errors,
        refused=refused,
        warnings=warnings,
        findings=findings,
        total=spent.total(),
        scores=scores,
    )


def _errors(same_trace: str = "") -> str:
    """Failed spans, less those that only passed a child's exception on, as it was or in a group."""
    failed_child = (
        "from heads child where child.type = 'span'"
        " and (child.word = 'error' or (child.word = 'refused' and child.exception != 0)) and child.parent = heads.span"
        f"{same_trace}"
    )
    return (
        "from heads where type = 'span' and word = 'error'"
        f" and not exists ({failed_child} and child.exception = heads.exception)"
        f" and not exists ({failed_child} and heads.held is not null and list_contains(heads.held, child.exception))"
    )
