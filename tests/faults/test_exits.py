"""Every way in which a process ends: all ended spans are there, none twice, exit code and time as without us."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from instrument.model import Open
from tests.faults.programs import command, environment, found, run, worked
from tests.same import COUNTS_LATE, QUIET_FORKS

FIVE = "for n in range(5): work(n)\n"


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("sys.exit('why')", 1),
        ("raise ValueError('mine')", 1),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(5)", -signal.SIGINT),
        ("threading.Thread(target=lambda: [work(n) for n in range(5, 5)]).start()", 0),
        ("threading.Thread(target=time.sleep, args=(30,), daemon=True).start()", 0),
        ("import asyncio\nloop = asyncio.new_event_loop()\nloop.run_until_complete(asyncio.sleep(0))\nloop.close()", 0),
        ("import gc\ngc.disable()\ninstrument.shutdown()", 0),
    ],
    ids=["end", "sys.exit", "sys.exit text", "exception", "SIGINT", "thread", "daemon", "closed loop", "shutdown"],
)
def test_all_that_ended_is_there(tmp_path: Path, ending: str, code: int) -> None:
    """However the program ends in order, all is written, once, and the exit code is its own."""
    done = run(tmp_path, FIVE + ending)
    assert (code, list(range(5))) == (done.returncode, worked(tmp_path))


def test_spans_of_the_last_moment(tmp_path: Path) -> None:
    """What is called in `atexit` handlers that were registered before the recording is recorded as well."""
    program = "import atexit\natexit.register(work, 6)\nwork(5)\natexit.register(work, 7)\n"
    run(tmp_path, program)
    assert [5, 6, 7] == worked(tmp_path)


def test_what_is_said_at_the_end_is_heard(tmp_path: Path) -> None:
    """A notice of the closing reaches stderr, though loguru, imported last, takes its handlers away at exit."""
    program = """
    from instrument.record.notices import notice

    class Late:
        write = flush = lambda *_: None

        def close(self):
            notice("the last word")

    instrument.configure(sinks=["__main__:Late"])
    work(1)
    import loguru
    """
    assert "the last word" in run(tmp_path, program).stderr


def test_first_call_of_all_at_the_end(tmp_path: Path) -> None:
    """What is called in handlers of `atexit` and nowhere else is recorded as well."""
    run(tmp_path, "import atexit\natexit.register(work, 7)\natexit.register(work, 6)\n")
    assert [6, 7] == worked(tmp_path)


def test_what_is_open_at_the_end_is_there_as_unfinished(tmp_path: Path) -> None:
    """A call that a daemon thread is still in when the program ends, however young, is written with its input."""
    program = """
    inside = threading.Event()

    @instrument.tool
    def waits(n):
        inside.set()
        time.sleep(60)

    threading.Thread(target=waits, args=(7,), daemon=True).start()
    inside.wait()
    """
    run(tmp_path, program)
    assert [("waits", {"n": 7})] == [(one.name, one.input) for one in found(tmp_path) if isinstance(one, Open)]


def test_daemon_threads_that_record_while_the_process_ends(tmp_path: Path) -> None:
    """Threads that go on recording neither delay the end nor change the exit code."""
    program = """
    def busy():
        while True:
            work(-1)

    for _ in range(3):
        threading.Thread(target=busy, daemon=True).start()
    for n in range(5): work(n)
    flush()
    sys.exit(4)
    """
    done = run(tmp_path, program)
    assert (4, "", set(range(5))) == (done.returncode, done.stderr, set(worked(tmp_path)) - {-1})


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_that_are_recycled_after_one_task(tmp_path: Path, method: str) -> None:
    """Workers of `multiprocessing.Pool` that end after one task lose nothing."""
    program = f"""
    import multiprocessing

    if __name__ == "__main__":
        with multiprocessing.get_context({method!r}).Pool(2, maxtasksperchild=1) as pool:
            print(pool.map(work, range(4), chunksize=1))
            pool.close()
            pool.join()
    """
    done = run(tmp_path, program)
    assert ("[0, 1, 2, 3]\n", list(range(4))) == (done.stdout, worked(tmp_path))


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("os._exit(7)", 7),
        ("os._exit(status=True)", 1),
        ("signal.raise_signal(signal.SIGTERM)", -signal.SIGTERM),
        ("signal.raise_signal(1)", -signal.SIGHUP),
    ],
)
@pytest.mark.parametrize("place", ["program", "child of a fork"])
def test_ends_without_atexit(tmp_path: Path, place: str, ending: str, code: int) -> None:
    """Before the process ends by `os._exit`, or a signal that it sends itself to die of, all is written, once.

    So do workers of RQ and `multiprocessing` end, and uvicorn, which raises the SIGTERM again that it was sent.
    """
    program = FIVE + ending
    if place != "program":
        program = f"if pid := os.fork(): sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) % 256)\n{program}"
        code %= 256
    done = run(tmp_path, program)
    assert (code, "", list(range(5))) == (done.returncode, done.stderr, worked(tmp_path))


@pytest.mark.parametrize(
    "spared",
    [
        "try: os._exit('7')\nexcept TypeError: pass",
        "try: signal.raise_signal(-1)\nexcept OSError: pass",
        "signal.signal(signal.SIGTERM, lambda *_: None)\nsignal.raise_signal(signal.SIGTERM)",
        "signal.pthread_sigmask(signal.SIG_BLOCK, [15])\nsignal.raise_signal(15)\nsignal.sigwait([15])",
    ],
)
def test_recording_goes_on_where_the_process_does(tmp_path: Path, spared: str) -> None:
    """A signal that is handled or blocked ends nothing, and neither do arguments that are refused."""
    run(tmp_path, f"work(0)\n{spared}\nwork(1)\n")
    assert [0, 1] == worked(tmp_path)


def test_ways_to_end_are_pickled_as_ever(tmp_path: Path) -> None:
    """A pool may be given `os._exit`, also one whose workers do not record."""
    program = """
    import multiprocessing, pickle
    plain = os._exit, signal.raise_signal
    work(1)
    for one, before in zip((os._exit, signal.raise_signal), plain):
        print(one is not before, pickle.loads(pickle.dumps(one)) is one, pickle.dumps(one) == pickle.dumps(one))
        print(one.__name__, one.__module__ == before.__module__, one.__doc__ == before.__doc__)
    """
    assert "True True True\n_exit True True\nTrue True True\nraise_signal True True\n" == run(tmp_path, program).stdout


def test_workers_of_celery(tmp_path: Path) -> None:
    """Children of Celery's pool are killed when they have sent their last signal: with it all is written."""
    program = """
    import types

    last = types.SimpleNamespace(receivers=[], connect=lambda receiver, weak: last.receivers.append(receiver))
    sys.modules["celery.signals"] = types.SimpleNamespace(worker_process_shutdown=last)
    if os.fork() == 0:
        for n in range(5):
            work(n)
        for receiver in last.receivers:
            receiver(signal=last, sender="worker@host", pid=os.getpid(), exitcode=0)
        os.kill(os.getpid(), signal.SIGKILL)
    os.wait()
    """
    run(tmp_path, program)
    assert list(range(5)) == worked(tmp_path)


