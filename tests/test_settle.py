"""From live spans to lines: what is encoded together is what would be encoded alone, and keeps its order."""

from __future__ import annotations

import contextlib
import gc
import re
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

import instrument
from instrument import llm_call, log, score, span, tool, traced
from instrument.integrations import clients
from instrument.model import Batch, Event, Finding, Link, Log, Record, Span, encode
from instrument.record import wrappers
from instrument.record.finished import stack
from instrument.record.lines import together
from instrument.record.llm import read_answer
from instrument.record.plan import Plan
from instrument.record.settling import begun_since
from instrument.record.switch import switch
from instrument.testing import record
from tests.sinks import Direct

texts = st.text(st.characters(exclude_categories=["Cs"]))
logs = st.builds(Log, time_ns=st.integers(0, 2**62), event=texts, metadata=st.dictionaries(texts, texts))


@given(st.lists(logs))
def test_lines_together_are_the_lines_alone(records: list[Record]) -> None:
    """Encoding a batch at once gives the same lines as encoding its records one by one, whatever they hold."""
    assert b"".join([encode(one) + b"\n" for one in records]) == together(records)


class Counts(Direct):
    """A sink that counts records and lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = 0

    def write(self, batch: Batch) -> None:
        super().write(batch)
        self.lines += batch.data.count(b"\n")


@pytest.mark.parametrize("wrap", [lambda raw: raw, lambda raw: [raw], lambda raw: {"a": {"b": raw}}])
def test_what_the_program_has_encoded_breaks_no_line(wrap: Any) -> None:
    """JSON of the program's own, with newlines in it, is an object like any other, wherever it stands."""
    raw, counts = wrap(Raw(b"[1,\n2]")), Counts()
    with record(sinks=(counts,)) as recording:
        tool(lambda *given, **more: raw)(raw, more=raw)
        list(traced(lambda: (yield raw))())
        llm_call(model="m")(lambda messages: {"choices": [{"message": {"content": raw}}], "usage": raw})(raw)
        with span("set", attributes={"a": raw}) as live:
            live.set(b=raw)
            live.event("e", c=raw)
            log("E", d=raw)
        recording.flush()
    assert (len(counts.records), True) == (counts.lines, len(counts.records) > 5)


def test_unknown_keys_are_not_lost_on_the_quick_way() -> None:
    """Records with keys of another version's are written one by one, which keeps the keys."""
    assert None is together([Log(time_ns=1, extra={"later": 1})])


def test_one_odd_record_does_not_cost_the_others() -> None:
    """A record that has no JSON is counted as a fault; those around it are written."""
    with record() as recording:
        recorder = switch.recorder
        assert recorder is not None
        odd: Any = object()
        for time_ns in (1, odd, 3):
            recorder.put(Log(time_ns=time_ns))
        assert [1, 3] == [log.time_ns for log in recording.logs]
        assert {"fault in settle: TypeError": 1} == recorder.told().lost


def test_of_a_long_batch_the_lines_with_secrets_are_mended() -> None:
    """Where one look at all lines suspects some, those lose their secrets, and all keep their order and their text."""
    events = [f"{n} " + "tide " * 2_000 + ("AKIAIOSFODNN7EXAMPLE" if n in (1, 6, 11) else "ebbs") for n in range(12)]
    with record() as recording:
        recorder = switch.recorder
        assert recorder is not None
        for event in events:
            recorder.put(Log(time_ns=1, event=event))
        told = [log.event for log in recording.logs]
    assert [1, 6, 11] == [n for n, event in enumerate(told) if "[redacted:" in event]
    assert events == [re.sub(r"\[redacted:\w{12}\]", "AKIAIOSFODNN7EXAMPLE", event) for event in told]


