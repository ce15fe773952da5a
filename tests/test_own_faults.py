"""Whatever fails in the recording itself, the user's program sees what it sees undecorated."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from loguru import logger

from instrument import agent, budget, current_span, llm_call, log, redact, score, session, span, tool, traced, wiring
from instrument.model import Run, Span
from instrument.record import settling
from instrument.record.context import Current, current, leave
from instrument.record.notices import notice
from instrument.record.recorder import Recorder
from instrument.record.spans import LiveSpan
from instrument.record.switch import switch
from instrument.settings import load_lenient
from instrument.testing import record
from tests.same import outcome, plain, recording_off

DECORATORS: dict[str, Any] = {
    "agent": agent(id="name", budget={"calls": 100}),
    "tool": tool,
    "llm": llm_call,
    "traced": traced,
}


def program(decorators: dict[str, Any]) -> list[Any]:
    """A little of everything; says all that it sees."""

    class Runner:
        name = "runner"

        @decorators["agent"]
        def run(self, a: int) -> int:
            with span("step", kind="step", attributes={"a": a}) as step:
                step.set(b=1)
                step.event("moment", c=2)
                step.usage(input=1, output=1)
                step.link("0" * 32, "0" * 16)
            log("EVENT", "message", d=object())
            score("quality", 1.0)
            return add(a) + 1  # type: ignore[no-any-return]

    @decorators["tool"]
    def add(a: int, b: int = 2) -> int:
        current = current_span()
        if current is not None:
            current.set(seen=True)
        return a + b

    @decorators["llm"]
    def asks(prompt: str, model: str = "gpt-4o") -> str:
        return prompt + "!"

    @decorators["traced"]
    def fails() -> None:
        raise KeyError("mine")

    @decorators["traced"]
    def counts() -> Iterator[int]:
        got = yield 1
        yield got
        return "returned"

    @decorators["traced"]
    async def waits(a: int) -> int:
        await asyncio.sleep(0)
        return a

    @decorators["traced"]
    async def streams() -> Any:
        yield await waits(1)
        yield 2

    async def main() -> list[Any]:
        return [item async for item in streams()]

    generator = counts()
    closed = counts()
    with session("s", user="u"), budget(calls=100):
        return [
            Runner().run(1), add(1), add(b=1, a=2), asks("question"), outcome(fails), outcome(add, 1, 2, 3), next(generator),
            generator.send(7), outcome(next, generator), next(closed), closed.close(), asyncio.run(main()), sys.exc_info(),
        ]  # fmt: skip


def undecorated() -> list[Any]:
    """What the program sees without decorators and without recording."""
    with recording_off():
        return program(dict.fromkeys(DECORATORS, plain))


PARTS = sorted(name for name in dir(Recorder) if not name.startswith("_") and callable(getattr(Recorder, name)))
PARTS = [name for name in PARTS if name not in ("flush", "close", "abandon", "told")]
PARTS += ["clock", "value", "arguments", "read_answer", "take_over"]


@contextmanager
def broken(part: str, error: BaseException, times: float = float("inf")) -> Iterator[Any]:
    """Recording is on, and one part of the recorder raises, always or the first few times; Ctrl-C on this thread alone."""
    here = threading.current_thread()
    with record() as recording:
        recorder = switch.recorder
        assert recorder is not None
        whole, left = getattr(recorder, part), [times]

        def fails(*args: Any, **kwargs: Any) -> Any:
            if isinstance(error, Exception) or threading.current_thread() is here:
                left[0] -= 1
                if left[0] >= 0:
                    raise error
            return whole(*args, **kwargs)

        setattr(recorder, part, fails)
        try:
            yield recording
        finally:
            setattr(recorder, part, whole)


@pytest.mark.parametrize("part", PARTS)
def test_fault_in_the_recorder_stays_there(part: str) -> None:
    """Any method of the recorder may raise, and the program gives what it gives undecorated."""
    expected = undecorated()
    with broken(part, ValueError("planted")):
        assert expected == program(DECORATORS)


@pytest.mark.parametrize("part", PARTS)
def test_nothing_is_current_after_a_fault(part: str) -> None:
    """After faults in the recorder no span is current in the caller's context."""
    with broken(part, ValueError("planted")):
        program(DECORATORS)
        assert None is current.get()