def test_servers_that_fork_their_workers_first(tmp_path: Path) -> None:
    """A master that has recorded forks workers; on SIGTERM, which they handle, they end, and all is there."""
    program = """
    work(0)
    children = []
    ready, tell = os.pipe()
    for n in range(1, 4):
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            for task in range(10):
                work(n * 100 + task)
            os.write(tell, b"1")
            while True:
                time.sleep(10)
        children.append(pid)
    """
    program += """
    for _ in children:
        os.read(ready, 1)
    for pid in children:
        os.kill(pid, signal.SIGTERM)
    print([os.waitpid(pid, 0)[1] for pid in children])
    """
    done = run(tmp_path, program, **(QUIET_FORKS if COUNTS_LATE else {}))
    expected = [0, *(n * 100 + task for n in range(1, 4) for task in range(10))]
    assert ("[0, 0, 0]\n", "") == (done.stdout, done.stderr)
    assert expected == worked(tmp_path)


HANGING = """
class Hanging:
    def write(self, batch): time.sleep(1000)
    def flush(self): ...
    def close(self): ...
"""


def test_a_sink_that_hangs_costs_two_seconds_at_most(tmp_path: Path) -> None:
    """The process ends at most two seconds later than without us, with its own exit code, and the files are whole."""
    (tmp_path / "hanging.py").write_text("import time\n" + HANGING)
    program = "for n in range(200): work(n)\nprint(time.monotonic(), flush=True)\nsys.exit(5)\n"
    path = environment()["PYTHONPATH"] + f":{tmp_path}"
    done = run(tmp_path, program, INSTRUMENT_SINKS="jsonl,hanging:Hanging", PYTHONPATH=path)
    waited = time.monotonic() - float(done.stdout)
    assert (5, list(range(200)), True) == (done.returncode, worked(tmp_path), waited < 20)


def test_stderr_that_nobody_reads(tmp_path: Path) -> None:
    """A console that is stuck on a full pipe costs nothing of what is written to disk."""
    program = "for n in range(3000): work(n)\n"
    process = subprocess.Popen(
        command(tmp_path, program),
        cwd=tmp_path,
        env=environment(INSTRUMENT_SINKS="console,jsonl", INSTRUMENT_CONSOLE__LEVEL="TRACE"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert 0 == process.wait(60)
    assert process.stderr is not None
    assert process.stdout is not None
    process.stderr.close()
    process.stdout.close()
    assert list(range(3000)) == worked(tmp_path)
