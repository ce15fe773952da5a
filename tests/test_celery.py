"""Tasks of Celery as spans: what it tells of them, in the order in which its workers do.

It is no dependency of ours: a stand-in sends its signals as Celery 5.7 was seen to, with which the whole was tried by hand.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from instrument import session, span, tool
from instrument.integrations.celery import trace_tasks
from instrument.record.context import current
from instrument.testing import Recording

NAMES = "before_task_publish", "task_prerun", "task_failure", "task_retry", "task_postrun"


class Signal:
    """One of Celery's."""

    def __init__(self) -> None:
        self.receivers: dict[str, Callable[..., Any]] = {}

    def connect(self, receiver: Callable[..., Any], weak: bool, dispatch_uid: str) -> None:
        self.receivers[dispatch_uid] = receiver

    def send(self, **told: Any) -> None:
        for receiver in self.receivers.values():
            receiver(signal=self, **told)


class Retry(Exception):
    def __init__(self, exc: Exception | None) -> None:
        self.exc = exc


class Celery:
    """Sends and runs tasks."""

    def __init__(self) -> None:
        self.signals = SimpleNamespace(**{name: Signal() for name in NAMES})

    def send(self) -> dict[str, str]:
        """The headers that a message goes out with."""
        headers: dict[str, str] = {"lang": "py"}
        self.signals.before_task_publish.send(sender="work", body=(), headers=headers)
        return headers

    def run(self, work: Callable[[], Any], headers: Any = None, task_id: str = "1", name: str = "work") -> None:
        """What a worker does with one."""
        request = SimpleNamespace(id=task_id, headers=headers, retries=0)
        told = {"sender": None, "task_id": task_id}
        self.signals.task_prerun.send(**told, task=SimpleNamespace(name=name, request=request), args=(), kwargs={})
        try:
            work()
        except Retry as reason:
            self.signals.task_retry.send(sender=None, request=request, reason=reason, einfo=None)
        except Exception as error:
            self.signals.task_failure.send(**told, exception=error, args=(), kwargs={}, traceback=None, einfo=None)
        finally:
            self.signals.task_postrun.send(**told, task=None, args=(), kwargs={}, retval=None, state=None)


@tool
def lookup(number: int) -> int:
    return number


@pytest.fixture
def celery(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> Celery:
    """One whose tasks are traced, by two modules that ask for it."""
    celery = Celery()
    monkeypatch.setitem(sys.modules, "celery.signals", celery.signals)  # type: ignore[arg-type]  # stands for the module
    monkeypatch.setitem(sys.modules, "celery", SimpleNamespace(signals=celery.signals))  # type: ignore[arg-type]  # as above
    trace_tasks()
    trace_tasks()
    return celery


def traces(recording: Recording) -> list[list[str]]:
    """Names of what each trace has."""
    found: dict[str, list[str]] = {}
    for one in recording.spans:
        found.setdefault(one.trace_id, []).append(one.name)
    return [*found.values()]


def test_a_task_hangs_below_its_sender(celery: Celery, recording: Recording) -> None:
    """What a worker does with a task is in the trace of who sent it, in that one's session."""
    with session("s"), span("caller") as caller:
        headers = celery.send()
    celery.run(lambda: lookup(1), headers)
    task, found = recording.span("work"), recording.span("lookup")
    assert (caller.span_id, task.span_id, "s") == (task.parent_id, found.parent_id, found.attributes["session.id"])


def test_a_task_of_nobody_is_a_trace(celery: Celery, recording: Recording) -> None:
    """Sent outside of any span each task is a trace with all its calls, and nothing is left current behind it."""
    celery.run(lambda: (lookup(1), lookup(2)), celery.send())
    celery.run(lambda: lookup(3), None, task_id="2")
    assert ([["lookup", "lookup", "work"], ["lookup", "work"]], None) == (traces(recording), current.get())


def raised(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


ENDS = {
    "done": (lambda: None, "ok", None),
    "failed": (raised(ValueError("no")), "error", "no"),
    "tried again after a failure": (raised(Retry(ValueError("busy"))), "error", "busy"),
    "tried again later": (raised(Retry(None)), "ok", None),
}


@pytest.mark.parametrize("end", ENDS)
def test_how_a_task_ended(end: str, celery: Celery, recording: Recording) -> None:
    """It failed where it raised, also where it is tried again for that; to look again later is no failure."""
    work, status, message = ENDS[end]
    celery.run(work)
    found = recording.span("work")
    assert (status, message) == (found.status, found.error and found.error.message)


def test_a_task_that_ends_its_worker(celery: Celery, recording: Recording) -> None:
    """A limit of time ends it by an exception that Celery does not tell of."""
    with pytest.raises(SystemExit):
        celery.run(raised(SystemExit(3)))
    assert ("error", "SystemExit") == (
        recording.span("work").status,
        getattr(recording.span("work").error, "type", None),
    )


def test_a_task_that_runs_while_something_else_is_handled(celery: Celery, recording: Recording) -> None:
    """An exception that is none of its own does not make it fail."""
    try:
        raise ValueError
    except ValueError:
        celery.run(lambda: None)
    assert "ok" == recording.span("work").status


def test_a_task_within_a_task(celery: Celery, recording: Recording) -> None:
    """One that is run where it stands hangs below the one that runs it."""
    celery.run(lambda: celery.run(lambda: lookup(1), task_id="2", name="inner"))
    outer, inner, found = (recording.span(name) for name in ("work", "inner", "lookup"))
    assert [outer.span_id, inner.span_id] == [inner.parent_id, found.parent_id]


def test_tasks_of_threads_stay_apart(celery: Celery, recording: Recording) -> None:
    """A pool of threads runs tasks at the same time, each its own trace."""
    meet = threading.Barrier(4)

    def work() -> None:
        meet.wait(20)
        lookup(1)
        meet.wait(20)

    threads = [threading.Thread(target=celery.run, args=(work, None, str(n))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [["lookup", "work"]] * 4 == traces(recording)


@pytest.mark.parametrize("headers", [7, {"traceparent": 7}, {"traceparent": "00-x"}])
def test_odd_headers_are_no_sender(headers: Any, celery: Celery, recording: Recording) -> None:
    """The task runs all the same."""
    celery.run(lambda: lookup(1), headers)
    assert "lookup" in [one.name for one in recording.spans]
