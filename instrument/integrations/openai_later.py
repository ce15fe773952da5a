"""Usage that comes after its call: a background response is queued first and fetched when it is done."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from instrument import forks
from instrument.answer import answer
from instrument.attributes import PROVIDER
from instrument.foreign import at, text
from instrument.integrations.openai_bodies import body_of
from instrument.model import Update, opened
from instrument.pieces import ResponseSaid, Said
from instrument.record import budgets
from instrument.record.recorder import Recorder
from instrument.record.spans import LiveSpan
from instrument.record.streams import Closing, Watched, put
from instrument.record.switch import switch

MOST_EXPECTED = 10_000
PENDING = ("queued", "in_progress")
_PATH = re.compile(r"/responses/([^/]+)(?:/cancel)?$")


class Expected(NamedTuple):
    """A call that has ended without its usage, and what its usage will need."""

    run: str
    trace_id: str
    span_id: str
    start_ns: int
    provider: str | None
    scopes: tuple[Any, ...]


_expected: OrderedDict[str, Expected] = OrderedDict()
_lock = forks.Lock()


def expect(span: LiveSpan, result: Any) -> None:
    """Remember the call when its answer is a response that is not done yet."""
    fields = json.loads(result) if isinstance(result, bytes) else result
    if text(at(fields, "status")) in PENDING and text(at(fields, "object")) == "response":
        _expect(span, text(at(fields, "id")))


def expect_rest(span: LiveSpan, said: Said) -> None:
    """Remember the call when its stream was left before the response was done, and it goes on in the background."""
    if isinstance(said, ResponseSaid) and not said.is_final and (span.asked or {}).get("background"):
        span.wants_estimate = False
        span.output = None
        _expect(span, said.response_id)


def _expect(span: LiveSpan, response_id: str | None) -> None:
    if response_id is None:
        return
    recorder = span.recorder
    expected = Expected(
        run=recorder.run.run,
        trace_id=span.trace_id,
        span_id=span.span_id,
        start_ns=recorder.wall(span.started),
        provider=opened((span.attributes or {}).get(PROVIDER)),
        scopes=span.budgets,
    )
    with _lock:
        _expected[response_id] = expected
        if len(_expected) > MOST_EXPECTED:
            _expected.popitem(last=False)


def note_fetched(options: Any, result: Any) -> None:
    """Where the request fetched a response that is expected: its usage is an update of the span, once."""
    if not _expected:
        return
    found = _PATH.search(urlsplit(options.url).path)
    if found is None or found[1] not in _expected:
        return
    if hasattr(result, "_iterator"):
        fetched = _Fetched()
        put(result, Watched(result._iterator, fetched), Closing(fetched))
        return
    response = getattr(result, "http_response", None)
    body = None if response is None else body_of(response)
    _take(result if body is None else json.loads(body))


class _Fetched:
    """Listens to a response that is fetched as a stream."""

    def __init__(self) -> None:
        self.reading = False
        self._said = ResponseSaid()

    def take(self, chunk: Any) -> None:
        self._said.take(chunk)
        if self._said.is_final:
            _take(self._said.answer())

    def end(self, error: BaseException | None = None, early: bool = False) -> None: ...

    def drop(self) -> None: ...


def _take(response: Any) -> None:
    """Tell sinks and budgets of the usage of a response that is done."""
    found, recorder = answer(response), switch.recorder
    status = text(at(response, "status"))
    if found is None or recorder is None or status in PENDING or (found.usage is None and status == "completed"):
        return
    with _lock:
        expected = _expected.pop(found.response_id or "", None)
    if expected is None:
        return
    cost = None
    if found.usage is not None:
        cost = recorder.prices.cost(
            found.usage, found.model, provider=expected.provider, tier=found.service_tier, at_ns=expected.start_ns
        )
    _update(recorder, expected, found, cost)
    for scope in expected.scopes:
        budgets.tell(recorder, scope, scope.settle(expected.span_id, budgets.took(found.usage, cost)))


def _update(recorder: Recorder, expected: Expected, found: Any, cost: Any) -> None:
    update = Update(
        run=expected.run,
        trace_id=expected.trace_id,
        span_id=expected.span_id,
        usage=found.usage,
        cost=cost,
        attributes=found.attributes(),
    )
    recorder.put(update)
