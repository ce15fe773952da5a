"""A block of code as a span."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from instrument.record.context import Place, current, leave
from instrument.record.plan import Plan
from instrument.record.spans import LiveSpan, begin
from instrument.record.switch import installed
from instrument.record.texts import text_of

if TYPE_CHECKING:
    from instrument.record.recorder import Recorder


class span:  # noqa: N801 - a context manager that reads as a verb
    """`with span("name", kind="step") as s:` records the block as a span; an exception passes and marks it.

    `s` is the live span. `attributes` are set from the start.
    """

    def __init__(self, name: str, kind: str = "span", attributes: Mapping[str, Any] | None = None) -> None:
        self._plan = Plan(text_of(name), text_of(kind), attributes=attributes)
        self._entered: list[tuple[LiveSpan, LiveSpan | Place | None]] = []

    def __enter__(self) -> LiveSpan:
        recorder, outer = installed(), current.get()
        live = None if recorder is None else begin(recorder, self._plan, outer)
        if live is None:
            return unrecorded()
        try:
            self._entered.append((live, outer))
            current.set(live)
        except BaseException:
            _break_off(live, outer)
            raise
        return live

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        live, outer = self._left()
        if live is None:
            return
        try:
            leave(live, outer, destroyed=isinstance(error, GeneratorExit))
            if error is None:
                live.end()
            else:
                live.fail(error)
        except BaseException:
            _break_off(live, outer)
            raise

    def _left(self) -> tuple[LiveSpan | None, LiveSpan | Place | None]:
        """The block that is left: of one object used in several tasks or within itself, the one that is current."""
        place = current.get()
        mine = [entry for entry in self._entered if entry[0] is place] or self._entered[-1:]
        for entry in mine:
            self._entered.remove(entry)
            return entry
        return None, None


def _break_off(live: LiveSpan, outer: LiveSpan | Place | None) -> None:
    """A handler of signals has raised something in the midst, which is the user's: the worker does the rest."""
    if current.get() is live:
        current.put(outer)
    live.recorder.queue.append(live)


class _Nowhere:
    """Stands in for the recorder of a span that is not recorded: it takes everything and keeps nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None


def unrecorded() -> LiveSpan:
    """A live span that goes nowhere, so that `with span(...) as s: s.set(...)` works while recording is off."""
    live = LiveSpan()
    for name in _SLOTS:
        setattr(live, name, None)
    live.recorder, live.plan = cast("Recorder", _Nowhere()), _NO_PLAN
    live.trace_id = live.span_id = live.name = ""
    live.kind, live.status, live.budgets = "span", "ok", ()
    live.depth = live.started = live.duration = 0
    return live


_SLOTS = [name for name in LiveSpan.__slots__ if not name.startswith("__")]
_NO_PLAN = Plan("", "span")
