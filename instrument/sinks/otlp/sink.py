"""The sink `otlp`: gathers records into requests and hands them to the courier."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from instrument import eager
from instrument.installation import installation_key
from instrument.model import Batch, Run, Span, decode, encode
from instrument.record.notices import notice
from instrument.redact import Redactor
from instrument.sinks.otlp.courier import FIRST_PAUSE, RAW, Courier
from instrument.sinks.otlp.outcome import Send
from instrument.sinks.otlp.packing import packed, unpacked
from instrument.sinks.otlp.target import GRPC, SIGNALS, Target, dialect_of, resource_of, signals_of, target_of
from instrument.sinks.otlp.waiting import nothing
from instrument.store.outbox import Outbox, Parcel

ENOUGH_RECORDS = 512
"""So many are encoded at once, without waiting for more."""
GATHER_SECONDS = 1.0
METRICS_SECONDS = 60.0
SPOOL_BYTES = 64 * 1024 * 1024
FLUSH_SECONDS = 5.0
LOAD_SECONDS = 0.5
"""How long the end of the process waits for the encoders."""


class OtlpSink:
    """Sends spans, logs and metrics by OTLP, as protobuf over HTTP or gRPC.

    `endpoint` is the base address (`http://host:4318`), `protocol` `http/protobuf` or `grpc`, `names` a dialect of
    `views.otel`. What is not given comes from `OTEL_EXPORTER_OTLP_*`, `OTEL_SERVICE_NAME` and
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
        names: str | None = None,
        signals: tuple[str, ...] = SIGNALS,
        spool_bytes: int = SPOOL_BYTES,
        first_pause: float = FIRST_PAUSE,
        gather_seconds: float = GATHER_SECONDS,
        redactor: Redactor | None = None,
        environ: Mapping[str, str] = os.environ,
        report: Callable[[str], None] = notice,
    ) -> None:
        self._targets = {
            signal: target_of(signal, environ, endpoint, protocol) for signal in signals_of(environ, signals)
        }
        check_installed({target.protocol for target in self._targets.values()})
        self._dialect = dialect_of(environ, names)
        self._told = resource_of(environ, redactor or Redactor(installation_key()))
        self._temporality = environ.get("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "")
        self._metrics_seconds = _interval(environ)
        self._run = run
        self._report, self._spool_mib = report, max(1, spool_bytes >> 20)
        self._folder = Path(folder).absolute() / "otlp" / _digest(self._targets)
        self._lost: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._waiting = nothing()
        self._loaded = threading.Event()
        self._fault: Exception | None = None
        self._is_late = False
        self._since: float | None = None
        self._gather_seconds = gather_seconds
        self._measured_at = time.monotonic()
        self._number = self._made_ns = 0
        self._resource: Any = None
        self._measures: Any = None
        self._courier = Courier(
            Outbox(self._folder, run.run if run is not None else "", spool_bytes),
            self._sender,
            min((target.timeout for target in self._targets.values()), default=10.0),
            self._tell,
            self._encoded_late,
            self._load,
            self._tick,
            min(gather_seconds, 1.0),
            first_pause,
        )
        self._is_told: set[bool | None] = set()
        self._is_below = "TRACEPARENT" in environ
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
            self._waiting.take(batch)
            if self._since is None and any(self._waiting):
                self._since = time.monotonic()
            if self._can_encode(0) and (self._waiting.longest >= ENOUGH_RECORDS or self._is_due()):
                self._pack()

    def flush(self) -> None:
        """Send what was taken; returns when that is done, or when the target turns out to be away."""
        if self._can_encode(FLUSH_SECONDS if any(self._waiting) else 0):
            with self._lock:
                self._pack()
                self._pack_metrics()
            self._courier.flush(FLUSH_SECONDS)

    def close(self) -> None:
        """As `flush`, for a second at most; what is not sent by then waits on disk for the next process."""
        can_encode = self._can_encode(LOAD_SECONDS if any(self._waiting) else 0)
        with self._lock:
            if can_encode:
                self._pack()
                self._pack_metrics()
            else:
                self._pack_raw()
        self._courier.close()

    @property
    def _shown(self) -> str:
        return next((target.shown for target in self._targets.values()), "no target")

    # Gathering

    def _load(self) -> bool:
        """What the encoders need takes a second to import: the courier does it, away from the caller."""
        try:
            eager.load_messages()
            import instrument.sinks.otlp.encode
            import instrument.sinks.otlp.measures
            import instrument.sinks.otlp.transport  # noqa: F401 - imported once, so that it is there when it is used

            eager.load()
        except Exception as error:  # noqa: BLE001 - the next write says so
            self._is_late = not threading.main_thread().is_alive()  # Python ends: OpenTelemetry cannot be imported then
            self._fault = None if self._is_late else error
        self._loaded.set()
        return self._can_encode(0)

    def _can_encode(self, seconds: float) -> bool:
        return self._loaded.wait(seconds) and self._fault is None and not self._is_late

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
        from instrument.sinks.otlp.encode import requests

        waiting, self._waiting, self._since = self._waiting, nothing(), None
        for request in requests(waiting, self._about(), self._dialect, self._targets, self._lost, self._counting()):
            self._give(*request)

    def _counting(self) -> Callable[[Span], None]:
        """What counts spans for the metrics."""
        if self._measures is None and "metrics" in self._targets:
            from instrument.sinks.otlp.measures import Measures

            self._measures = Measures(self._about(), self._dialect, self._temporality)
        return self._measures.add if self._measures is not None else _count_nothing

    def _pack_metrics(self) -> None:
        self._measured_at = time.monotonic()
        request = self._measures.request() if self._measures is not None else None
        if request is not None:
            self._give("metrics", 0, request)

    def _give(self, signal: str, records: int, request: bytes) -> None:
        body = packed(request) if self._targets[signal].takes_packed else request
        self._courier.give(self._parcel(signal, records, body))

    def _parcel(self, signal: str, records: int, body: bytes) -> Parcel:
        self._number += 1
        self._made_ns = max(time.time_ns(), self._made_ns)  # in their order, also where the clock is set back
        return Parcel(signal, records, body, self._made_ns, self._number)

    def _pack_raw(self) -> None:
        """The process ends before the encoders are there: the records wait as they are, and are encoded by the next."""
        lines = [*self._waiting.lines()]
        if lines:
            head = [encode(self._run)] if self._run is not None else []
            self._courier.keep(self._parcel(RAW, len(lines), b"\n".join([*head, *lines])))
            if not self._is_below:  # the program that started this one may read its stderr, and sends soon itself
                self._report(
                    f"{self._shown}: the program ended before its first records could be sent; they wait in "
                    f"{self._folder} for the next one that sends there (one that calls flush() sends its own)"
                )

    def _encoded_late(self, parcel: Parcel) -> list[Parcel]:
        """What an earlier process could not encode any more, by its own resource; its metrics are these alone."""
        from instrument.sinks.otlp.encode import Request, requests, resource
        from instrument.sinks.otlp.measures import Measures

        records = [decode(line) for line in unpacked(parcel.body).split(b"\n")]
        run = next((record for record in records if isinstance(record, Run)), None)
        about = resource(run, run.run if run is not None else "", self._told)
        waiting = nothing()
        waiting.take(records)
        measures = Measures(about, self._dialect, self._temporality, run.start_ns if run is not None else None)
        found = [*requests(waiting, about, self._dialect, self._targets, self._lost, measures.add)]
        counted = measures.request() if "metrics" in self._targets else None
        found += [Request("metrics", 0, counted)] if counted is not None else []
        return [Parcel(*request, parcel.made_ns, number) for number, request in enumerate(found)]

    # Sending

    def _sender(self, signal: str) -> Send:
        from instrument.sinks.otlp.transport import sender

        return sender(signal, self._targets[signal])

    def _tell(self, why: str, is_lost: bool | None) -> None:
        """Once each: the target is away and what becomes of the records, it takes them not, or with a warning."""
        if is_lost in self._is_told:
            return
        self._is_told.add(is_lost)
        if is_lost is None:
            self._report(f"{self._shown} takes all and says: {why}")
        elif is_lost:
            self._report(f"{self._shown}: {why}; what it does not take is left out and counted, your program goes on")
        else:
            self._report(
                f"{self._shown}: {why}; records wait in {self._folder} (up to {self._spool_mib} MiB) and are sent when "
                "it is back, your program goes on"
            )


def _count_nothing(_: Span) -> None:
    """Nobody takes metrics."""


def check_installed(protocols: set[str]) -> None:
    """Raises `ImportError` where the extra `otlp` is not there; loads nothing of it."""
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
