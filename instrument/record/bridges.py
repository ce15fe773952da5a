"""What user code logs with `logging` or loguru inside a span becomes `log` records of that span.

`logging` is watched where a logger calls its handlers and loguru through its patcher, so handlers, levels and ids
that the user's program sees stay as they are. loguru is attached when the program imports it, never by us.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import wrapt

from instrument.record.context import current
from instrument.record.failures import in_words_whole
from instrument.record.logs import write
from instrument.record.recorder import Recorder
from instrument.record.spans import amiss
from instrument.record.switch import switch

OURS = "instrument"
"""Bound to True on what the recording says about itself through loguru."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "extra"}
_forwarding = threading.local()
_attached = False


def attach() -> None:
    """Watch both libraries; a second time does nothing."""
    global _attached
    if not _attached:
        _attached = True
        wrapt.wrap_function_wrapper(logging.Logger, "callHandlers", _call_handlers)
        wrapt.register_post_import_hook(_attach_loguru, "loguru")


def _call_handlers(wrapped: Callable[..., Any], logger: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    record, recorder = args[0] if args else kwargs.get("record"), switch.recorder
    if recorder is None or not isinstance(record, logging.LogRecord) or not _is_for_us(record):
        return wrapped(*args, **kwargs)
    _forward_standard(recorder, record)
    _forwarding.active = True
    try:
        return wrapped(*args, **kwargs)
    finally:
        _forwarding.active = False


def _is_for_us(record: logging.LogRecord) -> bool:
    came_from_loguru = isinstance(getattr(record, "extra", None), dict)
    return _in_span() and not came_from_loguru


def _in_span() -> bool:
    place = current.get()
    return place is not None and place.span_id is not None and not getattr(_forwarding, "active", False)


def _forward_standard(recorder: Recorder, record: logging.LogRecord) -> None:
    try:
        metadata = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        metadata |= {"code.file.path": record.pathname, "code.line.number": record.lineno}
        if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
            metadata["exception"] = in_words_whole(record.exc_info[1])
        write(recorder, "LOG", _text_of(record), record.levelname, metadata, logger=record.name)
    except Exception as error:  # noqa: BLE001 - no fault of ours reaches the user's code
        amiss(recorder, "logging", error)


def _text_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - logging itself reports arguments that do not fit the message
        return str(record.msg)


def _attach_loguru(loguru: Any) -> None:
    logger = loguru.logger
    wrapt.wrap_function_wrapper(type(logger), "configure", _keep_patcher)
    _chain_patcher(logger)


def _keep_patcher(wrapped: Callable[..., Any], logger: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return wrapped(*args, **kwargs)
    finally:
        _chain_patcher(logger)


def _chain_patcher(logger: Any) -> None:
    """Put ours behind the user's patcher. loguru has no public way to read the patcher in force."""
    theirs = getattr(getattr(logger, "_core", None), "patcher", None)
    if isinstance(theirs, _Patcher):
        return
    logger._core.patcher = _Patcher(theirs)


class _Patcher:
    def __init__(self, theirs: Callable[[Any], None] | None) -> None:
        self.theirs = theirs

    def __call__(self, record: dict[str, Any]) -> None:
        if self.theirs is not None:
            self.theirs(record)
        recorder = switch.recorder
        if recorder is not None and _in_span() and record["extra"].get(OURS) is not True:
            _forward_loguru(recorder, record)


def _forward_loguru(recorder: Recorder, record: dict[str, Any]) -> None:
    try:
        metadata = dict(record["extra"])
        metadata |= {"code.file.path": record["file"].path, "code.line.number": record["line"]}
        if record["exception"] is not None and record["exception"].value is not None:
            metadata["exception"] = in_words_whole(record["exception"].value)
        write(recorder, "LOG", record["message"], record["level"].name, metadata, logger=record["name"])
    except Exception as error:  # noqa: BLE001 - no fault of ours reaches the user's code
        amiss(recorder, "loguru", error)
