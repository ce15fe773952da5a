"""Rules that hold for every detector alike."""

from __future__ import annotations

import ast
import copy
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from instrument import detectors, thresholds
from instrument.analysis.retold import latest, pattern_of
from instrument.detectors import ADVICE, Detectors, default, fingerprint
from instrument.errors import InstrumentError, SettingsError
from instrument.model import AGAIN_OF, Failure, Finding, Open, Span
from instrument.settings import only
from tests.detector_runs import SECOND, START_NS, TRACE, Tape, alarms, feed, names, said, wish

Example = Callable[[Tape, int], None]


def repeated(tape: Tape, times: int) -> None:
    for _ in range(times + 3):
        tape.tool("search", "no tide today", city="Rome")


def near(tape: Tape, times: int) -> None:
    words = "when does high water come to the old harbour".split()
    for n in range(times + 3):
        tape.tool("ask", f"{n} {n + 1}", question=" ".join(words[n % 9 :] + words[: n % 9]))


def cycling(tape: Tape, times: int) -> None:
    for _ in range(times + 2):
        tape.tool("look", "a wall", at="door")
        tape.tool("turn", "turned", by=90)


def silent(tape: Tape, times: int) -> None:
    words = "where is a manual for this red pump of our old shed".split()
    for n in range(times + 6):
        asked = [*words[n % 11 :], *(f"{letter}{n}" for letter in "uvwxyz"), *words[: n % 11]]
        tape.tool("seek", ("nothing found", "found nothing", "nothing")[n % 3], query=" ".join(asked))


def restarting(tape: Tape, times: int) -> None:
    for _ in range(times + 2):
        for step in range(3):
            tape.tool("step", f"done {step}", number=step)
        for step in range(9):
            tape.tool("work", f"piece {len(tape.spans)}", number=len(tape.spans))


def failing_again(tape: Tape, times: int) -> None:
    for n in range(times + 2):
        tape.tool("open", failed=f"no such door {n}", door="green")


def storming(tape: Tape, times: int) -> None:
    for n in range(times + 3):
        tape.tool(f"tool{n % 3}", failed="the service is away", number=n)


def abusing(tape: Tape, times: int) -> None:
    for n in range(times + 201):
        tape.tool("roll", str(n), number=n)


def slowing(tape: Tape, times: int) -> None:
    for n in range(30):
        tape.span("step", "span", seconds=0.1 + n / 1000)
    for _ in range(times + 1):
        tape.span("step", "span", seconds=9)


def growing(tape: Tape, times: int) -> None:
    for n in range(times + 3):
        tape.model(said("so"), prompt=110_000 + n)


def overspending(tape: Tape, times: int) -> None:
    for n in range(30):
        tape.model(said("so"), usd="0.01", prompt=n)
    for _ in range(times + 1):
        tape.model(said("so"), usd="0.90")


def cut(tape: Tape, times: int) -> None:
    for _ in range(times + 1):
        tape.model(said("so"), attributes={"gen_ai.response.finish_reasons": ["length"]})


def inventing(tape: Tape, times: int) -> None:
    for _ in range(times + 1):
        tape.model(wish("fly"), tools=["walk", "swim"])


def mistaken(tape: Tape, times: int) -> None:
    takes = {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}
    for _ in range(times + 1):
        asked = {"messages": [], "tools": [{"type": "function", "name": "walk", "parameters": takes}]}
        tape.span("chat", "llm", input=asked, output=wish("walk", {"towards": "shed"}))


EXAMPLES: dict[str, Example] = {
    "again_after_failure": failing_again,
    "context_growth": growing,
    "cut_answer": cut,
    "cycle": cycling,
    "error_storm": storming,
    "hallucinated_tool": inventing,
    "near_repeat": near,
    "no_progress": silent,
    "repeated_call": repeated,
    "restart": restarting,
    "slow": slowing,
    "spending": overspending,
    "tool_abuse": abusing,
    "wrong_arguments": mistaken,
}


def run(example: Example, times: int = 0) -> list[Span]:
    tape = Tape()
    example(tape, times)
    return tape.spans


def of(detector: str, findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.detector == detector]


def detectors_told() -> set[str]:
    """The names that the sources of the detectors give to their findings."""
    trees = [ast.parse(path.read_text()) for path in Path(detectors.__path__[0]).glob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "told"]
    names += [keyword.value for call in calls for keyword in call.keywords if keyword.arg == "detector"]
    found = {one.value for name in names for one in ast.walk(name) if isinstance(one, ast.Constant)}
    return {name for name in found if isinstance(name, str)}


