"""`log` and `score`: what happened, when, to which agent, in which span."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest

import instrument
from instrument import agent, log, score, span, traced
from instrument.model import Batch, Open, Record, Score, Span
from instrument.record.switch import switch
from instrument.sinks.console import ConsoleSink
from instrument.testing import Recording, record
from tests.sinks import Nothing


class Worker:
    def __init__(self, name: str) -> None:
        self.name = name
        log("AGENT_INIT", "ready", agent_id=name)

    @agent(id="name")
    def run(self) -> None:
        log("TOOL_CALL", "reading", level="warning", path="x.py")
        inner()


@traced
def inner() -> None:
    log("DEEP")


def test_log_belongs_to_the_current_span(recorded: Recording) -> None:
    """A log has the ids of the span it was written in."""
    with span("work") as live:
        log("EVENT")
    assert [(live.trace_id, live.span_id)] == [(found.trace_id, found.span_id) for found in recorded.logs]


def test_a_tool_is_shown_before_what_is_logged_in_it() -> None:
    """However short the tool has run, its line stands above that of the log on the console."""
    out = StringIO()
    with record(sinks=(ConsoleSink(out),)) as recording, span("search", kind="tool"):
        log("LOOKING", "in the index")
        recording.flush()
    lines = out.getvalue().splitlines()
    shown = [next((word for word in ("search", "LOOKING") if word in line), "") for line in lines]
    assert ["search", "LOOKING", "search"] == [word for word in shown if word]


def test_an_agent_is_shown_before_what_it_calls() -> None:
    """Also while the worker is about, which need not be woken: live views have its head first."""
    with record() as recording:

        @agent
        def goes() -> None:
            traced(len)("")
            recording.flush()

        switch.recorder.pipeline.asleep = False  # type: ignore[union-attr]  # it is recorded
        goes()
    assert ["goes", "len", "goes"] == [one.name for one in recording.records if isinstance(one, Open | Span)]


def test_log_outside_of_any_span_is_kept(recorded: Recording) -> None:
    """An agent's `__init__` is logged although nothing runs yet."""
    Worker("a-1")
    assert [("AGENT_INIT", None, "a-1")] == [(found.event, found.trace_id, found.agent_id) for found in recorded.logs]


def test_agent_id_is_inherited(recorded: Recording) -> None:
    """Logs and spans below an agent carry the id of its instance."""
    Worker("a-2").run()
    assert ["a-2", "a-2", "a-2"] == [found.agent_id for found in recorded.logs]
    assert "a-2" == recorded.span("inner").attributes["gen_ai.agent.id"]


def test_two_instances_keep_their_ids_apart(recorded: Recording) -> None:
    """The id is that of the instance whose method runs, not the last one made."""
    first, second = Worker("one"), Worker("two")
    first.run()
    second.run()
    assert ["one", "one", "two", "two"] == [found.agent_id for found in recorded.logs[2:]]


def test_log_has_level_and_metadata(recorded: Recording) -> None:
    """Level words are written in capitals; metadata is kept as values."""
    Worker("a").run()
    found = recorded.logs[1]
    assert ("WARNING", {"path": "x.py"}) == (found.level, found.metadata)


@pytest.mark.parametrize("content", [True, False])
def test_long_metadata_does_not_cost_the_log(content: bool) -> None:
    """A log with a value too long to be kept in place, or whose values are not to be kept, is there all the same."""
    with record(capture={"content": content}) as recording:
        log("LOADED", text="a" * 200_000, lines=3)
    assert [{"lines", "text"}] == [set(found.metadata) for found in recording.logs]


def test_long_message_is_cut_and_kept_apart() -> None:
    """Of a very long message the log shows the beginning and says where the whole is."""
    with record() as recording:
        log("LOADED", "a" * 200_000)
    [found] = recording.logs
    assert (True, 200_002) == (len(found.message) < 2_000, found.metadata["message"]["bytes"])


def test_times_rise(recorded: Recording) -> None:
    """Logs are in the order of their times, in nanoseconds since the epoch."""
    for _ in range(50):
        log("TICK")
    times = [found.time_ns for found in recorded.logs]
    assert sorted(times) == times


