"""`instrument run`: a program that nobody changed is recorded, and is otherwise what it is without."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

import instrument
from instrument.cli import run as run_verb
from instrument.cli.main import main
from instrument.model import Span
from tests import programs
from tests.openai_endpoint import Endpoint

CALL = """
import openai
with openai.OpenAI() as client:
    client.responses.create(model="gpt-4.1-mini", input="x")
"""
PROGRAMS = {
    "what it sees": "import sys; print(sys.argv, sys.stdin.read(), sys.path, sys.flags, sys.warnoptions)\n"
    "print(__name__, __file__, __spec__, __package__, __doc__, sorted(vars()))\n"
    "print(sorted(name for name in sys.modules if name.startswith(('instrument', 'wrapt', 'asyncio', 'ssl'))))",
    "what it may do": "import dataclasses, pickle\n@dataclasses.dataclass\nclass A:\n    x: 'int' = 1\n"
    "print(pickle.loads(pickle.dumps(A())))",
    "exception": "def f():\n    raise ValueError('no')\n\nf()",
    "chain": "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise KeyError('a') from error",
    "exit code": "import atexit, sys\natexit.register(print, 'bye')\nsys.exit(7)",
    "exit sentence": "import sys; sys.exit('not today')",
    "syntax": "def f(:\n    pass",
    "own exception hook": "import sys\nsys.excepthook = lambda *told: print('hook', told[0])\n1 / 0",
    "hard exit": "import os; os._exit(5)",
    "killed": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
    "interrupted": "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nimport time\ntime.sleep(9)",
    "exception in a call": CALL + "\nclient.responses.create(model='m', input='x')",
}


@pytest.fixture
def environment(server: Endpoint, tmp_path: Path) -> dict[str, str]:
    """Of a program that calls the endpoint and records into a folder of its own, without the console."""
    client = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "none"}
    ours = {"INSTRUMENT_SINKS": "jsonl,ledger", "INSTRUMENT_DIR": str(tmp_path / "out")}
    return programs.environment(PYTHONDONTWRITEBYTECODE="1", **client, **ours)


def start(words: list[str], environment: dict[str, str], cwd: Path) -> tuple[int, str, str]:
    """Exit code, output and errors of Python with these arguments."""
    return finished([sys.executable, *words], environment, cwd)


def finished(command: list[str], environment: dict[str, str], cwd: Path) -> tuple[int, str, str]:
    done = subprocess.run(
        command, env=environment, cwd=cwd, input="given", capture_output=True, text=True, timeout=100, check=False
    )
    return done.returncode, done.stdout, done.stderr


def becomes(words: list[str], environment: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """Command and environment of the process that `instrument run` turns into."""
    with mock.patch.dict(os.environ, environment, clear=True), mock.patch.object(run_verb, "_become") as become:
        become.return_value = 0
        assert 0 == main(["run", *words])
        return become.call_args.args[0], dict(os.environ)


OUR_FRAME = re.compile(rf'  File "{re.escape(str(Path(instrument.__file__).parent))}.*\n(    .*\n)+')


def run(words: list[str], environment: dict[str, str], cwd: Path) -> tuple[int, str, str]:
    return start(["-m", "instrument", "run", *words], environment, cwd)


def spans(tmp_path: Path) -> list[Span]:
    folder = tmp_path / "out"
    return [span for trace in instrument.read(folder) for span in trace.spans] if folder.exists() else []


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_is_what_it_is_without(program: str, environment: dict[str, str], tmp_path: Path) -> None:
    """Exit code, output, tracebacks and what a program sees of itself are those of plain Python.

    Where an exception passes through the patched client there is one frame more.
    """
    (tmp_path / "a program.py").write_text(PROGRAMS[program])
    words = ["a program.py", "--dir", "x", "-m", "y", "--", "é"]
    code, output, told = finished(*becomes(words, environment), tmp_path)
    assert start(words, environment, tmp_path) == (code, output, OUR_FRAME.sub("", told))


def test_module_is_what_it_is_without(environment: dict[str, str], tmp_path: Path) -> None:
    """The same for a module of a package."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__main__.py").write_text(
        "import sys\nprint(sys.argv, sys.path[:2], __name__, __package__, __spec__.name)\nraise ValueError"
    )
    words = ["-m", "package", "--service", "z"]
    assert start(words, environment, tmp_path) == run(words, environment, tmp_path)


