"""Budgets refuse the next call, not the one after; concurrent calls cannot pass a limit together."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import instrument
from instrument.errors import BudgetExceeded, SettingsError
from instrument.pricing import Prices
from instrument.record import budgets
from instrument.record.budgets import BudgetGuard
from instrument.record.scopes import Ask, Budget, Limits, Spent, excess, overrun
from instrument.record.spans import LiveSpan
from instrument.testing import Recording, record

PRICE = {"m": {"input": "0", "output": "10000"}}  # a cent a token of output
made: list[str] = []


@pytest.fixture(autouse=True)
def nothing_made() -> Iterator[None]:
    made.clear()
    yield


@pytest.fixture
def recording() -> Iterator[Recording]:
    with record(prices=PRICE) as recording:
        yield recording


@instrument.llm_call
def ask(prompt: str, model: str = "m", max_tokens: int = 9) -> tuple[str, dict[str, int]]:
    made.append(prompt)
    return "answer", {"input_tokens": 1, "output_tokens": 5}


def test_call_that_fits_is_made(recording: Recording) -> None:
    """A call whose reservation fits is made and settled at what it took."""
    with instrument.budget(usd="1.00") as scope:
        ask("hello")
    assert Decimal("0.05") == scope.usd


def test_call_that_may_not_fit_is_never_made(recording: Recording) -> None:
    """A call that may cost more than what is left is refused before it runs."""
    with pytest.raises(BudgetExceeded), instrument.budget(usd="0.08"):
        ask("hello")
    assert [] == made


def test_refusal_says_spent_reserved_and_asked(recording: Recording) -> None:
    """The message has the figures that one needs to judge the refusal."""
    with (
        pytest.raises(BudgetExceeded, match=r"'mine' allows 0.10 USD: 0.05 spent, 0 reserved .* may take 0.09"),
        instrument.budget(usd="0.10", name="mine"),
    ):
        ask("one")
        ask("two")


def test_scope_stays_shut(recording: Recording) -> None:
    """After one refusal even a cheaper call is refused."""
    with instrument.budget(usd="0.08"):
        with pytest.raises(BudgetExceeded):
            ask("dear")
        with pytest.raises(BudgetExceeded):
            ask("cheap", max_tokens=1)


def test_nested_budget_draws_on_the_outer(recording: Recording) -> None:
    """What is spent inside an inner budget counts in the outer one."""
    with instrument.budget(usd="1") as outer, instrument.budget(usd="1"):
        ask("hello")
    assert Decimal("0.05") == outer.usd


def test_refusal_by_one_releases_the_others(recording: Recording) -> None:
    """A call that one budget refuses leaves nothing in those that had room for it: the outer ones are asked first."""
    with instrument.budget(usd="1") as outer, instrument.budget(usd="0.08"):
        with pytest.raises(BudgetExceeded):
            ask("hello")
        assert (Decimal(0), 0) == (outer.reserved_usd, outer.calls)


@pytest.mark.parametrize(
    ("calls", "said"), [(1, "1 model call, and 1 was made"), (2, "2 model calls, and 2 were made")]
)
def test_calls_are_counted(recording: Recording, calls: int, said: str) -> None:
    """A budget of two calls refuses the third, in a sentence that one can read out."""
    with instrument.budget(calls=calls):
        for number in range(calls):
            ask(str(number))
        with pytest.raises(BudgetExceeded, match=f"allows {said}$"):
            ask("one more")
    assert ["0", "1"][:calls] == made


def test_failed_call_gives_its_reservation_back(recording: Recording) -> None:
    """A call that raised without usage cost nothing."""

    @instrument.llm_call
    def broken(prompt: str, model: str = "m", max_tokens: int = 9) -> str:
        raise ConnectionError

    with instrument.budget(usd="0.10") as scope:
        for _ in range(5):
            with pytest.raises(ConnectionError):
                broken("x")
        assert Decimal(0) == scope.usd + scope.reserved_usd


def test_concurrent_calls_cannot_pass_the_limit_together(recording: Recording) -> None:
    """Of 32 calls at once that reserve 0.09 each, a budget of 1.00 lets at most 11 run."""
    gate = threading.Event()
    running: list[int] = []

    @instrument.llm_call
    def slow(n: int, model: str = "m", max_tokens: int = 9) -> tuple[str, dict[str, int]]:
        running.append(n)
        gate.wait(60)
        return "x", {"input_tokens": 1, "output_tokens": 5}

    def attempt(n: int) -> bool:
        try:
            slow(n)
        except BudgetExceeded:
            return False
        return True

    with instrument.budget(usd="1.00"), ThreadPoolExecutor(32) as pool:
        attempts = [pool.submit(attempt, n) for n in range(32)]
        while len(running) + sum(a.done() for a in attempts) < 32:
            time.sleep(0.001)
        gate.set()
        made_it = sum(a.result() for a in attempts)
    assert 11 == made_it


def test_refused_call_is_recorded(recording: Recording) -> None:
    """The trace shows what was refused and why."""
    with pytest.raises(BudgetExceeded), instrument.budget(calls=0):
        ask("hello")
    assert ("refused", "instrument.errors.BudgetExceeded") == (
        recording.span("ask").status,
        recording.span("ask").error.type,  # type: ignore[union-attr]  # it was refused
    )


def test_budget_of_an_agent_is_for_each_run(recording: Recording) -> None:
    """`@agent(budget=…)` begins anew with every run."""

    @instrument.agent(budget={"calls": 1})
    def run() -> None:
        ask("hello")

    run()
    run()
    assert 2 == len(made)


def test_budget_from_settings_is_for_each_trace() -> None:
    """`INSTRUMENT_BUDGET__CALLS` limits every root trace by itself."""
    with record(prices=PRICE, budget={"calls": 1}):

        @instrument.traced
        def root() -> None:
            ask("one")
            with pytest.raises(BudgetExceeded):
                ask("two")

        root()
        root()
    assert ["one", "one"] == made


def test_warnings_at_shares_of_the_budget(recording: Recording) -> None:
    """Passing 50, 80 and 100 percent is said once each."""
    with instrument.budget(calls=10):
        for n in range(10):
            ask(str(n))
    said = [log.message for log in recording.logs if log.event == "BUDGET_WARNING"]
    assert [
        f"the budget is {share}% spent: {calls} of 10 calls" for share, calls in ((50, 5), (80, 8), (100, 10))
    ] == said


def test_unpriced_model_is_refused_when_strict(recording: Recording) -> None:
    """A strict budget in money refuses a model without a price."""
    with pytest.raises(BudgetExceeded, match="no known price"), instrument.budget(usd=1, strict=True):
        ask("hello", model="nobody-knows-this-model")


@pytest.mark.parametrize("limits", [{"usd": -1}, {"usd": float("nan")}, {"tokens": "many"}, {"calls": True}])
def test_bad_limit_is_named(limits: dict[str, object]) -> None:
    """A limit that is no number at all says which one it is."""
    with pytest.raises(SettingsError, match=next(iter(limits))), instrument.budget(**limits):  # type: ignore[arg-type]  # wrong on purpose
        pass


def test_a_budget_without_names_is_told() -> None:
    """Which limit a bare number is nobody knows; the decoration says how it is written."""
    with pytest.raises(SettingsError, match=r"'usd': 0.5"):
        instrument.agent(budget=0.5)(ask)  # type: ignore[call-overload]  # wrong on purpose


def events(recording: Recording, event: str) -> list[str]:
    return [log.message for log in recording.logs if log.event == event]


def test_tokens_said_by_hand_count(recording: Recording) -> None:
    """A span of any kind that says its usage by itself is counted like a model call."""
    with instrument.budget(usd=1) as scope, instrument.span("by hand") as live:
        live.usage(input=1, output=5, model="m")
    assert (Decimal("0.05"), 6, 1) == (scope.usd, scope.tokens, scope.calls)


def test_tokens_said_by_hand_shut_a_budget_that_they_pass(recording: Recording) -> None:
    """What nobody could foresee is counted, and the next call is refused."""
    with instrument.budget(usd="0.04"):
        with instrument.span("by hand", kind="llm") as live:
            live.usage(input=1, output=5, model="m")
        with pytest.raises(BudgetExceeded, match=r"the budget is spent: 0.05 of 0.04 USD"):
            ask("hello")


def answer_of(output: int, input: int = 1) -> Any:
    """A model call that answers with so many tokens whatever its limit is."""

    @instrument.llm_call
    def call(prompt: str, model: str = "m", max_tokens: int = 9) -> tuple[str, dict[str, int]]:
        return "answer", {"input_tokens": input, "output_tokens": output}

    return call


def test_a_call_that_exceeds_its_reservation_is_settled_and_shuts_the_scope(recording: Recording) -> None:
    """A model that does not keep its limit cannot be held by reservations, so nothing more is asked of it."""
    with instrument.budget(usd=1) as scope:
        answer_of(12)("hello")
        assert Decimal("0.12") == scope.usd
        with pytest.raises(BudgetExceeded, match=r"answered with 12 tokens and had reserved 9"):
            ask("hello")
    assert 1 == len(events(recording, "BUDGET_SHUT"))


def test_what_a_function_makes_of_its_arguments_is_learned(recording: Recording) -> None:
    """A decorated function's prompt is not known before: what it took counts, and its next call reserves as much."""
    call = answer_of(5, input=900)
    with instrument.budget(tokens=1900) as scope:
        call("hello")
        call("hello")
        assert 1810 == scope.tokens
        with pytest.raises(BudgetExceeded, match=r"1810 spent, 0 reserved .* may take 909"):
            call("hello")


