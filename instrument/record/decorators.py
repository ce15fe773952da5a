"""The decorators: `@traced`, `@tool`, `@llm_call`, `@agent`, and `wrap` for code that one does not want to edit.

What can be known about a callable is worked out once, here, when it is decorated; `wrappers` runs the calls.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from types import BuiltinFunctionType, FunctionType, TracebackType
from typing import Any, TypeVar, overload

import wrapt

from instrument.record import pools, wrappers
from instrument.record.objects import instance_dict
from instrument.record.plan import Plan
from instrument.record.proxies import Decorated, proxy_for
from instrument.record.texts import text_of

pools.attach()

T = TypeVar("T")


@overload
def traced(target: T, /) -> T: ...
@overload
def traced(
    *,
    name: str | None = None,
    kind: str = "span",
    capture_input: bool = True,
    capture_output: bool = True,
    attributes: Mapping[str, Any] | None = None,
) -> Callable[[T], T]: ...
def traced(
    target: Any = None,
    /,
    *,
    name: str | None = None,
    kind: str = "span",
    capture_input: bool = True,
    capture_output: bool = True,
    attributes: Mapping[str, Any] | None = None,
) -> Any:
    """Record every call as a span of `kind` (agent, step, workflow, llm, tool, embedding, retrieval, span or your own).

    `name` defaults to the qualified name (`Agent.think`). `capture_input` and `capture_output` say whether arguments
    and result are recorded, `attributes` are set on every span. Works bare and with options on anything that can be
    called but classes; the decorated callable behaves like the plain one.
    """
    options = {"capture_input": capture_input, "capture_output": capture_output, "attributes": attributes}
    return decorated_as(target, name, kind, options)


@overload
def tool(target: T, /) -> T: ...
@overload
def tool(
    *,
    name: str | None = None,
    capture_input: bool = True,
    capture_output: bool = True,
    attributes: Mapping[str, Any] | None = None,
) -> Callable[[T], T]: ...
def tool(
    target: Any = None,
    /,
    *,
    name: str | None = None,
    capture_input: bool = True,
    capture_output: bool = True,
    attributes: Mapping[str, Any] | None = None,
) -> Any:
    """Record every call as a tool call. Options as for `traced`."""
    options = {"capture_input": capture_input, "capture_output": capture_output, "attributes": attributes}
    return decorated_as(target, name, "tool", options)


@overload
def llm_call(target: T, /) -> T: ...
@overload
def llm_call(
    *,
    name: str | None = None,
    model: str | None = None,
    capture_input: bool = True,
    capture_output: bool = True,
    attributes: Mapping[str, Any] | None = None,
) -> Callable[[T], T]: ...
def llm_call(
    target: Any = None,
    /,
    *,
    name: str | None = None,
    model: str | None = None,
    capture_input: bool = True,
    capture_output: bool = True,
    attributes: Mapping[str, Any] | None = None,
) -> Any:
    """Record every call as a model call, with its tokens and money.

    Model and usage are read from what the function returns (an OpenAI, Anthropic or Gemini answer, a `(text, usage)`
    pair); for a plain string the tokens are counted and marked as estimated, at the price of `model` or of the
    argument called `model`. `current_span().usage(...)` inside the function says it outright. Options as for `traced`.
    """
    options = {
        "capture_input": capture_input,
        "capture_output": capture_output,
        "attributes": attributes,
        "model": model,
    }
    return decorated_as(target, name, "llm", options)


@overload
def agent(target: T, /) -> T: ...
@overload
def agent(
    *,
    id: str | None = None,
    budget: Mapping[str, Any] | None = None,
    name: str | None = None,
    capture_input: bool = True,
    capture_output: bool = True,
    attributes: Mapping[str, Any] | None = None,
) -> Callable[[T], T]: ...
def agent(
    target: Any = None,
    /,
    *,
    id: str | None = None,
    budget: Mapping[str, Any] | None = None,
    name: str | None = None,
    capture_input: bool = True,
    capture_output: bool = True,
    attributes: Mapping[str, Any] | None = None,
) -> Any:
    """Record every call as one run of an agent.

    `id` names the attribute of the instance that identifies the agent; where no method is called but a function, it is
    the id itself. Spans and logs below carry it as `gen_ai.agent.id`. Where no agent has one, model calls carry
    the name of the nearest as `gen_ai.agent.name`.
    `budget` limits each run (`{"usd": 0.5, "calls": 20}`, see `budget`), also where recording is off. Other options as
    for `traced`. Raises `SettingsError` for a limit that cannot be one.
    """
    if budget is not None:
        from instrument.record.scopes import declare

        declare(budget)
    options = {
        "capture_input": capture_input,
        "capture_output": capture_output,
        "attributes": attributes,
        "agent_id": id,
        "budget": budget,
    }
    return decorated_as(target, name, "agent", options)


class Wrapped:
    """What `wrap` changed; `.undo()`, or leaving it as a context manager, puts the plain methods back."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self._plain: dict[str, Any] = {}

    def put(self, name: str, method: Any) -> None:
        """Put a decorated method in the place of the plain one."""
        plain = vars(self._target).get(name, _INHERITED)
        _place(self._target, name, method)
        self._plain[name] = plain

    def undo(self) -> None:
        """Put the plain methods back; a second time does nothing."""
        while self._plain:
            name, method = self._plain.popitem()
            _place(self._target, name, method)

    def __enter__(self) -> Wrapped:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.undo()


