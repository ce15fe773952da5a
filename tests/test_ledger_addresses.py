"""A ledger is the same wherever it lies: an SQLite file and a real PostgreSQL server pass one suite."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import instrument
from instrument.cli.main import main
from instrument.errors import InstrumentError, SettingsError
from instrument.model import Batch, Cost, Span, Update, Usage
from instrument.sinks.ledger import LedgerSink
from instrument.sinks.postgres import PostgresLedgerSink
from instrument.store import ledgers
from instrument.store.entries import By, Row, added_up
from instrument.store.processes import Process
from instrument.store.reservations import Account, Claim, Standing, accounts_at
from tests.engines.postgres import Postgres, missing, postgres
from tests.programs import begun

NOW = 1_800_000_000 * 10**9


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    why = missing()
    if why is not None:
        pytest.skip(why)
    with postgres() as server:
        yield server


@pytest.fixture
def database(server: Postgres) -> str:
    return server.database()


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty ledger of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    found: str = request.getfixturevalue("database")
    return found


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:geheim@h1:5432,h2:5433/db?sslmode=require", "postgresql://h1:5432,h2:5433/db"),
        ("postgres://[::1]:5432/db", "postgresql://[::1]:5432/db"),
        ("postgresql://u:ge@heim@h/db", "postgresql://h/db"),
        ("postgresql:///db?password=geheim", "postgresql:///db"),
        ("postgresql://u:ge/heim@h/db", "postgresql://…"),
        ("postgresql://u:ge?heim@h/db", "postgresql://…"),
        ("postgresql://u:ge[heim@h/db", "postgresql://h/db"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, expected: str) -> None:
    """Several hosts, and passwords that should have been encoded, included: what cannot be told apart is not shown."""
    assert expected == ledgers.told(url)


def row(number: int = 0, **fields: Any) -> Row:
    taken = {
        "time_ns": NOW + number, "run": "r", "trace_id": "t", "span_id": f"s{number}", "operation": "think",
        "model_requested": "m", "input": 10, "cached": 2, "output": 5, "usd": "0.03", "usd_input": "0.01",
        "usd_output": "0.02", "basis": "priced", "user": "ann", "cache_write_1h": 1, "web_searches": 3,
    }  # fmt: skip
    return Row(**{**taken, **fields})


def span(number: int = 0) -> Span:
    return Span(
        run="r", trace_id="t", span_id=f"s{number}", start_ns=NOW + number, duration_ns=1, kind="llm", name="think",
        status="ok", usage=Usage(input=10, output=5), cost=Cost(usd="0.03", basis="priced"),
    )  # fmt: skip


# Rows and totals


def test_rows_come_back_as_they_were(address: str) -> None:
    """Every column, unknown ones and the smallest amounts among them."""
    expected = [row(0, usd="0.000000000000000123"), row(1, usd=None, user=None, basis="unpriced")]
    ledgers.enter(address, expected)
    assert expected == list(ledgers.rows(address))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(st.lists(st.none() | st.decimals(min_value=0, max_value=1000, places=12).map("{:f}".format), max_size=6))
def test_totals_are_exact(database: str, usd: list[str | None]) -> None:
    """For all amounts, PostgreSQL adds up what Python adds up, to the last digit."""
    import psycopg

    ledgers.enter(database, [row(n, usd=one) for n, one in enumerate(usd)])
    [total] = ledgers.totals(database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE instrument_calls")
    known = [Decimal(one) for one in usd if one is not None]
    assert (sum(known) if known or not usd else None) == total.usd


def test_both_add_up_the_same(database: str, tmp_path: Path) -> None:
    """Totals of both are equal, whatever they are grouped by, in the same order."""
    usd = ["0.1", "0.2", "0.000000000001", None, "12345.678901234567"]
    found = [
        row(
            n,
            usd=one,
            basis="unpriced" if one is None else "priced",
            operation=f"op{n % 2}",
            user=f"user{n % 2}",
            time_ns=NOW + n * 86_400 * 10**9,
        )
        for n, one in enumerate(usd)
    ]
    file = tmp_path / "ledger.db"
    for place in (file, database):
        ledgers.enter(place, found)
    for by in (None, *get_args(By)):
        assert ledgers.totals(file, by) == ledgers.totals(database, by)
    assert Decimal("12345.978901234568") == added_up(ledgers.totals(database)).usd


def test_an_estimate_does_not_replace_a_report(address: str) -> None:
    """Entering a call again changes its row, but never from reported to estimated."""
    ledgers.enter(address, [row(0, source="estimated", usd="1")])
    ledgers.enter(address, [row(0, usd="2")])
    ledgers.enter(address, [row(0, source="estimated", usd="3")])
    assert ["2"] == [one.usd for one in ledgers.rows(address)]


def test_characters_that_a_database_cannot_hold(address: str) -> None:
    """A zero byte in a name costs no row."""
    ledgers.enter(address, [row(0, operation="a\0b")])
    assert 1 == len(list(ledgers.rows(address)))


def test_since_and_until(address: str) -> None:
    """Only the calls of that time."""
    ledgers.enter(address, [row(n) for n in range(5)])
    assert ["s1", "s2"] == [one.span_id for one in ledgers.rows(address, NOW + 1, NOW + 3)]


# The sink


def test_a_program_enters_its_calls(database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With `ledger.url` a program's calls are in PostgreSQL, and `costs` shows them."""
    instrument.configure(
        dir=tmp_path, sinks=["ledger"], ledger={"url": database}, prices={"m": {"input": "1", "output": "2"}}
    )

    @instrument.llm_call(model="m")
    def think() -> Any:
        return "hi", {"input_tokens": 1_000_000, "output_tokens": 1_000_000}

    think()
    instrument.shutdown()
    assert 0 == main(["costs", database, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert ("3", False) == (told["total"]["usd"], "geheim" in json.dumps(told))


def test_a_server_that_comes_back_costs_no_row(server: Postgres, database: str, tmp_path: Path) -> None:
    """Rows wait while the server is away, and each is there once afterwards."""
    notices: list[str] = []
    sink = PostgresLedgerSink(database, tmp_path / "aside.db", notices.append)
    sink.write(Batch([span(0)]))
    server.stop("immediate")
    try:
        sink.write(Batch([span(1)]))
    finally:
        server.start()
    sink._try_again = 0.0  # a second is not waited for
    sink.write(Batch([span(2)]))
    sink.close()
    assert (["s0", "s1", "s2"], 1) == ([one.span_id for one in ledgers.rows(database)], len(notices))
    assert not (tmp_path / "aside.db").exists()


def test_a_database_that_cannot_be_written_for_a_while_costs_no_row(database: str, tmp_path: Path) -> None:
    """As the standby after a failover, whose transactions are read-only until it takes over: rows wait."""
    import psycopg

    notices: list[str] = []
    sink = PostgresLedgerSink(database, tmp_path / "aside.db", notices.append)
    sink.write(Batch([span(0)]))
    with psycopg.connect(database, autocommit=True) as connection:
        name = database.rpartition("/")[2]
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        sink._database.close()
        sink.write(Batch([span(1)]))
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    sink._database.close()
    sink._try_again = 0.0  # a second is not waited for
    sink.write(Batch([span(2)]))
    sink.close()
    assert (["s0", "s1", "s2"], 1) == ([one.span_id for one in ledgers.rows(database)], len(notices))


def test_rows_of_a_server_that_stays_away_are_put_aside(tmp_path: Path) -> None:
    """At the end they go to a file on this machine, and it is said how many calls and how to bring them over; no
    password is shown. A price that came later is no call of its own.
    """
    notices: list[str] = []
    sink = PostgresLedgerSink("postgresql://ann:geheim@127.0.0.1:9/none", tmp_path / "aside.db", notices.append)
    late = Update(run="r", trace_id=span(0).trace_id, span_id="s0", usage=Usage(input=1), cost=Cost(usd="1"))
    sink.write(Batch([span(0), late, span(1)]))
    sink.close()
    assert ["s0", "s1"] == [one.span_id for one in ledgers.rows(tmp_path / "aside.db")]
    assert ("2 calls", True, False) == (notices[-1][:7], "ledger copy" in notices[-1], "geheim" in "".join(notices))


# Copying


def test_copy_brings_every_call_over_once(database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Copying again changes nothing, and what was added since comes along."""
    file = tmp_path / "ledger.db"
    ledgers.enter(file, [row(n) for n in range(2_500)])
    for _ in range(2):
        assert 0 == main(["ledger", "copy", str(file), database])
    ledgers.enter(file, [row(9_999)])
    assert 0 == main(["ledger", "copy", str(file), database, "--json"])
    told = capsys.readouterr().out
    assert 2_501 == json.loads(told[told.index("{") :])["calls"]
    assert list(ledgers.rows(file)) == list(ledgers.rows(database))


def test_a_copy_of_an_empty_ledger_is_a_ledger(tmp_path: Path) -> None:
    """Which can be asked."""
    (tmp_path / "from.db").touch()
    assert 0 == main(["ledger", "copy", str(tmp_path / "from.db"), str(tmp_path / "to.db")])
    assert [0] == [total.calls for total in ledgers.totals(tmp_path / "to.db")]


def test_copy_of_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A ledger that is not there is one clear sentence."""
    assert 2 == main(["ledger", "copy", str(tmp_path / "none.db"), str(tmp_path / "to.db")])
    assert "there is no ledger at" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("mysql://ann:geheim@host/x", "mysql://… is no ledger: give a file or postgresql://"),
        ("text.txt", "the ledger text.txt cannot be written: file is not a database"),
        ("text.txt/x.db", "text.txt cannot be read or written: "),
    ],
)
def test_copy_to_what_is_no_ledger_is_one_sentence(
    target: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is made there, and no password is told."""
    monkeypatch.chdir(tmp_path)
    ledgers.enter(Path("from.db"), [row(1)])
    Path("text.txt").write_text("words " * 1000)
    assert 2 == main(["ledger", "copy", "from.db", target])
    told = capsys.readouterr().err
    made = {path.name for path in tmp_path.iterdir()} - {"from.db", "from.db-shm", "from.db-wal", "text.txt"}
    assert (True, False, set()) == (sentence in told, "geheim" in told, made)


def test_copy_into_a_folder_is_copy_into_its_ledger(tmp_path: Path) -> None:
    """As where a folder is read."""
    ledgers.enter(tmp_path / "from.db", [row(1)])
    assert 0 == main(["ledger", "copy", str(tmp_path / "from.db"), str(tmp_path)])
    assert [row(1)] == list(ledgers.rows(tmp_path / "ledger.db"))


# Budgets


DAY = Account("team", "2026-11-27")


def within(limit: str) -> Callable[[Standing], str | None]:
    return lambda standing: "full" if standing.usd + standing.reserved_usd + Decimal("0.09") > Decimal(limit) else None


def claim(call: str, usd: str = "0.09") -> Claim:
    return Claim(call, Decimal(usd), 10)


def nothing(standing: Standing) -> int:
    return 0


def test_what_is_reserved_counts_until_it_is_settled(address: str) -> None:
    """The standing has what was spent and what is reserved, apart."""
    accounts = accounts_at(address)
    accounts.reserve(DAY, claim("a"), within("1"))
    accounts.reserve(DAY, claim("b"), within("1"))
    accounts.settle(DAY, claim("a", "0.05"), nothing)
    assert Standing(Decimal("0.05"), 10, 2, Decimal("0.09"), 10) == accounts.standing(DAY)
    accounts.give_back(DAY, "b")
    assert Standing(Decimal("0.05"), 10, 1, Decimal(0), 0) == accounts.standing(DAY)
    accounts.close()


def test_a_second_settlement_changes_nothing(address: str) -> None:
    """A call is paid once."""
    accounts = accounts_at(address)
    accounts.reserve(DAY, claim("a"), within("1"))
    assert accounts.settle(DAY, claim("a", "0.05"), nothing) is not None
    assert accounts.settle(DAY, claim("a", "0.05"), nothing) is None
    assert Decimal("0.05") == accounts.standing(DAY).usd
    accounts.close()


def test_what_does_not_fit_is_not_reserved(address: str) -> None:
    """The reason comes back, and nothing is set aside."""
    accounts = accounts_at(address)
    assert "full" == accounts.reserve(DAY, claim("a"), within("0.05")).refusal
    assert Standing(Decimal(0), 0, 0, Decimal(0), 0) == accounts.standing(DAY)
    accounts.close()


RESERVES = """
import sys
from decimal import Decimal
from instrument.store.reservations import Account, Claim, accounts_at
accounts, account = accounts_at(sys.argv[1]), Account("team", "2026-11-27")
for call in ("sent", "unsent"):
    accounts.reserve(account, Claim(call, Decimal("0.09"), 10), lambda standing: None)
accounts.mark_sent(account, "sent")
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_killed_process_gives_back_what_it_had_not_sent(address: str) -> None:
    """What it had sent counts as what was reserved for it."""
    with begun("-c", RESERVES, address) as process:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        accounts = accounts_at(address)
        assert Decimal("0.18") == accounts.standing(DAY).reserved_usd
        process.kill()
        process.wait(timeout=20)
    assert Standing(Decimal("0.09"), 10, 1, Decimal(0), 0) == accounts.standing(DAY)
    accounts.close()


def test_a_process_of_another_host_is_told_by_its_lock(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is connected its reservations stand, however old; without a connection they are dealt with in time."""
    from instrument.store import postgres_accounts

    elsewhere, here = (Process(7, "1", f"{name}/space/boot") for name in ("elsewhere", "here"))
    monkeypatch.setattr("instrument.store.processes._machine", lambda: "here/space/boot")
    monkeypatch.setattr(postgres_accounts, "BACK_SECONDS", 0)

    def be(process: Process) -> None:
        monkeypatch.setattr(postgres_accounts, "this_process", lambda: process)
        monkeypatch.setattr("instrument.store.processes.this_process", lambda: process)

    be(elsewhere)
    theirs = accounts_at(database)
    theirs.reserve(DAY, claim("a"), within("1"))
    be(here)
    ours = accounts_at(database)
    assert Decimal("0.09") == ours.standing(DAY).reserved_usd
    theirs.close()
    end = time.monotonic() + 20
    while ours.standing(DAY).reserved_usd and time.monotonic() < end:  # the server has yet to see that they have gone
        time.sleep(0.01)
    assert Decimal(0) == ours.standing(DAY).reserved_usd
    ours.close()


LIMIT = Decimal("1.00")
SPENDS = """
import sys, threading, time
import instrument
from instrument import BudgetExceeded

url, folder = sys.argv[1:]
prices = {"m": {"input": "0", "output": "10000"}}
instrument.configure(dir=folder, sinks=["ledger"], ledger={"url": url}, prices=prices)
made = []

@instrument.llm_call
def ask(prompt, model="m", max_tokens=9):
    made.append(1)
    time.sleep(0.05)  # a model takes its time
    return "answer", {"input_tokens": 0, "output_tokens": 5}

def work():
    patience = time.monotonic() + 60
    while time.monotonic() < patience:
        with instrument.budget(usd="1.00", name="shared", period="total", strict=True):
            try:
                ask("")
            except BudgetExceeded as refused:
                if "cannot use its ledger" not in str(refused):
                    return
                time.sleep(0.05)

threads = [threading.Thread(target=work) for _ in range(8)]
print("ready", flush=True)
sys.stdin.readline()
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
instrument.shutdown()
print(len(made))
"""
"""The threads of one process spend on one budget until it refuses them; while the server is away they try again."""


def test_processes_on_one_budget_while_the_server_crashes(server: Postgres, database: str, tmp_path: Path) -> None:
    """Four processes of eight threads each, the server killed and started in between: never more than the limit is
    spent and reserved, and every call is a row, once."""
    processes = [begun("-c", SPENDS, database, tmp_path / str(n)) for n in range(4)]
    assert ["ready\n"] * 4 == [process.stdout.readline() for process in processes if process.stdout]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    most, crashes = Decimal(0), 0
    deadline = time.monotonic() + 90
    accounts = accounts_at(database)
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        try:
            standing = accounts.standing(Account("shared", ""))
        except InstrumentError:
            continue
        most = max(most, standing.usd + standing.reserved_usd)
        if not crashes and standing.calls:
            server.stop("immediate")
            server.start()
            crashes += 1
    made = sum(int(process.communicate(timeout=20)[0]) for process in processes)
    spent = accounts.standing(Account("shared", ""))
    accounts.close()
    assert (1, True) == (crashes, max(most, spent.usd) <= LIMIT)
    assert (Decimal("0.05") * made, Decimal(0)) == (spent.usd, spent.reserved_usd)
    assert made == len(list(ledgers.rows(database))) == len({one.span_id for one in ledgers.rows(database)})


# Bad use


@pytest.mark.parametrize("url", ["postgresql://host", "postgresql://host:x/db", "mysql://host/db", "sqlite://x"])
def test_an_address_that_cannot_be_one_is_named(url: str) -> None:
    """The setting, its value and what is allowed."""
    with pytest.raises(SettingsError, match=r"ledger\.url"):
        instrument.settings.only(ledger={"url": url})


def test_a_server_that_is_not_there_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback, no password."""
    assert 2 == main(["costs", "postgresql://ann:geheim@127.0.0.1:9/none"])
    told = capsys.readouterr().err
    assert (1, False) == (len(told.strip().splitlines()), "geheim" in told)


def test_a_driver_that_is_missing_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what to install; what a program spends meanwhile is in the file aside."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    notices: list[str] = []
    sink = PostgresLedgerSink("postgresql://127.0.0.1:9/none", tmp_path / "aside.db", notices.append)
    sink.write(Batch([span(0)]))
    sink.close()
    assert (2, ["s0"]) == (
        main(["costs", "postgresql://127.0.0.1:9/none"]),
        [one.span_id for one in ledgers.rows(tmp_path / "aside.db")],
    )
    told = capsys.readouterr().err
    assert all("agent-instrument[postgres]" in said for said in (told, notices[0])) and told.count("\n") == 1


def test_doctor_reaches_the_server(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """It says whether the ledger can be written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INSTRUMENT_LEDGER__URL", database)
    main(["doctor"])
    shown = capsys.readouterr().out
    assert (True, False) == ("can be written" in shown, "geheim" in shown)


def test_a_ledger_of_a_newer_version_is_refused(database: str) -> None:
    """It is not written to."""
    import psycopg

    ledgers.enter(database, [row()])
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE instrument_schema SET version = 99")
    with pytest.raises(InstrumentError, match="newer version"):
        ledgers.enter(database, [row(1)])


def test_a_forked_child_leaves_the_parents_connection_alone(database: str) -> None:
    """Both go on writing."""
    from instrument.store.postgres import Database, write

    shared = Database(database)
    write(shared, [row(0)])
    child = os.fork()
    if child == 0:
        code = 1
        try:
            write(shared, [row(1)])
            code = 0
        finally:
            os._exit(code)
    assert 0 == os.waitpid(child, 0)[1]
    write(shared, [row(2)])
    shared.close()
    assert 3 == len(list(ledgers.rows(database)))


def test_sqlite_stays_what_it_was(tmp_path: Path) -> None:
    """A plain path is an SQLite ledger."""
    sink = LedgerSink(str(tmp_path / "ledger.db"))
    sink.write(Batch([span(0)]))
    sink.close()
    assert ["s0"] == [one.span_id for one in ledgers.rows(tmp_path / "ledger.db")]
