"""`budget(name=…, period=…)`: processes share one account in the ledger, and a ledger that fails lets no money out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import instrument
from instrument.errors import BudgetExceeded, SettingsError
from instrument.record import shared
from instrument.record.joint import Joint
from instrument.record.scopes import Ask, scope_of
from instrument.store import ledger
from instrument.store.reservations import Reservations
from instrument.testing import Recording, record
from tests.programs import begun

PRICE = {"m": {"input": "0", "output": "10000"}}  # a cent a token of output


@instrument.llm_call
def ask(prompt: str, model: str = "m", max_tokens: int = 9) -> tuple[str, dict[str, int]]:
    return "answer", {"input_tokens": 1, "output_tokens": 5}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def recording(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recording]:
    at(monkeypatch, 2026, 11, 27, 10)  # no test is of two days because it runs at midnight
    with record(prices=PRICE, ledger={"url": f"sqlite:///{path}"}) as recording:
        yield recording


def account(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT name, usd, tokens, calls FROM budgets ORDER BY name, window").fetchall()


def at(monkeypatch: pytest.MonkeyPatch, *when: int) -> None:
    """The wall clock of shared budgets stands still at this time in UTC."""
    seconds = datetime(*when, tzinfo=UTC).timestamp()  # type: ignore[arg-type, misc]  # year, month, day, hour
    monkeypatch.setattr(shared.time, "time", lambda: seconds)


def test_two_blocks_of_one_name_share(recording: Recording, path: Path) -> None:
    """What the first block spent is spent in the second."""
    for _ in range(2):
        with instrument.budget(usd=1, name="team", period="day") as scope:
            ask("hello")
    assert [("team", "0.1", 12, 2)] == account(path)
    assert Decimal("0.10") == scope.usd


def test_a_secret_in_the_name_is_not_stored(recording: Recording, path: Path) -> None:
    """A budget for each key of a service is one account, which does not tell the key."""
    for _ in range(2):
        with instrument.budget(usd=1, name="key sk-proj-aB3dE5gH7jK9mN1pQ3sT5vW7", period="day"):
            ask("hello")
    assert [("key [redacted:f1cf3acc126a]", 2)] == [(name, calls) for name, _, _, calls in account(path)]


def test_without_a_period_blocks_are_apart(recording: Recording, path: Path) -> None:
    """A name alone is for messages; nothing is shared and no ledger is made."""
    with instrument.budget(usd=1, name="team"):
        ask("hello")
    assert not path.exists()


@pytest.mark.parametrize(
    ("period", "later"),
    [
        ("hour", (2026, 11, 27, 11)),
        ("day", (2026, 11, 28, 10)),
        ("week", (2026, 11, 30, 10)),
        ("month", (2026, 12, 1, 10)),
        ("year", (2027, 1, 1, 10)),
    ],
)
def test_each_period_begins_anew(
    period: str, later: tuple[int, ...], recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the next hour, day, week, month or year the account is empty and the scope open again, block or no block."""
    with instrument.budget(calls=1, name="team", period=period):
        at(monkeypatch, 2026, 11, 27, 10)
        ask("one")
        with pytest.raises(BudgetExceeded):
            ask("two")
        at(monkeypatch, *later)
        ask("three")


