"""The runs below a path as the page lists them, and the columns of one run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from instrument.analysis.overview import overview
from instrument.model import Cost, Record, Score, Usage, encode
from instrument.views.brief import BRIEF, brief
from instrument.views.catalog import Catalog
from instrument.views.columns import MESSAGE, NAME, columns, row_of
from tests.recorded import MS, NOON, TRACE, as_lines, call, finding, head, log, review, run, span, update


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / "events"
    place.mkdir()
    return place / "a.jsonl"


def write(file: Path, *records: Record | bytes) -> None:
    with open(file, "ab") as stream:
        stream.writelines(record if isinstance(record, bytes) else as_lines(record) for record in records)


def catalog(file: Path) -> Catalog:
    made = Catalog(file.parent.parent)
    made.refresh()
    return made


def row(file: Path) -> dict[str, Any]:
    return catalog(file).rows()[0]


def told(*records: Record) -> dict[str, Any]:
    """The columns of the records, as the server reads them back from their lines."""
    return columns((row_of(encode(record)) for record in records), NOON).told()


def spans(*records: Record) -> dict[str, Any]:
    found: dict[str, Any] = told(*records)["spans"]
    return found


# Rows


def test_columns_say_whose_the_run_was_and_how_it_ended() -> None:
    """By its root, else by the spans that say it; nothing where nobody does."""
    root = span(1, attributes={"instrument.agent.outcome": "answered"})
    inner = span(2, 1, attributes={"session.id": "talk-7"})
    nothing = {"session": None, "user": None, "outcome": None}
    assert [{"session": "talk-7", "user": None, "outcome": "answered"}, nothing] == [
        told(root, inner)["whole"],
        told(span(1))["whole"],
    ]


def test_a_row_says_whether_times_are_known_and_how_the_run_was_judged(file: Path) -> None:
    """What was taken in may have no times; scores may be words."""
    untimed = span(1, attributes={"instrument.times": "order"})
    judged = Score(run="r1", trace_id=TRACE, time_ns=NOON, name="tone", label="friendly")
    write(file, untimed, judged)
    assert (False, [("tone", None, "friendly")]) == (row(file)["timed"], row(file)["scores"])


def test_a_row_has_the_lowest_and_the_highest_value_of_each_score(file: Path) -> None:
    """However many there are."""
    values = [0.5, *[0.9] * 30, 0.1, None]
    write(file, *(Score(run="r1", trace_id=TRACE, time_ns=NOON, name="helpful", value=one) for one in values))
    assert [("helpful", 0.1, 0.9)] == row(file)["ranges"]


def test_a_row_says_what_the_run_came_to(file: Path) -> None:
    """The figures are those that `runs` and `stats` give."""
    write(file, *review())
    found = row(file)
    expected = {
        "name": "review", "brief": "Review examples/ for faults", "outcome": "answered", "status": "ok", "spans": 15, "errors": 1,
        "warnings": 1, "findings": 1, "calls": 4, "input": 6818, "output": 405, "usd": "0.002397", "unpriced": 1,
        "models": ["gpt-4.1-mini", "my-local-model"], "tools": ["read_file"], "detectors": ["same_call"],
    }  # fmt: skip
    assert expected == {name: found[name] for name in expected}


def test_a_span_counts_once(file: Path) -> None:
    """However often it is written."""
    write(file, *review(), *review())
    assert (15, 4) == (row(file)["spans"], row(file)["calls"])


def test_what_changed_is_told_by_version(file: Path) -> None:
    """Only the rows that changed since."""
    write(file, span(1), span(1, trace_id="b0" * 16))
    found = catalog(file)
    version = found.version
    write(file, span(2, 1))
    found.refresh()
    assert [TRACE] == [changed["id"] for changed in found.rows(version)]


def test_the_root_names_the_run_whenever_it_comes(file: Path) -> None:
    """Its children end before it."""
    write(file, span(2, 1, name="child"), head(1), span(1, name="root"))
    assert ("root", "ok") == (row(file)["name"], row(file)["status"])


def test_a_run_of_a_living_process_is_running(file: Path) -> None:
    """Until its root ends."""
    write(file, run(pid=os.getpid(), start_ns=2**62), head(1))
    before = row(file)["status"]
    write(file, span(1))
    assert ("running", "ok") == (before, row(file)["status"])


def test_a_run_whose_process_died_is_unfinished(file: Path) -> None:
    """It lasted until the last sign of life."""
    write(file, run(pid=2**22 - 1), head(1), log(300, 1))
    assert ("unfinished", 299 * MS) == (row(file)["status"], row(file)["duration_ns"])


def test_what_was_open_when_its_process_died_is_unfinished(file: Path) -> None:
    """Also in the whole run, by which it is said why it failed."""
    write(file, run(pid=2**22 + 1), head(1), span(2, 1))
    found = catalog(file).trace(TRACE)
    assert found is not None
    assert ["unfinished", "ok"] == [one.status for one in found.spans]


def test_a_run_is_of_the_session_that_it_opens(file: Path) -> None:
    """As `runs` tells it: the root began before."""
    write(file, span(1), call(2, 1, attributes={"session.id": "s-42", "user.id": "ann"}))
    assert ("s-42", "ann") == (row(file)["session"], row(file)["user"])


def test_a_call_that_has_not_ended_is_one(file: Path) -> None:
    """As `runs` counts it, and once when it has ended; what is open and no call of a model is none."""
    records = [head(1), head(2, 1, kind="llm"), head(3, 1, kind="tool"), call(4, 1), head(5, 1, kind="llm"), call(5, 1)]
    write(file, *records)
    (listed,) = overview(lambda: records).rows
    assert (3, 3) == (listed.total.calls, row(file)["calls"])


def test_a_run_that_writes_nothing_lasts_until_now(file: Path) -> None:
    """A call that hangs is seen to hang, and the spans that are open are counted."""
    write(file, run(pid=os.getpid(), start_ns=2**62), head(1), head(2, 1), span(2, 1), head(3, 1))
    shown = row(file)
    assert (3, True) == (shown["spans"], shown["duration_ns"] > 3600 * 10**9)


def test_open_spans_last_until_the_end_of_their_own_process(file: Path) -> None:
    """Of a child that was killed while its parent goes on they end with the child."""
    child = {"run": "r2"}
    write(file, run(pid=os.getpid(), start_ns=2**62), head(1), run(pid=2**22 - 1, **child), head(2, 1, **child))
    write(file, span(3, 2, duration_ns=7 * MS, **child), log(90, 1))
    assert {"r1": None, "r2": span(3).start_ns + 7 * MS} == catalog(file).ends(TRACE)


def test_a_run_whose_root_is_elsewhere_is_as_its_first_span(file: Path) -> None:
    """The part of a worker: it runs as long as its process, and is told as the other views tell it."""
    write(file, run(pid=os.getpid(), start_ns=2**62), span(2, 1, status="error"))
    before = row(file)["status"]
    file.write_bytes(file.read_bytes().replace(b'"pid":%d' % os.getpid(), b'"pid":4194303'))
    assert ("running", "error") == (before, row(file)["status"])


def test_broken_lines_are_passed_over(file: Path) -> None:
    """And counted."""
    write(file, b"not json\n", b'{"type":"span"}\n', b"[1]\n", b"\n", span(1))
    found = catalog(file)
    assert (1, 3) == (len(found.rows()), found.unreadable)


def test_unknown_types_are_passed_over(file: Path) -> None:
    """A later version may have written them."""
    write(file, b'{"type":"hologram","trace_id":"x"}\n', span(1))
    assert 1 == len(catalog(file).rows())


def test_spending_is_by_day_model_and_agent(file: Path) -> None:
    """Calls without a known price are counted, never as 0."""
    write(file, call(1, attributes={"gen_ai.request.model": "m", "gen_ai.agent.id": "a"}), call(2, usd=None))
    assert [
        ["2026-11-23", "gpt-4.1-mini", "-", 1, 100, 10, 0, "0", 1, 0],
        ["2026-11-23", "m", "a", 1, 100, 10, 0, "0.001", 0, 0],
    ] == catalog(file).spending()


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
@pytest.mark.parametrize("at_once", [True, False])
def test_what_came_late_of_a_call_counts(file: Path, order: tuple[int, ...], at_once: bool) -> None:
    """In whatever order and in however many pieces it comes, the figures are those that `runs` gives."""
    late = update(
        2,
        usage=Usage(input=7, output=2),
        cost=Cost(usd="0.5", basis="priced"),
        attributes={"gen_ai.request.model": "m"},
    )
    records = span(1), span(2, 1, kind="llm"), late
    found = catalog(file)
    for place in order:
        write(file, records[place])
        if not at_once:
            found.refresh()
    found.refresh()
    row = found.rows()[0]
    (listed,) = overview(lambda: records).rows
    assert (1, 7, 2, "0.5", ["m"]) == (row["calls"], row["input"], row["output"], row["usd"], row["models"])
    assert (listed.total.calls, listed.total.input, str(listed.total.usd)) == (row["calls"], row["input"], row["usd"])
    assert [["2026-11-23", "m", "-", 1, 7, 2, 0, "0.5", 0, 0]] == found.spending()


def test_late_tokens_of_a_call_that_is_there_twice_count_once(file: Path) -> None:
    """Also where what came late of another call, which is not there, was read behind them."""
    write(file, call(1), call(1))
    found = catalog(file)
    write(file, update(1, usage=Usage(input=7, output=2)), update(2, usage=Usage(input=1)))
    found.refresh()
    assert (1, 7) == (found.rows()[0]["calls"], found.rows()[0]["input"])


# One run


def test_a_span_is_read_with_what_came_late(file: Path) -> None:
    """Its update is applied."""
    write(file, call(1, usd=None), update(1, attributes={"late": True}))
    found = catalog(file).span(TRACE, f"{1:016x}")
    assert found is not None
    assert True is found.attributes["late"]


def test_a_span_that_is_running_is_read(file: Path) -> None:
    """From its head."""
    write(file, head(1))
    found = catalog(file).span(TRACE, f"{1:016x}")
    assert found is not None
    assert "open" == found.status


@pytest.mark.parametrize("text", ["needle", 'said "ready', "C:\\TEMP", '"lines": [1', 'she said "go'])
def test_text_is_found_in_contents(file: Path, text: str) -> None:
    """Whatever its case, and with quotes and backslashes, which JSON escapes; the ids of the spans that hold it."""
    held = {
        "a": "The Needle",
        "b": 'he said "ready"',
        "c": r"c:\temp",
        "arguments": '{"lines": [1]}',
        "d": '{"q": "she said \\"go"}',
    }
    write(file, span(1, input=held), span(2, 1, output="hay"))
    assert [f"{1:016x}"] == catalog(file).lines_with(TRACE, text)


def test_columns_begin_where_one_was(file: Path) -> None:
    """A page that has the first lines is given the others."""
    write(file, run(), span(1))
    found = catalog(file)
    _, lines = found.columns(TRACE)
    write(file, span(2, 1))
    found.refresh()
    made, now = found.columns(TRACE, lines)
    assert (1, 2, (f"{2:016x}",)) == (lines, now, made.told()["spans"]["id"])


# Columns


def test_columns_of_nothing_are_empty() -> None:
    """And still all there."""
    assert ({"id": (), "usage": []}, []) == ({name: told()["spans"][name] for name in ("id", "usage")}, told()["words"])


def test_a_record_and_its_line_give_the_same_columns() -> None:
    """A file is made of records, the server reads lines."""
    records = [record for record in review() if getattr(record, "trace_id", None)]
    assert columns(records, NOON).told() == told(*records)


def test_a_parent_that_is_not_among_them_goes_by_its_id() -> None:
    """The page may have it from before."""
    assert [0, f"{9:016x}"] == sorted(spans(span(1, 9), span(2, 1))["parent"], key=str)


def test_what_few_spans_have_is_told_of_the_right_one() -> None:
    """By the place of the span in order of its start, whichever was read first; no money where there is none."""
    dear = call(5, usage=Usage(input=1, web_searches=2, file_searches=3), cost=Cost(usd="NaN", basis="priced"))
    (usage,) = spans(dear, span(1))["usage"]
    assert [1, 1, None, None, None, None, None, 5] == [*usage[:7], usage[8]]


def test_words_are_said_once() -> None:
    """Names, kinds and models come again and again."""
    found = told(span(1, name="n"), span(2, name="n"))
    assert (1, 2) == (found["words"].count("n"), found["spans"]["name"].count(found["words"].index("n")))


def test_long_texts_are_cut_and_that_is_said() -> None:
    """A span keeps its name's beginning, a log says how much is missing."""
    found = told(span(1, name="n" * 9999), log(1, 1, message="m" * (MESSAGE + 5)))
    assert (NAME, "m… [5 more letters]") == (max(map(len, found["words"])), found["logs"][0][3][-19:])