def test_a_sink_that_adds_to_a_span_changes_no_other() -> None:
    """The spans that have no attributes do not share that they have none."""

    class Adding(Direct):
        def write(self, batch: Batch) -> None:
            for one in batch:
                if isinstance(one, Span):
                    one.attributes[one.name] = True
                    seen.append([*one.attributes])

    seen: list[list[str]] = []
    with record(sinks=(Adding(),)):
        for name in "abc":
            with span(name):
                pass
    assert [["a"], ["b"], ["c"]] == seen


def test_what_a_sink_adds_to_a_span_is_in_no_later_batch() -> None:
    """Nor do spans share what events, links and unknown keys they do not have with those that come after them."""

    class Adding(Direct):
        def write(self, batch: Batch) -> None:
            for one in batch:
                if isinstance(one, Span):
                    seen.append((one.name, [*one.events, *one.links, *one.extra]))
                    one.events.append(Event("theirs", 0))
                    one.links.append(Link("theirs", ""))
                    one.extra["theirs"] = True

    seen: list[tuple[str, list[Any]]] = []
    with record(sinks=(Adding(),)) as recording:
        for name in "ab":
            with span(name):
                pass
            recording.flush()
    assert [("a", []), ("b", [])] == seen


def test_what_is_added_in_the_midst_of_adding_is_not_lost() -> None:
    """Another thread, a handler or a finalizer (here: the collector's callback) may add to a span at any moment."""

    def add(phase: str, info: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            live.set(b=2)
            live.event("b")

    before = gc.get_threshold()
    with record() as recording:
        for at in range(1, 40):
            with span(str(at)) as live:
                left = at
                gc.callbacks.append(add)
                gc.set_threshold(1)
                live.set(a=1)
                live.event("a")
                gc.set_threshold(*before)
                gc.callbacks.remove(add)
                if left > 0:
                    live.set(b=2)
                    live.event("b")
    found = {(*sorted(one.attributes), *sorted(event.name for event in one.events)) for one in recording.spans}
    assert {("a", "b", "a", "b")} == found


def test_what_is_added_while_an_answer_is_read_is_not_lost() -> None:
    """Another thread may add to a span before any call that reading what a model returned is made of."""

    def add(frame: Any, event: str, argument: Any) -> None:
        nonlocal left
        left -= event == "call"
        if left == 0 and event == "call":
            live.set(added=1)

    left = at = 0
    with record() as recording:
        while left <= 0:
            at += 1
            with span(str(at)) as live:
                left = at
                sys.setprofile(add)
                read_answer(live, {"model": "m", "choices": []})
                sys.setprofile(None)
    assert [] == [one.name for one in recording.spans[:-1] if "added" not in one.attributes]


class Marked(str):
    """As templates mark what is safe."""

    def __str__(self) -> str:
        return self


@pytest.mark.parametrize(("odd", "shown"), [("a\udcff", "a\\udcff"), (Marked("a"), "a")], ids=["escaped", "plain"])
def test_odd_text_costs_no_record(odd: str, shown: str) -> None:
    """Names of files that are no UTF-8, written in Python's escapes, and strings of other classes may be anywhere."""
    with record() as recording:
        with span(odd, kind=odd) as live:
            live.event(odd)
            live.link(odd, odd)
            live.set({odd: 1})
            log(odd, odd)
            score(odd, odd)
        with contextlib.suppress(ValueError), span("failed"):
            raise ValueError(odd)
        told = recording.flush()
    one, failed = recording.spans
    said = [one.name, one.kind, one.events[0].name, one.links[0].span_id, *one.attributes, failed.error.message]
    logged = [(line.event, line.message) for line in recording.logs]
    assert ({}, [shown] * 6, [(shown, shown)]) == (told.lost, said, logged)


def test_names_that_are_no_text_can_be_read() -> None:
    """A name, a kind or an id of any type is text in the record, which could not be read otherwise."""
    odd: Any = 5
    with record() as recording:
        tool(name=odd)(lambda: None)()
        with span(odd, kind=odd):
            pass
        score("s", 1, trace_id=odd, span_id=odd)
        told = recording.flush()
    assert ({}, ["5", "5"], "5") == (told.lost, [one.name for one in recording.spans], recording.spans[1].kind)


def test_a_command_line_that_is_no_unicode_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument that is no UTF-8 does not keep the recording from starting."""
    monkeypatch.setattr(sys, "argv", ["a\udcff"])
    with record() as recording:
        recording.flush()
        assert switch.recorder is not None
        assert ["a\\udcff"] == switch.recorder.run.argv


@pytest.mark.parametrize("count", ["5", 5.0, Fraction(5)])
def test_a_number_of_tokens_may_be_of_any_kind(count: Any) -> None:
    """Tokens told as text, or as a number of a library's own, are integers in the record, which could not be read."""
    with record() as recording, span("call", kind="llm") as live:
        live.usage(input=count)
    assert 5 == recording.spans[0].usage.input


def test_a_finding_stands_directly_behind_its_span() -> None:
    """What detectors find is told with the span that shows it, before the root that ends in the same batch."""

    @tool
    def search(query: str) -> str:
        return "nothing"

    with record() as recording:
        with span("run"):
            for _ in range(4):
                search("tides")
        kinds = [type(one) for one in recording.records if isinstance(one, Span | Finding)]
    first = kinds.index(Finding)
    assert (Span, Span) == (kinds[first - 1], kinds[-1])
    assert kinds[:first] == [Span] * first
    assert first < 4


def test_span_ids_are_sixteen_digits_and_differ() -> None:
    """Ids drawn many at a time are as good as ids drawn one by one."""
    with record() as recording:
        for _ in range(200):
            with span("one"):
                pass
        ids = [one.span_id for one in recording.spans]
    assert 200 == len(set(ids))
    assert {16} == {len(one) for one in ids}
    assert set("".join(ids)) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    ("names", "args", "kwargs", "named"),
    [
        (("a", "b"), (1, 2), {}, {"a": 1, "b": 2}),
        (("a", "b"), (1,), {"b": 2}, {"a": 1, "b": 2}),
        (("self", "a"), (0, 1), {}, {"a": 1}),
        ((), (), {}, {}),
        (("größe", "_"), (1, 2), {}, {"größe": 1, "_": 2}),
    ],
)
def test_arguments_by_name(names: tuple[str, ...], args: Any, kwargs: dict[str, Any], named: dict[str, Any]) -> None:
    """Arguments are told by parameter, without the instance, however they were passed."""
    assert named == Plan("f", "tool", names).named(None, args, kwargs)


