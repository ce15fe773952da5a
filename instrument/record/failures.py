"""Exceptions as they are seen on the thread that they happen on: kind, message, raw frames, causes."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from instrument.record.texts import text_of
from instrument.signals import is_of_signal

MAX_FRAMES = 50
MOST_SEEN = 2_000
"""So many entries of a traceback are gone through: each level of a recursion of decorated calls does so."""
MAX_CAUSES = 8
"""So many exceptions are described, with that which was raised."""
_parts_of = BaseExceptionGroup.__dict__["exceptions"].__get__
"""The exceptions of a group, past what its class makes of the name."""

CANCELLATIONS = frozenset(
    {"asyncio.exceptions.CancelledError", "concurrent.futures._base.CancelledError", "trio.Cancelled"}
)


def is_cancellation(error: BaseException) -> bool:
    """Whether it asks the work to stop rather than says that it failed, as asyncio, trio and closed generators do."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_cancellation(part) for part in error.exceptions)
    kinds = type(error).__mro__
    return isinstance(error, GeneratorExit) or any(f"{k.__module__}.{k.__name__}" in CANCELLATIONS for k in kinds)


def describe(error: BaseException) -> tuple[str, str, list[Any]]:
    """Type, message and the raw frames of an exception with its causes; text is made of them on the worker."""
    chain = [(_type_name(type(one)), message_of(one), _frames(one.__traceback__)) for one in _chain(error)]
    return chain[0][0], chain[0][1], chain


def _chain(error: BaseException) -> list[BaseException]:
    """The exception and what it came of, nearest first."""
    chain: list[BaseException] = []
    waiting = [error]
    while waiting and len(chain) < MAX_CAUSES:
        one = waiting.pop(0)
        if not any(one is known for known in chain):
            chain.append(one)
            waiting[:0] = _causes(one)
    return chain


def _causes(error: BaseException) -> list[BaseException]:
    """What it came of: the exceptions of a group, its cause or context."""
    parts = _parts_of(error) if isinstance(error, BaseExceptionGroup) else ()
    cause, context = error.__cause__, None if error.__suppress_context__ else error.__context__
    behind = context if cause is None else cause
    return [*parts, *([] if behind is None else [behind])]


def _type_name(kind: type) -> str:
    module = kind.__module__
    return kind.__qualname__ if module in ("builtins", "__main__") else f"{module}.{kind.__qualname__}"


def in_words(error: BaseException) -> str:
    """Kind and text of an exception, as the recording tells of it."""
    return f"{type(error).__name__}: {message_of(error)}"


def in_words_whole(error: BaseException) -> str:
    """The same of an exception and of those that it came of: servers log one of their own that says little."""
    return ", from ".join(map(in_words, _chain(error)))


def message_of(error: BaseException) -> str:
    """The text of an exception, or that it cannot be had."""
    try:
        return text_of(error)
    except KeyboardInterrupt:  # perhaps a signal, which is the user's
        raise
    except BaseException as fault:
        if is_of_signal(fault):
            raise
        return f"<{type(error).__name__} whose __str__ failed>"


def _frames(traceback: TracebackType | None) -> list[tuple[str, int, str]]:
    entries: list[TracebackType] = []
    while traceback is not None and len(entries) < MOST_SEEN:
        entries.append(traceback)
        traceback = traceback.tb_next
    omitted = len(entries) - MAX_FRAMES
    if omitted <= 0:
        return list(map(_frame, entries))
    return [*map(_frame, entries[:10]), ("", omitted, ""), *map(_frame, entries[10 + omitted :])]


def _frame(entry: TracebackType) -> tuple[str, int, str]:
    code = entry.tb_frame.f_code
    return code.co_filename, entry.tb_lineno, code.co_qualname
