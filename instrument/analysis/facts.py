"""What the attributes of a span (or of its head) tell: its model, operation and agent, whose it is, if it has times."""

from __future__ import annotations

from typing import Any

from msgspec import Raw
from msgspec.json import decode

from instrument.attributes import (
    AGENT_ID,
    AGENT_NAME,
    LEDGER_OPERATION,
    REQUEST_MODEL,
    RESPONSE_MODEL,
    RETRIED_FOR,
    RETRIES,
    SESSION,
    TIMES,
    USER,
)

NOBODY = "-"
"""Stands for the model, operation or agent of calls that name none."""


def is_timed(span: Any) -> bool:
    """Whether the times of a span are known, not only its place in the order."""
    attributes = span.attributes
    return not attributes or attributes.get(TIMES) is None


def time_of(span: Any) -> int | None:
    """How long a span took in ns; None where that is not known."""
    return span.duration_ns if is_timed(span) else None


def model_of(span: Any) -> str:
    """The model that answered, else the one that was asked."""
    return attribute(span, RESPONSE_MODEL, REQUEST_MODEL) or NOBODY


def operation_of(span: Any) -> str:
    """The decorated function that a model call was made for; its own name where it says nothing else."""
    return attribute(span, LEDGER_OPERATION) or str(span.name)


def agent_of(span: Any) -> str:
    """The agent that a call was made by, by its id, else by its name."""
    return attribute(span, AGENT_ID, AGENT_NAME) or NOBODY


def retries_of(span: Any) -> int:
    """How often the client sent the request of a model call again by itself."""
    told = attribute(span, RETRIES) or ""
    return int(told[:9]) if told.isdecimal() else 0


def retried_for(span: Any) -> int:
    """The nanoseconds of such a call until its request was sent for the last time, as far as they are known."""
    try:
        return int(float(attribute(span, RETRIED_FOR) or 0) * 1e9)
    except (ValueError, OverflowError):
        return 0


class Whose:
    """The session and the user of a trace: those of its root, else those of all spans that name any, if they agree."""

    __slots__ = ("sessions", "users")

    def __init__(self) -> None:
        self.sessions: set[str] = set()
        self.users: set[str] = set()

    def note(self, span: Any) -> None:
        """Take in whose a span was."""
        get = span.attributes.get
        if get(SESSION) is not None and len(self.sessions) < 2:
            self.sessions.add(str(attribute(span, SESSION)))
        if get(USER) is not None and len(self.users) < 2:
            self.users.add(str(attribute(span, USER)))

    def told(self, session: str | None, user: str | None) -> tuple[str | None, str | None]:
        """Session and user, where these are those of the root."""
        return _only(self.sessions) if session is None else session, _only(self.users) if user is None else user


def _only(named: set[str]) -> str | None:
    return next(iter(named)) if len(named) == 1 else None


def attribute(span: Any, *names: str) -> str | None:
    """The first of the attributes that the span has, as text."""
    get = span.attributes.get
    for name in names:
        value = get(name)
        if value is not None:
            return value if value.__class__ is str else str(decode(value) if isinstance(value, Raw) else value)
    return None