_INHERITED = object()


def _place(target: Any, name: str, method: Any) -> None:
    """Set or delete an attribute; of an instance past its `__setattr__`, which a frozen or strict class may refuse."""
    if not inspect.isclass(target) and method is _INHERITED:
        del vars(target)[name]
    elif not inspect.isclass(target):
        vars(target)[name] = method
    elif method is _INHERITED:
        delattr(target, name)
    else:
        setattr(target, name, method)


def wrap(target: object, /, **methods: Callable[[Any], Any]) -> Wrapped:
    """Decorate methods of a class, an object or a module from outside: `wrap(Agent, think=llm_call, act=tool)`.

    Raises `AttributeError` for a name that the target does not have, before anything is changed.
    """
    if not hasattr(target, "__dict__"):
        raise TypeError(f"cannot wrap methods of {target!r}, which has no __dict__: wrap those of its class")
    decorated = {name: decorate(_method_of(target, name)) for name, decorate in methods.items()}
    wrapped = Wrapped(target)
    try:
        for name, method in decorated.items():
            wrapped.put(name, method)
    except BaseException:
        wrapped.undo()
        raise
    if inspect.isclass(target):
        _are_methods(decorated.values())
    return wrapped


def _method_of(target: Any, name: str) -> Any:
    """The attribute as it stands in the object, its class or a base; bound where it comes from one level up."""
    for place in target.__mro__ if inspect.isclass(target) else (target,):
        if name in vars(place):
            return vars(place)[name]
    return getattr(target, name)


def _are_methods(decorated: Iterable[Any]) -> None:
    for method in decorated:
        if isinstance(method, Decorated):
            method._self_plan.belongs_to_class()


def decorated_as(target: Any, name: str | None, kind: str, options: dict[str, Any]) -> Any:
    if target is None:
        return lambda later: decorated_as(later, name, kind, options)
    if issubclass(type(target), classmethod | staticmethod):
        function = decorated_as(target.__func__, name, kind, options)
        if isinstance(target, classmethod):
            function._self_plan.belongs_to_class()
        return type(target)(function)
    if inspect.isclass(target) or not callable(target):
        what = f"the class {target.__name__}" if inspect.isclass(target) else repr(target)
        raise TypeError(f"cannot decorate {what}: decorate its methods, or use wrap(target, method=decorator)")
    plan, wrapper = _planned(target, name, kind, options)
    return proxy_for(target)(target, plan, wrapper, (decorated_as, name, kind, options))


