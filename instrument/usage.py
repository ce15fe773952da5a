"""What a model call was asked, what it answered and how many tokens it took, whichever library made it.

Responses are known by their shape, be they plain mappings or objects of a client library; how such objects are read
without running their code is in `foreign`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from instrument import attributes
from instrument.foreign import Fields, at, is_text, known, library_of, listed, one_of, plain, stored, text, type_name
from instrument.kinds import LARGEST_COUNT
from instrument.messages import Message, message_of, messages_of, parts_of, said
from instrument.model import Usage

Path = tuple[str, ...]

_PROVIDERS = {"anthropic": "anthropic", "groq": "groq", "mistralai": "mistral_ai", "google": "gcp.gen_ai"}

# Where a setting is found among the arguments of a call, the first that is given.
_SETTINGS: dict[str, tuple[Path, ...]] = {
    **{name: ((name,),) for name in attributes.REQUEST if name not in ("model", "output_type")},
    "max_tokens": (("max_completion_tokens",), ("max_output_tokens",), ("max_tokens",)),
    "stop": (("stop",), ("stop_sequences",)),
    "reasoning_effort": (("reasoning_effort",), ("reasoning", "effort")),
    "conversation": (("conversation", "id"), ("conversation",)),
    "output_type": (("response_format", "type"), ("text", "format", "type")),
    "tool_choice": (("tool_choice",),),
    "parallel_tool_calls": (("parallel_tool_calls",),),
    "background": (("background",),),
}

_SET_BY = frozenset(path[0] for paths in _SETTINGS.values() for path in paths)
SETUP = _SET_BY | {"model", "extra_body"}
"""Arguments that say with which model and settings a call was made."""

# Where each count is found in a usage, the first that is there. DeepSeek, Moonshot, Perplexity and Bedrock included.
_COUNTS: dict[str, tuple[Path, ...]] = {
    "input": (("input_tokens",), ("prompt_tokens",), ("prompt_token_count",), ("promptTokenCount",), ("inputTokens",),
              ("input",)),
    "output": (("output_tokens",), ("completion_tokens",), ("candidates_token_count",), ("candidatesTokenCount",),
               ("outputTokens",), ("output",)),
    "cached": (("input_tokens_details", "cached_tokens"), ("prompt_tokens_details", "cached_tokens"),
               ("input_token_details", "cached_tokens"), ("prompt_cache_hit_tokens",), ("cache_read_input_tokens",),
               ("cached_content_token_count",), ("cachedContentTokenCount",), ("cacheReadInputTokens",),
               ("cached_tokens",), ("cached",)),
    "cache_write": (("input_tokens_details", "cache_write_tokens"), ("prompt_tokens_details", "cache_write_tokens"),
                    ("cache_creation_input_tokens",), ("cacheWriteInputTokens",), ("cache_write",)),
    "cache_write_1h": (("cache_creation", "ephemeral_1h_input_tokens"), ("cache_write_1h",)),
    "reasoning": (("output_tokens_details", "reasoning_tokens"), ("completion_tokens_details", "reasoning_tokens"),
                  ("output_tokens_details", "thinking_tokens"), ("thoughts_token_count",), ("thoughtsTokenCount",),
                  ("reasoning_tokens",), ("reasoning",)),
    "web_searches": (("server_tool_use", "web_search_requests"), ("num_search_queries",),
                     ("tool_calls_details", "search_web", "invocation"), ("web_searches",)),
    "file_searches": (("file_searches",),),
    "total": (("total_tokens",), ("total_token_count",), ("totalTokenCount",), ("totalTokens",)),
}  # fmt: skip
_AUDIO = (
    ("prompt_tokens_details", "audio_tokens"), ("completion_tokens_details", "audio_tokens"),
    ("input_token_details", "audio_tokens"), ("output_token_details", "audio_tokens"), ("audio",),
)  # fmt: skip
_BY_MODALITY = ("promptTokensDetails", "candidatesTokensDetails", "prompt_tokens_details", "candidates_tokens_details")
"""Lists of counts by modality, as Gemini gives them; objects of these names are others'."""

