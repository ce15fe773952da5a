"""What a model call returned, whichever library made it: messages, usage, model, why it ended.

Answers are known by their shape, be they plain mappings or objects of a client library; how such objects are read
without running their code is in `foreign`. A new shape is a function here and a row of `_SHAPES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from instrument import attributes
from instrument.foreign import Fields, at, is_text, known, library_of, listed, one_of, stored, text
from instrument.messages import Message, message_of, parts_of, said
from instrument.model import Usage
from instrument.usage import Path, usage_of

_PROVIDERS = {"anthropic": "anthropic", "groq": "groq", "mistralai": "mistral_ai", "google": "gcp.gen_ai"}

# Fields by which a service that speaks OpenAI's language is known.
_MARKS: tuple[tuple[Path, str], ...] = (
    (("x_groq",), "groq"),
    (("prompt_filter_results",), "azure.ai.openai"),
    (("usage", "prompt_cache_miss_tokens"), "deepseek"),
)


class Answer(Struct, frozen=True, kw_only=True):
    """What a model call returned. `model` is the one that answered; what the answer does not say is None.

    `output_messages` are `{role, parts, finish_reason}` with the parts that `messages` describes, one for each choice.
    """

    model: str | None = None
    provider: str | None = None
    usage: Usage | None = None
    output_messages: list[Message] = []
    finish_reasons: list[str] = []
    response_id: str | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None

    def attributes(self) -> dict[str, Any]:
        """What is known, by the names of the conventions."""
        found = {attribute: getattr(self, name) for name, attribute in attributes.RESPONSE.items()}
        return {attribute: value for attribute, value in found.items() if value}


def answer(value: object) -> Answer | None:
    """What a model call returned, None where it is no answer of a kind that is known. Never raises.

    Known are the responses of OpenAI (chat, Responses, embeddings; parsed, raw, as plain mappings) and of services
    that speak its language, of Anthropic, Gemini and Bedrock, a plain text, and a pair of text and usage.
    """
    try:
        return _answer(value)
    except Exception:  # noqa: BLE001 - whatever a caller's function returned must not become an error of ours
        return None


_MessagesAndReasons = tuple[list[Message], list[str]]


def _answer(value: object) -> Answer | None:
    if is_text(value):
        return Answer(output_messages=[message_of(value, "assistant")])
    if type(value) is tuple and len(value) == 2:
        return _pair(*value)
    fields = _unwrapped(known(value))
    shape = next((read for fits, read in _SHAPES if fits(fields)), None)
    if shape is None:
        return None
    messages, reasons = shape(fields)
    took = _usage_field(fields)
    return Answer(
        model=text(one_of(fields, "model", "model_version", "modelVersion")),
        provider=_provider(value, fields),
        usage=_with_searches(usage_of(took), fields),
        output_messages=messages,
        finish_reasons=reasons,
        response_id=text(one_of(fields, "id", "response_id", "responseId")),
        service_tier=_tier(fields, known(took)),
        system_fingerprint=text(fields.get("system_fingerprint")),
    )


def _pair(first: object, second: object) -> Answer | None:
    """A text, or an answer, with its usage; of an answer with anything else the answer."""
    usage, found = usage_of(second), _answer(first)
    if usage is None:
        return None if is_text(first) else found
    return Answer(usage=usage) if found is None else replace(found, usage=usage)


def _unwrapped(fields: Fields) -> Fields:
    """The response inside a raw HTTP response that has been read, or inside the last event of a stream."""
    if "http_response" in fields:
        body = stored(fields["http_response"]).get("_content")
        return known(msgspec.json.decode(body)) if type(body) is bytes else {}
    return known(fields.get("response")) or fields


def _usage_field(fields: Fields) -> Any:
    """Groq puts the usage of a stream below `x_groq`."""
    found = one_of(fields, "usage", "usage_metadata", "usageMetadata")
    return at(fields, "x_groq", "usage") if found is None else found


def _with_searches(usage: Usage | None, fields: Fields) -> Usage | None:
    """The usage with searches that the answer holds and its usage does not count: OpenAI's Responses, Gemini."""
    if usage is None:
        return None
    web, files = 0, 0
    for item in map(known, listed(fields.get("output"))):
        kind = text(item.get("type"))
        web += kind == "web_search_call" and text(at(item, "action", "type")) in (None, "search")
        files += kind == "file_search_call"
    for candidate in map(known, listed(fields.get("candidates"))):
        web += len(_queries(known(one_of(candidate, "grounding_metadata", "groundingMetadata"))))
    if (text(one_of(fields, "model_version", "modelVersion")) or "").startswith(_BILLED_BY_PROMPT):
        web = min(web, 1)
    if not web and not files:
        return usage
    return replace(usage, web_searches=web or usage.web_searches, file_searches=files or usage.file_searches)


