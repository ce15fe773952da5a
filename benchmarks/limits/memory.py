"""How much the process grows over a hundred thousand spans through every default sink: agents, tools, model calls, logs."""

from __future__ import annotations

import gc
import json
import resource
from pathlib import Path

from benchmarks.limits import Limit, in_a_child

WARM, SPANS = 5_000, 100_000
A_TRACE = 50
AIM_MB = 20.0


def found() -> list[Limit]:
    """Resident memory, at the end and at its peak, beyond that after the first 5,000 spans."""
    told = in_a_child("memory")
    what = "memory that 100,000 spans through every default sink take"
    return [Limit(what, told["end"], "MB", AIM_MB), Limit(f"{what}, at the peak", told["peak"], "MB", AIM_MB)]


def main() -> None:
    """One process."""
    from instrument import agent, current_span, flush, llm_call, log, tool

    @llm_call(model="gpt-4.1-mini")
    def think(prompt: str) -> str:
        live = current_span()
        assert live is not None
        live.usage(input=len(prompt) // 4, output=7)
        return f"an answer to {prompt[:20]}"

    @tool
    def look_up(query: str, n: int) -> dict[str, object]:
        return {"query": query, "found": [n, n + 1]}

    @agent
    def run(first: int) -> None:
        for n in range(first, first + (A_TRACE - 1) // 2):
            think(f"question {n} " + "and some words of the conversation so far " * 10)
            look_up(f"what {n}", n)
        log("run.ended", first=first)

    def record(spans: int, first: int) -> None:
        for trace in range(spans // A_TRACE):
            run(first + trace * A_TRACE)
        flush()

    record(WARM, 0)
    gc.collect()
    before = _resident_mb()
    record(SPANS, WARM)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6  # it is in KiB
    gc.collect()
    print(json.dumps({"end": _resident_mb() - before, "peak": peak - before}))


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


if __name__ == "__main__":
    main()
