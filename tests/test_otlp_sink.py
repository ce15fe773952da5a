"""The otlp sink against real receivers on loopback: what arrives, and what becomes of records while nobody takes them."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instrument.errors import SettingsError
from instrument.model import Batch, Record, Run, Score
from instrument.redact import redactor_of
from instrument.settings import only
from instrument.sinks.otlp.courier import MEMORY_BYTES, RAW, Courier
from instrument.sinks.otlp.sink import OtlpSink
from instrument.sinks.otlp.target import SIGNALS, Target, resource_of, target_of
from instrument.sinks.otlp.waiting import nothing
from instrument.store.outbox import Outbox, Parcel
from tests.loopback import free_port
from tests.otlp_receiver import REQUESTS, Answer, Receiver, grpc_receiver, receiver
from tests.programs import python
from tests.recorded import NOON, TRACE, call, finding, log, span

pytest.importorskip("opentelemetry.exporter.otlp.proto.common", reason="needs the extra otlp")

from instrument.sinks.otlp import transport
from instrument.sinks.otlp.encode import requests, resource

pytestmark = pytest.mark.usefixtures("patient_exporter")

FINDING = "instrument.finding"
RUN = Run(run="r1", start_ns=NOON, service="reviewer", pid=42)
QUICK = {"first_pause": 0.05, "gather_seconds": 0.05}


@pytest.fixture
def target() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def sink(folder: Path, url: str, **options: Any) -> OtlpSink:
    known: dict[str, Any] = {"endpoint": url, "environ": {}, "report": lambda _: None, **QUICK}
    return OtlpSink(folder, RUN, **{**known, **options})


def send(folder: Path, url: str, *records: Record, **options: Any) -> OtlpSink:
    """Write the records and close."""
    found = sink(folder, url, **options)
    found.write(Batch(records))
    found.close()
    return found


def told(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


# What arrives


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_spans_logs_and_metrics_arrive(tmp_path: Path, kind: str) -> None:
    """By either protocol: every signal, with the resource of the process."""
    with receiver() if kind == "http" else grpc_receiver() as target:
        protocol = "grpc" if kind == "grpc" else None
        found = sink(tmp_path, target.url, protocol=protocol)
        found.write(Batch([span(1), call(2, 1), log(3, 1), finding(1)]))
        found.flush()
        resource = told(target.requests["traces"][0].resource_spans[0].resource.attributes)
        came = {signal: len(requests) for signal, requests in target.requests.items()}
        found.close()
    assert (["span1", "chat gpt-4.1-mini"], {"traces": 1, "logs": 1, "metrics": 1}, "reviewer", 42) == (
        target.names(),
        came,
        resource["service.name"],
        resource["process.pid"],
    )


def test_a_model_call_has_its_names(tmp_path: Path, target: Receiver) -> None:
    """Kind, ids, times, model, tokens, money."""
    send(tmp_path, target.url, call(2, 1))
    (found,) = target.spans
    attributes = told(found.attributes)
    assert (3, TRACE, f"{2:016x}", f"{1:016x}", 100, 10, "chat", 0.001) == (
        found.kind,
        found.trace_id.hex(),
        found.span_id.hex(),
        found.parent_span_id.hex(),
        attributes["gen_ai.usage.input_tokens"],
        attributes["gen_ai.usage.output_tokens"],
        attributes["gen_ai.operation.name"],
        attributes["instrument.cost.usd"],
    )


@pytest.mark.parametrize(
    ("names", "attribute", "metric"),
    [
        ("1.41", "gen_ai.usage.input_tokens", "gen_ai.client.token.usage"),
        ("latest", "gen_ai.usage.input_tokens", "gen_ai.client.inference.usage.input_tokens"),
        ("both", "gen_ai.usage.input_tokens", "gen_ai.client.inference.duration"),
        ("openinference", "llm.token_count.prompt", "gen_ai.client.operation.duration"),
    ],
)
def test_one_setting_chooses_the_names(tmp_path: Path, target: Receiver, names: str, attribute: str, metric: str) -> None:  # fmt: skip
    """Of attributes and of metrics."""
    send(tmp_path, target.url, call(2, 1), names=names)
    (request,) = target.requests["metrics"]
    metrics = [one.name for one in request.resource_metrics[0].scope_metrics[0].metrics]
    assert (100, True) == (told(target.spans[0].attributes)[attribute], metric in metrics)


def test_scores_are_events(tmp_path: Path, target: Receiver) -> None:
    """Log records with an event name, at the span they are about."""
    send(tmp_path, target.url, Score(trace_id=TRACE, span_id=f"{1:016x}", time_ns=NOON, name="ok", value=1.0))
    assert [("gen_ai.evaluation.result", f"{1:016x}")] == [(one.event_name, one.span_id.hex()) for one in target.logs]


def test_the_standard_variables_are_honoured(tmp_path: Path, target: Receiver) -> None:
    """Endpoint, headers, compression, service name, resource attributes."""
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": target.url,
        "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer%20abc,x-team=ai",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        "OTEL_SERVICE_NAME": "from-env",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,service.name=other,team.password=hunter2",
    }
    send(tmp_path, "", span(1), endpoint=None, environ=environ)
    resource = told(target.requests["traces"][0].resource_spans[0].resource.attributes)
    headers = target.headers[0]
    assert ("Bearer abc", "ai", False, "from-env", "test", "[redacted:") == (
        headers["authorization"],
        headers["x-team"],
        "content-encoding" in headers,
        resource["service.name"],
        resource["deployment.environment.name"],
        resource["team.password"][:10],
    )


def test_resource_attributes_are_redacted_by_the_settings() -> None:
    """What the user names as secret is so in the standard variables as well."""
    redactor = redactor_of(only(redact={"names": ["badge"]}))
    assert ["[redacted:"] == [
        value[:10] for value in resource_of({"OTEL_RESOURCE_ATTRIBUTES": "badge=4711"}, redactor).values()
    ]


def test_requests_are_compressed(tmp_path: Path, target: Receiver) -> None:
    """Unless the variable says otherwise."""
    send(tmp_path, target.url, span(1))
    assert ("gzip", "application/x-protobuf") == (
        target.headers[0]["content-encoding"],
        target.headers[0]["content-type"],
    )


@pytest.mark.parametrize(
    ("environ", "signal", "url"),
    [
        ({}, "traces", "http://localhost:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "logs", "http://localhost:4317"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c.example/otlp/"}, "logs", "https://c.example/otlp/v1/logs"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t.example/x"}, "traces", "http://t.example/x"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t.example/x"}, "logs", "http://localhost:4318/v1/logs"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "traces", "https://c:4317"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_INSECURE": "true"}, "traces", "http://c:4317"),
    ],
)  # fmt: skip
def test_every_signal_has_its_address(environ: dict[str, str], signal: str, url: str) -> None:
    """As the specification of the exporters says."""
    assert url == target_of(signal, environ).url


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "ftp://x"},
        {"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"},
    ],
)
def test_variables_that_cannot_be_used_are_told(environ: dict[str, str]) -> None:
    """One sentence when the sink starts."""
    with pytest.raises(SettingsError, match=r"otlp|OTEL_EXPORTER_OTLP"):
        target_of("traces", environ)


# A target that is away


ANSWERS = {
    "429": Answer(429, headers=(("Retry-After", "0"),)),
    "500": Answer(500, b"oops"),
    "503": Answer(503),
    "garbage": Answer(200, b"<html>welcome to the hotel</html>"),
    "401": Answer(401),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_is_not_taken_is_sent_again_in_order(tmp_path: Path, target: Receiver, name: str) -> None:
    """Twice refused for now, then taken: everything arrives, the earliest first, and nothing is lost."""
    target.answers = [ANSWERS[name]] * 2
    found = sink(tmp_path, target.url, signals=("traces",))
    for number in range(1, 4):
        found.write(Batch([span(number)]))
        target.wait(lambda number=number: target.asked >= min(number, 2))  # type: ignore[misc]
    assert target.wait(lambda: len(target.spans) >= 3 + (2 if name == "garbage" else 0))
    found.close()
    seen = list(dict.fromkeys(target.names()))
    assert (["span1", "span2", "span3"], {}) == (seen, dict(found.lost))


def test_what_waits_keeps_its_order_where_the_clock_is_set_back(
    tmp_path: Path, target: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are sent by the time in their names: a later one has no earlier time."""
    found = sink(tmp_path, target.url)
    first = found._parcel("traces", 1, b"")
    monkeypatch.setattr("time.time_ns", lambda: 0)
    assert first.made_ns == found._parcel("traces", 1, b"").made_ns
    found.close()


