"""`instrument serve --otlp`: a real server process takes in what the OpenTelemetry SDK, or anyone, sends."""

from __future__ import annotations

import gzip
import json
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from starlette.applications import Starlette
from starlette.testclient import TestClient

import instrument
from instrument.cli.main import main
from instrument.cli.receiving import Receiver
from instrument.model import Batch
from instrument.pricing import Prices
from instrument.redact import redactor_of
from instrument.settings import only
from instrument.sinks.otlp.sink import OtlpSink
from instrument.store.ledgers import totals
from tests import recorded
from tests.loopback import free_port
from tests.programs import begun

SECRET = "sk-proj-" + "a1B2c3D4" * 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("received") / ".instrument"


@pytest.fixture(scope="module")
def endpoint(folder: Path) -> Iterator[str]:
    """The address that an exporter is given."""
    with receiving(folder) as address:
        yield address


@contextmanager
def receiving(folder: Path, *options: str, end: signal.Signals = signal.SIGINT) -> Iterator[str]:
    """A server of its own, ended by that signal."""
    with begun("-m", "instrument", "serve", folder, "--otlp", *options) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip().rstrip("/")
        process.send_signal(end)
        process.communicate(timeout=20)


def send(address: str, body: bytes, kind: str = "application/json", **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(address, body, {"content-type": kind, **headers}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, json.loads(response.read() or b"{}")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def spans(*names: str, trace: str = "a" * 32, **attributes: Any) -> bytes:
    told = [
        {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
        for key, value in attributes.items()
    ]
    made = [
        {"traceId": trace, "spanId": f"{n + 1:016x}", "name": name, "startTimeUnixNano": "1800000000000000000",
         "endTimeUnixNano": "1800000001000000000", "attributes": told}
        for n, name in enumerate(names)
    ]  # fmt: skip
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": made}]}]}).encode()


def received(folder: Path, trace: str) -> list[Any]:
    return [span for one in instrument.read(folder) if one.trace_id == trace for span in one.spans]


def test_the_sdk_sends_and_every_view_works(endpoint: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Spans of the OpenTelemetry SDK are a tree with kinds, tokens, prices and costs."""
    provider = TracerProvider(resource=Resource({"service.name": "theirs"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces")))
    tracer = provider.get_tracer("t")
    call = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4.1-mini",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 500,
    }
    with tracer.start_as_current_span(
        "invoke_agent helper", attributes={"gen_ai.operation.name": "invoke_agent"}
    ) as root:
        with tracer.start_as_current_span("chat gpt-4.1-mini", attributes=call):
            pass
    provider.shutdown()
    found = {span.name: span for span in received(folder, f"{root.get_span_context().trace_id:032x}")}
    assert {"invoke_agent helper": "agent", "chat gpt-4.1-mini": "llm"} == {
        name: span.kind for name, span in found.items()
    }
    assert "0.0012" == found["chat gpt-4.1-mini"].cost.usd
    assert 1 == sum(total.calls for total in totals(folder / "ledger.db", "model") if total.key == "gpt-4.1-mini")
    assert 0 == main(["show", str(folder)])
    assert "invoke_agent helper" in capsys.readouterr().out


def test_json_from_anyone(endpoint: str, folder: Path) -> None:
    """Plain JSON over HTTP will do, compressed or not."""
    assert (200, {}) == send(f"{endpoint}/v1/traces", spans("one", trace="1" * 32))
    packed = gzip.compress(spans("two", trace="2" * 32))
    assert (200, {}) == send(f"{endpoint}/v1/traces", packed, **{"content-encoding": "gzip"})
    assert ["one", "two"] == [span.name for trace in ("1" * 32, "2" * 32) for span in received(folder, trace)]


def test_secrets_do_not_reach_the_disk(endpoint: str, folder: Path) -> None:
    """What is received is redacted as what is recorded."""
    call = {"gen_ai.request.model": "gpt-4o", "gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 9}
    told = {**call, "input.value": f"use {SECRET}", "user.id": SECRET}
    send(f"{endpoint}/v1/traces", spans("secret", trace="3" * 32, **told))
    assert ["secret"] == [span.name for span in received(folder, "3" * 32)]
    stored = [file for file in folder.rglob("*") if file.is_file()]
    assert [] == [file for file in stored if SECRET.encode() in file.read_bytes()]


def test_logs_belong_to_their_spans(endpoint: str, folder: Path) -> None:
    """A log of a span is a log of that span here."""
    send(f"{endpoint}/v1/traces", spans("logged", trace="4" * 32))
    line = {
        "traceId": "4" * 32,
        "spanId": f"{1:016x}",
        "timeUnixNano": "1800000000500000000",
        "severityNumber": 17,
        "body": {"stringValue": "it broke"},
    }
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [line]}]}]}).encode()
    assert (200, {}) == send(f"{endpoint}/v1/logs", body)
    [trace] = [one for one in instrument.read(folder) if one.trace_id == "4" * 32]
    assert [("ERROR", "it broke", f"{1:016x}")] == [(log.level, log.message, log.span_id) for log in trace.logs]


@pytest.mark.usefixtures("patient_exporter")
def test_what_our_own_sink_sends_is_what_was_recorded(endpoint: str, folder: Path, tmp_path: Path) -> None:
    """Findings, which it tells as events of spans or as log records, are findings again, each once."""
    sink = OtlpSink(tmp_path, endpoint=endpoint, signals=("traces", "logs"), environ={})
    sink.write(Batch([recorded.call(1), recorded.finding(1), recorded.finding(9, message="of another process")]))
    sink.flush()
    sink.close()
    [trace] = [one for one in instrument.read(folder) if one.trace_id == recorded.TRACE]
    assert [([f"{1:016x}"], recorded.finding().message), ([f"{9:016x}"], "of another process")] == [
        (finding.span_ids, finding.message) for finding in sorted(trace.findings, key=lambda one: one.span_ids)
    ]
    assert [[]] == [span.events for span in trace.spans]


def chat(name: str, span: int, parent: int = 0) -> bytes:
    """A request with one span, by which a call of a model is told of."""
    about = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "twice-told", "gen_ai.usage.input_tokens": 10}
    request = json.loads(spans(name, trace="6" * 32, **about, **{"gen_ai.usage.output_tokens": 5}))
    (told,) = request["resourceSpans"][0]["scopeSpans"][0]["spans"]
    told |= {"spanId": f"{span:016x}", **({"parentSpanId": f"{parent:016x}"} if parent else {})}
    return json.dumps(request).encode()


def test_a_call_that_is_told_of_before_and_after_a_restart_is_counted_once(tmp_path: Path) -> None:
    """The inner span comes first, because it ends first; the outer one is a step then, also for the ledger. Who sends
    need not know of the restart: the address is the same where a port was given."""
    with free_port() as port:
        with receiving(tmp_path, f"--port={port}", end=signal.SIGKILL) as address:
            assert (200, {}) == send(f"{address}/v1/traces", chat("inner", 2, 1))
        with receiving(tmp_path, f"--port={port}", end=signal.SIGKILL):
            assert (200, {}) == send(f"{address}/v1/traces", chat("outer", 1))
    assert {"inner": "llm", "outer": "step"} == {span.name: span.kind for span in received(tmp_path, "6" * 32)}
    assert [1] == [total.calls for total in totals(tmp_path / "ledger.db", "model")]


def test_metrics_are_refused_politely(endpoint: str) -> None:
    """The exporter is told that they are not kept, and goes on."""
    status, told = send(f"{endpoint}/v1/metrics", b"{}")
    assert (200, True) == (status, "not kept" in told["partialSuccess"]["errorMessage"])


@pytest.mark.parametrize(
    ("body", "kind", "packed", "expected"),
    [
        (b"{", "application/json", "", "the request is no JSON"),
        (b"{}", "application/json", "gzip", "the request cannot be unpacked"),
        (b"\xff\xff", "application/x-protobuf", "", "the request is no OTLP"),
        (b"hi", "text/plain", "", "content type 'text/plain' is not understood"),
    ],
)
def test_what_cannot_be_read_is_refused(body: bytes, kind: str, packed: str, expected: str, endpoint: str) -> None:
    """One sentence, and status 400, so that it is not sent again."""
    status, told = send(f"{endpoint}/v1/traces", body, kind, **{"content-encoding": packed})
    assert (400, True) == (status, expected in told)


def test_without_the_token_nothing_is_taken(endpoint: str, folder: Path) -> None:
    """Neither without the token nor from a page of another origin."""
    bare = re.sub(r"/[^/]+$", "", endpoint)
    assert 403 == send(f"{bare}/v1/traces", spans("bare", trace="5" * 32))[0]
    assert 403 == send(f"{endpoint}/v1/traces", spans("page", trace="5" * 32), origin="http://evil.example")[0]
    assert [] == received(folder, "5" * 32)


def test_without_the_option_nothing_is_taken(tmp_path: Path) -> None:
    """A page that only shows refuses every POST."""
    from starlette.testclient import TestClient

    from instrument.views.server import application

    client = TestClient(application(tmp_path, "token", 80), base_url="http://127.0.0.1:80")
    assert 403 == client.post("/token/v1/traces", content=spans("x")).status_code


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    """The same in this process."""
    settings = only()
    receiver = Receiver(tmp_path, str(tmp_path / "ledger.db"), Prices(settings.prices), redactor_of(settings))
    return TestClient(Starlette(routes=receiver.routes()))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_request_beyond_all_measure_is_refused(
    pack: Callable[[bytes], bytes], client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it comes or unpacked: the memory of the server is not its sender's."""
    monkeypatch.setattr("instrument.cli.receiving.MOST_BYTES", 2_000)
    headers = {"content-type": "application/json", **({"content-encoding": "gzip"} if pack is gzip.compress else {})}
    answer = client.post("/v1/traces", content=pack(spans(*["one"] * 50)), headers=headers)
    assert (400, "a request may have 2,000 bytes at most") == (answer.status_code, answer.json()["message"])


def test_a_folder_that_cannot_be_written_is_no_fault_of_the_sender(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tries again later."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Receiver, "_keep", full)
    assert (
        503 == client.post("/v1/traces", content=spans("x"), headers={"content-type": "application/json"}).status_code
    )


@pytest.mark.parametrize(
    ("kind", "content", "answered"),
    [
        ("application/json; charset=utf-8", spans("x"), "application/json"),
        ("application/x-protobuf", b"", "application/x-protobuf"),
        ("application/x-protobuf; proto=traces", b"", "application/x-protobuf"),
    ],
)
def test_an_answer_is_as_the_request_is(client: TestClient, kind: str, content: bytes, answered: str) -> None:
    """Exporters read nothing else."""
    answer = client.post("/v1/traces", content=content, headers={"content-type": kind})
    assert (200, answered) == (answer.status_code, answer.headers["content-type"])


def test_the_head_of_a_run_is_written_once(client: TestClient, tmp_path: Path) -> None:
    """In however many requests its spans come."""
    for name in ("one", "two"):
        client.post("/v1/traces", content=spans(name), headers={"content-type": "application/json"})
    stored = b"".join(file.read_bytes() for file in (tmp_path / "events").iterdir())
    assert (1, 2) == (stored.count(b'"type":"run"'), stored.count(b'"type":"span"'))
