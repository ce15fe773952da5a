"""The life of the recording in a process: configured, put in force, flushed, handed on, ended."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import wrapt

from instrument import settings as settings_module
from instrument.analysis.running import Numbers
from instrument.analysis.tree import traces
from instrument.building import build, limits
from instrument.errors import InstrumentError
from instrument.model import Log
from instrument.record import bridges, budgets, headers, launched, leaving, otel_context, threads
from instrument.record.context import current
from instrument.record.failures import in_words
from instrument.record.notices import notice
from instrument.record.pipeline import CLOSE_SECONDS, ENDED, Flushed
from instrument.record.program import program, uncaught
from instrument.record.recorder import Recorder
from instrument.record.sampling import Rules
from instrument.record.switch import switch
from instrument.redact import Redactor
from instrument.settings import Settings, for_children
from instrument.signals import is_of_signal, leave_to_others
from instrument.sinks.jsonl import JsonlSink
from instrument.store.folder import trim
from instrument.store.jsonl import records
from instrument.views import files

_install_again: Callable[[], None] | None = None
_ending: Recorder | None = None
_latest: Settings | None = None
"""The settings that were put in force last."""


def configure(**settings: Any) -> Settings:
    """Configure the recording and start it; returns the settings in force.

    Keywords win over the environment, the file that `INSTRUMENT_CONFIG` names and `pyproject.toml`; nested settings
    are mappings (`budget={"usd": 1}`) or are joined by two underscores (`budget__usd=1`). An earlier configuration is
    shut down first; calls that are running meanwhile go to the sinks of this one when they end. Raises `SettingsError`
    for an unknown key or a value that cannot be used.
    """
    effective = settings_module.load(**settings)
    with switch.lock:
        _replace(switch.recorder, effective)
    return effective


def _replace(before: Recorder | None, settings: Settings) -> None:
    """The recorder before takes what is called until the new one is in force, and hands it on to that."""
    if before is not None:
        before.close(has_heir=True)
    try:
        _start_with(settings, before)
    finally:
        if switch.recorder is before:
            switch.recorder, switch.decided = None, True
        if before is not None:
            _hand_on(before)


def _hand_on(before: Recorder) -> None:
    before.pipeline.hand_on(partial(_adopt, os.getpid()))
    _tell_of_losses(before.told().lost, (*_UNSAID, ENDED))
    for name, left in before.pipeline.delivery.waiting().items():
        notice(f"the sink {name} of before has {left:,} records to take, which are lost if the program ends first")


def _adopt(process: int, item: Any) -> None:
    """Give it to the recorder in force, or to the one that just ends; in a forked child it is the parent's."""
    recorder = switch.recorder or _ending
    if recorder is not None and process == os.getpid():
        recorder.adopt(item)


def start() -> None:
    """The implicit configuration at the first decorated call: never raises, says what is wrong in one sentence."""
    with switch.lock:
        if switch.decided:
            return
        room = True
        try:
            if _install_again is not None:
                _install_again()
            elif launched.handed is not None:
                _start_with(_unpickled(launched.handed))
            else:
                effective, problems = settings_module.load_lenient()
                _start_with(effective)
                for problem in problems:
                    notice(problem)
        except RecursionError:
            room = False  # the next call that is less deep tries again
        except BaseException as error:
            if not isinstance(error, Exception) or is_of_signal(error):  # Ctrl-C, which is the user's
                room = False
                raise
            notice(f"recording could not start and is off ({in_words(error)})")
        finally:
            switch.decided = room or switch.recorder is not None


def flush() -> Flushed:
    """Return when everything that has ended is in its sinks; says what was written and what was lost, by reason."""
    recorder = switch.recorder
    return recorder.flush() if recorder is not None else Flushed(0, {})


