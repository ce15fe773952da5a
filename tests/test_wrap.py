"""`wrap` decorates the methods of what one does not want to edit, and takes it back."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import functools
import math
import types
from typing import Any

import pytest

from instrument import agent, llm_call, tool, traced, wrap
from instrument.testing import record


def fresh() -> Any:
    """A class with every kind of method, and a class below it."""

    class Base:
        def __init__(self, name: str = "base") -> None:
            self.name = name

        def method(self, a: int) -> tuple[str, int]:
            return self.name, a

        async def later(self, a: int) -> int:
            return a

        def items(self, n: int) -> Any:
            yield from range(n)

        @classmethod
        def of_class(cls, a: int) -> tuple[str, int]:
            return cls.__name__, a

        @staticmethod
        def static(a: int) -> int:
            return a

        @functools.lru_cache
        def cached(self, a: int) -> int:
            return a

    class Child(Base):
        pass

    return types.SimpleNamespace(Base=Base, Child=Child)


def outcomes(target: Any) -> list[Any]:
    """What all methods of an instance give."""
    return [
        target.method(1),
        asyncio.run(target.later(2)),
        list(target.items(2)),
        target.of_class(3),
        target.static(4),
        target.cached(5),
    ]


def identities(target: Any) -> list[tuple[str, int]]:
    """Names and identities of what stands in an object; a decorated function equals the plain one."""
    return [(name, id(value)) for name, value in vars(target).items()]


ALL = dict.fromkeys(("method", "later", "items", "of_class", "static", "cached"), traced)
EXPECTED_NAMES = ["Base.method", "Base.later", "Base.items", "Base.of_class", "Base.static", "Base.cached"]


def test_methods_of_a_class() -> None:
    """Every kind of method of a wrapped class gives what it gave and is recorded under its name."""
    kinds = fresh()
    expected = outcomes(kinds.Base())
    with record() as recording, wrap(kinds.Base, **ALL):
        assert expected == outcomes(kinds.Base())
    assert EXPECTED_NAMES == [span.name for span in recording.spans]


def test_inputs_of_a_wrapped_class() -> None:
    """Inputs are named by parameter, without the instance and the class."""
    kinds = fresh()
    with record() as recording, wrap(kinds.Base, **ALL):
        outcomes(kinds.Base())
    assert [{"a": 1}, {"a": 2}, {"n": 2}, {"a": 3}, {"a": 4}, {"a": 5}] == [span.input for span in recording.spans]


def test_first_parameter_of_another_name_is_the_instance() -> None:
    """The instance is not part of the input, whatever the parameter is called."""

    class Odd:
        def method(this, a: int) -> int:
            return a

    with record() as recording, wrap(Odd, method=traced):
        Odd().method(1)
    assert [{"a": 1}] == [span.input for span in recording.spans]


def test_inherited_methods() -> None:
    """Wrapping a class leaves its base alone, also where the methods are inherited."""
    kinds = fresh()
    before = dict(vars(kinds.Base))
    with record() as recording, wrap(kinds.Child, **ALL):
        expected = outcomes(kinds.Base())
        found = outcomes(kinds.Child())
        assert (before, [*expected[:3], ("Child", 3), *expected[4:]]) == (dict(vars(kinds.Base)), found)
    assert EXPECTED_NAMES == [span.name for span in recording.spans]


def test_methods_of_an_instance() -> None:
    """Wrapping an instance leaves its class and other instances alone."""
    kinds = fresh()
    one, other = kinds.Base("one"), kinds.Base("other")
    with record() as recording, wrap(one, **ALL):
        found, left_alone = outcomes(one), outcomes(other)
    assert (("one", 1), ("other", 1), EXPECTED_NAMES) == (found[0], left_alone[0], [s.name for s in recording.spans])
    assert [{"a": 1}, {"a": 2}, {"n": 2}, {"a": 3}, {"a": 4}, {"a": 5}] == [span.input for span in recording.spans]


def test_functions_of_a_module() -> None:
    """Functions of a module can be wrapped, builtins too."""
    module = types.ModuleType("module")
    module.add = lambda a, b=2: a + b  # type: ignore[attr-defined]
    with record() as recording, wrap(module, add=tool), wrap(math, floor=tool(name="floor")):
        assert (3, 2) == (module.add(1), math.floor(2.5))
    assert [("<lambda>", {"a": 1, "b": 2}), ("floor", {"x": 2.5})] == [(s.name, s.input) for s in recording.spans]


@pytest.mark.parametrize("which", ["Base", "Child", "instance"])
def test_undo_restores_exactly(which: str) -> None:
    """After undo the very objects stand where they stood, inherited ones are inherited again; once more does nothing."""
    kinds = fresh()
    target = kinds.Base() if which == "instance" else getattr(kinds, which)
    before = identities(target)
    wrapped = wrap(target, **ALL)
    assert before != identities(target)
    wrapped.undo()
    wrapped.undo()
    assert before == identities(target)


def test_undo_in_any_order() -> None:
    """Two wraps undone in reverse order leave the plain method."""
    kinds = fresh()
    plain = vars(kinds.Base)["method"]
    first = wrap(kinds.Base, method=traced(name="first"))
    second = wrap(kinds.Base, method=traced(name="second"))
    with record() as recording:
        kinds.Base().method(1)
        second.undo()
        kinds.Base().method(1)
        first.undo()
        kinds.Base().method(1)
    assert vars(kinds.Base)["method"] is plain
    assert ["first", "second", "first"] == [s.name for s in recording.spans]


@pytest.mark.parametrize("which", ["Base", "instance"])
def test_unknown_name_changes_nothing(which: str) -> None:
    """A name that the target does not have raises AttributeError before anything is changed."""
    kinds = fresh()
    target = kinds.Base() if which == "instance" else kinds.Base
    before = identities(target)
    with pytest.raises(AttributeError, match="missing"):
        wrap(target, method=traced, missing=traced)
    assert before == identities(target)


def test_what_cannot_be_called_changes_nothing() -> None:
    """An attribute that cannot be called is refused before anything is changed."""
    kinds = fresh()
    one = kinds.Base()
    with pytest.raises(TypeError, match="cannot decorate 'base'"):
        wrap(one, method=traced, name=traced)
    assert {"name": "base"} == vars(one)


def test_class_that_refuses_half_way_is_as_before() -> None:
    """Where setting one of several methods fails, those already set are put back."""

    class Guarded(type):
        def __setattr__(cls, name: str, value: Any) -> None:
            if name == "second" and not callable(vars(cls).get("opened")):
                raise PermissionError(name)
            super().__setattr__(name, value)

    class Target(metaclass=Guarded):
        def first(self) -> None: ...

        def second(self) -> None: ...

    before = identities(Target)
    with pytest.raises(PermissionError):
        wrap(Target, first=traced, second=traced)
    assert before == identities(Target)


def test_frozen_instance() -> None:
    """An instance of a frozen dataclass can be wrapped and stays equal and frozen."""

    @dataclasses.dataclass(frozen=True)
    class Point:
        x: int

        def shifted(self, by: int) -> int:
            return self.x + by

    point = Point(1)
    with record() as recording, wrap(point, shifted=tool):
        assert (3, True) == (point.shifted(2), point == Point(1))
    assert ([{"by": 2}], {"x": 1}) == ([span.input for span in recording.spans], vars(point))


def test_instance_with_slots_is_refused_with_a_cure() -> None:
    """An instance without __dict__ has no room for a wrapped method; the error says what to do."""

    class Slotted:
        __slots__ = ()

        def method(self) -> None: ...

    with pytest.raises(TypeError, match="wrap those of its class"):
        wrap(Slotted(), method=traced)


def test_method_of_a_metaclass() -> None:
    """A method that a class has from its metaclass is bound to the class."""

    class Meta(type):
        def shout(cls, mark: str) -> str:
            return cls.__name__ + mark

    class Thing(metaclass=Meta): ...

    with record() as recording, wrap(Thing, shout=tool):
        assert "Thing!" == Thing.shout("!")
    assert [{"mark": "!"}] == [span.input for span in recording.spans]


def test_copied_instance_is_wrapped_by_itself() -> None:
    """A deep copy of a wrapped instance calls its own method, not that of the original."""
    one = fresh().Base("one")
    with record(), wrap(one, method=traced):
        twin = copy.deepcopy(one)
        twin.name = "twin"
        assert ("twin", 1) == twin.method(1)


def test_agent_id_of_a_wrapped_class() -> None:
    """`agent(id=…)` reads the attribute of the instance whose method is called, however it is wrapped."""
    kinds = fresh()
    with record() as recording:
        with wrap(kinds.Base, method=agent(id="name")):
            kinds.Base("a").method(1)
        one = kinds.Base("b")
        with wrap(one, method=agent(id="name"), later=llm_call):
            one.method(1)
    assert ["a", "b"] == [span.attributes["gen_ai.agent.id"] for span in recording.spans]


def test_a_method_called_target() -> None:
    """Any name of a method can be given, `target` and `self` too."""

    class Named:
        def target(self) -> int:
            return 1

        def methods(self) -> int:
            return 2

    with record() as recording, wrap(Named, target=traced, methods=traced):
        assert (1, 2) == (Named().target(), Named().methods())
    assert 2 == len(recording.spans)
