"""Model calls whose price or count needs tables that take a second to load: on disk at once, their cost as an update."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from instrument.model import Update
from instrument.reading import read
from instrument.store.jsonl import records
from instrument.store.ledger import rows, totals
from tests.programs import ROOT, python

CALLS = """
import os, signal, sys, time
from pathlib import Path
import instrument
from instrument import llm_call, tool

@llm_call
def ask(prompt, model="gpt-4o"):
    return "an answer"

@llm_call
def told(prompt, model="gpt-4o"):
    return "an answer", {"input_tokens": 10, "output_tokens": 5}

@tool
def quick(n):
    return n

def on_disk(text):
    return any(text in file.read_text() for file in Path(".instrument/events").glob("*.jsonl"))

def kill():
    os.kill(os.getpid(), signal.SIGKILL)
"""

LOADING_NEVER_ENDS = """
import threading
from instrument import pricing, tokens
for module, name in ((tokens, "_specification"), (pricing, "load")):
    setattr(module, name, lambda *args: threading.Event().wait())
"""


def run(folder: Path, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return python("-c", CALLS + program, cwd=folder, **{"INSTRUMENT_SINKS": "jsonl,ledger", **environment})


def spans(folder: Path) -> dict[str, Any]:
    return {span.name: span for trace in read(folder / ".instrument") for span in trace.spans}


KILLED_SOON = """
begun = time.process_time()
while not on_disk('"name":"{0}"') and time.process_time() < begun + 0.1:
    time.sleep(0.001)
kill()
"""


def test_the_first_call_outlives_a_kill(tmp_path: Path) -> None:
    """A process killed within a tenth of a second after its first model call has it on disk.

    The tenth is of the process's own time, so that a busy machine makes it no shorter; the tables take several.
    """
    done = run(tmp_path, "ask('hello')" + KILLED_SOON.format("ask"))
    assert (-signal.SIGKILL, "ok") == (done.returncode, spans(tmp_path)["ask"].status)


def test_what_was_reported_outlives_a_kill(tmp_path: Path) -> None:
    """Tokens that the service told are there as well, and the call counts as unpriced."""
    run(tmp_path, "told('hello')" + KILLED_SOON.format("told"))
    [trace] = read(tmp_path / ".instrument")
    assert (10, 5, 1) == (trace.usage.input, trace.usage.output, trace.cost.unpriced)


IN_THE_LEDGER = """
from instrument.errors import InstrumentError
from instrument.store.ledger import rows

def entered(number):
    try:
        return len([*rows(Path(".instrument/ledger.db"))]) >= number
    except InstrumentError:
        return False
