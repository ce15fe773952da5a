"""`instrument tail`: the latest records as lines, what is running, and what comes in, also from another process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instrument.cli.main import main
from instrument.model import encode
from instrument.views.live import Live
from instrument.views.theme import Theme, bare, cells
from tests.programs import begun, environment
from tests.random_recordings import written
from tests.recorded import MS, NOON, as_lines, call, finding, head, log, review, run, span, write

Capture = pytest.CaptureFixture[str]
WIDE = Theme(None)


def taken(*records: Any, alive: bool = True) -> tuple[Live, list[str]]:
    """What is shown of records that come one by one."""
    live = Live(lambda _: alive)
    return live, [text for record in records for text in live.told([record], WIDE)]


# The live view


def test_a_record_stands_at_its_depth() -> None:
    """Below the spans that are open; ends stand where beginnings stood, and findings beside the last span that they name."""
    agent, step = head(1, kind="agent", name="agent"), head(2, 1, kind="step", name="step")
    _, lines = taken(agent, step, span(3, 2), finding(3), log(4, 2), span(2, 1, name="step"), span(1, name="agent"))
    assert [0, 2, 4, 4, 4, 2, 0] == [len(text) - len(text.lstrip()) for text in lines]


def test_below_a_parent_that_is_not_known_is_one_deeper() -> None:
    """A short step is written when it ends, after what happened in it."""
    _, lines = taken(head(1, kind="agent"), span(3, 2), span(2, 1))
    assert [0, 4, 2] == [len(text) - len(text.lstrip()) for text in lines]


def test_only_agents_workflows_and_steps_are_announced() -> None:
    """A tool or a model call has one line, when it is done."""
    _, lines = taken(head(1, kind="agent"), head(2, 1, kind="tool"), head(3, 1, kind="llm"))
    assert 1 == len(lines)


def test_a_tool_is_announced_before_the_first_line_below_it() -> None:
    """And those that it lies in, once."""
    outer, inner = head(1, kind="tool"), head(2, 1, kind="tool")
    _, lines = taken(outer, inner, span(3, 2), log(4, 2), span(2, 1), span(1))
    assert [
        "▸ span1",
        "  ▸ span2",
        "    ✔ span3  5 ms",
        "    [INFO] EVENT4",
        "  ✔ span2  5 ms",
        "✔ span1  5 ms",
    ] == lines


def test_what_comes_at_once_is_told_from_above() -> None:
    """A span without a line yet stands above what happened in it, whose own order stays."""
    records = [log(1, 3), span(3, 2), span(2, 1), log(2, 5), head(5, kind="tool"), span(5)]
    shown = Live(lambda _: True).told(records, WIDE)
    assert [
        "  ✔ span2  5 ms",
        "    ✔ span3  5 ms",
        "      [INFO] EVENT1",
        "▸ span5",
        "  [INFO] EVENT2",
        "✔ span5  5 ms",
    ] == shown


def test_what_is_running_is_a_tree() -> None:
    """In the order in which they began, with the time each has taken; what has ended is gone."""
    live, _ = taken(
        *(head(2, 1, name="step"), head(1, name="agent"), head(6, 2, name="next"), head(3, 2, name="call")),
        *(head(4, 2, name="done"), span(4, 2)),
    )
    shown = [bare(text).split()[1:3] for text in live.running(NOON + 1001 * MS, WIDE, 10)]
    assert [["agent", "1"], ["step", "999"], ["call", "998"], ["next", "995"]] == shown


def test_many_running_spans_are_counted() -> None:
    """The rest of the terminal is for the lines."""
    live, _ = taken(*(head(n, name=f"worker{n}") for n in range(1, 31)))
    shown = live.running(NOON, WIDE, 5)
    assert (5, "… 26 more are running") == (len(shown), shown[-1])


@pytest.mark.parametrize("width", [20, 40, 80])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Else the lines below could not be drawn anew."""
    deep = [head(n, n - 1 or None, name="a name that is rather long") for n in range(1, 30)]
    live = Live(lambda _: False)
    theme = Theme(width, color=True)
    shown = live.told([run(), *deep, *review()], theme) + live.running(NOON, theme, 40)
    assert [] == [text for text in [*shown, *live.gone(theme)] if cells(bare(text)) > width]