def test_first_parameter_of_a_method_is_left_out_whatever_its_name() -> None:
    """A plan that learns late that it belongs to a class forgets what it had worked out before."""
    plan = Plan("f", "tool", ("this", "a"))
    assert {"this": 0, "a": 1} == plan.named(None, (0, 1), {})
    plan.belongs_to_class()
    assert {"a": 1} == plan.named(None, (0, 1), {})


@given(st.lists(st.integers(1, 20), max_size=9).map(sorted), st.integers(0, 21), st.integers(0, 9))
def test_only_what_began_lately_is_looked_at(starts: list[int], moment: int, unset: int) -> None:
    """Of spans in the order of their beginning: all that began since, and those of which it is not yet written when."""
    spans: Any = [SimpleNamespace(started=start) for start in [*starts, *[0] * unset]]
    assert [start for start in starts if start >= moment] + [0] * unset == [
        span.started for span in begun_since(moment, spans)
    ]


@pytest.fixture
def unlimited() -> Iterator[None]:
    """Python writes numbers of any length."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    yield
    sys.set_int_max_str_digits(limit)


@pytest.mark.usefixtures("unlimited")
def test_numbers_of_any_length_cost_no_record() -> None:
    """Also where the program has lifted Python's limit the lines can be read, wherever in them the number is."""
    endless = 10**5000
    with record() as recording:
        tool(lambda n: [endless])(endless)
        with span("set") as live:
            live.set(n=endless)
            log("E", n=endless)
        recording.flush()
    called, held = recording.spans
    shown = [called.input["n"], called.output[0], held.attributes["n"], recording.logs[0].metadata["n"]]
    assert [{"$int": f"{hex(endless)[:66]}…", "bits": 16_610}] * 4 == shown


