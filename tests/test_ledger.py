"""The ledger and its sink: one row a call, exact money, many processes, nothing lost."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import sys
import tempfile
import threading
import time
from contextlib import closing, nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from instrument.errors import InstrumentError
from instrument.model import Batch, Cost, Log, Record, Span, Update, Usage
from instrument.sinks import ledger as sink_module
from instrument.sinks.ledger import LedgerSink
from instrument.store import ledger
from instrument.store.entries import COLUMNS, Row, Total, added_up
from instrument.store.ledger import rows, totals
from instrument.store.ledgers import file_of
from tests.programs import begun, python

DAY = 86_400 * 10**9
NOW = 20_000 * DAY


def span(number: int = 0, **fields: Any) -> Span:
    taken = {
        "run": "r", "trace_id": "t", "span_id": f"s{number}", "start_ns": NOW + number, "duration_ns": 1, "kind": "llm",
        "name": "think", "status": "ok", "usage": Usage(input=10, cached=2, output=5),
        "cost": Cost(usd="0.03", input="0.01", cached="0", cache_write="0", output="0.02", basis="priced",
                     price_date="x"),
    }  # fmt: skip
    return Span(**{**taken, **fields})


def enter(path: Path, *records: Record) -> None:
    sink = LedgerSink(str(path), notice=unexpected)
    sink.write(Batch(records))
    sink.close()


def unexpected(sentence: str) -> None:
    raise AssertionError(sentence)


def total(path: Path) -> Total:
    [found] = totals(path)
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


# Rows


def test_a_row_holds_all_that_is_known(path: Path) -> None:
    """Every column is filled from the span; encoded attributes are decoded, the tier is that of the answer."""
    attributes = {
        "gen_ai.request.model": Raw(b'"gpt-4.1"'),
        "gen_ai.response.model": "gpt-4.1-2025-04-14",
        "gen_ai.provider.name": "openai",
        "gen_ai.agent.id": "a1",
        "instrument.operation": "create_plan",
        "openai.request.service_tier": "auto",
        "openai.response.service_tier": "flex",
        "session.id": "se",
        "user.id": "us",
    }
    usage = Usage(input=10, cached=2, cache_write=1, output=5, reasoning=3, audio=4)
    enter(path, span(attributes=attributes, usage=usage, status="error"))
    expected = Row(
        time_ns=NOW, run="r", trace_id="t", span_id="s0", agent_id="a1", operation="create_plan",
        model_requested="gpt-4.1", model_answered="gpt-4.1-2025-04-14", provider="openai", input=10, cached=2,
        cache_write=1, output=5, reasoning=3, audio=4, source="reported", usd="0.03", usd_input="0.01", usd_cached="0",
        usd_cache_write="0", usd_output="0.02", basis="priced", price_date="x", status="error", service_tier="flex",
        session="se", user="us",
    )  # fmt: skip
    assert [expected] == list(rows(path))


def test_only_records_with_usage_become_rows(path: Path) -> None:
    """Agents, tools, logs and calls without tokens cost nothing."""
    others = span(1, usage=None, cost=None), span(2, kind="tool", usage=None, cost=None), Log(time_ns=1)
    enter(path, span(0), *others)
    assert ["s0"] == [row.span_id for row in rows(path)]


def test_what_may_become_a_row_is_wanted() -> None:
    """The sink is given that alone: usage of a span of any kind, calls whose usage may come later, and updates."""
    nothing: dict[str, Any] = {"usage": None, "cost": None}
    records = (
        span(kind="tool"),
        span(**nothing),
        Update(trace_id="t", span_id="s0"),
        span(kind="tool", **nothing),
        Log(time_ns=1),
    )
    assert [True, True, True, False, False] == [LedgerSink.wants(record) for record in records]


def test_without_a_row_there_is_no_file(path: Path) -> None:
    """The file is made for the first row, not before."""
    enter(path, span(usage=None, cost=None))
    assert not path.exists()


def test_usage_without_cost_is_unpriced(path: Path) -> None:
    """Tokens without a known price have no money in the ledger, not 0."""
    enter(path, span(cost=None))
    assert [(None, "unpriced")] == [(row.usd, row.basis) for row in rows(path)]


def test_the_same_span_twice_is_one_row(path: Path) -> None:
    """Writing a call again does not bill it again."""
    enter(path, span(), span())
    enter(path, span())
    assert (1, Decimal("0.03")) == (total(path).calls, total(path).usd)


LATE = Update(run="r", trace_id="t", span_id="s0", usage=Usage(input=7, output=1), cost=Cost(usd="0.5", basis="priced"))


def test_usage_that_comes_later_finds_its_call(path: Path) -> None:
    """An update of a call without usage becomes a row with the time and operation of the call."""
    enter(path, span(usage=None, cost=None, name="ask"), LATE)
    assert [(NOW, "ask", 7, "0.5")] == [(row.time_ns, row.operation, row.input, row.usd) for row in rows(path)]


def test_later_usage_replaces_earlier_usage(path: Path) -> None:
    """An update of a call that has a row changes its tokens and money, in another batch and fetched twice too."""
    enter(path, span(attributes={"gen_ai.request.model": "m"}))
    enter(path, LATE, LATE)
    assert [("think", "m", 7, None, "0.5")] == [
        (row.operation, row.model_requested, row.input, row.cached, row.usd) for row in rows(path)
    ]


def test_an_estimate_does_not_replace_what_was_reported(path: Path) -> None:
    """Reported tokens stay when a later record only estimates them."""
    enter(path, span(), span(usage=Usage(input=99, source="estimated")))
    assert [10] == [row.input for row in rows(path)]


@pytest.mark.parametrize(
    ("url", "expected"),
    [("sqlite:///a/b.db", "a/b.db"), ("sqlite:////a/b.db", "/a/b.db"), ("/a/b.db", "/a/b.db"), ("b.db", "b.db")],
)
def test_addresses(url: str, expected: str) -> None:
    """Three slashes begin a relative path, four an absolute one; a plain path is one too."""
    assert Path(expected) == file_of(url)


def test_the_file_is_for_its_owner_only(path: Path) -> None:
    """Ledger and log can be read by nobody else."""
    sink = LedgerSink(str(path))
    sink.write(Batch([span()]))
    assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    sink.close()


# Totals


def test_groups_are_added_up_apart(path: Path) -> None:
    """Each model has its calls, tokens and money; unpriced and estimated calls are counted apart."""
    a, b = {"gen_ai.response.model": "a"}, {"gen_ai.request.model": "b"}
    enter(
        path,
        span(0, attributes=a),
        span(1, attributes=a, cost=Cost(usd="0.01", basis="estimated")),
        span(2, attributes=b, cost=Cost()),
        span(3, attributes=a, cost=Cost(usd="0", basis="free"), usage=Usage(input=1)),
    )
    assert [
        Total(key="a", calls=3, input=21, cached=4, cache_write=0, output=10, reasoning=0,
              priced=1, estimated=1, unpriced=0, free=1, usd=Decimal("0.04")),
        Total(key="b", calls=1, input=10, cached=2, cache_write=0, output=5, reasoning=0,
              priced=0, estimated=0, unpriced=1, free=0, usd=None),
    ] == totals(path, by="model")  # fmt: skip


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("operation", ["plan", "think"]),
        ("agent", [None, "x"]),
        ("session", [None, "s"]),
        ("user", [None, "ann"]),
        ("day", ["2024-10-04", "2024-10-05"]),
        (None, [None]),
    ],
)
def test_every_grouping(path: Path, by: Any, expected: list[str | None]) -> None:
    """Calls group by operation, agent, session, user and UTC day, or not at all."""
    enter(
        path,
        span(0, attributes={"instrument.operation": "plan"}),
        span(
            1,
            start_ns=NOW + DAY,
            attributes={"gen_ai.agent.id": "x", "session.id": "s", "user.id": "ann"},
            cost=Cost(usd="0.001", basis="priced"),
        ),
    )
    assert expected == [group.key for group in totals(path, by=by)]


amounts = st.decimals(min_value=0, max_value=10**6, places=12, allow_nan=False, allow_infinity=False)


@given(st.lists(amounts, max_size=20))
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_money_is_added_up_exactly(tmp_path: Path, money: list[Decimal]) -> None:
    """The total is the sum of the decimals, to the last digit, and the groups' sum is the total."""
    path = tmp_path / f"{time.monotonic_ns()}.db"
    first = span(0, cost=Cost(usd="0", basis="priced"))
    others = (span(n, cost=Cost(usd=f"{usd:f}", basis="priced"), name=f"n{n % 3}") for n, usd in enumerate(money, 1))
    enter(path, first, *others)
    assert (sum(money, Decimal(0)), total(path)) == (total(path).usd, added_up(totals(path, by="operation")))