@pytest.mark.parametrize(
    ("input_", "expected"),
    [
        (None, ""),
        ({}, ""),
        ({"path": "a.py", "limit": 3}, 'path="a.py", limit=3'),
        ({"a": {"b": 1, "c": [1, 2]}}, "a={b=1, c=[1,2]}"),
        (["x", "y"], '["x","y"]'),
        ("text", '"text"'),
        ({"a": "x" * 500}, 'a="' + "x" * (BRIEF - 4) + "…"),
        ({"b": 1, "a": {"$cut": 9_000_000, "head": "x" * 500, "tail": "y"}}, 'b=1, a="' + "x" * (BRIEF - 9) + "…"),
        (
            {"a": {"$hash": "00", "bytes": 6}, "key": {"$hash": "[redacted:00]", "bytes": "[redacted:00]"}},
            "a=(6 bytes), key=(redacted)",
        ),
        ({"a": {"$class": "A"}}, 'a={$class="A"}'),
        ({"a": {"$blob": "sha256:00", "bytes": 9, "head": "x" * 500}}, 'a="' + "x" * (BRIEF - 4) + "…"),
    ],
)
def test_what_a_span_was_called_with_is_one_short_line(input_: Any, expected: str) -> None:
    """As one would write the call."""
    assert expected == brief(span(1, input=input_))


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (None, ""),
        (
            {"messages": [{"role": "assistant", "parts": [{"type": "text", "content": 'He said\n"no"'}]}]},
            'He said "no"',
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "parts": [{"type": "tool_call", "id": "1", "name": "look", "arguments": {}}]}
                ]
            },
            "→ look",
        ),
        ({"messages": [{"role": "assistant", "parts": []}]}, ""),
    ],
)
def test_of_a_model_call_the_answer_is_told(output: Any, expected: str) -> None:
    """Its beginning, or the tool that it asks for."""
    assert expected == brief(call(1, output=output))


def test_findings_come_with_advice() -> None:
    """Where the detector is one of ours."""
    found = told(finding(1, detector="repeated_call"), finding(1, detector="somebody's"))["findings"]
    assert (True, "") == (len(found[0][5]) > 10, found[1][5])


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b'{"type":"span"}', b'{"type":1}', b"\xff\xfe", b'{"type":"run","run":1}']
)
def test_what_is_no_record_is_none(line: bytes) -> None:
    """And never raises."""
    assert None is row_of(line)


def test_a_span_of_another_version_is_shown() -> None:
    """With keys that are not known."""
    line = encode(span(1)).replace(b"{", b'{"colour":"red",', 1)
    found = row_of(line)
    assert "span1" == found.name
