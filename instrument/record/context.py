"""Where a new span would hang: one context variable, and what carries its value to other threads and processes.

The variable holds a *place*: a live span, or a `Place` that `session()` or `extract()` made. It is set and put
back by value and never by token, because a dropped generator ends in another context than it began in.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from instrument import forks
from instrument.attributes import SESSION, TAGS, USER

if TYPE_CHECKING:
    from weakref import ReferenceType

    from instrument.record.spans import LiveSpan

P = ParamSpec("P")
R = TypeVar("R")


class Place:
    """What a child span takes from its surroundings; a live span has the same attributes.

    `trace_id` and `span_id` are those of the parent to be (None where the child begins a trace), `shared` is what
    everything below inherits as attributes, `span` is the nearest live span, `operation` the nearest
    decorated name, `model_call` the nearest model call. Model calls are told to be those of the agent `agent_id` or,
    where no agent has an id, of `agent_name`. What begins below a place that is not
    `sampled` is stored only if it turns out to matter, below None it is not recorded at all.
    """

    __slots__ = (
        "agent_id",
        "agent_name",
        "budgets",
        "depth",
        "model_call",
        "name",
        "operation",
        "sampled",
        "shared",
        "span",
        "span_id",
        "trace_id",
    )

    def __init__(
        self,
        trace_id: str | None = None,
        span_id: str | None = None,
        depth: int = -1,
        shared: Mapping[str, Any] | None = None,
        span: LiveSpan | None = None,
        name: str | None = None,
        agent_id: str | None = None,
        agent_name: str | None = None,
        sampled: bool | None = True,
        budgets: tuple[Any, ...] = (),
        operation: str | None = None,
        model_call: ReferenceType[Any] | None = None,
    ) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.depth = depth
        self.shared = shared
        self.span = span
        self.name = name
        self.agent_id = agent_id
        self.agent_name = agent_name
        self.sampled = sampled
        self.budgets = budgets
        self.operation = operation
        self.model_call = model_call


NOWHERE = Place()
"""Where a span hangs that is the first of its trace."""

FREES_CONTEXTS = sys.version_info < (3, 12)
"""Up to Python 3.11 the collector may run in the middle of `ContextVar.set`, which then works on what another `set`
frees (https://github.com/python/cpython/issues/148891): the process crashes, or has a broken context."""

MOST_KEPT = 10_000
"""So many contexts are kept at most: the first is what is worked on, and a finalizer may make very many calls."""


class Current:
    """The context variable: `get` and `set` are those of it.

    A finalizer that is recorded may run in the midst of a `set` of ours, on the same thread. `changing` counts the
    threads that are there. Where it is not 0, what they may work on is kept until it is. Where most calls pass (in
    `wrappers`) the body of `set` is written out, with `put`.
    """

    __slots__ = ("__weakref__", "_kept", "changing", "get", "put")

    def __init__(self) -> None:
        variable: ContextVar[LiveSpan | Place | None] = ContextVar("instrument_place", default=None)
        self.get = variable.get
        self.put = variable.set
        self.changing = 0
        self._kept: list[Context] = []
        forks.watch(self)

    def set(self, place: LiveSpan | Place | None) -> None:
        if self.changing:
            self.keep()
        self.changing += 1
        try:
            self.put(place)
        finally:
            self.changing -= 1

    def keep(self) -> None:
        """Keep what is current until nobody changes it any more. The first of them is what is worked on."""
        if self.changing < 0:  # a finalizer forked in the midst of a change, and what `renew` forgot is over now
            self.changing = 0
        elif FREES_CONTEXTS and len(self._kept) < MOST_KEPT:
            self._kept.append(copy_context())

    def let_go(self) -> None:
        """Forget what was kept, unless it may still be worked on. The worker does this."""
        if self._kept and not self.changing:
            self._kept = []

    def before_fork(self, give_up: float, /) -> None: ...

    def after_fork(self) -> None: ...

    def renew(self) -> None:
        """Threads that are no more change nothing."""
        self.changing = 0


current = Current()


def is_left_out(place: LiveSpan | Place | None) -> bool:
    """Whether what begins below belongs to a trace that is not stored, with no budget to hold it to."""
    return place is not None and not place.sampled and place.trace_id is not None and not place.budgets


def current_span() -> LiveSpan | None:
    """The innermost span that is running here, or None outside of any."""
    place = current.get()
    return None if place is None else place.span


@contextmanager
def session(id: str, *, user: str | None = None, tags: tuple[str, ...] | list[str] = ()) -> Iterator[None]:
    """Everything recorded inside belongs to the session `id` (a conversation), its `user` and `tags`.

    They become the attributes `session.id`, `user.id` and `instrument.tags` of every span that begins inside.
    """
    outer = current.get()
    inherited = (outer.shared if outer is not None else None) or {}
    with at(place_with(outer, shared={**inherited, **_session_attributes(id, user, tags)})):
        yield


def _session_attributes(id: str, user: str | None, tags: tuple[str, ...] | list[str]) -> dict[str, Any]:
    attributes: dict[str, Any] = {SESSION: str(id)}
    if user is not None:
        attributes[USER] = str(user)
    if tags:
        attributes[TAGS] = [str(tag) for tag in tags]
    return attributes


@contextmanager
def at(place: Place) -> Iterator[None]:
    """`place` is current inside."""
    outer = current.get()
    current.set(place)
    destroyed = False
    try:
        yield
    except GeneratorExit:
        destroyed = True
        raise
    finally:
        leave(place, outer, destroyed=destroyed)


def leave(place: LiveSpan | Place, outer: LiveSpan | Place | None, *, destroyed: bool) -> None:
    """Make `outer` current again. A coroutine that is destroyed may end anywhere, where something else is current."""
    if not destroyed or current.get() is place:
        current.set(outer)


def place_with(place: LiveSpan | Place | None, **changes: Any) -> Place:
    """A place like `place`, but for `changes`."""
    if place is None:
        return Place(**changes)
    return Place(**{**{name: getattr(place, name) for name in Place.__slots__}, **changes})


def below(origin: Place, place: LiveSpan | Place) -> Place:
    """`place`, which begins a trace, in a process that was started from another one's span."""
    at_origin = {"trace_id": origin.trace_id, "span_id": origin.span_id, "sampled": place.sampled and origin.sampled}
    return place_with(place, **at_origin, shared={**(origin.shared or {}), **(place.shared or {})} or None)


def call_at(at: LiveSpan | Place | None, call: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
    """Call with this place current, and put back what was."""
    before = current.get()
    current.set(at)
    try:
        return call(*args, **kwargs)
    finally:
        current.set(before)


def carry(fn: Callable[P, R]) -> Callable[P, R]:
    """`fn`, to be called on another thread as if it were called here: what it does hangs below the current span."""
    place = current.get()

    @functools.wraps(fn)
    def carried(*args: P.args, **kwargs: P.kwargs) -> R:
        return call_at(place, fn, *args, **kwargs)

    return carried