def test_retry_after_is_honoured(tmp_path: Path, target: Receiver) -> None:
    """A target that wants to be left alone is, whatever its back-off would be."""
    target.answers = [Answer(429, headers=(("Retry-After", "3600"),))]
    found = sink(tmp_path, target.url, signals=("traces",))
    found.write(Batch([span(1)]))
    target.wait(lambda: target.asked >= 1)
    found.write(Batch([span(2)]))
    found.flush()
    found.close()
    assert (1, 2) == (target.asked, waiting(tmp_path))


def waiting(folder: Path) -> int:
    """How many records wait on disk."""
    return sum(int(path.name.rpartition("-")[2].split(".")[0]) for path in folder.rglob("otlp/*/*.gz"))


def test_the_next_process_sends_what_waits(tmp_path: Path) -> None:
    """Nobody listens; later somebody does: what the first left is sent before what the second records."""
    with free_port() as port:
        for number in (1, 2):
            send(tmp_path, f"http://127.0.0.1:{port}", span(number), signals=("traces",))
        assert 2 == waiting(tmp_path)
        with receiver(port) as target:
            send(tmp_path, target.url, span(3), signals=("traces",))
            assert (["span1", "span2", "span3"], 0) == (target.names(), waiting(tmp_path))


def test_a_target_that_comes_back_gets_what_waited(tmp_path: Path) -> None:
    """In the same process: the earliest first, then what is recorded from then on."""
    with free_port() as port:
        found = sink(tmp_path, f"http://127.0.0.1:{port}", signals=("traces",))
        for number in (1, 2):
            found.write(Batch([span(number)]))
            found.flush()
        with receiver(port) as target:
            assert target.wait(lambda: len(target.spans) == 2)
            found.write(Batch([span(3)]))
            found.close()
    assert (["span1", "span2", "span3"], 0, {}) == (target.names(), waiting(tmp_path), dict(found.lost))


