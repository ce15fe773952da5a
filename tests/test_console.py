"""The console sink: live lines on stderr, a tree and a summary when a trace ends, and never in the way."""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from instrument.analysis.metrics import measure
from instrument.analysis.tree import traces
from instrument.model import Batch, Finding, Other, Record, Score, Span
from instrument.sinks.console import ConsoleSink
from instrument.sinks.unfinished import KEPT_SPANS
from instrument.views.outline import outline
from instrument.views.text import summary
from instrument.views.theme import UNBOUNDED
from tests.programs import begun
from tests.recorded import MS, NOON, TRACE, call, finding, head, log, review, run, span


class Stream(io.StringIO):
    encoding = "utf-8"


def batch(*records: Record) -> Batch:
    """A batch with the depths that the pipeline would give."""
    parents = {record.span_id: record.parent_id for record in records if isinstance(record, Span)}

    def depth(span_id: str | None) -> int:
        parent = parents.get(span_id) if span_id else None
        return 0 if parent is None else 1 + depth(parent)

    return Batch(records, depths=[depth(getattr(record, "span_id", None)) for record in records])


def in_order_of_ending(records: list[Any]) -> list[Any]:
    """As the pipeline delivers them: children before their parents, the root at last."""
    root = next(one for one in records if isinstance(one, Span) and one.parent_id is None)
    rest = [one for one in records if one is not root]
    return [*reversed(rest[:1]), *rest[1:], root]


def shown(*records: Record, **options: Any) -> str:
    stream = Stream()
    sink = ConsoleSink(stream, **options)
    sink.write(batch(*records))
    sink.close()
    return stream.getvalue()


def test_events_are_lines_as_they_happen() -> None:
    """Logs, span ends and findings appear with the batch that brings them, before the trace is over."""
    stream = Stream()
    sink = ConsoleSink(stream)
    sink.write(Batch([log(2, 1, event="TOOL_CALL"), span(2, 1), finding(2, message="again")], depths=[1, 1, 1]))
    assert "  [INFO] TOOL_CALL\n  ✔ span2  5 ms\n  [WARNING] ▲ FINDING same_call: again\n" == stream.getvalue()


def test_a_long_span_is_told_when_it_begins() -> None:
    """Agents and steps give what follows its place; other kinds are told when they end."""
    assert "▸ span1\n" == shown(head(1, kind="agent"), head(2, kind="llm"))


def test_a_trace_ends_with_its_tree_and_what_it_came_to() -> None:
    """The tree, money, tokens, calls by model, tools, iterations, scores, what went wrong, and where the files are."""
    records = [*in_order_of_ending(review())[:-1], Score(trace_id=TRACE, time_ns=1, name="helpful", value=0.8)]
    text = shown(*records, in_order_of_ending(review())[-1], paths=["events/a.jsonl"])
    tree_and_summary = text.split("\n\n", 1)[1]
    wanted = ["├─ ✔ create_plan", "money       $0.00240 (1 call unpriced)", "tokens      6,818 in, 405 out"]
    wanted += ["iterations  3", "tool calls  3 (read_file 3)", "1 error, 1 logged warning, 1 finding"]
    wanted += ["scores      helpful 0.8", "files       events/a.jsonl"]
    assert [] == [part for part in wanted if part not in tree_and_summary]


def test_without_summary_there_are_only_lines() -> None:
    """`summary=False` leaves the tree out too."""
    assert "✔ span1  5 ms\n  ✔ span2  5 ms\n" == shown(span(2, 1), span(1), summary=False)


def test_a_lone_call_is_told_in_its_line() -> None:
    """A decorated function outside of any agent does not print a tree of one line."""
    assert "✔ span1  5 ms\n" == shown(span(1))


def test_a_lone_agent_has_a_summary() -> None:
    """An agent's run is over when its span ends, whatever it did."""
    assert "went wrong  nothing" in shown(span(1, kind="agent"))


