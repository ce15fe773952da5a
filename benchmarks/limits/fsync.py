"""What `durability = "fsync"` costs: the time of a batch of 64 records with and without waiting for the disk."""

from __future__ import annotations

import json
import tempfile
import time
from statistics import median

from benchmarks.limits import ROOT, Limit, in_a_child

BATCHES = 200


def found() -> list[Limit]:
    """Medians of both, which take turns."""
    told = in_a_child("fsync")
    return [
        Limit("a batch of 64 records is written in", told["write"], "ms"),
        Limit("a batch of 64 records with durability = fsync", told["fsync"], "ms"),
    ]


def main() -> None:
    """One process; the files lie beside the project, as recordings do, not in memory."""
    from instrument.model import Batch, Run, Span
    from instrument.sinks.jsonl import JsonlSink

    def batch(first: int) -> Batch:
        return Batch(
            [
                Span(
                    run="r", trace_id=f"{n:032x}", span_id=f"{n:016x}", start_ns=n, duration_ns=1, kind="tool",
                    name="look_up", status="ok", input={"query": f"what {n}"}, output="x" * 200,
                )
                for n in range(first, first + 64)
            ]
        )  # fmt: skip

    times: dict[str, list[float]] = {"write": [], "fsync": []}
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".limits-") as folder:
        sinks = {how: JsonlSink(f"{folder}/{how}", Run(run=how, start_ns=1), durability=how) for how in times}
        for number in range(BATCHES):
            for how, sink in sinks.items():
                one = batch(number * 64)
                start = time.perf_counter()
                sink.write(one)
                times[how].append((time.perf_counter() - start) * 1000)
        for sink in sinks.values():
            sink.close()
    print(json.dumps({how: median(passed) for how, passed in times.items()}))


if __name__ == "__main__":
    main()
