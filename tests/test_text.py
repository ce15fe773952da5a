"""Text views: lines, trees, summaries and tables, at any width, with and without colours and Unicode.

The golden files hold what was looked at and found good; `INSTRUMENT_GOLDEN=write` makes them anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from instrument.analysis.metrics import measure
from instrument.analysis.overview import overall, overview
from instrument.analysis.tree import Trace, traces
from instrument.model import Failure, Score
from instrument.views.code import change, code, prose
from instrument.views.detail import detail
from instrument.views.folding import matching
from instrument.views.outline import bar, outline
from instrument.views.tables import Column, runs_table, stats_tables, table
from instrument.views.text import line, summary
from instrument.views.theme import Theme, bare, cells, clean
from instrument.views.theme import broken as broken_lines
from tests.recorded import MS, NOON, broken, call, finding, fold, head, log, review, span, talk

GOLDEN = Path(__file__).parent / "golden"
THEMES = {
    "80": Theme(80),
    "40": Theme(40),
    "120-colours": Theme(120, color=True),
    "ascii": Theme(80, unicode=False),
    "unbounded": Theme(None),
}
PATHS = [".instrument/events/20261123T120000Z-r1.jsonl", ".instrument/ledger.db"]


def of_review() -> Trace:
    return fold(*review())


def summed(theme: Theme) -> str:
    trace = of_review()
    return summary(trace, measure(trace.spans, trace.logs, trace.findings), theme, paths=PATHS)


def of_many() -> Trace:
    """A hundred calls in a row, some of which failed, and steps of several kinds."""
    failed: dict[str, Any] = {"status": "error", "error": Failure("TimeoutError", "no answer within 30 s")}
    reads = [span(n, 1, name="read_file", kind="tool", **(failed if n % 9 == 0 else {})) for n in range(100, 200)]
    asked = [call(n, 1) for n in range(200, 300)]
    mixed = [span(n, 1, name=f"step {n % 5}", kind="step") for n in range(300, 400)]
    return fold(span(1, name="agent", kind="agent", duration_ns=400 * MS), *reads, *asked, *mixed)


VIEWS: dict[str, Any] = {
    "lines": lambda theme: "\n".join(filter(None, (line(record, 1, theme) for record in review()))),
    "tree": lambda theme: outline(of_review(), theme),
    "summary": summed,
    "folded": lambda theme: outline(of_many(), theme),
    "talk": lambda theme: detail(fold(*review(), talk()), talk(), theme, [finding(70)]),
    "broken": lambda theme: detail(fold(*review(), broken(), log(72, 71)), broken(), theme),
    "runs": lambda theme: runs_table(overview(review).rows, theme),
    "stats": lambda theme: stats_tables(overall(review).metrics, theme),
}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("view", VIEWS)
def test_the_view_looks_as_it_did_when_it_was_found_good(view: str, theme: str) -> None:
    """Every view at every width, character by character."""
    golden = GOLDEN / f"{view}-{theme}.txt"
    shown = VIEWS[view](THEMES[theme]) + "\n"
    if os.environ.get("INSTRUMENT_GOLDEN") == "write":
        golden.write_text(shown, encoding="utf-8")
    assert golden.read_text(encoding="utf-8") == shown


@pytest.mark.parametrize("width", [20, 33, 40, 80, 200])
@pytest.mark.parametrize("view", ["lines", "tree", "runs", "folded"])
def test_no_line_is_wider_than_the_terminal(view: str, width: int) -> None:
    """Whatever the width, nothing wraps."""
    shown = VIEWS[view](Theme(width))
    assert [] == [text for text in shown.splitlines() if cells(text) > max(width, 33 if view == "runs" else 0)]


def test_the_line_of_a_short_name_fits() -> None:
    """Bars take no room that the least of a name needs."""
    shown = outline(next(traces([span(1, name="kid")])), Theme(60), ids=True)
    assert [] == [text for text in shown.splitlines() if cells(text) > 60]


@pytest.mark.parametrize("width", [44, 50, 80, 200])
@pytest.mark.parametrize("view", ["talk", "broken"])
def test_a_whole_span_fits_the_terminal(view: str, width: int) -> None:
    """From the width of a trace's id on; only a place in a stack keeps its line whole."""
    shown = VIEWS[view](Theme(width)).splitlines()
    assert [] == [text for text in shown if cells(text) > width and "sha256:" not in text and 'File "' not in text]


