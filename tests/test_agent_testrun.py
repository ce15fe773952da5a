"""Rules of `agent.testrun`, with real processes."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from agent.testrun import MAX_OUTPUT, Finished, run, run_pytest


def running(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not fetched by its parent does not."""
    try:
        return "Z" != Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_exit_code_and_output_come_back(tmp_path: Path) -> None:
    """What the process printed, on both streams, and how it ended."""
    done = run(
        [sys.executable, "-c", "import sys; print(1, flush=True); print(2, file=sys.stderr); sys.exit(3)"], tmp_path, 20
    )
    assert (3, "1\n2\n") == (done.exit_code, done.output)


LEAVES_A_CHILD = "sleep 60 & echo $! > pid; echo began; exec"


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Path]:
    """A process whose time was up, and its folder."""
    folder = tmp_path_factory.mktemp("late")
    return run(["sh", "-c", f"{LEAVES_A_CHILD} sleep 60"], folder, 1), folder


def test_a_process_is_ended_when_its_time_is_up(late: tuple[Finished, Path]) -> None:
    """It has no exit code, and what it printed is kept."""
    assert (None, "began\n") == (late[0].exit_code, late[0].output)


@pytest.mark.parametrize("is_late", [True, False], ids=["timed out", "ended"])
def test_children_do_not_outlive_it(tmp_path: Path, late: tuple[Finished, Path], is_late: bool) -> None:
    """What a test leaves running in its group is ended with it, whether it ended by itself or not."""
    if not is_late:
        run(["sh", "-c", f"{LEAVES_A_CHILD} true"], tmp_path, 20)
    pid = int(((late[1] if is_late else tmp_path) / "pid").read_text())
    deadline = time.monotonic() + 20
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not running(pid)


def test_a_flood_of_output_is_bounded(tmp_path: Path) -> None:
    """Of much output the beginning and the end are kept, and the gap says how much is missing."""
    code = "import sys; sys.stdout.write('<' + 'x' * 5_000_000 + '>')"
    output = run([sys.executable, "-c", code], tmp_path, 20).output
    assert ("<", ">") == (output[0], output[-1])
    assert f"{5_000_002 - MAX_OUTPUT:,} bytes left out" in output
    assert len(output) < MAX_OUTPUT + 100


def test_secrets_of_the_environment_are_not_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, tokens and whatever else is not needed to run Python stay with the agent."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("DATABASE_URL", "postgres://a:b@c/d")
    done = run([sys.executable, "-c", "import os; print(sorted(os.environ))"], tmp_path, 20)
    assert not {"OPENAI_API_KEY", "DATABASE_URL"} & set(eval(done.output))


def test_nothing_is_read_from_the_terminal(tmp_path: Path) -> None:
    """A test that asks for input gets none and does not wait."""
    done = run([sys.executable, "-c", "import sys; print(repr(sys.stdin.read()))"], tmp_path, 20)
    assert "''\n" == done.output


def test_settings_from_further_up_do_not_count(tmp_path: Path) -> None:
    """A project around the workspace has no say in how its tests run, and nothing is left behind beside the test."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "conftest.py").write_text("raise SystemExit(9)\n")
    root = tmp_path / "work"
    root.mkdir()
    (root / "test_it.py").write_text("def test_it():\n    pass\n")
    assert 0 == run_pytest(root, "test_it.py").exit_code
    assert ["test_it.py"] == os.listdir(root)
