"""The tools by name: what the model is told about them, and the calls it makes.

Whatever is wrong with a call (an unknown name, arguments that do not fit, a tool that fails) is answered to the model,
which can do better in its next step. Only what has to end the review is raised.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from agent.errors import ModelError, ToolError
from agent.schema import Schema, schema_of
from instrument import InstrumentError

Function = Callable[..., Any]


@dataclass(frozen=True)
class Output:
    """What the model is answered: `value` is the tool's result, or what went wrong."""

    ok: bool
    value: Any

    @property
    def text(self) -> str:
        """As JSON text; characters that no request can carry are replaced."""
        answer = {"ok": self.ok, "result" if self.ok else "error": self.value}
        told = json.dumps(answer, ensure_ascii=False, default=str)
        return told.encode(errors="replace").decode()


@dataclass(frozen=True)
class Tool:
    """A function, the type that its arguments have to fit, and how it is described to the model."""

    function: Function
    arguments: type[msgspec.Struct]
    schema: Schema

    def call(self, arguments: str) -> Any:
        """Call the function with arguments given as a JSON object; what is null takes its default."""
        try:
            given = msgspec.json.decode(arguments or "{}", type=self.arguments)
        except (msgspec.MsgspecError, UnicodeEncodeError) as error:
            raise ToolError(f"the arguments do not fit: {error}") from error
        named = msgspec.structs.asdict(given)
        return self.function(**{name: value for name, value in named.items() if value is not None})


class ToolRegistry:
    """Tools by name, in the order in which they were registered."""

    def __init__(self, functions: Iterable[Function]) -> None:
        self.tools: dict[str, Tool] = {}
        for function in functions:
            self.register(function.__name__, function)

    def register(self, name: str, function: Function) -> None:
        """Offer a function under a name; signature and docstring tell the model how to use it."""
        if name in self.tools:
            raise ValueError(f"there already is a tool {name!r}")
        arguments = arguments_of(name, function)
        self.tools[name] = Tool(function, arguments, function_schema(name, function, arguments))

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self.tools)

    @property
    def schemas(self) -> list[Schema]:
        """The tools as a request offers them."""
        return [tool.schema for tool in self.tools.values()]

    def call(self, name: str, arguments: str) -> Output:
        """Call a tool; the output holds what it returned or what went wrong."""
        try:
            return Output(ok=True, value=self.get(name).call(arguments))
        except (InstrumentError, ModelError):
            raise
        except ToolError as refusal:
            return Output(ok=False, value=str(refusal))
        except Exception as error:  # noqa: BLE001 - a fault in a tool is for the model to work around
            return Output(ok=False, value=f"{type(error).__name__}: {error}")

    def get(self, name: str) -> Tool:
        """The tool of a name."""
        if name not in self.tools:
            raise ToolError(f"there is no tool {name!r}; the tools are {', '.join(self.tools)}")
        return self.tools[name]


def arguments_of(name: str, function: Function) -> type[msgspec.Struct]:
    """A type with the function's parameters as fields; those with a default may be null or left out."""
    parameters = inspect.signature(function, eval_str=True).parameters.values()
    required = [(each.name, each.annotation) for each in parameters if each.default is each.empty]
    optional = [(each.name, each.annotation | None, None) for each in parameters if each.default is not each.empty]
    return msgspec.defstruct(name, [*required, *optional], forbid_unknown_fields=True)


def function_schema(name: str, function: Function, arguments: type[msgspec.Struct]) -> Schema:
    """The function tool of the Responses API; the docstring's `name: text` lines describe the parameters."""
    documentation = inspect.getdoc(function) or ""
    described = dict(re.findall(r"^(\w+): (.+)$", documentation, re.MULTILINE))
    parameters = schema_of(arguments)
    for parameter, schema in parameters["properties"].items():
        if parameter in described:
            schema["description"] = described[parameter]
    return {
        "type": "function",
        "name": name,
        "description": " ".join(documentation.partition("\n\n")[0].split()),
        "strict": True,
        "parameters": parameters,
    }