_TOOL_PROMPT = ("tool_use_prompt_token_count", "toolUsePromptTokenCount")

# Beside these keys, input does not contain what was read from the cache or written to it (Anthropic, Bedrock).
_EXCLUSIVE = {
    "input_tokens": ("cache_read_input_tokens", "cache_creation_input_tokens"),
    "inputTokens": ("cacheReadInputTokens", "cacheWriteInputTokens"),
}
_BESIDE = frozenset({*chain(*_EXCLUSIVE.values()), *_TOOL_PROMPT})
_PLACES: dict[str, list[tuple[int, str, Path]]] = {}
"""By the first key of each path: its rank among those of its count, the count, the path."""
for _name, _paths in _COUNTS.items():
    for _rank, _path in enumerate(_paths):
        _PLACES.setdefault(_path[0], []).append((_rank, _name, _path))

# Fields by which a service that speaks OpenAI's language is known.
_MARKS: tuple[tuple[Path, str], ...] = (
    (("x_groq",), "groq"),
    (("prompt_filter_results",), "azure.ai.openai"),
    (("usage", "prompt_cache_miss_tokens"), "deepseek"),
)

# Types by which the clients mark an argument that was not given.
_LEFT_OUT = frozenset({"NotGiven", "Omit", "Unset"})


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


class Request(Struct, frozen=True, kw_only=True):
    """What a model was asked: messages in GenAI parts (instructions as the first), tool definitions, settings."""

    model: str | None = None
    input_messages: list[Message] = []
    tools: list[Any] = []
    settings: dict[str, Any] = {}

    def said(self) -> dict[str, Any]:
        """What is asked as the input of a span: messages, tools and settings, those that there are."""
        parts = {"messages": self.input_messages, "tools": self.tools, "settings": self.settings}
        return {part: value for part, value in parts.items() if value}

    def attributes(self) -> dict[str, Any]:
        """Model and settings, by the names of the conventions."""
        found = {"model": self.model, **self.settings}
        named = {attributes.REQUEST[name]: value for name, value in found.items() if name in attributes.REQUEST}
        return {attribute: value for attribute, value in named.items() if value is not None}


def answer(value: object) -> Answer | None:
    """What a model call returned, None where it is no answer of a kind that is known. Never raises.

    Known are the responses of OpenAI (chat, Responses, embeddings; parsed, raw, as plain mappings) and of services
    that speak its language, of Anthropic, Gemini and Bedrock, a plain text, and a pair of text and usage.
    """
    try:
        return _answer(value)
    except Exception:  # noqa: BLE001 - whatever a caller's function returned must not become an error of ours
        return None


def request(arguments: Mapping[str, Any]) -> Request:
    """What was asked, from the arguments of the call by name. Never raises; iterators are not consumed."""
    try:
        return _request(_given(arguments))
    except Exception:  # noqa: BLE001 - as above
        return Request()


def setup(arguments: Mapping[str, Any]) -> Request:
    """As `request`, of the arguments named in `SETUP` alone: model and settings, but not what was said."""
    try:
        return _setup(_given(arguments))
    except Exception:  # noqa: BLE001 - as above
        return Request()


def usage_of(value: object) -> Usage | None:
    """Tokens from a usage object or mapping of any known shape, with inclusive totals. None where it has no counts.

    Mistral bills `prompt_tokens_details.cached_tokens`; its `num_cached_tokens` is another count and is not read.
    """
    if type(value) is Usage:
        return value
    fields = plain(known(value))
    counts = _counts(fields)
    given, written = counts.get("input"), counts.get("output")
    if given is None and written is None:
        return None
    if not fields.keys().isdisjoint(_BESIDE):
        given = _sum([given, *_outside_input(fields)])
    reasoning = counts.get("reasoning")
    return Usage(
        input=given,
        cached=counts.get("cached"),
        cache_write=counts.get("cache_write"),
        output=_sum([written, reasoning]) if _reasoning_is_outside(fields, counts) else written,
        reasoning=reasoning,
        audio=_sum(_audio(fields)),
        cache_write_1h=_kept_for_an_hour(fields, counts),
        web_searches=counts.get("web_searches"),
        file_searches=counts.get("file_searches"),
    )


