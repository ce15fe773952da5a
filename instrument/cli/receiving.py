"""What `instrument serve --otlp` takes in: traces and logs by OTLP over HTTP, from any language."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import threading
import time
import zlib
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from instrument import eager
from instrument.cli.intake import entered, redacted
from instrument.errors import InstrumentError
from instrument.model import Record, Run, Span
from instrument.pricing import Prices
from instrument.redact import Redactor
from instrument.store.appender import Appender
from instrument.store.foreign import otlp
from instrument.store.foreign.attributes import priced
from instrument.store.foreign.calls import CallsSeen, stored_last
from instrument.store.jsonl import event_file

MOST_BYTES = 64 * 1024 * 1024
"""A longer request is refused: exporters send less at once."""

JSON, PROTOBUF = "application/json", "application/x-protobuf"
SOURCE = "otlp"


class Receiver:
    """Keeps what is sent to `/v1/traces` and `/v1/logs`: redacted, priced, in one event file and the ledger."""

    def __init__(self, folder: Path, ledger: str, prices: Prices, redactor: Redactor) -> None:
        self._ledger = ledger
        self._prices = prices
        self._redactor = redactor
        self._file = Appender(event_file(folder, f"{SOURCE}-{os.urandom(6).hex()}", time.time_ns()))
        self._folder = folder
        self._calls: CallsSeen | None = None
        self._runs: set[str] = set()
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        """The addresses that an exporter sends to, below its endpoint."""
        answers: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/v1/traces": self.traces,
            "/v1/logs": self.logs,
            "/v1/metrics": self.metrics,
        }
        return [Route(path, answer, methods=["POST"]) for path, answer in answers.items()]

    async def traces(self, request: Request) -> Response:
        """Keep the spans of an `ExportTraceServiceRequest`."""
        return await self._take(request, "trace")

    async def logs(self, request: Request) -> Response:
        """Keep the records of an `ExportLogsServiceRequest`."""
        return await self._take(request, "logs")

    async def metrics(self, request: Request) -> Response:
        """Metrics are not kept, and it is said so: what they count can be counted from the spans."""
        told = {"partialSuccess": {"errorMessage": "metrics are not kept, send traces and logs"}}
        return _answer(request, "metrics", told)

    async def _take(self, request: Request, signal: str) -> Response:
        try:
            row = _parsed(await _body(request), request.headers, signal)
            await asyncio.to_thread(self._keep, list(otlp.records(row, SOURCE)))
        except InstrumentError as refused:
            return Response(json.dumps({"code": 3, "message": str(refused)}), 400, media_type=JSON)
        except OSError as failed:  # the exporter tries again
            return Response(json.dumps({"code": 14, "message": str(failed)}), 503, media_type=JSON)
        return _answer(request, signal, {})

    def _keep(self, records: Sequence[Record]) -> None:
        others = [one for one in records if not isinstance(one, Run | Span)]
        with self._lock:
            calls = self._calls_seen().once_each([one for one in records if isinstance(one, Span)])
            spans = [priced(span, self._prices) for span in calls]
            heads = [one for one in records if isinstance(one, Run) and one.run not in self._runs]
            kept = [*heads, *spans, *others]
            if kept:
                told = redacted(kept, self._redactor)
                self._file.append(told.lines)
                self._runs.update(head.run for head in heads)
                entered(told.records, self._ledger)

    def _calls_seen(self) -> CallsSeen:
        """What was counted already, by this process or by those before it."""
        if self._calls is None:
            self._calls = CallsSeen()
            self._calls.remember(stored_last(self._folder, SOURCE))
        return self._calls


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise InstrumentError(f"a request may have {MOST_BYTES:,} bytes at most")
    return bytes(body)


def _parsed(body: bytes, headers: Any, signal: str) -> Any:
    """The request as OTLP JSON has it, from JSON or protobuf, compressed or not."""
    if headers.get("content-encoding") == "gzip":
        body = _unpacked(body)
    kind = headers.get("content-type", "").partition(";")[0].strip()
    if kind == JSON:
        try:
            return json.loads(body)
        except ValueError as error:
            raise InstrumentError(f"the request is no JSON: {error}") from None
    if kind == PROTOBUF:
        return _of_protobuf(body, signal)
    raise InstrumentError(f"content type {kind!r} is not understood: send {JSON} or {PROTOBUF}")


def _unpacked(body: bytes) -> bytes:
    try:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        plain = unpacker.decompress(body, MOST_BYTES + 1)
    except zlib.error as error:
        raise InstrumentError(f"the request cannot be unpacked: {error}") from None
    if len(plain) > MOST_BYTES:
        raise InstrumentError(f"a request may have {MOST_BYTES:,} bytes at most")
    return plain


def _of_protobuf(body: bytes, signal: str) -> Any:
    try:
        from google.protobuf.json_format import MessageToDict
        from google.protobuf.message import DecodeError
    except ImportError:
        raise InstrumentError("OTLP in protobuf needs: pip install 'agent-instrument[otlp]'; or send JSON") from None
    try:
        return MessageToDict(_messages(signal)[0].FromString(body))
    except (DecodeError, ValueError) as error:
        raise InstrumentError(f"the request is no OTLP: {error}") from None


@cache
def _messages(signal: str) -> tuple[Any, Any]:
    """The classes of a signal's request and response."""
    eager.load_messages()
    module = importlib.import_module(f"opentelemetry.proto.collector.{signal}.v1.{signal}_service_pb2")
    name = f"Export{signal.capitalize()}Service"  # as in ExportTraceServiceRequest
    return getattr(module, f"{name}Request"), getattr(module, f"{name}Response")


def _answer(request: Request, signal: str, told: dict[str, Any]) -> Response:
    """In the encoding of the request."""
    if request.headers.get("content-type", "").startswith(PROTOBUF):
        from google.protobuf.json_format import ParseDict

        return Response(ParseDict(told, _messages(signal)[1]()).SerializeToString(), media_type=PROTOBUF)
    return Response(json.dumps(told), media_type=JSON)
