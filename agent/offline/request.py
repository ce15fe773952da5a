"""What a client asks for: the body of a request, checked as strictly as the real API does, as one immutable value."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import parameters, shapes, words
from .refusal import RefusalError, bad, empty_array, json_type, missing, unknown_parameter, wrong_type, wrong_value

models = ("offline-reviewer", "offline-analyst")
context_window = 400_000
most_characters = 10_485_760

roles = ("assistant", "system", "developer", "user")
name_pattern = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True)
class Message:
    """Something said: by the user, the assistant, or in instructions (system, developer)."""

    role: str
    text: str


@dataclass(frozen=True)
class Call:
    """A function call that the model made earlier."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Output:
    """What a function call gave."""

    call_id: str
    text: str


Item = Message | Call | Output


@dataclass(frozen=True)
class Tool:
    """A function that the model may call."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Format:
    """The JSON form that the answer must have."""

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """A checked request: everything the mind may know. `body` is what was sent, for the echo in the response."""

    model: str
    items: tuple[Item, ...]
    instructions: str = ""
    tools: tuple[Tool, ...] = ()
    choice: str = "auto"
    format: Format | None = None
    parallel: bool = True
    most_tokens: int | None = None
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def input_tokens(self) -> int:
        """Tokens of all that was sent."""
        said = sum(words.count_json(vars(item)) for item in self.items)
        offered = sum(
            words.count_json({"name": tool.name, "description": tool.description, "parameters": tool.parameters})
            for tool in self.tools
        )
        form = words.count_json(self.format.schema) if self.format else 0
        return said + offered + form + words.count(self.instructions)


def body_of(data: bytes) -> dict[str, Any]:
    """The JSON object in a request's body."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        raise bad("We could not parse the JSON body of your request: it is not valid JSON.") from None
    if not isinstance(body, dict):
        raise bad(f"Invalid body: expected a JSON object, but got {json_type(body)} instead.")
    return body


def read(body: Mapping[str, Any], earlier: Sequence[Item] = ()) -> Asked:
    """The request in a body. `earlier` are the items of the response that it continues. Raises RefusalError."""
    parameters.check_parameters(body, parameters.of_responses)
    model = known_model(
        body.get("model"),
        RefusalError(
            400, f"The requested model '{body.get('model')}' does not exist.", param="model", code="model_not_found"
        ),
    )
    items = (*earlier, *input_items(body.get("input"), bool(earlier)))
    check_pairs(items)
    tools = tuple(tool(f"tools[{index}]", given) for index, given in enumerate(body.get("tools") or []))
    check_names(tools)
    if body.get("background") and body.get("store") is False:
        raise bad(
            "Background responses must be stored: 'store' cannot be false with 'background'.", "store", "invalid_value"
        )
    asked = Asked(
        model=model,
        items=items,
        instructions=body.get("instructions") or "",
        tools=tools,
        choice=choice(body.get("tool_choice"), tools),
        format=form(body.get("text") or {}),
        parallel=body.get("parallel_tool_calls") is not False,
        most_tokens=body.get("max_output_tokens"),
        body=body,
    )
    check_length(asked, "input")
    return asked


def known_model(name: Any, unknown: RefusalError) -> str:
    if not name:
        raise missing("model")
    if name not in models:
        raise unknown
    return str(name)


def check_length(asked: Asked, param: str) -> None:
    if asked.input_tokens > context_window:
        raise bad(
            "Your input exceeds the context window of this model. Please adjust your input and try again.",
            param,
            "context_length_exceeded",
        )


def input_items(given: Any, continues: bool) -> tuple[Item, ...]:
    """The items of `input`, which may be a plain string."""
    if given is None:
        raise missing("input")
    if isinstance(given, str):
        if not given and not continues:
            raise bad(
                "Invalid 'input': empty string. Expected a string with minimum length 1.", "input", "empty_string"
            )
        return (Message("user", given),)
    if not isinstance(given, list):
        raise wrong_type("input", "one of an array of objects or a string", given)
    if not given and not continues:
        raise empty_array("input")
    return tuple(read for index, item in enumerate(given) for read in input_item(f"input[{index}]", item))


