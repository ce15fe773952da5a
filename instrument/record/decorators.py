"""The decorators: `@traced`, `@tool`, `@llm_call`, `@agent`, and `wrap` for code that one does not want to edit.

What can be known about a callable is worked out once, here, when it is decorated; `wrappers` runs the calls.
"""

from __future__ import annotations

import copy
import functools
import inspect
import operator
import sys
from collections.abc import Callable, Iterable, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, TracebackType
from typing import Any, TypeVar, overload

import wrapt

from instrument.record import pools, wrappers
from instrument.record.objects import instance_dict
from instrument.record.plan import Plan
from instrument.record.texts import text_of

pools.attach()

T = TypeVar("T")
Recipe = tuple[str | None, str, dict[str, Any]]
"""Name, kind and options, as the decorator was given them."""


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
    return _kind_of_wrapper(target)(target, plan, wrapper, (name, kind, options))


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


def _kind_of_wrapper(target: Any) -> Any:
    if type(target) is FunctionType or isinstance(target, Decorated):
        return Decorated
    is_only_called = type(target) in _ONLY_CALLED or isinstance(target, Called | CalledDescriptor)
    if hasattr(type(target), "__get__") and not inspect.ismethod(target):
        return CalledDescriptor if is_only_called else Descriptor
    return Called if is_only_called else Object


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


_HIDES = sys.version_info < (3, 14)
_ANNOTATED = {name: one for name, one in vars(wrapt.BaseObjectProxy).items() if _HIDES and name == "__annotations__"}
"""What gives an instance the annotations of its target; nothing where wrapt is the one in Python, which needs it not.

Before Python 3.14 to ask a class for its annotations makes a dict in it that would hide those of all its instances,
unless this stands in that place: so each of our classes has it.
"""


_STORED = vars(wrapt.BaseObjectProxy).get("__wrapped__")
_TARGET: Any = _STORED or property(operator.attrgetter("__wrapped__"))
"""Reads what wrapt calls: where it is written in C by its own `__wrapped__`, in the place of which we put another."""


def _stands_for(self: _Twin) -> Any:
    return getattr(self._self_target, "__wrapped__", self._self_target)


_WRAPPED = {} if _STORED is None else {"__wrapped__": property(_stands_for)}
"""Whom the plain callable stands for, where it says so, else itself; the wrapt in Python would call whom it gives."""


_OF_THE_PLAIN = ("__wrapped__", "__dict__")
"""What is set on the plain callable though wrapt has one, which it reads or refuses to set."""


class _Twin(wrapt.BaseObjectProxy[Any]):
    """Shows itself, pickles and copies as the plain callable does; wrapt leaves these out."""

    _self_target = _TARGET
    vars().update({**_ANNOTATED, **_WRAPPED})

    def _remember(self, plan: Plan, wrapper: wrappers.Wrapper, recipe: Recipe | None) -> None:
        put = super().__setattr__  # as below without the question: a method of a cache is made at every access
        put("_self_plan", plan)
        put("_self_run", wrapper)
        put("_self_recipe", recipe)

    def _around(self, target: Any) -> Any:
        """The same recording around another target, such as a copy."""
        if target is self._self_target:
            return self
        return _kind_of_wrapper(target)(target, self._self_plan, self._self_run, self._self_recipe)

    def __setattr__(self, name: str, value: Any) -> None:
        """`functools.wraps` above us says whom the plain callable stands for; for wrapt it would be whom to call."""
        if name in _OF_THE_PLAIN:
            setattr(self._self_target, name, value)
        else:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if name in _OF_THE_PLAIN:
            delattr(self._self_target, name)
        else:
            super().__delattr__(name)

    def __repr__(self) -> str:
        return repr(self._self_target)

    def __copy__(self) -> Any:
        return self._around(copy.copy(self._self_target))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self._around(copy.deepcopy(self._self_target, memo))

    def __reduce_ex__(self, protocol: Any) -> Any:
        name = getattr(self, "__qualname__", None)
        if name is not None and ("<locals>" in name or _goes_by_name(self, global_of(self.__module__, name))):
            return name
        if self._self_recipe is None:
            return self._self_target.__reduce_ex__(protocol)
        return decorated_as, (self._self_target, *self._self_recipe)


def _goes_by_name(ours: Any, found: Any) -> bool:
    """Whether `found`, which stands at its name, is it, or nothing it is made of: pickle then refuses a function."""
    if found is ours:
        return True
    made_of = ours._self_target
    while type(made_of) is Decorated and made_of is not found:
        made_of = made_of._self_target
    return type(made_of) is FunctionType and made_of is not found and made_of.__module__ is not None


