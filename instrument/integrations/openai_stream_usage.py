"""The wish for usage that is added to streams of chat completions, and the endpoints that do not know it."""

from __future__ import annotations

from typing import Any

Endpoint = tuple[str, str]
"""What decides whether the option is known: the base URL and the model."""

REFUSES = frozenset({400, 415, 422, 501})
"""Statuses with which endpoints refuse a request for an option that they do not know."""

KNOWS = "https://api.openai.com/"
MOST_ENDPOINTS = 10_000

_known: set[Endpoint] = set()
_refused: set[Endpoint] = set()


def asking(options: Any, said: Any) -> Any:
    """The options of the same request with the wish added to what the caller `said` as `stream_options`.

    None where the caller said yes or no itself.
    """
    if said is None:
        wish = {"include_usage": True}
    elif isinstance(said, dict) and "include_usage" not in said:
        wish = {**said, "include_usage": True}
    else:
        return None
    place = "extra_json" if "stream_options" in (options.extra_json or {}) else "json_data"
    return options.model_copy(update={place: {**getattr(options, place), "stream_options": wish}})


def is_refused(endpoint: Endpoint) -> bool:
    """Whether the endpoint has refused the option before."""
    return endpoint in _refused


def may_be_refused(error: Exception, endpoint: Endpoint) -> bool:
    """Whether the endpoint may have refused a request only because of the option.

    An endpoint whose error does not name it is believed to know the option once it has accepted it.
    """
    status = getattr(error, "status_code", None)
    if status is None:
        return False
    if "stream_options" in str(error) or "include_usage" in str(error):
        remember_refused(endpoint)
        return True
    return status in REFUSES and endpoint not in _known and not endpoint[0].startswith(KNOWS)


def remember_refused(endpoint: Endpoint) -> None:
    """The endpoint does not know the option: it is not asked again."""
    _remember(_refused, endpoint)


def remember_known(endpoint: Endpoint) -> None:
    """The endpoint has accepted the option."""
    _remember(_known, endpoint)


def _remember(endpoints: set[Endpoint], endpoint: Endpoint) -> None:
    if len(endpoints) >= MOST_ENDPOINTS:
        endpoints.clear()
    endpoints.add(endpoint)


def is_ours(chunk: Any) -> bool:
    """Whether the chunk came because we asked for usage. Others are made as they would have come: services that are
    asked for usage write `usage: null` into each of them."""
    if getattr(chunk, "usage", None) is not None:
        return not getattr(chunk, "choices", None)
    getattr(chunk, "__pydantic_fields_set__", set()).discard("usage")
    return False
