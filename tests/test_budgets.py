"""Budgets refuse the next call, not the one after; concurrent calls cannot pass a limit together."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

import instrument
from instrument.errors import BudgetExceeded, SettingsError
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


def test_refusal_by_the_outer_releases_the_inner(recording: Recording) -> None:
    """A call that the outer budget refuses leaves no reservation in the inner one."""
    with instrument.budget(usd="0.08"), instrument.budget(usd="1") as inner:
        with pytest.raises(BudgetExceeded):
            ask("hello")
        assert Decimal(0) == inner.reserved_usd


def test_calls_are_counted(recording: Recording) -> None:
    """A budget of two calls refuses the third."""
    with instrument.budget(calls=2):
        ask("one")
        ask("two")
        with pytest.raises(BudgetExceeded, match="allows 2 model calls"):
            ask("three")
    assert ["one", "two"] == made


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
        gate.wait(10)
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
            pass
        gate.set()
        made_it = sum(a.result() for a in attempts)
    assert 11 == made_it


def test_refused_call_is_recorded_as_failed(recording: Recording) -> None:
    """The trace shows what was refused and why."""
    with pytest.raises(BudgetExceeded), instrument.budget(calls=0):
        ask("hello")
    assert ("error", "instrument.errors.BudgetExceeded") == (
        recording.span("ask").status,
        recording.span("ask").error.type,  # type: ignore[union-attr]  # it failed
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
    assert ["the budget is 50% spent", "the budget is 80% spent", "the budget is 100% spent"] == said


def test_unpriced_model_is_refused_when_strict(recording: Recording) -> None:
    """A strict budget in money refuses a model without a price."""
    with pytest.raises(BudgetExceeded, match="no known price"), instrument.budget(usd=1, strict=True):
        ask("hello", model="nobody-knows-this-model")


@pytest.mark.parametrize("limits", [{"usd": -1}, {"usd": float("nan")}, {"tokens": "many"}, {"calls": True}])
def test_bad_limit_is_named(limits: dict[str, object]) -> None:
    """A limit that is no number at all says which one it is."""
    with pytest.raises(SettingsError, match=next(iter(limits))), instrument.budget(**limits):  # type: ignore[arg-type]  # wrong on purpose
        pass
