"""The run of a program that `instrument run` started: one span around the calls that lie in none of the program's own.

It begins with the first of them, as from the moment when the program began, and ends with the program. Agents, steps
and blocks begin traces of their own as ever, and so do the calls of a program that serves: its requests have nothing
in common. A Python program that it starts is a step below it. `first_on_path/sitecustomize.py` gives both their ids
before anything of ours is loaded, so that children know where they hang whether or not the parent has begun to record.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from instrument import forks
from instrument.attributes import NO_ITERATION
from instrument.kinds import CALLS
from instrument.origins import PROGRAM
from instrument.record.context import Place, place_with
from instrument.record.plan import Plan
from instrument.record.recorder import Recorder
from instrument.record.spans import LiveSpan, begin

QUEUES = "celery.apps.worker", "rq.cli", "huey.bin.huey_consumer", "dramatiq.cli", "arq.cli"
"""Modules that are loaded only where a process waits for work; those that wait for connections are known by that."""

EXIT_CODE = "process.exit.code"
MARK_SECONDS = 7 * 86_400.0
"""So long a mark lies that a killed program has not come for."""


class Told(NamedTuple):
    """What this process was told of the program that it is, or that it works for: `pid` says whose run it is."""

    pid: int
    started: int
    trace_id: str
    parent_id: str | None
    span_id: str
    name: str


def told_by(environment: Any) -> Told | None:
    """What `first_on_path/sitecustomize.py` wrote down; None in a program that is started as always."""
    with suppress(ValueError):
        pid, started, trace_id, parent_id, span_id, _, name = environment.get(PROGRAM, "").split(" ", 6)
        if span_id != "-":
            return Told(int(pid), int(started), trace_id, None if parent_id == "-" else parent_id, span_id, name)
    return None


class Program:
    """The run of the program, as far as this process knows of it; `told` may be None, then there is none.

    It outlives recorders: a span that began under one ends under the next.
    """

    def __init__(self, told: Told | None) -> None:
        self.told = told
        self._span: LiveSpan | None = None
        self._is_begun = self._is_marked = self._serves = False
        self._lock = forks.Lock()

    def place_of(self, span: LiveSpan, place: LiveSpan | Place) -> Place | None:
        """Where a span that has nothing around it hangs; None where the program's run is not the place for it."""
        told = self.told
        if told is None or span.kind not in CALLS or not place.sampled or self._is_serving():
            return None
        around = self._around(span.recorder, told)
        self._begin(span.recorder, told, around)
        budgets = self._span.budgets if self._span is not None and told.pid == os.getpid() else ()
        return place_with(
            place,
            trace_id=told.trace_id,
            span_id=told.span_id,
            depth=0,
            sampled=around.sampled,
            shared={**(around.shared or {}), **(place.shared or {})} or None,
            agent_name=told.name,
            budgets=(*place.budgets, *(scope for scope in budgets if scope not in place.budgets)),
        )

    def end(self, recorder: Recorder, by: BaseException | None = None) -> None:
        """The program ends: so does its span, the way that the program does. What only its children did begins it.

        Where nothing is raised `by` says by what it ends.
        """
        told = self.told
        if told is None or told.pid != os.getpid():
            return
        mark = _mark(told.span_id)
        if mark is not None and mark.exists():
            self._begin(recorder, told, self._around(recorder, told))
            with suppress(OSError):
                mark.unlink()
        if self._span is not None and self._span.duration is None:
            _end_as_the_program(self._span, by)

    def _around(self, recorder: Recorder, told: Told) -> Place:
        """What the program's span is to hang in: nothing, the program that started it, or a span of that."""
        origin = recorder.origin
        if origin is not None and origin.trace_id == told.trace_id:
            return place_with(origin, depth=-1)
        sampled = recorder.sampling.samples(told.trace_id, told.name)
        return Place(told.trace_id, told.parent_id, sampled=sampled)

    def _begin(self, recorder: Recorder, told: Told, around: Place) -> None:
        if told.pid != os.getpid():
            self._leave_mark(told.span_id)
            return
        if self._is_begun:
            return
        with self._lock:
            if self._is_begun:  # by another thread, or by what a finalizer calls meanwhile
                return
            self._is_begun = True
            if told.parent_id is not None:
                self._leave_mark(told.parent_id)
            self._span = _begun(recorder, told, around)

    def _leave_mark(self, span_id: str) -> None:
        """For the program which that is the span of: it may end without a call of its own."""
        if self._is_marked:
            return
        self._is_marked = True
        mark = _mark(span_id)
        with suppress(OSError):
            if mark is not None:
                mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                mark.touch(mode=0o600)
                for old in mark.parent.iterdir():
                    if old.stat().st_mtime < time.time() - MARK_SECONDS:
                        old.unlink()

    def _is_serving(self) -> bool:
        """Once it does it does for good: what it was asked last is answered when it takes no more."""
        self._serves = self._serves or any(name in sys.modules for name in QUEUES) or _listens()
        return self._serves