def test_every_detector_has_an_example_and_advice() -> None:
    """The suite below leaves no detector out, and each says what to do about its findings."""
    told = detectors_told()
    assert (told, told) == (set(ADVICE), {*EXAMPLES, "stalled"})


@pytest.mark.parametrize("detector", EXAMPLES)
def test_the_pattern_is_found(detector: str) -> None:
    """Each pattern in its plainest form is found by the detector of its name."""
    assert detector in names(feed(run(EXAMPLES[detector])))


@pytest.mark.parametrize("detector", EXAMPLES)
def test_a_finding_says_which_calls_how_often_and_since_when(detector: str) -> None:
    """The message is one sentence with the calls' names, a number, and the time of day of the first."""
    found = of(detector, feed(run(EXAMPLES[detector])))[0]
    assert re.fullmatch(r"[^\n]*(\d|once)[^\n]*, since \d\d:\d\d:\d\d UTC\.", found.message), found.message
    assert all(name in found.message for name in found.data["calls"])


@pytest.mark.parametrize("detector", EXAMPLES)
def test_a_finding_names_spans_that_were_fed(detector: str) -> None:
    """The proof of a finding are spans of its own trace, each once."""
    spans = run(EXAMPLES[detector])
    found = of(detector, feed(spans))[0]
    assert found.span_ids
    assert len(found.span_ids) == len(set(found.span_ids) & {span.span_id for span in spans})


@pytest.mark.parametrize("detector", EXAMPLES)
def test_a_finding_is_a_record_with_figures(detector: str) -> None:
    """Trace, time, severity and data are filled in, and the record survives its JSON."""
    found = of(detector, feed(run(EXAMPLES[detector])))[0]
    assert (TRACE, True, True) == (
        found.trace_id,
        found.time_ns > START_NS,
        found.severity in ("info", "warning", "error"),
    )
    assert found == msgspec.json.decode(msgspec.json.encode(found), type=Finding)


@pytest.mark.parametrize("detector", EXAMPLES)
def test_a_pattern_that_goes_on_is_told_when_it_has_doubled(detector: str) -> None:
    """Sixty more rounds of a pattern give a handful of findings, not one a span; some take more to have doubled."""
    least = 1 if detector in ("slow", "spending", "tool_abuse") else 2
    assert least <= len(of(detector, feed(run(EXAMPLES[detector], 60)))) <= 8


@pytest.mark.parametrize("detector", EXAMPLES)
def test_a_pattern_that_goes_on_counts_once(detector: str) -> None:
    """What tells of it again names the first that did; of all that tell of one pattern the last is left."""
    found = of(detector, feed(run(EXAMPLES[detector], 60)))
    firsts = [one for one in found if AGAIN_OF not in one.data]
    assert sorted(map(pattern_of, firsts)) == sorted({pattern_of(one) for one in found})
    assert sorted(map(pattern_of, firsts)) == sorted(map(pattern_of, latest(found)))


@pytest.mark.parametrize("detector", EXAMPLES)
def test_encoded_and_plain_spans_give_the_same_findings(detector: str) -> None:
    """Live spans carry encoded input and output, spans read from disk plain values: no difference."""
    spans = run(EXAMPLES[detector])
    assert [f.message for f in feed(spans)] == [f.message for f in feed(map(encoded, spans))]


def encoded(span: Span) -> Span:
    def raw(value: Any) -> Any:
        return None if value is None else Raw(msgspec.json.encode(value))

    attributes = {key: raw(value) for key, value in span.attributes.items()}
    return msgspec.structs.replace(span, input=raw(span.input), output=raw(span.output), attributes=attributes)


@pytest.mark.parametrize("detector", EXAMPLES)
def test_feeding_leaves_the_spans_as_they_were(detector: str) -> None:
    """Detectors only look."""
    spans = run(EXAMPLES[detector])
    before = copy.deepcopy(spans)
    feed(spans)
    assert before == spans


@pytest.mark.parametrize("detector", sorted(set(EXAMPLES) - {"slow", "spending"}))
def test_traces_do_not_mix(detector: str) -> None:
    """A pattern spread over traces, each with one call of it, is no pattern."""
    spans = run(EXAMPLES[detector])
    spread = [msgspec.structs.replace(span, trace_id=f"{n:032x}") for n, span in enumerate(spans)]
    assert set() == names(feed(spread)) - {"cut_answer", "hallucinated_tool", "context_growth", "wrong_arguments"}


