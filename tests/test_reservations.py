"""Budgets in the ledger: every step is whole, the dead are settled by whoever comes next, nothing is counted twice."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument.store import ledger, reservations
from instrument.store.processes import Process, is_dead, is_running, this_process
from instrument.store.reservations import Account, Claim, Reservations, Standing, accounts_at
from tests.programs import begun

TEAM = Account("team", "2026-11-27")


def allow(standing: Standing) -> None:
    return None


def no_share(standing: Standing) -> int:
    return 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def accounts(path: Path) -> Iterator[Reservations]:
    with closing(Reservations(path)) as opened:
        yield opened


def claim(call: str, usd: str | None = "0.09", tokens: int = 9) -> Claim:
    return Claim(call, None if usd is None else Decimal(usd), tokens)


def test_a_reservation_is_set_aside(accounts: Reservations) -> None:
    """What a running call may take stands beside what was spent."""
    accounts.reserve(TEAM, claim("a"), allow)
    assert Standing(Decimal(0), 0, 1, Decimal("0.09"), 9) == accounts.standing(TEAM)


def test_settling_replaces_the_reservation(accounts: Reservations) -> None:
    """After the call only what it took counts."""
    accounts.reserve(TEAM, claim("a"), allow)
    accounts.settle(TEAM, claim("a", "0.05", 5), no_share)
    assert Standing(Decimal("0.05"), 5, 1, Decimal(0), 0) == accounts.standing(TEAM)


def test_settling_twice_counts_once(accounts: Reservations) -> None:
    """A second settlement of one call changes nothing."""
    accounts.reserve(TEAM, claim("a"), allow)
    accounts.settle(TEAM, claim("a", "0.05", 5), no_share)
    assert None is accounts.settle(TEAM, claim("a", "0.05", 5), no_share)
    assert Decimal("0.05") == accounts.standing(TEAM).usd


def test_what_is_given_back_leaves_nothing(accounts: Reservations) -> None:
    """A call that was not made is neither spent nor reserved nor counted."""
    accounts.reserve(TEAM, claim("a"), allow)
    accounts.give_back(TEAM, "a")
    assert Standing(Decimal(0), 0, 0, Decimal(0), 0) == accounts.standing(TEAM)


def test_a_refused_call_reserves_nothing(accounts: Reservations) -> None:
    """Where a reason is given against the call, that reason is the answer and nothing changes."""
    assert ("no", 0) == accounts.reserve(TEAM, claim("a"), lambda standing: "no")
    assert Standing(Decimal(0), 0, 0, Decimal(0), 0) == accounts.standing(TEAM)


def test_one_call_reserves_once(accounts: Reservations) -> None:
    """Two scopes of one name around the same call are one account, and it does not stand in its own way."""
    seen: list[Standing] = []
    accounts.reserve(TEAM, claim("a"), seen.append)
    accounts.reserve(TEAM, claim("a"), seen.append)
    assert ([0, 0], Decimal("0.09")) == ([one.reserved_usd for one in seen], accounts.standing(TEAM).reserved_usd)


@pytest.mark.parametrize("other", [Account("team", "2026-11-28"), Account("others", "2026-11-27")])
def test_accounts_are_apart(other: Account, accounts: Reservations) -> None:
    """Another name, or another day, is another account."""
    accounts.reserve(TEAM, claim("a"), allow)
    assert Standing(Decimal(0), 0, 0, Decimal(0), 0) == accounts.standing(other)


def test_a_share_is_told_once(accounts: Reservations, path: Path) -> None:
    """Of all processes one is told that half of the budget is spent."""
    for call in ("a", "b"):
        accounts.reserve(TEAM, claim(call), allow)
    with closing(Reservations(path)) as others:
        told = [one.settle(TEAM, claim(call), lambda standing: 50) for one, call in ((accounts, "a"), (others, "b"))]
    assert [50, None] == [None if booked is None else booked.passed for booked in told]


@given(st.lists(st.tuples(st.decimals(0, 10, places=12), st.booleans()), max_size=8))
def test_an_account_is_exact(tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[Decimal, bool]]) -> None:
    """Whatever is reserved, settled and given back, the account is the exact sum of what was settled."""
    with closing(Reservations(tmp_path_factory.mktemp("exact") / "ledger.db")) as accounts:
        for number, (usd, is_made) in enumerate(calls):
            accounts.reserve(TEAM, claim(str(number), "1"), allow)
            if is_made:
                accounts.settle(TEAM, Claim(str(number), usd, 1), no_share)
            else:
                accounts.give_back(TEAM, str(number))
        assert sum((usd for usd, is_made in calls if is_made), Decimal(0)) == accounts.standing(TEAM).usd


def test_threads_cannot_pass_a_limit_together(accounts: Reservations) -> None:
    """The look at the account and the reservation are one step."""

    def attempt(number: int) -> None:
        accounts.reserve(TEAM, claim(str(number)), lambda s: "full" if s.reserved_usd + Decimal("0.09") > 1 else None)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Decimal("0.99") == accounts.standing(TEAM).reserved_usd


# Processes that died

DYING = """
import os, signal, sys
from decimal import Decimal
from pathlib import Path
from instrument.store.reservations import Account, Claim, Reservations
accounts, team = Reservations(Path(sys.argv[1])), Account("team", "2026-11-27")
accounts.reserve(team, Claim("theirs", Decimal("0.09"), 9), lambda standing: None)
if sys.argv[2] == "sent":
    accounts.mark_sent(team, "theirs")
