"""Findings from behind speak against the next call of their pattern, until something else was done with success."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from instrument.detectors import Detectors, default, fingerprint
from instrument.model import Finding
from tests.detector_runs import TRACE, Tape, alarms, feed, said


def near_repeat(tape: Tape) -> None:
    """One question in other words."""
    tape.tool("ask", "nobody knows", question="when is the next high tide in the old harbour")
    tape.tool("ask", "it is not said", question="in the old harbour when is the next high tide")
    tape.tool("ask", "no one has told", question="when is the next high tide in the old harbour please")


def again_after_failure(tape: Tape) -> None:
    """The same attempt, failing in other ways."""
    for message in ("no route", "timed out"):
        tape.tool("fetch", failed=message, url="tides.example")


def error_storm(tape: Tape) -> None:
    """One tool that fails whatever it is asked."""
    for path in ("a.txt", "b.txt", "c.txt"):
        tape.tool("open", failed=f"{path} is not there", path=path)


def vain_search(tape: Tape) -> None:
    """Different questions with one empty answer, of a tool that has given others."""
    tape.tool("find", ["a"], word="boats")
    for word in ("tides", "winds", "fees", "bells", "fogs"):
        tape.tool("find", [], word=word)


def restart(tape: Tape) -> None:
    """The first steps come again."""
    for name in ("look", "turn", "walk", "wait", "look", "turn", "walk"):
        tape.tool(name, f"{name} went well", at="door")


def tool_abuse(tape: Tape) -> None:
    """One call more than the limit."""
    for number in range(201):
        tape.tool("count", number, number=number)


CONTINUED: dict[Callable[[Tape], None], tuple[str, dict[str, Any]]] = {
    near_repeat: ("ask", {"question": "please when is the next high tide in the old harbour"}),
    again_after_failure: ("fetch", {"url": "tides.example"}),
    error_storm: ("open", {"path": "d.txt"}),
    vain_search: ("find", {"word": "lights"}),
    restart: ("look", {"at": "door"}),
    tool_abuse: ("count", {"number": 7_000}),
}
OTHER: dict[Callable[[Tape], None], tuple[str, dict[str, Any]]] = {
    near_repeat: ("ask", {"question": "who may enter the yard behind the office at night"}),
    again_after_failure: ("fetch", {"url": "winds.example"}),
    error_storm: ("list", {"path": "."}),
    vain_search: ("look", {"word": "lights"}),
    restart: ("look", {"at": "window"}),
    tool_abuse: ("add", {"number": 7_000}),
}
FOREVER = {tool_abuse}


def watched(pattern: Callable[[Tape], None], *, then: Callable[[Tape], object] | None = None) -> Detectors:
    """Detectors that were fed with a pattern and what came after it."""
    tape, watch = Tape(), default()
    pattern(tape)
    if then is not None:
        then(tape)
    feed(tape.spans, watch)
    return watch


def asked(watch: Detectors, name: str, given: dict[str, Any], trace: str = TRACE) -> Finding | None:
    """What speaks against a call."""
    return watch.check(name, "tool", fingerprint(given), trace, given=given)


@pytest.mark.parametrize("pattern", CONTINUED)
def test_the_call_that_goes_on_is_spoken_against(pattern: Callable[[Tape], None]) -> None:
    """With the finding that was told."""
    found = asked(watched(pattern), *CONTINUED[pattern])
    assert found is not None
    assert found.detector in alarms(feed(played(pattern).spans))


def played(pattern: Callable[[Tape], None]) -> Tape:
    """A tape of the pattern."""
    tape = Tape()
    pattern(tape)
    return tape


@pytest.mark.parametrize("pattern", OTHER)
def test_another_call_is_free(pattern: Callable[[Tape], None]) -> None:
    """What asks something else goes on with nothing."""
    assert asked(watched(pattern), *OTHER[pattern]) is None


@pytest.mark.parametrize("pattern", CONTINUED)
def test_another_trace_is_free(pattern: Callable[[Tape], None]) -> None:
    """What one run has shown says nothing about another."""
    assert asked(watched(pattern), *CONTINUED[pattern], "b" * 32) is None


@pytest.mark.parametrize("pattern", [pattern for pattern in CONTINUED if pattern not in FOREVER])
def test_another_success_frees_the_call(pattern: Callable[[Tape], None]) -> None:
    """Something else was done: the result may be another now."""
    watch = watched(pattern, then=lambda tape: tape.tool("write", "written", text="new"))
    assert asked(watch, *CONTINUED[pattern]) is None


@pytest.mark.parametrize(("pattern", "is_free"), [(near_repeat, False), (error_storm, True)])
def test_a_success_of_the_same_tool_frees_what_failed_alone(pattern: Callable[[Tape], None], is_free: bool) -> None:
    """A tool that failed on and on works now; one that was asked the same in other words has shown nothing new."""
    tool, given = OTHER[near_repeat] if pattern is near_repeat else CONTINUED[error_storm]
    watch = watched(pattern, then=lambda tape: tape.tool(tool, "it went well", **given))
    assert is_free == (asked(watch, *CONTINUED[pattern]) is None)


@pytest.mark.parametrize("pattern", FOREVER)
def test_a_limit_stays_passed(pattern: Callable[[Tape], None]) -> None:
    """Nothing else that is done makes the calls fewer."""
    watch = watched(pattern, then=lambda tape: tape.tool("write", "written", text="new"))
    assert asked(watch, *CONTINUED[pattern]) is not None


def test_the_free_try_that_goes_on_is_the_last() -> None:
    """When it was the same question again, the next is spoken against again."""

    def goes_on(tape: Tape) -> None:
        tape.tool("write", "written", text="new")
        tape.tool("ask", "still not known", question="please when is the next high tide in the old harbour")

    assert asked(watched(near_repeat, then=goes_on), *CONTINUED[near_repeat]) is not None


def test_a_free_try_that_succeeds_is_not_the_last() -> None:
    """What failed works now."""

    def works(tape: Tape) -> None:
        tape.tool("write", "written", text="new")
        tape.tool("fetch", "high at noon", url="tides.example")

    assert asked(watched(again_after_failure, then=works), *CONTINUED[again_after_failure]) is None


def test_what_was_done_before_the_finding_came_counts() -> None:
    """Findings come from behind: a success that was noted meanwhile has freed the call already."""
    tape, watch = Tape(), default()
    near_repeat(tape)
    for span in tape.spans:
        watch.note(span.name, "tool", fingerprint(span.input), 1, trace_id=TRACE, start_ns=span.start_ns)
    later = tape.tool("write", "written", text="new")
    watch.note("write", "tool", 5, 5, trace_id=TRACE, start_ns=later.start_ns)
    feed(tape.spans[:-1], watch)
    assert asked(watch, *CONTINUED[near_repeat]) is None


def test_a_call_without_its_input_is_judged_by_its_fingerprint() -> None:
    """Where the input is not handed over only equal calls can be known."""
    name, given = CONTINUED[near_repeat]
    assert watched(near_repeat).check(name, "tool", fingerprint(given), TRACE) is None


def test_a_model_that_was_asked_too_often_is_not_asked_again() -> None:
    """The limit of calls holds for the model as for tools."""
    tape, watch = Tape(), default(limits={"calls_of_one_tool": 5})
    for turn in range(6):
        tape.model(said(f"thought {turn}"), prompt=100)
    feed(tape.spans, watch)
    found = watch.check("chat", "llm", fingerprint({"messages": ["another"]}), TRACE)
    assert found is not None
    assert "tool_abuse" == found.detector


def test_hints_speak_against_nothing() -> None:
    """A prompt that grows, or one true answer to many questions, stops no call."""
    tape = Tape()
    tape.tool("stock", "sold out", plant="fern")
    for plant in ("rose", "oak", "elm", "ivy", "yew"):
        tape.tool("stock", "in stock", plant=plant)
    tape.model(said("well"), prompt=100)
    watch = default()
    feed(tape.spans, watch)
    assert asked(watch, "stock", {"plant": "lily"}) is None


def test_forgotten_traces_suspect_nothing() -> None:
    """When the run has ended all is forgotten."""
    watch = watched(near_repeat, then=lambda tape: tape.root())
    assert asked(watch, *CONTINUED[near_repeat]) is None
