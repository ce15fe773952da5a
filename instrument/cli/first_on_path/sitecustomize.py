"""Python imports this first in a program that `instrument run` starts, and in the Python processes that it starts.

Nothing of the program is imported before its time, `openai` least of all: it is patched when the program has imported
it. This folder goes off `sys.path` again, and a `sitecustomize` that the program has of its own is loaded as ever.

The run of the program gets its ids here, for the Python programs that it starts hang below it (`record/program.py`).
"""

from __future__ import annotations

import _thread
import atexit
import importlib
import os
import sys
import time
from _weakref import ref
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
PATH, FOLLOWS = "PYTHONPATH", "INSTRUMENT_RUN_CHILDREN"
PROGRAM, FOLDER, PARENT = "INSTRUMENT_RUN_PROGRAM", "INSTRUMENT_DIR", "TRACEPARENT"


class PatchedWhenImported:
    """Finds `openai` as the others do, and has it patched when it has been loaded."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """What the finders behind this one find."""
        if name != "openai":
            return None
        spec = next((spec for finder in _others(self) if (spec := finder.find_spec(name, path, target))), None)
        if spec is not None and spec.loader is not None:
            _patch_after(spec.loader)
        return spec


def _others(mine: object) -> list[Any]:
    return [finder for finder in sys.meta_path if finder is not mine and hasattr(finder, "find_spec")]


def _patch_after(loader: Any) -> None:
    plain = loader.exec_module

    def exec_module(module: Any) -> None:
        vars(loader).pop("exec_module", None)
        plain(module)
        _patch()

    loader.exec_module = exec_module


def _patch() -> None:
    try:
        from instrument import patch_openai

        patch_openai()
    except Exception as error:  # noqa: BLE001 - the program must run all the same, also in another environment
        sys.stderr.write(f"instrument: openai is not recorded ({type(error).__name__}: {error})\n")


def _go_off_the_path() -> None:
    sys.path[:] = [place for place in sys.path if place != HERE]
    if os.environ.pop(FOLLOWS, "1") == "0":
        rest = [place for place in os.environ.get(PATH, "").split(os.pathsep) if place != HERE]
        os.environ.pop(PATH, None)
        if any(rest):
            os.environ[PATH] = os.pathsep.join(rest)


def _load_the_programs_own() -> None:
    mine = sys.modules.pop("sitecustomize")
    try:
        importlib.import_module("sitecustomize")  # the one behind this one
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
        sys.modules["sitecustomize"] = mine


def _begin_program() -> None:
    """Write down who this program is, below a span of the one that started it or, outside of any, below its run."""
    told = os.environ.get(PROGRAM, "").split(" ", 6)
    if len(told) < 7 or any(word.startswith(_WORKERS) for word in sys.orig_argv):
        return
    process, _, trace_id, _, parent_id, under, name = told
    mine, within = str(os.getpid()), os.environ.get(PARENT) or "-"
    if process != mine:  # else it has put another program in its own place, as to start anew
        parts = within.split("-")
        if within != under and len(parts) >= 4:
            trace_id, parent_id = parts[1:3]
        if trace_id == "-":
            trace_id = os.urandom(16).hex()
        words = mine, str(time.perf_counter_ns()), trace_id, parent_id, os.urandom(8).hex(), within, name
        os.environ[PROGRAM] = " ".join(words)
    sys.exit = _noted_exit  # type: ignore[assignment]  # it says of itself that it may return
    atexit.register(_end_program)


_WORKERS = "from multiprocessing.", "joblib.externals.loky.", "loky.backend."
"""What their commands begin with: they are parts of the program that starts them."""


_exit = sys.exit


class _Leaving:
    """Lives as long as the exception that `sys.exit` has raised, and finds out whether anything caught that."""

    def __init__(self, code: object) -> None:
        self.code = code

    def __del__(self) -> None:
        global _code
        if _is_last() and _thread.get_ident() == _MAIN:
            _code = self.code


def _is_last() -> bool:
    """Whether no Python is running but its caller: what is caught is let go of by whoever caught it."""
    try:
        sys._getframe(2)
    except ValueError:
        return True
    return False


def _noted_exit(status: Any = None, /) -> None:
    global _leaving
    leaving = _Leaving(status)
    _leaving = ref(leaving)
    _exit(status)


_noted_exit.__name__ = _noted_exit.__qualname__ = "exit"
_noted_exit.__module__, _noted_exit.__doc__ = "sys", sys.exit.__doc__
_MAIN = _thread.get_ident()
_leaving: Any = None
_code: object = None


def _told() -> object:
    """What `sys.exit` was called with, where the program ends by that; a task of asyncio keeps its exception."""
    kept = _leaving() if _leaving is not None else None
    return kept.code if kept is not None else _code


_noted_exit.told = _told  # type: ignore[attr-defined]  # for `record/program.py`


def _end_program() -> None:
    """Have a program that made no call itself recorded where one that it started has made some."""
    process, *_, span_id, _, _ = os.environ.get(PROGRAM, "").split(" ", 6)
    mark = os.path.join(os.environ.get(FOLDER, ""), "programs", span_id)
    if process == str(os.getpid()) and os.path.exists(mark):
        try:
            _load_at_the_end()
        except Exception as error:  # noqa: BLE001 - the program has ended well, also in another environment
            sys.stderr.write(f"instrument: the run is not recorded ({type(error).__name__}: {error})\n")


def _load_at_the_end() -> None:
    import threading

    register = threading._register_atexit  # type: ignore[attr-defined]  # typeshed leaves it out
    threading._register_atexit = lambda *_: None  # type: ignore[attr-defined]  # executors ask for it, and it is too late
    try:
        from instrument import wiring

        wiring.record_at_last()
    finally:
        threading._register_atexit = register  # type: ignore[attr-defined]  # as above


sys.meta_path.insert(0, PatchedWhenImported())
_begin_program()
_go_off_the_path()
_load_the_programs_own()