def test_a_call_counts_in_the_hour_in_which_it_was_made(
    recording: Recording, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was reserved before midnight is settled on that day, however late it ends."""
    at(monkeypatch, 2026, 11, 27, 23)
    with instrument.budget(usd=1, name="team", period="day") as scope:
        scope.bind(str(path))
        scope.reserve("call", Ask(Decimal("0.09"), 9))
        at(monkeypatch, 2026, 11, 28, 0)
        scope.settle("call", Ask(Decimal("0.05"), 6))
    with closing(sqlite3.connect(path)) as connection:
        assert [("2026-11-27", "0.05")] == connection.execute("SELECT window, usd FROM budgets").fetchall()


def test_a_call_that_is_given_back_in_the_next_hour_makes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """What still runs when an hour begins counts in it, until it has ended."""
    at(monkeypatch, 2026, 11, 27, 11)
    scope = scope_of({"calls": 9, "name": "team", "period": "hour"})
    scope.reserve("one", Ask(None, 9))
    at(monkeypatch, 2026, 11, 27, 12)
    scope.reserve("other", Ask(None, 9))
    scope.settle("one", None)
    assert 1 == scope.calls


def test_total_is_never_renewed(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """The period `total` lasts for ever."""
    at(monkeypatch, 2026, 11, 27, 10)
    with instrument.budget(calls=1, name="team", period="total"):
        ask("one")
    at(monkeypatch, 2036, 11, 27, 10)
    with (
        pytest.raises(BudgetExceeded, match="'team' allows 1"),
        instrument.budget(calls=1, name="team", period="total"),
    ):
        ask("two")


def test_the_refusal_names_the_day(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what was spent, reserved and asked, and for what day."""
    at(monkeypatch, 2026, 11, 27, 10)
    expected = r"'team' of 2026-11-27 UTC allows 0.10 USD: 0.05 spent, 0 reserved .* may take 0.09"
    with instrument.budget(usd="0.10", name="team", period="day"):
        ask("one")
        with pytest.raises(BudgetExceeded, match=expected):
            ask("two")


def test_a_nested_shared_budget_draws_on_both(recording: Recording, path: Path) -> None:
    """A call inside counts in the account of the team and in that of the company."""
    with (
        instrument.budget(usd=9, name="company", period="month"),
        instrument.budget(usd=1, name="team", period="day"),
    ):
        ask("hello")
    assert [("company", "0.05", 6, 1), ("team", "0.05", 6, 1)] == account(path)


def test_one_name_twice_counts_once(recording: Recording, path: Path) -> None:
    """A function that opens the budget which its caller has opened does not count the call twice."""
    with instrument.budget(usd=1, name="team", period="day"), instrument.budget(usd=1, name="team", period="day"):
        ask("hello")
    assert [("team", "0.05", 6, 1)] == account(path)


def test_tokens_said_by_hand_are_booked(recording: Recording, path: Path) -> None:
    """A span that says its usage by itself counts in the account as well."""
    with instrument.budget(usd=1, name="team", period="day"), instrument.span("by hand") as live:
        live.usage(input=1, output=5, model="m")
    assert [("team", "0.05", 6, 1)] == account(path)


def test_an_agents_budget_may_be_shared(recording: Recording, path: Path) -> None:
    """`@agent(budget={"name": …, "period": …})` draws each run on the same account."""

    @instrument.agent(budget={"usd": "0.10", "name": "team", "period": "day"})
    def run() -> None:
        ask("hello")

    run()
    with pytest.raises(BudgetExceeded):
        run()
    assert [("team", "0.05", 6, 1)] == account(path)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"period": "fortnight", "name": "team"}, "fortnight"),
        ({"period": "day"}, "needs a name"),
        ({"period": "day", "name": "\udcff"}, "valid Unicode"),
    ],
)
def test_a_period_that_cannot_be_one_is_named(given: dict[str, Any], named: str) -> None:
    """An unknown period, or one without a name, is a `SettingsError` that says so."""
    with pytest.raises(SettingsError, match=named), instrument.budget(usd=1, **given):
        pass


def test_a_call_that_may_take_any_number_of_tokens_is_held(recording: Recording, path: Path) -> None:
    """Its reservation is entered, also where the number is one that no database holds."""
    with instrument.budget(calls=1, name="team", period="day"):
        ask("hello", max_tokens=2**64)
    assert ({}, [("team", "0.05", 6, 1)]) == (recording.flush().lost, account(path))


def test_a_settlement_that_can_never_be_entered_holds_up_no_other(path: Path) -> None:
    """It is raised once; what waits behind it is entered."""
    ledger_of_all, done = Joint(str(path)), list[str]()
    with pytest.raises(OverflowError):
        ledger_of_all.enter(lambda accounts: [].pop(2**99))
    ledger_of_all.enter(lambda accounts: done.append("next"))
    assert ["next"] == done


# A ledger that cannot be used


