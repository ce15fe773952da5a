"""Sends one encoded request and says what became of it; knows nothing of waiting and trying again."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Any

from google.protobuf.json_format import Parse
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from instrument.sinks.otlp.outcome import LATER, REFUSED, SENT, Outcome, Send
from instrument.sinks.otlp.packing import packed, unpacked
from instrument.sinks.otlp.target import GRPC, Target
from instrument.version import __version__

LONGEST_ANSWER = 1024 * 1024
LONGEST_PATIENCE = 300.0
"""A target that wants to be left alone for longer is asked again after so many seconds."""

SHORTEST_TRY = 0.1
"""So many seconds a second try has at least, however long the first one took."""

UNSUPPORTED = 415
_REFUSALS = frozenset({400, 413, UNSUPPORTED, 422})
"""Answers that stay the same however often it is sent; all others may change when the target is mended."""
_ABSENT = frozenset({404, 405, 501})
"""Answers of a target that does not know the signal. Without traces there is no target, so these are tried again."""
_NAMES = {"traces": "spans", "logs": "log_records", "metrics": "data_points"}
_ANSWERS: dict[str, Any] = {
    "traces": ExportTraceServiceResponse,
    "logs": ExportLogsServiceResponse,
    "metrics": ExportMetricsServiceResponse,
}
_SERVICES = {"traces": "trace.v1.TraceService", "logs": "logs.v1.LogsService", "metrics": "metrics.v1.MetricsService"}


def sender(signal: str, target: Target) -> Send:
    """What sends requests of a signal to its target."""
    return _grpc(signal, target) if target.protocol == GRPC else _http(signal, target)


def _http(signal: str, target: Target) -> Send:
    import requests
    from requests.utils import get_environ_proxies, get_netrc_auth

    session = requests.Session()
    session.proxies.update(get_environ_proxies(target.url))
    session.auth = get_netrc_auth(target.url)
    session.trust_env = False  # what the environment says was looked up once, which takes as long as a request
    ours = {"Content-Type": "application/x-protobuf", "User-Agent": f"agent-instrument/{__version__}"}
    session.headers.update({**ours, **dict(target.headers)})
    if target.gzip:
        session.headers["Content-Encoding"] = "gzip"
    trusted = target.certificate or True
    if target.client_certificate:
        pair = (target.client_certificate, target.client_key)
        session.cert = pair if target.client_key else target.client_certificate  # type: ignore[assignment]

    def send(body: bytes, seconds: float) -> Outcome:
        give_up, is_packed = time.monotonic() + seconds, "Content-Encoding" in session.headers
        data = packed(body) if is_packed else unpacked(body)
        try:
            with session.post(
                target.url, data, timeout=seconds, allow_redirects=False, stream=True, verify=trusted
            ) as answer:
                if answer.status_code != UNSUPPORTED or not is_packed:
                    return _judged(signal, answer.status_code, answer.headers, _whole(answer.raw, give_up))
            del session.headers["Content-Encoding"]  # it may be this that it does not take
            return send(body, max(SHORTEST_TRY, give_up - time.monotonic()))
        except Exception as error:  # noqa: BLE001 - urllib3 has errors of its own while it reads a broken answer
            return Outcome(LATER, _reason(error))

    return send


def _whole(answer: Any, give_up: float) -> bytes:
    """What it says, unless that drips: the timeout of a connection begins anew with every byte."""
    read, content = getattr(answer, "read1", answer.read), b""
    while len(content) < LONGEST_ANSWER and (more := read(LONGEST_ANSWER, decode_content=True)):
        content += more
        if time.monotonic() > give_up:
            raise TimeoutError
    return content


def _judged(signal: str, status: int, headers: Any, content: bytes) -> Outcome:
    if 200 <= status < 300:
        kind = str(headers.get("Content-Type", ""))
        return _accepted(signal, content, is_json="json" in kind)
    if status in _ABSENT and signal != "traces":
        return Outcome(REFUSED, f"it takes no {signal}")
    wait = _wait(headers.get("Retry-After"))
    moved = str(headers.get("Location", "")) if 300 <= status < 400 else ""
    why = f"it answers {status}" + (f" and is at {Target(moved).shown}" if "://" in moved else "")
    return Outcome(REFUSED if status in _REFUSALS else LATER, why, wait)


def _accepted(signal: str, content: bytes, is_json: bool = False) -> Outcome:
    """Accepted, perhaps in part. What answers something else altogether is no collector."""
    try:
        kind = _ANSWERS[signal]
        told = Parse(content, kind(), ignore_unknown_fields=True) if is_json else kind.FromString(content)
        partial = told.partial_success
    except Exception:  # noqa: BLE001 - whatever protobuf raises: this is no answer of a collector
        return Outcome(SENT) if is_json else Outcome(LATER, "its answer is not OTLP")
    return Outcome(SENT, partial.error_message, rejected=int(getattr(partial, f"rejected_{_NAMES[signal]}")))


def _wait(told: str | None) -> float | None:
    """`Retry-After`, in seconds or as a date."""
    if told is None:
        return None
    try:
        seconds = float(told) if told.strip().isdigit() else parsedate_to_datetime(told).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(LONGEST_PATIENCE, max(0.0, seconds))


def _reason(error: Exception) -> str:
    name = type(error).__name__
    if (fault := _tls_fault(error)) is not None:
        return fault
    if "Timeout" in name:
        return "it does not answer in time"
    return "it cannot be reached" if "Connection" in name else f"it cannot be reached ({name})"


def _tls_fault(error: Exception) -> str | None:
    """What is wrong with certificates, and which variable mends it; None where it is something else."""
    told = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in told:
        why = told.partition("verify failed: ")[2].partition(" (_ssl")[0] or "verify failed"
        return f"its certificate is not trusted ({why}); OTEL_EXPORTER_OTLP_CERTIFICATE names the file of its CA"
    if "CERTIFICATE_REQUIRED" in told:
        return (
            "it wants a certificate of this program: OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and "
            "OTEL_EXPORTER_OTLP_CLIENT_KEY name its files"
        )
    return told if isinstance(error, OSError) and "invalid path" in told else None


def _grpc(signal: str, target: Target) -> Send:
    import grpc

    address = target.url.partition("://")[2].partition("/")[0]
    if target.url.startswith("https://"):
        credentials = grpc.ssl_channel_credentials(
            _content(target.certificate), _content(target.client_key), _content(target.client_certificate)
        )
        channel = grpc.secure_channel(address, credentials)
    else:
        channel = grpc.insecure_channel(address)
    export = channel.unary_unary(f"/opentelemetry.proto.collector.{_SERVICES[signal]}/Export")
    compression = grpc.Compression.Gzip if target.gzip else grpc.Compression.NoCompression

    def send(body: bytes, seconds: float) -> Outcome:
        try:
            content = export(unpacked(body), timeout=seconds, metadata=target.headers, compression=compression)
        except grpc.RpcError as error:
            return _judged_grpc(signal, error, grpc.StatusCode)
        return _accepted(signal, content)

    return send


def _content(path: str | None) -> bytes | None:
    if path is None:
        return None
    with open(path, "rb") as file:
        return file.read()


def _judged_grpc(signal: str, error: Any, codes: Any) -> Outcome:
    code = error.code()
    if code == codes.UNIMPLEMENTED and signal != "traces":
        return Outcome(REFUSED, f"it takes no {signal}")
    if code == codes.INVALID_ARGUMENT:
        return Outcome(REFUSED, "it answers INVALID_ARGUMENT")
    if code == codes.RESOURCE_EXHAUSTED and "larger than max" in (error.details() or ""):
        return Outcome(REFUSED, "it takes no request so large")
    if code == codes.DEADLINE_EXCEEDED:
        return Outcome(LATER, "it does not answer in time")
    why = "it cannot be reached" if code == codes.UNAVAILABLE else f"it answers {code.name}"
    if code == codes.UNAVAILABLE:
        why = _tls_fault(Exception(error.details() or "")) or why
    return Outcome(LATER, why, _grpc_wait(error))


def _grpc_wait(error: Any) -> float | None:
    """The delay that the target asks for in the details of its status."""
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    if not details:
        return None
    try:
        for detail in status_pb2.Status.FromString(details).details:
            info = error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                return min(LONGEST_PATIENCE, float(info.retry_delay.seconds) + float(info.retry_delay.nanos) / 1e9)
    except Exception:  # noqa: BLE001 - details that are none
        return None
    return None
