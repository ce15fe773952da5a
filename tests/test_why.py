"""Why slow, why expensive, why failed: on traces whose answer is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from instrument.analysis.critical_path import critical_path
from instrument.analysis.in_words import duration
from instrument.analysis.report import findings_of
from instrument.analysis.tree import traces
from instrument.analysis.why import Reason, Why, why
from instrument.cli.main import main
from instrument.model import Event, Failure, Record, Span, Usage
from instrument.views.answers import answers as for_page
from tests.recorded import MS, NOON, call, finding, head, log, review, run, span, write
from tests.test_critical_path import Work, at, simulate, work

Capture = pytest.CaptureFixture[str]
WRONG = Failure("ValueError", "no")


def answers(*records: Record) -> Why:
    (trace,) = traces(records)
    return why(trace, findings_of(trace))


def failed(number: int, parent: int | None = None, **fields: Any) -> Span:
    return span(number, parent, **{"status": "error", "error": WRONG, **fields})


def numbers(reason: Reason) -> list[int]:
    """The numbers of the spans that prove an answer."""
    return [int(span_id, 16) for span_id in reason.span_ids]


# In the page


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([span(1)], []),
        ([span(1, status="cancelled")], []),
        ([failed(1)], ["failed"]),
        ([head(1)], ["failed"]),
        ([span(1), finding(1, detector="slow")], ["slow"]),
        ([span(1), call(2, 1)], ["slow"]),
    ],
    ids=["one span", "cancelled", "failed", "open", "one slow span", "a cheap call"],
)
def test_of_a_question_without_an_answer_the_page_is_told_nothing(records: list[Record], expected: list[str]) -> None:
    """What is only said over all, as that it did not fail, the head of the run says already."""
    (trace,) = traces(records)
    assert expected == list(for_page(trace, trace.findings, None))


def test_of_many_proofs_the_page_gets_some_and_their_number() -> None:
    """However many spans a line has."""
    (trace,) = traces([span(1), *(failed(n, 1, name="f") for n in range(2, 102))])
    _, ids, number = for_page(trace, (), None)["failed"][1]
    assert (50, 100) == (len(ids), number)


# Slow


def test_of_parallel_branches_the_longest_is_why() -> None:
    """And what shortening it would bring: down to the next branch, not its whole time."""
    named: dict[str, Any] = {"kind": "tool"}
    found = answers(
        at(1, None, 0, 100, name="agent", kind="agent"),
        at(2, 1, 5, 95, name="crawl", **named),
        at(3, 1, 5, 75, name="search", **named),
        at(4, 1, 5, 6, name="search", **named),
    ).slow
    expected = ("crawl: 90% of the time, 90 ms in 1 call; without it the run is 20 ms shorter", [2])
    assert expected == (found[1].text, numbers(found[1]))


def test_of_calls_in_a_pool_it_is_told_what_all_of_them_cost() -> None:
    """Without those on the path others would have been waited for: only without all of them the run is much shorter."""
    pool = [
        at(2 + 3 * n + worker, 1, 30 * n, 30 * n + 28 + worker, name="ask") for n in range(3) for worker in range(3)
    ]
    found = answers(at(1, None, 0, 100), *pool).slow[1]
    assert "in 3 calls; without them the run is 3 ms shorter, without all 9 of them 90 ms" in found.text


def test_refused_calls_are_counted_apart() -> None:
    """They did not take place, though to refuse them may have taken time."""
    refused = at(2, 1, 0, 30, name="ask", status="refused", error=Failure("BudgetExceeded", "no"))
    found = answers(at(1, None, 0, 100), refused, at(3, 1, 30, 90, name="ask")).slow
    assert ["ask: 60% of the time, 60 ms in 1 call", "ask: 30% of the time, 30 ms in 1 refused call"] == [
        one.text.partition(";")[0] for one in found if one.text.startswith("ask")
    ]


def test_time_between_calls_is_the_agents_own() -> None:
    """A loop that sleeps is found in the span that sleeps."""
    found = answers(at(1, None, 0, 100, name="agent"), at(2, 1, 40, 50, name="f")).slow[1]
    assert ("agent itself, outside of what it calls: 90% of the time, 90 ms", [1]) == (found.text, numbers(found))


def test_what_took_longest_is_why_not_what_ran_most_often() -> None:
    """Many short calls weigh what they took together."""
    often = [at(n, 1, 60 + 10 * n, 65 + 10 * n, name="often") for n in range(3, 7)]
    assert answers(at(1, None, 0, 130), at(2, 1, 0, 90, name="long"), *often).slow[1].text.startswith("long: ")


def test_time_lost_in_failed_calls_is_told() -> None:
    """Retries of a tool that times out."""
    lost = [at(n, 1, 20 * n, 20 * n + 10, status="error", error=WRONG) for n in (2, 3)]
    (found,) = [one for one in answers(at(1, None, 0, 100), *lost).slow if "failed" in one.text]
    assert ("20% of the time, 20 ms, went into 2 calls that failed", [2, 3]) == (found.text, sorted(numbers(found)))


@given(work())
def test_the_first_cause_is_the_heaviest_of_the_path(todo: Work) -> None:
    """For all runs: of names that differ, the one with most self time on the path comes first, proven by its span."""
    spans = simulate(todo)
    (trace,) = traces(spans)
    times = list(critical_path(trace).self_times().values())
    slow = why(trace, findings_of(trace)).slow
    if times:
        assert times[0] == critical_path(trace).self_times()[slow[1].span_ids[0]]


@given(work())
def test_what_would_be_saved_is_what_the_simulator_saves(todo: Work) -> None:
    """For all runs: without the first cause, where it is a call, the run is as much shorter as it is said to be."""
    spans = simulate(todo)
    (trace,) = traces(spans)
    said = why(trace, findings_of(trace)).slow[1:2]
    for cause in said:
        if "without" in cause.text:
            (shorter,) = traces(simulate(todo, frozenset(numbers(cause))))
            saved = trace.root.duration_ns - shorter.root.duration_ns
            worth = f"{duration(saved)} shorter" if saved >= 0.001 * trace.root.duration_ns else "no shorter"
            assert f"the run is {worth}" in cause.text


def test_times_that_are_not_known_are_not_invented() -> None:
    """A conversation that was imported without times has no slow part."""
    found = answers(at(1, None, 0, 100, attributes={"instrument.times": "order only"}), at(2, 1, 0, 90)).slow
    assert ["the times of its calls are not known, only their order"] == [one.text for one in found]


# Expensive


def test_the_model_that_most_of_the_money_went_to() -> None:
    """Where several were called."""
    big = {"gen_ai.request.model": "big", "instrument.operation": "think"}
    found = answers(span(1), call(2, 1), call(3, 1, usd="0.009", attributes=big)).expensive
    assert Reason("model big: 90% of the money in 1 call", [f"{3:016x}"]) in found


def test_where_no_price_is_known_tokens_are_compared() -> None:
    """Of models that run on one's own machine."""
    small, big = (
        call(n, 1, usd=None, tokens=(1000 * n, 0), attributes={"gen_ai.request.model": f"model-{n}"}) for n in (2, 8)
    )
    found = answers(span(1), small, big).expensive
    assert Reason("model model-8: 80% of the tokens in 1 call", [big.span_id]) in found


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 10**6)), min_size=2, max_size=12))
def test_the_heaviest_model_comes_first_with_its_share(spent: list[tuple[str, int]]) -> None:
    """For all runs: the whole amount, then the model that most of it went to, proven by its calls, the dearest first."""
    calls = [
        call(n, 1, usd=f"{cost / 1_000_000:.6f}", attributes={"gen_ai.request.model": model})
        for n, (model, cost) in enumerate(spent, 2)
    ]
    whole, *others = answers(span(1), *calls).expensive
    sums = {model: sum(cost for one, cost in spent if one == model) for model, _ in spent}
    (most, paid), *rest = sorted(sums.items(), key=lambda item: -item[1])
    assert f"in {len(spent)} model calls" in whole.text
    if rest and rest[0][1] < paid:
        own = sorted((n for n, (model, _) in enumerate(spent, 2) if model == most), key=lambda n: -spent[n - 2][1])
        share = f"{paid / sum(sums.values()):.0%}"
        assert f"model {most}: {share} of the money in" in others[0].text
        assert [spent[n - 2][1] for n in own] == [spent[n - 2][1] for n in numbers(others[0])]