def test_since_and_until(path: Path) -> None:
    """A stretch of time has its first instant and not its last."""
    enter(path, *(span(n) for n in range(5)))
    assert ["s1", "s2"] == [row.span_id for row in rows(path, since_ns=NOW + 1, until_ns=NOW + 3)]


# Processes


WRITER = """
import sys
from instrument.model import Batch, Cost, Span, Usage
from instrument.sinks.ledger import LedgerSink
path, run, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
sink = LedgerSink(path)
def batch(start):
    return Batch([call(n) for n in range(start, start + 50)])
def call(n):
    return Span(run=run, trace_id="t", span_id=str(n), start_ns=n, duration_ns=1, kind="llm", name="n", status="ok",
                usage=Usage(input=1), cost=Cost(usd="0.1", basis="priced"))
for start in range(0, calls, 50):
    sink.write(batch(start))
    print(start, flush=True)
sink.close()
"""


def test_processes_share_a_ledger(path: Path) -> None:
    """Four processes that begin at once and write 1,000 calls each leave 4,000 rows and 400 dollars."""
    processes = [begun("-c", WRITER, path, f"r{n}", "1000") for n in range(4)]
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert (4000, Decimal(400), [""] * 4) == (total(path).calls, total(path).usd, said)


def test_a_killed_writer_leaves_whole_batches(path: Path) -> None:
    """After a kill -9 in the middle of writing the file is sound and no batch that was written is lost."""
    process = begun("-c", WRITER, path, "r", "1_000_000")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(20)]
    process.send_signal(signal.SIGKILL)
    lines += process.communicate()[0].splitlines()
    with closing(sqlite3.connect(path)) as connection:
        sound = connection.execute("PRAGMA integrity_check").fetchone()
    assert (("ok",), True) == (sound, total(path).calls >= 50 * len(lines))