@pytest.mark.parametrize("part", PARTS)
def test_recording_recovers(part: str) -> None:
    """Once the fault is over, calls are recorded as before."""
    with broken(part, ValueError("planted"), times=1) as recording:
        program(DECORATORS)
        tool(name="after")(lambda a: a)(5)
        after = recording.span("after")
    assert ({"a": 5}, 5, None) == (after.input, after.output, after.parent_id)


@pytest.mark.parametrize("part", PARTS)
def test_interruption_inside_the_recording(part: str) -> None:
    """Ctrl-C that strikes inside the recording reaches the program as KeyboardInterrupt and leaves no span current."""
    with broken(part, KeyboardInterrupt(), times=1):
        try:
            program(DECORATORS)
        except KeyboardInterrupt:
            pass
        assert None is current.get()
        assert 3 == tool(lambda a: a)(3)


@tool
def called() -> str:
    return "done"


@tool
async def awaited() -> str:
    return "done"


@pytest.mark.parametrize("call", [called, lambda: awaited().send(None)], ids=["plain", "coroutine"])
def test_a_call_that_is_over_when_a_signal_strikes_is_recorded(call: Callable[[], object]) -> None:
    """Ctrl-C while a call is being recorded that has returned costs no record."""

    def strike(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code is LiveSpan.succeed.__code__:
            sys.setprofile(None)
            raise KeyboardInterrupt

    with record() as recording:
        sys.setprofile(strike)
        with pytest.raises(KeyboardInterrupt):
            call()
        recording.flush()
        assert ["ok"] == [one.status for one in recording.spans]


class Overdue(Exception):
    """What the user's handler of signals raises."""


@pytest.fixture
def overdue() -> Iterator[None]:
    """SIGUSR1 raises what a timeout of the user's would."""

    def raises(number: int, frame: Any) -> None:
        raise Overdue

    before = signal.signal(signal.SIGUSR1, raises)
    yield
    sys.setprofile(None)
    signal.signal(signal.SIGUSR1, before)


def struck(strikes: Callable[[Any], bool]) -> None:
    """Have the signal come when one of these frames begins."""

    def strike(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and strikes(frame.f_code):
            sys.setprofile(None)
            signal.raise_signal(signal.SIGUSR1)

    sys.setprofile(strike)


@pytest.mark.usefixtures("overdue")
@pytest.mark.parametrize(
    "part", ["taken_arguments", "plain_size", "new_span_id", "taken", "describe", "message_of", "text_of", "take"]
)
def test_what_a_handler_of_signals_raises_while_we_are_at_work_reaches_the_program(part: str) -> None:
    """A timeout made of an alarm is the user's wherever it strikes, and costs no record of a call that is over."""

    divides = tool(lambda fails: [1 // (1 - fails[0][0])])
    with record() as recording:
        struck(lambda code: code.co_name == part)
        with pytest.raises(Overdue):
            divides([[part in ("describe", "message_of", "text_of")]])
        lost = recording.flush().lost
        assert (int(part not in ("taken_arguments", "plain_size", "new_span_id")), {}) == (len(recording.spans), lost)


@pytest.mark.usefixtures("overdue")
def test_a_call_is_recorded_once_where_a_signal_strikes_as_it_is_queued() -> None:
    """The program gets what its handler raises, and the record that waits already is the only one."""

    class Struck(deque[Any]):
        def append(self, item: Any) -> None:
            super().append(item)
            if item.__class__ is tuple:
                signal.raise_signal(signal.SIGUSR1)

    with record() as recording:
        recorder = switch.recorder
        assert recorder is not None
        recorder.queue = recorder.pipeline.queue = recorder.pipeline.room.queue = Struck()
        with pytest.raises(Overdue):
            tool(lambda: 1)()
        assert 1 == len(recording.spans)


@pytest.mark.usefixtures("overdue")
@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_nothing_is_current_after_a_generator_that_a_signal_ends(nth: int) -> None:
    """Wherever it strikes between the generator's body and its consumer, and the span is written."""

    @traced
    def yields() -> Iterator[int]:
        yield 1

    left = [nth]

    def is_nth(code: Any) -> bool:
        left[0] -= code is Current.set.__code__
        return left[0] == 0

    with record() as recording:
        struck(is_nth)
        with pytest.raises(Overdue):
            list(yields())
        recording.flush()
        assert (None, 1) == (current.get(), len(recording.spans))


@pytest.mark.usefixtures("overdue")
@pytest.mark.parametrize("part", [Current.set, leave, LiveSpan.end], ids=lambda part: part.__name__)
def test_nothing_is_open_after_a_block_that_a_signal_ends(part: Any) -> None:
    """Wherever it strikes on the way in or out: the span is written, once, and is not current."""
    with record() as recording:
        struck(lambda code: code is part.__code__)
        with pytest.raises(Overdue), span("block"):
            pass
        recording.flush()
        assert (None, 1) == (current.get(), len(recording.spans))


@pytest.mark.usefixtures("overdue")
@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGUSR1, Overdue)])
def test_a_signal_while_the_recording_starts(monkeypatch: pytest.MonkeyPatch, number: int, error: type) -> None:
    """Ctrl-C or a timeout during the first call of all reaches the program, and the next call tries again."""
    monkeypatch.setattr(wiring, "_install_again", lambda: signal.raise_signal(number))
    with recording_off():
        switch.decided = False
        with pytest.raises(error):
            called()
        assert not switch.decided


@pytest.mark.usefixtures("overdue")
@pytest.mark.parametrize(
    ("part", "begins"),
    [("_read", load_lenient), ("_rust_search", lambda: redact._search.__wrapped__("other"))],
    ids=["settings", "patterns"],
)
def test_a_signal_while_the_start_prepares(part: str, begins: Callable[[], object]) -> None:
    """It is not taken for settings that cannot be read, which would be the defaults for good, nor for anything else."""
    struck(lambda code: code.co_name == part)
    with pytest.raises(Overdue):
        begins()


def test_nobody_waits_for_a_pipe_that_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said about the recording is left for later where stderr takes nothing."""
    told: list[str] = []
    monkeypatch.setattr("instrument.record.notices._log", told.append)
    read, write = os.pipe()
    os.set_blocking(write, False)
    with suppress(BlockingIOError):
        while True:
            os.write(write, bytes(65_536))
    with os.fdopen(write, "w") as stderr, os.fdopen(read, "rb", buffering=0) as pipe:
        monkeypatch.setattr(sys, "stderr", stderr)
        notice("told when it can be")
        unsaid = list(told)
        pipe.read(1 << 20)
        notice("told when it can be")
    assert ([], ["told when it can be"]) == (unsaid, told)


def test_without_memory_nothing_is_said() -> None:
    """To find words takes memory, and some that we use end the process where there is none: it is counted."""
    with broken("value", MemoryError(), times=1) as recording:
        notify, said = switch.recorder._notify, []  # type: ignore[union-attr]
        switch.recorder._notify = said.append  # type: ignore[union-attr]
        tool(lambda: [1])()
        switch.recorder._notify = notify  # type: ignore[union-attr]
        assert ([], 1) == (said, sum(recording.flush().lost.values()))


def test_faults_are_counted() -> None:
    """A fault of the recording is counted by place and type, and told by flush."""
    with broken("value", ValueError("planted"), times=2) as recording:
        tool(lambda: [1])()
        tool(lambda: [1])()
    assert {"fault in result: ValueError": 2} == recording.flush().lost


def test_the_head_of_a_run_outlives_a_fault_in_its_first_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that has lost its first calls is still told of, with the next ones."""
    monkeypatch.setattr(settling, "ANNOUNCE_NS", 10**12)  # one that takes its time would be told of twice
    with record() as recording:
        with monkeypatch.context() as patch:
            patch.setattr(settling, "rows_of", None)
            tool(lambda: 1)()
            recording.flush()
        tool(name="next")(lambda: 1)()
        assert ([Run, Span], [1]) == ([*map(type, recording.records)], [*recording.flush().lost.values()])


def test_span_survives_a_fault_in_capture() -> None:
    """When arguments and result cannot be captured the span is there without them."""
    with broken("value", ValueError("planted")) as recording, broken_too(recording, "arguments"):
        tool(name="named")(lambda a: a)([1])
    named = recording.span("named")
    assert (None, None, "ok") == (named.input, named.output, named.status)


@contextmanager
def broken_too(recording: Any, part: str) -> Iterator[None]:
    """One more part of the recorder in force raises."""
    recorder = switch.recorder
    whole = getattr(recorder, part)
    setattr(recorder, part, lambda *args: 1 / 0)
    try:
        yield
    finally:
        setattr(recorder, part, whole)


class Unsayable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("half made")


@pytest.mark.parametrize("error", [RuntimeError("no name yet"), Unsayable()])
def test_agent_whose_id_raises_is_recorded(error: Exception) -> None:
    """An id that raises is no id; the run is recorded all the same."""

    class Nameless:
        @property
        def name(self) -> str:
            raise error

        @agent(id="name")
        def run(self) -> int:
            return 1

    with record() as recording:
        assert 1 == Nameless().run()
    assert ["Nameless.run"] == [span.name for span in recording.spans]


def test_fault_while_the_recording_ends() -> None:
    """What comes last of all, the history, may fail: the end of the program, or `shutdown()`, is none the wiser."""
    with record():
        recorder = switch.recorder
        assert recorder is not None
        recorder._closing = lambda: [][0]
    assert {"fault in closing: IndexError": 1} == recorder.told().lost


def test_what_is_said_of_a_fault_holds_no_secret() -> None:
    """An error that quotes a value is said without it, and moves no terminal."""
    said: list[str] = []
    handler = logger.add(said.append, format="{message}")
    notice("it failed\x1b[2J\n(https://bob:hunter22@host/db, api_key='k3y9x')")
    logger.remove(handler)
    told = "".join(said)
    assert [True, False, False, False] == [text in told for text in ("it failed", "hunter22", "k3y9x", "\x1b")]


def test_disabled_by_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """With INSTRUMENT_ENABLED=0 the program gives what it gives undecorated, and nothing is written; what has a
    budget holds it."""
    expected = undecorated()
    monkeypatch.setenv("INSTRUMENT_ENABLED", "0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(wiring, "_install_again", None)
    with recording_off():
        switch.decided = False
        assert (expected, []) == (program(DECORATORS), list(tmp_path.iterdir()))
        assert switch.recorder is not None
        assert not switch.recorder.stores


def test_live_span_takes_anything() -> None:
    """Methods of a live span never raise, whatever they are given."""

    class Hostile:
        def __str__(self) -> str:
            raise ValueError

        __repr__ = __str__

    with record(), span("s") as live:
        assert isinstance(live, LiveSpan)
        live.set({Hostile(): 1})  # type: ignore[dict-item]
        live.set(a=Hostile())
        live.event("e", a=Hostile())
        live.usage(input="many")  # type: ignore[arg-type]
        live.link(1, Hostile())  # type: ignore[arg-type]


@pytest.mark.parametrize("keyword", [1, None, b"a"], ids=repr)
def test_a_keyword_that_is_no_string_is_the_fault_of_the_call(keyword: Any) -> None:
    """Python refuses such a call, and its span says so; that is no fault of the recording."""
    with record() as recording:
        refused = outcome(lambda: tool(lambda **named: named)(**{keyword: 2}))
        lost = recording.flush().lost
        assert (("TypeError", "keywords must be strings"), 1, {}) == (refused, len(recording.spans), lost)


@pytest.mark.parametrize("content", [True, False])
def test_a_fault_is_said_without_contents_where_they_are_not_recorded(
    content: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The words of an exception quote what it was raised for, which may be what the program was given."""
    said: list[str] = []
    with record(capture={"content": content}), span("work") as live:
        monkeypatch.setattr(live.recorder, "_notify", said.append)
        live.usage(input="a patient's name")  # type: ignore[arg-type]  # the mistake that is meant
    assert [True, content] == ["usage: ValueError" in said[0], "a patient's name" in said[0]]