def test_prompts_that_grow_are_told() -> None:
    """Turn by turn, in one operation; the proof is the largest and the first."""
    turns = [call(n, 1, tokens=(1000 * n, 10)) for n in (2, 3, 4, 5)]
    (found,) = [one for one in answers(span(1), *turns).expensive if "grew" in one.text]
    expected = ("prompts of think grew from 2,000 to 5,000 tokens in 4 calls", [5, 2])
    assert expected == (found.text, numbers(found))


def test_prompts_that_only_differ_do_not_grow() -> None:
    """Independent questions go up and down, also where the last of them is by chance the longest."""
    turns = [call(n, 1, tokens=(1000 * size, 10)) for n, size in enumerate((2, 7, 1, 6, 3, 8), 2)]
    assert [] == [one.text for one in answers(span(1), *turns).expensive if "grew" in one.text]


def test_of_several_agents_it_is_told_whose_prompts_grew() -> None:
    """Conversations of agents that work at once are not one that grows; the longest is told."""
    whose = [{"gen_ai.agent.id": name, "instrument.operation": "think"} for name in ("ann", "bob")]
    turns = [call(n, 1, tokens=(1000 * n, 10), attributes=whose[n % 2]) for n in range(2, 9)]
    expected = ["prompts of think [ann] grew from 2,000 to 8,000 tokens in 4 calls"]
    assert expected == [one.text for one in answers(span(1), *turns).expensive if "grew" in one.text]