@pytest.mark.parametrize("words", [["missing.py"], ["-m", "missing"], ["."]], ids=str)
def test_what_python_cannot_run(words: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    """What Python says of a program that is not there is what the user sees."""
    assert start(words, environment, tmp_path) == run(words, environment, tmp_path)


def test_calls_are_recorded(environment: dict[str, str], tmp_path: Path) -> None:
    """The program's calls are spans with tokens, also where it patches the client itself; options are settings."""
    (tmp_path / "program.py").write_text("import instrument\ninstrument.patch_openai()" + CALL)
    words = ["--dir", str(tmp_path / "other"), "--set", "capture.content=false", "program.py"]
    code, _, told = run(words, environment, tmp_path)
    [trace] = instrument.read(tmp_path / "other")
    _, span = trace.spans
    assert (0, "", "llm", 20, False) == (code, told, span.kind, span.usage and span.usage.input, "answer" in str(span))


@pytest.mark.parametrize(
    ("words", "given", "command", "told"),
    [
        (["--", "x.py", "-a"], {}, ["x.py", "-a"], {}),
        (["--set", "agent-id=me", "x.py"], {}, ["x.py"], {"INSTRUMENT_AGENT_ID": "me"}),
        (["--budget-usd", "9", "x.py"], {}, ["x.py"], {"INSTRUMENT_BUDGET__PERIOD": "total"}),
        (
            ["--budget-usd", "9", "x.py"],
            {"INSTRUMENT_BUDGET__PERIOD": "day", "INSTRUMENT_BUDGET__NAME": "team"},
            ["x.py"],
            {"INSTRUMENT_BUDGET__PERIOD": "day", "INSTRUMENT_BUDGET__NAME": "team"},
        ),
    ],
)
def test_words_become_command_and_environment(
    words: list[str], given: dict[str, str], command: list[str], told: dict[str, str], environment: dict[str, str]
) -> None:
    """With the options of Python itself that this one was started with; what the environment says of a budget stays."""
    with mock.patch.object(run_verb, "_interpreter_options", return_value=["-X", "dev"]):
        found, after = becomes(words, {**environment, **given})
    assert ([sys.executable, "-X", "dev", *command], told) == (found, {name: after[name] for name in told})


def test_budget_holds(environment: dict[str, str], server: Endpoint, tmp_path: Path) -> None:
    """A call that does not fit into the budget is refused before it is sent."""
    (tmp_path / "program.py").write_text(CALL)
    code, _, told = run(["--budget-usd", "0.000001", "program.py"], environment, tmp_path)
    assert (1, True, []) == (code, "BudgetExceeded" in told, server.requests)


def test_budget_is_of_the_whole_program(environment: dict[str, str], server: Endpoint, tmp_path: Path) -> None:
    """Calls outside of any span, and those of the processes that it starts, draw on one budget."""
    (tmp_path / "child.py").write_text(CALL)
    start_child = "import subprocess, sys\nsubprocess.run([sys.executable, 'child.py'], check=True)\n"
    (tmp_path / "program.py").write_text(CALL + start_child + CALL)
    options = ["--budget-usd", "9", "--set", "budget.calls=2", "program.py"]
    code, _, told = run(options, environment, tmp_path)
    assert (1, True, 2) == (code, "the budget 'program.py" in told, len(server.requests))


FORKING = (
    CALL.replace("with openai", "import os\npid = os.fork()\nwith openai")
    + "if not pid: raise SystemExit(4)\nprint(os.waitpid(pid, 0)[1])\n"
)
SPAWNING = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"


def test_forked_child_is_recorded(environment: dict[str, str], tmp_path: Path) -> None:
    """Parent and child record their own calls, and end as they do without."""
    (tmp_path / "program.py").write_text(FORKING)
    plain = 0, f"{4 << 8}\n", ""
    told = run(["program.py"], environment, tmp_path)
    assert (plain, ["agent", "llm", "llm"]) == (told, sorted(span.kind for span in spans(tmp_path)))


@pytest.mark.parametrize(("options", "count"), [([], 1), (["--no-children"], 0)], ids=["default", "--no-children"])
def test_python_child_is_recorded(options: list[str], count: int, environment: dict[str, str], tmp_path: Path) -> None:
    """So are Python processes that the program starts, unless the user says no."""
    (tmp_path / "program.py").write_text(SPAWNING)
    run([*options, "program.py", CALL], environment, tmp_path)
    assert count == sum(span.kind == "llm" for span in spans(tmp_path))


def test_own_sitecustomize_is_loaded(environment: dict[str, str], tmp_path: Path) -> None:
    """A `sitecustomize` of the user's own comes as ever."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nif 'instrument' not in sys.orig_argv: print('mine')")
    (tmp_path / "program.py").write_text("import sys; print(sys.modules['sitecustomize'].__file__)")
    environment = {**environment, "PYTHONPATH": str(tmp_path)}
    assert start(["program.py"], environment, tmp_path) == run(["program.py"], environment, tmp_path)


def test_interrupt_from_outside(environment: dict[str, str], tmp_path: Path) -> None:
    """Ctrl-C reaches the program, which dies of it as plain Python does."""
    (tmp_path / "program.py").write_text("print('ready', flush=True)\nwhile True: pass")
    command = [sys.executable, "-m", "instrument", "run", "program.py"]
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()
    assert (-signal.SIGINT, True) == (process.returncode, told.endswith("KeyboardInterrupt\n"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "instrument run SCRIPT"),
        (["--set", "nonsense", "x.py"], "KEY=VALUE"),
        (["--set", "=1", "x.py"], "KEY=VALUE"),
        (["--set", "no.such=1", "x.py"], "no such setting"),
        (["--budget-usd", "abc", "x.py"], "(--budget-usd)"),
        (["--set", "budget.usd=abc", "x.py"], "(--set budget.usd)"),
        (["--config", "none.toml", "x.py"], "--config: "),
    ],
    ids=str,
)
def test_bad_use_is_said(words: list[str], sentence: str, environment: dict[str, str], tmp_path: Path) -> None:
    """One sentence and exit code 2, before anything is run."""
    code, output, told = run(words, environment, tmp_path)
    assert (2, "", True, False) == (code, output, sentence in told, "Traceback" in told)