def test_at_its_end_a_run_says_what_show_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tree and summary are those of the whole trace: which agent it was, session and user, how often clients tried."""
    monkeypatch.delenv("COLUMNS", raising=False)
    whose = {"gen_ai.agent.id": "worker-2", "session.id": "s-1", "user.id": "ann"}
    records = [call(2, 1, attributes={"instrument.retries": 2}), span(1, kind="agent", attributes=whose)]
    trace = next(traces(records))
    tree, told = outline(trace, UNBOUNDED), summary(trace, measure(trace.spans), UNBOUNDED)
    assert (True, True) == ("[worker-2]" in tree, "retries     2, of 1 model call" in told)
    assert f"{tree}\n\n{told}" in shown(*records)


def test_below_the_level_nothing_is_shown() -> None:
    """At WARNING: warnings, failures and findings, but no line of what went well."""
    failed = span(2, 1, status="error")
    records = [log(1, 1), log(2, 1, level="WARNING", event="W"), failed, span(3, 1), finding(3), span(1)]
    lines = shown(*records, level="warning", summary=False).splitlines()
    assert ["[WARNING] W", "✘ span2  5 ms", "[WARNING] ▲ FINDING"] == [text.strip()[:19].strip() for text in lines]


def test_the_summary_counts_what_the_level_hides() -> None:
    """The level is about lines."""
    assert "money       $0.00100" in shown(call(2, 1), span(1), level="CRITICAL")


def test_a_trace_whose_root_is_in_another_process_is_told_at_the_end() -> None:
    """A worker shows its part when it closes."""
    stream = Stream()
    sink = ConsoleSink(stream)
    sink.write(Batch([span(3, 2), span(2, 1)], depths=[2, 1]))
    before = stream.getvalue()
    sink.close()
    assert (False, True) == ("went wrong" in before, "went wrong" in stream.getvalue())


def test_the_top_span_of_a_remote_parent_ends_the_trace() -> None:
    """Depth 0 says that the parent is not of this process, also where the span comes alone."""
    stream = Stream()
    sink = ConsoleSink(stream)
    sink.write(Batch([span(3, 2)], depths=[1]))
    sink.write(Batch([span(2, 99)], depths=[0]))
    assert "went wrong" in stream.getvalue()


def test_calls_that_are_open_when_a_run_is_over_are_shown() -> None:
    """Threads that wait for each other: the run has given up on them, and nothing else tells of it."""
    heads = head(1), head(2, 1, name="left"), head(3, 1, name="right"), head(4, 1, name="done")
    told = shown(*heads, span(4, 1, name="done"), span(1)).splitlines()
    tree = [line.split()[2] for line in told if line[:2] in ("├─", "└─")]
    assert (["left", "right", "done"], True) == (tree, "still open  2 (left 1, right 1)" in told)


def test_a_flood_is_counted_instead_of_shown() -> None:
    """A function called 10,000 times within a second does not scroll everything else away."""
    calls = [span(n, 1, name="leaf", start_ns=NOON + n * 50_000, duration_ns=9) for n in range(2, 10_002)]
    lines = shown(*calls, span(1), summary=False).splitlines()
    hidden = [text for text in lines if "more" in text]
    assert (30, ["… 9,970 more of leaf"]) == (sum("✔ leaf" in text for text in lines), hidden)


def test_after_a_second_a_flood_may_go_on() -> None:
    """A name that is shown rarely is always shown."""
    calls = [span(n, 1, name="leaf", start_ns=NOON + n * 100 * MS) for n in range(2, 102)]
    assert 100 == shown(*calls, summary=False).count("✔ leaf")


def test_a_huge_trace_is_folded_and_says_so() -> None:
    """Beyond what is kept the tree says how many spans it leaves out; the numbers are of all."""
    deepest = [span(10_000 + k, 2000, name="leaf") for k in range(KEPT_SPANS + 1)]
    deep = [span(n * 1000 + k, n, name="leaf") for n in range(2, 5) for k in range(1000)]
    text = shown(*deepest, *deep, *(span(n, 1, name="group") for n in range(2, 5)), span(1))
    assert (True, True) == ("… 5,001 more spans: instrument show 3f2a3f2a" in text, "├─ ✔ group" in text)


def test_a_flat_huge_trace_keeps_its_beginning_and_end() -> None:
    """Where there is one level only, its middle goes."""
    text = shown(*(call(n, 1) for n in range(2, 5002)), span(1))
    assert (True, True) == ("$5.00" in text, "of them not counted above: instrument show" in text)


def test_memory_does_not_grow_with_the_trace() -> None:
    """A trace that never ends costs no more than what is kept of it."""
    sink = ConsoleSink(Stream(), level="CRITICAL")
    big = {"input": {"text": "x" * 2000}}

    def feed(start: int) -> int:
        for n in range(start, start + 3 * KEPT_SPANS):
            sink.write(Batch([span(n, 1, name="leaf", **big)], depths=[1]))
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        first, second = feed(2), feed(100_000)
    finally:
        tracemalloc.stop()
    assert second - first < 500_000


def test_traces_that_never_end_are_forgotten() -> None:
    """The number of open traces that are kept in mind is bounded."""
    sink = ConsoleSink(Stream())
    for n in range(3000):
        sink.write(Batch([span(n + 2, 1, trace_id=f"{n:032x}")], depths=[1]))
    assert 1000 == len(sink._open)


def test_hostile_text_is_neutralised() -> None:
    """No control character of a record reaches the terminal."""
    text = shown(log(1, message="\x1b[2J\x07\u202e"), span(2, 1, name="\x1b]0;x\x07"), span(1, name="\r\n"))
    assert (False, True) == (any(letter in text for letter in "\x1b\x07\r\u202e"), r"\x1b[2J\x07\u202e" in text)


def test_the_name_of_a_flood_is_neutralised() -> None:
    """The line about what was hidden names it, and that name is data too."""
    text = shown(*(span(n, 1, name="\x1b[2J", start_ns=NOON, duration_ns=9) for n in range(2, 99)), summary=False)
    assert ("\x1b" in text, r"67 more of \x1b[2J" in text) == (False, True)


def test_encoded_parts_of_records_are_shown_decoded() -> None:
    """On their way from the recorder attribute values and metadata may be JSON already."""
    label = {"instrument.label": Raw(b'"the task"')}
    text = shown(log(1, metadata={"a": Raw(b'"x"')}), span(1, kind="agent", attributes=label))
    assert (True, True) == ("a=x" in text, "span1 · the task" in text)


@pytest.mark.parametrize("record", [Other(extra={}), run(), Finding(detector="d", message="m"), span(1, name="")])
def test_odd_records_do_no_harm(record: Record) -> None:
    """Records without a trace, a name or a known type pass."""
    shown(record)


def test_a_record_that_cannot_be_shown_is_said_and_passed() -> None:
    """A fault of ours in one line does not switch the console off."""
    text = shown(span(1, start_ns="yesterday"), log(2, event="NEXT"))
    assert (True, True) == ("(a record cannot be shown: TypeError)" in text, "[INFO] NEXT" in text)


class Broken(Stream):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.calls = 0

    def write(self, text: str) -> int:
        self.calls += 1
        raise self.error


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("I/O operation on closed file"), OSError(5, "EIO")])
def test_when_nobody_reads_it_is_quiet(error: Exception) -> None:
    """A broken stderr ends the console without an error, and it is not tried again."""
    stream = Broken(error)
    sink = ConsoleSink(stream)
    sink.write(batch(span(2, 1)))
    sink.write(batch(span(1)))
    sink.close()
    assert 1 == stream.calls


def test_without_a_stderr_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs without a console have none."""
    monkeypatch.setattr(sys, "stderr", None)
    sink = ConsoleSink()
    sink.write(batch(span(1)))
    sink.close()


