"""What is delivered to which sink, when and in which order, where some of it waits for prices or to be decided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

import tests.sinks
from instrument.model import Batch, Log
from instrument.record.delivery import Delivery
from instrument.record.lanes import Bounds
from tests.sinks import Direct


class File(Direct):
    """A sink like our files: it is written to at once."""

    def __init__(self, *, unpriced: bool = False, everything: bool = False) -> None:
        super().__init__()
        self.takes_unpriced, self.takes_all = unpriced, everything

    @property
    def events(self) -> list[str]:
        return [one.event for one in self.records]


class Tables(tests.sinks.Tables):
    """Prices that are there when they are said to be; the price of a call is told by an event `<call> costs`."""

    def __init__(self) -> None:
        super().__init__(ready=False)

    def complete(self, batch: Batch) -> tuple[Batch, Batch]:
        rest = batch_of(*(f"{name} costs" for name in batch.unpriced))
        return Batch([*batch, *rest]), rest


class Sieve:
    """Stores what is not called `dull`, and none of it before it has looked."""

    def stores_all(self, batch: Batch) -> bool:
        return False

    def due(self) -> Iterable[Batch]:
        return ()

    def sift(self, batch: Batch) -> Iterator[Batch]:
        yield batch.part([at for at, one in enumerate(batch) if isinstance(one, Log) and one.event != "dull"])

    def finish(self) -> Iterable[Batch]:
        return ()


def batch_of(*events: str, unpriced: bool = False) -> Batch:
    batch = Batch([Log(time_ns=1, event=event) for event in events])
    batch.unpriced = dict.fromkeys(events) if unpriced else {}
    return batch


def delivery(*sinks: Any, tables: Tables | None = None, sieve: Sieve | None = None) -> Delivery:
    return Delivery(sinks, Bounds(), lambda *words: None, sieve, tables)


@pytest.mark.parametrize("sieve", [None, Sieve()], ids=["all is stored", "with a sieve"])
def test_what_comes_after_a_call_without_its_price_waits_with_it(sieve: Sieve | None) -> None:
    """A sink that wants prices has all in its order, however long they take."""
    sink, tables = File(), Tables()
    one = delivery(sink, tables=tables, sieve=sieve)
    one.write(batch_of("call", unpriced=True))
    one.write(batch_of("after"))
    one.catch_up()
    before = [*sink.events]
    tables.ready = True
    one.catch_up()
    assert ([], ["call", "call costs", "after"]) == (before, sink.events)


def test_a_sink_that_does_without_prices_is_told_them_afterwards() -> None:
    """It has the call at once, and once."""
    sink, tables = File(unpriced=True), Tables()
    one = delivery(sink, tables=tables)
    one.write(batch_of("call", unpriced=True))
    before = [*sink.events]
    tables.ready = True
    one.catch_up()
    assert (["call"], ["call", "call costs"]) == (before, sink.events)


def test_what_is_not_decided_is_not_written_before_its_price() -> None:
    """Whether a call is stored is decided when its price is there: until then no sink has it, and then once."""
    sink, tables = File(unpriced=True), Tables()
    one = delivery(sink, tables=tables, sieve=Sieve())
    one.write(batch_of("dull", "call", unpriced=True))
    before = [*sink.events]
    tables.ready = True
    one.catch_up()
    assert ([], ["call", "dull costs", "call costs"]) == (before, sink.events)


def test_a_record_is_counted_once_however_many_sinks_it_has() -> None:
    """What is stored counts as written, not what only a sink has that takes all."""
    all_of_it, stored = File(everything=True), File()
    one = delivery(all_of_it, stored, sieve=Sieve())
    one.write(batch_of("dull", "call", "other"))
    assert (["dull", "call", "other"], ["call", "other"], 2) == (all_of_it.events, stored.events, one.written)


def test_every_record_of_the_batch_that_failed_is_lost() -> None:
    """And every one that comes after it."""

    class Full(File):
        def write(self, batch: Batch) -> None:
            raise OSError("disk full")

    one = delivery(Full())
    one.write(batch_of("a", "b", "c"))
    one.write(batch_of("d"))
    assert {"sink Full failed": 4} == one.lost()


def test_a_fork_writes_nothing_of_what_waited() -> None:
    """What waits for its price belongs to the parent, which writes it."""
    sink, tables = File(), Tables()
    one = delivery(sink, tables=tables)
    one.write(batch_of("call", unpriced=True))
    one.abandon()
    still_waits = one.waits_for_prices()
    tables.ready = True
    one.catch_up(waits=True)
    assert (False, []) == (still_waits, sink.events)