def metrics() -> Numbers:
    """The running numbers of this process since `configure` or the first decorated call, in bounded memory.

    Calls, errors, median and other quantiles by name and kind, tokens, money and findings. They are counted behind the
    program, some 20 ms late: call `flush()` before where they must be exact. Without a recording all are zero.
    """
    recorder = switch.recorder
    return recorder.running.numbers() if recorder is not None else Numbers()


def shutdown() -> Flushed:
    """Write what is left, close the sinks and stop recording until `configure` is called; says what `flush` says."""
    with switch.lock:
        told = _stop()
        launched.hand_on(_switched_off, {})
        if budgets.are_in_force():
            hold_budgets()
        return told


def _stop() -> Flushed:
    global _ending
    recorder, switch.recorder = switch.recorder, None
    switch.decided = True
    _ending = recorder  # streams that were begun under those before it end with it
    try:
        if recorder is not None:
            program.end(recorder)
        return recorder.close() if recorder is not None else Flushed(0, {})
    finally:
        _ending = None


def save(folder: str | os.PathLike[str]) -> list[Path]:
    """Write what this process has recorded into `folder` as plain files and return them.

    `traces.json` (spans nested as `children`), `logs.json`, `tokens.json` (summary and one entry a call) and
    `metrics.json`. Reads the process's own event file; raises `InstrumentError` when the `jsonl` sink is off.
    """
    recorder = switch.recorder
    sinks = recorder.pipeline.delivery.sinks if recorder else ()
    path = next((sink.path for sink in sinks if isinstance(sink, JsonlSink)), None)
    if recorder is None or path is None:
        raise InstrumentError("save() reads the process's own event file, and there is none: switch on the sink jsonl")
    recorder.flush()
    mine = [record for record in records(path) if record.run == recorder.run.run]
    outside = [record for record in mine if isinstance(record, Log) and record.trace_id is None]
    return files.save(traces(mine), folder, outside)


@contextmanager
def installed(build: Callable[[], Recorder], *, propagate_threads: bool = True) -> Iterator[Recorder]:
    """A recorder of one's own in force for a block, then the one before: what the test kit is made of.

    Processes that are started inside record nothing.
    """
    global _install_again
    with switch.lock:
        before, again, carrying = (switch.recorder, switch.decided), _install_again, threads.carrying
        told, environment = launched.told, headers.for_children
        recorder = build()
        _put_in_force(recorder)
        _install_again = lambda: None  # noqa: E731 - in a forked child
        bridges.attach()
        otel_context.attach()
        threads.attach(propagate_threads)
        headers.for_children = {}
        launched.hand_on(_switched_off, headers.for_children)
    outer = current.get()
    current.set(None)
    try:
        yield recorder
    finally:
        current.set(outer)
        with switch.lock:
            configured = switch.recorder
            (switch.recorder, switch.decided), _install_again, threads.carrying = before, again, carrying
            launched.told, headers.for_children = told, environment
            recorder.close()
            if configured is not None and configured not in (recorder, before[0]):
                configured.close()


def _start_with(settings: Settings, before: Recorder | None = None) -> None:
    global _install_again, _latest
    _latest = settings
    _install_again = lambda: _start_with(settings)  # noqa: E731 - in a forked child
    headers.for_children = for_children(settings) if settings.enabled else {}
    launched.hand_on(partial(_pickled, settings), headers.for_children)
    if settings.enabled:
        with suppress(RuntimeError):  # the process ends: no thread can start
            threading.Thread(target=_trim, args=(settings,), name="instrument-trim", daemon=True).start()
        recorder = build(settings)
        if before is not None:
            recorder.open = before.open  # it goes on
        between = switch.recorder
        _put_in_force(recorder)
        if between is not None and between is not before:  # a handler of signals has configured meanwhile
            between.close(has_heir=True)
            _hand_on(between)
        bridges.attach()
        otel_context.attach()
        threads.attach(settings.propagate_threads)
    elif limits(settings) is not None or budgets.are_in_force():
        _hold_with(settings)


