"""`instrument run`: the run of the program is one trace, unless the program has runs of its own or serves."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

import instrument
from instrument.reading import Trace
from instrument.record import program
from tests import programs

ASK = """
from instrument import agent, llm_call, span, tool
@llm_call(model="gpt-4.1-mini")
def ask(question): return "answer"
ask("x")
"""
ENDS = {
    "end": ("", 0, "ok", None),
    "sys.exit": ("import sys; sys.exit(3)", 3, "error", "SystemExit: 3"),
    "sys.exit in words": ("import sys; sys.exit('no')", 1, "error", "SystemExit: no"),
    "sys.exit in a function": ("def leave():\n    import sys; sys.exit(3)\nleave()", 3, "error", "SystemExit: 3"),
    "sys.exit in a task": (
        "import asyncio, sys\nasync def main():\n    await asyncio.sleep(0)\n    sys.exit(3)\nasyncio.run(main())",
        3,
        "error",
        "SystemExit: 3",
    ),
    "sys.exit without a code": ("import sys; sys.exit()", 0, "ok", None),
    "sys.exit that is caught": ("import sys\ntry: sys.exit(3)\nexcept SystemExit: pass", 0, "ok", None),
    "sys.exit of a thread": (
        "import sys, _thread, time\n_thread.start_new_thread(sys.exit, (3,))\ntime.sleep(0.1)",
        0,
        "ok",
        None,
    ),
    "exception": ("1 / 0", 1, "error", "ZeroDivisionError: division by zero"),
    "exception of another": (
        "import sys\ndef f():\n    try: 1 / 0\n    except Exception as error: sys.last_value = error\nf()",
        0,
        "ok",
        None,
    ),
    "Ctrl-C": ("import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(9)", -2, "cancelled", None),
    "os._exit": ("import os; os._exit(3)", 3, "error", "SystemExit: 3"),
    "os._exit that is well": ("import os; os._exit(0)", 0, "ok", None),
    "SIGTERM it dies of by itself": ("import signal; signal.raise_signal(signal.SIGTERM)", -15, "cancelled", None),
    "kill -9": ("import os, time; time.sleep(0.2); os.kill(os.getpid(), 9)", -9, "open", None),
}


def run(tmp_path: Path, text: str, *options: str, **environment: str) -> tuple[int, list[Trace]]:
    """Exit code and traces of such a program."""
    (tmp_path / "program.py").write_text(text)
    given = {"INSTRUMENT_SINKS": "jsonl", "INSTRUMENT_DIR": str(tmp_path / "out"), **environment}
    done = programs.python("-m", "instrument", "run", *options, "program.py", cwd=tmp_path, **given)
    return done.returncode, list(instrument.read(tmp_path / "out")) if (tmp_path / "out").exists() else []


def shape(trace: Trace, span_id: str | None = None) -> list[object]:
    """Names of a trace's spans, each with what lies below it."""
    return [(span.name, shape(trace, span.span_id)) for span in trace.children(span_id)]


CALL: object = ("ask", [])


@pytest.mark.parametrize("end", ENDS)
def test_span_ends_as_the_program(end: str, tmp_path: Path) -> None:
    """The program's span says how it ended: its exit code, its exception, Ctrl-C, or that it never did."""
    text, code, status, told = ENDS[end]
    found, [trace] = run(tmp_path, ASK + text)
    root, error = trace.root, trace.root.error
    said = f"{error.type}: {error.message}" if error else None
    assert (code, "agent", status, told) == (found, root.kind, root.status, said)


def test_calls_are_one_trace(tmp_path: Path) -> None:
    """Calls of the main thread, of other threads and of tasks hang below the program's span, which has its time."""
    text = ASK + (
        "import asyncio, threading, time\n"
        "other = threading.Thread(target=ask, args=('y',))\nother.start()\nother.join()\n"
        "async def main(): ask('z')\nasyncio.run(main())\ntool(print)()\ntime.sleep(0.1)"
    )
    _, [trace] = run(tmp_path, text)
    assert [("program.py", [CALL, CALL, CALL, ("print", [])])] == shape(trace)


def test_time_is_that_of_the_program(tmp_path: Path) -> None:
    """The span begins with the program, not with its first call."""
    _, [trace] = run(tmp_path, "import time\ntime.sleep(0.2)" + ASK)
    _, call = trace.spans
    assert call.start_ns - trace.root.start_ns > 0.2e9


def test_module_and_arguments_are_named(tmp_path: Path) -> None:
    """A module is called as the user called it; what the program was given is its span's input."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__main__.py").write_text(ASK)
    words = ["-m", "instrument", "run", "-m", "package", "--fast"]
    programs.python(*words, cwd=tmp_path, INSTRUMENT_SINKS="jsonl", PYTHONPATH=f"{programs.ROOT}:{tmp_path}")
    [trace] = instrument.read(tmp_path / ".instrument")
    assert ("package", {"argv": ["--fast"]}) == (trace.root.name, trace.root.input)


def test_own_runs_are_traces_of_their_own(tmp_path: Path) -> None:
    """An agent, a step or a block that the program has marked begins a trace as it does without `instrument run`."""
    text = ASK + (
        "agent(ask, name='agent')('x')\nagent(ask, name='agent')('y')\nwith span('block'): ask('z')\n"
        "from instrument.testing import record\nwith record() as kept: ask('w')\nassert len(kept.spans) == 1"
    )
    code, traces = run(tmp_path, text)
    assert (0, [[("program.py", [CALL])], [("agent", [CALL])], [("agent", [CALL])], [("block", [CALL])]]) == (
        code,
        [shape(trace) for trace in traces],
    )


def test_nothing_is_recorded_without_a_call(tmp_path: Path) -> None:
    """A program that calls nothing, or only in runs of its own, has no trace of itself."""
    _, traces = run(tmp_path, ASK.replace('ask("x")', "agent(ask, name='agent')('x')"))
    assert ["agent"] == [trace.root.name for trace in traces]


START = "import subprocess, sys; subprocess.run([sys.executable, {}])\n"
POOL = """
import multiprocessing
from child import ask
if __name__ == "__main__":
    with multiprocessing.get_context("{}").Pool(1) as pool:
        pool.map(ask, "x")
        pool.close()
        pool.join()