"""


@pytest.mark.parametrize("sinks", ["jsonl,ledger", "ledger"])
def test_the_ledger_has_what_was_reported_before_its_price(tmp_path: Path, sinks: str) -> None:
    """A call whose process is killed while the prices load has its row, with its tokens and as unpriced."""
    program = IN_THE_LEDGER + "told('hello')\nwhile not entered(1): time.sleep(0.001)\nkill()"
    done = run(tmp_path, LOADING_NEVER_ENDS + program, INSTRUMENT_SINKS=sinks)
    [row] = rows(tmp_path / ".instrument/ledger.db")
    assert (-signal.SIGKILL, "told", 10, 5, "unpriced") == (
        done.returncode, row.operation, row.input, row.output, row.basis
    )  # fmt: skip


def test_the_ledger_gets_the_price_later(tmp_path: Path) -> None:
    """Such a row is brought up to date; it stays the one of its call and of its time."""
    program = """
    from instrument import pricing
    load, ready = pricing.load, threading.Event()
    pricing.load = lambda: ready.wait() and load()
    told("hello")
    while not entered(1): time.sleep(0.001)
    [before] = rows(Path(".instrument/ledger.db"))
    ready.set()
    instrument.flush()
    [after] = rows(Path(".instrument/ledger.db"))
    print(before.basis, after.basis, before.time_ns == after.time_ns, before.operation == after.operation)
    """
    assert "unpriced priced True True\n" == run(tmp_path, IN_THE_LEDGER + "import threading" + dedent(program)).stdout


def test_what_was_reported_needs_no_ranks(tmp_path: Path) -> None:
    """Where the service told the tokens, the ranks to count with are not built: all threads would stand still."""
    program = (
        "told('hello')\nwhile not on_disk('\"type\":\"update\"'): time.sleep(0.001)\n"
        "from instrument import tokens\nprint(tokens.is_built('gpt-4o'))"
    )
    assert "False\n" == run(tmp_path, program).stdout


def test_prices_load_while_a_model_answers(tmp_path: Path) -> None:
    """They are there when it has, for a call that takes a while: its row in the ledger waits for nothing."""
    program = """
    from instrument.pricing import Prices

    @llm_call
    def slow(prompt, model="gpt-4o"):
        quick(1)
        until = time.monotonic() + 60
        while not Prices.are_loaded() and time.monotonic() < until:
            time.sleep(0.001)
        print(Prices.are_loaded())
        return "an answer"

    slow("hello")
    """
    assert "True\n" == run(tmp_path, dedent(program)).stdout


def test_what_ends_meanwhile_outlives_a_kill(tmp_path: Path) -> None:
    """While tables load, other spans are written as ever."""
    program = "ask('hello')\nquick(1)\nwhile not on_disk('\"name\":\"quick\"'): time.sleep(0.001)\nkill()"
    done = run(tmp_path, LOADING_NEVER_ENDS + program)
    assert (-signal.SIGKILL, {"ask", "quick"}) == (done.returncode, spans(tmp_path).keys())


def test_what_is_queued_is_written_before_all_threads_stand_still(tmp_path: Path) -> None:
    """tiktoken builds its table in one step in which nothing can be written: what ended before is on disk by then."""
    program = (
        "import tiktoken\nfrom instrument import tokens\n"
        "def kill_in_that_step(**ranks): kill()\n"
        "tiktoken.Encoding = kill_in_that_step\nspecification = tokens._specification\n"
        "import threading\nread, ended = threading.Event(), threading.Event()\n"
        "def told(name):\n    found = specification(name)\n    read.set(); ended.wait()\n    return found\n"
        "tokens._specification = told\nask('hello')\nread.wait(); quick(1); ended.set()\nthreading.Event().wait()"
    )
    done = run(tmp_path, program)
    assert (-signal.SIGKILL, {"ask", "quick"}) == (done.returncode, spans(tmp_path).keys())


def test_usage_and_cost_follow(tmp_path: Path) -> None:
    """When the tables are loaded an update tells usage and cost, once."""
    done = run(tmp_path, "ask('hello')\nwhile not on_disk('\"type\":\"update\"'): time.sleep(0.001)\nkill()")
    updates = [one for file in tmp_path.rglob("*.jsonl") for one in records(file) if isinstance(one, Update)]
    span = spans(tmp_path)["ask"]
    assert (-signal.SIGKILL, 1) == (done.returncode, len(updates))
    assert ("estimated", updates[0].cost) == (span.usage.source, span.cost)


def test_readers_and_the_ledger_count_it_once(tmp_path: Path) -> None:
    """Trace, running numbers and ledger agree on a call that was priced later."""
    program = (
        "ask('hello'); told('hello')\nwhile not on_disk('\"type\":\"update\"'): time.sleep(0.001)\n"
        "instrument.flush(); total = instrument.metrics().total\nprint(total.calls, total.usd)"
    )
    done = run(tmp_path, program)
    [ledger] = totals(tmp_path / ".instrument/ledger.db")
    costs = [trace.cost for trace in read(tmp_path / ".instrument")]
    assert f"2 {ledger.usd}\n" == done.stdout
    assert (2, ledger.usd) == (sum(cost.calls for cost in costs), sum(cost.usd or 0 for cost in costs))


def test_a_program_that_ends_at_once_needs_no_update(tmp_path: Path) -> None:
    """Where the process waits for its records anyway, usage and cost are told with the span."""
    run(tmp_path, "ask('hello')\ninstrument.flush()")
    [file] = tmp_path.rglob("*.jsonl")
    kinds = [json.loads(line)["type"] for line in file.read_text().splitlines()]
    assert ("estimated", True) == (spans(tmp_path)["ask"].cost.basis, kinds.count("span") == 1)


def test_other_sinks_see_it_whole(tmp_path: Path) -> None:
    """A sink that is no file has the call once, with usage and cost."""
    (tmp_path / "mine.py").write_text(
        "class Mine:\n    def write(self, batch):\n"
        "        for one in batch.plain():\n"
        "            if type(one).__name__ in ('Span', 'Update'):\n"
        "                print(type(one).__name__, one.usage is not None, one.cost is not None)\n"
        "    def flush(self): ...\n    def close(self): ...\n"
    )
    program = "ask('hello')\nwhile not on_disk('\"type\":\"update\"'): time.sleep(0.001)"
    done = run(tmp_path, program, INSTRUMENT_SINKS="jsonl,mine:Mine", PYTHONPATH=f"{ROOT}:{tmp_path}")
    assert "Span True True\n" == done.stdout


def test_a_fork_while_tables_load_goes_well(tmp_path: Path) -> None:
    """A child that is forked meanwhile counts and prices by itself."""
    program = (
        "ask('hello')\nwhile not on_disk('\"name\":\"ask\"'): time.sleep(0.001)\npid = os.fork()\n"
        "told('hello')\nif pid: os.waitpid(pid, 0)\nelse: instrument.flush(); os._exit(0)\n"
    )
    done = run(tmp_path, program)
    found = [(span.name, span.cost is not None) for trace in read(tmp_path / ".instrument") for span in trace.spans]
    assert (0, [("ask", True), ("told", True), ("told", True)]) == (done.returncode, sorted(found))


@pytest.mark.parametrize(("limit", "is_loaded"), [("usd=1", True), ("tokens=1000", True), ("calls=3", False)])
def test_what_a_budget_counts_prompts_with_is_there_before_the_first(
    tmp_path: Path, limit: str, is_loaded: bool
) -> None:
    """An agent that has a budget in tokens or money begins to load it when it begins, beside its other work."""
    done = run(
        tmp_path,
        dedent(f"""
            @instrument.agent(budget=dict({limit}))
            def work():
                end = time.monotonic() + ({is_loaded} and 60 or 0.2)
                while time.monotonic() < end and not instrument.tokens.is_built():
                    time.sleep(0.01)
                print(instrument.tokens.is_built())

            import instrument.tokens
            work()
        """),
    )
    assert f"{is_loaded}\n" == done.stdout