@pytest.mark.parametrize("view", VIEWS)
def test_ascii_terminals_get_ascii(view: str) -> None:
    """Without Unicode nothing of ours is beyond ASCII."""
    assert VIEWS[view](THEMES["ascii"]).isascii()


# Text from records is data


HOSTILE = "\x1b[2J\x1b]0;gotcha\x07\r\n\t\x00\x9b31m\u202eevil\u2066\u200b\ufeff\ud800\u2028"


@pytest.mark.parametrize("theme", [Theme(None), Theme(60), Theme(None, color=True)], ids=["plain", "60", "colours"])
def test_hostile_records_are_shown_harmlessly(theme: Theme) -> None:
    """Names, labels, errors, logs, metadata and findings full of control characters stay text on their own line."""
    label = {"instrument.label": HOSTILE}
    failed: dict[str, Any] = {"status": "error", "error": Failure(HOSTILE, HOSTILE), "attributes": label}
    records: list[Any] = [
        span(1, name=HOSTILE, kind=HOSTILE, **failed),
        call(2, 1, attributes={"gen_ai.request.model": HOSTILE}),
        log(3, 1, event=HOSTILE, message=HOSTILE, level=HOSTILE, metadata={HOSTILE: HOSTILE, "b": [HOSTILE]}),
        finding(1, detector=HOSTILE, message=HOSTILE),
    ]
    trace = fold(*records)
    shown = [line(record, 0, theme) for record in records]
    shown += outline(trace, theme).split("\n")
    shown += summary(trace, measure(trace.spans), theme, paths=[HOSTILE]).split("\n")
    bare = [re.sub(r"\x1b\[[0-9;]*m", "", text) for text in shown]
    assert [] == [text for text in bare if text != clean(text)]


# Lines


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (log(1, event="E", message="of it", metadata={"path": "a b", "n": 3}), '[INFO] E of it path="a b" n=3'),
        (log(1, event="", message="plain", level="warning"), "[WARNING] plain"),
        (log(1, event="E", metadata={"n": 3, "code.file.path": "/a/b.py", "code.line.number": 6}), "[INFO] E n=3 b.py:6"),
        (log(1, event="E", metadata={"code.file.path": "C:\\a\\b.py", "code.line.number": 6}), "[INFO] E b.py:6"),
        (log(1, event="E", metadata={"raw": Raw(b'{"a":1}'), "none": None}), '[INFO] E raw={"a":1} none=null'),
        (span(1, status="cancelled"), "⊘ span1  5 ms"),
        (span(1, status="error", error=Failure("ValueError", "no")), "✘ span1  5 ms  ValueError: no"),
        (call(1), "✔ responses gpt-4.1-mini  5 ms  100 in, 10 out tokens  $0.00100"),
        (span(1, name="run", kind="agent", attributes={"gen_ai.agent.id": "worker-2"}), "✔ run [worker-2]  5 ms"),
        (span(1, name="crew", kind="agent", attributes={"gen_ai.agent.id": "crew"}), "✔ crew  5 ms"),
        (span(1, name="step 3", attributes={"instrument.iteration": 3}), "✔ step 3  5 ms"),
        (span(1, name="step", attributes={"instrument.iteration": 3}), "✔ step #3  5 ms"),
        (span(1, attributes={"instrument.retries": 1}), "✔ span1 (1 retry)  5 ms"),
        (span(1, attributes={"instrument.retries": 2}), "✔ span1 (2 retries)  5 ms"),
        (call(1, name="ask", usd=None), "✔ ask [gpt-4.1-mini]  5 ms  100 in, 10 out tokens  unpriced"),
        (head(1, attributes={"instrument.label": "the task"}), "▸ span1 · the task"),
        (finding(1, severity="error", message="again"), "[ERROR] ▲ FINDING same_call: again"),
        (Score(time_ns=1, name="quality", value=0.5), "[INFO] SCORE quality=0.5"),
    ],
)  # fmt: skip
def test_a_record_is_one_line(record: Any, expected: str) -> None:
    """What happened, in which one can search for it."""
    assert expected == line(record)


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (64, "✔ responses gpt-4.1-mini  5 ms  100 in, 10 out tokens  $0.00100"),
        (62, "✔ responses gpt-4.1-mini  5 ms  100 in, 10 out  $0.00100"),
        (55, "✔ responses gpt-4.1-mini  5 ms  $0.00100"),
        (30, "✔ responses g…  5 ms  $0.00100"),
        (21, "✔ responses gp…  5 ms"),
    ],
)
def test_a_narrow_line_cuts_no_number(width: int, expected: str) -> None:
    """The word gives way first, then the tokens, then the name; the money comes after."""
    assert expected == line(call(1), 0, Theme(width=width))


