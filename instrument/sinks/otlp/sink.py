"""The sink `otlp`: gathers records into requests and hands them to the courier."""

from __future__ import annotations

import gzip
import hashlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from instrument.model import Batch, Finding, Log, Record, Run, Score, Span, decode, decode_known, encode
from instrument.record.notices import notice
from instrument.sinks.otlp.courier import FIRST_PAUSE, Courier
from instrument.sinks.otlp.outcome import SENT, Outcome, Send
from instrument.sinks.otlp.target import GRPC, SIGNALS, Target, dialect_of, resource_of, target_of
from instrument.store.outbox import Outbox, Parcel

MOST_RECORDS = 512
"""Records of one request."""
GATHER_SECONDS = 1.0
METRICS_SECONDS = 60.0
SPOOL_BYTES = 64 * 1024 * 1024
FLUSH_SECONDS = 5.0
LOAD_SECONDS = 0.5
"""How long the end of the process waits for the encoders."""
GZIP = 1
"""The quickest level: half the time of the usual one, for a tenth more bytes."""
RAW = "records"
"""Records that are still to be encoded, as a signal of their own."""


class OtlpSink:
    """Sends spans, logs and metrics by OTLP, as protobuf over HTTP or gRPC.

    `endpoint` is the base address (`http://host:4318`), `protocol` `http/protobuf` or `grpc`, `names` a dialect of
    `views.otel.DIALECTS`. What is not given comes from `OTEL_EXPORTER_OTLP_*`, `OTEL_SERVICE_NAME` and
    `OTEL_RESOURCE_ATTRIBUTES`. What cannot be sent waits in `folder`, up to `spool_bytes`. Raises `ImportError` where
    the extra `otlp` is not installed, `SettingsError` for an address that is none.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] = ".instrument",
        run: Run | None = None,
        *,
        endpoint: str | None = None,
        protocol: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        names: str | None = None,
        signals: tuple[str, ...] = SIGNALS,
        spool_bytes: int = SPOOL_BYTES,
        first_pause: float = FIRST_PAUSE,
        gather_seconds: float = GATHER_SECONDS,
        environ: Mapping[str, str] = os.environ,
        report: Callable[[str], None] = notice,
    ) -> None:
        self._targets = {
            signal: target_of(signal, environ, endpoint, protocol, headers, timeout)
            for signal in SIGNALS
            if signal in signals and environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip() != "none"
        }
        _check_installed({target.protocol for target in self._targets.values()})
        self._dialect = dialect_of(environ, names)
        self._told = resource_of(environ)
        self._temporality = environ.get("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "")
        self._metrics_seconds = _interval(environ)
        self._run = run
        self._report, self._spool_mib = report, max(1, spool_bytes >> 20)
        self._folder = Path(folder).absolute() / "otlp" / _digest(self._targets)
        self._lost: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Any]] = {"traces": [], "logs": []}
        self._findings: list[Finding] = []
        self._loaded = threading.Event()
        self._fault: Exception | None = None
        self._since: float | None = None
        self._gather_seconds = gather_seconds
        self._measured_at = time.monotonic()
        self._number = 0
        self._resource: Any = None
        self._measures: Any = None
        self._courier = Courier(
            Outbox(self._folder, run.run if run is not None else "", spool_bytes),
            self._sender,
            min((target.timeout for target in self._targets.values()), default=10.0),
            self._tell,
            self._load,
            self._tick,
            min(gather_seconds, 1.0),
            first_pause,
        )
        self._is_told: set[bool] = set()
        self._courier.start()

    @property
    def lost(self) -> Mapping[str, int]:
        """Records that were given up, by reason."""
        return self._lost + self._courier.lost

    def write(self, batch: Batch) -> None:
        """Take the records; nothing is sent on the caller's time."""
        if self._fault is not None:
            raise self._fault
        if self._run is None:
            self._run = next((record for record in batch if isinstance(record, Run)), None)
        self._courier.start()  # if it could not before
        with self._lock:
            for record, line in zip(batch, batch.lines, strict=True):
                if isinstance(record, Span | Log | Finding | Score):
                    self._take(decode_known(line))
            if self._can_encode(0) and (max(map(len, self._waiting.values())) >= MOST_RECORDS or self._is_due()):
                self._pack()

    def flush(self) -> None:
        """Send what was taken; returns when that is done, or when the target turns out to be away."""
        if self._can_encode(FLUSH_SECONDS if any(self._waiting.values()) else 0):
            with self._lock:
                self._pack()
                self._pack_metrics()
            self._courier.flush(FLUSH_SECONDS)

    def close(self) -> None:
        """As `flush`, for a second at most; what is not sent by then waits on disk for the next process."""
        can_encode = self._can_encode(LOAD_SECONDS if any(self._waiting.values()) else 0)
        with self._lock:
            if can_encode:
                self._pack()
                self._pack_metrics()
            else:
                self._pack_raw()
        self._courier.close()

    # Gathering

    def _load(self) -> bool:
        """What the encoders need takes a second to import: the courier does it, away from the caller."""
        try:
            import instrument.sinks.otlp.encode
            import instrument.sinks.otlp.measures
            import instrument.sinks.otlp.transport  # noqa: F401 - imported once, so that it is there when it is used
        except Exception as error:  # noqa: BLE001 - the next write says so; while Python ends there is none
            self._fault = error
        self._loaded.set()
        return self._fault is None

    def _can_encode(self, seconds: float) -> bool:
        return self._loaded.wait(seconds) and self._fault is None

    def _take(self, record: Record) -> None:
        if isinstance(record, Span) and record.status != "open":
            self._waiting["traces"].append(record)
        elif isinstance(record, Log | Finding | Score):
            if isinstance(record, Finding):
                self._findings.append(record)
            if "logs" in self._targets:
                self._waiting["logs"].append(record)
        if self._since is None:
            self._since = time.monotonic()

    def _count(self, spans: Sequence[Span]) -> None:
        if "metrics" in self._targets and spans:
            if self._measures is None:
                from instrument.sinks.otlp.measures import Measures

                self._measures = Measures(self._about(), self._dialect, self._temporality)
            for span in spans:
                self._measures.add(span)

    def _about(self) -> Any:
        if self._resource is None:
            from instrument.sinks.otlp.encode import resource

            run_id = self._run.run if self._run is not None else ""
            self._resource = resource(self._run, run_id, self._told)
        return self._resource

    def _is_due(self) -> bool:
        return self._since is not None and time.monotonic() - self._since >= self._gather_seconds

    def _tick(self) -> None:
        """Called by the courier: send what has waited long enough."""
        with self._lock:
            if self._is_due():
                self._pack()
            if time.monotonic() - self._measured_at >= self._metrics_seconds:
                self._pack_metrics()

    def _pack(self) -> None:
        """Make requests of what waits."""
        self._since = None
        if self._findings:
            from instrument.sinks.otlp.encode import add_findings

            add_findings(self._waiting["traces"], self._findings)
            self._findings = []
        for signal, records in self._waiting.items():
            self._waiting[signal] = []
            if signal == "traces":
                self._count(records)
            for start in range(0, len(records) if signal in self._targets else 0, MOST_RECORDS):
                part = records[start : start + MOST_RECORDS]
                try:
                    self._give(signal, len(part), self._encoded(signal, part, self._about()))
                except Exception as error:  # noqa: BLE001 - a record that cannot be encoded must not end the sink
                    self._lost[f"cannot be encoded ({type(error).__name__})"] += len(part)

    def _encoded(self, signal: str, records: Sequence[Any], about: Any) -> bytes:
        from instrument.sinks.otlp.encode import logs, spans

        return spans(records, about, self._dialect) if signal == "traces" else logs(records, about)

    def _pack_raw(self) -> None:
        """The process ends before the encoders are there: the records wait as they are, and are encoded by the next."""
        records = [record for waiting in self._waiting.values() for record in waiting]
        if records:
            head = [self._run] if self._run is not None else []
            self._give(RAW, len(records), b"\n".join(map(encode, [*head, *records])))

    def _pack_metrics(self) -> None:
        self._measured_at = time.monotonic()
        request = self._measures.request() if self._measures is not None else None
        if request is not None:
            self._give("metrics", 0, request)

    def _give(self, signal: str, records: int, request: bytes) -> None:
        self._number += 1
        self._courier.give(Parcel(signal, records, gzip.compress(request, GZIP, mtime=0), time.time_ns(), self._number))

    # Sending

    def _sender(self, signal: str) -> Send:
        from instrument.sinks.otlp.transport import sender

        return self._send_raw if signal == RAW else sender(signal, self._targets[signal])

    def _send_raw(self, body: bytes, seconds: float) -> Outcome:
        """Encode and send what an earlier process could not encode any more."""
        from instrument.sinks.otlp.encode import add_findings, resource

        records = [decode(line) for line in gzip.decompress(body).split(b"\n")]
        run = next((record for record in records if isinstance(record, Run)), None)
        about = resource(run, run.run if run is not None else "", self._told)
        spans = [record for record in records if isinstance(record, Span)]
        logs = [record for record in records if isinstance(record, Log | Finding | Score)]
        add_findings(spans, [record for record in logs if isinstance(record, Finding)])
        outcome = Outcome(SENT)
        for signal, part in (("traces", spans), ("logs", logs)):
            if part and signal in self._targets and outcome.state == SENT:
                outcome = self._sender(signal)(gzip.compress(self._encoded(signal, part, about), GZIP), seconds)
        return outcome

    def _tell(self, why: str, is_lost: bool) -> None:
        """Once each: the target is away and what becomes of the records, or it does not take them."""
        if is_lost in self._is_told:
            return
        self._is_told.add(is_lost)
        shown = next(iter(self._targets.values())).shown
        if is_lost:
            self._report(f"{shown}: {why}; what it does not take is left out and counted, your program goes on")
        else:
            self._report(
                f"{shown}: {why}; records wait in {self._folder} (up to {self._spool_mib} MiB) and are sent when it "
                "is back, your program goes on"
            )


def _check_installed(protocols: set[str]) -> None:
    wanted = ["opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.common", "requests"]
    wanted += ["grpc"] if GRPC in protocols else []
    for name in wanted:
        try:
            found = find_spec(name) is not None
        except ModuleNotFoundError:
            found = False
        if not found:
            raise ImportError("the sink otlp needs the extra of this name: pip install 'agent-instrument[otlp]'")


def _digest(targets: Mapping[str, Target]) -> str:
    """One folder for each target, so that nothing is sent to another one than it was made for."""
    told = repr(sorted((signal, target.url, target.protocol) for signal, target in targets.items()))
    return hashlib.sha256(told.encode()).hexdigest()[:8]


def _interval(environ: Mapping[str, str]) -> float:
    told = environ.get("OTEL_METRIC_EXPORT_INTERVAL", "")
    return int(told) / 1000 if told.isdigit() and int(told) > 0 else METRICS_SECONDS
