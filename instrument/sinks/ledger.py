"""The sink that enters every model call with tokens into the ledger."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import asdict, replace

from instrument.analysis.in_words import many
from instrument.attributes import (
    AGENT_ID,
    AGENT_NAME,
    LEDGER_OPERATION,
    PROVIDER,
    REQUEST_MODEL,
    REQUEST_TIER,
    RESPONSE_MODEL,
    RESPONSE_TIER,
    SESSION,
    USER,
)
from instrument.errors import InstrumentError
from instrument.kinds import MODEL_KINDS
from instrument.model import Batch, Cost, Record, Span, Update, Usage, opened
from instrument.record.notices import notice
from instrument.store import ledger
from instrument.store.connection import Connection
from instrument.store.entries import Row
from instrument.store.ledgers import file_of

MOST_WAITING = 10_000
"""Rows kept in memory while the ledger is locked; beyond that the oldest are given up and counted."""

MOST_HEADS = 1_000
"""Model calls without usage that are remembered, for usage that comes later (background responses)."""

RETRY_SECONDS = 1.0
"""How long the sink leaves a locked ledger alone, so that it does not hold up the other sinks at every batch."""

LAST_WAIT_SECONDS = 10.0
"""How long `close` tries to enter what could not be entered before."""


class LedgerSink:
    """One row in the ledger for each span, or later update of a span, that carries usage.

    `url` is `sqlite:///relative`, `sqlite:////absolute` or a plain path; the file is opened at the first row. While
    another process holds it, rows wait in memory for the next batch. A damaged file is set aside, `notice` is told.
    """

    takes_all = True
    """Calls of traces that are not stored are entered as well."""

    takes_unpriced = True
    """A call is entered as unpriced and brought up to date, rather than be lost with a process that is killed soon."""

    calls_nobody = True
    """No code but ours runs in it."""

    def __init__(self, url: str, notice: Callable[[str], None] = notice) -> None:
        self.path = file_of(url).absolute()
        self.lost = 0
        self._notice = notice
        self._waiting: deque[Row] = deque()
        self._heads: OrderedDict[str, Row] = OrderedDict()
        self._connection = Connection(self.path, ledger.open_ledger)
        self._try_again = 0.0
        self._is_worth_waiting = True
        """The end of the process waits for a file that is locked, but not for a folder that cannot be made."""

    @staticmethod
    def wants(record: Record) -> bool:
        """Whether the record can say anything of a model call."""
        return isinstance(record, Update) or (
            isinstance(record, Span) and (record.usage is not None or record.kind in MODEL_KINDS)
        )

    @property
    def kept(self) -> dict[str, int]:
        """Calls that could not be entered so far and will be tried again."""
        return {"the ledger cannot be written, to be tried again": self._calls()} if self._try_again else {}

    def leaves(self, has_tokens: bool) -> Path | None:
        """The file, when the calls of a trace that took tokens are in it, or will be as soon as it is made."""
        at = next((place for place in (self.path, *self.path.parents) if os.path.exists(place)), self.path)
        can_be = at == self.path or (os.path.isdir(at) and os.access(at, os.W_OK))
        return self.path if has_tokens and can_be else None

    def write(self, batch: Batch, /) -> None:
        """Enter the calls of the batch."""
        for record in batch:
            row = self._row(record)
            if row is not None:
                self._waiting.append(row)
        if self._waiting and time.monotonic() >= self._try_again:
            self._enter()

    def flush(self) -> None:
        """Enter what is waiting; what cannot be entered because the ledger is locked goes on waiting."""
        if self._waiting:
            self._enter()

    def close(self) -> None:
        """Enter what is waiting and close the file. Raises `InstrumentError` when rows had to be given up."""
        patience = time.monotonic() + LAST_WAIT_SECONDS
        while self._waiting and not self._enter() and self._is_worth_waiting and time.monotonic() < patience:
            time.sleep(0.05)
        self._connection.close()
        self.lost += self._calls()
        if self.lost:
            raise InstrumentError(
                f"{many(self.lost, 'call')} could not be entered in {self.path}: it could not be written"
            )

    def _calls(self) -> int:
        """How many calls are waiting: of one whose price came later there are two rows."""
        return len({(row.trace_id, row.span_id) for row in self._waiting})

    def _row(self, record: Record) -> Row | None:
        if isinstance(record, Span):
            if record.usage is not None:
                return _row_of(record)
            if record.kind in MODEL_KINDS:
                self._remember(_row_of(record))
        elif isinstance(record, Update) and record.usage is not None:
            head = self._heads.pop(record.span_id, None) or _bare_row(record)
            return replace(head, **_described(record.attributes), **_measured(record.usage, record.cost))
        return None

    def _remember(self, head: Row) -> None:
        self._heads[head.span_id] = head
        if len(self._heads) > MOST_HEADS:
            self._heads.popitem(last=False)

    def _enter(self) -> bool:
        """Whether all waiting rows are in the ledger now."""
        self._is_worth_waiting = True
        try:
            self._enter_waiting()
        except sqlite3.DatabaseError as error:
            if ledger.is_locked(error):
                return self._wait_longer()
            if ledger.is_passing(error):
                return self._keep(str(error))
            if not ledger.is_corrupt(error):
                raise
            self._begin_anew(error)
            self._enter_waiting()
        except OSError as error:
            self._is_worth_waiting = False
            return self._keep(error.strerror or type(error).__name__)
        self._waiting.clear()
        self._try_again = 0.0
        return True

    def _enter_waiting(self) -> None:
        with self._connection.used() as connection:
            ledger.write(connection, self._waiting)

    def _keep(self, why: str) -> bool:
        self._notice(f"the ledger {self.path} cannot be written ({why}); calls are kept and tried again")
        self._connection.close()
        return self._wait_longer()

    def _wait_longer(self) -> bool:
        self._try_again = time.monotonic() + RETRY_SECONDS
        while len(self._waiting) > MOST_WAITING:
            self._waiting.popleft()
            self.lost += 1
        return False

    def _begin_anew(self, error: sqlite3.Error) -> None:
        """Set the damaged file aside, unless another process has done so meanwhile."""
        self._connection.close()
        aside = ledger.set_aside(self.path, self._connection.file)
        if aside is not None:
            self._notice(f"the ledger {self.path} was damaged ({error}); it is now {aside.name}, a new one is begun")


def _row_of(span: Span) -> Row:
    described = _described(span.attributes)
    described["operation"] = described.get("operation") or span.name
    row = Row(time_ns=span.start_ns, run=span.run, trace_id=span.trace_id, span_id=span.span_id, status=span.status)
    return replace(row, **described, **_measured(span.usage or Usage(), span.cost))


def _bare_row(update: Update) -> Row:
    """A row for a call whose span is not remembered: all that is known of its time is that it is over."""
    return Row(time_ns=time.time_ns(), run=update.run, trace_id=update.trace_id, span_id=update.span_id)


_ATTRIBUTES = {
    "agent_id": (AGENT_ID, AGENT_NAME),
    "operation": (LEDGER_OPERATION,),
    "model_requested": (REQUEST_MODEL,),
    "model_answered": (RESPONSE_MODEL,),
    "provider": (PROVIDER,),
    "service_tier": (RESPONSE_TIER, REQUEST_TIER),
    "session": (SESSION,),
    "user": (USER,),
}


def _described(attributes: Mapping[str, Any]) -> dict[str, str]:
    """The columns that attributes fill."""
    found = {
        column: next((text for name in names if (text := _text(attributes.get(name))) is not None), None)
        for column, names in _ATTRIBUTES.items()
    }
    return {column: text for column, text in found.items() if text is not None}


def _text(value: Any) -> str | None:
    plain = opened(value)
    return None if plain is None else str(plain).encode("utf-8", "replace").decode()


def _measured(usage: Usage, cost: Cost | None) -> dict[str, Any]:
    """The columns that usage and cost fill; usage without a cost is unpriced."""
    money = cost or Cost()
    return {
        **asdict(usage),
        "usd": money.usd,
        "usd_input": money.input,
        "usd_cached": money.cached,
        "usd_cache_write": money.cache_write,
        "usd_output": money.output,
        "basis": money.basis,
        "price_date": money.price_date,
    }