def test_lines_are_indented_by_depth() -> None:
    """Two spaces a level, up to twelve levels."""
    assert ["✔", "  ✔", " " * 24 + "✔"] == [line(span(1), depth).partition(" span")[0] for depth in (0, 1, 500)]


# Trees


def test_siblings_are_folded_around_what_went_wrong() -> None:
    """Of a thousand calls the first, the last and the failed ones are shown; the rest is counted."""
    calls = [span(n, 1, name="leaf", status="error" if n == 500 else "ok") for n in range(2, 1002)]
    shown = outline(fold(span(1), *calls), Theme(None)).splitlines()
    folded = ["├─ ✔ leaf × 492  span  2.46 s", "├─ ✘ leaf        span    5 ms", "│     failed"]
    assert (1 + 6 + 1 + 2 + 1 + 3, folded) == (len(shown), shown[7:10])


def test_where_all_failed_alike_the_fold_says_so_by_its_mark() -> None:
    """And not as a share of them."""
    calls = [span(n, 1, name="leaf", status="error") for n in range(2, 102)]
    shown = outline(fold(span(1), *calls), Theme(None))
    assert (True, False) == ("✘ leaf × " in shown, " failed: " in shown)


def test_what_still_runs_is_never_folded_away() -> None:
    """It may be what everything waits for."""
    calls = [span(n, 1, name=f"leaf{n % 7}") for n in range(2, 1002) if n != 500]
    assert "… hung" in outline(fold(span(1), head(500, 1, name="hung"), *calls), Theme(None))


def test_a_failure_that_was_not_shown_yet_is_never_folded_away() -> None:
    """Of many equal ones, also where numbers in them differ, the first are shown; the rest is counted in red."""
    said = {n: f"row {n} is bad" if n % 2 else f"no {chr(n)}{chr(n)}" for n in range(0x4E00, 0x4E64)}
    calls = [span(n, 1, name="leaf", status="error", error=Failure("E", told)) for n, told in said.items()]
    shown = outline(fold(span(1), *calls), Theme(None))
    assert [] == [told for n, told in said.items() if n % 2 == 0 and f"E: {told}" not in shown]
    assert 4 <= shown.count("is bad") <= 50


def test_a_folded_tree_is_short_whatever_failed() -> None:
    """A thousand failures, no two alike, between calls that went well: as many rows as there is room, the rest counted."""
    calls = [span(n, 1, name="leaf") for n in range(0x4E00, 0x4E00 + 2000)]
    calls[::2] = [
        span(int(one.span_id, 16), 1, name="leaf", status="error", error=Failure("E", chr(int(one.span_id, 16))))
        for one in calls[::2]
    ]
    shown = outline(fold(span(1), *calls), Theme(None), rows=60, unseen=7, unfold="--all").splitlines()
    assert (True, True, True) == (
        len(shown) < 250,
        " failed: leaf × " in "".join(shown),
        shown[-1].endswith(" more spans, 7 of them not counted above: --all"),
    )


def test_what_failed_below_a_fold_is_counted() -> None:
    """Where a tree is cut at a depth, too."""
    trace = fold(span(1), span(2, 1), span(3, 2, status="error"), span(4, 2))
    assert "└─ ✔ span2 · 2 below, 1 failed" == outline(trace, Theme(None), depth=2).splitlines()[1][:31].rstrip()


