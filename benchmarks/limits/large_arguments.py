"""How long an argument of 50 MB keeps the caller: in the call itself, and in the second after it while it is finished.

After the call the same thread goes on in steps of some 0.1 ms and notes its longest wait for the interpreter's lock.
"""

from __future__ import annotations

import array
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.limits import Limit, in_a_child

SIZE = 50_000_000
CALLS = 5
AIM_MS = 20.0
KINDS: dict[str, Callable[[], Any]] = {
    "str": lambda: "words of prose, on and on. " * (SIZE // 27),
    "bytes": lambda: bytes(range(256)) * (SIZE // 256),
    "list of 50,000 strings": lambda: [f"{n:07} " * 125 for n in range(SIZE // 1000)],
    "array of doubles": lambda: array.array("d", range(SIZE // 8)),
}


def found() -> list[Limit]:
    """The worst of some calls with each kind."""
    limits = []
    for kind in KINDS:
        told = in_a_child("large_arguments", kind)
        limits.append(Limit(f"an argument of 50 MB, {kind}: the call takes more", told["call"], "ms", AIM_MS))
        limits.append(Limit(f"an argument of 50 MB, {kind}: the longest wait afterwards", told["after"], "ms", AIM_MS))
    return limits


def main() -> None:
    """One process, one kind."""
    from instrument import flush, tool

    def takes(value: Any) -> int:
        return len(value)

    decorated = tool(takes)
    decorated("warm")
    flush()
    made = KINDS[sys.argv[1]]()
    told = {"call": 0.0, "after": 0.0}
    for _ in range(CALLS):
        value = made[:-1] if isinstance(made, list) else made
        plain = _passed_ms(takes, value)
        told["call"] = max(told["call"], _passed_ms(decorated, value) - plain)
        told["after"] = max(told["after"], _longest_wait(time.perf_counter() + 1.0))
        flush()
    print(json.dumps(told))


def _passed_ms(function: Callable[[Any], int], value: Any) -> float:
    start = time.perf_counter()
    function(value)
    return (time.perf_counter() - start) * 1000


def _longest_wait(until: float) -> float:
    longest, before = 0.0, time.perf_counter()
    while before < until:
        time.sleep(0.000_1)
        after = time.perf_counter()
        longest = max(longest, after - before)
        before = after
    return longest * 1000


if __name__ == "__main__":
    main()
