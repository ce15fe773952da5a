"""Two runs compared: with one known change in them, the first divergence and its cause are that change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from instrument.analysis.diff import compare, side_by_side
from instrument.analysis.sides import takes_other_time
from instrument.analysis.tree import Trace, traces
from instrument.model import Failure, Span
from tests.random_traces import spans
from tests.recorded import MS, NOON, call, review, span
from tests.simulated import Plan, Step, Tool, Twist, simulate

TOOLS = st.builds(Tool, st.sampled_from(("read", "search", "run")), st.sampled_from(("one", "two", "three")))
STEPS = st.builds(Step, st.lists(TOOLS, min_size=2, max_size=4, unique=True).map(tuple), st.booleans())
PLANS = st.lists(STEPS, min_size=1, max_size=4).map(lambda steps: Plan(tuple(steps)))
SPEEDS = st.integers(1, 9)

CAUSES = {
    "task": "arguments", "prompt": "prompt", "model": "model", "setting": "setting", "new setting": "setting",
    "tools": "tools", "answer": "answer", "model error": "error", "arguments": "arguments", "result": "result",
    "error": "error", "removed": "removed", "added": "added", "other call": "other call", "order": "order",
    "concurrency": "concurrency", "step gone": "removed",
}  # fmt: skip
"""The one known change and the cause that it is to be called."""

NAMES = {"task": "review", "step gone": "iteration"}
OF_MODEL = ("prompt", "model", "setting", "new setting", "tools", "answer", "model error")


@st.composite
def twisted(draw: st.DrawFn, cause: str) -> tuple[Plan, Twist]:
    """A plan and a twist of it at any place where it makes a difference."""
    plan = draw(PLANS)
    number = len(plan.steps) - 1 if cause == "step gone" else draw(st.integers(0, len(plan.steps) - 1))
    step = plan.steps[number]
    if cause in ("order", "added", "removed", "other call") or (cause == "arguments" and step.at_once):
        step = step._replace(at_once=False)
        plan = plan._replace(steps=(*plan.steps[:number], step, *plan.steps[number + 1 :]))
    last = len(step.tools) - (2 if cause == "order" else 1)
    return plan, Twist(cause, number, draw(st.integers(0, last)))


@pytest.mark.parametrize("cause", CAUSES)
@settings(max_examples=12)
@given(data=st.data(), speed=SPEEDS)
def test_one_known_change_is_the_first_divergence(cause: str, data: st.DataObject, speed: int) -> None:
    """For all agents, places of the change and speeds: its cause is right, and so is the call that it is found in."""
    plan, twist = data.draw(twisted(cause))
    found = compare(simulate(plan), simulate(plan, twist, seed=2, speed=speed)).first
    assert found is not None
    assert (CAUSES[cause], expected_name(plan, twist)) == (found.cause, found.name if cause != "concurrency" else "")


def expected_name(plan: Plan, twist: Twist) -> str:
    if twist.cause in OF_MODEL:
        return "chat gpt-4.1"
    if twist.cause == "concurrency":
        return ""
    if twist.cause == "added":
        return "lint"
    return NAMES.get(twist.cause) or plan.steps[twist.step].tools[twist.tool].name


@given(PLANS, SPEEDS)
def test_runs_that_differ_in_what_is_volatile_do_not_differ(plan: Plan, speed: int) -> None:
    """For all agents and speeds: ids, times, folders, ports, durations are no divergence."""
    told = compare(simulate(plan), simulate(plan, seed=2, speed=speed))
    assert (None, [], []) == (told.first, told.beside, told.follows)


@pytest.mark.parametrize("cause", [cause for cause in CAUSES if cause != "concurrency"])
@settings(max_examples=6)
@given(data=st.data())
def test_what_comes_after_one_change_follows_from_it(cause: str, data: st.DataObject) -> None:
    """For all agents without concurrency: nothing that is not a consequence is beside the first divergence."""
    plan, twist = data.draw(twisted(cause))
    plan = plan._replace(steps=tuple(step._replace(at_once=False) for step in plan.steps))
    told = compare(simulate(plan), simulate(plan, twist, seed=2))
    assert [] == told.beside


@pytest.mark.parametrize("cause", CAUSES)
@settings(max_examples=6)
@given(data=st.data())
def test_backwards_the_same_call_is_found(cause: str, data: st.DataObject) -> None:
    """For all agents: with the runs the other way round, added is removed and the values change sides."""
    plan, twist = data.draw(twisted(cause))
    there = compare(simulate(plan), simulate(plan, twist, seed=2)).first
    back = compare(simulate(plan, twist, seed=2), simulate(plan)).first
    assert there is not None
    assert back is not None
    turned = {"added": "removed", "removed": "added"}
    assert turned.get(there.cause, there.cause) == back.cause
    if cause in OF_MODEL or cause in ("arguments", "result", "error", "task"):
        assert (there.a, there.b, there.before, there.after) == (back.b, back.a, back.after, back.before)


# Examples


def of(*records: object) -> Trace:
    (trace,) = traces(records)  # type: ignore[arg-type]
    return trace


PLAN = Plan((Step((Tool("read", "one"), Tool("search", "two"))), Step((Tool("run", "one"),))))


@pytest.mark.parametrize(
    ("twist", "where", "before", "after"),
    [
        (Twist("prompt", 1), "message 1 (system)", "be brief", "be thorough"),
        (Twist("model"), "model", "gpt-4.1", "gpt-4o"),
        (Twist("setting", 1), "temperature", 0.5, 0.9),
        (Twist("new setting"), "top_p", None, 0.1),
        (Twist("tools"), "tools[0].parameters.how", "one", "all"),
        (Twist("order"), "order", "read, search", "search, read"),
        (Twist("concurrency"), "concurrency", "read, then search", "read and search at once"),
        (Twist("error", 1), "status", "ok", "error: FileNotFoundError: it went wrong"),
    ],
)
def test_the_part_that_changed_is_named(twist: Twist, where: str, before: object, after: object) -> None:
    """Where it is, and its value on both sides."""
    found = compare(simulate(PLAN), simulate(PLAN, twist, seed=2)).first
    assert found is not None
    assert (where, before, after) == (found.where, found.before, found.after)


def asked(text: str = "hi", **fields: Any) -> Span:
    """A model call by one message."""
    said = {"messages": [{"role": fields.pop("role", "user"), "parts": [{"type": "text", "content": text}]}]}
    return call(2, 1, input={**said, "settings": fields.pop("settings", {})}, **fields)


def of_model(request: str | None, response: str | None = None, **more: str) -> dict[str, Any]:
    """What attributes tell of the model; a call is named by the one that is known."""
    named = {"gen_ai.request.model": request, "gen_ai.response.model": response}
    known = {key: value for key, value in named.items() if value is not None}
    return {"name": f"chat {request or response}", "attributes": {**known, **more}}


def failing(message: str, kind: str = "IOError") -> Span:
    """A call of a tool that failed so."""
    return span(2, 1, name="read", status="error", error=Failure(kind, message))


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        (failing("no a"), failing("no b"), [("error", "status", "error: IOError: no a", "error: IOError: no b")]),
        (failing("no", "A"), failing("no", "B"), [("error", "status", "error: A: no", "error: B: no")]),
        (failing("no /tmp/x1/a"), failing("no /tmp/x2/a"), []),
        (asked(**of_model(None, "m1")), asked(**of_model(None, "m2")), [("model", "model", "m1", "m2")]),
        (asked(**of_model("m", "m-1")), asked(**of_model("m", "m-2")), [("model", "model", "m-1", "m-2")]),
        (asked(**of_model("m1", "m-1")), asked(**of_model("m2", "m-2")), [("model", "model", "m1", "m2")]),
        (
            asked(**of_model("m1"), settings={"model": "m1", "n": 1}),
            asked(**of_model("m2"), settings={"model": "m2", "n": 1}),
            [("model", "model", "m1", "m2")],
        ),
        (
            asked(**of_model("m", **{"gen_ai.request.previous_response.id": "x"})),
            asked(**of_model("m", **{"gen_ai.request.previous_response.id": "y"})),
            [],
        ),
        (
            asked(**of_model("m", **{"gen_ai.request.top_p": "1"})),
            asked(**of_model("m", **{"gen_ai.request.top_p": "2"})),
            [("setting", "top_p", "1", "2")],
        ),
        (asked(), asked(role="tool"), [("prompt", "message 1 (tool), role", "user", "tool")]),
    ],
)  # fmt: skip
def test_what_differs_in_a_call_is_told_once(one: Span, two: Span, expected: list[tuple[object, ...]]) -> None:
    """By its cause and place, with both values; ids, folders and names of servers' versions are not told as well."""
    told = compare(of(span(1), one), of(span(1), two))
    found = [told.first, *told.beside, *told.follows]
    assert expected == [(change.cause, change.where, change.before, change.after) for change in found if change]


