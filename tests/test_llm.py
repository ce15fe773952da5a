"""`@llm_call`: model and tokens from whatever the function returns, else an estimate, and the price."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

import instrument
from instrument import current_span, llm_call, span
from instrument.analysis.metrics import measure
from instrument.model import Usage
from instrument.testing import Recording, record

PRICES = {"m": {"input": "1", "output": "2"}, "local": {"input": 0, "output": 0}}


@pytest.fixture
def recording() -> Iterator[Recording]:
    with record(prices=PRICES) as recording:
        yield recording


CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "model": "m-2026",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "prompt_tokens_details": {"cached_tokens": 10}},
}


def test_usage_of_an_openai_answer(recording: Recording) -> None:
    """A returned chat completion gives its usage, inclusive and with its parts."""

    @llm_call
    def ask() -> Any:
        return CHAT

    ask()
    assert Usage(input=1000, cached=10, output=500) == recording.span("ask").usage


def test_answered_model_is_an_attribute(recording: Recording) -> None:
    """The model that answered is kept beside the one that was asked."""

    @llm_call(model="m")
    def ask() -> Any:
        return CHAT

    ask()
    attributes = recording.span("ask").attributes
    assert ("m", "m-2026") == (attributes["gen_ai.request.model"], attributes["gen_ai.response.model"])


def test_pair_of_text_and_usage(recording: Recording) -> None:
    """A `(text, usage)` pair is priced at the model of the decorator."""

    @llm_call(model="m")
    def ask() -> Any:
        return "hi", {"input_tokens": 1_000_000, "output_tokens": 1_000_000}

    ask()
    assert Decimal(3) == Decimal(recording.span("ask").cost.usd)  # type: ignore[union-attr, arg-type]


def test_plain_text_is_counted_and_marked(recording: Recording) -> None:
    """Where nothing is reported the tokens are counted by tiktoken and marked as an estimate."""

    @llm_call
    def ask(prompt: str, model: str) -> str:
        return "hello world"

    ask("hello world", model="gpt-4o")
    usage = recording.span("ask").usage
    assert (2, "estimated") == (usage.output, usage.source)  # type: ignore[union-attr]  # it was counted


def test_unknown_model_is_unpriced_and_never_free(recording: Recording) -> None:
    """An unknown model has no cost, not a cost of 0."""

    @llm_call(model="nobody-knows-this")
    def ask() -> Any:
        return "hi", {"input_tokens": 5, "output_tokens": 5}

    ask()
    cost = recording.span("ask").cost
    assert (None, "unpriced") == (cost.usd, cost.basis)  # type: ignore[union-attr]  # there is a basis


def test_model_with_a_price_of_nothing_is_free(recording: Recording) -> None:
    """A model that one's own prices put at 0 is `free`."""

    @llm_call(model="local")
    def ask() -> Any:
        return "hi", {"input_tokens": 5, "output_tokens": 5}

    ask()
    assert "free" == recording.span("ask").cost.basis  # type: ignore[union-attr]  # there is a basis


def test_usage_said_outright_wins(recording: Recording) -> None:
    """`current_span().usage(...)` counts more than what the answer says."""

    @llm_call
    def ask() -> Any:
        span = current_span()
        assert span is not None
        span.usage(input=1, output=2, model="m")
        return CHAT

    ask()
    found = recording.span("ask")
    assert (1, 2) == (found.usage.input, found.usage.output)  # type: ignore[union-attr]  # there is usage


def test_operation_of_a_decorated_model_call_is_its_own_name(recording: Recording) -> None:
    """A block around a model call does not give its name to the operation."""

    @llm_call(model="m")
    def think() -> Any:
        return CHAT

    with span("step", kind="step"):
        think()
    assert "instrument.operation" not in recording.span("think").attributes


def test_inner_model_call_is_the_llm_span(recording: Recording) -> None:
    """Where one model call is made by another, the outer one is a step without usage, and no iteration."""

    @llm_call(model="m")
    def inner() -> Any:
        return CHAT

    @llm_call
    def outer() -> Any:
        return inner()

    outer()
    assert [("inner", "llm", True), ("outer", "step", False)] == [
        (span.name, span.kind, span.usage is not None) for span in recording.spans
    ]
    assert 0 == measure(recording.spans).iterations


def test_failed_call_has_no_usage(recording: Recording) -> None:
    """A call that raised is not given an invented usage."""

    @llm_call(model="m")
    def ask() -> Any:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        ask()
    assert None is recording.span("ask").usage


def test_model_is_named_whatever_the_kind(recording: Recording) -> None:
    """A tool or a block that says which model took its tokens is priced by it, and says which one that was."""
    with instrument.span("raw call") as span:
        span.usage(input=1, output=0, model="m")
    assert "m" == recording.span("raw call").attributes["gen_ai.response.model"]


def test_async_and_span_of_kind_llm(recording: Recording) -> None:
    """`span(kind="llm")` with `.usage` is priced like a decorated call."""
    with instrument.span("raw call", kind="llm") as span:
        span.usage(input=1_000_000, output=0, model="m")
    assert Decimal(1) == Decimal(recording.span("raw call").cost.usd)  # type: ignore[union-attr, arg-type]
