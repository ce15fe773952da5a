"""A cache that forgets what was used longest ago."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any


class Cache:
    """At most `size` values, each for at most `seconds`."""

    def __init__(self, size: int = 128, seconds: float | None = None) -> None:
        if size < 1:
            raise ValueError("size must be at least 1")
        self.size = size
        self.seconds = seconds
        self.hits = 0
        self.misses = 0
        self._values: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, default: Any = None) -> Any:
        with self._lock:
            found = self._values.get(key)
            if found is None or self._expired(found[0]):
                self.misses += 1
                return default
            self._values.move_to_end(key)
            self.hits += 1
            return found[1]

    def put(self, key: Hashable, value: Any) -> None:
        with self._lock:
            self._values[key] = (time.monotonic(), value)
            self._values.move_to_end(key)
            while len(self._values) > self.size:
                self._values.popitem(last=False)

    def _expired(self, born: float) -> bool:
        if self.seconds is None:
            return False
        return time.monotonic() - born > self.seconds

    def hit_rate(self) -> float:
        asked = self.hits + self.misses
        if asked == 0:
            return 0.0
        return self.hits / asked

    def clear(self) -> None:
        with self._lock:
            self._values.clear()
            self.hits = 0
            self.misses = 0

    def prune(self) -> int:
        with self._lock:
            old = [key for key, (born, _) in self._values.items() if self._expired(born)]
            for key in old:
                del self._values[key]
        return len(old)

    def __len__(self) -> int:
        return len(self._values)


def remembered(cache: Cache) -> Callable[[Callable[[Hashable], Any]], Callable[[Hashable], Any]]:
    def decorate(function: Callable[[Hashable], Any]) -> Callable[[Hashable], Any]:
        def wrapper(key: Hashable) -> Any:
            value = cache.get(key)
            if value is None:
                value = function(key)
                cache.put(key, value)
            return value

        return wrapper

    return decorate