print("reserved", flush=True)
sys.stdin.read()
"""


def dying(path: Path, state: str) -> subprocess.Popen[str]:
    """A process that has a reservation, `sent` or not, and waits to be killed."""
    process = begun("-c", DYING, path, state)
    assert process.stdout is not None
    assert "reserved\n" == process.stdout.readline()
    return process


def end(process: subprocess.Popen[str], how: int) -> None:
    process.send_signal(how)
    process.communicate(timeout=20)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("reserved", Standing(Decimal(0), 0, 0, Decimal(0), 0)),
        ("sent", Standing(Decimal("0.09"), 9, 1, Decimal(0), 0)),
    ],
)
def test_a_dead_process_is_settled_by_the_next(
    state: str, expected: Standing, accounts: Reservations, path: Path
) -> None:
    """A call that had not been sent gives its reservation back; one that had been is settled at the reservation."""
    end(dying(path, state), signal.SIGKILL)
    assert expected == accounts.standing(TEAM)


def test_a_dead_process_is_settled_once(accounts: Reservations, path: Path) -> None:
    """Whoever comes after the next finds nothing left to settle."""
    end(dying(path, "sent"), signal.SIGKILL)
    assert [1, 0] == [accounts.reserve(TEAM, claim(call), allow).buried for call in ("a", "b")]


def test_what_a_dead_process_took_is_an_estimate(accounts: Reservations, path: Path) -> None:
    """The account says how much of it is not known but assumed."""
    accounts.reserve(TEAM, claim("known"), allow)
    accounts.settle(TEAM, claim("known", "0.01", 5), no_share)
    end(dying(path, "sent"), signal.SIGKILL)
    accounts.standing(TEAM)
    with closing(ledger.open_ledger(path)) as connection:
        assert [("0.1", "0.09")] == connection.execute("SELECT usd, estimated FROM budgets").fetchall()


def test_a_process_that_lives_keeps_its_reservation(accounts: Reservations, path: Path) -> None:
    """A slow process, even a stopped one, is not a dead one."""
    process = dying(path, "sent")
    process.send_signal(signal.SIGSTOP)
    try:
        assert Decimal("0.09") == accounts.standing(TEAM).reserved_usd
    finally:
        process.send_signal(signal.SIGCONT)
        end(process, signal.SIGKILL)


def test_who_was_taken_for_dead_settles_all_the_same(
    accounts: Reservations, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was assumed of a call gives way to what it took."""
    accounts.reserve(TEAM, claim("a"), allow)
    accounts.mark_sent(TEAM, "a")
    with closing(Reservations(path)) as others, monkeypatch.context() as patched:
        patched.setattr(reservations, "this_process", lambda: Process(1, "0", "elsewhere/0/0"))
        patched.setattr(reservations, "is_dead", lambda process: True)
        assert Decimal("0.09") == others.standing(TEAM).usd
    accounts.settle(TEAM, claim("a", "0.05", 5), no_share)
    assert Standing(Decimal("0.05"), 5, 1, Decimal(0), 0) == accounts.standing(TEAM)


@pytest.mark.parametrize(
    ("hours", "reserved"), [(0.5, Decimal("0.09")), (2, Decimal(0))], ids=["of late", "of long ago"]
)  # fmt: skip
def test_a_machine_that_cannot_be_asked_is_given_an_hour(
    hours: float, reserved: Decimal, accounts: Reservations, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reservation from elsewhere counts for an hour, then as one of a dead process."""
    with monkeypatch.context() as patched:
        patched.setattr(reservations, "this_process", lambda: Process(7, "1", "another/1/1"))
        accounts.reserve(TEAM, claim("a"), allow)
    with closing(ledger.open_ledger(path)) as connection:
        connection.execute("UPDATE reservations SET time_ns = time_ns - ?", (int(hours * 3600e9),))
    assert reserved == accounts.standing(TEAM).reserved_usd


def test_this_process_lives() -> None:
    """The process that asks is not dead."""
    assert False is is_dead(this_process())


def test_a_pid_that_is_used_again_is_another_process() -> None:
    """A process is told by pid and start."""
    assert True is is_dead(this_process()._replace(started="1"))


def test_a_process_before_the_last_boot_is_dead() -> None:
    """What ran before the machine started anew runs no more."""
    mine = this_process()
    assert True is is_dead(mine._replace(machine=mine.machine.rpartition("/")[0] + "/another-boot"))


def test_a_process_in_another_space_of_pids_cannot_be_told() -> None:
    """Of a container's or another machine's process nothing is known."""
    assert None is is_dead(this_process()._replace(machine="another/1/1"))


@pytest.mark.skipif(not Path("/proc/self/comm").exists(), reason="needs the names of processes")
def test_a_process_whose_name_is_cut_within_a_character_lives() -> None:
    """The system cuts names after 15 bytes, which need be no valid UTF-8 then."""
    name = Path("/proc/self/comm")
    before = name.read_bytes()
    name.write_bytes("xагент-прогон".encode()[:15])
    try:
        assert False is is_dead(this_process())
    finally:
        name.write_bytes(before)


ENDED = """
import os
from instrument.store.processes import this_process

print(this_process().started, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_zombie_is_dead() -> None:
    """A killed process that nobody has waited for, as in a container without an init, runs no more."""
    with begun("-c", ENDED) as process:
        assert process.stdout is not None
        zombie = this_process()._replace(pid=process.pid, started=process.stdout.readline().strip())
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        now = time.time_ns()
        assert (True, True, False) == (bool(zombie.started), is_dead(zombie), is_running(zombie.pid, now, "run"))


def test_the_place_of_the_accounts_is_the_ledger(path: Path) -> None:
    """The accounts lie in the database that the ledger's address names."""
    with closing(accounts_at(f"sqlite:///{path}")) as accounts:
        accounts.reserve(TEAM, claim("a"), allow)
    assert [] == list(ledger.rows(path))