def test_the_dearest_of_several_agents_is_told() -> None:
    """Beside model and operation."""
    calls = [call(n, 1, tokens=(1000, n), attributes={"gen_ai.agent.id": f"worker-{n % 2}"}) for n in (2, 3, 4)]
    found = [one for one in answers(span(1), *calls).expensive if one.text.startswith("agent worker-0: ")]
    assert [[2, 4]] == [numbers(one) for one in found]


def of_tasks(*causes: Failure) -> Failure:
    return Failure("ExceptionGroup", "tasks", causes=[*causes])


def test_each_exception_of_a_group_is_followed_to_where_it_began() -> None:
    """None of them was survived: the run ended with them."""
    lost = Failure("KeyError", "no")
    spans = failed(1, error=of_tasks(WRONG, lost)), failed(2, 1, name="ask"), failed(3, 1, name="look", error=lost)
    expected = [
        "ExceptionGroup: tasks came of ValueError: no, which began in ask, passed on by 1 span",
        "ExceptionGroup: tasks came of KeyError: no, which began in look, passed on by 1 span",
    ]
    assert expected == [one.text for one in answers(*spans).failed]


def test_what_a_group_holds_that_no_span_failed_with_is_told() -> None:
    """As of a task that is not decorated."""
    spans = failed(1, error=of_tasks(WRONG, Failure("asyncio.exceptions.CancelledError", ""))), span(2, 1)
    assert ["ExceptionGroup: tasks came of ValueError: no"] == [one.text for one in answers(*spans).failed]


def test_a_run_that_was_refused_itself_did_not_go_on() -> None:
    """As a call of a model outside of any span is a run of its own."""
    refused = span(1, status="refused", error=Failure("BudgetExceeded", "no"))
    assert ["BudgetExceeded: no"] == [one.text for one in answers(refused).failed]


def test_a_failure_that_was_passed_on_and_survived_is_told_once() -> None:
    """Of the call where it began."""
    found = answers(span(1), failed(2, 1, name="act"), failed(3, 2, name="read")).failed
    assert ["it did not fail", "read failed once and the run went on: ValueError: no"] == [one.text for one in found]