@pytest.mark.parametrize("detector", EXAMPLES)
def test_interleaved_traces_are_told_apart(detector: str) -> None:
    """Two runs with the same pattern at the same time give each its finding."""
    spans = run(EXAMPLES[detector])
    other = [msgspec.structs.replace(span, trace_id="b" * 32) for span in spans]
    found = feed([span for pair in zip(spans, other, strict=True) for span in pair])
    assert {TRACE, "b" * 32} == {finding.trace_id for finding in of(detector, found)} | (
        {TRACE, "b" * 32} if detector in ("slow", "spending") else set()
    )


def test_nothing_is_found_in_healthy_work() -> None:
    """Paging, polling with news, one retry, re-reading after an edit and going through a list are not findings."""
    tape = Tape()
    for page in range(1, 9):
        tape.tool("list_files", [f"file {page} {n}" for n in range(9)], folder="src", page=page)
    for percent in range(0, 101, 20):
        tape.tool("job", {"done": percent}, id=7)
    tape.tool("fetch", failed="timed out", url="https://example.org/a")
    tape.tool("fetch", "the page", url="https://example.org/a")
    for n in range(4):
        tape.tool("read_file", f"text {n}", path="a.py")
        tape.tool("edit_file", "edited", path="a.py", old=f"text {n}", new=f"text {n + 1}")
    for city in ("Rome", "Oslo", "Lima", "Cork", "Bonn", "Graz"):
        tape.tool("ask", f"{len(city)} degrees", question=f"how warm is the water at {city} today")
    tape.root()
    assert [] == feed(tape.spans)


def test_calls_without_recorded_content_are_not_taken_for_equal() -> None:
    """Where capturing is off all calls look alike; that says nothing."""
    tape = Tape()
    for _ in range(30):
        tape.span("search", "tool")
    assert [] == feed(tape.spans)


def test_cancelled_calls_are_not_counted() -> None:
    """A cancelled call neither failed nor gave a result."""
    tape = Tape()
    for _ in range(9):
        tape.tool("search", city="Rome")
    assert [] == feed(msgspec.structs.replace(span, status="cancelled") for span in tape.spans)


def test_ordinary_functions_may_repeat() -> None:
    """Spans that are neither tool nor model calls are the program's own affair."""
    tape = Tape()
    for _ in range(50):
        tape.span("helper", "span", input={"x": 1}, output=2)
    assert [] == feed(tape.spans)


@pytest.mark.parametrize("refusal", ["instrument.errors.LoopDetected", "instrument.errors.BudgetExceeded"])
def test_refused_calls_say_nothing(refusal: str) -> None:
    """They were not made, and what failed because of them did not fail by itself."""
    tape = Tape()
    for _ in range(8):
        tape.span("search", "tool", input={"city": "Rome"}, error=Failure(refusal, "not again"))
    assert [] == feed(tape.spans)


def test_a_run_that_a_refusal_ended_is_forgotten() -> None:
    """Nothing is held against a trace that is over."""
    tape, watch = Tape(), default()
    repeated(tape, 0)
    tape.span("agent", "agent", parent_id=None, error=Failure("instrument.errors.LoopDetected", "not again"))
    feed(tape.spans, watch)
    assert watch.check("search", "tool", fingerprint({"city": "Rome"}), TRACE) is None


def test_the_end_of_the_root_forgets_the_run() -> None:
    """A trace that has ended starts anew when spans of it still come."""
    tape = Tape()
    for _ in range(2):
        tape.tool("search", "same", city="Rome")
    tape.root()
    tape.tool("search", "same", city="Rome")
    assert [] == feed(tape.spans)


def test_the_trace_silent_longest_is_forgotten_first() -> None:
    """Only so many traces are remembered."""
    old, new = Tape("c" * 32), Tape("d" * 32)
    spans = [old.tool("search", "same", city="Rome") for _ in range(2)]
    spans += [new.tool("search", "same", city="Rome") for _ in range(2)]
    spans += [old.tool("search", "same", city="Rome")]
    assert [] == feed(spans, traces=1)


def test_memory_does_not_grow_with_the_stream() -> None:
    """Ten times as many spans of a long run need no more memory."""
    watch = default()

    def pass_by(first: int, number: int) -> int:
        for n in range(first, first + number):
            tape = Tape(f"{n // 4 % 300:032x}")
            text = f"what is the {n} th word of page {n} in book number {n}"
            watch.feed(tape.tool(f"tool{n % 50}", f"{n} is it", question=text, **({"k": n} if n % 3 else {})))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        after_few, after_many = pass_by(0, 3000), pass_by(3000, 9000)
    finally:
        tracemalloc.stop()
    assert after_many < 1.5 * after_few


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_calls_that_all_ask_for_something_else_make_no_pattern(calls: list[tuple[str, bool]]) -> None:
    """Whatever the order of tools: other arguments and other results each time are work, not a loop."""
    tape = Tape()
    for n, (name, _) in enumerate(calls):
        tape.tool(name, f"result number {n * 7919}", number=n)
    assert [] == feed(tape.spans)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.integers(0, 2), st.booleans()), max_size=40))
