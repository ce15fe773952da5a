"""Traces that go on in services called with httpx or httpx2: their requests carry the current span.

client = trace_requests(httpx.AsyncClient())
"""

from __future__ import annotations

from typing import Any, TypeVar

from instrument.record.headers import inject
from instrument.record.spans import amiss
from instrument.record.switch import switch

Client = TypeVar("Client")


def trace_requests(client: Client) -> Client:
    """Let every request of the client carry `traceparent`, `tracestate` and `baggage`; gives the client back.

    Takes a `Client` or an `AsyncClient`; a second time changes nothing. Raises `TypeError` for anything else.
    """
    hooks = getattr(client, "event_hooks", None)
    if not isinstance(hooks, dict) or "request" not in hooks:
        raise TypeError(f"trace_requests takes a Client or AsyncClient of httpx or httpx2, not {client!r}")
    ours = _write_later if hasattr(client, "aclose") else _write
    if ours not in hooks["request"]:
        client.event_hooks = {**hooks, "request": [*hooks["request"], ours]}  # type: ignore[attr-defined]  # seen above
    return client


def _write(request: Any) -> None:
    try:
        inject(request.headers)
    except Exception as fault:  # noqa: BLE001 - no fault of ours reaches the user's code
        if switch.recorder is not None:
            amiss(switch.recorder, "httpx", fault)


async def _write_later(request: Any) -> None:
    _write(request)
