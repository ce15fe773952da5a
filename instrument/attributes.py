"""The one table of attribute names: what our records call a thing, and what the conventions call it.

A record holds an attribute by the name that the newest edition of the OpenTelemetry GenAI conventions has for it, by
one of ours (`instrument.…`) where that has none. Tokens, money, kind and content are fields of the record; what they
become outside is here as well. Who records and who exports takes names from here, so that a change of a convention is
a change of this table.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal, NamedTuple

import msgspec

from instrument.model import Cost, Span, Usage

Edition = Literal["latest", "1.41", "both"]
"""Which GenAI conventions to write: the newest, the last edition inside of the main repository, or names of both."""


class Names(NamedTuple):
    """What the conventions call one thing, None where one of them has no name. `before` is that of edition 1.41."""

    genai: str | None = None
    openinference: str | None = None
    before: str | None = None


TIMES = "instrument.times"
ORDER_ONLY = "order only"
"""What `instrument.times` says of a span whose times are not known: those that it has only keep the order."""

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
"""Fields of `usage.Request` and its settings."""

RESPONSE = {
    "model": RESPONSE_MODEL,
    "provider": PROVIDER,
    "finish_reasons": "gen_ai.response.finish_reasons",
    "response_id": "gen_ai.response.id",
    "service_tier": RESPONSE_TIER,
    "system_fingerprint": "openai.response.system_fingerprint",
}
"""Fields of `usage.Answer`."""

# What is recorded of any span

AGENT_ID = "gen_ai.agent.id"
AGENT_NAME = "gen_ai.agent.name"
LEDGER_OPERATION = "instrument.operation"
SESSION = "session.id"
USER = "user.id"
TAGS = "instrument.tags"

TELLS_NO_CONTENT = frozenset(
    {
        *(name for field, name in REQUEST.items() if field != "stop"),
        *RESPONSE.values(),
        *(OPERATION, PROVIDER, API_TYPE, SERVER_ADDRESS, SERVER_PORT, STATUS_CODE, ERROR_TYPE),
        *(STREAM, FIRST_CHUNK, FIRST_TOKEN, CHUNKS, TOKENS_PER_SECOND, CLOSED_EARLY),
        *(CACHE_HIT, UNREAD_BODY, NO_ITERATION),
        *(AGENT_ID, AGENT_NAME, LEDGER_OPERATION, SESSION, USER, TAGS, TIMES),
        *("gen_ai.tool.name", "gen_ai.tool.call.id", "gen_ai.tool.type"),
    }
)
"""Attributes that are recorded where contents are not: none of them tells what was asked or answered."""

# What exporters make of a record

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

TARGETS = {
    "tool": Names("gen_ai.tool.name", "tool.name"),
    "agent": Names("gen_ai.agent.name", "agent.name"),
    "workflow": Names("gen_ai.workflow.name"),
    "retrieval": Names("gen_ai.data_source.id"),
}
"""Kinds of spans whose name is an attribute as well."""

USAGE = {
    "input": Names("gen_ai.usage.input_tokens", "llm.token_count.prompt"),
    "output": Names("gen_ai.usage.output_tokens", "llm.token_count.completion"),
    "cached": Names("gen_ai.usage.cache_read.input_tokens", "llm.token_count.prompt_details.cache_read"),
    "cache_write": Names(
        "gen_ai.usage.cache_write.input_tokens",
        "llm.token_count.prompt_details.cache_write",
        before="gen_ai.usage.cache_creation.input_tokens",
    ),
    "reasoning": Names("gen_ai.usage.reasoning.output_tokens", "llm.token_count.completion_details.reasoning"),
    "audio": Names("instrument.usage.audio_tokens"),
    "source": Names("instrument.usage.source"),
}
"""Fields of `Usage`; inclusive in both conventions."""

COST = {
    "usd": Names("instrument.cost.usd", "llm.cost.total"),
    "input": Names("instrument.cost.input", "llm.cost.prompt_details.input"),
    "cached": Names("instrument.cost.cached", "llm.cost.prompt_details.cache_read"),
    "cache_write": Names("instrument.cost.cache_write", "llm.cost.prompt_details.cache_write"),
    "output": Names("instrument.cost.output", "llm.cost.completion"),
    "basis": Names("instrument.cost.basis"),
    "price_date": Names("instrument.cost.price_date"),
}
"""Fields of `Cost`: decimal strings in a record and in our names, numbers in OpenInference."""

CONTENT = {
    "messages": Names("gen_ai.input.messages", "llm.input_messages"),
    "answer": Names("gen_ai.output.messages", "llm.output_messages"),
    "instructions": Names("gen_ai.system_instructions"),
    "tools": Names("gen_ai.tool.definitions", "llm.tools"),
    "settings": Names(None, "llm.invocation_parameters"),
    "arguments": Names("gen_ai.tool.call.arguments", "input.value"),
    "result": Names("gen_ai.tool.call.result", "output.value"),
    "input": Names("instrument.input", "input.value"),
    "output": Names("instrument.output", "output.value"),
}
"""What a span was given and gave: of a model call, of a tool (`arguments`, `result`), of any other span."""

OPENINFERENCE = {
    PROVIDER: "llm.provider",
    REQUEST_MODEL: "llm.request.model_name",
    RESPONSE_MODEL: "llm.response.model_name",
    RESPONSE["finish_reasons"]: "llm.finish_reason",
    "gen_ai.agent.name": "agent.name",
    "gen_ai.tool.name": "tool.name",
    "gen_ai.tool.description": "tool.description",
    "gen_ai.tool.call.id": "tool.id",
    "gen_ai.tool.type": "tool.type",
    SESSION: SESSION,
    USER: USER,
    TAGS: "tag.tags",
}
"""Attributes of a record that OpenInference calls otherwise. The request's settings stand together in `CONTENT`."""

