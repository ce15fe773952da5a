"""The reading verbs: what they print, for people and as JSON, and how they end."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from instrument import origins
from instrument.cli.main import VERBS, main
from instrument.model import Cost, Record, Usage, encode
from instrument.store import jsonl
from instrument.views.theme import cells
from tests.programs import begun, environment, left_after_a_line, python
from tests.recorded import MS, NOON, TRACE, as_lines, call, head, log, review, run, span, update

Capture = pytest.CaptureFixture[str]
VERB = "-m", "instrument"
OTHER = "b0b" + "0" * 29


@pytest.fixture
def here(alone: Path) -> Path:
    """A project folder with one review recorded in it, as the working directory."""
    (alone / ".instrument/events").mkdir(parents=True)
    write(alone, *review())
    return alone


def write(folder: Path, *records: Record | bytes, name: str = "a") -> None:
    made = (record if isinstance(record, bytes) else as_lines(record) for record in records)
    (folder / f".instrument/events/{name}.jsonl").write_bytes(b"".join(made))


def told(capsys: Capture, *words: str, code: int = 0) -> tuple[str, str]:
    """What a verb printed to stdout and stderr; it must end with `code`."""
    assert code == main(words)
    out, err = capsys.readouterr()
    return out, err


def as_json(capsys: Capture, *words: str) -> Any:
    return json.loads(told(capsys, *words, "--json")[0])


# What is shown


@pytest.mark.parametrize("verb", ["runs", "show", "logs", "stats", "why", "check", "tail"])
def test_it_fits_a_narrow_terminal(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """No line is wider, so that none is broken by the terminal."""
    monkeypatch.setenv("COLUMNS", "60")
    main([verb])
    assert [] == [text for text in capsys.readouterr().out.splitlines() if cells(text) > 60]


def test_runs_lists_the_traces(here: Path, capsys: Capture) -> None:
    """One line each, and what lies outside of them."""
    out, err = told(capsys, "runs")
    assert (1, True, "") == (out.count("3f2a3f2a"), "1 log outside of any trace: instrument logs" in out, err)


def test_runs_as_json(here: Path, capsys: Capture) -> None:
    """A list with what the table shows, money as a decimal string."""
    (row,) = as_json(capsys, "runs")
    assert (TRACE, "ok", "0.002397", 15, "Review examples/ for faults") == (
        row["trace_id"],
        row["status"],
        row["total"]["usd"],
        row["spans"],
        row["label"],
    )


def test_runs_shows_the_latest_ones(here: Path, capsys: Capture) -> None:
    """`--last` keeps the end of the list."""
    write(here, span(900, trace_id=OTHER), name="b")
    assert [OTHER] == [row["trace_id"] for row in as_json(capsys, "runs", "--last", "1")]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--status error", ["b"]),
        ("--status unfinished", ["c"]),
        ("--status ok --last 1", ["a"]),
        ("--name REV*", ["a"]),
        ("--name rev", []),
        ("--since 2026-11-23T12:01", ["b", "c"]),
        ("--status error --since 2026-11-24", []),
        ("--status ok --last 9", ["a"]),
        ("--session s-7", ["b"]),
        ("--user ada", ["b"]),
        ("--session ada", []),
        ("--contains EXAMPELS", ["a"]),
        ("--contains needle", []),
    ],
)
def test_runs_can_be_chosen(here: Path, capsys: Capture, words: str, expected: list[str]) -> None:
    """By how they ended, by name, by time, by whose they were and by what they hold; --last is of those."""
    whose = {"session.id": "s-7", "user.id": "ada"}
    later = [span(1, trace_id="b" * 32, start_ns=NOON + 60_000 * MS, status="error", attributes=whose)]
    write(here, *later, name="b")
    write(
        here, run(run="r2", pid=2**22 + 1), head(1, run="r2", trace_id="c" * 32, start_ns=NOON + 60_001 * MS), name="c"
    )
    names = {TRACE: "a"}
    rows = as_json(capsys, "runs", *words.split())
    assert expected == [names.get(row["trace_id"], row["trace_id"][0]) for row in rows]


def test_chosen_runs_say_what_they_come_to(here: Path, capsys: Capture) -> None:
    """Of how many traces, tokens, money and errors are."""
    write(here, span(900, trace_id=OTHER, name="other"), name="b")
    assert "1 of 2 traces: 7,223 tokens, $0.00240+, 1 error" in told(capsys, "runs", "--name", "review")[0]
    assert "of 2 traces" not in told(capsys, "runs")[0]


def test_that_no_run_is_such_a_one_is_said(here: Path, capsys: Capture) -> None:
    """Or it would look as if nothing had been recorded."""
    assert "no such trace in " in told(capsys, "runs", "--name", "nobody")[0]


def test_show_prints_the_tree_and_the_summary(here: Path, capsys: Capture) -> None:
    """Of the last trace, if none is named."""
    out, _ = told(capsys, "show")
    assert (True, True) == (
        "└─ ✔ responses gpt-4.1-mini" in out,
        "went wrong  1 error, 1 logged warning, 1 finding" in out,
    )


@pytest.mark.parametrize(
    "words",
    [
        ["3f2"],
        [TRACE],
        ["last", ".instrument"],
        [".instrument"],
        ["3F2A", "--path", "."],
        [".instrument", "3f2"],
        [".", "last~0"],
    ],
)
def test_show_takes_a_trace_and_a_path(here: Path, capsys: Capture, words: list[str]) -> None:
    """Either alone, both in any order, or the path as an option; a trace by its first digits or place."""
    assert "✔ review" in told(capsys, "show", *words)[0]


def test_show_as_json_is_nested(here: Path, capsys: Capture) -> None:
    """Spans as children of their parents."""
    root = as_json(capsys, "show")["root"]
    assert ("review", "responses gpt-4.1-mini") == (root["name"], root["children"][0]["children"][0]["name"])


def test_show_all_folds_nothing(here: Path, capsys: Capture) -> None:
    """Every span has its line."""
    write(here, span(1), *(span(n, 1, name="leaf") for n in range(2, 202)))
    folded, whole = told(capsys, "show")[0], told(capsys, "show", "--all")[0]
    assert (10, 1, 200) == (folded.count("✔ leaf"), folded.count("✔ leaf × 191"), whole.count("✔ leaf"))


def test_a_log_is_whole_in_a_terminal_too(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken into lines beside its time."""
    monkeypatch.setenv("COLUMNS", "80")
    write(here, log(999, 1, message=f"{'long ' * 40}end", metadata={"last": "word"}), name="b")
    out = told(capsys, "logs")[0]
    assert (True, True) == ("long end last=word" in " ".join(out.split()), out.splitlines()[-1].startswith(" " * 24))