def test_what_is_below_a_fold_is_told_before_bars_grow_long() -> None:
    """The bars of a few rows leave space for it."""
    trace = fold(span(1, name="batch"), *[span(n, 1, status="error") for n in range(2, 40)])
    assert "batch · 38 below, 38 failed" in outline(trace, Theme(60), depth=1)


def test_a_failure_deep_down_is_never_folded_away() -> None:
    """However many levels lead there, and however many others it stands among."""
    chain = [span(n, n - 1, name="level") for n in range(2, 30)]
    crowd = [span(100 * n + k, n, name="leaf") for n in range(1, 30) for k in range(1, 50)]
    wrong = span(9999, 29, name="culprit", status="error", error=Failure("E", "deep down"))
    shown = outline(fold(span(1), *chain, *crowd, wrong), Theme(None), rows=60)
    assert ("E: deep down" in shown, len(shown.splitlines()) < 200) == (True, True)


def test_a_finding_is_never_folded_away() -> None:
    """Wherever it is, and however many there are."""
    calls = [span(n, 1, name="leaf") for n in range(100, 1000)]
    found = [finding(n, message=f"about {n}") for n in range(150, 950)]
    shown = outline(fold(span(1), *calls, *found), Theme(None), rows=50)
    assert [] == [n for n in range(150, 950) if f"about {n}" not in shown]


def test_folded_spans_are_summed() -> None:
    """How many, how long in all, tokens and money, what failed."""
    shown = outline(fold(span(1), *(call(n, 1) for n in range(2, 102))), Theme(None)).splitlines()
    assert ["×", "91", "llm", "455", "ms", "10,010", "tok", "$0.0910"] == shown[7].split()[4:]


def test_a_tree_may_be_cut_at_a_depth() -> None:
    """What lies below is counted."""
    deep = fold(*(span(n, n - 1 if n else None) for n in range(9)))
    shown = outline(deep, Theme(None), depth=3).splitlines()
    assert (3, True) == (len(shown), "6 below" in shown[-1])


def test_chosen_spans_stand_below_what_is_above_them() -> None:
    """And nothing else is shown."""
    trace = of_review()
    found, keep = matching(trace, lambda one: one.kind == "tool")
    shown = outline(trace, Theme(None), keep=keep)
    assert (3, 7, 3) == (len(found), len(keep), shown.count("read_file  "))


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 60), st.booleans())
def test_a_bar_is_where_the_span_was(one: float, other: float, width: int, unicode: bool) -> None:
    """For all stretches: as wide as its column, never empty, and nothing outside of the stretch but half a column."""
    start, end = sorted((one, other))
    drawn = bar(start, end, width, unicode)
    filled = [place for place, letter in enumerate(drawn) if letter != " "]
    assert (width, True) == (cells(drawn), bool(filled))
    assert start * width - 1 <= filled[0]
    assert filled[-1] <= max(end, start) * width + 1


def test_all_shows_every_span() -> None:
    """Nothing is folded when everything is asked for."""
    assert 1001 == len(outline(fold(span(1), *(span(n, 1) for n in range(2, 1002))), all=True).splitlines())


