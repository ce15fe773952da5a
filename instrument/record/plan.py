"""What is known about a callable once it is decorated: names, kind, parameters, options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from keyword import iskeyword
from typing import Any

from instrument.kinds import ANNOUNCED, MODEL_KINDS


class Plan:
    """What is decided about a callable once, at decoration.

    `arity` is the number of positional arguments that a call has which needs nothing but their names, -1 where there
    are defaults of keyword-only parameters to add, or a name is a keyword of Python, as that of a positional-only
    parameter may be. A call that is `skippable` concerns nobody where its trace is not
    stored; model calls are priced all the same. A call that `is_common` has nothing but arguments and a result.
    """

    __slots__ = (
        "agent_id",
        "agent_name",
        "arity",
        "attributes",
        "budget",
        "capture_input",
        "capture_output",
        "defaults",
        "display",
        "is_announced",
        "is_common",
        "is_model_call",
        "kind",
        "model",
        "name",
        "names",
        "names_of_method",
        "operation",
        "rest",
        "skippable",
        "span_id",
        "takes_self",
    )

    def __init__(
        self,
        name: str,
        kind: str,
        names: tuple[str, ...] = (),
        *,
        rest: str | None = None,
        defaults: Mapping[str, Any] | None = None,
        capture_input: bool = True,
        capture_output: bool = True,
        attributes: Mapping[str, Any] | None = None,
        model: str | None = None,
        agent_id: str | None = None,
        budget: Mapping[str, Any] | None = None,
        operation: str | None = None,
        agent_name: str | None = None,
        span_id: str | None = None,
    ) -> None:
        self.name = name
        self.operation = operation
        self.kind = kind
        self.names = names
        needs_names_alone = set(defaults or ()).issubset(names) and not any(map(iskeyword, names))
        self.arity = len(names) if needs_names_alone else -1
        self.names_of_method = names[1:]
        self.takes_self = names[:1] in (("self",), ("cls",), ("mcs",))
        self.rest = rest
        self.defaults = defaults
        self.capture_input = capture_input
        self.capture_output = capture_output
        self.attributes = attributes
        self.model = model
        self.agent_id = agent_id
        self.agent_name = name if kind == "agent" else agent_name
        self.span_id = span_id
        self.budget = budget
        self.is_model_call = kind in MODEL_KINDS
        self.is_announced = kind in ANNOUNCED
        self.skippable = not self.is_model_call and budget is None and agent_id is None
        is_named = self.agent_name is not None or span_id is not None
        self.is_common = not is_named and not self.is_model_call and attributes is None and agent_id is None
        self.display: Callable[..., dict[str, Any]] | None = None

    def belongs_to_class(self) -> None:
        """The first parameter, whatever its name, is the instance or the class."""
        self.takes_self = bool(self.names)
        self.display = None

    def named(self, instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of one call by parameter, without `self` or `cls`; surplus positional ones under `*name`."""
        names = self.names
        if instance is not None:
            names = self.names_of_method
        elif self.takes_self and args:
            names, args = self.names_of_method, args[1:]
        named = dict(zip(names, args, strict=False))
        if len(args) > len(names) and self.rest is not None:
            named[f"*{self.rest}"] = args[len(names) :]
        if kwargs:
            named.update(kwargs)
        if self.defaults is not None:
            for name, value in self.defaults.items():
                if name not in named:
                    named[name] = value
        if self.takes_self:
            named.pop(self.names[0], None)
        return named

    def make_display(self) -> Callable[..., dict[str, Any]]:
        """`lambda a, b: {"a": a, "b": b}`: takes a third of the time that pairing names and arguments does."""
        shown = self.names_of_method if self.takes_self else self.names
        pairs = ", ".join(f"{name!r}: {name}" for name in shown)
        self.display = display = eval(f"lambda {', '.join(self.names)}: {{{pairs}}}")
        return display  # type: ignore[no-any-return]  # eval says nothing of it

    def holder(self, instance: object, args: tuple[Any, ...]) -> object:
        """The instance or class whose method is called, None for a plain function."""
        return args[0] if instance is None and self.takes_self and args else instance