def at(number: int, start: int, end: int, **fields: Any) -> Span:
    """A call below the root from one millisecond to another."""
    return span(number, 1, start_ns=NOON + start * MS, duration_ns=(end - start) * MS, **fields)


def causes(one: Sequence[Span], two: Sequence[Span]) -> list[str]:
    """What differs between two runs of these calls, in the order in which it is told."""
    root = span(1, duration_ns=90 * MS)
    told = compare(of(root, *one), of(root, *two))
    return [change.cause for change in (told.first, *told.beside, *told.follows) if change]


POLLS = [at(n, n, n + 1, name="poll", input={"n": 1}, output=n) for n in (2, 3)]


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        (
            [at(2, 2, 5, name="x"), at(3, 5, 8, name="y")],
            [at(2, 2, 5, name="y"), at(3, 5, 8, name="x")],
            ["order"],
        ),
        (
            [at(3, 5, 8, name="find", input={"n": 1})],
            [at(2, 2, 5, name="read"), at(3, 5, 8, name="find", input={"n": 2})],
            ["added", "arguments"],
        ),
        (
            [at(2, 2, 5, name="find", output=1)],
            [at(2, 2, 5, name="find", output=2), at(3, 5, 8, name="read")],
            ["result", "added"],
        ),
        (
            [*POLLS, *(at(n, n, n + 1, name=f"a{n}") for n in (4, 5, 6))],
            [*(at(n, n, n + 1, name=f"a{n}") for n in (4, 5, 6)), *(replace(one, start_ns=one.start_ns + 5 * MS) for one in POLLS)],
            ["order"],
        ),
        (
            [at(2, 2, 5, name="x"), span(3, 2, output=1)],
            [at(2, 2, 5, name="y"), span(3, 2, output=2)],
            ["other call"],
        ),
    ],
    ids=["one right after the other", "a new one before it", "new after another result", "two that moved", "the only one"],
)  # fmt: skip
def test_calls_are_told_apart_by_their_place(one: list[Span], two: list[Span], expected: list[str]) -> None:
    """Each call is compared with its like, and what showed first is told first."""
    assert expected == causes(one, two)