def test_of_several_agents_it_is_told_who_was_refused() -> None:
    """Where only one has a name nobody needs to ask."""
    ann, bob = ({"gen_ai.agent.id": name} for name in ("ann", "bob"))
    refused = failed(2, 1, name="ask", status="refused", attributes=ann)
    found = answers(span(1), refused, span(3, 1, attributes=bob)).failed
    assert "ask [ann] was refused once and the run went on: ValueError: no" == found[1].text


@pytest.mark.parametrize(("cached", "share"), [(None, "0%"), (900, "5%")])
def test_a_missed_cache_is_told(cached: int | None, share: str) -> None:
    """Much input, little of it cached."""
    used = Usage(input=9000, output=1, cached=cached)
    found = answers(span(1), call(2, 1, usage=used), call(3, 1, tokens=(9000, 1))).expensive
    assert f"{share} of the input came from the cache" in [one.text for one in found]


def text_message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def result(text: str) -> dict[str, Any]:
    return {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": text}]}


WISH = {"role": "assistant", "parts": [{"type": "tool_call", "id": "1", "name": "fetch", "arguments": {}}]}
GUIDE = "Cite each source with its address. " * 10
PAGES = [f"{number} pages of text " * 200 for number in range(3)]


def sent(number: int, *messages: dict[str, Any], tools: tuple[str, ...] = (), **fields: Any) -> Span:
    """A model call with a long prompt of these messages."""
    offered = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in tools]
    fields.setdefault("output", {"messages": [text_message("assistant", "so")]})
    return call(number, 1, tokens=(20_000, 1), input={"messages": [*messages], "tools": offered}, **fields)


def told(*calls: Span, begins: str) -> list[str]:
    found = answers(span(1, kind="agent", name="agent"), *calls)
    return [one.text for one in (*found.expensive, *found.failed) if one.text.startswith(begins)]


def test_a_clock_in_the_instructions_is_why_nothing_was_cached() -> None:
    """The place at which each prompt parts from the one before it, in its own words."""
    calls = [
        sent(n, text_message("system", f"Now: 12:0{n}. {GUIDE}"), WISH, *map(result, PAGES[: n - 1])) for n in (2, 3, 4)
    ]
    (found,) = told(*calls, begins="prompts of think differ")
    assert "in message 1 (system), at “Now: 12:03. Cite each source" in found


def test_other_tools_in_each_prompt_are_why_nothing_was_cached() -> None:
    """They come before all messages."""
    calls = [sent(n, text_message("system", GUIDE), WISH, result(PAGES[0]), tools=("a",) * n) for n in (2, 3, 4)]
    (found,) = told(*calls, begins="prompts of think differ")
    assert "in the tools on offer, which come first" in found


@pytest.mark.parametrize("last", ["", "Now: 12:0{}."])
def test_prompts_that_go_on_do_not_differ(last: str) -> None:
    """Each begins with all of the one before, or nearly: a service without a cache is then the reason."""
    calls = [
        sent(
            n,
            text_message("system", GUIDE),
            WISH,
            *map(result, PAGES[: n - 1]),
            *([text_message("user", last.format(n))] if last else []),
        )
        for n in (2, 3, 4)
    ]
    assert [] == told(*calls, begins="prompts of think differ")


def test_questions_of_a_batch_do_not_go_on() -> None:
    """They have nothing in common that a cache could find."""
    calls = [sent(n, text_message("user", f"{n}"), text_message("user", PAGES[n - 2])) for n in (2, 3, 4)]
    assert [] == told(*calls, begins="prompts of think differ")


def test_what_fills_the_longest_prompt_is_told() -> None:
    """Results by the tool that gave them."""
    found = told(sent(2, text_message("system", GUIDE), WISH, *map(result, PAGES)), begins="the longest prompt is")
    assert ["the longest prompt is 96% results of fetch, 3 messages of 5"] == found