def test_what_can_never_be_taken_is_left_out_and_counted(tmp_path: Path, target: Receiver) -> None:
    """A request that is refused for good does not hold up the next."""
    target.answers = [Answer(400)]
    said: list[str] = []
    found = sink(tmp_path, target.url, signals=("traces",), report=said.append)
    found.write(Batch([span(1)]))
    target.wait(lambda: target.asked >= 1)
    found.write(Batch([span(2)]))
    found.close()
    assert (["span2"], {"refused: it answers 400": 1}, 1) == (target.names(), dict(found.lost), len(said))


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_a_target_without_logs_and_metrics_gets_all_traces(tmp_path: Path, kind: str) -> None:
    """What it does not know is said and counted, and holds up nothing."""
    said: list[str] = []
    with receiver() if kind == "http" else grpc_receiver() as target:
        target.lacks = {"logs", "metrics"}
        found = sink(tmp_path, target.url, protocol="grpc" if kind == "grpc" else None, report=said.append)
        for number in (1, 2):
            found.write(Batch([span(number), log(number, number)]))
            found.flush()
        found.close()
    assert (["span1", "span2"], {"refused: it takes no logs": 2}, 1) == (target.names(), dict(found.lost), len(said))


def findings_in(target: Receiver) -> dict[str, list[str]]:
    """Where the receiver was told of findings: names of spans, or `log` and the id of the span there."""
    at_spans = {
        one.name: [told(event.attributes)["instrument.message"] for event in one.events if event.name == FINDING]
        for one in target.spans
    }
    in_logs = {f"log {one.span_id.hex()}": [one.body.string_value] for one in target.logs if one.event_name == FINDING}
    return {place: found for place, found in {**at_spans, **in_logs}.items() if found}


