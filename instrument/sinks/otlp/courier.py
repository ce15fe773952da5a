"""Brings parcels to their target: in order, again and again while it is away, never on the caller's time.

Parcels wait in memory while the target takes them, bounded in bytes; once it is away they wait on disk. Tries are
further and further apart, with jitter, and never earlier than the target asked for. For a fork the thread ends, but
where the target takes its time to answer: no fork waits for the network.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress

from instrument import forks
from instrument.record.context import Place, current
from instrument.record.failures import in_words
from instrument.record.shift import Shift, threads_of_the_system, wait_until_gone
from instrument.sinks.otlp.outcome import LATER, REFUSED, Outcome, Send
from instrument.sinks.otlp.packing import packed
from instrument.store.outbox import Outbox, Parcel

MEMORY_BYTES = 4 * 1024 * 1024
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
RAW = "records"
"""What is still to be encoded, as a signal of its own; it waits on disk alone."""
CLOSE_SECONDS = 1.0
"""How long closing waits for what is under way; what is not sent by then waits on disk for the next process."""
FORK_SECONDS = 0.02
"""How long a fork waits for an answer of the target. It waits for what is being imported: in a child that would be half
done for ever."""


class Courier:
    """A thread that sends parcels. `lost` counts records by reason.

    Senders are made by the thread when first needed, by signal. `tell` hears what went wrong, and whether records are
    lost by it (None: the target took them, and has something to say); `encode` makes parcels of one that is `RAW`;
    `warm_up` is called by the thread before anything else, and says whether anything can be sent; `tick` is called
    every `tick_seconds`.
    """

    def __init__(
        self,
        outbox: Outbox,
        make_sender: Callable[[str], Send],
        timeout: float,
        tell: Callable[[str, bool | None], None],
        encode: Callable[[Parcel], list[Parcel]],
        warm_up: Callable[[], bool],
        tick: Callable[[], None],
        tick_seconds: float,
        first_pause: float,
    ) -> None:
        self.lost: Counter[str] = Counter()
        self._outbox = outbox
        self._make_sender = make_sender
        self._senders: dict[str, Send] = {}
        self._timeout = timeout
        self._tell = tell
        self._encode = encode
        self._warm_up = warm_up
        self._tick, self._tick_seconds = tick, tick_seconds
        self._first_pause = first_pause
        self._dice = random.Random()  # the program's own, which it may have seeded, is left alone
        self._lock = threading.Lock()
        self._memory: deque[Parcel] = deque()
        self._under_way: Parcel | None = None
        self._bytes = 0
        self._pause = 0.0
        self._awake_at = 0.0
        self._looked = self._has_kept = False
        self._closing = False
        self._given_up = False
        self._alarm = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._is_asking = False
        self._awaited_by: set[object] = set()
        self._process = os.getpid()
        self._shift = Shift("instrument otlp", self._work)
        forks.watch(self, first=True)  # before the threads that give it parcels

    @property
    def is_away(self) -> bool:
        """Whether the last try was in vain."""
        return self._pause > 0

    def start(self) -> None:
        """Begin; a thread that cannot start (the interpreter ends) leaves everything to `close`."""
        if self._shift.thread is None and not self._closing:
            with suppress(RuntimeError):
                self._shift.begin()

    def give(self, parcel: Parcel) -> None:
        """Take a parcel; returns at once."""
        self.start()
        with self._lock:
            self._memory.append(parcel)
            self._bytes += len(parcel.body)
            self._idle.clear()
            if self._bytes > MEMORY_BYTES or self.is_away:
                self._put_on_disk()
        self._alarm.set()

    def keep(self, parcel: Parcel) -> None:
        """Take a parcel that waits on disk, after what waits already: it is left to the next process if it is `RAW`."""
        with self._lock:
            self._has_kept = True
            self._memory.append(parcel)
            self._put_on_disk()
        self._alarm.set()

    def flush(self, seconds: float) -> bool:
        """Wait until all is sent, or it is known that it cannot be; whether it was sent."""
        give_up, me = time.monotonic() + seconds, object()
        self._awaited_by.add(me)
        self._alarm.set()
        try:
            while not self.is_away and self._shift.thread is not None and time.monotonic() < give_up:
                if self._idle.wait(0.02):
                    break
        finally:
            self._awaited_by.discard(me)
        return self._idle.is_set() and not self.is_away

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Send what can be sent in that time, keep all else on disk, and stop."""
        self._closing = True
        self._alarm.set()
        if (thread := self._shift.thread) is not None:
            thread.join(seconds)
        with self._lock:
            self._given_up = True
            if self._under_way is not None:
                self._memory.appendleft(self._under_way)
                self._under_way = None
            self._put_on_disk()

    # Forks

    def before_fork(self, give_up: float, /) -> None:
        """Have the thread end, unless it is with the target, or is waited for by another one."""
        if self._awaited_by or self._shift.has(threading.current_thread()):
            return
        thread, before = self._shift.thread, threads_of_the_system()
        self._shift.end(self._alarm.set, min(time.monotonic() + FORK_SECONDS, give_up))
        while self._shift.is_alive() and not self._is_asking and time.monotonic() < give_up:
            time.sleep(0.001)
        if thread is not None and not thread.is_alive():
            wait_until_gone(before - 1)

    def after_fork(self) -> None:
        """In the parent: have another one go on."""
        if self._process == os.getpid():
            self._shift.go_on()
            self._alarm.set()
            self.start()

    def renew(self) -> None:
        """In the child: what waits is its parent's, and so are the connections."""
        self._closing = self._given_up = True
        self._lock = threading.Lock()
        self._memory, self._under_way, self._awaited_by = deque(), None, set()
        self._shift = Shift("instrument otlp", self._work)

    # The thread

    def _work(self) -> None:
        current.set(Place(sampled=None))  # what is sent is no part of anybody's trace
        if not self._warm_up():
            return
        while not self._given_up:
            self._alarm.wait(self._seconds_to_wait())
            self._alarm.clear()
            if self._shift.leaves():
                return
            if not self._closing:
                self._tick()
            if time.monotonic() >= self._awake_at:
                self._deliver()
            if self._closing:
                return

    def _seconds_to_wait(self) -> float:
        left = self._awake_at - time.monotonic()
        return min(self._tick_seconds, left) if left > 0 else self._tick_seconds

    def _deliver(self) -> None:
        """Send what lies on disk, then what came since, until there is nothing or it fails."""
        if self._deliver_from_disk():
            while (parcel := self._next()) is not None:
                if not self._carried(parcel):
                    return
            with self._lock:
                if not self._memory:
                    self._idle.set()

    def _deliver_from_disk(self) -> bool:
        if self._looked and not self._outbox.waiting():
            return True
        self._looked = True
        with self._outbox.sending() as allowed:
            if allowed and not self._has_kept:
                self._encode_what_is_raw()
            for path in self._outbox.waiting() if allowed else ():
                parcel = self._outbox.read(path)
                if parcel is None:
                    continue
                if self._stops() or parcel.signal == RAW or not self._settled(parcel, self._send(parcel)):
                    return False
                self._outbox.remove(path)
        return True

    def _encode_what_is_raw(self) -> None:
        """What an earlier process could not encode any more, in its place."""
        for path in self._outbox.waiting():
            parcel = self._outbox.read(path) if path.name.endswith(f".{RAW}.gz") else None
            if parcel is not None and not self._stops():
                try:
                    for part in self._encode(parcel):
                        self._store(part)
                except Exception as error:  # noqa: BLE001 - what cannot be read must not hold up the rest for ever
                    self.lost[f"cannot be read any more ({type(error).__name__})"] += parcel.records
                self._outbox.remove(path)

    def _next(self) -> Parcel | None:
        with self._lock:
            if self._stops() or not self._memory:
                return None
            self._under_way = self._memory.popleft()
            self._bytes -= len(self._under_way.body)
            return self._under_way

    def _stops(self) -> bool:
        """Whether nothing more is sent: by this thread, or at all."""
        return self._given_up or self._shift.is_over

    def _carried(self, parcel: Parcel) -> bool:
        """Whether the parcel needs no further try; where it does, all that waits goes to disk."""
        done = self._settled(parcel, self._send(parcel))
        with self._lock:
            if self._given_up:
                return False  # close() has put it on disk
            self._under_way = None
            if not done:
                self._memory.appendleft(parcel)
                self._put_on_disk()
        return done

    def _send(self, parcel: Parcel) -> Outcome:
        try:
            send = self._senders.get(parcel.signal)
            if send is None:
                send = self._senders[parcel.signal] = self._make_sender(parcel.signal)
            self._is_asking = True
            return send(parcel.body, min(self._timeout, CLOSE_SECONDS) if self._closing else self._timeout)
        except Exception as error:  # noqa: BLE001 - certificates that are missing, libraries that fail: as if away
            return Outcome(LATER, f"nothing can be sent ({in_words(error)})")
        finally:
            self._is_asking = False

    def _settled(self, parcel: Parcel, outcome: Outcome) -> bool:
        if outcome.state == LATER:
            self._tell(outcome.why, False)
            self._pause = min(LONGEST_PAUSE, max(self._first_pause, self._pause * 2))
            patience = max(self._pause * self._dice.uniform(0.5, 1.5), outcome.wait or 0.0)
            self._awake_at = time.monotonic() + patience
            return False
        self._pause = self._awake_at = 0.0
        if outcome.state == REFUSED:
            self._tell(outcome.why, True)
            self.lost[f"refused: {outcome.why}"] += parcel.records
        elif outcome.rejected:
            self._tell(f"it left out {outcome.rejected} records ({outcome.why})", True)
            self.lost["rejected by the target"] += outcome.rejected
        elif outcome.why:
            self._tell(outcome.why, None)
        return True

    def _put_on_disk(self) -> None:
        """All that waits in memory, in order."""
        while self._memory:
            self._store(self._memory.popleft())
        self._bytes = 0

    def _store(self, parcel: Parcel) -> None:
        """On disk; where that does not take it either it is lost, and counted."""
        try:
            gone = self._outbox.put(parcel._replace(body=packed(parcel.body)))
        except OSError as error:
            self.lost[f"target away and {error.strerror or type(error).__name__}"] += parcel.records
            return
        if gone:
            self.lost["target away and spool full"] += gone
