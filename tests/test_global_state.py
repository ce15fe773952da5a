"""A recorded program leaves the process as the plain one does: hooks, handlers, contexts, files, order of exit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.programs import environment

PROGRAM = """
import atexit, asyncio, concurrent.futures, contextvars, decimal, faulthandler, functools, gc, http.client, inspect
import json, locale, logging, multiprocessing, os, pickle, queue, random, resource, signal, socket, sqlite3, subprocess
import sys, tempfile, threading, time, tracemalloc, types, urllib.request, warnings, weakref, zlib
import concurrent.futures.process, concurrent.futures.thread

told = {"order of exit": []}
atexit.register(lambda: os.write(1, json.dumps(told).encode()))
atexit.register(lambda: told.update({"at exit": state()}))
atexit.register(told["order of exit"].append, "first")

logging.basicConfig(level=logging.WARNING)
random.seed(7)
decimal.getcontext().prec = 31
os.umask(0o027)
signal.signal(signal.SIGUSR1, lambda *_: None)
warnings.simplefilter("once")


def callables():
    modules = {name: module for name, module in list(sys.modules.items()) if isinstance(module, types.ModuleType)}
    for module_name, module in modules.items():
        for name, found in list(vars(module).items()):
            if callable(found):
                yield f"{module_name}.{name}", found
            if isinstance(found, type) and found.__module__ == module_name:
                for inner, held in list(vars(found).items()):
                    if callable(held):
                        yield f"{module_name}.{name}.{inner}", held


before = {name: found for name, found in callables() if not name.startswith("__main__")}


def files():
    kinds = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue
        kind = target.split(":")[0] if ":" in target else os.path.basename(target)
        kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


def name_of(hook):
    return getattr(hook, "__qualname__", None) or type(hook).__qualname__


def state():
    root = logging.getLogger()
    now = dict(callables())
    return {
        "patched": sorted(name for name, found in before.items() if now.get(name, found) is not found),
        "signals": {str(number): name_of(signal.getsignal(number)) for number in signal.valid_signals()},
        "wakeup fd": signal.set_wakeup_fd(-1),
        "blocked signals": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "timers": [signal.getitimer(which) for which in (signal.ITIMER_REAL, signal.ITIMER_PROF)],
        "logging": [list(map(repr, root.handlers)), root.level, root.filters, logging.root.manager.disable,
                    logging.raiseExceptions, name_of(logging.getLoggerClass()), name_of(logging.getLogRecordFactory()),
                    logging.lastResort.level],
        "warnings": [repr(warnings.filters), warnings.showwarning.__module__],
        "hooks": list(map(name_of, (
            sys.excepthook, sys.unraisablehook, sys.displayhook, sys.breakpointhook, threading.excepthook))),
        "tracing": list(map(repr, (sys.gettrace(), sys.getprofile(), threading.gettrace(), threading.getprofile(),
                    sys.get_asyncgen_hooks(), sys.get_coroutine_origin_tracking_depth(), faulthandler.is_enabled(),
                    tracemalloc.is_tracing()))),
        "asyncio": name_of(asyncio.get_event_loop_policy()),
        "decimal": repr(decimal.getcontext()),
        "locale": locale.setlocale(locale.LC_ALL),
        "random": zlib.crc32(repr(random.getstate()).encode()),
        "limits": [sys.getrecursionlimit(), sys.getswitchinterval(), threading.stack_size(), socket.getdefaulttimeout(),
                   resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CORE),
                   sys.get_int_max_str_digits(), os.nice(0)],
        "gc": [gc.isenabled(), gc.get_threshold(), len(gc.callbacks), gc.get_freeze_count(), gc.get_debug()],
        "place": [os.getcwd(), os.umask(0o027), tempfile.gettempdir(), time.tzname],
        "environment": dict(os.environ),
        "import": [sys.path, list(map(name_of, sys.path_hooks)), list(map(name_of, sys.meta_path)),
                   sys.dont_write_bytecode],
        "streams": [name_of(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)],
        "children": multiprocessing.get_start_method(allow_none=True),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "context": sorted(variable.name for variable in contextvars.copy_context()),
        "files": files(),
    }


if "plain" in sys.argv:
    agent = tool = llm_call = lambda function: function
else:
    from instrument import agent, llm_call, tool

atexit.register(told["order of exit"].append, "second")


@tool
def look_up(n):
    random.random()
    return decimal.Decimal(1) / 3