def test_a_prompt_about_right_shuts_nothing(recording: Recording) -> None:
    """How providers wrap messages is not published: a few tokens more than counted are no reason to stop."""
    with instrument.budget(tokens=9000) as scope:
        answer_of(9, input=20)("hello")
        ask("hello")
    assert 2 == scope.calls


@pytest.mark.parametrize(
    ("error", "spent"),
    [(TimeoutError, "0.09"), (asyncio.CancelledError, "0.09"), (ConnectionRefusedError, "0"), (ValueError, "0")],
)
def test_a_call_whose_fate_nobody_knows_counts_with_its_reservation(
    error: type[BaseException], spent: str, recording: Recording
) -> None:
    """A timeout or a cancelled call may have been billed; one that never left, or was refused, was not."""

    @instrument.llm_call
    def fail(prompt: str, model: str = "m", max_tokens: int = 9) -> str:
        raise error

    with instrument.budget(usd=1) as scope:
        with pytest.raises(error):
            fail("hello")
        assert (Decimal(spent), Decimal(0)) == (scope.usd, scope.reserved_usd)


def test_a_timeout_of_a_call_that_never_left_costs_nothing(recording: Recording) -> None:
    """Clients raise a timeout of their own for what timed out while it connected; the cause says so."""
    unsent = type("ConnectTimeout", (Exception,), {})

    @instrument.llm_call
    def fail(prompt: str, model: str = "m", max_tokens: int = 9) -> str:
        raise TimeoutError from unsent()

    with instrument.budget(usd=1) as scope:
        with pytest.raises(TimeoutError):
            fail("hello")
        assert Decimal(0) == scope.usd


