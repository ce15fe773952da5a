"""What a model call was asked, from its arguments by name: messages, tools, model and settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from instrument import attributes
from instrument.foreign import Fields, at, known, listed, one_of, plain, text, type_name
from instrument.messages import Message, messages_of, parts_of, said
from instrument.usage import Path

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

# Types by which the clients mark an argument that was not given.
_LEFT_OUT = frozenset({"NotGiven", "Omit", "Unset"})


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


def request(arguments: Mapping[str, Any]) -> Request:
    """What was asked, from the arguments of the call by name. Never raises; iterators are not consumed."""
    try:
        return _request(_given(arguments))
    except Exception:  # noqa: BLE001 - the arguments are whatever a caller gave
        return Request()


def setup(arguments: Mapping[str, Any]) -> Request:
    """As `request`, of the arguments named in `SETUP` alone: model and settings, but not what was said."""
    try:
        return _setup(_given(arguments))
    except Exception:  # noqa: BLE001 - as above
        return Request()


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