def test_turned_calls_of_one_name_are_told_by_what_they_were_given() -> None:
    """Their names alone would be the same words on both sides."""
    told = [at(2, 2, 5, name="x", input={"n": 1}), at(3, 5, 8, name="x", input={"n": 2})]
    turned = [replace(told[1], start_ns=told[0].start_ns), replace(told[0], start_ns=told[1].start_ns)]
    found = compare(of(*told), of(*turned)).first
    assert found is not None
    assert ('x({"n":1}), x({"n":2})', 'x({"n":2}), x({"n":1})') == (found.before, found.after)


def test_a_run_whose_times_are_not_known_has_no_duration() -> None:
    """What was taken in from a conversation knows the order of its calls alone."""
    untimed = of(span(1, attributes={"instrument.times": "order"}))
    found = compare(untimed, of(span(1)))
    assert (None, 5 * MS) == (found.a.duration_ns, found.b.duration_ns)


def test_what_begins_together_is_told_from_the_outside_in() -> None:
    """Clocks may be coarse: what a call was given comes before what was asked inside of it."""
    one, two = (
        of(span(1, input={"n": n}), call(1, 1, span_id="b" * 16, **of_model(f"m{n}"))) for n in (1, 2)
    )  # fmt: skip
    told = compare(one, two)
    assert ("arguments", ["model"]) == (told.first and told.first.cause, [change.cause for change in told.follows])


def test_what_ends_together_follows_from_the_inside_out() -> None:
    """A result that was passed on in the same instant."""
    one, two = (of(span(1, duration_ns=6 * MS, output=n), span(2, 1, output=n)) for n in (1, 2))
    told = compare(one, two)
    assert ("span2", ["span1"], []) == (
        told.first and told.first.name,
        [change.name for change in told.follows],
        told.beside,
    )


