"""Runs of LangChain and LangGraph as our spans.

    chain.invoke(question, config={"callbacks": [InstrumentCallbacks()]})

Given to the outermost call it sees everything below. Where `patch_openai` sees the same model calls, they are counted
there, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage, convert_to_openai_messages
from langchain_core.outputs import LLMResult

from instrument.attributes import PROVIDER, SESSION, TAGS
from instrument.integrations.told import ToldSpans
from instrument.record.safely import safely

SERVICE_PARTS = ("_type", "stream", "ls_provider")
"""Invocation parameters that are LangChain's own."""


class InstrumentCallbacks(BaseCallbackHandler):
    """Chains and graph nodes are steps; model calls, tools and retrievers are spans of their kinds."""

    run_inline = True  # in the caller's own context, so that what it runs hangs below

    def __init__(self) -> None:
        self._told = ToldSpans()

    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """A runnable, a graph or one of its nodes begins."""
        given = inputs if isinstance(inputs, dict) else {"input": inputs}
        name = more.get("name") or _name_of(serialized) or "chain"
        kind = "step" if parent_run_id else "workflow"
        said = safely(_plain, given)
        self._told.begin(run_id, name, kind, above=parent_run_id, input=said, attributes=_described(tags, metadata))

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **more: Any) -> None:
        """It gave its result."""
        self._told.end(run_id, safely(_plain, outputs))

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        """A chain, a model, a tool or a retriever failed."""
        self._told.fail(run_id, error)

    on_llm_error = on_tool_error = on_retriever_error = on_chain_error

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """A chat model is asked."""
        said = safely(_spoken, messages[0] if messages else []) or []
        self._ask(run_id, parent_run_id, said, tags, metadata, more)

    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """A model that completes texts is asked."""
        self._ask(run_id, parent_run_id, list(prompts), tags, metadata, more)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **more: Any) -> None:
        """The model has answered."""
        self._told.end_call(run_id, safely(_answer, response))

    def on_tool_start(
        self,
        serialized: dict[str, Any],
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        inputs: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """A tool is called."""
        name = more.get("name") or _name_of(serialized) or "tool"
        given = inputs if inputs is not None else {"input": input_str}
        self._told.begin(run_id, name, "tool", above=parent_run_id, input=given, attributes=_described(tags, metadata))

    def on_tool_end(self, output: Any, *, run_id: UUID, **more: Any) -> None:
        """The tool gave its result."""
        self._told.end(run_id, getattr(output, "content", None) if isinstance(output, BaseMessage) else output)

    def on_retriever_start(
        self,
        serialized: dict[str, Any],
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """Documents are looked for."""
        name = more.get("name") or _name_of(serialized) or "retriever"
        self._told.begin(
            run_id,
            name,
            "retrieval",
            above=parent_run_id,
            input={"query": query},
            attributes=_described(tags, metadata),
        )

    def on_retriever_end(self, documents: Sequence[Any], *, run_id: UUID, **more: Any) -> None:
        """Documents were found."""
        self._told.end(run_id, safely(_found, documents))

    def on_retry(self, retry_state: Any, *, run_id: UUID, **more: Any) -> None:
        """Something is tried again."""
        self._told.note(run_id, "retry", attempt=getattr(retry_state, "attempt_number", None))

    def _ask(
        self,
        run_id: UUID,
        parent_run_id: UUID | None,
        messages: list[Any],
        tags: list[str] | None,
        metadata: dict[str, Any] | None,
        more: Mapping[str, Any],
    ) -> None:
        about = metadata or {}
        settings = {
            key: value for key, value in (more.get("invocation_params") or {}).items() if key not in SERVICE_PARTS
        }
        model = settings.get("model") or settings.get("model_name") or about.get("ls_model_name")
        asked = {**settings, "model": model, "messages": messages}
        attributes = _described(tags, metadata)
        if about.get("ls_provider"):
            attributes[PROVIDER] = str(about["ls_provider"])
        self._told.begin(
            run_id, f"chat {model or ''}".strip(), "llm", above=parent_run_id, asked=asked, attributes=attributes
        )


def _name_of(serialized: Mapping[str, Any] | None) -> str | None:
    told = serialized or {}
    name = told.get("name") or (told.get("id") or [None])[-1]
    return str(name) if name else None


def _described(tags: Iterable[str] | None, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Tags, and what was said of the run; a thread of LangGraph is a session."""
    about = dict(metadata or {})
    session = about.pop("session_id", None) or about.get("thread_id")
    told: dict[str, Any] = {f"langchain.{name}": value for name, value in about.items() if not name.startswith("ls_")}
    if session:
        told[SESSION] = str(session)
    if tags:
        told[TAGS] = list(tags)
    return told


def _plain(value: Any) -> Any:
    """Messages inside of inputs and results in the form that people know."""
    if isinstance(value, BaseMessage):
        return _spoken([value])[0]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _found(documents: Iterable[Any]) -> list[Any]:
    return [{"content": document.page_content, "metadata": document.metadata} for document in documents]


def _spoken(messages: Iterable[BaseMessage]) -> list[Any]:
    told = convert_to_openai_messages(list(messages))
    return told if isinstance(told, list) else [told]


def _answer(response: LLMResult) -> dict[str, Any]:
    """In the form of a chat completion."""
    generations = response.generations[0] if response.generations else []
    choices = [_choice(at, one) for at, one in enumerate(generations)]
    first = next((one.message for one in generations if hasattr(one, "message")), None)
    about = getattr(first, "response_metadata", {})
    model = about.get("model_name") or about.get("model") or (response.llm_output or {}).get("model_name")
    usage = _usage(getattr(first, "usage_metadata", None)) or (response.llm_output or {}).get("token_usage")
    raw = about.get("usage") or {}
    content = getattr(first, "content", None)
    blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    if usage is not None:
        usage = {**usage, "speed": raw.get("speed"), "server_tool_use": raw.get("server_tool_use") or _searches(blocks)}
    return {
        "id": about.get("id"),
        "model": model,
        "choices": choices,
        "usage": usage,
        "service_tier": about.get("service_tier") or raw.get("service_tier"),
        "output": [block for block in blocks if block.get("type") in ("web_search_call", "file_search_call")],
    }


def _searches(blocks: list[dict[str, Any]]) -> dict[str, int]:
    """What Anthropic counts beside its tokens, which LangChain leaves out where an answer was streamed."""
    return {"web_search_requests": sum((block.get("type"), block.get("name")) == _SEARCH for block in blocks)}


_SEARCH = ("server_tool_use", "web_search")


def _choice(index: int, generation: Any) -> dict[str, Any]:
    message = getattr(generation, "message", None)
    spoken = {"role": "assistant", "content": generation.text} if message is None else _spoken([message])[0]
    about = {**getattr(message, "response_metadata", {}), **(generation.generation_info or {})}
    return {"index": index, "message": spoken, "finish_reason": about.get("finish_reason") or about.get("stop_reason")}


def _usage(told: Any) -> dict[str, Any] | None:
    """LangChain's own counts, which include what is read from a cache and what is reasoned."""
    if not told:
        return None
    given, gave = told.get("input_token_details") or {}, told.get("output_token_details") or {}
    return {
        "prompt_tokens": told.get("input_tokens"),
        "completion_tokens": told.get("output_tokens"),
        "prompt_tokens_details": {
            "cached_tokens": _detail(given, "cache_read"),
            "cache_write_tokens": _written(given),
            "audio_tokens": given.get("audio"),
        },
        "completion_tokens_details": {
            "reasoning_tokens": _detail(gave, "reasoning"),
            "audio_tokens": gave.get("audio"),
        },
        "cache_write_1h": given.get("ephemeral_1h_input_tokens"),
    }


def _detail(counts: Mapping[str, Any], name: str) -> Any:
    """A count, which is called after the service tier where the call had one: `flex_cache_read`."""
    return next((counts[key] for key in (name, f"flex_{name}", f"priority_{name}") if key in counts), None)


def _written(counts: Mapping[str, Any]) -> Any:
    """Where it is told by how long they are kept, the count of all writes is 0."""
    by_time = sum(counts.get(f"ephemeral_{time}_input_tokens") or 0 for time in ("5m", "1h"))
    return by_time or _detail(counts, "cache_creation")
