"""What stands in the place of a decorated callable: proxies that show themselves as the plain one does."""

from __future__ import annotations

import copy
import functools
import inspect
import operator
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import wrapt

from instrument.record import wrappers
from instrument.record.plan import Plan

__tracebackhide__ = True  # as in `wrappers`

Recipe = tuple[Callable[..., Any], str | None, str, dict[str, Any]]
"""What makes it again from the plain callable, and the name, kind and options that the decorator was given."""

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
        return proxy_for(target)(target, self._self_plan, self._self_run, self._self_recipe)

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
        again, *given = self._self_recipe
        return again, (self._self_target, *given)


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


def proxy_for(target: Any) -> Any:
    """The class of what is put in the place of the callable."""
    if type(target) is FunctionType or isinstance(target, Decorated):
        return Decorated
    is_only_called = type(target) in _ONLY_CALLED or isinstance(target, Called | CalledDescriptor)
    if hasattr(type(target), "__get__") and not inspect.ismethod(target):
        return CalledDescriptor if is_only_called else Descriptor
    return Called if is_only_called else Object
