"""How many tokens a model call took, from the usage of any service: one shape with inclusive totals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from instrument.foreign import Fields, at, known, plain, text
from instrument.kinds import LARGEST_COUNT
from instrument.model import Usage

Path = tuple[str, ...]

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
