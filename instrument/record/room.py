"""How much may wait in the queue, and what a call does that finds more.

It lets the worker begin; where the worker cannot keep up it stops for moments; where nothing fits any more it waits as
long as the settings say, and then something is left out, counted, and what is worth least goes first.

All of it happens on the user's threads and beside the worker, without a lock around what both of them write: whoever
reads an old number looks once too often, or lets a few things more wait.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from instrument.record.delivery import Delivery
from instrument.record.lanes import Bounds
from instrument.record.worth import MOST, weight, worth

HASTE = 256
"""So many things in the queue end the gathering: more of them would have the garbage collector run for nothing."""
CROWD = 4_000
"""Where more things wait, in the queue or for a sink, calls stop now and then: memory stays small where a loop does
nothing but call."""
LATE_SECONDS = 0.012
"""They do so, too, where more wait than the worker takes in this time, because what waits is lost by a `kill -9`."""
WAITED_SECONDS = 0.02
"""And where what waits longest has waited so long: beside threads that do nothing but call the worker hardly gets the
interpreter's lock, and no number of things tells for how long."""
EASE_SECONDS = 0.005
"""So long a call stops at most."""
EASED = 16
"""So many calls go by between two stops."""
CATCHING_UP = 4
"""The same while batches wait that waited for prices: with more calls these would not become fewer."""
GLANCE = 256
"""After so many more things in a queue that is crowded by none of this it is asked again."""
STEP = 1000
"""After so many more things in the queue its size in bytes is estimated, from one in `EVERY` of the newest."""
EVERY = 40
BARREN_SECONDS = 1.0
"""How long a queue that holds nothing of some worth is not searched for it again."""


class Worker(Protocol):
    """Takes out what waits."""

    asleep: bool
    """Until somebody wakes it."""

    is_gathering: bool
    """It lets more come before it begins, for a moment or until it is woken."""

    written_before: float
    """What was queued before this moment of the monotonic clock has been written."""

    def wake(self) -> None:
        """Have it begin."""

    def is_ours(self, thread: threading.Thread, /) -> bool:
        """Whether the thread is the worker's or a sink's: those must not wait for themselves."""


