"""From settings to sinks, in real processes: what the environment says is what happens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import instrument
from instrument import building, shutdown, wiring
from instrument.analysis.metrics import Metrics
from instrument.analysis.totals import Total
from instrument.model import Batch, Record, Run, Span
from instrument.record import launched, notices
from instrument.record.pipeline import Pipeline
from instrument.record.recorder import Recorder
from instrument.record.switch import switch
from instrument.settings import Settings
from instrument.sinks.chosen import files_of, sinks_of
from instrument.sinks.jsonl import JsonlSink
from instrument.sinks.ledger import LedgerSink
from instrument.sinks.memory import MemorySink
from instrument.testing import record
from tests.programs import ROOT, python

PROGRAM = """
from instrument import agent, log, span, tool

@tool
def add(a, b):
    return a + b

@agent
def run():
    log("TOOL_CALL", "adding")
    return add(1, 2)

print(run())
"""


def run(folder: Path, program: str = PROGRAM, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(program)
    return python("program.py", cwd=folder, **environment)


def names(folder: Path) -> list[str]:
    lines = [
        line
        for file in sorted((folder / ".instrument/events").glob("*.jsonl"))
        for line in file.read_text().splitlines()
    ]
    return [record["name"] for record in map(json.loads, lines) if record["type"] == "span"]


def test_what_our_own_writing_calls_may_be_decorated(tmp_path: Path) -> None:
    """Each write then makes a record of its own; the end of the process does not wait for the last of them."""
    program = "import contextlib\nfrom instrument import traced\nkind = contextlib.nullcontext\n"
    program += "kind.__enter__ = traced(kind.__enter__)\n" + PROGRAM
    done = run(tmp_path, program, INSTRUMENT_SINKS="jsonl")
    assert ("", 0, {"add", "run"}) == (done.stderr, done.returncode, {"add", "run"} & set(names(tmp_path)))


def test_where_no_thread_can_start_calls_are_written_by_themselves(tmp_path: Path) -> None:
    """A process that has as many threads as it may have, or that is ending, is recorded all the same."""
    refuse = "import threading\ndef refuse(self): raise RuntimeError\nthreading.Thread.start = refuse\n"
    done = run(tmp_path, refuse + PROGRAM + "import os\nos.kill(os.getpid(), 9)\n", INSTRUMENT_SINKS="jsonl")
    assert ("", ["add", "run"]) == (done.stderr, names(tmp_path))


def test_what_nobody_else_says_is_told_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses of our files are said by themselves; what found no room, or waits in vain for its sink, is said last."""
    told: list[str] = []
    monkeypatch.setattr(wiring, "notice", told.append)
    wiring._tell_of_losses({"sink JsonlSink: File too large, until the end": 2})
    wiring._tell_of_losses({"queue full": 1200, "sink Mine too slow at exit": 1})
    assert ["some of what was recorded is lost: queue full (1,200), sink Mine too slow at exit (1)"] == told


def test_a_program_whose_folder_is_gone_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the working directory was removed nothing is told of a checkout, and the recording starts."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert {} == building.run_record(instrument.Settings()).git


def test_defaults_write_files_and_tell_the_console(tmp_path: Path) -> None:
    """Nothing configured: spans in `.instrument/events`, a live line and a summary on stderr, stdout left alone."""
    done = run(tmp_path)
    assert ("3\n", True, ["add", "run"]) == (done.stdout, "TOOL_CALL adding" in done.stderr, names(tmp_path))


def test_the_files_that_are_told_are_those_that_are_written(tmp_path: Path) -> None:
    """Wherever the settings put them, and not what lies where the defaults would be."""
    (tmp_path / ".instrument").mkdir()
    (tmp_path / ".instrument/ledger.db").touch()
    places = {"INSTRUMENT_JSONL__PATH": "all.jsonl", "INSTRUMENT_LEDGER__URL": "sqlite:///costs.db"}
    told = run(tmp_path, **places).stderr.partition("files")[2].split()
    assert ["all.jsonl", "trace"] == told[:2]