def test_what_runs_is_remembered_among_many_that_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes below it later is told at its depth."""
    monkeypatch.setattr("instrument.views.live.MOST_ANCESTORS", 5)
    ended = [span(n, 3) for n in range(10, 40)]
    _, lines = taken(*(head(n, n - 1 or None, kind="step") for n in (1, 2, 3)), *ended, span(50, 3))
    assert "      ✔ span50  5 ms" == lines[-1]


def test_a_process_that_was_killed_is_not_running() -> None:
    """It is told once, with the spans that it left open."""
    live, _ = taken(run(), head(1, name="agent"), head(2, 1, name="call"), alive=False)
    assert (["⊘ process 42 has ended without the end of agent, call"], []) == (
        list(live.gone(WIDE)),
        list(live.gone(WIDE)),
    )
    assert [] == live.running(NOON, WIDE, 5)
    assert [] == list(taken(head(1), alive=False)[0].gone(WIDE))  # whose process is not known


def test_an_end_that_was_read_before_its_beginning_is_an_end() -> None:
    """Files of several processes are read one after the other."""
    live, _ = taken(span(1), head(1))
    assert [] == live.running(NOON, WIDE, 5)


# The verb


def told(capsys: Capture, *words: str, code: int = 0) -> str:
    assert code == main(["tail", *words])
    out, err = capsys.readouterr()
    return err if code else out


def test_the_latest_lines(tmp_path: Path, capsys: Capture) -> None:
    """As many as were asked for."""
    path = str(written(tmp_path, [log(n) for n in range(100)]))
    assert [f"[INFO] EVENT{n}" for n in (97, 98, 99)] == told(capsys, path, "-n", "3").splitlines()
    assert 20 == len(told(capsys, path).splitlines())


def test_the_file_that_was_written_last_is_told_last(tmp_path: Path, capsys: Capture) -> None:
    """Whatever its name: two programs that begin in one second differ by chance."""
    for age, name in ((9, "b"), (5, "a")):
        write(tmp_path / f"{name}.jsonl", log(0, event=name.upper()))
        os.utime(tmp_path / f"{name}.jsonl", (1000 - age, 1000 - age))
    assert 0 == main(["tail", str(tmp_path)])
    assert "[INFO] B\n[INFO] A\n" == capsys.readouterr().out


def test_the_records_themselves(tmp_path: Path, capsys: Capture) -> None:
    """One JSON object a line, as on disk."""
    path = str(written(tmp_path, [call(1), finding(1)]))
    assert ["span", "finding"] == [json.loads(text)["type"] for text in told(capsys, path, "--json").splitlines()]


def test_a_span_that_was_opened_long_ago_is_running(tmp_path: Path, capsys: Capture) -> None:
    """However much has happened since."""
    process = run(pid=os.getpid(), start_ns=time.time_ns())
    path = written(tmp_path, [process, head(1, name="agent", kind="agent"), *(span(n, 1) for n in range(2, 6000))])
    shown = told(capsys, str(path), "-n", "2").splitlines()
    assert ["  ✔ span5998  5 ms", "  ✔ span5999  5 ms"] == shown[:2]
    assert shown[2].startswith("… agent ")


def test_of_what_was_long_ago_only_what_is_open_is_told(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, with the end of its process; what has ended since is not running."""
    monkeypatch.setattr("instrument.cli.tail.KEPT_LINES", 3)
    hung, done = (head(n, name=name, kind="agent") for n, name in ((1, "hung"), (2, "done")))
    path = written(tmp_path, [run(pid=2**22 - 1), hung, done, span(2, name="done"), *(log(n) for n in (3, 4, 5))])
    out = told(capsys, str(path))
    assert (1, True, False) == (out.count("▸ hung"), "has ended without the end of hung\n" in out, "… done" in out)


def test_a_beginning_is_told_once(tmp_path: Path, capsys: Capture) -> None:
    """Also where it is among the latest lines."""
    path = written(tmp_path, [run(pid=os.getpid(), start_ns=time.time_ns()), head(1, name="agent", kind="agent")])
    assert 1 == told(capsys, str(path)).count("▸ agent")


def test_a_line_that_is_being_written_is_waited_for(tmp_path: Path, capsys: Capture) -> None:
    """And is no error."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(encode(log(1)) + b"\nnonsense\n" + encode(log(2))[:20])
    assert "[INFO] EVENT1\n" == told(capsys, str(path))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["missing.jsonl"], "there is no file or folder 'missing.jsonl'"),
        (["-n", "some"], "'some' is no number of lines"),
    ],
)
def test_bad_use_is_one_clear_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, words: list[str], sentence: str
) -> None:
    """Exit code 2."""
    monkeypatch.chdir(tmp_path)
    assert sentence in told(capsys, *words, code=2)


# Another process


@pytest.fixture
def following(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`instrument tail -f` of a folder with one line in it, which it has printed."""
    (tmp_path / "events").mkdir()
    written(tmp_path / "events", [log(0, event="BEFORE")])
    with begun("-m", "instrument", "tail", "-f", tmp_path) as process:
        assert process.stdout is not None
        assert "[INFO] BEFORE\n" == process.stdout.readline()
        yield process
        process.kill()


