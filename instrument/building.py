"""From settings to a recorder: the only place that joins the parts, and says what each of them is given."""

from __future__ import annotations

import importlib
import os
import platform
import sys
import time
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, cast

from instrument import allowed, detectors
from instrument.detectors import Detectors
from instrument.model import UNWATCHED, Run, Sink
from instrument.origins import here
from instrument.pricing import Prices
from instrument.record import notices
from instrument.record.budgets import BudgetGuard
from instrument.record.capture import Camera
from instrument.record.failures import in_words
from instrument.record.headers import origin_of
from instrument.record.lanes import Bounds
from instrument.record.lines import line_of
from instrument.record.loops import Decide, LoopGuard
from instrument.record.notices import notice
from instrument.record.program import program
from instrument.record.recorder import Recorder
from instrument.record.sampling import Rules
from instrument.record.scopes import Limits, limits_of, scope_of
from instrument.redact import redactor_of
from instrument.settings import Settings
from instrument.signals import is_of_signal
from instrument.sinks.chosen import sinks_of
from instrument.store import history
from instrument.store.blobs import Blobs
from instrument.store.jsonl import event_file
from instrument.store.spool import Spool
from instrument.version import __version__


def build(settings: Settings, sinks: Sequence[Sink] | None = None, **parts: Any) -> Recorder:
    """The recorder that `settings` describe; `sinks` and other parts of it may be given instead."""
    redactor = parts.get("redactor") or redactor_of(settings)
    notices.hide = redactor.text
    run = cast("Run", line_of(run_record(settings), redactor.line)[0])  # without the secrets of the command line
    capture, queue = settings.capture, settings.queue
    prices = Prices(settings.prices)
    most = limits(settings)
    remembers = sinks is None
    watch = _detectors(settings, remembers)
    loops = [] if watch is None or settings.loops.action == "warn" else [_loop_guard(watch, settings)]
    known: dict[str, Any] = {
        "camera": Camera(capture.max_bytes, capture.max_blob_bytes, content=capture.content, redactor=redactor),
        "redactor": redactor,
        "blobs": Blobs(settings.folder / "blobs"),
        "prices": prices,
        "asks_stream_usage": settings.openai.stream_usage == "auto",
        "guards": (*loops, _budget_guard(prices, most, settings)),
        "asks_always": most is not None or bool(loops),
        "detectors": watch,
        "closing": (lambda: history.save(settings.folder, watch.history.learned())) if remembers and watch else None,
        "sampling": _rules(settings),
        "spool": Spool(settings.folder / "spool", event_file(settings.folder, run.run, run.start_ns).name)
        if remembers
        else None,
        "bounds": Bounds(queue.limit, queue.max_bytes, queue.policy == "wait", queue.wait_seconds),
        "notify": notice,
        "origin": origin_of(os.environ),
        "program": program.place_of if program.told is not None else None,
    }
    return Recorder(run, sinks_of(settings, run) if sinks is None else sinks, **{**known, **parts})


def _detectors(settings: Settings, remembers: bool) -> Detectors | None:
    if settings.loops.action == "off":
        return None
    return detectors.default(settings, history=history.known(settings.folder, notice) if remembers else None)


def _loop_guard(watch: Detectors, settings: Settings) -> LoopGuard:
    action = settings.loops.action
    return LoopGuard(watch, settings.loops.scope, None if action == "raise" else _decision(action))


def _decision(action: Any) -> Decide:
    """The function that decides; where its module cannot be imported nothing is refused, which is said once."""
    if callable(action):
        return cast("Decide", action)
    module, _, name = action.partition(":")
    try:
        return cast("Decide", attrgetter(name)(importlib.import_module(module)))
    except Exception as error:  # a module of the user's may do anything
        if is_of_signal(error):
            raise
        notice(f"the function {action} of loops.action cannot be used, loops are only warned of ({in_words(error)})")
        return lambda finding: False


def _rules(settings: Settings) -> Rules:
    given = settings.sampling
    kept = given.keep if given.keep is not None else (allowed.KEEPS if settings.sample_rate > 0 else ())
    return Rules(
        settings.sample_rate,
        allowed.rates(given.names),
        frozenset(kept),
        int(given.slow_seconds * 1e9),
        given.dear_usd,
    )


def limits(settings: Settings) -> Limits | None:
    """What the settings limit; None where that is nothing."""
    most = limits_of({name: getattr(settings.budget, name) for name in Limits._fields})
    return None if most[:4] == (None, None, None, None) else most


def _budget_guard(prices: Prices, most: Limits | None, settings: Settings) -> BudgetGuard:
    given, per_trace, shared = settings.budget, most, None
    if most is not None and given.period != "trace":
        per_trace, shared = None, scope_of({**most._asdict(), "name": given.name, "period": given.period})
    return BudgetGuard(prices, per_trace, given.assumed_output, settings.ledger_url, shared)


def run_record(settings: Settings) -> Run:
    """The head of this process's recording."""
    return Run(
        run=os.urandom(6).hex(),
        start_ns=time.time_ns(),
        agent_id=settings.agent_id,
        service=settings.service,
        pid=os.getpid(),
        argv=[str(word) for word in sys.argv],
        python=platform.python_version(),
        platform=sys.platform,
        instrument=__version__,
        git=_git(here()),
        resource={UNWATCHED: True} if settings.loops.action == "off" else {},
    )


def _git(folder: Path) -> dict[str, Any]:
    """Branch and commit of the checkout around `folder`, read from its files."""
    for place in (folder, *folder.parents):
        try:
            head = (place / ".git" / "HEAD").read_text("utf-8").strip()
        except (OSError, ValueError):
            continue
        branch = head.removeprefix("ref: ")
        if branch == head:
            return {"commit": head}
        try:
            return {
                "branch": branch.removeprefix("refs/heads/"),
                "commit": (place / ".git" / branch).read_text("utf-8").strip(),
            }
        except (OSError, ValueError):
            return {"branch": branch.removeprefix("refs/heads/")}
    return {}