def test_it_writes_to_the_stderr_of_the_moment(tmp_path: Path) -> None:
    """A program that sends its stderr elsewhere gets the lines there."""
    with (tmp_path / "err.txt").open("w+", encoding="utf-8") as file:
        with contextlib.redirect_stderr(file):
            ConsoleSink().write(batch(span(1)))
        file.seek(0)
        assert "✔ span1  5 ms\n" == file.read()


@pytest.mark.parametrize("put", [Stream, lambda: io.TextIOWrapper(io.BytesIO(), "utf-8")], ids=["text", "bytes"])
def test_what_the_program_reads_in_memory_is_its_own(put: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """Who keeps in memory what is said to stderr, as click's runner and tests do, reads what it says without us."""
    with contextlib.redirect_stderr(put()) as kept:
        print("mine", file=sys.stderr)
        ConsoleSink().write(batch(span(1)))
    kept.seek(0)
    assert ("mine\n", ("", "✔ span1  5 ms\n")) == (kept.read(), tuple(capfd.readouterr()))


def test_no_logging_set_up_silences_it(capfd: pytest.CaptureFixture[str]) -> None:
    """The user's loguru handlers and the logging module have no part in it."""
    from loguru import logger

    logger.remove()
    logging.disable(logging.CRITICAL)
    try:
        ConsoleSink().write(batch(span(1)))
    finally:
        logging.disable(logging.NOTSET)
    assert "✔ span1  5 ms\n" == capfd.readouterr().err


def test_what_an_encoding_cannot_show_is_escaped() -> None:
    """On a Latin-1 terminal marks are ASCII and foreign letters are escapes."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="latin-1")
    ConsoleSink(stream).write(batch(span(1, name="日本")))
    assert rb"+ \u65e5\u672c  5 ms" == raw.getvalue().strip()


AFTER_HEAD = """
import sys
sys.path.insert(0, "tests/..")
from instrument.model import Batch
from instrument.sinks.console import ConsoleSink
from tests.recorded import span
sink = ConsoleSink()
for n in range(20000):
    sink.write(Batch([span(n, 1, name=f"s{n}")], depths=[1]))
sink.close()
print("done")
"""


def test_a_reader_that_goes_away_does_not_stop_the_program() -> None:
    """stderr piped into `head`: the program ends as without us."""
    with begun("-c", AFTER_HEAD) as program:
        assert program.stderr is not None
        assert program.stdout is not None
        program.stderr.readline()
        program.stderr.close()
        told = program.stdout.read()
    assert ("done\n", 0) == (told, program.returncode)