def test_a_call_without_a_limit_reserves_the_assumed_output_and_says_so_once(recording: Recording) -> None:
    """4,096 tokens of output are set aside where the call does not say how many it may take."""

    @instrument.llm_call
    def unlimited(prompt: str, model: str = "m") -> tuple[str, dict[str, int]]:
        return "answer", {"input_tokens": 1, "output_tokens": 5}

    with instrument.budget(usd=100):
        unlimited("one")
        unlimited("two")
    with pytest.raises(BudgetExceeded, match=r"may take 40\.96"), instrument.budget(usd=1):
        unlimited("three")
    assert ["a call without an output limit reserves 4096 output tokens"] == events(recording, "BUDGET_NOTICE")


def test_a_budget_of_calls_needs_no_output_limit(recording: Recording) -> None:
    """What a call reserves of tokens is said only where tokens or money are limited."""

    @instrument.llm_call
    def unlimited(prompt: str, model: str = "m") -> str:
        return "answer"

    with instrument.budget(calls=2):
        unlimited("one")
    assert [] == events(recording, "BUDGET_NOTICE")


def test_the_assumed_output_is_a_setting() -> None:
    """`budget.assumed_output` says what a call without a limit reserves."""

    @instrument.llm_call
    def unlimited(prompt: str, model: str = "m") -> str:
        return "answer"

    with (
        record(prices=PRICE, budget={"assumed_output": 7}),
        pytest.raises(BudgetExceeded, match=r"may take 0\.07"),
        instrument.budget(usd="0.01"),
    ):
        unlimited("one")


