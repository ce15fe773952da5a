"""The parameters of a request: which there are, and what each may hold. All others are refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .refusal import bad, unknown_parameter, wrong_type, wrong_value

includables = (
    "file_search_call.results", "web_search_call.results", "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url", "code_interpreter_call.outputs", "reasoning.encrypted_content",
    "message.output_text.logprobs",
)  # fmt: skip
Check = Callable[[str, Any], None]


def text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise wrong_type(name, "a string", value)


def switch(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise wrong_type(name, "a boolean", value)


def mapping(name: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise wrong_type(name, "an object", value)


def array(name: str, value: Any) -> None:
    if not isinstance(value, list):
        raise wrong_type(name, "an array", value)


def anything(name: str, value: Any) -> None:
    """Checked further on."""


def number(low: float, high: float) -> Check:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise wrong_type(name, "a decimal", value)
        bounded(name, value, low, high, "decimal")

    return check


def integer(low: int, high: int | None = None) -> Check:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise wrong_type(name, "an integer", value)
        bounded(name, value, low, high, "integer")

    return check


def bounded(name: str, value: float, low: float, high: float | None, kind: str) -> None:
    if value < low:
        raise bad(
            f"Invalid '{name}': {kind} below minimum value. Expected a value >= {low}, but got {value} instead.",
            name,
            f"{kind}_below_min_value",
        )
    if high is not None and value > high:
        raise bad(
            f"Invalid '{name}': {kind} above maximum value. Expected a value <= {high}, but got {value} instead.",
            name,
            f"{kind}_above_max_value",
        )


def one_of(*allowed: str) -> Check:
    def check(name: str, value: Any) -> None:
        text(name, value)
        if value not in allowed:
            raise wrong_value(name, value, allowed)

    return check


def labels(name: str, value: Any) -> None:
    mapping(name, value)
    if len(value) > 16:
        raise bad(
            f"Invalid '{name}': too many properties. Expected an object with at most 16, but got {len(value)} instead.",
            name,
            "object_above_max_properties",
        )
    for key, label in value.items():
        text(f"{name}.{key}", label)


def inclusions(name: str, value: Any) -> None:
    array(name, value)
    for index, item in enumerate(value):
        one_of(*includables)(f"{name}[{index}]", item)
        if item == "reasoning.encrypted_content":
            raise bad("Encrypted content is not supported with this model.", name)


def no_reasoning(name: str, value: Any) -> None:
    mapping(name, value)
    given = next((key for key, inner in value.items() if inner is not None), None)
    if given:
        raise bad(
            f"Unsupported parameter: '{name}.{given}' is not supported with this model.",
            f"{name}.{given}",
            "unsupported_parameter",
        )


def unsupported(name: str, value: Any) -> None:
    raise bad(f"Unsupported parameter: '{name}' is not supported with this model.", name, "unsupported_parameter")


of_responses: Mapping[str, Check] = {
    "model": text, "input": anything, "instructions": text, "tools": array, "tool_choice": anything, "text": mapping,
    "stream": switch, "stream_options": mapping, "store": switch, "background": switch, "metadata": labels,
    "temperature": number(0, 2), "top_p": number(0, 1), "max_output_tokens": integer(16), "max_tool_calls": integer(1),
    "parallel_tool_calls": switch, "previous_response_id": text, "reasoning": no_reasoning, "include": inclusions,
    "truncation": one_of("auto", "disabled"), "user": text, "safety_identifier": text, "prompt_cache_key": text,
    "prompt_cache_retention": one_of("in_memory", "24h"), "prompt_cache_options": mapping,
    "service_tier": one_of("auto", "default", "flex", "scale", "priority"), "top_logprobs": integer(0, 20),
    "conversation": unsupported, "prompt": unsupported, "context_management": unsupported, "moderation": unsupported,
    "background_options": unsupported, "access_programs": unsupported, "image": unsupported,
}  # fmt: skip


def check_parameters(body: Mapping[str, Any], known: Mapping[str, Check]) -> None:
    """Refuse parameters that do not exist and values of the wrong type or size; null stands for left out."""
    for name, value in body.items():
        if name not in known:
            raise unknown_parameter(name)
        if value is not None:
            known[name](name, value)
