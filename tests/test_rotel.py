"""The otlp sink through a real collector: what goes in comes out, by HTTP and by gRPC."""

from __future__ import annotations

from pathlib import Path

import pytest

from instrument.model import Batch
from instrument.sinks.otlp.sink import OtlpSink
from tests.engines import rotel
from tests.otlp_receiver import receiver
from tests.recorded import call, log, run, span

PROGRAM = rotel.agent()


@pytest.mark.skipif(PROGRAM is None, reason="the collector rotel is not installed: make engines")
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_collector_takes_what_we_send(tmp_path: Path, protocol: str) -> None:
    """Spans, logs and metrics, which it hands on to our receiver."""
    assert PROGRAM is not None
    with receiver() as behind, rotel.collector(PROGRAM, behind.url, tmp_path) as target:
        endpoint = target.grpc if protocol == "grpc" else target.http
        sink = OtlpSink(tmp_path, run(), endpoint=endpoint, protocol=protocol, environ={})
        sink.write(Batch([span(1, kind="agent", name="review"), call(2, 1), log(3, 1)]))
        sink.flush()
        assert behind.wait(lambda: len(behind.spans) == 2 and all(behind.requests.values()))
        sink.close()
    assert (["chat gpt-4.1-mini", "invoke_agent review"], {}) == (sorted(behind.names()), dict(sink.lost))
