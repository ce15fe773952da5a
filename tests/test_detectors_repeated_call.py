"""Rules of `instrument.detectors.repeated_call`."""

from __future__ import annotations

import pytest
from msgspec import Raw
from msgspec.structs import replace

from instrument.detectors import default, fingerprint
from tests.detector_runs import START_NS, TRACE, Tape, alarms, feed


def test_the_third_equal_call_is_found() -> None:
    """Two equal calls are a second look, the third is a repeat."""
    tape = Tape()
    for _ in range(3):
        tape.tool("search", "no tide", city="Rome")
    assert [span.span_id for span in tape.spans] == feed(tape.spans)[0].span_ids


def test_repeats_in_the_midst_of_other_work_are_found() -> None:
    """Three equal calls within ten, each followed by something else."""
    tape = Tape()
    for n in range(12):
        tape.tool("work", f"{n}", number=n)
        if n > 6 and n % 2:
            tape.tool("wake", "", who="all")
    assert {"repeated_call"} == alarms(feed(tape.spans))


def test_two_equal_calls_are_no_finding() -> None:
    """Looking twice is allowed."""
    tape = Tape()
    for _ in range(2):
        tape.tool("search", "no tide", city="Rome")
    assert [] == feed(tape.spans)


def test_polling_with_changing_results_is_no_finding() -> None:
    """The same call with another result each time has learned something."""
    tape = Tape()
    for percent in range(0, 100, 5):
        tape.tool("job", {"done": percent}, id=7)
    assert [] == feed(tape.spans)


def test_paging_is_no_finding() -> None:
    """Other arguments ask for something else, however alike the results are."""
    tape = Tape()
    for page in range(1, 12):
        tape.tool("list", f"page {page}", page=page)
    assert [] == feed(tape.spans)


def test_a_result_that_changed_starts_the_count_anew() -> None:
    """Reading a file twice, editing it and reading it twice again is no loop."""
    tape = Tape()
    for text in ("old", "new"):
        tape.tool("read", text, path="a.py")
        tape.tool("edit", "edited", path="a.py", to=text)
        tape.tool("read", text, path="a.py")
    assert [] == feed(tape.spans)


@pytest.mark.parametrize(
    "other",
    [
        b'{"to": "New York",  "from":"Oslo"}',
        b'{"to":" New York ","from":"Oslo"}',
        b'{"from":"Oslo","to":"New  York"}',
    ],
)
def test_order_of_keys_and_blanks_make_no_difference(other: bytes) -> None:
    """Arguments that mean the same are the same."""
    tape = Tape()
    for raw in (b'{"from":"Oslo","to":"New York"}', other, b'{"from":"Oslo","to":"New York"}'):
        tape.span("route", "tool", input=Raw(raw), output=Raw(b'"by sea"'))
    assert {"repeated_call"} == alarms(feed(tape.spans))


def test_arguments_that_are_json_text_are_compared_by_meaning() -> None:
    """Tool calls carry their arguments as text: blanks and order of keys inside make no difference either."""
    tape = Tape()
    for text in ('{"a": 1, "b": "x"}', '{"b":"x","a":1}', '{ "a":1,\n"b":"x" }'):
        tape.tool("act", "done", arguments=text)
    assert {"repeated_call"} == alarms(feed(tape.spans))


def test_failures_that_differ_in_numbers_only_are_equal() -> None:
    """Error messages name times and request ids."""
    tape = Tape()
    for n in range(3):
        tape.tool("open", failed=f"request 7f{n}a failed after {n}.3 s", door="green")
        tape.tool("look", f"{n}", at=n)
    assert {"repeated_call"} == alarms(feed(tape.spans))


def test_failures_that_differ_in_words_are_progress() -> None:
    """Tests that fail differently after each edit are work."""
    tape = Tape()
    for n, what in enumerate(("import", "assertion", "timeout", "syntax")):
        tape.tool("run_tests", failed=f"failed with {what}", path="tests")
        tape.tool("edit", "edited", line=n)
        tape.tool("read", f"text {n}", line=n)
        tape.tool("look", f"line {n}", line=n)
    assert [] == feed(tape.spans)


def test_repeats_far_apart_are_no_loop() -> None:
    """Beyond the window a call that comes again is a second look."""
    tape = Tape()
    for n in range(30):
        tape.tool("work", f"{n}", number=n)
        if n % 10 == 0:
            tape.tool("status", "fine", of="all")
    assert [] == feed(tape.spans)