def test_in_a_narrow_terminal_each_day_is_told_once(
    here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a line of its own, where it begins."""
    monkeypatch.setenv("COLUMNS", "80")
    write(here, *(log(n + day * 86_400_000) for day in (0, 1) for n in (1, 2)))
    days = [line for line in told(capsys, "logs")[0].splitlines() if line.startswith("2026")]
    assert ["2026-11-23", "2026-11-24"] == days


def test_logs_are_in_order_of_time(here: Path, capsys: Capture) -> None:
    """Those outside of any trace too, each with its UTC time, and its trace where it has one."""
    lines = told(capsys, "logs")[0].splitlines()
    assert "2026-11-23T12:00:00.000000Z  -         [WARNING] SETUP outside of any span" == lines[0]
    assert ["SETUP", "AGENT_INIT", "ACT_ERROR"] == [text.split()[3] for text in lines]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--event", "act_*"], ["ACT_ERROR"]),
        (["--event", "SETUP"], ["SETUP"]),
        (["--level", "warning"], ["SETUP", "ACT_ERROR"]),
        (["--level", "ERROR"], ["ACT_ERROR"]),
        (["--since", "2026-11-23T11:59"], ["SETUP", "AGENT_INIT", "ACT_ERROR"]),
        (["--since", "2026-11-24"], []),
        (["--trace", "3F"], ["AGENT_INIT", "ACT_ERROR"]),
        (["--trace", "last"], ["AGENT_INIT", "ACT_ERROR"]),
        (["3f2a"], ["AGENT_INIT", "ACT_ERROR"]),
        (["--trace", "last~0"], ["AGENT_INIT", "ACT_ERROR"]),
        (["--level", "error", "--event", "SETUP"], []),
    ],
)
def test_logs_are_filtered(here: Path, capsys: Capture, words: list[str], expected: list[str]) -> None:
    """By event (with wildcards), by level and above, by time, by trace; all that are given must hold."""
    assert expected == [one["event"] for one in as_json(capsys, "logs", *words)]


def test_stats_counts_over_all_traces(here: Path, capsys: Capture) -> None:
    """Iterations, calls by name with errors and percentiles, tokens and money by model."""
    stats = as_json(capsys, "stats")
    assert (1, 3, 3, 1, 34_500_000.0, {"gpt-4.1-mini", "my-local-model"}) == (
        stats["traces"],
        stats["iterations"],
        stats["by_name"]["read_file"]["count"],
        stats["by_name"]["read_file"]["errors"],
        stats["by_name"]["read_file"]["p95_ns"],
        set(stats["by_model"]),
    )


def test_stats_as_a_table(here: Path, capsys: Capture) -> None:
    """Headed by what the columns are."""
    columns = "name calls errors mean p50 p90 p95 p99 max total share tokens money"
    assert columns.split() in [text.split() for text in told(capsys, "stats")[0].splitlines()]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("name", ("read_file", 3, 1, 0, None)),
        ("kind", ("llm", 4, 0, 7223, "0.002397")),
        ("model", ("gpt-4.1-mini", 3, 0, 5100, "0.002397")),
        ("agent", ("reviewer-1", 4, 0, 7223, "0.002397")),
    ],
)
def test_stats_by_one_thing(here: Path, capsys: Capture, by: str, expected: tuple[Any, ...]) -> None:
    """Calls, errors, tokens and money of each group, and a table of it alone."""
    found = as_json(capsys, "stats", "--by", by)["groups"][expected[0]]
    total = found["total"] or {"tokens": 0, "usd": None}
    assert expected[1:] == (found["count"], found["errors"], total["tokens"], total["usd"])
    assert by == told(capsys, "stats", "--by", by)[0].split()[0]


def test_stats_give_the_share_of_the_wall_time(here: Path, capsys: Capture) -> None:
    """Of all traces together; the root took all of it."""
    groups = as_json(capsys, "stats", "--by", "name")["groups"]
    assert (1.0, 0.5) == (groups["review"]["share"], groups["think"]["share"])


def test_stats_since_a_moment(here: Path, capsys: Capture) -> None:
    """What began before does not count; what was learned of a call later is the call's."""
    late = span(10**7, trace_id=OTHER, name="late", kind="llm")
    write(here, late, update(10**7, trace_id=OTHER, usage=Usage(input=7)), name="b")
    stats = as_json(capsys, "stats", "--since", "2026-11-23T13:00")
    assert (["late"], 7) == (list(stats["by_name"]), stats["total"]["input"])


def test_stats_of_many_names_are_cut_unless_all_are_wanted(here: Path, capsys: Capture) -> None:
    """With how many more there are."""
    write(here, *(span(n, name=f"name-{n}") for n in range(1, 46)))
    cut, whole = (told(capsys, "stats", "--by", "name", *words)[0] for words in ([], ["--all"]))
    assert (40, True, 45, False) == (cut.count("name-"), "… 5 more" in cut, whole.count("name-"), "more" in whole)


@pytest.mark.parametrize(("by", "said"), [("agent", "no call has an agent\n"), ("model", "no call has a model\n")])
def test_that_there_is_nothing_to_count_by_is_said(here: Path, capsys: Capture, by: str, said: str) -> None:
    """In a sentence."""
    write(here, span(1))
    assert said == told(capsys, "stats", "--by", by)[0]


@pytest.mark.parametrize(("rate", "expected"), [(0.01, 1), (1e-05, 1), (1.0, 0)])
@pytest.mark.parametrize("words", [["stats"], ["runs"], ["query", "SELECT sum(usd) FROM costs"]])
def test_of_a_share_of_the_traces_it_is_said_so(
    here: Path, capsys: Capture, words: list[str], rate: float, expected: int
) -> None:
    """Where sampling has left traces out, numbers over those that are stored are not those of all."""
    write(here, span(1, trace_id=OTHER, attributes={"instrument.sampling.rate": rate}), name="b")
    assert expected == told(capsys, *words)[1].count("note: sampling has stored")


def test_show_stats_and_runs_tell_the_same_story(here: Path, capsys: Capture) -> None:
    """Tokens, money, errors and findings are equal, with late facts, copies and unfinished spans in the files."""
    write(here, *review(), head(77, 1), update(3, attributes={"late": 1}), call(3, 2))
    shown, stats, (row,) = as_json(capsys, "show"), as_json(capsys, "stats"), as_json(capsys, "runs")
    keys = ("spans", "errors", "findings", "total")
    stories = [{key: one[key] for key in keys} for one in (shown["metrics"], stats, row)]
    assert stories[0] == stories[1] == stories[2]


@pytest.mark.parametrize("engine", ["python", "duckdb"])
@pytest.mark.parametrize(("by", "group"), [("kind", "llm"), ("model", "mini")])
def test_stats_counts_what_never_ended(here: Path, capsys: Capture, engine: str, by: str, group: str) -> None:
    """In each row of calls, by whichever engine."""
    if engine == "duckdb":
        pytest.importorskip("duckdb", reason="DuckDB is not installed")
    asked = {"gen_ai.request.model": "mini"}
    write(here, span(1), head(2, 1, kind="llm", attributes=asked), span(3, 1, kind="llm", attributes=asked))
    told = as_json(capsys, "stats", "--by", by, "--engine", engine)["groups"][group]
    assert (2, 1) == (told["count"], told["unended"])


def test_export_writes_plain_files(here: Path, capsys: Capture) -> None:
    """Four files, which are named."""
    out, _ = told(capsys, "export", "last", "--dir", "out")
    names = ["traces.json", "logs.json", "tokens.json", "metrics.json"]
    assert (names, "review") == (
        [Path(line).name for line in out.splitlines()],
        json.loads(Path("out/traces.json").read_text())[0]["root"]["name"],
    )


# Unfinished and damaged files


@pytest.mark.parametrize("verb", ["runs", "show", "logs", "stats"])
def test_a_file_cut_off_by_a_crash_is_read(here: Path, capsys: Capture, verb: str) -> None:
    """The torn line is said on stderr; stdout has the rest."""
    write(here, *review(), encode(log(999, 1))[:-9])
    out, err = told(capsys, verb)
    assert (True, "note: ", True) == (len(out) > 100, err[:6], "the last line is half-written and was skipped" in err)


def test_a_run_in_progress_is_shown(here: Path, capsys: Capture) -> None:
    """What is still open is marked so, with what has ended below it."""
    write(here, head(1, name="agent", kind="agent"), span(2, 1))
    lines = told(capsys, "show")[0].splitlines()
    assert ["… agent", "└─ ✔ span2", "… agent has not ended,"] == [lines[0][:7], lines[1][:10], lines[3][:22]]


WRITING = """
import sys, time
from pathlib import Path
from instrument import configure, span
configure(sinks=["jsonl"])
with span("outer", kind="agent"):
    with span("inner"):
        pass
    begun = time.monotonic()
    while time.monotonic() < begun + 0.3 or '"name":"outer"' not in next(Path(".instrument/events").glob("*")).read_text():
        time.sleep(0.01)
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_process_that_is_recording_now_can_be_looked_at(here: Path, capsys: Capture) -> None:
    """From another process, while its agent runs; after `kill -9` its open spans are told to be unfinished."""
    (here / ".instrument/events/a.jsonl").unlink()
    agent = begun("-c", WRITING)
    assert agent.stdout is not None
    agent.stdout.readline()
    while_running = [line.split()[:3] for line in told(capsys, "show")[0].splitlines()[:2]]
    listed = as_json(capsys, "runs")[0]["status"]
    lasted = as_json(capsys, "runs")[0]["duration_ns"]
    os.kill(agent.pid, signal.SIGKILL)
    agent.communicate()
    killed = [line.split()[:3] for line in told(capsys, "show")[0].splitlines()[:2]]
    assert ([["…", "outer", "agent"], ["└─", "✔", "inner"]], "open") == (while_running, listed)
    assert [["⊘", "outer", "agent"], ["└─", "✔", "inner"]] == killed
    ended = as_json(capsys, "runs")[0]
    assert ("unfinished", True) == (ended["status"], ended["duration_ns"] < 300 * MS < lasted)
    reasons = told(capsys, "why")[0]
    assert (True, True) == ("outer took at least" in reasons, "was ended from outside; outer was open" in reasons)
    outer = re.search(r"outer +\S+ +.* ([0-9a-f]{16})$", told(capsys, "show", "--ids")[0], re.MULTILINE)
    assert outer is not None
    assert re.search(r"^took +at least \d", told(capsys, "show", outer[1])[0], re.MULTILINE)


def test_gzipped_and_rotated_files_are_read_together(here: Path, capsys: Capture) -> None:
    """A folder is one recording, however its files are kept."""
    records = review()
    write(here, *records[:9])
    (here / ".instrument/events/a.1.jsonl.gz").write_bytes(gzip.compress(as_lines(*records[9:])))
    assert 15 == as_json(capsys, "runs")[0]["spans"]


# How it ends


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["show", "ffff"], "no trace or span in .* begins with 'ffff'"),
        (["show", "missing.jsonl"], "there is no file or folder 'missing.jsonl'"),
        (["show", "missing.jsonl.gz"], "there is no file or folder 'missing.jsonl.gz'"),
        (["runs", "missing"], "there is no file or folder 'missing'"),
        (["logs", "--level", "LOUD"], "'LOUD' is no level: give one of TRACE, DEBUG, INFO"),
        (["logs", "--since", "yesterday"], "'yesterday' is no time"),
        (["show", "--kind", "tol"], "no span is of kind 'tol': give one of agent, .*llm, .*tool"),
        (["export"], "one of the arguments --dir"),
        (["dance"], "there is no verb 'dance'; known are runs, show, why"),
        (["shwo"], "there is no verb 'shwo'; did you mean show\\?"),
        (["show", "--erors=1"], "there is no option --erors; did you mean --errors\\?"),
        (["run", "--sniks", "jsonl", "a.py"], "there is no option --sniks; did you mean --sinks\\?"),
        (["show", "--zzz"], "there is no option --zzz; `instrument show --help` lists those it has"),
        (["--verson"], "there is no option --verson; did you mean --version\\?"),
        (["runs", "a", "b"], "too many words: b"),
        (["runs", "--last", "many"], "'many' is no number of traces: give 1 or more"),
        (["runs", "--status", "bad"], "argument --status: invalid choice: 'bad' .choose from '?ok"),
        (["runs", "--since", "x"], "argument --since: 'x' is no time: give 2026-11-23, "),
        (["runs", "--last", "0"], "'0' is no number of traces: give 1 or more"),
        (["runs", "--last", "9" * 5000], "'9{40}' is no number of traces: give 1 or more"),
        (["costs", "--since", "9999-12-31"], "'9999-12-31' is too far away: give a time from 1970 to 2262"),
        (["costs", "--reprice", "--at", "999999999w"], "'999999999w' is too far away: give a time from 1970 to 2262"),
        (["why", f"{3:016x}"], "'0000000000000003' is a span of trace .{8}: name the trace, or `instrument show 0000"),
        (["query"], "the following arguments are required: SELECT$"),
        (["export", "--dir", ".instrument/events/a.jsonl"], "a.jsonl cannot be read or written: File exists"),
    ],
)
def test_bad_use_is_one_clear_sentence(here: Path, capsys: Capture, words: list[str], sentence: str) -> None:
    """Exit code 2, no traceback, nothing on stdout."""
    out, err = told(capsys, *words, code=2)
    assert ("", True, False) == (out, re.search(sentence, err) is not None, "Traceback" in err)


@pytest.mark.parametrize(
    "words", [["show", "ffff"], ["dance"], ["runs", "--last", "many"], ["costs", "--at", "2026-01-01"], ["costs", "."]]
)
def test_every_complaint_is_ours_by_name(here: Path, capsys: Capture, words: list[str]) -> None:
    """The last thing that is said begins with `instrument: `, below the usage where words were wrong."""
    assert "instrument: " == told(capsys, *words, code=2)[1].splitlines()[-1][:12]


def test_usage_is_that_of_the_verb(here: Path, capsys: Capture) -> None:
    """Also where a word is too many."""
    assert "usage: instrument runs " == told(capsys, "runs", "a", "b", code=2)[1][:23]


def test_words_and_options_come_in_any_order(here: Path, capsys: Capture) -> None:
    """An option may stand between trace and path."""
    told(capsys, "export", "last", "--html", "run.html", ".instrument")
    assert Path("run.html").exists()


def test_a_page_is_not_poured_into_a_terminal(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who forgets the file is told to name one; a pipe gets the page."""
    assert "<!doctype html>" == told(capsys, "export", "last", "--html")[0][:15]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert "name a file, as in --html run.html" in told(capsys, "export", "last", "--html", code=2)[1]


def test_only_the_trace_that_is_meant_is_taken_in(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the processes: others may be many."""
    write(here, run(), span(1), *(span(n, trace_id=OTHER) for n in range(1, 50)), name="b")
    taken: list[Any] = []

    def record_of(line: bytes) -> Any:
        taken.append(jsonl_record_of(line))
        return taken[-1]

    jsonl_record_of = jsonl.record_of
    monkeypatch.setattr(jsonl, "record_of", record_of)
    told(capsys, "show", TRACE)
    assert {TRACE, None} == {getattr(record, "trace_id", None) for record in taken}


@pytest.mark.parametrize("pid", [2**22 - 1, 0])
def test_what_did_not_end_lasted_as_long_as_its_process(here: Path, capsys: Capture, pid: int) -> None:
    """Whatever it spoke of last, in `show` as in `runs`; of an imported trace the process is not known."""
    write(here, run(pid=pid), log(300, trace_id=OTHER), head(1))
    lasted = [as_json(capsys, "runs")[0]["duration_ns"], as_json(capsys, "show", TRACE)["duration_ms"] * MS]
    assert [299 * MS] * 2 == lasted


def test_an_ambiguous_trace_is_refused(here: Path, capsys: Capture) -> None:
    """With the ids that it could be."""
    write(here, span(1, trace_id="3f" + "0" * 30), name="b")
    assert "2 traces in" in told(capsys, "show", "3f", code=2)[1]


@pytest.mark.parametrize("verb", ["runs", "show", "logs", "stats"])
def test_no_recording_is_said(alone: Path, capsys: Capture, verb: str) -> None:
    """Outside of any project there is nothing to read."""
    (alone / "pyproject.toml").write_text("[tool.instrument]\ndir = 'a name that no folder above has'\n")
    assert "there is no recording here or above" in told(capsys, verb, code=2)[1]


@pytest.mark.parametrize(("words", "what"), [(["show"], " "), (["costs"], " folder ")])
def test_the_folder_that_is_not_there_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, words: list[str], what: str
) -> None:
    """Where the environment names it, nothing is looked for elsewhere."""
    monkeypatch.setenv("INSTRUMENT_DIR", "recorded")
    sentence = f"there is no recording{what}at {here}/recorded, which INSTRUMENT_DIR names"
    assert sentence in told(capsys, *words, code=2)[1]


def test_a_file_that_all_processes_share_is_found(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """By the setting that has them write there."""
    (here / ".instrument/events/a.jsonl").rename(here / "all.jsonl")
    monkeypatch.setenv("INSTRUMENT_JSONL__PATH", "all.jsonl")
    assert 1 == len(as_json(capsys, "runs"))


def test_a_file_that_nobody_has_written_yet_hides_no_folder(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """The recording that there is is read."""
    monkeypatch.setenv("INSTRUMENT_JSONL__PATH", "all.jsonl")
    assert 1 == len(as_json(capsys, "runs"))


def test_the_last_trace_is_the_one_that_began_last(here: Path, capsys: Capture) -> None:
    """Whichever stands last in the files."""
    write(here, span(2, trace_id=OTHER), span(1), span(3, 1))
    assert [OTHER, TRACE] == [as_json(capsys, "show", word)["trace_id"] for word in ("last", "last~1")]


def test_an_empty_recording_has_no_trace(here: Path, capsys: Capture) -> None:
    """That is no error for a list, but there is nothing to show."""
    write(here)
    listed, shown = told(capsys, "runs")[0], told(capsys, "show", code=2)[1]
    assert (True, True) == ("no trace in" in listed, "there is no trace in" in shown)


@pytest.mark.parametrize("verb", ["show", "check"])
def test_where_nothing_can_be_read_that_is_said(here: Path, capsys: Capture, verb: str) -> None:
    """Or a damaged recording would look like an empty one."""
    (here / ".instrument/events/a.jsonl").write_bytes(b"not json\n" * 5)
    assert re.search(r"there is no trace in .*; .*a\.jsonl: 5 lines, .* were skipped", told(capsys, verb, code=2)[1])


@pytest.mark.parametrize("data", [b"\x00\x01\x02" * 500, b"not json\n" * 5, b"{}\n", b""])
def test_files_of_something_else_are_no_error(here: Path, capsys: Capture, data: bytes) -> None:
    """A binary, a text, an empty file: nothing is found, and what was skipped is said."""
    Path("other.bin").write_bytes(data)
    assert [] == as_json(capsys, "runs", "other.bin")


@pytest.mark.parametrize("words", ["show", "check", "why", "export --html", "export --csv", "export --openinference"])
def test_money_that_is_none_is_no_error(here: Path, capsys: Capture, words: str) -> None:
    """What another program wrote into a cost spoils no view."""
    texts = ("NaN", "1e400", "-x", "")
    write(here, *(call(n, cost=Cost(usd=text, input=text, basis="priced")) for n, text in enumerate(texts, 1)))
    told(capsys, *words.split())


def test_wrong_settings_stop_a_verb(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that does not exist is named; `doctor` is there to look into it."""
    monkeypatch.setenv("INSTRUMENT_SINKZ", "x")
    out, err = told(capsys, "runs", code=2)
    assert ("", True) == (out, "SINKZ" in err or "sinkz" in err)


@pytest.mark.parametrize("words", ["show", "show last", "why", "check", "runs", "costs", "prune --dry-run", "tail"])
def test_settings_are_looked_for_once(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """Whatever of them a verb needs: the folder, thresholds, prices."""
    (here / "pyproject.toml").write_text('[tool.instrument]\nservice = "a"\n')
    read: list[str] = []

    def from_file(name: str, *others: Any, **more: Any) -> Any:
        read.append(name)
        return origins_from_file(name, *others, **more)

    origins_from_file = origins.from_file
    monkeypatch.setattr(origins, "from_file", from_file)
    main(words.split())
    assert ["pyproject.toml"] * 2 == read  # whether there is anything, and what


def test_the_folder_above_is_found(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a folder deep inside the project, as git does."""
    (here / "src/deep").mkdir(parents=True)
    monkeypatch.chdir(here / "src/deep")
    assert 1 == len(as_json(capsys, "runs"))


@pytest.mark.parametrize("verb", ["runs", "show", "logs", "stats", "export"])
def test_every_verb_has_help(verb: str, capsys: Capture) -> None:
    """What it does and what it takes; exit code 0."""
    assert f"usage: instrument {verb}" in told(capsys, verb, "--help")[0]


@pytest.mark.parametrize("verb", VERBS)
def test_help_fits_a_terminal(verb: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 80 columns, as most are opened."""
    monkeypatch.setenv("COLUMNS", "80")
    assert [] == [line for line in told(capsys, verb, "--help")[0].splitlines() if len(line) > 80]


def test_without_a_verb_the_verbs_are_listed(capsys: Capture) -> None:
    """With one line about each."""
    out, _ = told(capsys)
    assert [] == [verb for verb in VERBS if f"\n    {verb} " not in out]


def test_the_version_is_told(capsys: Capture) -> None:
    """Of the library."""
    assert "instrument " == told(capsys, "--version")[0][:11]


def test_python_dash_m_is_the_same(here: Path) -> None:
    """`python -m instrument` runs the verbs, in a process of its own."""
    done = python(*VERB, "runs")
    assert (0, 1) == (done.returncode, done.stdout.count("3f2a3f2a"))


def test_a_reader_that_goes_away_is_no_error(here: Path) -> None:
    """`instrument logs | head -1`: no complaint, exit code 0."""
    write(here, *(log(n, message="x" * 500) for n in range(3000)))
    assert ("", 0) == left_after_a_line(*VERB, "logs")


def test_an_interrupt_ends_quietly(here: Path) -> None:
    """Ctrl-C while reading: no traceback."""
    os.mkfifo("pipe.jsonl")
    runs = begun(*VERB, "runs", "pipe.jsonl")
    with open("pipe.jsonl", "wb"):
        time.sleep(0.2)
        runs.send_signal(signal.SIGINT)
        _, err = runs.communicate()
    assert ("", 130) == (err, runs.returncode)


@pytest.mark.parametrize("words", [["--version"], ["runs"]])
def test_an_answer_that_cannot_be_written_is_one_sentence(words: list[str], here: Path) -> None:
    """Where the disk is full that stdout goes to, that is said; Python has nothing to complain of at exit."""
    buffered = {name: value for name, value in environment().items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, *VERB, *words], stdout=full, stderr=subprocess.PIPE, text=True, env=buffered
        )
    assert (2, "instrument: the answer cannot be written: No space left on device\n") == (done.returncode, done.stderr)


def test_closed_streams_are_no_error(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`instrument check >&- 2>&-` answers by its exit code."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    codes = main(["runs"]), main(["runs", "nowhere"])
    sys.stdout.close()
    sys.stderr.close()
    assert (0, 2) == codes


def test_an_interrupt_while_duckdb_works_ends_quietly(
    here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB makes a fault of its own of it."""
    monkeypatch.setattr("instrument.cli.runs.run", Mock(side_effect=RuntimeError("Query interrupted")))
    assert ("", "") == told(capsys, "runs", code=130)


def test_one_verb_does_not_load_what_the_others_need(here: Path) -> None:
    """Starting stays light: no client library, no tokenizer, no price list, no database."""
    code = "import sys; from instrument.cli.main import main; main(['runs']); print(*sys.modules)"
    done = python("-c", code)
    heavy = {"openai", "tiktoken", "rich", "loguru", "genai_prices", "numpy", "sqlite3", "instrument.cli.costs"}
    assert set() == heavy & set(done.stdout.split())
