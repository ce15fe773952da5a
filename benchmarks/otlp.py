"""Export throughput: spans a CPU second through the sink otlp, and through the OpenTelemetry SDK's batch processor.

    python -m benchmarks.otlp [SPANS]

Both send the same model calls, messages included, as gzip protobuf over HTTP to one receiver in a process of its own,
taking turns. What the SDK is given are attributes that are ready; our sink gets records and makes the attributes.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median
from typing import Any

from instrument.model import Batch, Cost, Span, Usage
from instrument.views import otel

SPANS = 20_000
ROUNDS = 3
TEXT = "The quick brown fox jumps over the lazy dog. " * 12


def model_call(number: int) -> Span:
    """A model call with a message of 500 characters either way."""
    return Span(
        run="r1",
        trace_id=f"{number:032x}",
        span_id=f"{number:016x}",
        parent_id=f"{number + 1:016x}",
        start_ns=1_795_435_200_000_000_000 + number,
        duration_ns=1_000_000,
        kind="llm",
        name="chat gpt-4.1",
        status="ok",
        input={"messages": [{"role": "user", "parts": [{"type": "text", "content": TEXT}]}]},
        output={"messages": [{"role": "assistant", "parts": [{"type": "text", "content": TEXT}]}]},
        attributes={
            "gen_ai.request.model": "gpt-4.1",
            "gen_ai.provider.name": "openai",
            "server.address": "api.openai.com",
            "gen_ai.response.id": f"resp_{number}",
            "instrument.operation": "think",
        },
        usage=Usage(input=100 + number % 50, output=20),
        cost=Cost(usd="0.001", basis="priced"),
    )


def through_our_sink(url: str, number: int, signals: tuple[str, ...]) -> float:
    """Spans a CPU second, from records to the wire."""
    from instrument.sinks.otlp.sink import OtlpSink

    with tempfile.TemporaryDirectory() as folder:
        sink = OtlpSink(folder, endpoint=url, signals=signals, environ={})
        sink.write(Batch([model_call(0)]))
        sink.flush()
        batches = [Batch(map(model_call, range(start, start + 64))) for start in range(1, number, 64)]
        begun = time.process_time()
        for batch in batches:
            sink.write(batch)
        sink.flush()
        used = time.process_time() - begun
        sink.close()
        assert not sink.lost
    return number / used


def through_the_sdk(url: str, number: int) -> float:
    """Spans a CPU second, from `start_as_current_span` to the wire."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import Compression, OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{url}/v1/traces", compression=Compression.Gzip)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=2 * number))
    tracer = provider.get_tracer("benchmark")
    told = [otel.told(model_call(place), "1.41") for place in range(64)]
    begun = time.process_time()
    for place in range(number):
        one = told[place % 64]
        with tracer.start_as_current_span(one.name) as span:
            span.set_attributes(one.attributes)
    provider.force_flush(60_000)
    return number / (time.process_time() - begun)


def main() -> None:
    """Print the medians."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else SPANS
    ports: Any = multiprocessing.Queue()
    server = multiprocessing.Process(target=_serve, args=(ports,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ports.get()}"
    contestants: dict[str, Callable[[], float]] = {
        "OpenTelemetry SDK, batch processor": lambda: through_the_sdk(url, number),
        "instrument, traces": lambda: through_our_sink(url, number, ("traces",)),
        "instrument, traces and metrics": lambda: through_our_sink(url, number, ("traces", "metrics")),
    }
    rounds = [{name: run() for name, run in contestants.items()} for _ in range(ROUNDS)]
    first = next(iter(contestants))
    for name in contestants:
        speed = median(one[name] for one in rounds)
        times = median(one[name] / one[first] for one in rounds)
        print(f"{name:38} {speed:8,.0f} spans a CPU second  x {times:.1f}")
    server.kill()


def _serve(ports: Any) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ports.put(server.server_address[1])
    server.serve_forever()


if __name__ == "__main__":
    main()