def test_a_root_of_another_kind_is_another_call() -> None:
    """With all that lies below either of them."""
    told = compare(
        of(span(1, name="x"), span(2, 1)), of(span(1, name="x", kind="agent"), *(span(n, 1) for n in (2, 3)))
    )
    assert ("other call", 3, []) == (told.first and told.first.cause, told.first and told.first.spans, told.follows)


def test_calls_at_once_are_told_in_one_breath() -> None:
    """Also those that began when a shorter one had ended while a longer one still ran."""
    one = [
        at(n, start, start + 2, name=name) for n, name, start in ((2, "a", 0), (3, "b", 2), (4, "c", 5), (5, "d", 7))
    ]
    two = [at(2, 0, 10, name="a"), one[1], at(4, 5, 8, name="c"), one[3]]
    told = compare(of(span(1, duration_ns=90 * MS), *one), of(span(1, duration_ns=90 * MS), *two))
    assert ("a, then b, then c, then d", "a and b and c and d at once") == (
        told.first and told.first.before,
        told.first and told.first.after,
    )


def test_the_path_leads_to_the_call() -> None:
    """The names above it, from the root."""
    found = compare(simulate(PLAN), simulate(PLAN, Twist("result", 1), seed=2)).first
    assert found is not None
    assert ("review", "iteration") == found.path


def test_a_setting_and_a_prompt_at_once_are_two_findings() -> None:
    """Neither follows from the other: the second is beside the first."""
    one = call(1, input={"messages": [{"role": "user", "parts": []}], "settings": {"n": 1}})
    two = call(1, input={"messages": [{"role": "system", "parts": []}], "settings": {"n": 2}})
    told = compare(of(one), of(two))
    assert ("setting", ["prompt"], []) == (told.first and told.first.cause, [one.cause for one in told.beside], told.follows)  # fmt: skip


def heard(*texts: str) -> Span:
    """A model call that was told these, one message each, between instructions and a last word."""
    said = [{"role": "user", "parts": [{"type": "text", "content": text}]} for text in ("begin", *texts, "go on")]
    return call(2, 1, input={"messages": said})


@pytest.mark.parametrize(
    ("before", "after", "where"),
    [
        (["a", "b", "c"], ["a", "c", "b"], "messages 3 to 4, the same in another order"),
        (["a", "b", "c"], ["c", "a", "b"], "messages 2 to 4, the same in another order"),
        (["a", "b", "c"], ["a", "c", "c"], "message 3 (user)"),
        (["a", "b"], ["b", "a", "c"], "message 2 (user)"),
    ],
)
def test_messages_that_only_changed_places_are_said_to(before: list[str], after: list[str], where: str) -> None:
    """As where results of tools that ran at once stand in the order in which they came."""
    told = compare(of(span(1), heard(*before)), of(span(1), heard(*after)))
    assert told.first is not None
    assert ("prompt", where) == (told.first.cause, told.first.where)


def test_a_call_that_was_under_way_does_not_follow() -> None:
    """Of two concurrent calls whose results differ, the later one is beside the first."""
    root = span(1, duration_ns=90 * MS)
    fast = [span(2, 1, name="fast", output=text) for text in "xy"]
    slow = [span(3, 1, name="slow", output=text, duration_ns=50 * MS) for text in "xy"]
    told = compare(of(root, fast[0], slow[0]), of(root, fast[1], slow[1]))
    assert ("fast", ["slow"], []) == (told.first and told.first.name, [one.name for one in told.beside], told.follows)


def test_order_of_concurrent_calls_is_chance() -> None:
    """Whichever of them began first."""
    root = span(1, duration_ns=90 * MS)
    one = of(root, span(2, 1, name="x"), span(3, 1, name="y"))
    two = of(root, span(2, 1, name="y"), span(3, 1, name="x"))
    assert None is compare(one, two).first


def test_runs_of_two_programs_part_at_their_roots() -> None:
    """That another function was called comes before its arguments, and before what lies below both."""
    one, two = (
        of(span(1, name=name, input={"n": n}), span(2, 1, output=n)) for n, name in enumerate(("sweep", "order"))
    )
    told = compare(one, two)
    assert ("other call", ["result"]) == (
        told.first and told.first.cause,
        [change.cause for change in told.follows],
    )


def test_a_removed_call_takes_all_below_it_along() -> None:
    """One change, with the number of its spans."""
    told = compare(of(span(1), span(2, 1), span(3, 2), span(4, 3)), of(span(1)))
    assert ("removed", 3, []) == (told.first and told.first.cause, told.first and told.first.spans, told.follows)