def test_requests_are_bounded_in_bytes(tmp_path: Path) -> None:
    """Large spans go in several: gRPC takes 4 MiB. One that is larger by itself is left out, and holds up nothing."""
    large = [span(number, attributes={"text": "x" * 1_000_000}) for number in range(1, 7)]
    with grpc_receiver() as target:
        spans = *large, span(7, attributes={"text": "x" * 5_000_000}), span(8)
        found = send(tmp_path, target.url, *spans, signals=("traces",), protocol="grpc")
    assert ([1, 2, 3, 4, 5, 6, 8], {"refused: it takes no request so large": 1}) == (
        [int(one.span_id.hex(), 16) for one in target.spans],
        dict(found.lost),
    )


def test_a_finding_is_an_event_of_its_last_span(tmp_path: Path, target: Receiver) -> None:
    """Many targets take traces alone: there it is seen at the span where it was made, and nowhere else."""
    send(tmp_path, target.url, span(1), span(2), finding(1, 2))
    (event,) = (event for one in target.spans for event in one.events)
    attributes = told(event.attributes)
    assert ({"span2": [finding().message]}, "same_call", "warning") == (
        findings_in(target),
        attributes["instrument.detector"],
        attributes["instrument.severity"],
    )


def test_a_finding_is_a_log_record_where_its_span_is_not_sent_with_it(tmp_path: Path, target: Receiver) -> None:
    """The span has been sent before, or is of another process: still the receiver is told once."""
    found = sink(tmp_path, target.url)
    found.write(Batch([span(1)]))
    found.flush()
    found.write(Batch([span(2), finding(1, message="of one that is gone"), finding(9, message="of another process")]))
    found.close()
    expected = {f"log {1:016x}": ["of one that is gone"], f"log {9:016x}": ["of another process"]}
    assert expected == findings_in(target)


@settings(max_examples=25)
@given(st.permutations([span(1), span(2), finding(1), finding(2), finding(1, 2)]), st.lists(st.integers(0, 5), max_size=3))  # fmt: skip
def test_every_finding_is_told_once(records: list[Record], cuts: list[int]) -> None:
    """For all orders of spans and findings, packed together or apart: one event or one log record each."""
    about, lost = resource(RUN, "r1", {}), Counter[str]()
    told = 0
    for start, end in pairwise(sorted({0, *cuts, len(records)})):
        waiting = nothing()
        waiting.take(records[start:end])
        for request in requests(waiting, about, "1.41", SIGNALS, lost, lambda _: None):
            parsed = REQUESTS[request.signal].FromString(request.body)
            told += str(parsed).count('"instrument.detector"')
    assert (3, {}) == (told, dict(lost))


@pytest.mark.parametrize("kind", ["protobuf", "json"])
def test_a_partial_success_is_counted(tmp_path: Path, target: Receiver, kind: str) -> None:
    """What the target left out, by its own account."""
    from google.protobuf.json_format import MessageToJson
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 2
    body = answer.SerializeToString() if kind == "protobuf" else MessageToJson(answer).encode()
    target.answer = Answer(200, body, (("Content-Type", f"application/{kind}"),))
    found = send(tmp_path, target.url, span(1), span(2), span(3), signals=("traces",))
    assert {"rejected by the target": 2} == dict(found.lost)