program = Program(told_by(os.environ))


def _mark(span_id: str) -> Path | None:
    folder = os.environ.get("INSTRUMENT_DIR")
    return Path(folder, "programs", span_id) if folder else None


def _begun(recorder: Recorder, told: Told, around: Place) -> LiveSpan | None:
    is_first = told.parent_id is None
    name = told.name if is_first else _own_name()
    plan = Plan(name, "span", agent_name=told.name, span_id=told.span_id)
    live = begin(recorder, plan, around, captured=recorder.arguments({"argv": sys.argv[1:]}))
    if live is not None:
        if not is_first:
            live.set({NO_ITERATION: True})
        live.kind, live.started = "agent" if is_first else "step", told.started
        recorder.announce(live)
        if live.sampled is False:
            recorder.sampling.share(live.trace_id)
    return live


def _own_name() -> str:
    main: Any = sys.modules.get("__main__")
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:
        return str(spec.name).removesuffix(".__main__")
    return os.path.basename(file) if file else "python"


def _end_as_the_program(live: LiveSpan, by: BaseException | None) -> None:
    error = by or uncaught() or SystemExit(getattr(sys.exit, "told", lambda: None)())
    code = error.code if isinstance(error, SystemExit) else 1
    if isinstance(error, KeyboardInterrupt):
        live.status = "cancelled"
        live.end()
    elif code in (None, 0):
        live.end()
    else:
        live.set({EXIT_CODE: code if isinstance(code, int) else 1})
        live.fail(error)


def uncaught() -> BaseException | None:
    """The exception that Python has told of at the top; debuggers and test runners put others in the same place."""
    error: BaseException | None = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return error if error is not None and _is_at_the_top(error.__traceback__) else None


def _is_at_the_top(traceback: TracebackType | None) -> bool:
    if traceback is None:
        return False
    frame = traceback.tb_frame
    where = frame.f_globals.get("__name__"), frame.f_code.co_name
    return frame.f_back is None and where in (("__main__", "<module>"), ("runpy", "_run_module_as_main"))


def _listens() -> bool:
    """Whether others can connect to this process, or could to the one that forked it; asked of Linux.

    By C's own function: what Python makes of a descriptor sets it to the program's default of timeouts.
    """
    import ctypes  # programs that `instrument run` did not start do not need it

    told, size = ctypes.c_int(0), ctypes.c_int(ctypes.sizeof(ctypes.c_int))

    def is_listening(descriptor: int) -> bool:
        failed = ask(descriptor, socket.SOL_SOCKET, socket.SO_ACCEPTCONN, ctypes.byref(told), ctypes.byref(size))
        return not failed and told.value != 0

    try:
        ask = ctypes.CDLL(None).getsockopt
        return any(is_listening(int(name)) for name in os.listdir("/proc/self/fd"))
    except (OSError, ValueError, AttributeError):
        return False
