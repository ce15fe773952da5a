"""One model call: what its answer says of model and tokens, what is counted where it says nothing, and what it cost."""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 - tiktoken needs it, and it cannot be imported while the program ends
from collections.abc import Iterator
from typing import Any
from weakref import ReferenceType, ref

import msgspec
from msgspec import Raw

from instrument import tokens
from instrument.answer import answer
from instrument.attributes import (
    CACHE_HIT,
    NO_ITERATION,
    PROVIDER,
    REQUEST_MODEL,
    REQUEST_TIER,
    RESPONSE_MODEL,
    RESPONSE_TIER,
)
from instrument.kinds import MODEL_KINDS
from instrument.model import Cost, Usage, opened
from instrument.pricing import Prices
from instrument.record.capture import Large
from instrument.record.spans import LiveSpan, add_unsaid, rare
from instrument.request import SETUP, Request, request, setup

NOT_SAID = frozenset({"role", "type", "id", "finish_reason"})


def take_over(span: LiveSpan) -> None:
    """One model call is one llm span: where one begins below another that still runs, the outer one becomes a step."""
    make_step(span.model_call)
    span.model_call = ref(span)


def make_step(reference: ReferenceType[Any] | None) -> None:
    """The model call that is referred to is none: another one inside it is. What it reserved is given back."""
    outer = None if reference is None else reference()
    while outer is not None:
        if outer.kind == "llm" and outer.duration is None:
            outer.kind = "step"
            if isinstance(outer, LiveSpan):
                rare(outer).setdefault("attributes", {})[NO_ITERATION] = True
                outer.recorder.announce(outer)
            for scope in outer.budgets:
                scope.settle(outer.span_id, None)
        above = getattr(outer, "above", None)  # only what stands for a span of others may have another around it
        outer = None if above is None else above()


def read_answer(span: LiveSpan, result: object) -> None:
    """Take model, tokens and messages from what a model call returned; what the user said outright wins."""
    found = answer(result)
    if found is None:
        return
    add_unsaid(span, "attributes", span.recorder.attributes(found.attributes()))
    span.model = span.model or found.model
    if found.usage is not None:
        nothing_said = {"output": 0} if span.kind == "embedding" else {}
        told = {name: count for name, count in msgspec.to_builtins(found.usage).items() if name != "source"}
        add_unsaid(span, "tokens", {**nothing_said, **told})
    if span.plan.capture_output and not isinstance(result, str) and found.output_messages:
        span.output = span.recorder.value({"messages": found.output_messages})


def settled(span: LiveSpan, prices: Prices, start_ns: int) -> tuple[Usage | None, Cost | None]:
    """Usage and cost of a model call that has ended; its attributes get what its arguments say of the request."""
    describe(span)
    if must_be_counted(span):
        span.tokens = _counted(span)
    return _spoken(span, prices, start_ns) if span.tokens else (None, None)


def reported(span: LiveSpan) -> Usage | None:
    """The tokens of the call as far as they were told."""
    return Usage(**span.tokens) if span.tokens else None


def describe(span: LiveSpan) -> None:
    """Have the span's attributes say which model was asked, with which settings, and which one answered."""
    if span.kind in MODEL_KINDS:
        _describe_request(span)
    if span.model is not None:
        add_unsaid(span, "attributes", {RESPONSE_MODEL: span.model})


def _describe_request(span: LiveSpan) -> None:
    asked = setup(span.asked or _setup_arguments(span))
    attributes = add_unsaid(span, "attributes", span.recorder.attributes(asked.attributes()))
    if span.plan.model is not None:
        attributes[REQUEST_MODEL] = span.plan.model


def model_of(span: LiveSpan) -> str | None:
    """The model that answered, else the one that was asked."""
    return text_in(span.model) or text_in((span.attributes or {}).get(REQUEST_MODEL))


def waits_for_tables(span: LiveSpan, prices: Prices) -> bool:
    """Whether prices or ranks must be loaded before usage and cost of the call can be told."""
    counts = must_be_counted(span)
    if not counts and (not span.tokens or prices.are_loaded()):
        return False
    describe(span)
    model = model_of(span)
    return not prices.are_at_hand(model) or (counts and not tokens.is_built(model))


def must_be_counted(span: LiveSpan) -> bool:
    """Whether nobody told the tokens of a model call that took some, or not those of an answer that broke off."""
    if span.kind not in MODEL_KINDS:
        return False
    told = span.tokens
    if told is None:
        return span.output is not None or span.wants_estimate
    return span.wants_estimate and told.get("output") is None


def _spoken(span: LiveSpan, prices: Prices, start_ns: int) -> tuple[Usage, Cost]:
    usage = Usage(**(span.tokens or {}))
    attributes = span.attributes or {}
    cost = prices.cost(
        usage,
        model_of(span),
        provider=text_in(attributes.get(PROVIDER)),
        tier=text_in(attributes.get(RESPONSE_TIER)) or text_in(attributes.get(REQUEST_TIER)),
        at_ns=start_ns,
        free=_plain(attributes.get(CACHE_HIT)) is True,
    )
    return usage, cost


def prompt_tokens(span: LiveSpan, asked: Request, model: str | None) -> int:
    """About how many tokens go in: of the messages, or of all that the function was given."""
    if asked.input_messages:
        return tokens.estimate_messages(asked.input_messages, model, asked.tools)
    return _count(span.input, model)


def _counted(span: LiveSpan) -> dict[str, Any]:
    """Tokens counted from the texts that went in and came out, beside what was told: an estimate, and marked so."""
    model = model_of(span)
    told = {name: count for name, count in (span.tokens or {}).items() if count is not None}
    if "input" not in told:
        told["input"] = prompt_tokens(span, request(span.asked or arguments_of(span)), model)
    return {**told, "output": _counted_output(span, model), "source": "estimated"}


def _count(captured: Any, model: str | None) -> int:
    return sum(tokens.count(text, model) for text in _texts(captured))


def _counted_output(span: LiveSpan, model: str | None) -> int | None:
    """Tokens of the texts that came out; None where there is none to count, as in an object that was returned."""
    said = [*_texts(span.output)]
    return sum(tokens.count(text, model) for text in said) if said or span.wants_estimate else None


def _texts(captured: Any) -> Iterator[str]:
    """The texts of a captured value, without what capture says of objects (`$type` and the like)."""
    value = _plain(captured)
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, part in value.items():
            if name not in NOT_SAID and not name.startswith("$"):
                yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def arguments_of(span: LiveSpan) -> dict[str, Any]:
    """The arguments of a decorated model call, as they were captured."""
    plain = _plain(span.input)
    return plain if isinstance(plain, dict) else {}


def _setup_arguments(span: LiveSpan) -> dict[str, Any]:
    """The arguments that say with which model and settings; the others, which may be long, are not decoded."""
    if type(span.input) is not Raw:
        return arguments_of(span)
    try:
        named = _decode_apart(span.input)
    except msgspec.ValidationError:
        return {}
    return {name: msgspec.json.decode(value) for name, value in named.items() if name in SETUP}


_decode_apart = msgspec.json.Decoder(dict[str, Raw]).decode


def _plain(captured: Any) -> Any:
    """What was captured, whole: also what is too long to be stored, or is not to be stored."""
    return captured.whole() if isinstance(captured, Large) else opened(captured)


def text_in(captured: Any) -> str | None:
    """The text that was captured, None where it was anything else."""
    plain = _plain(captured)
    return plain if isinstance(plain, str) else None