def test_what_a_target_says_that_takes_all_is_told_once(tmp_path: Path, target: Receiver) -> None:
    """The protocol has warnings where it counts what is left out: here none is."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    answer = ExportTraceServiceResponse()
    answer.partial_success.error_message = "names will change"
    target.answer = Answer(200, answer.SerializeToString())
    said: list[str] = []
    found = sink(tmp_path, target.url, signals=("traces",), report=said.append)
    for number in (1, 2):
        found.write(Batch([span(number)]))
        found.flush()
    found.close()
    assert ([f"{target.url}/v1/traces takes all and says: names will change"], {}) == (said, dict(found.lost))


def test_a_target_that_takes_no_gzip_gets_it_without(tmp_path: Path, target: Receiver) -> None:
    """Nothing is lost by what we compress unasked; it is asked once."""
    target.answers = [Answer(415)]
    found = sink(tmp_path, target.url, signals=("traces",))
    for number in (1, 2):
        found.write(Batch([span(number)]))
        found.flush()
    found.close()
    assert (["span1", "span2"], 3, {}) == (target.names(), target.asked, dict(found.lost))


def test_the_second_try_has_what_the_first_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal of gzip that took its time does not double that of the request."""
    import requests

    given: list[float] = []

    def post(_: Any, url: str, data: bytes, *, timeout: float, **__: Any) -> Any:
        given.append(timeout)
        time.sleep(0.02)
        return nullcontext(SimpleNamespace(status_code=415, headers={}, raw=SimpleNamespace(read=lambda *_, **__: b"")))

    monkeypatch.setattr(requests.Session, "post", post)
    transport.sender("traces", Target("http://nowhere.test", gzip=True))(b"x", 10.0)
    first, second = given
    assert (10.0, True) == (first, second <= 9.98)


def test_an_answer_that_drips_is_none_in_time() -> None:
    """Each byte comes in time, and the last never."""
    with pytest.raises(TimeoutError):
        transport._whole(SimpleNamespace(read1=lambda *_, **__: b"x", read=None), time.monotonic() + 0.01)


def test_a_target_that_has_moved_is_told(tmp_path: Path, target: Receiver) -> None:
    """Keys in headers go to nobody that it names, but the line says where it is, without what may be secret."""
    target.answer = Answer(308, headers=(("Location", "https://me:word@c.example/v1/traces?key=1"),))
    said: list[str] = []
    send(tmp_path, target.url, span(1), signals=("traces",), report=said.append)
    assert "it answers 308 and is at https://c.example/v1/traces; records wait in" in said[0]


@pytest.mark.parametrize("status", [429, 500])
def test_grpc_is_tried_again(tmp_path: Path, status: int) -> None:
    """Codes that may change."""
    with grpc_receiver() as target:
        target.answers = [Answer(status)]
        found = sink(tmp_path, target.url, signals=("traces",), protocol="grpc")
        found.write(Batch([span(1)]))
        assert target.wait(lambda: len(target.spans) == 1)
        found.close()
    assert {} == dict(found.lost)


