"""kill -9 and its like: what had ended 50 ms before is there, what was open is shown as unfinished."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from instrument import records
from tests.faults.programs import command, environment, found, run, spans, traces, worked
from tests.faults.soak import killed


@pytest.mark.parametrize("seed", range(3))
def test_what_ended_before_a_kill_is_there(tmp_path: Path, seed: int) -> None:
    """Killed at any instant, with all its children, a program leaves every span that had ended 50 ms before."""
    assert (0, 0, 0) == killed(tmp_path, random.Random(seed))[1:4]


def test_what_ended_before_a_kill_is_there_with_fsync(tmp_path: Path) -> None:
    """Waiting for the disk at every batch keeps the promise as well."""
    assert (0, 0, 0) == killed(tmp_path, random.Random(7), INSTRUMENT_JSONL__DURABILITY="fsync")[1:4]


def test_what_was_open_is_unfinished(tmp_path: Path) -> None:
    """Spans that were open are shown without an end, with their input."""
    run(
        tmp_path,
        """
        @tool
        def hangs(path):
            while not on_disk('"hangs"'): time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGKILL)

        @agent
        def review(path):
            work(1)
            hangs(path)

        review("a.py")
        """,
    )
    [trace] = traces(tmp_path)
    told = {one.name: (one.status, one.input) for one in trace.spans}
    expected = {
        "review": ("open", {"path": "a.py"}),
        "work": ("ok", {"n": 1}),
        "hangs": ("open", {"path": "a.py"}),
    }
    assert expected == told


def test_a_torn_last_line_is_skipped_with_a_notice(tmp_path: Path) -> None:
    """The line that a killed process was writing is skipped, told of, and costs no other."""
    run(tmp_path, "for n in range(3): work(n)")
    [file] = (tmp_path / ".instrument/events").iterdir()
    file.write_bytes(file.read_bytes()[:-7])
    notices: list[str] = []
    there = [one for one in records(tmp_path, notices) if getattr(one, "name", "") == "work"]
    assert (2, [f"{file}: the last line is half-written and was skipped"]) == (len(there), notices)


def test_sigterm_that_nobody_handles(tmp_path: Path) -> None:
    """It ends the process as it does without us; what had been written is there."""
    end = "os.kill(os.getpid(), signal.SIGTERM)"
    done = run(tmp_path, f"for n in range(5): work(n)\nwhile not on_disk('\"n\":4'): time.sleep(0.001)\n{end}")
    assert (-signal.SIGTERM, list(range(5))) == (done.returncode, worked(tmp_path))


def test_we_install_no_signal_handler(tmp_path: Path) -> None:
    """Every signal is handled as it was."""
    program = """
    before = [signal.getsignal(one) for one in signal.valid_signals()]
    work(1)
    print(before == [signal.getsignal(one) for one in signal.valid_signals()])
    """
    assert "True\n" == run(tmp_path, program).stdout


def test_two_writers_of_the_ledger_killed_half_way(tmp_path: Path) -> None:
    """Of processes killed while they enter model calls, rows are whole or absent, and the ledger goes on."""
    program = """
    from instrument import llm_call

    @llm_call(model="gpt-4.1-mini")
    def think(text):
        instrument.current_span().usage(input=10, output=1)
        return text

    print("ready", flush=True)
    while True:
        think("x")
        time.sleep(0.001)
    """
    started = [
        subprocess.Popen(
            command(tmp_path, program, f"writer{n}.py"),
            cwd=tmp_path,
            env=environment(INSTRUMENT_SINKS="ledger"),
            stdout=subprocess.PIPE,
        )
        for n in range(2)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    ledger = tmp_path / ".instrument/ledger.db"
    deadline = time.monotonic() + 20
    while not (ledger.exists() and ledger.stat().st_size) and time.monotonic() < deadline:
        os.sched_yield()
    for process in started:
        process.kill()
        process.communicate()
    done = subprocess.run(
        [*command(tmp_path, "")[:1], "-m", "instrument", "costs", "--json"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (0, "") == (done.returncode, done.stderr)
    json.loads(done.stdout)


def test_nothing_is_written_twice(tmp_path: Path) -> None:
    """A program that runs to its end leaves each span once."""
    run(tmp_path, "for n in range(300): work(n)")
    assert (list(range(300)), 300) == (worked(tmp_path), len({one.span_id for one in spans(tmp_path)}))
    assert 1 == sum(type(one).__name__ == "Run" for one in found(tmp_path))
