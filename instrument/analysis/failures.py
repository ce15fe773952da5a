"""Exceptions as spans recorded them: which of them are the same, and how many failures they come to."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any

from instrument.model import Failure
from instrument.statuses import FAILED, REFUSED

GROUP = "ExceptionGroup"
"""How the types of exceptions end that only hold others."""
CANCELLED = "CancelledError"
"""How the types of those end that only say a task was stopped."""


def exception_of(span: Any) -> tuple[str, str] | None:
    """What tells the exception of a span from others: one that passes through several spans is the same in each."""
    return None if span.error is None else identity(span.error)


def identity(error: Failure) -> tuple[str, str]:
    """What tells an exception from others."""
    return error.type, error.message


def is_group(error: Failure) -> bool:
    """Whether an exception only holds others."""
    return error.type.endswith(GROUP)


def held_by(error: Failure | None) -> list[Failure]:
    """What a group of exceptions holds, and what that came of; nothing of any other error."""
    if error is None or not is_group(error):
        return []
    return [one for one in error.causes if not is_group(one) and not one.type.endswith(CANCELLED)]


def origin_of(error: Failure | None) -> Failure | None:
    """The first of the exceptions that this one came of, where its own message does not say as much already."""
    chain = () if error is None else (error, *error.causes)
    if any(is_group(one) for one in chain):
        return None
    said = [one for one in chain if one.message]
    return said[-1] if said and said[-1].message.lower() not in chain[0].message.lower() else None


def exceptions_of(span: Any) -> list[tuple[str, str] | None]:
    """That of a span, and what it holds."""
    return [exception_of(span), *map(identity, held_by(span.error))]


class Failures:
    """Failed and refused spans, counted so that an exception which passes through several of them is one error.

    So is one that a group holds: a `TaskGroup` passes the failure of a task on in that way.
    """

    __slots__ = ("_groups", "_own", "_parents", "refused")

    def __init__(self) -> None:
        self.refused = 0
        self._own = array("q")
        self._groups: list[list[int]] = []
        self._parents = array("q")

    def add(self, span: Any) -> None:
        """Count the span if it failed or was refused; what only passes the exception of a refusal on did not fail."""
        if span.status not in FAILED:
            return
        exception = exception_of(span)
        if span.status == REFUSED:
            self.refused += 1
            if exception is None:
                return
        elif held_by(span.error):
            self._groups.append(_marks(span))
        else:
            self._own.append(hash((span.span_id, exception)))
        self._parents.append(hash((span.parent_id, exception)))

    def count(self) -> int:
        """How many there were, less those that only passed a child's exception on."""
        passed_on = set(self._parents)
        return sum(own not in passed_on for own in self._own) + sum(map(passed_on.isdisjoint, self._groups))

    def began(self, spans: Iterable[Any]) -> list[Any]:
        """Of the spans that were added those that are counted: in them a failure began."""
        passed_on = set(self._parents)
        failed = (span for span in spans if span.status == "error")
        return [span for span in failed if passed_on.isdisjoint(_marks(span))]


def _marks(span: Any) -> list[int]:
    """What a child of the span is known by that failed with the same, or with what it holds."""
    return [hash((span.span_id, exception)) for exception in exceptions_of(span)]


def failures_of(spans: Iterable[Any]) -> Failures:
    """The failures among the spans."""
    failures = Failures()
    for span in spans:
        failures.add(span)
    return failures