item_keys: Mapping[str, frozenset[str]] = {
    "message": frozenset({"type", "role", "content", "id", "status", "phase"}),
    "function_call": frozenset({"type", "call_id", "name", "arguments", "id", "status", "namespace"}),
    "function_call_output": frozenset({"type", "call_id", "output", "id", "status"}),
    "reasoning": frozenset({"type", "summary", "id", "encrypted_content", "content", "status"}),
}


def input_item(param: str, item: Any) -> tuple[Item, ...]:
    parameters.mapping(param, item)
    kind = item.get("type") or ("message" if "role" in item else "")
    if kind not in item_keys:
        raise wrong_value(f"{param}.type", kind, tuple(item_keys)) if kind else missing(f"{param}.type")
    unknown = next((key for key in item if key not in item_keys[kind]), None)
    if unknown:
        raise unknown_parameter(f"{param}.{unknown}")
    if kind == "reasoning":
        return ()
    if kind == "message":
        return (Message(*role_and_text(param, item)),)
    call_id = needed(param, item, "call_id")
    if kind == "function_call":
        return (Call(call_id, needed(param, item, "name"), needed(param, item, "arguments")),)
    return (Output(call_id, content(f"{param}.output", item.get("output"))),)


def needed(param: str, item: Mapping[str, Any], key: str) -> str:
    value = item.get(key)
    if value is None:
        raise missing(f"{param}.{key}")
    parameters.text(f"{param}.{key}", value)
    return str(value)


def role_and_text(param: str, item: Mapping[str, Any]) -> tuple[str, str]:
    if "role" not in item:
        raise missing(f"{param}.role")
    parameters.one_of(*roles)(f"{param}.role", item["role"])
    return item["role"], content(f"{param}.content", item.get("content"))


def content(param: str, given: Any) -> str:
    """The text of a message or an output: a string, or an array of text parts."""
    if given is None:
        raise missing(param)
    if isinstance(given, str):
        if len(given) > most_characters:
            raise bad(
                f"Invalid '{param}': string too long. Expected a string with maximum length {most_characters}.",
                param,
                "string_above_max_length",
            )
        return given
    if not isinstance(given, list):
        raise wrong_type(param, "one of an array of objects or a string", given)
    return "".join(part_text(f"{param}[{index}]", part) for index, part in enumerate(given))


def part_text(param: str, part: Any) -> str:
    parameters.mapping(param, part)
    kind = part.get("type")
    if kind in ("input_image", "input_file", "input_audio"):
        raise bad(f"Invalid content type: this model takes text only, not '{kind}'.", f"{param}.type", "invalid_value")
    if kind not in ("input_text", "output_text", "refusal", "text"):
        raise wrong_value(f"{param}.type", kind, ("input_text", "output_text", "refusal"))
    return needed(param, part, "refusal" if kind == "refusal" else "text")


def check_pairs(items: Sequence[Item]) -> None:
    """Every output answers a call before it, and every call is answered."""
    open_calls: dict[str, None] = {}
    answered: set[str] = set()
    for item in items:
        if isinstance(item, Call):
            open_calls[item.call_id] = None
        elif isinstance(item, Output):
            if item.call_id not in open_calls and item.call_id not in answered:
                raise bad(f"No tool call found for function call output with call_id {item.call_id}.", "input")
            open_calls.pop(item.call_id, None)
            answered.add(item.call_id)
    if open_calls:
        raise bad(f"No tool output found for function call {next(iter(open_calls))}.", "input")


tool_keys = {"type", "name", "description", "parameters", "strict", "defer_loading", "output_schema", "allowed_callers"}