def test_a_thousand_equal_calls_and_one_more() -> None:
    """The one more is the only difference, and it is at the end."""
    calls = [span(n, 1, name="poll", input={"n": 1}) for n in range(10, 1011)]
    root = span(1, duration_ns=10_000 * MS)
    told = compare(of(root, *calls[:1000]), of(root, *calls))
    assert ("added", calls[-1].span_id, []) == (told.first and told.first.cause, told.first and told.first.b, told.follows)  # fmt: skip


def test_in_long_rows_a_call_that_is_gone_moves_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more siblings than are compared each with each; a call that gave back something else is still the same one."""
    monkeypatch.setattr("instrument.analysis.align.MOST_CELLS", 50)
    root = span(1, duration_ns=1000 * MS)
    pages = {n: span(n, 1, name="next page", output=n, duration_ns=MS) for n in range(10, 70)}
    kept = {n: page for n, page in pages.items() if n not in (20, 50)} | {40: replace(pages[40], output="none")}
    told = compare(of(root, *pages.values()), of(root, *kept.values()))
    changes = [told.first, *told.beside, *told.follows]
    assert ["removed", "result", "removed"] == [change.cause for change in changes if change]


def test_deep_traces_can_be_compared() -> None:
    """Deeper than Python recurses."""
    deep = [span(n, n - 1 if n else None) for n in range(3000)]
    told = compare(of(*deep), of(*deep[:-1], span(2999, 2998, output=1)))
    assert "result" == (told.first and told.first.cause)


def test_figures_stand_side_by_side() -> None:
    """Calls, errors, tokens and money of both; the names whose figures differ."""
    more = call(900, 1, tokens=(5, 5), usd="1"), span(901, 1, name="read", kind="tool", status="refused")
    told = compare(of(*review()), of(*review(), *more))
    assert (0, 4, 5, 7223, 7233, ["responses gpt-4.1-mini", "read"]) == (
        told.b.tool_calls - told.a.tool_calls,
        told.a.model_calls,
        told.b.model_calls,
        told.a.total.tokens,
        told.b.total.tokens,
        list(told.by_name),
    )


def test_a_name_that_only_costs_more_is_told() -> None:
    """As prices or tiers change."""
    told = compare(of(span(1), call(2, 1, usd="1")), of(span(1), call(2, 1, usd="2")))
    assert (None, ["responses gpt-4.1-mini"]) == (told.first, list(told.by_name))


def test_an_error_that_was_passed_on_is_one() -> None:
    """As in `runs`, `show` and `stats`."""
    failed = {"status": "error", "error": Failure("ValueError", "no")}
    told = compare(of(span(1)), of(span(1, **failed), span(2, 1, **failed), span(3, 1, status="error")))
    assert (0, 2) == (told.a.errors, told.b.errors)


@settings(max_examples=30)
@given(spans(), spans())
def test_side_by_side_every_call_of_both_runs_is_in_one_row(one: list[Span], two: list[Span]) -> None:
    """For all runs; and the rows lie as deep as the calls do."""
    a, b = next(traces(one)), next(traces(two))
    diff, rows = side_by_side(a, b)
    found = [sorted(span.span_id for row in rows if (span := row.pair[side]) is not None) for side in (0, 1)]
    assert (compare(a, b), [sorted(span.span_id for span in run.spans) for run in (a, b)]) == (diff, found)


@settings(max_examples=20)
@given(data=st.data(), cause=st.sampled_from(sorted(CAUSES)))
def test_side_by_side_every_change_is_told_in_one_row(cause: str, data: st.DataObject) -> None:
    """For all changes: what differs is in the rows, each once."""
    plan, twist = data.draw(twisted(cause))
    diff, rows = side_by_side(simulate(plan), simulate(plan, twist, seed=2))
    told = {id(change) for row in rows for change in row.changes}
    assert {id(change) for change in (diff.first, *diff.beside, *diff.follows)} == told


@pytest.mark.parametrize(
    ("one", "two", "expected"), [(90, 100, False), (10, 20, True), (20, 10, True), (1, 4, False), (None, 90, False)]
)
def test_a_time_matters_where_it_is_doubled_and_a_share_of_the_run(one: int | None, two: int, expected: bool) -> None:
    """Both, whichever run is the slower one."""
    assert expected is takes_other_time(one, two, 100)