def test_two_connections_of_a_process_keep_their_locks(path: Path) -> None:
    """A second connection takes no lock from the first: another process that ends does not delete their log."""
    first, second = (LedgerSink(str(path), notice=unexpected) for _ in range(2))
    first.write(Batch([span(0)]))
    second.write(Batch([span(1)]))
    other = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT 1 FROM calls').fetchone(); c.close()"
    )
    assert 0 == python("-c", other, path).returncode
    first.write(Batch([span(2)]))
    second.write(Batch([span(3)]))
    first.close()
    second.close()
    assert ["s0", "s1", "s2", "s3"] == [row.span_id for row in rows(path)]


def test_a_locked_ledger_delays_rows_and_loses_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows wait in memory while another process holds the file, and are there after it has let go."""
    monkeypatch.setattr(ledger, "WAIT_SECONDS", 0.05)
    monkeypatch.setattr(sink_module, "RETRY_SECONDS", 0.0)
    sink = LedgerSink(str(path), notice=unexpected)
    sink.write(Batch([span(0)]))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        sink.write(Batch([span(1)]))
        sink.flush()
        waiting = [row.span_id for row in rows(path)]
        other.execute("ROLLBACK")
    sink.write(Batch([span(2)]))
    sink.close()
    assert (["s0"], ["s0", "s1", "s2"]) == (waiting, [row.span_id for row in rows(path)])


def test_a_folder_that_cannot_be_made_delays_rows_and_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a file stands in its place rows wait in memory, which is said once, and are there when it is gone."""
    monkeypatch.setattr(sink_module, "RETRY_SECONDS", 0.0)
    place, told = tmp_path / "held", list[str]()
    place.touch()
    sink = LedgerSink(str(place / "ledger.db"), notice=told.append)
    sink.write(Batch([span(0)]))
    place.unlink()
    sink.write(Batch([span(1)]))
    sink.close()
    assert (["s0", "s1"], 1) == ([row.span_id for row in rows(place / "ledger.db")], len(told))