def tool(param: str, given: Any) -> Tool:
    """One function tool; hosted tools are not there offline."""
    parameters.mapping(param, given)
    if "type" not in given:
        raise missing(f"{param}.type")
    if given["type"] != "function":
        raise wrong_value(f"{param}.type", given["type"], ("function",))
    unknown = next((key for key in given if key not in tool_keys), None)
    if unknown:
        raise unknown_parameter(f"{param}.{unknown}")
    return function(param, given)


def function(param: str, given: Mapping[str, Any]) -> Tool:
    """A function's name, description and schema, wherever an API puts them."""
    name = name_in(param, given)
    if given.get("description") is not None:
        parameters.text(f"{param}.description", given["description"])
    if given.get("strict") is not None:
        parameters.switch(f"{param}.strict", given["strict"])
    strict = given.get("strict")
    schema = given.get("parameters")
    if schema is not None or strict:
        check = shapes.check_strict if strict else shapes.check_loose
        check(
            {"type": "object", **schema} if schema == {} else schema,
            f"function '{name}'",
            f"{param}.parameters",
            "invalid_function_parameters",
        )
    return Tool(name, given.get("description") or "", schema or {"type": "object", "properties": {}})


def name_in(param: str, given: Mapping[str, Any]) -> str:
    """The name of a function or of a form."""
    name = needed(param, given, "name")
    if not name_pattern.fullmatch(name):
        raise bad(
            f"Invalid '{param}.name': string does not match pattern. Expected a string that matches the pattern "
            "'^[a-zA-Z0-9_-]+$'.",
            f"{param}.name",
            "invalid_value",
        )
    return name


def check_names(tools: Sequence[Tool]) -> None:
    seen: set[str] = set()
    for index, offered in enumerate(tools):
        if offered.name in seen:
            raise bad(
                f"Invalid 'tools[{index}].name': duplicate tool name '{offered.name}'. Tool names must be unique.",
                f"tools[{index}].name",
                "invalid_value",
            )
        seen.add(offered.name)


def choice(given: Any, tools: Sequence[Tool]) -> str:
    """`auto`, `none`, `required`, or the name of the function that must be called."""
    if given is None:
        return "auto"
    if isinstance(given, str):
        parameters.one_of("none", "auto", "required")("tool_choice", given)
        if given == "required" and not tools:
            raise bad("Tool choice 'required' must be specified with 'tools' parameter.", "tool_choice")
        return given
    parameters.mapping("tool_choice", given)
    if given.get("type") != "function":
        raise wrong_value("tool_choice.type", given.get("type"), ("function",))
    name = needed("tool_choice", given, "name")
    if name not in {offered.name for offered in tools}:
        raise bad(f"Tool choice '{name}' not found in 'tools' parameter.", "tool_choice")
    return name


def form(given: Mapping[str, Any]) -> Format | None:
    """The JSON form that `text.format` asks for; None for plain text."""
    unknown = next((key for key in given if key not in ("format", "verbosity")), None)
    if unknown:
        raise unknown_parameter(f"text.{unknown}")
    if given.get("verbosity") is not None:
        parameters.one_of("low", "medium", "high")("text.verbosity", given["verbosity"])
    wanted = given.get("format")
    if wanted is None:
        return None
    parameters.mapping("text.format", wanted)
    if "type" not in wanted:
        raise missing("text.format.type")
    parameters.one_of("text", "json_object", "json_schema")("text.format.type", wanted["type"])
    if wanted["type"] == "json_object":
        return Format("json_object", {"type": "object", "properties": {}})
    return json_form("text.format", wanted) if wanted["type"] == "json_schema" else None


def json_form(param: str, wanted: Mapping[str, Any]) -> Format:
    name = name_in(param, wanted)
    if "schema" not in wanted:
        raise missing(f"{param}.schema")
    if wanted.get("strict") is not None:
        parameters.switch(f"{param}.strict", wanted["strict"])
    check = shapes.check_strict if wanted.get("strict") else shapes.check_loose
    check(wanted["schema"], f"response_format '{name}'", f"{param}.schema", "invalid_json_schema")
    return Format(name, wanted["schema"])
