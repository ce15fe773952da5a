"""Decorating leaves annotations alone: Python 3.14 evaluates them when they are asked for, and not before."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from instrument import tool
from instrument.testing import record
from tests.same import outcome, same

annotationlib = pytest.importorskip("annotationlib", reason="before Python 3.14 a definition evaluates its annotations")

SOURCE = """
import functools

def later(decorate):
    @decorate
    def function(a: Later, b: Later | None = 2, *rest: Undefined.name, c: 1 / 0 = 3) -> Later: return a, b, c
    return function

def under_wraps(decorate):
    @decorate
    @functools.wraps(later(lambda function: function))
    def wrapper(*args: Undefined): return args
    return wrapper

class Holder:
    def __init__(self, a: Later): self.a = a
    def __call__(self, a: Later) -> Undefined: return a
    def method(self, a: Later) -> Undefined: return a

def partial(decorate): return decorate(functools.partial(Holder(0).method))
def of_class(decorate): return decorate(functools.partial(lambda made, a: made(a).a, Holder))
def bound(decorate): return decorate(Holder(0).method)
def called(decorate): return decorate(Holder(0))
def cached(decorate): return decorate(functools.lru_cache(Holder(0).method))

def noted(decorate, notes):
    @decorate
    def function(a: notes.append("a"), b: notes.append("b") = 2): return a, b
    return function
"""
SHAPES = ["later", "under_wraps", "partial", "of_class", "bound", "called", "cached"]


def made(shape: str, *given: Any) -> Any:
    """What the function of this name makes, compiled without this file's `from __future__`."""
    namespace: dict[str, Any] = {"__name__": __name__}
    exec(compile(SOURCE, "<annotated>", "exec", dont_inherit=True), namespace)
    return namespace[shape](*given)


def seen(annotated: Any) -> list[Any]:
    """What a call and the usual questions for annotations give."""
    found = [outcome(annotated, 1), outcome(lambda: annotated.__annotations__), outcome(inspect.signature, annotated)]
    text, forward = annotationlib.Format.STRING, annotationlib.Format.FORWARDREF
    found += [outcome(annotationlib.get_annotations, annotated, format=text)]
    found += [str(outcome(inspect.signature, annotated, annotation_format=forward))]
    return found


@same
def test_names_that_do_not_exist_yet(decorate: Any) -> Any:
    """An annotation may name what is defined later, or never: the decorated callable is made, called and asked."""
    return {shape: outcome(lambda shape=shape: seen(made(shape, decorate))) for shape in SHAPES}


@same
def test_annotations_are_evaluated_when_asked_for(decorate: Any) -> Any:
    """Neither decorating nor calling evaluates an annotation, asking does, once."""
    notes: list[str] = []
    function = made("noted", decorate, notes)
    before = [*notes], function(1), [*notes]
    return before, function.__annotations__, function.__annotations__, notes


@pytest.mark.parametrize("shape", ["later", "partial", "bound", "called", "cached"])
def test_arguments_have_their_names(shape: str) -> None:
    """The parameters are known though their annotations cannot be."""
    with record() as found:
        made(shape, tool)(1)
    assert {"a": 1} == {name: value for name, value in found.spans[0].input.items() if name == "a"}
