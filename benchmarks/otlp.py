"""Export throughput: spans a CPU second through the sink otlp, and through the OpenTelemetry SDK's batch processor.

    python -m benchmarks.otlp                      # writes benchmarks/results/otlp.json
    python -m benchmarks.otlp --spans 2000 --rounds 1 --out /tmp/otlp.json

Both get spans that have ended and send them by protobuf over HTTP, 512 in a request, to one receiver in a process of
its own, taking turns: the same model calls with the same attributes, two messages of some 500 characters among them.
The SDK's processor is given attributes that are ready, our sink a batch of records as they come from the pipeline. CPU
is that of all threads, from the second span (the connection is there) until everything has been sent; the receiver
counts every span.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import json
import os
import platform
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import NamedTuple, cast

import msgspec
from msgspec import Raw

from benchmarks.otlp_receiver import Target, receiving
from instrument.model import Batch, Cost, Span, Usage, plain
from instrument.version import __version__
from instrument.views import otel

RESULT = Path(__file__).parent / "results" / "otlp.json"
BATCH = 64
"""Records of a batch of the pipeline."""
SDK = "OpenTelemetry SDK, batch processor"


class Row(NamedTuple):
    """One contestant: spans a CPU second, how many times the first one of its table, bytes a span on the wire."""

    table: str
    name: str
    spans_per_cpu_second: int
    times: float
    bytes_per_span: int


def model_calls(number: int) -> Iterator[Span]:
    """Model calls with a message of 500 characters either way, taken from this project's README."""
    dice = random.Random(7)
    prose = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")

    def said(role: str) -> Raw:
        start = dice.randrange(len(prose) - 500)
        told = {"messages": [{"role": role, "parts": [{"type": "text", "content": prose[start : start + 500]}]}]}
        return Raw(msgspec.json.encode(told))

    for place in range(number):
        asked, answered = dice.randrange(200, 20_000), dice.randrange(20, 2_000)
        paid, earned = Decimal(asked) * 2 / 10**6, Decimal(answered) * 8 / 10**6
        yield Span(
            run="r1",
            trace_id=f"{place + 1:032x}",
            span_id=f"{place + 1:016x}",
            parent_id=f"{place + 2:016x}",
            start_ns=1_795_435_200_000_000_000 + place,
            duration_ns=1_000_000,
            kind="llm",
            name="chat gpt-4.1",
            status="ok",
            input=said("user"),
            output=said("assistant"),
            attributes={
                "gen_ai.request.model": "gpt-4.1",
                "gen_ai.provider.name": "openai",
                "server.address": "api.openai.com",
                "gen_ai.response.id": f"resp_{place}",
                "instrument.operation": "think",
            },
            usage=Usage(input=asked, output=answered),
            cost=Cost(
                usd=str(paid + earned),
                input=str(paid),
                cached="0",
                cache_write="0",
                output=str(earned),
                basis="priced",
                price_date="prices 0.2.3",
            ),
        )


def our_sink(url: str, spans: Sequence[Span], compression: str, signals: tuple[str, ...]) -> float:
    """CPU seconds that our sink takes."""
    from instrument.sinks.otlp.sink import OtlpSink

    environ = {"OTEL_EXPORTER_OTLP_COMPRESSION": compression}
    with tempfile.TemporaryDirectory() as folder:
        sink = OtlpSink(folder, endpoint=url, signals=signals, environ=environ)
        sink.write(Batch(spans[:1]))
        sink.flush()
        batches = [Batch(spans[start : start + BATCH]) for start in range(1, len(spans), BATCH)]
        with _Measured() as used:
            for batch in batches:
                sink.write(batch)
            sink.flush()
        sink.close()
        assert not sink.lost, sink.lost
    return used()