def global_of(module: str | None, qualified_name: str) -> Any:
    """What a qualified name stands for today, None where it stands for nothing."""
    try:
        return operator.attrgetter(qualified_name)(sys.modules[str(module)])
    except (KeyError, AttributeError):
        return None


class _Absent:
    """A method of a base that is not there: the class has none, and for an instance, a function, it is that itself.

    `ExitStack.push` asks the class for `__exit__`, from Python 3.15 on the instance by way of the class.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            raise AttributeError(f"type object 'function' has no attribute {self._name!r}", name=self._name)
        return instance


def _unable() -> dict[str, Any]:
    """A proxy of wrapt can do whatever its target may be able to do; a function cannot, and is asked by isinstance."""
    names = ("len", "contains", "int", "float", "index", "complex", "abs", "round", "bytes", "enter", "aenter")
    return {**{f"__{name}__": None for name in names}, "__exit__": _Absent(), "__aexit__": _Absent()}


class Decorated(_Twin, wrapt.FunctionWrapper[..., Any]):
    """A decorated function. In a class it becomes a method as a plain one does, without wrapt's bound wrapper."""

    vars().update({**_ANNOTATED, **_unable()})
    _self_binding = "function"  # what a decorator of wrapt above us has to know; for ourselves it is another, as below

    def __init__(self, target: Any, plan: Plan, wrapper: wrappers.Wrapper, recipe: Recipe) -> None:
        # For wrapt it is a static method: it would look in vain for `__self__` at every call, which costs time.
        super(wrapt.FunctionWrapper, self).__init__(target, None, wrapper, None, "staticmethod")  # type: ignore[call-arg]
        self._remember(plan, wrapper, recipe)

    def __get__(self, instance: Any, owner: Any = None, bound: Any = MethodType) -> Any:
        return self if instance is None else bound(self, instance)

    def __set_name__(self, owner: type, name: str) -> None:
        if self.__qualname__ == f"{owner.__qualname__}.{name}":
            self._self_plan.belongs_to_class()
        if name in _BOUND_BY_NAME:
            setattr(owner, name, _BOUND_BY_NAME[name](self))


Decorated.__module__, Decorated.__qualname__, Decorated.__name__ = "builtins", "function", "function"  # for messages
_BOUND_BY_NAME = {"__init_subclass__": classmethod, "__class_getitem__": classmethod, "__new__": staticmethod}
"""What Python itself makes of functions of these names in a class, but only of plain ones."""


class Object(_Twin, wrapt.CallableObjectProxy[Any]):
    """A decorated callable that is no method even when it stands in a class: a partial, a builtin, a bound method."""

    vars().update(_ANNOTATED)

    def __init__(self, target: Any, plan: Plan, wrapper: wrappers.Wrapper, recipe: Recipe | None) -> None:
        super().__init__(target)
        self._remember(plan, wrapper, recipe)
        self._self_instance = target.__self__ if inspect.ismethod(target) else None

    def __set_name__(self, owner: type, name: str) -> None:
        if hasattr(self._self_target, "__set_name__"):
            self._self_target.__set_name__(owner, name)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._self_run(self._self_target, self._self_instance, args, kwargs)


class Descriptor(Object):
    """A decorated callable that binds itself in its own way: of `lru_cache`, of wrapt, of a class with `__get__`."""

    vars().update(_ANNOTATED)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        bound = self._self_target.__get__(instance, owner)
        if bound is self._self_target:
            return self
        made = (Called if type(bound) is MethodType else Object)(bound, self._self_plan, self._self_run, None)
        made._self_instance = instance
        return made


class Called(Object):
    """A decorated callable of a type that can do nothing else."""

    vars().update({**_ANNOTATED, **_unable()})


class CalledDescriptor(Descriptor):
    """The same where it binds itself."""

    vars().update({**_ANNOTATED, **_unable()})


_ONLY_CALLED = (MethodType, BuiltinFunctionType, functools.partial, type(functools.lru_cache(len)))


wrapt.register_post_import_hook("instrument.record.pickling:attach_dill", "dill")
for _home in ("", "joblib.externals.", "ray.", "pyspark."):
    wrapt.register_post_import_hook("instrument.record.pickling:attach_cloudpickle", f"{_home}cloudpickle.cloudpickle")
wrapt.register_post_import_hook("instrument.record.half_loaded:load_httpx2", "openai._httpx2")
