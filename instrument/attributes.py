"""Names of attributes that several modules need: what our records call a thing, and what the conventions call it.

A record holds an attribute by the name that the newest edition of the OpenTelemetry GenAI conventions has for it, by
one of ours (`instrument.…`) where that has none. Kind and tokens are fields of the record; what they become outside is
here as well. What only one exporter or reader knows stands there (`views.genai`, `views.openinference`,
`store.foreign.names`).
"""

from __future__ import annotations

from typing import NamedTuple


class Names(NamedTuple):
    """What the conventions call one thing, None where one of them has no name. `before` is that of edition 1.41."""

    genai: str | None = None
    openinference: str | None = None
    before: str | None = None


TIMES = "instrument.times"
ORDER_ONLY = "order only"
"""What `instrument.times` says of a span whose times are not known: those that it has only keep the order."""
MESSAGES = "instrument.messages"
NEW_ONLY = "new only"
"""What `instrument.messages` says of a model call whose input is what was said since the last answer, not the whole."""
SAMPLING_RATE = "instrument.sampling.rate"
"""The share of traces like this one that is stored, on roots that are."""

# What is recorded of a call of a model

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
REQUEST_TIER = "openai.request.service_tier"
RESPONSE_TIER = "openai.response.service_tier"
API_TYPE = "openai.api.type"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
STATUS_CODE = "http.response.status_code"
ERROR_TYPE = "error.type"
STREAM = "gen_ai.request.stream"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
FIRST_TOKEN = "instrument.stream.time_to_first_token"
CHUNKS = "instrument.stream.chunks"
TOKENS_PER_SECOND = "instrument.stream.tokens_per_second"
CLOSED_EARLY = "instrument.closed_early"
BROKEN_OFF = "instrument.stream.broken_off"
"""True on a model call whose stream ended as one that is over does, without the word of the service that it is."""
RETRIES = "instrument.retries"
"""How often the client sent the request of a model call again by itself."""
RETRIED_FOR = "instrument.retries.seconds"
"""How long it was under way by then: failed tries and the client's sleep between them, which no model worked in."""
CACHE_HIT = "instrument.cache.hit"
"""Set to true on a model call that a cache of the program's own answered: it was not billed."""
UNREAD_BODY = "instrument.unread_body_bytes"
NO_ITERATION = "instrument.no_iteration"
"""True on a step that is no turn of an agent's loop: around a model call, of a framework's making, or a message."""

REQUEST = {
    "model": REQUEST_MODEL,
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "stop": "gen_ai.request.stop_sequences",
    "seed": "gen_ai.request.seed",
    "n": "gen_ai.request.choice.count",
    "stream": STREAM,
    "encoding_format": "gen_ai.request.encoding_formats",
    "dimensions": "gen_ai.embeddings.dimension.count",
    "reasoning_effort": "gen_ai.request.reasoning.level",
    "previous_response_id": "gen_ai.request.previous_response.id",
    "conversation": "gen_ai.conversation.id",
    "service_tier": REQUEST_TIER,
    "output_type": "gen_ai.output.type",
}
"""Fields of `request.Request` and its settings."""

RESPONSE = {
    "model": RESPONSE_MODEL,
    "provider": PROVIDER,
    "finish_reasons": "gen_ai.response.finish_reasons",
    "response_id": "gen_ai.response.id",
    "service_tier": RESPONSE_TIER,
    "system_fingerprint": "openai.response.system_fingerprint",
}
"""Fields of `answer.Answer`."""

FINISH_REASONS = RESPONSE["finish_reasons"]

# What is recorded of any span

AGENT_ID = "gen_ai.agent.id"
AGENT_NAME = "gen_ai.agent.name"
TOOL_NAME = "gen_ai.tool.name"
TOOL_CALL_ID = "gen_ai.tool.call.id"
LEDGER_OPERATION = "instrument.operation"
SESSION = "session.id"
USER = "user.id"
TAGS = "instrument.tags"
LABEL = "instrument.label"
"""What a span is about, shown beside its name."""
OUTCOME = "instrument.agent.outcome"
ITERATION = "instrument.iteration"

TELLS_NO_CONTENT = frozenset(
    {
        *(name for field, name in REQUEST.items() if field != "stop"),
        *RESPONSE.values(),
        *(OPERATION, PROVIDER, API_TYPE, SERVER_ADDRESS, SERVER_PORT, STATUS_CODE, ERROR_TYPE),
        *(STREAM, FIRST_CHUNK, FIRST_TOKEN, CHUNKS, TOKENS_PER_SECOND, CLOSED_EARLY, BROKEN_OFF),
        *(RETRIES, RETRIED_FOR, CACHE_HIT, UNREAD_BODY, NO_ITERATION),
        *(AGENT_ID, AGENT_NAME, LEDGER_OPERATION, SESSION, USER, TAGS, TIMES, MESSAGES),
        *(TOOL_NAME, TOOL_CALL_ID, "gen_ai.tool.type", "exception.type", "otel.scope.name"),
    }
)
"""Attributes that are recorded where contents are not: none of them tells what was asked or answered."""

# What exporters make of a record

INSTRUCTIONS = "gen_ai.system_instructions"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL_DEFINITIONS = "gen_ai.tool.definitions"
SETTINGS = "instrument.settings"

KINDS = {
    "llm": Names("chat", "LLM"),
    "embedding": Names("embeddings", "EMBEDDING"),
    "tool": Names("execute_tool", "TOOL"),
    "agent": Names("invoke_agent", "AGENT"),
    "workflow": Names("invoke_workflow", "CHAIN"),
    "retrieval": Names("retrieval", "RETRIEVER"),
    "step": Names(None, "CHAIN"),
    "span": Names(None, "CHAIN"),
}
"""Kinds of spans: `gen_ai.operation.name` where the span says no other, and `openinference.span.kind`."""

TOKENS = {
    "input": Names("gen_ai.usage.input_tokens", "llm.token_count.prompt"),
    "output": Names("gen_ai.usage.output_tokens", "llm.token_count.completion"),
    "cached": Names("gen_ai.usage.cache_read.input_tokens", "llm.token_count.prompt_details.cache_read"),
    "cache_write": Names(
        "gen_ai.usage.cache_write.input_tokens",
        "llm.token_count.prompt_details.cache_write",
        before="gen_ai.usage.cache_creation.input_tokens",
    ),
    "reasoning": Names("gen_ai.usage.reasoning.output_tokens", "llm.token_count.completion_details.reasoning"),
    "audio": Names("gen_ai.usage.audio.input_tokens", "llm.token_count.prompt_details.audio"),
    "cache_write_1h": Names("instrument.usage.cache_write_1h.input_tokens"),
    "web_searches": Names("instrument.usage.web_searches"),
    "file_searches": Names("instrument.usage.file_searches"),
}
"""Counts of `Usage`; inclusive in both conventions, which have no names for the last three."""
