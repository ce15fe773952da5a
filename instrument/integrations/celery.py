"""Traces that go on through Celery's queues: each task is a span, below the span that it was sent from.

    trace_tasks()  # in the module that has the app, which senders and workers both import

What is sent outside of any span begins a trace.
"""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack
from importlib import import_module
from typing import Any

from instrument.record.blocks import span
from instrument.record.headers import extract, inject
from instrument.record.safely import safely

WAY = "instrument"
"""What Celery knows our receivers by: a second time nothing is added."""


class _Running(threading.local):
    """The tasks that a thread is in, each within the one before: a task may run another where it stands."""

    def __init__(self) -> None:
        self.tasks: list[_Task] = []


_running = _Running()


def trace_tasks() -> None:
    """Send the current span with every task, and make each one that runs here a span; again, it changes nothing more.

    A task that fails is an error, and so is one that is tried again because it failed; the next try hangs below it.
    Raises `ImportError` when Celery is not installed.
    """
    signals = import_module("celery.signals")

    told = {
        signals.before_task_publish: _sent,
        signals.task_prerun: _begun,
        signals.task_failure: _failed,
        signals.task_retry: _retried,
        signals.task_postrun: _over,
    }
    for signal, receiver in told.items():
        signal.connect(receiver, weak=False, dispatch_uid=WAY)


class _Task:
    """The span of a task that runs, and what came of it."""

    def __init__(self, task: Any, task_id: str) -> None:
        self.task_id = task_id
        self.error: BaseException | None = None
        self._handled = sys.exception()
        self._stack = ExitStack()
        request = task.request
        attributes = {"messaging.system": "celery", "messaging.message.id": task_id}
        attributes |= {"celery.retries": request.retries} if request.retries else {}
        self._stack.enter_context(extract(getattr(request, "headers", None) or {}))
        self._stack.enter_context(span(str(task.name), attributes=attributes))

    def end(self) -> None:
        """The task is over. Of what ends its worker, such as a limit of time, Celery tells nothing but that."""
        ends = sys.exception()
        error = ends if self.error is None and ends is not self._handled else self.error
        self._stack.__exit__(*(type(error), error, error.__traceback__) if error is not None else (None, None, None))


def _sent(headers: Any = None, **_: Any) -> None:
    if isinstance(headers, dict):
        safely(inject, headers)


def _begun(task: Any = None, task_id: str = "", **_: Any) -> None:
    running = safely(_Task, task, task_id)
    if running is not None:
        _running.tasks.append(running)


def _failed(task_id: str = "", exception: Any = None, **_: Any) -> None:
    if (running := _of(task_id)) is not None:
        running.error = exception


def _retried(request: Any = None, reason: Any = None, **_: Any) -> None:
    """Tried again because of an exception, or because the task wants to look again later, which is no failure."""
    failure = getattr(reason, "exc", None)
    if isinstance(failure, BaseException):
        _failed(str(request.id), failure)


def _over(task_id: str = "", **_: Any) -> None:
    if (running := _of(task_id)) is not None:
        del _running.tasks[_running.tasks.index(running) :]
        safely(running.end)


def _of(task_id: str) -> _Task | None:
    return next((one for one in reversed(_running.tasks) if one.task_id == task_id), None)