def test_a_model_asked_the_same_is_found() -> None:
    """The same prompt with the same answer three times could have come from a cache."""
    tape = Tape()
    for _ in range(3):
        tape.span("chat", "llm", input={"messages": [{"content": "who?"}]}, output={"messages": [{"content": "you"}]})
    (found,) = feed(tape.spans)
    assert "chat was asked the same 3 times and gave the same answer each time, " in found.message


def test_sampling_a_model_is_no_finding() -> None:
    """The same prompt with other answers is sampling."""
    tape = Tape()
    for n in range(5):
        tape.span(
            "chat", "llm", input={"messages": [{"content": "who?"}]}, output={"messages": [{"content": f"me {n}"}]}
        )
    assert [] == feed(tape.spans)


def test_calls_without_arguments_and_result_are_not_compared() -> None:
    """Nothing is known of a call that takes nothing and gives nothing."""
    tape = Tape()
    for _ in range(6):
        tape.span("wait", "tool", input={}, output=None)
    assert [] == feed(tape.spans)


def test_it_is_told_again_at_twice_the_number() -> None:
    """Three, six, twelve: not at every repeat."""
    tape = Tape()
    for _ in range(13):
        tape.tool("search", "no tide", city="Rome")
    assert [3, 6, 12] == [finding.data["times"] for finding in feed(tape.spans)]


def test_the_number_of_repeats_is_a_setting() -> None:
    """With repeats=2 the second look is a finding."""
    tape = Tape()
    for _ in range(2):
        tape.tool("search", "no tide", city="Rome")
    assert {"repeated_call"} == alarms(feed(tape.spans, repeats=2))


def test_a_long_row_is_told_each_time_it_has_doubled() -> None:
    """Of a long row only some calls are looked at: those at which it has."""
    tape = Tape()
    for _ in range(600):
        tape.tool("poll", "pending", job=1)
    told = [finding.data["times"] for finding in feed(tape.spans) if finding.detector == "repeated_call"]
    assert [3, 6, 12, 24, 64, 128, 256, 512] == told


def team(others: int, rounds: int) -> Tape:
    """Agents that work at once: each of the others does something new in every round, one does the same."""
    tape = Tape()
    for turn in range(rounds):
        for n in range(others):
            asked = {"query": f"{n} {turn}"}
            tape.span("search", "tool", input=asked, output=[n, turn], attributes={"gen_ai.agent.id": f"worker-{n}"})
        tape.span("search", "tool", input={"query": 0}, output="otters", attributes={"gen_ai.agent.id": "looper"})
    return tape


def test_what_other_agents_do_meanwhile_does_not_hide_a_repeat() -> None:
    """A loop of one among twelve agents, whose own calls stand twelve apart."""
    assert 3 == feed(team(12, 3).spans)[0].data["times"]


def test_a_repeat_among_agents_is_found_behind_glances_too() -> None:
    """Calls by the thousand a second that all look new at a glance may each be another agent's."""
    watch, tape = default(), team(20, 40)
    spans = [replace(span, start_ns=START_NS + n * 1_000, duration_ns=500) for n, span in enumerate(tape.spans)]
    found = [finding for span in watch.worth_feeding(spans) for finding in watch.feed(span)]
    assert [3, 6, 12, 24] == [one.data["times"] for one in found if one.detector == "repeated_call"]


def test_what_other_agents_do_meanwhile_does_not_excuse_a_repeat() -> None:
    """The breaker refuses the agent that loops, though others have done something new since."""
    watch = default()
    feed(team(12, 3).spans, watch)
    assert watch.check("search", "tool", fingerprint({"query": 0}), TRACE, agent="looper") is not None


def test_the_loop_of_one_agent_refuses_no_other() -> None:
    """An agent that has never asked may ask what another was refused."""
    watch = default()
    feed(team(12, 3).spans, watch)
    assert watch.check("search", "tool", fingerprint({"query": 0}), TRACE, agent="worker-1") is None


def test_something_new_frees_the_agent_that_has_done_it() -> None:
    """After other work of its own the looping agent may try once more."""
    watch, tape = default(), team(12, 3)
    tape.span("search", "tool", input={"query": 1}, output="seals", attributes={"gen_ai.agent.id": "looper"})
    feed(tape.spans, watch)
    assert watch.check("search", "tool", fingerprint({"query": 0}), TRACE, agent="looper") is None