def test_more_tokens_than_there_can_be_cost_no_record() -> None:
    """They are left out: no database holds them, and the ledger would be given up for them."""
    with record() as recording, span("call", kind="llm") as live:
        live.usage(input=2**63, output=1)
        live.usage(output=2)
    assert (None, 2) == (recording.spans[0].usage.input, recording.spans[0].usage.output)


def test_patterns_of_the_users_leave_the_ids_of_every_record() -> None:
    """A pattern that ids of ours match, too, takes no log, finding or score out of its trace."""
    with record(redact={"patterns": ["[0-9a-f]{12,32}"]}) as recording:
        with span("all"):
            log("E", secret=32 * "a")
            score("good", 1)
            repeated = tool(lambda: 32 * "b")
            for _ in range(3):
                repeated()
        recording.flush()
    run, trace_id = recording.records[0].run, recording.spans[0].trace_id
    assert (6, {run}, {trace_id}) == (
        len(recording.records[1:]) - len(recording.findings) - len(recording.open),
        {one.run for one in recording.records},
        {getattr(one, "trace_id", trace_id) for one in recording.records},
    )
    assert [one.span_id for one in recording.spans[:3]] == recording.findings[0].span_ids


@pytest.mark.parametrize("pattern", [r"\d{4,}", "[a-z_]{4,}", "error", "a"])
def test_patterns_of_the_users_leave_what_is_ours(pattern: str) -> None:
    """Money, statuses and what the fields of a record are called hold no secret of theirs, and cost no record."""
    prices = {"m": {"input": "0.1234567"}}
    with record(redact={"patterns": [pattern]}, prices=prices) as recording:
        with span("call", kind="llm") as live:
            live.usage(input=1, output=0, model="m")
            live.event("reached")
            log("E", "12345 a error")
        with contextlib.suppress(ValueError), span("failing"):
            raise ValueError("12345 a error")
        lost = recording.flush().lost
    called, failed = recording.spans
    assert ({}, "0.0000001234567", "error", 1) == (lost, called.cost.usd, failed.status, len(called.events))
    assert all("[redacted:" in one for one in (recording.logs[0].message, failed.error.message))


@pytest.mark.parametrize("name", ["value", "usd", "usage", "status", "start_ns"])
def test_names_of_the_users_leave_what_is_ours(name: str) -> None:
    """Fields of theirs may be called like one of ours: theirs are hidden, ours cost no record."""
    with record(redact={"names": [name]}, prices={"m": {"input": "1"}}) as recording:
        with span("call", kind="llm") as live:
            live.usage(input=1, output=0, model="m")
            live.set(held={name: "theirs"})
        score("good", 1)
        score("password", 1)
        lost = recording.flush().lost
    called = recording.spans[0]
    assert ({}, "ok", "0.000001", "[redacted:") == (
        lost, called.status, called.cost.usd, called.attributes["held"][name][:10],
    )  # fmt: skip


def test_the_word_kind_in_a_log_hides_no_secret() -> None:
    """Metadata of that name, which spans have as a field, does not make ids of what stands before it."""
    with record() as recording:
        log("E", auth=["user", "the password"], kind="x")
        recording.flush()
    assert "[redacted:" == recording.logs[0].metadata["auth"][1][:10]


def test_frames_of_ours_are_left_out_of_a_stack() -> None:
    """Those of decorators and of patched clients alike, wherever we are installed, and nobody else's."""
    beside = str(Path(instrument.__file__).parent) + "_user.py"
    frames = [(file, 1, "call") for file in (wrappers.__file__, beside, clients.__file__, "theirs.py")]
    assert f'  File "{beside}", line 1, in call\n  File "theirs.py", line 1, in call' == stack(frames)