def _pickled(settings: Settings) -> bytes:
    """For processes that are not forked; where the function that decides on loops cannot go there, they warn."""
    import pickle

    try:
        return pickle.dumps(settings)
    except Exception:  # noqa: BLE001 - the function is the user's
        loops = settings.loops.model_copy(update={"action": "warn"})
        return pickle.dumps(settings.model_copy(update={"loops": loops}))


def _switched_off() -> bytes:
    return _pickled(Settings.model_construct(enabled=False))


def _unpickled(data: bytes) -> Settings:
    import pickle

    return cast("Settings", pickle.loads(data))


def hold_budgets() -> None:
    """Where recording is off: a recorder without sinks, so that budgets hold all the same, also in forked children."""
    global _install_again
    with switch.lock:
        if switch.recorder is None:
            settings = _latest or settings_module.load_lenient()[0]
            _install_again = lambda: _hold_with(settings)  # noqa: E731 - in a forked child
            _hold_with(settings)


def _hold_with(settings: Settings) -> None:
    redactor = Redactor(os.urandom(32))  # the key that is kept would be written
    _put_in_force(build(settings, [], redactor=redactor, blobs=None, detectors=None, sampling=Rules(0.0)))
    threads.attach(settings.propagate_threads)


def _trim(settings: Settings) -> None:
    leave_to_others()
    trim(settings.folder, settings.retention.max_bytes, shared=settings.jsonl_path)


def _put_in_force(recorder: Recorder) -> None:
    switch.recorder, switch.decided = recorder, True
    _watch_process()
    if threading.current_thread() is threading.main_thread() and not threading.main_thread().is_alive():
        _at_exit()  # a handler of `atexit` made the first call of all, and those that it adds are not run any more


def _watch_process() -> None:
    global _watching
    if _watching:
        return
    _watching = True
    atexit.register(_at_exit)
    leaving.attach(_before_exit, _before_death)
    wrapt.register_post_import_hook(_close_before, "loguru")
    wrapt.register_post_import_hook(_close_with_celery, "celery.signals")


_watching = False


def _close_before(_: object) -> None:
    """loguru takes its handlers away at exit, and what was imported last ends first: our last words would be lost."""
    if threading.main_thread().is_alive():
        atexit.unregister(_at_exit)
        atexit.register(_at_exit)


def _close_with_celery(signals: Any) -> None:
    """A worker of Celery's pool may be killed as soon as it has said that it ends; this signal comes before that."""
    signals.worker_process_shutdown.connect(_at_exit, weak=False)


def _at_exit(**_: object) -> None:
    recorder = switch.recorder
    if recorder is not None:
        program.end(recorder)
        told = recorder.close()
        recorder.pipeline.write_late()
        _tell_of_losses(told.lost)
    if isinstance(uncaught(), KeyboardInterrupt):
        with suppress(KeyboardInterrupt):  # Python forgets, over what is compiled here, that Ctrl-C is what it dies of
            exec("raise KeyboardInterrupt")


def _before_exit(code: int) -> None:
    recorder = switch.recorder
    if recorder is not None and not recorder.pipeline.room.is_closed:
        program.end(recorder, SystemExit(code))
        _at_exit()


def _before_death() -> None:
    """The sinks stay open: the system spares a process that is the first of its container."""
    recorder = switch.recorder
    if recorder is not None:
        program.end(recorder, KeyboardInterrupt())
        recorder.flush(CLOSE_SECONDS)


def record_at_last() -> None:
    """For a program that ends and has recorded nothing, where one that it started hangs below its run."""
    start()
    _at_exit()


_UNSAID = ("too slow", "queue full", "to be tried again", "given up")


def _tell_of_losses(lost: Mapping[str, int], unsaid: Sequence[str] = _UNSAID) -> None:
    """Say what was lost that nobody has said so far: what there was no room for, and what sinks did not get done."""
    told = [f"{why} ({n:,})" for why, n in lost.items() if any(word in why for word in unsaid)]
    if told:
        notice(f"some of what was recorded is lost: {', '.join(told)}")
