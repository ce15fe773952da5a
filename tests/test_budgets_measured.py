"""What `benchmarks/budgets.py` prints at length: processes and threads, a hanging call and a killed worker, one budget."""

from __future__ import annotations

from decimal import Decimal

import pytest

from benchmarks.budgets import LIMIT, RESERVES, TAKES, Found, measure


@pytest.fixture(scope="module")
def found() -> Found:
    return measure(threads=32, attempts=2)


def test_spent_and_reserved_never_pass_the_limit(found: Found) -> None:
    """At no moment, whoever was killed or hung, was more than 1.00 USD spent and reserved."""
    assert found.highest <= LIMIT


def test_the_endpoint_never_owed_more_than_the_limit(found: Found) -> None:
    """Counted where the calls arrive: those answered at 0.05 and those under way at 0.09 are within the limit."""
    assert found.highest_at_endpoint <= LIMIT


def test_what_is_refused_is_never_sent(found: Found) -> None:
    """No refused call arrived at the endpoint, and every other one did."""
    assert (0, found.answered + 1, 0) == (found.refused_but_sent, found.at_endpoint, found.lost)


def test_the_account_is_what_was_taken(found: Found) -> None:
    """Answered calls count with what they took, the killed one with its reservation, as an estimate."""
    assert (found.answered * TAKES + RESERVES, RESERVES, Decimal(0)) == (
        found.spent, found.spent_estimated, found.reserved
    )  # fmt: skip


def test_the_budget_is_used_up(found: Found) -> None:
    """While the one call hangs with what it reserved, the others come as far as there is room for one more."""
    while_it_hung = found.spent - TAKES + RESERVES
    assert LIMIT - RESERVES < while_it_hung <= LIMIT


def test_the_ledger_has_every_answered_call(found: Found) -> None:
    """The rows of the ledger are the calls that were answered, to the cent."""
    assert found.answered * TAKES == found.in_ledger