def _planned(target: Any, name: str | None, kind: str, options: dict[str, Any]) -> tuple[Plan, wrappers.Wrapper]:
    inner = _function_in(target)
    names, rest, defaults = _parameters_of(target)
    label = text_of(name or _name_of(target, inner))
    plan = Plan(label, text_of(kind), names, rest=rest, defaults=defaults, operation=label, **options)
    if inspect.isasyncgenfunction(inner):
        return plan, wrappers.async_generator(plan)
    if inspect.iscoroutinefunction(inner):
        return plan, wrappers.coroutine(plan, target)
    if inspect.isgeneratorfunction(inner):
        return plan, wrappers.generator(plan)
    return plan, wrappers.plain(plan)


def _function_in(target: Any) -> Any:
    """The function whose code runs: below classmethod, staticmethod, partial, bound method and `__call__`."""
    while True:
        if isinstance(target, classmethod | staticmethod) or inspect.ismethod(target):
            target = target.__func__
        elif isinstance(target, functools.partial):
            target = target.func
        elif isinstance(target, FunctionType | BuiltinFunctionType) or not hasattr(type(target), "__call__"):  # noqa: B004 - looks for the function, does not ask whether it can be called
            return target
        elif isinstance(type(target).__call__, FunctionType):
            return type(target).__call__
        else:
            return target


def _parameters_of(target: Any) -> tuple[tuple[str, ...], str | None, dict[str, Any] | None]:
    """Names of the positional parameters, the name behind `*`, and the defaults; nothing for what has no signature.

    The instance that a method is bound to, or will be, counts as the first parameter.
    """
    try:
        function = target.__func__ if isinstance(target, classmethod | staticmethod) else target
        parameters = _signature_of(function).parameters.values()
    except Exception:  # noqa: BLE001 - beside `TypeError` and `ValueError` it is the user's code that raises
        return (), None, None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = tuple(p.name for p in parameters if p.kind in positional)
    rest = next((p.name for p in parameters if p.kind is inspect.Parameter.VAR_POSITIONAL), None)
    defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    return ("self", *names) if inspect.ismethod(target) else names, rest, defaults or None


def _signature_of(function: Any) -> inspect.Signature:
    """The signature but for the annotations, which may name what is not there yet: Python 3.14 runs them when asked."""
    plain = inspect.unwrap(function, stop=lambda one: inspect.ismethod(one) or hasattr(one, "__signature__"))
    if type(plain) is not FunctionType:
        return inspect.signature(function, **_AS_TEXT)
    bare = FunctionType(plain.__code__, {}, plain.__name__, plain.__defaults__, plain.__closure__)
    bare.__kwdefaults__ = plain.__kwdefaults__
    bare.__dict__.update(plain.__dict__)
    return inspect.signature(bare)


_AS_TEXT: dict[str, Any] = {"annotation_format": 4} if sys.version_info >= (3, 14) else {}
"""`annotationlib.Format.STRING`, which runs no code of the user's."""


def _name_of(target: Any, inner: Any) -> str:
    """That of the function, also where an object stands for it and says so, as `functools.update_wrapper` makes it."""
    own = instance_dict(target)
    said = [own.get("__qualname__"), own.get("__name__"), getattr(inner, "__qualname__", None)]
    named = next((name for name in said if name and isinstance(name, str)), type(target).__qualname__)
    return str(named).rpartition("<locals>.")[2].removesuffix(".__call__")


wrapt.register_post_import_hook("instrument.record.pickling:attach_dill", "dill")
for _home in ("", "joblib.externals.", "ray.", "pyspark."):
    wrapt.register_post_import_hook("instrument.record.pickling:attach_cloudpickle", f"{_home}cloudpickle.cloudpickle")
wrapt.register_post_import_hook("instrument.record.half_loaded:load_httpx2", "openai._httpx2")