def _queries(grounding: Fields) -> list[Any]:
    """What Gemini searched the web for; of an empty query nothing is billed."""
    return [query for query in listed(one_of(grounding, "web_search_queries", "webSearchQueries")) if query]


_BILLED_BY_PROMPT = ("gemini-1", "gemini-2")
"""Models of which the prompt that was grounded is billed, however often they searched."""


def _tier(fields: Fields, usage: Fields) -> str | None:
    """Anthropic's fast mode is a price of its own whatever the service tier is."""
    speed = text(usage.get("speed"))
    return speed if speed == "fast" else text(fields.get("service_tier")) or text(usage.get("service_tier"))


def _provider(value: object, fields: Fields) -> str | None:
    """The service that answered, where its library or a field that only it has gives it away."""
    library = None if type(value) is dict else library_of(type(value))
    if library in _PROVIDERS:
        return _PROVIDERS[library]
    return next((name for path, name in _MARKS if path[0] in fields and at(fields, *path) is not None), None)


def _chat(fields: Fields) -> _MessagesAndReasons:
    return _choices([
        (_chosen(choice), text(choice.get("finish_reason"))) for choice in map(known, listed(fields.get("choices")))
    ])  # fmt: skip


def _chosen(choice: Fields) -> Any:
    """The message of a choice, what a chunk adds to it, or the text of an old completion."""
    found = one_of(choice, "message", "delta")
    return {"content": choice.get("text")} if found is None else found


def _gemini(fields: Fields) -> _MessagesAndReasons:
    candidates = map(known, listed(fields.get("candidates")))
    return _choices([(one.get("content"), text(one_of(one, "finish_reason", "finishReason"))) for one in candidates])


def _anthropic(fields: Fields) -> _MessagesAndReasons:
    return _choices([({"content": fields.get("content")}, text(fields.get("stop_reason")))])


def _converse(fields: Fields) -> _MessagesAndReasons:
    return _choices([(at(fields, "output", "message"), text(fields.get("stopReason")))])


def _response(fields: Fields) -> _MessagesAndReasons:
    parts = parts_of(fields.get("output"))
    reason = _response_reason(fields, any(part["type"] == "tool_call" for part in parts))
    return [said("assistant", parts, reason)] if parts else [], [reason] if reason else []


def _response_reason(fields: Fields, calls_tools: bool) -> str | None:
    """Responses have a status instead of a finish reason; while one is queued or runs there is none."""
    status = text(fields.get("status"))
    if status == "incomplete":
        reason = text(at(fields, "incomplete_details", "reason"))
        return "length" if reason == "max_output_tokens" else reason
    if status == "completed":
        return "tool_calls" if calls_tools else "stop"
    return {"failed": "error", "cancelled": "cancelled"}.get(status or "")


def _embedding(fields: Fields) -> _MessagesAndReasons:
    return [], []


def _other(fields: Fields) -> _MessagesAndReasons:
    """Anything with a usage of a known shape."""
    content = one_of(fields, "content", "text", "output_text")
    return _choices([({"content": content}, None)] if content is not None else [])


def _choices(choices: list[tuple[Any, str | None]]) -> _MessagesAndReasons:
    messages = [said("assistant", message_of(message, "assistant")["parts"], reason) for message, reason in choices]
    return messages, [reason for _, reason in choices if reason]


def _has_list(name: str) -> Callable[[Fields], bool]:
    return lambda fields: type(fields.get(name)) is list


def _has_usage(fields: Fields) -> bool:
    return usage_of(_usage_field(fields)) is not None


_SHAPES: tuple[tuple[Callable[[Fields], bool], Callable[[Fields], _MessagesAndReasons]], ...] = (
    (_has_list("choices"), _chat),
    (lambda fields: text(fields.get("object")) == "response" or _has_list("output")(fields), _response),
    (lambda fields: "stop_reason" in fields and _has_list("content")(fields), _anthropic),
    (lambda fields: one_of(fields, "candidates", "usage_metadata", "usageMetadata") is not None, _gemini),
    (lambda fields: at(fields, "output", "message") is not None, _converse),
    (lambda fields: _has_list("data")(fields) and _has_usage(fields), _embedding),
    (_has_usage, _other),
)