@pytest.fixture
def unusable(path: Path) -> Path:
    """In place of the ledger lies the database of something else."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (a)")
    return path


def test_strict_refuses_without_its_ledger(unusable: Path, recording: Recording) -> None:
    """Where the account cannot be read a strict budget lets nothing pass, and says why."""
    with (
        pytest.raises(BudgetExceeded, match=r"strict and cannot use its ledger.*database of something else"),
        instrument.budget(usd=1, name="team", period="day", strict=True),
    ):
        ask("hello")


def test_others_count_alone_without_their_ledger(unusable: Path, recording: Recording) -> None:
    """Any other budget holds what this process spends."""
    with instrument.budget(usd="0.10", name="team", period="day"):
        ask("one")
        with pytest.raises(BudgetExceeded):
            ask("two")


def test_what_could_not_be_entered_is_entered_later(recording: Recording, path: Path) -> None:
    """A settlement that finds the ledger locked is made up for with the next one."""
    with instrument.budget(usd=1, name="team", period="day") as scope:
        ask("one")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(ledger, "transaction", _locked)
            ask("two")
        ask("three")
    assert [("team", "0.15", 18, 3)] == account(path)
    assert Decimal("0.15") == scope.usd


def _locked(connection: sqlite3.Connection) -> Any:
    raise sqlite3.OperationalError("database is locked")


# Processes

WORKER = """
import sys, threading
import instrument
from instrument import BudgetExceeded, budget, llm_call

@llm_call
def ask(prompt, model="m", max_tokens=9):
    return "answer", {"input_tokens": 1, "output_tokens": 5}

made = 0
with budget(usd="1.00", name="team", period="total"):
    for n in range(10):
        try:
            ask("hello")
        except BudgetExceeded:
            break
        made += 1
print(made)
"""


def test_processes_share(path: Path) -> None:
    """Four processes that want 0.50 each come to no more than the 1.00 that they share."""
    (path.parent / "own.toml").write_text("sinks = []\n[prices.m]\ninput = 0\noutput = 10000\n")
    told = {"INSTRUMENT_CONFIG": "own.toml", "INSTRUMENT_LEDGER__URL": f"sqlite:///{path}"}
    workers = [begun("-c", WORKER, cwd=path.parent, **told) for _ in range(4)]
    made = [int(worker.communicate(timeout=150)[0]) for worker in workers]
    [(_, usd, _, calls)] = account(path)
    assert sum(made) == calls
    assert Decimal("0.91") < Decimal(usd) <= Decimal("1.00")


def test_a_call_that_ends_in_the_middle_of_anothers_turn_is_settled(recording: Recording, path: Path) -> None:
    """The garbage collector may end a dropped stream while its thread reserves: no standstill, and nothing is lost."""

    @instrument.llm_call
    def stream(prompt: str, model: str = "m", max_tokens: int = 9) -> Iterator[str]:
        yield "five words that were told"

    with instrument.budget(usd=1, name="team", period="day") as scope:
        dropped: list[Any] = [stream("hello")]
        next(dropped[0])
        reserve = Reservations.reserve

        def dropping(accounts: Reservations, *args: Any) -> Any:
            with accounts._turn():
                dropped.clear()
            return reserve(accounts, *args)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Reservations, "reserve", dropping)
            ask("hello")
        assert (2, Decimal(0)) == (scope.calls, scope.reserved_usd)


@pytest.mark.parametrize("verb", ["settle", "spend"])
def test_what_comes_in_the_middle_of_a_change_is_booked_once(path: Path, verb: str) -> None:
    """The garbage collector may end a call while a change of its budget is under way: the ledger has it once as well."""
    scope = scope_of({"usd": 1, "name": "team", "period": "total"})
    scope.bind(f"sqlite:///{path}")
    took = Ask(Decimal("0.25"), 10)
    if verb == "settle":
        scope.reserve("call", took)
    with scope._turn():
        getattr(scope, verb)("call", took)
    assert [("team", "0.25", 10, 1)] == account(path)


def test_the_settings_have_a_budget_that_processes_share(path: Path) -> None:
    """With a period the limits of the settings are those of all traces together, kept in the ledger."""
    limits = {"calls": 2, "name": "team", "period": "total"}
    with record(prices=PRICE, budget=limits, ledger={"url": f"sqlite:///{path}"}):
        ask("one")
        ask("two")
        with pytest.raises(BudgetExceeded, match="the budget 'team' allows 2 model calls"):
            ask("three")
    assert [("team", 2)] == [(name, calls) for name, _, _, calls in account(path)]


@pytest.mark.parametrize(
    ("budget", "model"), [({"usd": "0.08"}, "m"), ({"tokens": 9}, "m"), ({"seconds": 0}, "m"),
                          ({"usd": 9, "strict": True}, "nobody-knows")],
)  # fmt: skip
def test_each_limit_of_the_settings_holds(budget: dict[str, Any], model: str) -> None:
    """Money, tokens, time and strictness from the settings refuse the call that does not fit."""
    with record(prices=PRICE, budget=budget), instrument.span("root"), pytest.raises(BudgetExceeded):
        ask("hello", model=model)