def test_nobody_waits_at_the_end_for_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """What is lost then is counted and said at once."""
    (tmp_path / "held").touch()
    sink = LedgerSink(str(tmp_path / "held/ledger.db"), notice=str)
    sink.write(Batch([span(0)]))
    begun = time.monotonic()
    with pytest.raises(InstrumentError, match="1 call could"):
        sink.close()
    assert time.monotonic() - begun < 5  # of ten


def test_what_cannot_be_entered_is_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows beyond the bound, and those left when the sink closes, are counted as lost and said so."""
    monkeypatch.setattr(ledger, "WAIT_SECONDS", 0.02)
    monkeypatch.setattr(sink_module, "LAST_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(sink_module, "MOST_WAITING", 3)
    sink = LedgerSink(str(path))
    sink.write(Batch([span(0)]))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        sink.write(Batch([span(n) for n in range(1, 6)]))
        with pytest.raises(InstrumentError, match="5 calls"):
            sink.close()


def test_a_locked_ledger_does_not_hold_up_every_batch(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After one wait the sink leaves a locked ledger alone for a while."""
    monkeypatch.setattr(ledger, "WAIT_SECONDS", 0.01)
    attempts: list[int] = []
    sink = LedgerSink(str(path))
    sink.write(Batch([span(0)]))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(sink_module.ledger, "write", counting(sink_module.ledger.write, attempts))
        for n in range(1, 10):
            sink.write(Batch([span(n)]))
        while_locked = list(attempts)
    sink.close()
    assert ([1], 10) == (while_locked, total(path).calls)


def counting(write: Any, attempts: list[int]) -> Any:
    def counted(connection: sqlite3.Connection, rows: Any) -> None:
        attempts.append(len(rows))
        write(connection, rows)

    return counted


# Damage


def test_a_file_that_is_no_ledger_is_set_aside(path: Path) -> None:
    """Rubbish in the ledger's place is kept under another name, a new ledger begun, and a notice given."""
    path.write_bytes(b"this is no database" * 100)
    notices: list[str] = []
    sink = LedgerSink(str(path), notice=notices.append)
    sink.write(Batch([span()]))
    sink.close()
    [aside] = path.parent.glob("ledger.db.corrupt-*")
    assert (1, 1, b"this") == (total(path).calls, len(notices), aside.read_bytes()[:4])


def test_what_is_set_aside_takes_no_place_that_is_taken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that are damaged within a second are both kept."""
    monkeypatch.setattr("instrument.store.ledger.time.strftime", lambda *_: "now")
    for content in ("one", "two"):
        path.write_text(content)
        ledger.set_aside(path, ledger.identity(path))
    assert ["one", "two"] == [aside.read_text() for aside in sorted(path.parent.iterdir())]


def test_the_log_of_a_damaged_ledger_goes_with_it(path: Path) -> None:
    """Beside a new one it would be taken for that one's own."""
    for name in ("", "-wal", "-shm"):
        Path(f"{path}{name}").write_text("old")
    aside = ledger.set_aside(path, ledger.identity(path))
    assert aside is not None
    assert sorted(f"{aside.name}{name}" for name in ("", "-wal", "-shm")) == sorted(os.listdir(path.parent))


def test_damage_while_writing_costs_no_row(path: Path) -> None:
    """When pages break under an open ledger, the rows of that batch begin the new one."""
    sink = LedgerSink(str(path), notice=lambda sentence: None)
    sink.write(Batch([span(n) for n in range(2000)]))
    sink.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 200_000)
    sink.write(Batch([span(9999)]))
    sink.close()
    assert (["s9999"], 1) == ([row.span_id for row in rows(path)], len(list(path.parent.glob("ledger.db.corrupt-*"))))