def test_secret_in_a_log_is_redacted(recorded: Recording) -> None:
    """Nothing that looks like a key reaches a sink, in message or metadata."""
    log("LOGIN", "with sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD", password="hunter2")
    text = repr(recorded.logs)
    assert ("sk-proj-abcdef" in text, "hunter2" in text) == (False, False)


@pytest.mark.parametrize(
    ("where", "say"),
    [
        ("log", lambda mute: log("EVENT", mute)),
        ("score", lambda mute: score(mute, 1)),
        ("score", lambda mute: score("tone", mute)),
    ],
    ids=["a message", "a name", "a word"],
)
def test_what_cannot_say_what_it_is_costs_the_record_alone(
    where: str, say: Callable[[Any], None], recorded: Recording
) -> None:
    """A `__str__` of the user's that raises where we ask for it does not reach the caller, and is counted."""

    class Mute:
        def __str__(self) -> str:
            raise ValueError("no words")

    say(Mute())
    assert {f"fault in {where}: ValueError": 1} == instrument.flush().lost


def test_score_of_the_current_span(recorded: Recording) -> None:
    """A number judges the span that is running."""
    with span("work") as live:
        score("helpful", 0.75)
    assert [("helpful", 0.75, live.span_id)] == [(found.name, found.value, found.span_id) for found in recorded.scores]


def test_score_stands_below_its_span() -> None:
    """Its line on the console is indented as that of a log is, below that of the span."""
    stream = StringIO()
    with record(sinks=(ConsoleSink(stream, summary=False),)), span("work"):
        log("SEEN")
        score("helpful", 0.75)
    said = [line for line in stream.getvalue().splitlines() if "[INFO]" in line]
    assert ["  [INFO] SEEN", "  [INFO] SCORE helpful=0.75"] == said


def test_score_that_is_no_number_is_a_word(recorded: Recording) -> None:
    """Whatever is given is kept as it is printed, without a fault."""
    score("none", None, trace_id="0" * 32)  # type: ignore[arg-type]  # the mistake that is meant
    score("huge", 10**400, trace_id="0" * 32)
    assert ["None", str(10**400)] == [found.label for found in recorded.scores]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_score_that_json_has_no_number_for_is_a_word(recorded: Recording, value: str) -> None:
    """It would be read back as nothing at all."""
    score("ratio", float(value), trace_id="0" * 32)
    assert [(None, value)] == [(found.value, found.label) for found in recorded.scores]


@pytest.mark.parametrize("trace_id", [None, "0" * 32], ids=["of the batch", "of a trace"])
def test_a_sink_that_scores_has_no_end_of_it(trace_id: str | None) -> None:
    """What a sink says itself is not recorded: it would come back to it, and what it says then as well."""
    got: list[Record] = []

    class Judging(Nothing):
        def write(self, batch: Batch) -> None:
            got.extend(batch)
            if len(got) < 20:
                score("size", len(batch), trace_id=trace_id)

    with record(sinks=(Judging(),)), span("work"):
        instrument.flush()
    assert [] == [one for one in got if isinstance(one, Score)]


def test_score_may_be_a_word(recorded: Recording) -> None:
    """A word becomes the label."""
    score("tone", "rude", trace_id="0" * 32)
    assert [(None, "rude")] == [(found.value, found.label) for found in recorded.scores]


def test_session_reaches_spans_below(recorded: Recording) -> None:
    """Session, user and tags are attributes of every span that begins inside."""
    with instrument.session("s-1", user="u-1", tags=["blue"]):
        inner()
    found = recorded.span("inner").attributes
    assert ("s-1", "u-1", ["blue"]) == (found["session.id"], found["user.id"], found["instrument.tags"])


def test_session_ends_with_its_block(recorded: Recording) -> None:
    """After the block nothing is inherited."""
    with instrument.session("s-1"):
        pass
    inner()
    assert "session.id" not in recorded.span("inner").attributes