def test_a_big_tree_keeps_to_its_rows_and_shows_what_went_wrong() -> None:
    """Levels that do not fit are counted at their parents; those that lead to a failure come first."""
    groups = [span(n, 1, name=f"group{n}") for n in range(2, 12)]
    numbers = [n * 100 + k for n in range(2, 12) for k in range(10)]
    leaves = [span(n, n // 100, status="error" if n == 907 else "ok") for n in numbers]
    shown = outline(fold(span(1), *groups, *leaves), Theme(None), rows=25)
    assert (True, True, True) == (len(shown.splitlines()) < 40, "✘ span907" in shown, "10 below" in shown)


def test_an_error_that_spans_pass_on_stands_where_it_began() -> None:
    """With what it began from, and at the root, whose outcome it is; not at every level between."""
    no: dict[str, Any] = {"status": "error", "error": Failure("ValueError", "no")}
    passed_on = fold(*(span(n, n - 1 if n else None, name=f"level{n}", input={"n": n}, **no) for n in range(4)))
    expected = ["✘ level0", "│  ValueError: no", "└─ ✘ level1", "└─ ✘ level2", "└─ ✘ level3", "ValueError: no"]
    expected.append("called with n=3")
    assert expected == [text.split("  span")[0].strip() for text in outline(passed_on, Theme(None)).splitlines()]


def test_an_error_that_another_one_became_is_told_too() -> None:
    """At the span that failed with it."""
    errors = (Failure("ValueError", "no row"), Failure("KeyError", "x"))
    spans = (span(n, n - 1, status="error", error=error) for n, error in enumerate(errors, 2))
    shown = outline(fold(span(1), *spans), Theme(None))
    assert [True, True] == [told in shown for told in ("ValueError: no row", "KeyError: x")]


def test_a_group_of_exceptions_is_told_with_what_it_holds() -> None:
    """The first three of them; its own message says only how many they are."""
    causes = [Failure("ExceptionGroup", "inner"), *(Failure("ValueError", f"{n}") for n in range(5))]
    group = Failure("ExceptionGroup", "tasks", causes=causes)
    expected = "ExceptionGroup: tasks: ValueError: 0; ValueError: 1; ValueError: 2; 2 more"
    assert expected in outline(fold(span(1, status="error", error=group)), Theme(None))


@pytest.mark.parametrize("width", [None, 200])
def test_no_level_is_left_out_where_all_have_room(width: int | None) -> None:
    """Short names do not make a tree narrow."""
    deep = fold(*(span(n, n - 1 if n else None, name="leaf") for n in range(12)))
    assert "   " * 10 + "└─ ✔ leaf" == outline(deep, Theme(width)).splitlines()[-1].split("  span")[0]


def test_deep_trees_keep_their_names() -> None:
    """At depth 500 the lines that lead there are cut, the name is not."""
    deep = fold(*(span(n, n - 1 if n else None, name=f"level{n}") for n in range(500)))
    assert [] == [text for text in outline(deep, Theme(80), all=True).splitlines() if "level" not in text]


def test_a_span_shows_tokens_and_money_of_all_below_it() -> None:
    """So that one sees which step was dear."""
    shown = outline(fold(span(1), span(2, 1), call(3, 2), call(4, 2)), Theme(None)).splitlines()
    assert ["220 tok  $0.00200"] * 2 == [text[-17:] for text in shown[:2]]


def test_findings_stand_below_the_span_that_proves_them() -> None:
    """Below the last span they name that is in the trace, else below the root."""
    shown = outline(fold(span(1), span(2, 1), finding(1, 2, 99), finding(77, message="far")), Theme(None)).splitlines()
    assert ["▲ same_call: far", "▲ same_call: read_file was called 3 times with the same arguments"] == [
        text.strip("│ ") for text in (shown[1], shown[3])
    ]


# Code


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C"])))
def test_colours_change_nothing_but_colours(text: str) -> None:
    """For all lines: without the colours the text is what it was."""
    theme = Theme(color=True)
    assert [text, text, text] == [bare(code(text, theme)), bare(change(text, theme)), bare(prose([text], theme)[0])]


@given(st.text(st.characters(codec="ascii", exclude_categories=["C"])), st.integers(1, 40))
def test_broken_lines_hold_the_same_words(text: str, width: int) -> None:
    """For all texts and widths: no line is too wide, no letter is lost."""
    lines = broken_lines(text, width)
    assert [] == [line for line in lines if cells(line) > width]
    assert "".join(text.split()) == "".join("".join(lines).split())


# Tables


def test_tokens_that_nobody_told_are_not_none() -> None:
    """Where no model call told its tokens, as in some imports, that is said in their place."""
    trace = fold(span(1, kind="agent"), call(2, 1, usage=None, cost=None))
    shown = summary(trace, measure(trace.spans), Theme(80)).splitlines()
    assert ["tokens      not told by the model call", "models      gpt-4.1-mini  1 call"] == shown[1:3]


def test_times_that_are_not_known_are_not_nothing() -> None:
    """Of an import that tells the order alone."""
    trace = fold(span(1, name="only", attributes={"instrument.times": "order"}))
    shown = stats_tables(measure(trace.spans), Theme(None)).splitlines()
    assert ["only", "1", *"–––––––"] == next(text.split() for text in shown if text.startswith("only"))


def test_how_a_run_ended_is_told_with_its_time() -> None:
    """Of one that was killed the time of its last sign of life."""
    said = {status: _titled(status) for status in ("ok", "open", "unfinished")}
    assert {
        "ok": "✔ span1 ok in 5 ms",
        "open": "… span1 has not ended, 5 ms so far",
        "unfinished": "⊘ span1 unfinished, its process was ended from outside; its last sign of life came after 5 ms",
    } == said


def _titled(status: str) -> str:
    trace = fold(span(1, status=status))
    return summary(trace, measure(trace.spans), Theme(None)).splitlines()[0]


def test_retries_of_spans_that_are_not_held_are_not_counted_out() -> None:
    """At the end of a long run the trace lacks spans that its figures have."""
    trace = fold(call(1, attributes={"instrument.retries": 2}))
    told = [summary(trace, measure([*trace.spans, *more]), Theme(None)) for more in ([], [span(2)])]
    assert ["retries     2, of 1 model call", "retries     at least 2, of 1 model call"] == [
        next(line for line in text.splitlines() if line.startswith("retries")) for text in told
    ]


def test_the_time_that_retries_took_is_told() -> None:
    """As far as it is known: failed tries and the sleep between them are in a call's time."""
    known = {"instrument.retries": 2, "instrument.retries.seconds": 4.125}
    trace = fold(call(1, attributes=known))
    assert "retries     2, of 1 model call, 4.12 s before the last try" in summary(
        trace, measure(trace.spans), Theme(None)
    )


def test_ids_are_as_long_as_it_takes_to_tell_them_apart() -> None:
    """Eight digits, or more where those are the same."""
    rows = overview(lambda: [span(1, trace_id="a" * 10 + one * 22) for one in "bc"]).rows
    assert {"a" * 10 + "b", "a" * 10 + "c"} <= set(runs_table(rows, Theme(None)).split())


def test_refused_calls_have_a_column_of_their_own() -> None:
    """They are no errors."""
    rows = overview(lambda: [span(1), *(span(n, 1, status="refused") for n in (2, 3, 4))]).rows
    titles, row = runs_table(rows, Theme(None)).splitlines()
    assert ("refused", "3") == (titles.split()[-1], row.split()[-1])


def test_columns_give_way_in_their_order() -> None:
    """In a narrow terminal the least important column goes first, and the flexible one is cut last."""
    columns = (Column("name", flexible=True), Column("a", gives_way=1), Column("b", gives_way=2))
    rows = [("a name of some length", "aaaaaa", "bbbbbb")]
    assert ["name", "name a", "name a b"] == [
        " ".join(table(columns, rows, Theme(width)).splitlines()[0].split()) for width in (18, 26, 40)
    ]


def test_empty_columns_are_left_out() -> None:
    """A column of which no row says anything takes no space."""
    assert "a\n1" == table((Column("a"), Column("b")), [("1", "")])


def test_moments_out_of_range_are_shown_as_numbers() -> None:
    """A damaged time in a file does not stop the table."""
    row = overview(lambda: [span(1, start_ns=10**40)]).rows
    assert f"{10**40} ns" in runs_table(row, Theme(None))


def test_times_are_utc() -> None:
    """The same on every machine, marked as what they are."""
    assert "2026-11-23 12:00:00Z" in runs_table(overview(lambda: [span(0, start_ns=NOON)]).rows, Theme(None))


def test_whose_a_run_was_is_shown_where_there_is_room() -> None:
    """Session and user have columns where any run has them; they are the first to go."""
    rows = overview(lambda: [span(1, attributes={"session.id": "s-42", "user.id": "ada"})]).rows
    shown = [runs_table(rows, Theme(width)).splitlines()[0].split() for width in (100, 50)]
    assert [{"session", "user"}, set()] == [{"session", "user"} & set(titles) for titles in shown]


def test_tokens_that_no_call_told_are_not_shown_as_none() -> None:
    """Of a model whose calls all failed nothing is known, and 0 would say otherwise."""
    lost = span(1, kind="llm", name="chat x", status="error", attributes={"gen_ai.request.model": "x"})
    shown = stats_tables(measure([lost]), Theme(None)).splitlines()
    assert ["x          1"] == [line.rstrip() for line in shown if line.startswith("x ")]