def test_writers_set_a_file_aside_once(path: Path) -> None:
    """A writer that comes later finds the new ledger and leaves it where it is."""
    path.write_bytes(b"x" * 5000)
    sinks = [LedgerSink(str(path), notice=lambda sentence: None) for _ in range(8)]
    threads = [threading.Thread(target=sink.write, args=(Batch([span(n)]),)) for n, sink in enumerate(sinks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for sink in sinks:
        sink.close()
    assert (8, 1) == (total(path).calls, len(list(path.parent.glob("*.corrupt-*"))))


def test_a_new_ledger_is_not_set_aside_for_the_old_one(path: Path) -> None:
    """A writer that saw a damaged file, but finds another one in its place by now, leaves that where it is."""
    path.write_bytes(b"x" * 5000)
    late = LedgerSink(str(path), notice=unexpected)
    late._connection.file = ledger.identity(path)
    first = LedgerSink(str(path), notice=lambda sentence: None)
    first.write(Batch([span(0)]))
    late._begin_anew(sqlite3.DatabaseError("file is not a database"))
    first.close()
    assert (1, 1) == (total(path).calls, len(list(path.parent.glob("*.corrupt-*"))))


def test_a_ledger_that_was_removed_is_made_again(path: Path) -> None:
    """A user who deletes the file while a program runs loses what was in it, not what comes."""
    sink = LedgerSink(str(path), notice=unexpected)
    sink.write(Batch([span(0)]))
    for file in path.parent.iterdir():
        file.unlink()
    sink.write(Batch([span(1)]))
    sink.close()
    assert ["s1"] == [row.span_id for row in rows(path)]


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not say what is open")
def test_what_a_program_closes_and_opens_is_not_written_to(path: Path) -> None:
    """A daemon closes all descriptors: SQLite would write on into what the program opens under their numbers."""
    sink = LedgerSink(str(path), notice=unexpected)
    sink.write(Batch([span(1)]))
    links = {number: os.path.join("/proc/self/fd", number) for number in os.listdir("/proc/self/fd")}
    ours = [int(number) for number, link in links.items() if os.path.realpath(link).startswith(str(path.resolve()))]
    for number in ours:
        os.close(number)
    with open(path.with_name("theirs"), "wb"):
        sink.write(Batch([span(2)]))
        sink.close()
    assert (3, True, 0, 2) == (len(ours), min(ours) >= 512, path.with_name("theirs").stat().st_size, len([*rows(path)]))


def test_another_programs_database_is_left_alone(path: Path) -> None:
    """A database that is no ledger is refused, not written to and not set aside."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(InstrumentError, match="something else"):
        enter(path, span())
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    assert ([("theirs",)], len(before)) == (tables, path.stat().st_size)


# Versions


def add_a_column(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE calls ADD note TEXT")


def test_an_older_ledger_is_copied_and_brought_up_to_date(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its schema changes a ledger is copied; rows stay, and the copy is the old one."""
    enter(path, span(0))
    monkeypatch.setattr(ledger, "MIGRATIONS", (*ledger.MIGRATIONS, add_a_column))
    enter(path, span(1))
    [copy] = path.parent.glob(f"ledger.db.version-{len(ledger.MIGRATIONS) - 1}-*")
    with closing(sqlite3.connect(copy)) as connection:
        kept = connection.execute("SELECT count(*) FROM calls").fetchone()
    assert (2, (1,)) == (total(path).calls, kept)


def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger is of one version or the next, never between; no copy is left, of which every try would leave one."""

    def broken(connection: sqlite3.Connection) -> None:
        add_a_column(connection)
        raise RuntimeError("broken")

    enter(path, span(0))
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "MIGRATIONS", (*ledger.MIGRATIONS, broken))
        with pytest.raises(RuntimeError, match="broken"):
            enter(path, span(1))
    with closing(sqlite3.connect(path)) as connection:
        columns = [column[1] for column in connection.execute("PRAGMA table_info(calls)")]
    copies = list(path.parent.glob("ledger.db.version-*"))
    assert (set(COLUMNS), 1, []) == (set(columns), total(path).calls, copies)


def test_an_older_ledger_is_read_as_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its calls have no columns for is not known; the next writer brings it up to date, reading does not."""
    with monkeypatch.context() as older:
        older.setattr(ledger, "MIGRATIONS", ledger.MIGRATIONS[:2])
        with closing(ledger.open_ledger(path)) as connection:
            connection.execute(
                "INSERT INTO calls (time_ns, run, trace_id, span_id, source, basis, status, input, user)"
                " VALUES (1, 'r', 't', 's', 'reported', 'priced', 'ok', 7, 'ann')"
            )
    unread = path.read_bytes()
    [before] = rows(path)
    assert unread == path.read_bytes()
    enter(path, span(0, usage=Usage(input=10, web_searches=3, cache_write_1h=2)))
    [after, new] = rows(path)
    assert (before, 7, None, "ann") == (after, after.input, after.web_searches, after.user)
    assert (3, 2, None) == (new.web_searches, new.cache_write_1h, new.file_searches)


def test_of_rows_that_cannot_all_be_entered_none_is(path: Path) -> None:
    """One that is no row takes the whole transaction back, and the next is entered as if nothing had been."""
    good, bad = (Row(time_ns=time_ns, run="r", trace_id="t", span_id=f"{time_ns}") for time_ns in (1, None))  # type: ignore[arg-type]  # None is what is refused
    with closing(ledger.open_ledger(path)) as connection:
        with pytest.raises(sqlite3.IntegrityError):
            ledger.write(connection, [good, bad])
        ledger.write(connection, [replace(good, span_id="next")])
    assert ["next"] == [row.span_id for row in rows(path)]


def test_of_two_that_make_the_ledger_one_does(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may make its tables between our look and our turn: they are not made again."""

    def meanwhile() -> Any:
        monkeypatch.undo()
        ledger.open_ledger(path).close()
        return nullcontext()

    monkeypatch.setattr(ledger, "nullcontext", meanwhile)
    ledger.open_ledger(path).close()
    assert 0 == total(path).calls


def test_no_calls_cost_nothing() -> None:
    """Where there is no group the total is 0, and not unknown as that of calls without a price."""
    assert Decimal(0) == added_up([]).usd


def test_a_newer_ledger_is_refused(path: Path) -> None:
    """A ledger of a later version is neither written nor read."""
    enter(path, span())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(ledger.MIGRATIONS) + 1}")
    with pytest.raises(InstrumentError, match="newer version"):
        enter(path, span(1))
    with pytest.raises(InstrumentError, match="newer version"):
        totals(path)


def test_a_ledger_whose_first_writer_was_killed_is_empty(path: Path) -> None:
    """A file that was made and got no table any more has no calls, and no fault."""
    path.write_bytes(b"")
    assert (0, Decimal(0)) == (totals(path)[0].calls, totals(path)[0].usd)


@pytest.mark.parametrize("content", [None, b"no database at all"])
def test_what_cannot_be_read_is_one_error(path: Path, content: bytes | None) -> None:
    """Reading a missing or broken ledger raises our error, which names the file."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InstrumentError, match=r"ledger\.db"):
        totals(path)


READER = """
import os, sys
from pathlib import Path
from instrument.store.ledger import totals
if os.getuid() == 0:
    os.seteuid(65534)
print(totals(Path(sys.argv[1]))[0].calls)
"""


@pytest.mark.parametrize("has_empty_log", [False, True])
def test_a_ledger_can_be_read_where_nothing_can_be_written(has_empty_log: bool) -> None:
    """A ledger in a read-only folder, as from a backup, is read without SQLite's companion files."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        enter(path, span())
        if has_empty_log:
            Path(f"{path}-wal").touch()
        path.chmod(0o444)
        Path(folder).chmod(0o555)
        read = python("-c", READER, path)
        Path(folder).chmod(0o755)
    assert "1\n" == read.stdout