def test_what_fills_a_prompt_is_told_in_every_dialect() -> None:
    """Where a function of the program's own was given the items that it sends."""
    items = [
        {"role": "user", "content": "when?"},
        {"type": "function_call", "call_id": "c1", "name": "fetch", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": PAGES[0]},
    ]
    assert ["the longest prompt is 99% results of fetch, 1 message of 3"] == told(sent(2, *items), begins="the longest")


@pytest.mark.parametrize(
    "odd", [7, {"parts": 7}, {"parts": [7, {"type": 7}], "role": [1]}, {"role": None, "content": [[]]}, {}]
)
def test_odd_messages_have_answers(odd: Any) -> None:
    """What others recorded may be anything."""
    assert answers(span(1), sent(2, odd, odd), sent(3, odd, text_message("user", GUIDE), odd)).expensive


def test_a_message_that_a_prompt_holds_twice_is_told() -> None:
    """Instructions that two places of a program add."""
    twice = text_message("system", GUIDE)
    found = told(
        sent(2, twice, twice, text_message("user", "yes"), text_message("user", "yes")),
        begins="the longest prompt holds",
    )
    assert [
        "the longest prompt holds one message 2 times: system, “Cite each source with its address. Cite …”"
    ] == found


def test_the_very_same_asked_again_is_told_with_its_price() -> None:
    """What a program pays that tries until it likes the answer."""
    found = told(*(sent(n, text_message("user", "when?")) for n in (2, 3, 4)), begins="2 calls")
    assert ["2 calls asked the very same as one before: 67% of the money"] == found


def test_what_a_function_was_given_may_not_be_all() -> None:
    """A method that is called with nothing, or the next turn of what the service remembers."""
    calls = [call(n, 1, input={}) for n in (2, 3)]
    known = {"gen_ai.request.previous_response.id": "resp_1"}
    calls += [sent(n, text_message("user", "go on"), attributes=known) for n in (4, 5)]
    assert [] == told(*calls, begins="1 call")


def test_tools_that_were_offered_and_never_called_are_told() -> None:
    """A model that says that it has booked what it has not."""
    asks = sent(2, tools=("fetch", "book"), output={"messages": [WISH]})
    assert ["offered and never called: book"] == told(asks, sent(3, tools=("fetch", "book")), begins="offered")


def test_answers_that_are_not_known_may_have_called_any_tool() -> None:
    """Where contents are not recorded nothing is said."""
    assert [] == told(sent(2, tools=("fetch",), output=None), begins="offered")


def test_where_no_model_answered_no_tool_was_left_alone() -> None:
    """A wrong name of the model, a service that is away: nothing was there that could have called them."""
    assert [] == told(sent(2, tools=("fetch",), output=None, status="error", error=WRONG), begins="offered")


def test_retrievals_that_found_nothing_are_told() -> None:
    """The model answers all the same, of what it was never given."""
    found = [span(n, 1, kind="retrieval", name="look", output=output) for n, output in ((2, []), (3, []), (4, ["a"]))]
    acted = span(5, 1, kind="tool", name="look", output=[])
    assert ["look found nothing, 2 times"] == told(*found, acted, begins="look")


@pytest.mark.parametrize("text", ["", " \n"])
def test_a_question_that_got_lost_is_told(text: str) -> None:
    """A template without its value, a variable of another name: the last message has no words."""
    lost = sent(2, text_message("system", "be kind"), text_message("user", text), name="chat")
    assert ["the last message that chat was sent is empty"] == told(lost, begins="the last message")


def test_errors_that_tools_gave_back_are_told() -> None:
    """The calls succeeded, so nothing else shows them."""
    calls = [span(n, 1, kind="tool", name="run_sql", output=f"ERROR: no column {n}") for n in (2, 3)]
    assert ["run_sql gave an error as its result 2 times: ERROR: no column 3"] == told(*calls, begins="run_sql")


def test_one_call_that_stands_out() -> None:
    """Three times the mean and more."""
    calls = [call(n, 1, usd="0.001") for n in range(2, 10)]
    (found,) = [one for one in answers(span(1), *calls, call(10, 1, usd="0.032")).expensive if "one call" in one.text]
    assert ("one call of think is 80% of the money", [10]) == (found.text, numbers(found))


def test_one_call_among_many_is_not_told() -> None:
    """What it cost is next to nothing, however much dearer than the others it was."""
    calls = [call(n, 1, usd="0.001") for n in range(2, 101)]
    found = answers(span(1), *calls, call(101, 1, usd="0.004")).expensive
    assert [] == [one.text for one in found if one.text.startswith("one call of")]


def test_reasoning_that_outweighs_the_answer() -> None:
    """It is paid for as output."""
    thinking = call(2, 1, usage=Usage(input=10, output=100, reasoning=90))
    assert "90% of the output was reasoning" in [one.text for one in answers(span(1), thinking).expensive]


def test_unpriced_calls_are_not_hidden() -> None:
    """The amount says what it leaves out."""
    found = answers(span(1), call(2, 1), call(3, 1, usd=None)).expensive
    assert Reason("1 call without a known price, not in the amount", [f"{3:016x}"]) in found


def test_a_call_that_failed_unsent_is_none_without_a_price() -> None:
    """It took nothing: it proves no missing price, and shares stay shares of the money."""
    lost = failed(4, 1, kind="llm")
    doubted = answers(span(1), call(2, 1), call(3, 1, usd=None), lost).expensive
    shared = answers(span(1), call(2, 1, name="ask"), call(3, 1, usd="0.5", name="tell"), lost).expensive
    assert ([[3]], False) == (
        [numbers(one) for one in doubted if "without a known price" in one.text],
        any("no price is known" in one.text for one in shared),
    )


def test_a_run_without_models_cost_nothing() -> None:
    """One line."""
    assert [Reason("no model was called")] == answers(span(1), span(2, 1)).expensive


def test_tokens_that_are_not_known_are_not_none() -> None:
    """Calls that tell nothing of their tokens were not free."""
    found = answers(span(1), span(2, 1, kind="llm"), span(3, 1, kind="llm")).expensive
    assert ["what its 2 model calls used is not known"] == [one.text for one in found]


# Failed


def test_an_exception_is_told_where_it_began() -> None:
    """Not where it came out."""
    records = (failed(1), failed(2, 1), failed(3, 2, name="parse"), span(4, 2))
    found = answers(*records).failed[0]
    expected = ("ValueError: no; it began in parse, passed on by 2 spans", [3, 2, 1])
    assert expected == (found.text, numbers(found))


def test_what_an_exception_hides_is_told() -> None:
    """Clients say `Connection error.` whatever it was: the exception that it began with stands behind it."""
    chain = [Failure("httpx.ConnectError", "all attempts failed"), Failure("OSError", "[Errno 111] refused")]
    lost = Failure("openai.APIConnectionError", "Connection error.", causes=chain)
    expected = "openai.APIConnectionError: Connection error (OSError: [Errno 111] refused)"
    assert expected == answers(failed(1, error=lost)).failed[0].text


def test_what_an_exception_says_itself_is_not_told_twice() -> None:
    """Its cause's words are in its own."""
    late = Failure("APITimeoutError", "Request timed out.", causes=[Failure("ReadTimeout", "timed out")])
    assert "APITimeoutError: Request timed out." == answers(failed(1, error=late)).failed[0].text


def test_what_an_exception_came_of_did_not_let_the_run_go_on() -> None:
    """Where one exception was raised because of another, it is told where that began, and not that it was survived."""
    whole = Failure("RuntimeError", "gave up", causes=[WRONG])
    records = (failed(1, error=whole), failed(2, 1, error=whole), failed(3, 2, name="parse"))
    expected = ["RuntimeError: gave up came of ValueError: no, which began in parse, passed on by 2 spans"]
    assert expected == [one.text for one in answers(*records).failed]


@given(work(), st.integers(1, 30))
def test_an_exception_is_told_where_it_began_however_deep(todo: Work, number: int) -> None:
    """For all runs: the span that raised it is named, and how many passed it on."""
    spans = {one.span_id: one for one in simulate(todo)}
    passed = [found] if (found := spans.get(f"{number:016x}")) else []
    while passed and passed[-1].parent_id is not None:
        passed.append(spans[passed[-1].parent_id])
    raised = {one.span_id: replace(one, status="error", error=WRONG) for one in passed}
    said = answers(*{**spans, **raised}.values()).failed[0]
    if len(passed) > 1:
        times = f"{len(passed) - 1} span{'s' if len(passed) > 2 else ''}"
        assert f"ValueError: no; it began in span{number}, passed on by {times}" == said.text
        assert [one.span_id for one in passed] == said.span_ids
    else:
        assert ("ValueError: no" if passed else "it did not fail") == said.text


def test_failures_that_were_survived() -> None:
    """Counted by name and kind of error, each where it began."""
    found = answers(span(1), *(failed(n, 1, name="fetch") for n in (2, 12, 22)), failed(30, 1), failed(31, 30)).failed
    assert [("it did not fail", [1]), ("fetch failed 3 times and the run went on: ValueError: no", [2, 12, 22])] == [
        (one.text, numbers(one)) for one in found[:2]
    ]


def test_calls_that_the_client_sent_again() -> None:
    """Its waiting is in their time."""
    tried = {"instrument.retries": 2}
    found = answers(span(1), call(2, 1, attributes=tried), call(3, 1), call(4, 1, attributes=tried)).slow[-1]
    expected = "the client sent 2 model calls again, 4 times in all: busy services, timeouts"
    assert (expected, [2, 4]) == (found.text, numbers(found))


def test_what_was_lost_until_a_call_was_sent_for_the_last_time() -> None:
    """Why it was sent again, and how much of its time passed before the model could work on it."""
    busy = [Event(name="retry", time_ns=0, attributes={"http.response.status_code": 429})] * 2
    tried = {"instrument.retries": 2, "instrument.retries.seconds": 2.5}
    found = answers(call(1, events=busy, attributes=tried, duration_ns=4000 * MS)).slow[-1].text
    assert found.endswith("2 times in all: 429 2 times; 2.5 s of its 4 s had passed by the last try")


def test_a_run_that_never_ended() -> None:
    """What was open when the process died."""
    found = answers(head(1, name="agent"), head(2, 1, name="fetch"), log(50, 2)).failed[0]
    assert ("it has not ended; fetch was open at the last sign of life", [2]) == (found.text, numbers(found))


def test_cancelled_is_neither_fine_nor_failed() -> None:
    """It is said."""
    assert "it was cancelled" == answers(span(1, status="cancelled")).failed[0].text


def test_calls_that_were_cancelled_are_told() -> None:
    """A time limit around them that somebody caught: the run did not fail, and they may have cost money."""
    stopped = [span(2, 1, status="cancelled"), *(span(n, 2, name="chat", status="cancelled") for n in (3, 4))]
    assert ["2 calls of chat were cancelled"] == [one.text for one in answers(span(1), *stopped).failed[1:]]


def test_calls_that_were_left_behind_are_told() -> None:
    """Threads that wait for each other, a task that was forgotten: the run was over and they were not."""
    found = answers(span(1), head(2, 1, name="left"), head(3, 1, name="right")).failed[1:]
    expected = [("1 call of left has not ended", [2]), ("1 call of right has not ended", [3])]
    assert expected == [(one.text, numbers(one)) for one in found]


@pytest.mark.parametrize(
    ("detector", "question"),
    [("slow", "slow"), ("stalled", "slow"), ("context_growth", "expensive"), ("cycle", "failed"), ("own", "failed")],
)
def test_findings_answer_their_question(detector: str, question: str) -> None:
    """Each finding stands under one question, with its spans."""
    found = answers(span(1), finding(1, detector=detector))
    assert [question] == [name for name in ("slow", "expensive", "failed") if detector in getattr(found, name)[-1].text]


def test_each_pattern_is_told_once_as_it_was_last() -> None:
    """One that was told again as it grew stands there once; another one of the same detector beside it."""
    told = [("a twice", {}), ("b twice", {}), ("a four times", {"again_of": span(1).span_id})]
    spoken = [finding(at, message=words, data=data, time_ns=at * MS) for at, (words, data) in enumerate(told, 1)]
    found = answers(span(1), span(2, 1), span(3, 1), *spoken)
    assert ["same_call: b twice", "same_call: a four times"] == [one.text for one in found.failed[-2:]]


def test_an_error_that_was_logged_is_told_with_its_exception() -> None:
    """The message alone often says no more than that something went wrong."""
    said = log(2, 1, level="ERROR", event="LOG", message="tool failed", metadata={"exception": "KeyError: 'bad'"})
    assert "log LOG: tool failed (KeyError: 'bad')" == answers(span(1), said).failed[-1].text


def test_a_trace_of_logs_only_has_answers() -> None:
    """A process killed before its first span was written."""
    assert ("it has not ended", 1) == (answers(log(3, 1)).failed[0].text[:16], len(answers(log(3, 1)).slow))


# The verb


@pytest.fixture
def recorded(tmp_path: Path) -> str:
    return str(write(tmp_path / "a.jsonl", *review()))


def test_it_fits_on_one_screen(recorded: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three questions, at most 24 lines of 80."""
    monkeypatch.setenv("COLUMNS", "80")
    assert 0 == main(["why", recorded])
    lines = capsys.readouterr().out.splitlines()
    questions = [text for text in lines if text.startswith("why")]
    assert (["why slow", "why expensive", "why failed"], True) == (questions, len(lines) <= 24)
    assert [] == [text for text in lines if len(text) > 80]


def test_every_line_has_its_evidence(recorded: str, capsys: Capture) -> None:
    """The JSON names spans of the trace for every answer."""
    assert 0 == main(["why", recorded, "--json"])
    told = json.loads(capsys.readouterr().out)
    known = {record.span_id for record in review() if isinstance(record, Span)}
    proofs = [set(one["span_ids"]) for question in ("slow", "expensive", "failed") for one in told[question]]
    assert [] == [proof for proof in proofs if not proof or not proof <= known]


def test_traces_without_length_have_answers() -> None:
    """A root of no duration: nothing to divide by."""
    assert "span1 took 0 ns" == answers(span(1, duration_ns=0 * MS)).slow[0].text


# Without an id


def other(trace: int, number: int, **fields: Any) -> Span:
    """A run of one span, of the same process."""
    return span(number, trace_id=f"{trace:032x}", **{"name": "chat", **fields})


BEGAN = run(start_ns=NOON)
BOOM: dict[str, Any] = {"status": "error", "error": WRONG}
HEALTH = other(9, 50, name="health")


@pytest.mark.parametrize("verb", ["why", "show"])
@pytest.mark.parametrize(
    ("records", "told"),
    [
        ([BEGAN, other(1, 1, **BOOM), other(2, 2, **BOOM), other(3, 3), HEALTH], f"2 of 4 runs {'0' * 31}2 (chat)"),
        ([BEGAN, other(1, 1), HEALTH], ""),
        ([BEGAN, other(1, -9, **BOOM), HEALTH], ""),
        ([BEGAN, other(1, 1, **BOOM), other(9, 50, **BOOM)], ""),
        ([other(1, 1, **BOOM), HEALTH], ""),
    ],
    ids=["failed", "none failed", "before the process began", "so did the last", "imported"],
)
def test_where_the_last_run_is_taken_it_is_told_that_others_failed(
    records: list[Record], told: str, verb: str, tmp_path: Path, capsys: Capture
) -> None:
    """As a service's last is often a health check; not of earlier processes, whose program may have been mended."""
    main([verb, str(write(tmp_path / "a.jsonl", *records))])
    hint = told and told.replace("runs ", f"runs failed since its process began, the last: instrument {verb} ")
    assert hint == next((line for line in capsys.readouterr().out.splitlines() if "since its process" in line), "")


def test_of_a_run_that_was_asked_for_nothing_is_told_of_others(tmp_path: Path, capsys: Capture) -> None:
    """Who names it knows which is meant."""
    file = write(tmp_path / "a.jsonl", BEGAN, other(1, 1, **BOOM), HEALTH)
    main(["why", HEALTH.trace_id, str(file)])
    assert "since its process" not in capsys.readouterr().out
