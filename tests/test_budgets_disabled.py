"""Budgets hold while recording is off, in real processes, and nothing is written but what they need themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.programs import python

CALL = """
import os, subprocess, sys, threading
import instrument
from instrument import BudgetExceeded, agent, budget, llm_call

@llm_call
def ask(prompt, model="m", max_tokens=9):
    print("sent", flush=True)
    return "answer", {"input_tokens": 1, "output_tokens": 5}

def attempt(**more):
    try:
        ask("hello", **more)
    except BudgetExceeded as refusal:
        print("refused", flush=True)
"""
PRICES = '[prices."m"]\ninput = 0\noutput = 10000\n'


def run(folder: Path, program: str, **environment: str) -> tuple[list[str], str]:
    """What the program says on stdout, line by line, and on stderr."""
    (folder / "prices.toml").write_text(PRICES)
    told = {"INSTRUMENT_ENABLED": "0", "INSTRUMENT_CONFIG": str(folder / "prices.toml")}
    done = python("-c", CALL + program, cwd=folder, **{**told, **environment})
    assert 0 == done.returncode, done.stderr
    return done.stdout.split(), done.stderr


BLOCK = "with budget(usd='0.10'):\n    attempt(); attempt()\n"
AGENT = "@agent(budget={'usd': '0.10'})\ndef run():\n    attempt(); attempt()\nrun()\n"
THREADS = (
    "with budget(calls=1):\n    for _ in 'ab':\n        t = threading.Thread(target=attempt); t.start(); t.join()\n"
)
SHUT_DOWN_INSIDE = "with budget(calls=1):\n    instrument.shutdown()\n    attempt(); attempt()\n"


@pytest.mark.parametrize(
    "program",
    [BLOCK + AGENT + THREADS, "instrument.configure(enabled=False)\n" + BLOCK + SHUT_DOWN_INSIDE + BLOCK],
    ids=["environment", "configured, shut down"],
)
def test_a_budget_holds_while_recording_is_off(program: str, tmp_path: Path) -> None:
    """The second call does not fit and is refused: in a block, in an agent, in threads, however it was switched off."""
    assert ["sent", "refused"] * 3 == run(tmp_path, program)[0]


def test_a_budget_of_the_environment_holds_while_recording_is_off(tmp_path: Path) -> None:
    """`INSTRUMENT_BUDGET__CALLS` is kept with `INSTRUMENT_ENABLED=0`, for each trace by itself."""
    program = "from instrument import span\nfor n in range(2):\n    with span('root'):\n        attempt(); attempt()"
    assert ["sent", "refused"] * 2 == run(tmp_path, program, INSTRUMENT_BUDGET__CALLS="1")[0]


def test_nothing_is_written(tmp_path: Path) -> None:
    """A budget of one process leaves no file and no word behind while recording is off."""
    told = run(tmp_path, "with budget(usd=1):\n    attempt()", XDG_STATE_HOME=str(tmp_path / "state"))
    assert ((["sent"], ""), ["prices.toml"]) == (told, sorted(path.name for path in tmp_path.iterdir()))


def test_only_the_ledger_is_written(tmp_path: Path) -> None:
    """A budget that processes share needs the ledger in its folder, and nothing else is written."""
    run(tmp_path, "with budget(usd=1, name='team', period='day'):\n    attempt()")
    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert [".instrument/.gitignore", ".instrument/ledger.db", "prices.toml"] == written


def test_what_a_budget_cannot_hold_is_said(tmp_path: Path) -> None:
    """A model without a price under a budget in money is one sentence on stderr, as there is no log to read it in."""
    told, said = run(tmp_path, "with budget(usd=1):\n    attempt(model='nobody-knows'); attempt(model='nobody-knows')")
    assert (["sent", "sent"], 1) == (told, said.count("the model nobody-knows has no known price"))


def test_children_record_as_they_are_told(tmp_path: Path) -> None:
    """A process that only holds budgets hands no trace down that would keep its children from recording."""
    program = (
        "with budget(calls=1):\n    with instrument.span('outer'):\n"
        "        env = dict(os.environ, INSTRUMENT_ENABLED='1', INSTRUMENT_SINKS='jsonl')\n"
        "        subprocess.run([sys.executable, '-c', "
        "'import instrument\\nwith instrument.span(\"inner\"): pass'], env=env)"
    )
    run(tmp_path, program)
    [events] = (tmp_path / ".instrument/events").glob("*.jsonl")
    assert '"inner"' in events.read_text()


def test_a_budget_holds_in_traces_that_are_not_stored(tmp_path: Path) -> None:
    """Sampling decides what is stored, not what may be spent."""
    on = {"INSTRUMENT_ENABLED": "1", "INSTRUMENT_SINKS": "ledger", "INSTRUMENT_SAMPLE_RATE": "0"}
    told, _ = run(tmp_path, "for _ in range(3):\n    with budget(calls=1):\n        attempt(); attempt()", **on)
    assert ["sent", "refused"] * 3 == told