TOTAL_TOKENS = "llm.token_count.total"
PROMPT_COST = "llm.cost.prompt"
SPAN_KIND = "openinference.span.kind"
CONVERSATION = REQUEST["conversation"]


def genai_attributes(span: Span, edition: Edition = "both") -> dict[str, Any]:
    """All of a span but its content by the names of the GenAI conventions, ours where they have none.

    The span's values are plain. A session is a conversation where the span names no other.
    """
    kind, target = KINDS.get(span.kind, Names()), TARGETS.get(span.kind, Names())
    found: dict[Any, Any] = {
        OPERATION: kind.genai,
        target.genai: span.name,
        CONVERSATION: span.attributes.get(SESSION),
        ERROR_TYPE: span.error.type if span.error is not None else None,
        **span.attributes,
        "instrument.kind": span.kind,
        **_in_edition(USAGE, _said(span.usage), edition),
        **_in_edition(COST, _said(span.cost), edition),
    }
    return {name: value for name, value in found.items() if name is not None and value is not None}


def openinference_attributes(span: Span) -> dict[str, Any]:
    """All of a span but its content by the names of OpenInference; what it has no name for keeps its own."""
    kind, target = KINDS.get(span.kind, Names()), TARGETS.get(span.kind, Names())
    found: dict[Any, Any] = {
        SPAN_KIND: kind.openinference or "CHAIN",
        target.openinference: span.name,
        **{OPENINFERENCE.get(name, name): value for name, value in span.attributes.items()},
        **{USAGE[field].openinference: count for field, count in _said(span.usage).items()},
        **_money(span.cost),
    }
    if span.usage is not None:
        found[TOTAL_TOKENS] = (span.usage.input or 0) + (span.usage.output or 0)
    if span.kind in ("llm", "embedding"):
        found["llm.model_name"] = span.attributes.get(RESPONSE_MODEL) or span.attributes.get(REQUEST_MODEL)
    reasons = found.get(OPENINFERENCE[RESPONSE["finish_reasons"]])
    if isinstance(reasons, list):
        found[OPENINFERENCE[RESPONSE["finish_reasons"]]] = ",".join(map(str, reasons))
    return {name: value for name, value in found.items() if name is not None and value is not None}


def _said(fields: Usage | Cost | None) -> dict[str, Any]:
    """What usage or cost says, by field. Whether the provider said it, or on what it was computed, always."""
    if fields is None:
        return {}
    said = msgspec.structs.asdict(fields)
    return {field: value for field, value in said.items() if value is not None}


def _in_edition(table: dict[str, Names], said: dict[str, Any], edition: Edition) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for field, value in said.items():
        names = table[field]
        if names.before is None or edition in ("latest", "both"):
            found[names.genai] = value
        if names.before is not None and edition in ("1.41", "both"):
            found[names.before] = value
    return found


def _money(cost: Cost | None) -> dict[Any, Any]:
    """Money as numbers, which OpenInference wants; the parts of the prompt are also told as one."""
    said = {field: value for field, value in _said(cost).items() if COST[field].openinference is not None}
    prompt = [Decimal(said[field]) for field in ("input", "cached", "cache_write") if field in said]
    found: dict[Any, Any] = {COST[field].openinference: float(value) for field, value in said.items()}
    return {**found, PROMPT_COST: float(sum(prompt))} if prompt else found