def test_any_stream_of_calls_is_taken(calls: list[tuple[str, int, int, bool]]) -> None:
    """No order of calls, failures and repeats makes the detectors raise or name a span that was not fed."""
    tape = Tape()
    for name, argument, result, failed in calls:
        tape.tool(name, result, failed="no" if failed else None, argument=argument)
    known = {span.span_id for span in tape.spans}
    assert known >= {span_id for finding in feed(tape.spans) for span_id in finding.span_ids}


@pytest.mark.parametrize("odd", [b"", b"{", b'{"a":', b"[1,", b'"', b"\xff\xfe", b"nul"])
def test_broken_content_is_taken(odd: bytes) -> None:
    """Input and output that are no JSON are compared as they are."""
    tape = Tape()
    for _ in range(3):
        tape.span("search", "tool", input=Raw(odd), output=Raw(odd))
        tape.span("chat", "llm", input=Raw(odd), output=Raw(odd))
    assert {finding.detector for finding in feed(tape.spans)} <= {"repeated_call", "cycle"}


def test_finish_ends_all_runs() -> None:
    """After finish() the detectors begin anew, as for another file."""
    watch = default()
    tape = Tape()
    for _ in range(2):
        feed([tape.tool("search", "same", city="Rome")], watch)
    watch.finish()
    assert [] == feed([tape.tool("search", "same", city="Rome")], watch)


def test_thresholds_come_from_settings() -> None:
    """What `[detectors]` says holds."""
    watch = default(only(detectors={"repeats": 5}))
    assert set() == alarms(feed(run(repeated, 1), watch))


def test_an_unknown_threshold_is_refused_by_name() -> None:
    """The error says which key is wrong and which there are."""
    with pytest.raises(SettingsError, match=r"repeatz.*repeats"):
        default(limits={"repeatz": 3})


def test_an_impossible_threshold_is_refused_by_name() -> None:
    """The error names the key."""
    with pytest.raises(SettingsError, match=r"\$\.repeats"):
        default(limits={"repeats": 1})


def test_a_damaged_history_is_refused() -> None:
    """The error names the measure and says how to go on."""
    with pytest.raises(InstrumentError, match=r"'duration'.*delete it"):
        default(history={"duration": {"search": {"x": "y"}}})


def test_every_threshold_says_why() -> None:
    """Each threshold stands in the one documented place with its default and a reason below it."""
    source = Path(thresholds.__file__).read_text(encoding="utf-8")
    documented = re.findall(r"^    (\w+): [^\n]* = [^\n]*\n    \"\"\"", source, re.M)
    assert list(detectors.Thresholds.__struct_fields__) == documented


# --- check: asked before a call


def fed(spans: list[Span]) -> Detectors:
    watch = default()
    feed(spans, watch)
    return watch


def test_a_call_is_refused_once_it_was_proven_useless() -> None:
    """After three equal results the fourth call is spoken against, with the sentence that says why."""
    found = fed(run(repeated)).check("search", "tool", fingerprint({"city": "Rome"}))
    assert found is not None
    assert re.search(r"search was called 3 times .* same result each time, since", found.message)


def test_other_arguments_are_not_refused() -> None:
    """Only the call itself is spoken against."""
    assert fed(run(repeated)).check("search", "tool", fingerprint({"city": "Oslo"})) is None


def test_another_trace_is_not_refused() -> None:
    """What one run has proven says nothing about another run."""
    assert fed(run(repeated)).check("search", "tool", fingerprint({"city": "Rome"}), "b" * 32) is None


def test_two_equal_calls_are_not_enough() -> None:
    """The call is free until the third."""
    assert fed(run(repeated)[:2]).check("search", "tool", fingerprint({"city": "Rome"})) is None


@pytest.mark.parametrize(("name", "arguments"), [("look", {"at": "door"}), ("turn", {"by": 90})])
def test_the_calls_of_a_cycle_are_refused(name: str, arguments: dict[str, Any]) -> None:
    """Once the third round has begun each call of the cycle would continue it."""
    assert fed(run(cycling, 1)[:5]).check(name, "tool", fingerprint(arguments)) is not None


