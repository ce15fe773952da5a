"""The sinks that the settings name, each made when it is named: what an optional one needs is imported only then."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from functools import partial
from importlib import metadata
from operator import attrgetter
from pathlib import Path
from typing import cast

from instrument.analysis.metrics import Metrics
from instrument.errors import SettingsError
from instrument.model import Run, Sink
from instrument.record.failures import in_words
from instrument.record.notices import notice
from instrument.redact import redactor_of
from instrument.settings import Settings
from instrument.signals import is_of_signal
from instrument.sinks.jsonl import JsonlSink
from instrument.store.folder import LEDGER


def sinks_of(settings: Settings, run: Run) -> list[Sink]:
    """A sink for each name, the files first and the console last. One that cannot start is told of and left out."""
    sinks: list[Sink] = []
    for name in sorted(settings.sinks, key=_place):
        try:
            sinks.append(_sink(name, settings, run, sinks))
        except (Exception, SystemExit) as error:  # one that cannot start must not cost the others, nor the program
            if is_of_signal(error):
                raise
            notice(f"the sink {name} cannot start and is off, the others go on ({in_words(error)})")
    return sinks


def _place(name: str) -> int:
    """Our files come first: no other sink changes what they get, or keeps them waiting.

    The console comes last: at the end of a trace it names the files that the others have written.
    """
    return {"jsonl": 0, "console": 2}.get(name, 1)


def _sink(name: str, settings: Settings, run: Run, others: Sequence[Sink]) -> Sink:
    if name in OURS:
        return OURS[name](settings, run, others)
    return _complete(maker(name)(**settings.sink.get(name, {})))


def _complete(made: object) -> Sink:
    """What was made, if it is a sink. Raises `SettingsError`."""
    for verb in ("write", "flush", "close"):
        method = getattr(made, verb, None)
        if not callable(method) or inspect.iscoroutinefunction(method):
            wrong = "must not be async" if callable(method) else "is missing"
            kind = type(made).__name__
            raise SettingsError(f"a sink has the methods write(batch), flush() and close(): {verb} of {kind} {wrong}")
    return cast("Sink", made)


def files_of(sinks: Sequence[Sink], metrics: Metrics) -> list[Path]:
    """The files in which a trace that came to `metrics` is, or will be in a moment."""
    ours = [sink for sink in sinks if type(sink).__module__.startswith("instrument.") and hasattr(sink, "leaves")]
    paths = [sink.leaves(metrics.total.tokens > 0) for sink in ours]
    return [path for path in paths if path is not None]


def _console(settings: Settings, run: Run, others: Sequence[Sink]) -> Sink:
    from instrument.sinks.console import ConsoleSink

    given = settings.console
    paths = partial(files_of, others)
    return ConsoleSink(level=given.level, color=given.color, summary=given.summary, paths=paths)


def _jsonl(settings: Settings, run: Run, others: Sequence[Sink]) -> Sink:
    given = settings.jsonl
    return JsonlSink(
        settings.folder,
        run,
        path=settings.jsonl_path,
        rotate_bytes=given.rotate_bytes,
        durability=given.durability,
    )


def _ledger(settings: Settings, run: Run, others: Sequence[Sink]) -> Sink:
    from instrument.sinks.postgres import ledger_sink

    return ledger_sink(settings.ledger_url, settings.folder / LEDGER)


def _memory(settings: Settings, run: Run, others: Sequence[Sink]) -> Sink:
    from instrument.sinks.memory import MemorySink

    return MemorySink()


def _otlp(settings: Settings, run: Run, others: Sequence[Sink]) -> Sink:
    from instrument.sinks.otlp.sink import OtlpSink

    given = settings.otlp
    return OtlpSink(
        settings.folder,
        run,
        endpoint=given.endpoint,
        protocol=given.protocol,
        names=given.names,
        spool_bytes=given.spool_bytes,
        redactor=redactor_of(settings),
    )


OURS: dict[str, Callable[[Settings, Run, Sequence[Sink]], Sink]] = {
    "console": _console,
    "jsonl": _jsonl,
    "ledger": _ledger,
    "memory": _memory,
    "otlp": _otlp,
}
"""How each of our own is made; `others` are those that were made before it."""


def maker(name: str) -> Callable[..., object]:
    """What makes the sink of this name: `module:attribute`, or an entry point of the group `instrument.sinks`."""
    if ":" in name:
        module, _, attribute = name.partition(":")
        return cast("Callable[..., object]", attrgetter(attribute)(importlib.import_module(module)))
    for entry in metadata.entry_points(group="instrument.sinks"):
        if entry.name == name:
            return cast("Callable[..., object]", entry.load())
    raise SettingsError(f"there is no sink called {name!r}")