"""
CHILDREN = {
    "program": (START.format("'child.py'"), [("child.py", [CALL])]),
    "program of a program": (
        START.format("'-c', '''" + START.format("'child.py'") + "'''"),
        [("python", [("child.py", [CALL])])],
    ),
    "instrument run": (
        START.format("'-m', 'instrument', 'run', 'child.py'"),
        [("child.py", [CALL])],
    ),
    "fork": ("import os\nif not os.fork():\n    import child\nelse: os.wait()", [CALL]),
    "forked pool": (POOL.format("fork").replace("from child import ask", "def ask(x): import child"), [CALL]),
    "spawned pool": (POOL.format("spawn").replace("from child import ask", "def ask(x): import child"), [CALL]),
    "span": (
        "from instrument import span\nwith span('block'):\n    " + START.format("'child.py'"),
        [("child.py", [CALL])],
    ),
}  # fmt: skip


@pytest.mark.parametrize("child", CHILDREN)
def test_children_hang_below(child: str, tmp_path: Path) -> None:
    """So do the Python processes that it starts, also where it makes no call itself; programs are steps of their own."""
    (tmp_path / "child.py").write_text(ASK)
    text, below = CHILDREN[child]
    _, [trace] = run(tmp_path, text)
    assert [("block" if child == "span" else "program.py", below)] == shape(trace)


def test_program_that_only_starts_others_ends_as_it_does(tmp_path: Path) -> None:
    """Its span is written when it ends, with its exit code, and nothing stays behind that its children left for it."""
    (tmp_path / "child.py").write_text(ASK)
    _, [trace] = run(tmp_path, START.format("'child.py'") + "sys.exit(4)")
    assert ("error", 4, []) == (
        trace.root.status,
        trace.root.attributes.get("process.exit.code"),
        list((tmp_path / "out" / "programs").iterdir()),
    )


SERVER = """
import threading, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        ask(self.path)
        self.send_response(200)
        self.end_headers()
with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for _ in range(2):
        urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/").read()
"""


def test_calls_of_a_server_stay_apart(tmp_path: Path) -> None:
    """While others can connect to it each call is a trace, as its requests have nothing to do with each other."""
    _, traces = run(tmp_path, ASK + SERVER)
    assert [[("program.py", [CALL])], [CALL], [CALL]] == [shape(trace) for trace in traces]


@pytest.mark.parametrize("module", program.QUEUES)
def test_calls_of_a_worker_stay_apart(module: str, tmp_path: Path) -> None:
    """So do those of a process that a queue's own command has started to work for many."""
    _, traces = run(tmp_path, f"import sys\nsys.modules[{module!r}] = sys" + ASK + "ask('y')")
    assert [[CALL], [CALL]] == [shape(trace) for trace in traces]


def test_apart(tmp_path: Path) -> None:
    """`--apart` does the same for a program of which that cannot be seen."""
    _, traces = run(tmp_path, ASK + "ask('y')", "--apart")
    assert [[CALL], [CALL]] == [shape(trace) for trace in traces]


def test_caller_is_above(tmp_path: Path) -> None:
    """A program that is started below a span of somebody else's hangs there."""
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    _, [trace] = run(tmp_path, ASK, TRACEPARENT=caller)
    root = trace.root
    assert (caller[3:35], caller[36:52], "program.py") == (root.trace_id, root.parent_id, root.name)


def test_budget_of_a_trace_is_the_programs(tmp_path: Path) -> None:
    """What limits each trace limits the calls of the program together."""
    code, [trace] = run(tmp_path, ASK + "ask('y')", INSTRUMENT_BUDGET__CALLS="1")
    assert (1, ["ok", "refused"]) == (code, [span.status for span in trace.spans[1:]])


def test_run_is_sampled_as_one(tmp_path: Path) -> None:
    """Where the share leaves it out, all of it is stored because something in it failed, with its children."""
    (tmp_path / "child.py").write_text(ASK)
    text = ASK + START.format("'child.py'") + "sys.exit(1)"
    _, [trace] = run(tmp_path, text, INSTRUMENT_SAMPLE_RATE="0.000001")
    assert [("program.py", [CALL, ("child.py", [CALL])])] == shape(trace)


@pytest.mark.parametrize("how", ["configure", "shutdown"])
def test_recording_that_changes_meanwhile(how: str, tmp_path: Path) -> None:
    """The run is one trace also where the program configures the recording, or ends it and begins another."""
    text = ASK + f"import instrument\ninstrument.{how}()\ninstrument.configure(sinks=['jsonl'])\nask('y')"
    _, [trace] = run(tmp_path, text)
    assert ("ok", [("program.py", [CALL, CALL])]) == (trace.root.status, shape(trace))


def test_a_look_for_listeners_leaves_sockets_as_they_are() -> None:
    """Sockets that block go on to block, also where the program has set a default of timeouts."""
    one, other = socket.socketpair()
    with one, other, socket.create_server(("127.0.0.1", 0)):
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(5)
        try:
            found = program._listens()
        finally:
            socket.setdefaulttimeout(before)
        assert (True, True) == (found, one.getblocking() and os.get_blocking(one.fileno()))
