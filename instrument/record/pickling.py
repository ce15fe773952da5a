"""Decorated functions in pickles that take functions by value: those of dill and of cloudpickle.

Both know a plain function by its type. dill would look for ours by name, in vain where it is local; cloudpickle would
take the plain one alone, and what it does in another process would not be recorded.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from types import FunctionType
from typing import Any

import wrapt

from instrument.record.proxies import Called, CalledDescriptor, Decorated, Descriptor, Object, global_of


def attach_dill(dill: Any) -> None:
    """By value what a plain callable in its place is by value: all of the main program, and what has no global name.

    So it is with the pickler in Python, too, which dill has taught all that it knows; joblib hashes with that one.
    """
    if not hasattr(dill, "register"):  # a module of the user's own may be called so as well
        return
    kinds = (Decorated, Called, CalledDescriptor, Descriptor, Object)
    for kind in kinds:
        dill.register(kind)(_save)
    taught: dict[Any, Any] = pickle._Pickler.dispatch
    if taught[FunctionType] is getattr(getattr(dill, "Pickler", None), "dispatch", {}).get(FunctionType):
        taught.update(dict.fromkeys(kinds, _save))


def _save(pickler: Any, ours: Any) -> None:
    module, name = getattr(ours, "__module__", None), getattr(ours, "__qualname__", None)
    if name is not None and module != "__main__" and global_of(module, name) is ours:
        pickler.save_global(ours, name)
    elif ours._self_recipe is None:
        pickler.save(ours._self_target)
    else:
        again, *given = ours._self_recipe
        pickler.save_reduce(again, (ours._self_target, *given), obj=ours)


def attach_cloudpickle(cloudpickle: Any) -> None:
    """What goes by value is decorated again where it arrives."""
    pickler = getattr(cloudpickle, "Pickler", None)
    if hasattr(pickler, "_dynamic_function_reduce"):
        wrapt.wrap_function_wrapper(pickler, "_dynamic_function_reduce", _reduce)


def _reduce(wrapped: Callable[..., Any], pickler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    ours = args[0] if args else None
    if type(ours) is not Decorated:
        return wrapped(*args, **kwargs)
    return _again, (ours._self_target, ours._self_recipe[1:])


def _made_again() -> Callable[..., Any]:
    def again(plain: Any, recipe: Any) -> Any:  # local, so that it goes by value as well
        try:
            from instrument.record.decorators import decorated_as
        except ImportError:  # where we are not installed the plain function does its work
            return plain
        return decorated_as(plain, *recipe)

    return again


_again = _made_again()
