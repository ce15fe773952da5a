"""Names that are read when traces are imported: those of `attributes`, and what others call such things.

Sources: the OpenTelemetry GenAI conventions with their older names, OpenInference, and the names that were common
before both. The first name that is there counts; the names that were used are taken off, all others are kept.
"""

from __future__ import annotations

from instrument import attributes

KIND_NAMES = ("openinference.span.kind", "gen_ai.operation.name", "traceloop.span.kind", "llm.request.type")
"""Attributes that say what a span is, best first."""

KINDS = {
    "agent": "agent", "invoke_agent": "agent", "create_agent": "agent",
    "llm": "llm", "chat": "llm", "generate_content": "llm", "text_completion": "llm", "completion": "llm",
    "tool": "tool", "execute_tool": "tool", "guardrail": "tool",
    "chain": "step", "task": "step", "plan": "step", "evaluator": "step", "prompt": "step", "decision": "step",
    "workflow": "workflow", "invoke_workflow": "workflow",
    "retriever": "retrieval", "retrieval": "retrieval", "reranker": "retrieval", "rerank": "retrieval",
    "embedding": "embedding", "embeddings": "embedding",
}  # fmt: skip
"""Their values, in lower case, as our kinds."""

RENAMED = {
    "gen_ai.provider.name": ("gen_ai.system", "llm.provider", "llm.system", "llm.vendor"),
    "gen_ai.request.model": ("llm.request.model_name", "llm.model_name", "embedding.model_name", "reranker.model_name",
                             "llm.request.model"),
    "gen_ai.response.model": ("llm.response.model_name", "llm.response.model"),
    "gen_ai.response.id": ("llm.response.id",),
    "gen_ai.response.finish_reasons": ("llm.finish_reason", "gen_ai.response.finish_reason",
                                       "llm.response.finish_reason"),
    "gen_ai.agent.name": ("agent.name",),
    "gen_ai.agent.id": ("agent.id",),
    "instrument.tags": ("tag.tags",),
    "gen_ai.tool.name": ("tool.name",),
    "gen_ai.tool.description": ("tool.description",),
    "gen_ai.tool.call.id": ("tool.id", "tool_call.id"),
    "session.id": ("gen_ai.conversation.id", "traceloop.association.properties.session_id"),
    "user.id": ("enduser.id", "traceloop.association.properties.user_id"),
    "openai.request.service_tier": ("gen_ai.openai.request.service_tier",),
    "openai.response.service_tier": ("gen_ai.openai.response.service_tier",),
    "openai.response.system_fingerprint": ("gen_ai.openai.response.system_fingerprint",),
    "gen_ai.request.max_tokens": ("llm.request.max_tokens",),
    "gen_ai.request.temperature": ("llm.temperature", "llm.request.temperature"),
    "gen_ai.request.top_p": ("llm.top_p", "llm.request.top_p"),
}  # fmt: skip
"""Our attribute and the names that it has elsewhere; it keeps its own where that is given."""


def _names(field: str, *older: str) -> tuple[str, ...]:
    """What a count is called by the conventions that we write, then by older names."""
    written = attributes.TOKENS[field]
    return tuple(name for name in (written.genai, written.before, written.openinference, *older) if name)


TOKENS = {
    "input": _names("input", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens", "decision.token_count.input"),
    "output": _names("output", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens",
                     "decision.token_count.output"),
    "cached": _names("cached", "gen_ai.usage.cache_read_input_tokens",
                     "llm.token_count.prompt_details.cache_input"),
    "cache_write": _names("cache_write", "gen_ai.usage.cache_creation_input_tokens"),
    "reasoning": _names("reasoning"),
    "audio": _names("audio", "instrument.usage.audio_tokens"),
    "cache_write_1h": _names("cache_write_1h"),
    "web_searches": _names("web_searches"),
    "file_searches": _names("file_searches"),
}  # fmt: skip
"""Counts of `Usage`, all of them inclusive in both conventions."""

TOTALS = ("llm.token_count.total", "gen_ai.usage.total_tokens", "llm.usage.total_tokens")
"""Sums of the above: said again, taken off where the parts are known."""

INPUT_MESSAGES = ("gen_ai.input.messages", "llm.input_messages", "gen_ai.prompt", "llm.prompts")
OUTPUT_MESSAGES = ("gen_ai.output.messages", "llm.output_messages", "gen_ai.completion", "llm.completions")
INSTRUCTIONS = ("gen_ai.system_instructions",)
TOOLS = ("gen_ai.tool.definitions", "llm.tools", "llm.request.functions")
SETTINGS = ("llm.invocation_parameters", "embedding.invocation_parameters")
INPUT = ("gen_ai.tool.call.arguments", "input.value", "gen_ai.retrieval.query.text", "reranker.query",
         "traceloop.entity.input")  # fmt: skip
OUTPUT = ("gen_ai.tool.call.result", "output.value", "gen_ai.retrieval.documents", "retrieval.documents",
          "reranker.output_documents", "traceloop.entity.output")  # fmt: skip

WRAPPERS = frozenset({"message", "message_content", "tool_call", "tool", "document"})
"""Levels that flattened names have and values do not: `llm.input_messages.0.message.role` is the role of message 0."""

CONTENT_EVENTS = frozenset({
    "gen_ai.content.prompt", "gen_ai.content.completion", "gen_ai.client.inference.operation.details",
})  # fmt: skip
"""Events of a span whose attributes are the content of the span."""