def test_rounds_with_other_results_are_not_refused() -> None:
    """Looking and working in turns gets on."""
    tape = Tape()
    for n in range(6):
        tape.tool("look", f"{n} done", at="door")
        tape.tool("turn", f"turned {n}", by=90)
    assert fed(tape.spans).check("look", "tool", fingerprint({"at": "door"})) is None


def test_something_new_allows_another_try() -> None:
    """After other work that succeeded the call may have another result: it is free again."""
    tape = Tape()
    repeated(tape, 0)
    tape.tool("write", "written", text="new")
    assert fed(tape.spans).check("search", "tool", fingerprint({"city": "Rome"})) is None


def test_the_allowed_try_proves_it_again() -> None:
    """When the try after other work has the same result, the next is refused."""
    tape = Tape()
    repeated(tape, 0)
    tape.tool("write", "written", text="new")
    tape.tool("search", "no tide today", city="Rome")
    assert fed(tape.spans).check("search", "tool", fingerprint({"city": "Rome"})) is not None


def test_another_result_frees_the_call() -> None:
    """A call that was made all the same and gave something else is polling."""
    tape = Tape()
    repeated(tape, 0)
    tape.tool("search", "high tide", city="Rome")
    assert fed(tape.spans).check("search", "tool", fingerprint({"city": "Rome"})) is None


def test_an_unknown_input_is_never_refused() -> None:
    """Where nothing was recorded nothing is known."""
    tape = Tape()
    for _ in range(5):
        tape.span("search", "tool")
    assert fed(tape.spans).check("search", "tool", fingerprint(None)) is None


def test_what_is_noted_counts_at_once() -> None:
    """Calls told of on their own thread are known to `check` before they are fed."""
    watch = default()
    for n in range(3):
        watch.note("search", "tool", 42, 7, trace_id=TRACE, span_id=str(n), start_ns=START_NS)
    assert ["0", "1", "2"] == watch.check("search", "tool", 42, TRACE).span_ids  # type: ignore[union-attr]


def test_noted_calls_are_not_counted_twice() -> None:
    """A call that was noted and is fed later counts once."""
    watch = default()
    for span in run(repeated)[:2]:
        mark = fingerprint(span.input)
        watch.note(span.name, span.kind, mark, detectors.outcome(span.output), trace_id=TRACE, span_id=span.span_id)
        watch.feed(span)
    assert watch.check("search", "tool", fingerprint({"city": "Rome"}), TRACE) is None


def test_forgotten_traces_hold_no_proofs() -> None:
    """When a run is forgotten so is what it proved."""
    watch = fed(run(repeated))
    watch.forget(TRACE)
    assert watch.check("search", "tool", fingerprint({"city": "Rome"})) is None


def test_forgotten_first_are_their_proofs_too() -> None:
    """A trace that had to make room can no longer refuse calls."""
    watch = default(limits={"traces": 1})
    feed(run(repeated), watch)
    other = Tape("b" * 32)
    feed([other.tool("look", "a wall", at="door"), other.tool("look", "a lamp", at="table")], watch)
    assert watch.check("search", "tool", fingerprint({"city": "Rome"})) is None


def test_lone_calls_forget_no_run() -> None:
    """However many calls are made outside of any agent, what the agents do is still known."""
    watch = default(limits={"traces": 1})
    feed(run(repeated), watch)
    feed([Tape(f"{n:032x}").tool("look", "a wall", at="door") for n in range(9)], watch)
    assert watch.check("search", "tool", fingerprint({"city": "Rome"})) is not None


def test_as_many_agents_as_are_watched_may_take_turns() -> None:
    """Each of some hundred agents that work at once is found to repeat itself."""
    tapes = [Tape(f"{n:032x}") for n in range(300)]
    spans = [tape.tool("search", "same", city="Rome") for _ in range(5) for tape in tapes]
    assert {span.trace_id for span in spans} == {finding.trace_id for finding in feed(spans)}


def test_a_trace_that_is_at_work_is_not_forgotten_for_others() -> None:
    """Of the calls that are noted as they end, those of the trace that was silent longest are forgotten first."""
    watch = default(limits={"traces": 2})
    for other in range(5):
        for trace_id in (TRACE, f"{other:032x}"):
            watch.note("search", "tool", 7, 7, trace_id=trace_id)
    assert watch.check("search", "tool", 7, TRACE) is not None


def test_tick_is_silent_about_young_spans() -> None:
    """A span that was opened a moment ago is at work."""
    young = Open(trace_id=TRACE, span_id="1" * 16, start_ns=START_NS, kind="tool", name="search")
    assert [] == default().tick(START_NS + 5 * SECOND, [young])