@pytest.mark.parametrize(
    ("told", "url", "tokens"),
    [
        (["ledger.db"], "sqlite:///ledger.db", 1),
        (["ledger.db"], "sqlite:///new/ledger.db", 1),
        ([], "sqlite:///ledger.db", 0),
        ([], "sqlite:///a_file/ledger.db", 1),
        (["a_file"], "sqlite:///a_file", 1),
        ([], "sqlite:///a_file", 0),
        ([], "postgresql://nobody@127.0.0.1/costs", 1),
    ],
)
def test_the_ledger_is_told_where_it_has_calls_of_the_trace(
    told: list[str], url: str, tokens: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run of all names it as well, though it is made a moment later; without calls there is none to name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_file").touch()
    settings = instrument.Settings(dir=tmp_path, ledger={"url": url}, sinks="ledger")
    sinks = sinks_of(settings, building.run_record(settings))
    metrics = Metrics(total=Total(calls=1, input=tokens))
    assert told == [path.name for path in files_of(sinks, metrics)]


def test_files_that_cannot_be_looked_for_are_not_named() -> None:
    """Where the way to them is barred, or too long, there is none to name: the summary is told all the same."""
    sinks = [JsonlSink("x" * 300, Run(run="r1", start_ns=0)), LedgerSink(f"{'x' * 300}/ledger.db")]
    assert [] == files_of(sinks, Metrics())


def test_only_jsonl(tmp_path: Path) -> None:
    """`INSTRUMENT_SINKS=jsonl` says nothing on the terminal."""
    done = run(tmp_path, INSTRUMENT_SINKS="jsonl")
    assert ("3\n", "", ["add", "run"]) == (done.stdout, done.stderr, names(tmp_path))


def test_disabled(tmp_path: Path) -> None:
    """`INSTRUMENT_ENABLED=0` leaves no trace of us at all."""
    done = run(tmp_path, INSTRUMENT_ENABLED="0")
    assert ("3\n", "", False) == (done.stdout, done.stderr, (tmp_path / ".instrument").exists())


def test_unknown_setting_does_not_stop_a_program(tmp_path: Path) -> None:
    """A misspelt variable is one sentence on stderr; the program ends as undecorated."""
    done = run(tmp_path, INSTRUMENT_SINKZ="x", INSTRUMENT_SINKS="jsonl")
    assert (0, "3\n", 1) == (done.returncode, done.stdout, done.stderr.count("INSTRUMENT_SINKZ"))


def test_explicit_configure_names_what_is_wrong(tmp_path: Path) -> None:
    """`configure()` raises a `SettingsError` with key, value and cure."""
    program = (
        "import instrument\ntry:\n    instrument.configure(sample_rate=7)\n"
        "except instrument.SettingsError as e:\n    print(e)"
    )
    done = run(tmp_path, program)
    assert ("sample_rate" in done.stdout, "7" in done.stdout) == (True, True)


@pytest.mark.parametrize("name", ["development", "production", "ci"])
def test_shipped_configs_work(name: str, tmp_path: Path) -> None:
    """Each file in configs/ can be used as it stands."""
    done = run(tmp_path, INSTRUMENT_CONFIG=str(ROOT / "configs" / f"{name}.toml"))
    assert (0, "3\n") == (done.returncode, done.stdout)


def test_sink_of_ones_own(tmp_path: Path) -> None:
    """A class named `package.module:Sink` gets the records, with its options."""
    (tmp_path / "mine.py").write_text(
        "def vars_of(record): return getattr(record, 'input', None)\n"
        "class Mine:\n"
        "    def __init__(self, label): self.label = label\n"
        "    def write(self, batch):\n"
        "        for record in batch.plain(): print(self.label, type(record).__name__, vars_of(record))\n"
        "    def flush(self): ...\n"
        "    def close(self): print('closed')\n"
    )
    (tmp_path / "own.toml").write_text('sinks = ["mine:Mine"]\n[sink."mine:Mine"]\nlabel = "got"\n')
    done = run(tmp_path, INSTRUMENT_CONFIG="own.toml")
    assert "got Span {'a': 1, 'b': 2}" in done.stdout and done.stdout.endswith("closed\n")


def test_sinks_that_keep_the_run_get_it_without_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command line goes to a collector with every request: what is handed to its sink holds no password."""
    monkeypatch.setattr(sys, "argv", ["x.py", "--password", "hunter2", "--api-key=k3y9x8"])
    recorder = building.build(instrument.Settings(dir=str(tmp_path)), [])
    recorder.close()
    assert not [word for word in recorder.run.argv if "hunter2" in word or "k3y9x8" in word]


def test_what_is_said_heeds_what_the_settings_call_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A fault that quotes what only the user's own pattern knows is said without it."""
    told: list[str] = []
    monkeypatch.setattr(notices, "_log", told.append)
    monkeypatch.setattr(notices, "hide", None)
    settings = instrument.Settings(dir=str(tmp_path), redact={"patterns": [r"INT-\d+"]})
    building.build(settings, []).close()
    notices.notice("it failed at INT-4711")
    assert ["it failed at [redacted"] == [line.partition(":")[0] for line in told]


def test_missing_sink_costs_only_itself(tmp_path: Path) -> None:
    """A sink that cannot be imported is named once; the others work."""
    done = run(tmp_path, INSTRUMENT_SINKS="nowhere.to_be:Found,jsonl")
    assert (0, ["add", "run"], 1) == (done.returncode, names(tmp_path), done.stderr.count("nowhere.to_be:Found"))


class Unfinished:
    """A sink without `close`, and others that cannot be used."""

    def write(self, batch: Batch) -> None: ...

    def flush(self) -> None: ...

    class Whole(MemorySink):
        pass

    class Ends(MemorySink):
        def __init__(self) -> None:
            raise SystemExit(3)

    class Waits(MemorySink):
        async def write(self, batch: Batch) -> None: ...  # type: ignore[override]  # the mistake that is told of


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Unfinished.Whole", None),
        ("Unfinished", "(SettingsError: a sink has the methods write(batch), flush() and close(): close of Unfinished"),
        ("Unfinished.Waits", "write of Waits must not be async)"),
        ("Unfinished.Ends", "(SystemExit: 3)"),
    ],
)
def test_what_is_no_sink_is_left_out(name: str, said: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told of in one sentence that names it and what it lacks; the others and the program go on."""
    told: list[str] = []
    monkeypatch.setattr("instrument.sinks.chosen.notice", told.append)
    settings = instrument.Settings(sinks=(f"{__name__}:{name}", "memory"))
    sinks = sinks_of(settings, building.run_record(settings))
    assert (1 + (said is None), [said] if said else []) == (len(sinks), [said for one in told if f"{said}" in one])


class Closing(MemorySink):
    """A sink during whose end somebody else calls what is recorded."""

    direct = False
    begun, over = threading.Event(), threading.Event()

    def close(self) -> None:
        self.begun.set()
        self.over.wait(20)


def test_what_runs_while_it_is_configured_anew_goes_to_the_new_sinks(tmp_path: Path) -> None:
    """A call that is running then, a generator that is half way and what is called while the old sinks close: all is
    recorded, once."""

    def meanwhile() -> None:
        Closing.begun.wait(20)
        other(0)
        Closing.over.set()

    @instrument.tool
    def other(n: int) -> int:
        return n

    @instrument.tool
    def pulled() -> Iterator[int]:
        yield 1
        yield other(1)

    @instrument.agent
    def outer(generator: Iterator[int]) -> list[int]:
        instrument.configure(dir=tmp_path / "new", sinks="jsonl")
        return list(generator)

    instrument.configure(dir=tmp_path / "old", sinks=f"jsonl,{__name__}:Closing")
    thread = threading.Thread(target=meanwhile)
    thread.start()
    generator = pulled()
    next(generator)
    assert [1] == outer(generator)
    thread.join()
    instrument.shutdown()
    found = [
        (folder, record.name)
        for folder in ("old", "new")
        for record in instrument.records(tmp_path / folder)
        if isinstance(record, Span)
    ]
    assert [("new", name) for name in ("other", "other", "outer", "pulled")] == sorted(found)


@pytest.mark.parametrize("ends", [list, lambda stream: stream.close(), lambda stream: instrument.shutdown()])
def test_a_stream_that_is_read_while_it_is_configured_anew_is_recorded(
    ends: Callable[[Any], object], tmp_path: Path
) -> None:
    """It goes on, and ends as it does without: when it has been read, is closed, or with the recording."""

    @instrument.llm_call(model="gpt-4.1-mini")
    def answer() -> Iterator[str]:
        yield "so "
        yield "it is"

    instrument.configure(dir=tmp_path / "old", sinks="jsonl")
    stream = answer()
    next(stream)
    instrument.configure(dir=tmp_path, sinks="jsonl")
    ends(stream)
    instrument.shutdown()
    [called] = [record for record in instrument.records(tmp_path) if isinstance(record, Span)]
    assert called.usage is not None and (called.usage.output or 0) > 0


class Late(MemorySink):
    """A sink that takes what it has when it is let."""

    direct = False
    go_on, taken = threading.Event(), list[Record]()

    def write(self, batch: Batch) -> None:
        self.go_on.wait(20)
        self.taken.extend(batch)


def test_a_slow_sink_of_the_configuration_before_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told what waits for it, not that it is lost, and gets it."""
    told: list[str] = []
    monkeypatch.setattr(wiring, "notice", told.append)
    monkeypatch.setattr(Pipeline.close, "__defaults__", (0.01,))
    monkeypatch.setattr(Recorder.close, "__defaults__", (0.01,))
    instrument.configure(dir=tmp_path, sinks=f"{__name__}:Late")
    instrument.tool(len)("")
    instrument.configure(dir=tmp_path, sinks="memory")
    Late.go_on.set()
    instrument.shutdown()
    until = time.monotonic() + 20
    while not Late.taken and time.monotonic() < until:
        time.sleep(0.001)
    sentence = "the sink Late of before has 2 records to take, which are lost if the program ends first"
    assert ([sentence], 2) == (told, len(Late.taken))


def test_a_configuration_amid_another_one_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a handler of signals configures while a configuration is under way, all recorders but the last are closed,
    and what was called under each is recorded."""
    build, built = wiring.build, list[Recorder]()

    @instrument.tool
    def leaf() -> None: ...

    def interrupted(settings: Settings, *args: Any, **more: Any) -> Recorder:
        if not built:
            built.append(build(settings, *args, **more))
            instrument.configure(dir=tmp_path, sinks="jsonl")
            leaf()
        built.append(build(settings, *args, **more))
        return built[-1]

    monkeypatch.setattr(wiring, "build", interrupted)
    instrument.configure(dir=tmp_path, sinks="jsonl")
    leaf()
    instrument.shutdown()
    found = [record for record in instrument.records(tmp_path) if isinstance(record, Span)]
    assert (2, [True, True]) == (len(found), [one.pipeline.room.is_closed for one in built[1:3]])


def test_what_is_configured_inside_of_the_test_kit_ends_with_it(tmp_path: Path) -> None:
    """A program that is tested may configure: what it recorded then is all written when the test ends."""
    before = switch.recorder
    with record():
        instrument.configure(dir=tmp_path, sinks="jsonl")
        instrument.tool(len)("")
    found = [one.name for one in instrument.records(tmp_path) if isinstance(one, Span)]
    assert (before, ["len"]) == (switch.recorder, found)


@pytest.mark.parametrize(("count", "name"), [(0, "sum"), (2, "len")])
def test_the_test_kit_says_so_where_there_is_not_one_span_of_a_name(count: int, name: str) -> None:
    """Neither is the first of several the one that was meant."""
    with record() as recording:
        for _ in range(2):
            instrument.tool(len)("")
        with pytest.raises(LookupError, match=f"^{count} spans are called '{name}'; recorded: len$"):
            recording.span(name)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, False), ({"budget": {"strict": True}}, False), ({"loops": {"action": "off"}}, False),
        ({"budget": {"seconds": 9}}, True), ({"loops": {"action": "raise"}}, True),
    ],
)  # fmt: skip
def test_guards_are_asked_where_one_may_refuse(settings: dict[str, Any], expected: bool) -> None:
    """Where there is no limit calls pass by them, which would cost time."""
    with record(**settings):
        assert expected == switch.recorder.asks_always  # type: ignore[union-attr]  # it is recorded


def test_a_call_that_forks_stays_the_parents_though_it_was_configured_anew(tmp_path: Path) -> None:
    """What began before a fork is recorded by the process that began it, and nowhere else."""

    @instrument.tool
    def forks() -> int:
        instrument.configure(dir=tmp_path, sinks="jsonl")
        pid = os.fork()
        if pid == 0:
            instrument.configure(dir=tmp_path, sinks="jsonl")
        return pid

    instrument.configure(dir=tmp_path / "old", sinks="jsonl")
    pid = forks()
    if pid == 0:
        instrument.shutdown()
        os._exit(0)
    os.waitpid(pid, 0)
    instrument.shutdown()
    assert 1 == sum(isinstance(record, Span) for record in instrument.records(tmp_path))


def test_exit_code_of_a_failing_program(tmp_path: Path) -> None:
    """An unhandled exception ends the program as without us, and its span is there."""
    done = run(tmp_path, PROGRAM.replace("return a + b", "raise SystemExit(7)"))
    assert (7, ["add", "run"]) == (done.returncode, names(tmp_path))


def test_forked_child_writes_its_own_file(tmp_path: Path) -> None:
    """After `os.fork` parent and child record apart: every span once, no id twice."""
    program = PROGRAM + (
        "\nimport os, instrument\npid = os.fork()\nrun()\n"
        "if pid: os.waitpid(pid, 0)\nelse: instrument.flush(); os._exit(0)\n"
    )
    done = run(tmp_path, program, INSTRUMENT_SINKS="jsonl")
    files = sorted((tmp_path / ".instrument/events").glob("*.jsonl"))
    ids = [
        json.loads(line)["span_id"]
        for file in files
        for line in file.read_text().splitlines()
        if '"type":"span"' in line
    ]
    assert (0, 2, 6, 6) == (done.returncode, len(files), len(ids), len(set(ids)))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_process_pool_is_one_tree(method: str, tmp_path: Path) -> None:
    """What workers of a process pool record is there, however they began, and hangs below the submitter."""
    program = (
        "import multiprocessing\nfrom concurrent.futures import ProcessPoolExecutor\nfrom instrument import agent, tool\n"
        "@tool\ndef square(n):\n    return n * n\n"
        "@agent\ndef run():\n"
        f"    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context({method!r})) as pool:\n"
        "        return list(pool.map(square, range(3)))\n"
        "if __name__ == '__main__':\n    print(run())\n"
    )
    done = run(tmp_path, program, INSTRUMENT_SINKS="jsonl")
    [trace] = instrument.read(tmp_path / ".instrument")
    assert ("[0, 1, 4]\n", ["square"] * 3) == (
        done.stdout,
        [found.name for found in trace.children(trace.root.span_id)],
    )


def test_killed_program_leaves_what_had_ended(tmp_path: Path) -> None:
    """50 ms after a span has ended it is readable, even if the process is killed; what was open is known."""
    program = PROGRAM.replace("print(run())", "") + (
        "\nimport os, signal, time\nfrom pathlib import Path\n"
        "def is_known():\n    return '\"hanging\"' in ''.join(one.read_text() for one in Path('.instrument/events').glob('*'))\n"
        "with span('hanging'):\n    add(1, 2)\n    begun = time.process_time()\n"
        "    while not is_known() and time.process_time() < begun + 0.15:\n        time.sleep(0.001)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run(tmp_path, program, INSTRUMENT_SINKS="jsonl")
    [file] = (tmp_path / ".instrument/events").glob("*.jsonl")
    kinds = [(r["type"], r.get("name")) for r in map(json.loads, file.read_text().splitlines())]
    assert {("span", "add"), ("open", "hanging")} <= set(kinds)


def test_threads_setting(tmp_path: Path) -> None:
    """`INSTRUMENT_PROPAGATE_THREADS=0` leaves `threading` and the executors as they are."""
    program = PROGRAM + "\nimport threading\nprint(type(threading.Thread.__dict__['start']).__name__)"
    done = run(tmp_path, program, INSTRUMENT_PROPAGATE_THREADS="0")
    assert "function" == done.stdout.split()[-1]


def test_save_writes_what_people_expect(tmp_path: Path) -> None:
    """`save(folder)` gives traces, logs, tokens and metrics as plain JSON files."""
    run(tmp_path, PROGRAM + "\nimport instrument\ninstrument.save('out')", INSTRUMENT_SINKS="jsonl")
    [trace] = json.loads((tmp_path / "out/traces.json").read_text())
    assert ("run", "add") == (trace["root"]["name"], trace["root"]["children"][0]["name"])
    assert {"logs.json", "metrics.json", "tokens.json", "traces.json"} == {
        file.name for file in (tmp_path / "out").iterdir()
    }


def test_save_without_jsonl_says_what_is_missing(tmp_path: Path) -> None:
    """Where nothing is kept on disk `save` says which sink it needs."""
    program = (
        PROGRAM
        + "\nimport instrument\ntry:\n    instrument.save('out')\nexcept instrument.InstrumentError as e:\n    print(e)"
    )
    assert "sink jsonl" in run(tmp_path, program, INSTRUMENT_SINKS="ledger").stdout


def test_wrong_use_of_a_class() -> None:
    """Decorating a class says what to do instead."""
    from instrument import tool

    with pytest.raises(TypeError, match="decorate its methods"):
        tool(type("Thing", (), {}))


def test_settings_for_processes_that_are_not_forked() -> None:
    """They go along whole, but for a function that decides on loops and cannot go: there they warn."""
    given = Settings(capture={"content": False}, loops={"action": lambda finding: None})
    found = wiring._unpickled(wiring._pickled(given))
    assert (False, "warn", given.folder) == (found.capture.content, found.loops.action, found.folder)


def test_processes_are_told_that_nothing_is_recorded() -> None:
    """Those that are not forked record nothing inside the test kit and after a shutdown, as forked ones."""
    before = launched.told
    with record():
        inside = launched.told
        shutdown()
        after = launched.told
    assert before is launched.told
    assert [False, False] == [wiring._unpickled(told[0]()).enabled for told in (inside, after) if told]