def _kept_for_an_hour(fields: Fields, counts: dict[str, int]) -> int | None:
    """Bedrock gives them in a list by how long they are kept."""
    details = fields.get("cacheDetails")
    if type(details) is not list:
        return counts.get("cache_write_1h")
    return _sum(_count(one.get("inputTokens")) for one in map(known, details) if text(one.get("ttl")) == "1h")


def _audio(fields: Fields) -> Iterator[int | None]:
    for path in _AUDIO:
        if path[0] in fields:
            yield _count(at(fields, *path))
    for name in _BY_MODALITY:
        counts = fields.get(name)
        for one in map(known, counts if type(counts) is list else ()):
            if text(one.get("modality")) == "AUDIO":
                yield _count(one.get("tokenCount", one.get("token_count")))


def _counts(fields: Fields) -> dict[str, int]:
    """The counts that are there, each from the first of its places that holds one."""
    found: dict[str, tuple[int, int]] = {}
    for key in fields:
        for rank, name, path in _PLACES.get(key, ()):
            if name not in found or rank < found[name][0]:
                count = _count(fields[key] if len(path) == 1 else at(fields, *path))
                if count is not None:
                    found[name] = rank, count
    return {name: count for name, (_, count) in found.items()}


def _outside_input(fields: Fields) -> list[int | None]:
    """Input tokens that the service does not count as input: cached ones with Anthropic, those of tools with Gemini."""
    keys = [key for name, beside in _EXCLUSIVE.items() if name in fields for key in beside]
    return [_count(fields.get(key)) for key in (*keys, *_TOOL_PROMPT)]


def _reasoning_is_outside(fields: Fields, counts: dict[str, int]) -> bool:
    """Whether output lacks the reasoning: always with Gemini, with xAI's chat as the total tells."""
    if "thoughts_token_count" in fields or "thoughtsTokenCount" in fields:
        return True
    reasoning, output = counts.get("reasoning", 0), counts.get("output", 0)
    return reasoning > output or (reasoning > 0 and counts.get("total") == counts.get("input", 0) + output + reasoning)


def _count(value: object) -> int | None:
    """A whole number of tokens, or None for anything else."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= LARGEST_COUNT else None


def _sum(counts: Iterable[int | None]) -> int | None:
    present = [count for count in counts if count is not None]
    return min(sum(present), LARGEST_COUNT) if present else None


# Answers: each shape gives the messages of an answer and its finish reasons.

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


# Requests


def _given(arguments: Mapping[str, Any]) -> Fields:
    """The arguments that were given, those of `extra_body` with them."""
    given = {**arguments, **known(arguments.get("extra_body"))}
    return {name: value for name, value in given.items() if type_name(value) not in _LEFT_OUT}


def _request(given: Fields) -> Request:
    instructions = parts_of(one_of(given, "instructions", "system", "system_instruction"))
    return replace(
        _setup(given),
        input_messages=[
            *([said("system", instructions)] if instructions else []),
            *messages_of(one_of(given, "messages", "input", "contents", "prompt")),
        ],
        tools=[plain(tool) for tool in listed(given.get("tools"))],
    )


def _setup(given: Fields) -> Request:
    settings = {}
    if not given.keys().isdisjoint(_SET_BY):
        found = ((name, _setting(given, paths)) for name, paths in _SETTINGS.items())
        settings = {name: plain(value) for name, value in found if value is not None}
    return Request(model=text(given.get("model")), settings=settings)


def _setting(given: Fields, paths: tuple[Path, ...]) -> Any:
    for path in paths:
        if path[0] in given and (found := at(given, *path)) is not None:
            return found
    return None