def test_unpriced_model_passes_with_a_warning(recording: Recording) -> None:
    """A budget in money that is not strict says that it cannot hold a model without a price."""
    with instrument.budget(usd="0.01"):
        ask("hello", model="nobody-knows-this-model")
    said = "the model nobody-knows-this-model has no known price: a budget in money cannot hold it"
    assert [said] == events(recording, "BUDGET_NOTICE")


def test_an_outer_call_gives_way_to_the_inner_one(recording: Recording) -> None:
    """Where a decorated call makes a recorded call, that one is counted and the outer one is not."""

    @instrument.llm_call
    def outer(prompt: str, model: str = "m", max_tokens: int = 50) -> str:
        return ask(prompt)[0]

    with instrument.budget(usd="0.60") as scope:
        outer("hello")
    assert (Decimal("0.05"), 1) == (scope.usd, scope.calls)


def test_tokens_are_limited(recording: Recording) -> None:
    """A budget of tokens counts what goes in and what comes out."""
    with instrument.budget(tokens=30) as scope:
        ask("hello")
        with pytest.raises(BudgetExceeded, match=r"allows 30 tokens: 6 spent, 0 reserved .* may take \d+"):
            ask("hello", max_tokens=25)
    assert 6 == scope.tokens


def test_time_is_limited(recording: Recording) -> None:
    """A budget of no seconds allows no call."""
    with pytest.raises(BudgetExceeded, match="allows 0 seconds"), instrument.budget(seconds=0):
        ask("hello")


@pytest.mark.parametrize("limits", [{"calls": "0"}, {"tokens": " 9 "}, {"seconds": "0.0"}])
def test_limits_may_be_text(limits: dict[str, Any], recording: Recording) -> None:
    """A limit as the environment gives it holds as a number does."""
    with pytest.raises(BudgetExceeded), instrument.budget(**limits):
        ask("hello")


def test_tasks_share(recording: Recording) -> None:
    """Tasks that run at once cannot pass the limit together."""

    @instrument.llm_call
    async def wait(prompt: str, gate: asyncio.Event, model: str = "m", max_tokens: int = 9) -> Any:
        await gate.wait()
        return "answer", {"input_tokens": 1, "output_tokens": 5}

    async def together() -> list[bool]:
        gate = asyncio.Event()
        tasks = [asyncio.create_task(wait("hello", gate)) for _ in range(20)]
        await asyncio.sleep(0)
        gate.set()
        return [isinstance(done, BudgetExceeded) for done in await asyncio.gather(*tasks, return_exceptions=True)]

    with instrument.budget(usd="1.00"):
        assert 11 == asyncio.run(together()).count(False)


def test_a_forked_child_does_not_settle_its_parents_calls(recording: Recording) -> None:
    """A call that was running at a fork is the parent's: the child's end of it changes no account."""
    with instrument.budget(usd=1) as scope, instrument.span("outer", kind="llm") as live:
        pid = os.fork()
        if pid == 0:
            live.usage(input=1, output=5, model="m")
            live.end()
            os._exit(scope.usd != 0)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_warning_is_kept_though_its_trace_is_not() -> None:
    """Sampling does not hide that a budget runs out."""
    with record(prices=PRICE, sample_rate=0) as recording, instrument.budget(calls=2), instrument.span("root"):
        ask("hello")
    assert [("the budget is 50% spent: 1 of 2 calls", None)] == [(log.message, log.trace_id) for log in recording.logs]


calls = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 40)), max_size=12)


@given(calls, st.integers(0, 100))
def test_spent_and_reserved_never_pass_the_limit(taken: list[tuple[int, int]], cents: int) -> None:
    """For all calls that keep their limits: what is spent and reserved together stays within the budget."""
    with record(prices=PRICE, loops={"action": "off"}), instrument.budget(usd=Decimal(cents) / 100) as scope:
        for reserved, took in taken:
            with suppress(BudgetExceeded):
                answer_of(min(took, reserved))("hello", max_tokens=reserved)
        assert scope.usd + scope.reserved_usd <= Decimal(cents) / 100


