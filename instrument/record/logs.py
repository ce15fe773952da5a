"""`log` and `score`: what the program says beside its spans, tied to the one that is running."""

from __future__ import annotations

from contextlib import suppress
from math import isfinite
from typing import Any

from instrument.cutting import beginning
from instrument.model import Log, Score
from instrument.record.context import Place, current
from instrument.record.recorder import Recorder
from instrument.record.spans import LiveSpan, amiss
from instrument.record.switch import installed

LONGEST_MESSAGE = 16_384
"""Characters of a longer message go where long values go: to the metadata, and from there into a file of their own."""
HEAD = 1_024


def log(event: str, message: str = "", *, level: str = "INFO", **metadata: Any) -> None:
    """Record that something happened, tied to the span that is running here, if any.

    `event` is the type (`TOOL_CALL`), `level` DEBUG, INFO, WARNING, ERROR or CRITICAL. The log carries the id of the
    agent that is running; outside of any, `agent_id=` in the metadata says whose it is.
    """
    recorder = installed()
    if recorder is None:
        return
    agent_id = metadata.pop("agent_id", None)
    try:
        write(recorder, str(event), str(message), str(level).upper(), metadata, agent_id=agent_id)
    except Exception as error:  # noqa: BLE001 - a `__str__` of the user's may raise
        amiss(recorder, "log", error)


def write(
    recorder: Recorder,
    event: str,
    message: str,
    level: str,
    metadata: dict[str, Any],
    *,
    agent_id: Any = None,
    logger: str | None = None,
    time_ns: int | None = None,
) -> None:
    """Queue one log record at the place that is current; never raises."""
    place = current.get()
    if place is not None and not recorder.sampling.may_store(place.sampled):
        return
    if len(message) > LONGEST_MESSAGE:
        metadata = {**metadata, "message": message}
        message = f"{beginning(message, HEAD)}… [{len(message):,} characters: see the metadata]"
    try:
        record = Log(
            run=recorder.run.run,
            trace_id=None if place is None else place.trace_id,
            span_id=None if place is None else place.span_id,
            time_ns=recorder.now() if time_ns is None else time_ns,
            level=level,
            event=event,
            message=message,
            agent_id=_agent_id(agent_id, place, recorder),
            logger=logger,
            metadata={str(name): recorder.value(value) for name, value in metadata.items()},
        )
        _announce_around(place)
        recorder.put(record, 0 if place is None else place.depth + 1)
    except Exception as error:  # noqa: BLE001 - no fault of ours reaches the user's code
        amiss(recorder, "log", error)


def _announce_around(place: LiveSpan | Place | None) -> None:
    """Have live views show the span before what is logged in it."""
    span = None if place is None else place.span
    if isinstance(span, LiveSpan) and span.duration is None and not span.announced:
        span.recorder.announce(span)


def _agent_id(given: Any, place: Any, recorder: Recorder) -> str | None:
    if given is not None:
        return str(given)
    return recorder.run.agent_id if place is None or place.agent_id is None else place.agent_id


def score(
    name: str,
    value: float | bool | str,
    *,
    trace_id: str | None = None,
    span_id: str | None = None,
    source: str = "code",
) -> None:
    """Judge the current span, or the one given: a number, a yes or no, or a word. `source` says who judged.

    What is none of these is recorded as the word that it is printed as.
    """
    recorder = installed()
    if recorder is None:
        return
    place = current.get()
    if place is not None and place.sampled is None:
        return  # a sink's own score would come back to it
    if trace_id is not None:
        place = None
    elif place is not None:
        trace_id, span_id = place.trace_id, place.span_id
    try:
        record = Score(
            run=recorder.run.run,
            trace_id=None if trace_id is None else str(trace_id),
            span_id=None if span_id is None else str(span_id),
            time_ns=recorder.now(),
            name=str(name),
            source=str(source),
            **_judged(value),
        )
        recorder.put(record, 0 if place is None else place.depth + 1)
    except Exception as error:  # noqa: BLE001 - no fault of ours reaches the user's code
        amiss(recorder, "score", error)


def _judged(value: object) -> dict[str, Any]:
    if isinstance(value, str):
        return {"label": value}
    with suppress(TypeError, ValueError, OverflowError):
        number = float(value)  # type: ignore[arg-type]  # whatever it is
        if isfinite(number):  # JSON has none for the others
            return {"value": number}
    return {"label": str(value)}