def the_sdk(url: str, spans: Sequence[Span], compression: str, level: int = 9) -> float:
    """CPU seconds that the SDK's batch processor takes with the official exporter, which compresses at level 9."""
    from opentelemetry.exporter.otlp.common import http
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import Compression, OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    made, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(made))
    tracer = provider.get_tracer("benchmark")
    for one in spans:
        there = otel.told(cast(Span, plain(one)), "1.41")
        with tracer.start_as_current_span(there.name) as span:
            span.set_attributes(there.attributes)
    ended = made.get_finished_spans()
    exporter = OTLPSpanExporter(f"{url}/v1/traces", compression=Compression(compression))
    processor = BatchSpanProcessor(exporter, max_queue_size=2 * len(ended))
    processor.on_end(ended[0])
    processor.force_flush()
    theirs = http.gzip
    http.gzip = _Gzip(level)
    try:
        with _Measured() as used:
            for span in ended[1:]:
                processor.on_end(span)
            processor.force_flush(60_000)
    finally:
        http.gzip = theirs
    processor.shutdown()
    return used()


class _Gzip:
    """The module gzip at another level: the exporter has no setting for it."""

    def __init__(self, level: int) -> None:
        self.GzipFile = partial(gzip.GzipFile, compresslevel=level)


class _Measured:
    """CPU seconds of all threads; what was made before for the measurement is no work for the collector of garbage."""

    def __enter__(self) -> Callable[[], float]:
        gc.collect()
        gc.freeze()
        self._begun = time.process_time()
        return lambda: self._used

    def __exit__(self, *_: object) -> None:
        self._used = time.process_time() - self._begun
        gc.unfreeze()


TRACES, BOTH = ("traces",), ("traces", "metrics")
CONTESTANTS: dict[str, dict[str, Callable[[str, Sequence[Span]], float]]] = {
    "not compressed": {
        SDK: partial(the_sdk, compression="none"),
        "instrument": partial(our_sink, compression="none", signals=TRACES),
        "instrument, metrics as well": partial(our_sink, compression="none", signals=BOTH),
    },
    "gzip": {
        SDK: partial(the_sdk, compression="gzip"),
        "the same, compressing at our level": partial(the_sdk, compression="gzip", level=1),
        "instrument": partial(our_sink, compression="gzip", signals=TRACES),
        "instrument, metrics as well": partial(our_sink, compression="gzip", signals=BOTH),
    },
}


def compare(number: int, rounds: int) -> list[Row]:
    """All contestants in turn, several times; medians of speeds, and of what they are to the first in their round."""
    spans = [*model_calls(number)]
    told: dict[tuple[str, str], list[tuple[float, float, int]]] = {}
    with receiving() as target:
        for _ in range(rounds):
            for table, contestants in CONTESTANTS.items():
                first = None
                for name, run in contestants.items():
                    speed, size = _speed(target, run, spans)
                    first = first or speed
                    told.setdefault((table, name), []).append((speed, speed / first, size))
    return [
        Row(table, name, round(median(speeds)), round(median(times), 2), round(median(sizes)))
        for (table, name), found in told.items()
        for speeds, times, sizes in [zip(*found, strict=True)]
    ]


def _speed(target: Target, run: Callable[[str, Sequence[Span]], float], spans: Sequence[Span]) -> tuple[float, int]:
    used = run(target.url, spans) or 1e-9
    came = target.came()
    assert len(spans) == came.spans, f"{came.spans} of {len(spans)} spans arrived"
    return len(spans) / used, came.size // came.spans


def table(rows: Sequence[Row]) -> str:
    """As text."""
    lines = []
    for place, row in enumerate(rows):
        if not place or rows[place - 1].table != row.table:
            lines.append(f"{row.table:38} spans a CPU second   times   bytes a span")
        lines.append(f"  {row.name:36} {row.spans_per_cpu_second:18,} {row.times:7.1f} {row.bytes_per_span:14,}")
    return "\n".join(lines)


def main() -> None:
    """Print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter") is None:
        print("The export is left out: it needs the extra otlp, pip install 'agent-instrument[otlp]'")
        return
    rows = compare(args.spans, args.rounds)
    print(table(rows))
    result = {
        "what": f"{args.spans:,} model calls, 512 in a request, {args.rounds} rounds",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}, CPython {platform.python_version()}, "
        f"instrument {__version__}",
        "rows": [row._asdict() for row in rows],
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