def test_a_call_that_ends_in_the_middle_of_anothers_turn_is_settled(recording: Recording) -> None:
    """The garbage collector may end a dropped stream while its thread reserves: it is counted when that is done."""

    @instrument.llm_call
    def stream(prompt: str, model: str = "m", max_tokens: int = 9) -> Iterator[str]:
        yield "five words that were told"

    with instrument.budget(usd=1) as scope:
        dropped: list[Any] = [stream("hello")]
        next(dropped[0])
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(scope, "_excess", lambda spent, ask: dropped.clear())
            ask("hello")
        assert (2, Decimal(0)) == (scope.calls, scope.reserved_usd)
        assert Decimal("0.05") < scope.usd


def test_threads_that_enter_a_trace_at_once_share_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a trace that began in another process there is one budget here, whichever thread is the first to make it."""
    guard, call = BudgetGuard(Prices(), limits := Limits(calls=1)), LiveSpan()
    call.trace_id, call.parent_id = "a" * 32, "b" * 16
    of_another_thread: list[Budget] = []

    def overtaken(limits: Limits) -> Budget:
        monkeypatch.undo()
        of_another_thread.append(guard._of_trace(call, limits))
        return Budget(limits)

    monkeypatch.setattr(budgets, "Budget", overtaken)
    assert guard._of_trace(call, limits) is of_another_thread[0]


# To the last token and cent


CENT = Decimal("0.01")


@pytest.mark.parametrize(
    ("limits", "ask", "dearer"),
    [
        (Limits(tokens=10), Ask(None, 3), Ask(None, 4)),
        (Limits(usd=9 * CENT), Ask(2 * CENT, 0), Ask(Decimal("0.0200000001"), 0)),
    ],
    ids=["tokens", "money"],
)
def test_what_fills_a_budget_to_the_last_fits(limits: Limits, ask: Ask, dearer: Ask) -> None:
    """Spent, reserved and asked may be the limit together; what is more does not fit."""
    spent = Spent(usd=4 * CENT, tokens=4, reserved_usd=3 * CENT, reserved_tokens=3)
    assert (True, False) == tuple(excess(limits, spent, one, "the budget") is None for one in (ask, dearer))


@pytest.mark.parametrize(
    ("limits", "full", "over"),
    [
        (Limits(tokens=10), Spent(tokens=10), Spent(tokens=11)),
        (Limits(usd=CENT), Spent(usd=CENT), Spent(usd=Decimal("0.0100000001"))),
    ],
    ids=["tokens", "money"],
)
def test_a_budget_that_is_spent_to_the_last_is_not_overrun(limits: Limits, full: Spent, over: Spent) -> None:
    """A scope is shut by what passes its limit, not by what reaches it."""
    assert (True, False) == tuple(overrun(limits, one, None, Ask(None, 1), "it") is None for one in (full, over))


def test_a_prompt_may_be_a_tenth_and_fifty_tokens_longer_than_counted() -> None:
    """100 that were counted may turn out to be 160; with one more the count is no longer to be relied on."""
    why = [overrun(Limits(tokens=999), Spent(), Ask(None, 100), Ask(None, took), "it") for took in (160, 161)]
    assert [True, False] == [one is None for one in why]


def test_a_call_that_turns_out_to_have_no_price_counts_with_what_it_reserved() -> None:
    """Its tokens are known, its money is taken to be what was set aside."""
    scope = Budget(Limits(usd=Decimal(1)))
    scope.reserve("call", Ask(CENT, 10))
    scope.settle("call", Ask(None, 5))
    assert (CENT, 5) == (scope.usd, scope.tokens)


def test_a_forked_child_reserves_nothing_for_its_parents_calls() -> None:
    """What runs in the parent is settled there: in the child its reservation would stay for ever."""
    scope = Budget(Limits(usd=Decimal(1)))
    scope.reserve("call", Ask(CENT, 10))
    scope._after_fork()
    assert Decimal(0) == scope.reserved_usd