def test_one_line_says_that_the_target_is_away(tmp_path: Path) -> None:
    """However often it is tried: what is wrong, and what becomes of the records."""
    said: list[str] = []
    with free_port() as port:
        found = sink(tmp_path, f"http://user:secret@127.0.0.1:{port}", report=said.append)
        for number in range(3):
            found.write(Batch([span(number)]))
            found.flush()
        found.close()
    assert (1, True, False) == (len(said), "it cannot be reached; records wait in" in said[0], "secret" in said[0])


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_target_that_hangs_does_not_hold_up_the_exit(
    tmp_path: Path, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing keeps what is under way on disk; nothing is lost."""
    monkeypatch.setattr(Courier.close, "__defaults__", (0.2,))
    with receiver() as target:
        target.answer = Answer(hang=20.0)
        found = sink(tmp_path, target.url, signals=("traces",), protocol=protocol)
        found.write(Batch([span(1)]))
        found.close()
        assert (1, {}) == (waiting(tmp_path), dict(found.lost))


def sending_to(target: Receiver, folder: Path, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program that records into the folder and sends to the target."""
    ours = {"INSTRUMENT_SINKS": "otlp", "INSTRUMENT_OTLP__ENDPOINT": target.url, "INSTRUMENT_DIR": str(folder)}
    return python("-c", program, **ours, **environment)


def test_a_program_ends_in_time_while_the_target_hangs(tmp_path: Path) -> None:
    """A real process: its result is right, one line on stderr at most, its records wait on disk.

    Also where Python 3.15 is told to import lazily, which the messages of OTLP are not made for.
    """
    program = (
        "from instrument import tool\n@tool\ndef twice(n): return 2 * n\nprint(sum(twice(n) for n in range(200)))\n"
    )
    with receiver() as target:
        target.answer = Answer(hang=20.0)
        done = sending_to(target, tmp_path, program, PYTHON_LAZY_IMPORTS="all")
    assert ("39800\n", True, True) == (done.stdout, done.stderr.count("\n") <= 1, waiting(tmp_path) >= 200)


def test_records_that_were_never_encoded_are_sent_by_the_next_process(tmp_path: Path) -> None:
    """A program that ends before the encoders are loaded loses nothing, and its model calls are counted."""
    with free_port() as port:
        found = sink(tmp_path, f"http://127.0.0.1:{port}")
        found._can_encode = lambda _: False  # type: ignore[method-assign]  # as before the libraries are loaded  # as if the encoders were still loading
        found.write(Batch([span(1), call(2, 1), log(3, 1), finding(2)]))
        found.close()
        assert 4 == waiting(tmp_path)
        with receiver(port) as target:
            send(tmp_path, target.url, span(4))
            resources = [one.resource_spans[0].resource.attributes for one in target.requests["traces"]]
            (counted,) = target.requests["metrics"]
            metrics = {one.name: one for one in counted.resource_metrics[0].scope_metrics[0].metrics}
            (point,) = metrics["gen_ai.client.operation.duration"].histogram.data_points
            assert (
                ["span1", "chat gpt-4.1-mini", "span4"],
                1,
                ["reviewer"] * 2,
                {"chat gpt-4.1-mini": [finding().message]},
            ) == (
                target.names(),
                len(target.logs),
                [told(one)["service.name"] for one in resources],
                findings_in(target),
            )
            assert (1, NOON) == (point.count, point.start_time_unix_nano)


def courier(outbox: Outbox, encode: Any = None) -> Courier:
    """One that sends nothing by itself: its thread ends at once."""
    return Courier(outbox, no_sender, 1.0, lambda why, lost: None, encode, lambda: False, lambda: None, 1.0, 1.0)


def no_sender(signal: str) -> Any:
    raise AssertionError


def test_what_went_to_disk_takes_no_room_in_memory(tmp_path: Path) -> None:
    """After more than memory holds came at once, what comes next does not have to go by way of the disk."""
    taken = courier(outbox := Outbox(tmp_path / "otlp", "r1", 10**8))
    for number, body in enumerate((bytes(MEMORY_BYTES + 1), b"x")):
        taken.give(Parcel("traces", 1, body, NOON, number))
    assert 1 == len(outbox.waiting())


def test_records_on_disk_are_encoded_by_who_sends(tmp_path: Path) -> None:
    """Not by a second process as well, whose turn has not come."""
    outbox, encoded = Outbox(tmp_path / "otlp", "r1", 1000), list[Parcel]()
    outbox.put(Parcel(RAW, 1, b"x", NOON))
    second = courier(outbox, lambda parcel: encoded.append(parcel) or [])
    with Outbox(tmp_path / "otlp", "r2", 1000).sending():
        second._deliver_from_disk()
    assert ([], 1) == (encoded, len(outbox.waiting()))


@pytest.mark.parametrize(("environ", "lines"), [({}, 1), ({"TRACEPARENT": "00-1-1-00"}, 0)])
def test_a_program_that_ends_too_soon_to_send_says_so(tmp_path: Path, environ: dict[str, str], lines: int) -> None:
    """Where its records wait, and how to have them sent; but not on the stderr of what another program started."""
    said: list[str] = []
    found = sink(tmp_path, "http://127.0.0.1:9", environ=environ, report=said.append)
    found._can_encode = lambda _: False  # type: ignore[method-assign]  # as before the libraries are loaded
    found.write(Batch([span(1)]))
    found.close()
    assert lines == len([line for line in said if str(tmp_path) in line and "flush()" in line])


ENDING = """
import sys, threading
import instrument

class Slow:
    def find_spec(self, name, *_):
        if name == "instrument.sinks.otlp.encode":
            threading.main_thread().join()  # until Python ends

sys.meta_path.insert(0, Slow())
instrument.configure(sinks=["otlp"], otlp={"endpoint": "http://127.0.0.1:9"}, dir=sys.argv[1])
look = instrument.tool(lambda: None)
look()
loading = next(thread for thread in threading.enumerate() if thread.name == "instrument otlp")
threading.Thread(target=lambda: [loading.join(), look()]).start()
"""


def test_a_program_that_ends_while_the_encoders_are_loaded_loses_nothing(tmp_path: Path) -> None:
    """A real process: they cannot be loaded once Python ends; what was recorded before and after that waits on disk, and is said."""
    at_once = "-X", "lazy_imports=normal"  # those that Python 3.15 was told to import lazily are there before
    done = python(*at_once, "-c", ENDING, tmp_path)
    assert (1, 2) == (done.stderr.count("\n"), waiting(tmp_path))


def test_records_on_disk_that_cannot_be_read_hold_up_nothing(tmp_path: Path, target: Receiver) -> None:
    """They are counted as lost, and what came after them is sent."""
    found = sink(tmp_path, target.url, signals=("traces",))
    found._courier._outbox.put(Parcel(RAW, 7, b"no records", NOON))
    found._courier._looked = False
    found.write(Batch([span(1)]))
    found.flush()
    found.close()
    assert (["span1"], 0, [7]) == (target.names(), waiting(tmp_path), list(found.lost.values()))


def test_writing_takes_no_time_while_the_target_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No write waits for the network: a thousand of them end while the first request is still under way."""
    monkeypatch.setattr(Courier.close, "__defaults__", (0.2,))
    with receiver() as target:
        target.answer = Answer(hang=20.0)
        found = sink(tmp_path, target.url, signals=("traces",))
        for number in range(1000):
            found.write(Batch([span(number)]))
        assert 1 >= target.asked
        found.close()
        assert 1000 == waiting(tmp_path)


def test_certificates_that_are_missing_count_as_away(tmp_path: Path) -> None:
    """Nothing is lost by a wrong path."""
    environ = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "none.pem")}
    found = send(tmp_path, "https://127.0.0.1:9", span(1), signals=("traces",), environ=environ)
    assert (1, {}) == (waiting(tmp_path), dict(found.lost))


def test_without_the_extra_one_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the sink starts, not at the first record."""
    monkeypatch.setattr("instrument.sinks.otlp.sink.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"pip install 'agent-instrument\[otlp\]'"):
        sink(tmp_path, "http://127.0.0.1:9")


# Forks


FORKING = """
import os, sys, threading
alone = []
os.register_at_fork(before=lambda: alone.append(threading.active_count()))  # the first is called last

class Slow:
    def find_spec(self, name, *_):
        if name == "instrument.sinks.otlp.measures":
            begun.set()
            threading.Event().wait(0.1)

sys.meta_path.insert(0, Slow())
begun = threading.Event()
from instrument import flush, tool

@tool
def work(): ...

work()
begun.wait()
if (pid := os.fork()) == 0:
    import instrument.sinks.otlp.measures
    work()
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
work()
print(alone, flush().lost)
"""


def test_no_thread_is_there_at_a_fork(tmp_path: Path, target: Receiver) -> None:
    """A real process, while its thread imports what the child needs as well: that does not hang, and all arrives."""
    done = sending_to(target, tmp_path, FORKING)
    assert ("[1] {}\n", 3, 3) == (done.stdout, len(target.spans), len({one.span_id for one in target.spans}))


def test_a_fork_does_not_wait_for_the_target(tmp_path: Path, target: Receiver) -> None:
    """The thread that is with it stays. Once it is back it sends all there is, and ends for the next fork."""
    target.answers = [Answer(hang=20.0)]
    found = sink(tmp_path, target.url, signals=("traces",), environ={"OTEL_EXPORTER_OTLP_TIMEOUT": "20"})
    found.write(Batch([span(1)]))
    assert target.wait(lambda: target.asked == 1)
    before = time.monotonic()
    found._courier.before_fork(before + 10)
    took = time.monotonic() - before
    found._courier.after_fork()
    target.stopped.set()
    assert target.wait(lambda: len(target.spans) == 1)
    found.flush()
    found._courier.before_fork(time.monotonic() + 10)
    assert (True, False) == (took < 5, found._courier._shift.is_alive())
    found._courier.after_fork()
    found.close()


def test_the_thread_stays_for_a_fork_while_one_of_two_flushes_goes_on(tmp_path: Path, target: Receiver) -> None:
    """The first that ends does not speak for the other."""
    target.answers = [Answer(hang=20.0)]
    found = sink(tmp_path, target.url, signals=("traces",), environ={"OTEL_EXPORTER_OTLP_TIMEOUT": "20"})
    found.write(Batch([span(1)]))
    assert target.wait(lambda: target.asked == 1)
    courier = found._courier
    long = threading.Thread(target=courier.flush, args=(20.0,))
    long.start()
    while not courier._awaited_by:
        time.sleep(0.001)
    courier.flush(0.03)
    assert 1 == len(courier._awaited_by)
    target.stopped.set()
    long.join()
    found.close()


# The spool


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 40), max_size=12), most=st.integers(1, 100))
def test_the_spool_is_bounded_and_in_order(tmp_path_factory: Any, sizes: list[int], most: int) -> None:
    """For all parcels: never above its bound, the newest are kept, and what went is counted."""
    outbox = Outbox(tmp_path_factory.mktemp("spool") / "otlp", "r1", most)
    gone = sum(outbox.put(Parcel("traces", 1, b"x" * size, NOON, number)) for number, size in enumerate(sizes))
    left = [outbox.read(path) for path in outbox.waiting()]
    numbers = [parcel.number for parcel in left if parcel is not None]
    held = sum(len(parcel.body) for parcel in left if parcel is not None)
    assert (True, len(sizes), True) == (held <= most, gone + len(numbers), numbers == sorted(numbers))


