"""What the middlewares for ASGI and WSGI tell of a request alike, by OpenTelemetry's HTTP conventions."""

from __future__ import annotations

from typing import Any

from instrument.attributes import ERROR_TYPE, SERVER_ADDRESS, SERVER_PORT, STATUS_CODE
from instrument.record.spans import LiveSpan


def asked(
    *, method: Any, scheme: Any, path: Any, query: Any, address: Any, port: Any, client: Any, version: Any
) -> dict[str, Any]:
    """The attributes of a request, of what is known of it."""
    told = {
        "http.request.method": method,
        "url.scheme": scheme,
        "url.path": path,
        "url.query": query or None,
        SERVER_ADDRESS: address,
        SERVER_PORT: port,
        "client.address": client,
        "network.protocol.version": version,
    }
    return {name: value for name, value in told.items() if value is not None}


def note_status(live: LiveSpan, status: Any) -> None:
    """What the request is answered with, and whether that is an error."""
    live.set({STATUS_CODE: status})
    if isinstance(status, int) and status >= 500:
        live.set({ERROR_TYPE: str(status)})
        live.status = "error"


def name_by_route(live: LiveSpan, method: object, route: object) -> None:
    """By the route's pattern where the framework tells it: `GET /users/{id}` is one name, `GET /users/7` is many."""
    if isinstance(route, str):
        live.name = f"{method} {route}"
        live.set({"http.route": route})