class Room:
    """The room in one queue.

    While less than `free` things wait the next one is queued without asking. Otherwise `takes` is asked, which sets
    `free` to where to ask again, as `renew` does whenever the worker has taken some out. While the worker gathers that
    is `mark`, because so many things end the gathering. `lost` counts by reason. `large` are the bytes of the long
    values that wait to be finished.
    """

    def __init__(self, queue: deque[Any], bounds: Bounds, delivery: Delivery, worker: Worker) -> None:
        self.queue = queue
        self.mark = self.free = min(HASTE, bounds.records)
        self.is_closed = False
        self.large = 0
        self.lost: Counter[str] = Counter()
        self._bounds = bounds
        self._delivery = delivery
        self._worker = worker
        self._crowd = CROWD // 4
        self._weighed_at = 0
        self._average = 0.0
        self._waited_in_vain: int | None = None
        self._thinning = threading.Lock()
        self._barren_until = [0.0] * MOST

    # What the worker says

    def renew(self) -> None:
        """Some were taken out: ask again when `mark` wait, and every time while sinks are behind."""
        must_wait = self._bounds.waits and (self._delivery.behind > 0 or self._delivery.is_full())
        self._ask_from(0 if must_wait else self.mark)
        self._weighed_at = 0

    def learn(self, things: int, seconds: float) -> None:
        """So many things took so long: how many may wait changes slowly by that."""
        in_time = LATE_SECONDS * things / max(seconds, 1e-6)
        self._crowd = int(min(CROWD, max(HASTE, (3 * self._crowd + in_time) / 4)))

    def close(self) -> None:
        """Have every call ask, and see that nothing is taken any more."""
        self.is_closed, self.free = True, 0

    # What a call does

    def takes(self, item: Any) -> bool:
        """Whether the item may be queued, perhaps after a while; otherwise it has been counted as lost."""
        if self.free == self.mark or (self._worker.is_gathering and len(self.queue) >= self.mark):
            self._end_gathering()
            if len(self.queue) < self.free:
                return True
        if self._is_full():
            if self._may_wait():
                self._wait_for_room()
            if self._is_queue_full():
                return self._thinned(item)
        elif self._is_crowded() and self._may_wait():
            self._ease()
        return True

    def takes_large(self, size: int, *, always: bool) -> bool:
        """Whether long values of so many bytes may wait, perhaps after a while; otherwise they are counted as lost.

        Where no others wait, or with `always`, they may, however long they are.
        """

        def is_full() -> bool:
            return self.large > 0 and self.large + size > self._bounds.bytes

        has_room = not is_full() or (self._may_wait() and self._wait_while(is_full, self._bounds.seconds))
        if has_room or always:
            self.large += size
            return True
        self.lost["long values: queue full"] += 1
        return False

    def _ask_from(self, things: int) -> None:
        """Let calls ask where so many wait; all of them once the room is closed, also while a call is in here."""
        self.free = things
        if self.is_closed:
            self.free = 0

    def _end_gathering(self) -> None:
        self._ask_from(min(len(self.queue) + GLANCE, self._crowd, self._bounds.records))
        if self._worker.is_gathering:
            self._worker.is_gathering = False
            self._worker.wake()

    def _is_full(self) -> bool:
        return self._is_queue_full() or (self._bounds.waits and self._delivery.is_full())

    def _is_queue_full(self) -> bool:
        """Whether nothing fits; if something does it is said up to where not to ask again."""
        length = len(self.queue)
        if length >= self._weighed_at:
            self._weighed_at = length + STEP
            self._average = self._average_weight(min(length, STEP))
        if length >= self._bounds.records or length * self._average >= self._bounds.bytes:
            return True
        if self._worker.is_gathering and length < self.mark:
            self._ask_from(self.mark)
        else:
            self._ask_from(min(self._bounds.records, length + GLANCE, max(self._crowd, length) + EASED))
        return False

    def _average_weight(self, newest: int) -> float:
        """Roughly the bytes of one of so many newest things: of one in `EVERY` of them."""
        weights = []
        for at in range(1, newest + 1, EVERY):
            with suppress(IndexError):  # the worker has taken it
                weights.append(weight(self.queue[-at]))
        return sum(weights) / max(1, len(weights))

    # It waits

    def _may_wait(self) -> bool:
        return self._bounds.waits and not self._worker.is_ours(threading.current_thread())

    def _is_crowded(self) -> bool:
        if len(self.queue) > self._crowd or self._delivery.behind > 0 or self._delivery.lags(CROWD):
            return True
        return not self._worker.asleep and time.monotonic() - self._worker.written_before > WAITED_SECONDS

    def _ease(self) -> None:
        self._wait_while(self._is_crowded, EASE_SECONDS)
        self._ask_from(min(self._bounds.records, len(self.queue) + (CATCHING_UP if self._delivery.behind else EASED)))

    def _wait_for_room(self) -> None:
        """Wait as long as a call may. Where nothing moves, one call waits for all."""
        if self._waited_in_vain == self._delivery.progress():
            return
        if not self._wait_while(self._is_full, self._bounds.seconds):
            self._waited_in_vain = self._delivery.progress()

    def _wait_while(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Wait as long as `holds` says so, but for so many seconds at most; whether it holds no more."""
        give_up = time.monotonic() + seconds
        while holds():
            if time.monotonic() > give_up:
                return False
            if self._worker.asleep:
                self._worker.wake()
            time.sleep(0.001)
        return True

    # Something is left out

    def _thinned(self, item: Any) -> bool:
        """Whether things that are worth less than the item made room for it."""
        if self._thinning.acquire(blocking=False):
            try:
                for value in range(worth(item)):
                    if time.monotonic() > self._barren_until[value] and self._remove(value):
                        return True
            finally:
                self._thinning.release()
        self.lost["queue full"] += 1
        return False

    def _remove(self, value: int) -> bool:
        """Take out what is worth `value`, the oldest first, up to a tenth of the queue; whether there was any."""
        removed, length = 0, len(self.queue)
        for _ in range(length):
            try:
                one = self.queue.popleft()
            except IndexError:
                break
            if removed <= length // 10 and worth(one) == value:
                removed += 1
            else:
                self.queue.append(one)
        self.lost["queue full"] += removed
        if not removed:
            self._barren_until[value] = time.monotonic() + BARREN_SECONDS
        return removed > 0