def test_one_process_sends_at_a_time(tmp_path: Path) -> None:
    """Who comes second is told so."""
    one = Outbox(tmp_path / "otlp", "r1", 1000)
    one.put(Parcel("traces", 1, b"x", NOON))
    with one.sending() as first, Outbox(tmp_path / "otlp", "r2", 1000).sending() as second:
        assert (True, False) == (first, second)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_does_not_keep_its_parents_turn(tmp_path: Path) -> None:
    """One that is forked while its parent sends: others send when the parent has, not when the child has ended."""
    outbox, (asked, ask) = Outbox(tmp_path / "otlp", "r1", 1000), os.pipe()
    outbox.put(Parcel("traces", 1, b"x", NOON))
    with outbox.sending():
        if (child := os.fork()) == 0:
            os.close(ask)
            os.read(asked, 1)  # until the parent has closed its end
            os._exit(0)
    with Outbox(tmp_path / "otlp", "r2", 1000).sending() as allowed:
        os.close(ask)
        os.close(asked)
        os.waitpid(child, 0)
    assert allowed


def test_spooled_files_are_for_their_owner_only(tmp_path: Path) -> None:
    """They hold what agents said."""
    with free_port() as port:
        send(tmp_path, f"http://127.0.0.1:{port}", span(1), signals=("traces",))
    (file,) = tmp_path.rglob("otlp/*/*.gz")
    assert (0o600, 0o700) == (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777)