def test_what_comes_later_is_printed(tmp_path: Path, following: subprocess.Popen[str]) -> None:
    """In files that were there and in new ones; an interrupt is the way out, without a complaint."""
    assert following.stdout is not None
    with open(tmp_path / "events/a.jsonl", "ab") as file:
        file.write(as_lines(log(1, event="SAME")))
    assert "[INFO] SAME\n" == following.stdout.readline()
    write(tmp_path / "events/b.jsonl", span(2, name="other"))
    assert "✔ other  5 ms\n" == following.stdout.readline()
    following.send_signal(signal.SIGINT)
    out, err = following.communicate(timeout=20)
    assert ("", "", 0) == (out, err, following.returncode)


def test_what_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    """A folder before the first run: that is said, and what comes is printed."""
    with begun("-m", "instrument", "tail", "-f", tmp_path / "later") as process:
        assert process.stdout is not None and process.stderr is not None
        assert "waiting for it" in process.stderr.readline()
        (tmp_path / "later").mkdir()
        written(tmp_path / "later", [log(0, event="FIRST")])
        assert "[INFO] FIRST\n" == process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert ("", 0) == (process.communicate(timeout=20)[1], process.returncode)


def test_a_reader_that_goes_away_ends_it(tmp_path: Path, following: subprocess.Popen[str]) -> None:
    """`instrument tail -f | head -1`: no complaint."""
    assert following.stdout is not None
    assert following.stderr is not None
    following.stdout.close()
    with open(tmp_path / "events/a.jsonl", "ab") as file:
        file.write(as_lines(log(1)))
    assert ("", 0) == (following.stderr.read(), following.wait(timeout=20))


AGENT = """
import sys
from instrument import agent, configure, span, tool
configure(sinks=["jsonl"])
@tool
def fetch(name):
    return name
@agent
def research(task):
    with span("iteration", kind="step"):
        fetch("rivers")
        sys.stdin.readline()
research("tides")
"""


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
@pytest.mark.parametrize("columns", [40, 100])
def test_a_run_of_another_process_in_a_real_terminal(tmp_path: Path, columns: int) -> None:
    """What is running stands below the lines while it runs, and is gone when it has ended."""
    (tmp_path / ".instrument/events").mkdir(parents=True)
    tmux = ["tmux", "-S", str(tmp_path / "tmux"), "-f", os.devnull]
    follow = f"exec {sys.executable} -m instrument tail -f"
    new = ["new-session", "-d", "-s", "a", "-x", str(columns), "-y", "20", "-c", str(tmp_path), follow]
    subprocess.run([*tmux, *new], check=True, env=environment(LC_ALL="C.UTF-8", TERM="screen"))
    agent = begun("-c", AGENT, cwd=tmp_path)
    try:
        running = _screen_with(tmux, "… iteration")
        assert ["▸ research", "    ✔ fetch", "… research", "  … iteration"] == [
            _head_of(text) for text in running if _head_of(text) != "  ▸ iteration"
        ]
        agent.communicate("\n", timeout=30)
        ended = _screen_with(tmux, "✔ research")
        assert [] == [text for text in ended if "…" in text.split("  ")[0]]
        assert max(map(cells, ended)) <= columns
    finally:
        agent.kill()
        agent.communicate()
        subprocess.run([*tmux, "kill-server"], check=True)


def _head_of(text: str) -> str:
    """A line up to the name that it is about."""
    words = text.split()
    return text[: text.index(words[1]) + len(words[1])]


def _screen_with(tmux: list[str], wanted: str) -> list[str]:
    """What the terminal shows as soon as it shows this."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        shown = subprocess.run(
            [*tmux, "capture-pane", "-p", "-t", "a"], check=True, capture_output=True, text=True
        ).stdout
        if wanted in shown:
            return [text for text in shown.splitlines() if text]
        time.sleep(0.05)
    raise AssertionError(f"the terminal never showed {wanted!r}: {shown}")