@tool
async def wait(n):
    await asyncio.sleep(0)
    told["in the loop"] = [
        name_of(asyncio.get_running_loop()), asyncio.get_running_loop().get_task_factory(),
        asyncio.get_running_loop().get_debug(), asyncio.get_running_loop().slow_callback_duration,
        asyncio.get_running_loop().get_exception_handler(),
    ]


@tool
def numbers():
    yield from range(3)


@llm_call
def think(prompt):
    return "an answer"


@agent
def review():
    list(numbers())
    asyncio.run(wait(1))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(look_up, range(3)))
    thread = threading.Thread(target=look_up, args=(4,))
    thread.start()
    thread.join()
    return think("a question")


print(review(), random.random(), flush=True)
atexit.register(told["order of exit"].append, "third")
told["at the end"] = state()
raise KeyError("mine")
"""
PATCHED = {
    "threading.Thread.start",
    "subprocess.Popen.__init__",
    "logging.Logger.callHandlers",
    "concurrent.futures.thread.ThreadPoolExecutor.submit",
    "concurrent.futures.process.ProcessPoolExecutor.submit",
    "os._exit",
    "posix._exit",
    "signal.raise_signal",
    "_signal.raise_signal",
}
"""So that spans have their parents in threads, pools and child processes, what is logged has its span, and what ended
last is written where a process ends without `atexit`."""

OURS = re.compile(r"instrument.*|ImportHookFinder|.*\.jsonl|ledger\.db.*")
"""What is there besides: our threads, our context variable, wrapt's finder of modules, the files that are written."""


class Left(NamedTuple):
    """What a program told of its process, and how it ended."""

    told: dict[str, Any]
    printed: str
    stderr: str
    code: int


def left_by(folder: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    (folder / "program.py").write_text(PROGRAM)
    return subprocess.Popen(
        [sys.executable, "program.py", *arguments],
        cwd=folder,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process: subprocess.Popen[str]) -> Left:
    stdout, stderr = process.communicate(timeout=60)
    printed, _, told = stdout.partition("\n")
    return Left(json.loads(told), printed, stderr, process.returncode)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Left, Left]:
    """The plain program and the recorded one, by default settings, side by side."""
    folder = tmp_path_factory.mktemp("program")
    plain, recorded = left_by(folder, "plain"), left_by(folder)
    return outcome(plain), outcome(recorded)


def without_ours(found: Any) -> Any:
    """What is left when everything of ours is taken out."""
    if isinstance(found, dict):
        return {name: without_ours(held) for name, held in found.items() if not OURS.fullmatch(name)}
    if isinstance(found, list):
        return [without_ours(held) for held in found if not (isinstance(held, str) and OURS.fullmatch(held))]
    return found


@pytest.mark.parametrize("when", ["at the end", "at exit"])
def test_the_process_is_as_the_plain_one(both: tuple[Left, Left], when: str) -> None:
    """Handlers, hooks, filters, contexts, limits: after the last call and at exit all is as without us."""
    plain, recorded = (without_ours({**left.told[when], "patched": [], "files": {}}) for left in both)
    assert plain == recorded


def test_nothing_else_is_patched(both: tuple[Left, Left]) -> None:
    """Of what the program had imported before us a handful is wrapped, besides what typing_extensions does to typing."""
    patched = {name for name in both[1].told["at exit"]["patched"] if not name.startswith(("typing.", "logging._"))}
    assert PATCHED == patched


def test_no_file_of_ours_is_open_at_exit(both: tuple[Left, Left]) -> None:
    """What is written is closed before the program's own first handlers of `atexit` run."""
    assert both[0].told["at exit"]["files"] == both[1].told["at exit"]["files"]


def test_the_loop_is_as_the_plain_one(both: tuple[Left, Left]) -> None:
    """A running event loop has no factory, handler or mode of ours."""
    assert both[0].told["in the loop"] == both[1].told["in the loop"]


def test_the_end_is_the_plain_one(both: tuple[Left, Left]) -> None:
    """Exit code, what is printed and the order of handlers at exit are the program's own."""
    plain, recorded = ((left.code, left.printed, left.told["order of exit"]) for left in both)
    assert plain == recorded


def test_what_python_says_of_the_end_is_said(both: tuple[Left, Left]) -> None:
    """The traceback on stderr is the same, line by line, among what the console shows."""
    shown = both[1].stderr.splitlines()
    assert both[0].stderr.splitlines() == [line for line in shown if line in both[0].stderr.splitlines()]
