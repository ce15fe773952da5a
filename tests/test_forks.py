"""What a forked child finds free, whatever other threads held when it was forked."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from instrument import forks
from instrument.record.switch import switch
from instrument.store import ledger
from instrument.store.connection import Connection
from instrument.store.entries import Row
from instrument.store.ledger import open_ledger, rows, write

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def forked(work: Callable[[], object]) -> int:
    """The pid of a child that does the work; its exit code is 0 if it could, and it is killed where it hangs."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def code_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@contextmanager
def held_elsewhere(block: AbstractContextManager[object], let_go: threading.Event, seconds: float) -> Iterator[None]:
    """Another thread is in the block, until `let_go` or for so many seconds."""
    is_inside = threading.Event()

    def hold() -> None:
        with block:
            is_inside.set()
            let_go.wait(seconds)

    thread = threading.Thread(target=hold)
    thread.start()
    is_inside.wait()
    yield
    let_go.set()
    thread.join()


def row(n: int) -> Row:
    return Row(time_ns=n, run="r", trace_id="t", span_id=f"s{n}")


def write_one(connection: Connection, n: int) -> None:
    with connection.used() as opened:
        write(opened, [row(n)])


def test_lock_is_made_when_it_is_first_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that is there since the import is of the kind that gevent puts in between: else greenlets pass it."""
    made = []
    lock, plain = forks.Lock(), threading.RLock
    monkeypatch.setattr(threading, "RLock", lambda: made.append(plain()) or made[-1])
    with lock, lock:
        assert 1 == len(made)


@pytest.mark.parametrize("lock", [forks.importing, switch.lock, forks.Lock()], ids=["importing", "switch", "any"])
def test_a_child_finds_free_what_another_thread_held(lock: forks.Lock) -> None:
    """A fork waits for a thread that holds a lock; the child has it, and so has the parent afterwards."""
    let_go = threading.Event()
    with held_elsewhere(lock, let_go, 0.2):
        child = forked(lock.__enter__)
        let_go.set()
    with lock:
        assert 0 == code_of(child)


def test_a_child_finds_free_what_is_held_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork does not wait for ever; the child has the lock all the same."""
    monkeypatch.setattr(forks, "PATIENCE_SECONDS", 0.05)
    lock = forks.Lock()
    with held_elsewhere(lock, threading.Event(), 100):
        child = forked(lock.__enter__)
    assert 0 == code_of(child)


def test_a_thread_that_forks_within_leaves_on_both_sides() -> None:
    """A thread that holds a lock and forks holds it in parent and child, and gives it back in both."""
    lock = forks.Lock()

    def within() -> None:
        lock.__exit__(None, None, None)
        with held_elsewhere(lock, threading.Event(), 0.0):
            pass

    with lock:
        child = forked(within)
    with held_elsewhere(lock, threading.Event(), 0.0):
        assert 0 == code_of(child)


def test_a_child_writes_where_a_thread_was_writing(tmp_path: Path) -> None:
    """A thread in the middle of a transaction at a fork: both sides write afterwards. SQLite alone forbids the child."""
    path, let_go = tmp_path / "ledger.db", threading.Event()
    connection = Connection(path, open_ledger)

    @contextmanager
    def transaction() -> Iterator[None]:
        with connection.used() as opened, ledger.transaction(opened):
            yield

    with held_elsewhere(transaction(), let_go, 0.2):
        child = forked(lambda: write_one(connection, 1))
        let_go.set()
    write_one(connection, 2)
    connection.close()
    assert (0, ["s1", "s2"]) == (code_of(child), [one.span_id for one in rows(path)])


def test_a_parent_that_closes_takes_nothing_from_its_child(tmp_path: Path) -> None:
    """What a child writes is there when its parent closed the ledger meanwhile. SQLite alone deletes the child's log."""
    path, (asked, ask) = tmp_path / "ledger.db", os.pipe()
    connection = Connection(path, open_ledger)
    write_one(connection, 0)

    def work() -> None:
        write_one(connection, 1)
        os.write(ask, b"1")
        signal.sigwait({signal.SIGUSR1})
        write_one(connection, 2)

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        child = forked(work)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    os.read(asked, 1)
    connection.close()
    os.kill(child, signal.SIGUSR1)
    assert (0, ["s0", "s1", "s2"]) == (code_of(child), [one.span_id for one in rows(path)])
