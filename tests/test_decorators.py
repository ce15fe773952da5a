"""A decorated callable looks like the plain one: to inspect, pickle, copy, mock, functools and the class machinery."""

from __future__ import annotations

import abc
import asyncio
import collections.abc
import contextlib
import copy
import dataclasses
import enum
import functools
import inspect
import os
import pickle
import types
import typing
import weakref
from typing import Any
from unittest import mock

import pytest
import wrapt

from instrument import agent, llm_call, log, tool, traced
from instrument.testing import record
from tests.same import outcome, plain, recording_off, same


def shapes(decorate: Any) -> dict[str, Any]:
    """One callable of every shape."""

    def function(a: int, /, b: str = "b", *rest: float, c: bool, **more: object) -> list[int]:
        """Doc of function."""
        return [a]

    async def coroutine(a: int) -> int:
        """Doc of coroutine."""
        return a

    def generator(a: int) -> collections.abc.Iterator[int]:
        """Doc of generator."""
        yield a

    async def async_generator(a: int) -> collections.abc.AsyncIterator[int]:
        """Doc of async generator."""
        yield a

    class Holder:
        def __init__(self, value: int = 0) -> None:
            self.value = value

        @decorate
        def method(self, a: int) -> int:
            """Doc of method."""
            return self.value + a

        @decorate
        async def amethod(self, a: int) -> int:
            return self.value + a

        @decorate
        @classmethod
        def over_classmethod(cls, a: int) -> tuple[str, int]:
            return cls.__name__, a

        @classmethod
        @decorate
        def under_classmethod(cls, a: int) -> tuple[str, int]:
            return cls.__name__, a

        @decorate
        @staticmethod
        def over_staticmethod(a: int) -> int:
            return a

        @staticmethod
        @decorate
        def under_staticmethod(a: int) -> int:
            return a

        def __call__(self, a: int) -> int:
            return self.value + a

        def later(self, a: int, b: int = 1) -> int:
            return self.value + a + b

    class Waiting:
        async def __call__(self, a: int) -> int:
            return a

    def doubled(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        return 2 * wrapped(*args, **kwargs)

    holder = Holder(1)
    return {
        "function": decorate(function),
        "coroutine": decorate(coroutine),
        "generator": decorate(generator),
        "async generator": decorate(async_generator),
        "lambda": decorate(lambda a, b=2: a + b),
        "method": holder.method,
        "unbound method": Holder.method,
        "coroutine method": holder.amethod,
        "over classmethod": Holder.over_classmethod,
        "over classmethod, by instance": holder.over_classmethod,
        "under classmethod": Holder.under_classmethod,
        "over staticmethod": Holder.over_staticmethod,
        "over staticmethod, by instance": holder.over_staticmethod,
        "under staticmethod": Holder.under_staticmethod,
        "bound method": decorate(holder.later),
        "callable object": decorate(Holder(2)),
        "callable object, async": decorate(Waiting()),
        "partial": decorate(functools.partial(holder.later, 1)),
        "partial of a coroutine function": decorate(functools.partial(coroutine, 1)),
        "partial of decorated": functools.partial(decorate(coroutine), 1),
        "cached": decorate(functools.lru_cache(holder.later)),
        "wrapt-decorated": decorate(wrapt.decorator(doubled)(holder.later)),
        "builtin": decorate(len),
        "builtin method": decorate([1].count),
        "class method of a builtin": decorate(dict.fromkeys),
    }


def observed(decorate: Any, question: Any) -> dict[str, Any]:
    """The answer to `question` for every shape; the same question to the same plain things compares by value."""
    return {name: outcome(question, shape) for name, shape in shapes(decorate).items()}


# What a decorated function shows of itself


@same
def test_signature(decorate: Any) -> Any:
    """inspect.signature sees the parameters, defaults and annotations of the plain callable."""
    return observed(decorate, lambda shape: str(inspect.signature(shape)))


@same
def test_full_argument_specification(decorate: Any) -> Any:
    """inspect.getfullargspec sees what it sees of the plain function or method (it cannot see through objects)."""
    seen = observed(decorate, lambda shape: str(inspect.getfullargspec(shape)))
    return {name: spec for name, spec in seen.items() if not name.startswith(("callable object", "partial"))}


@same
def test_kinds(decorate: Any) -> Any:
    """Every question of inspect and asyncio about the kind of a callable is answered as for the plain one."""
    questions = [
        inspect.iscoroutinefunction,
        asyncio.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        inspect.isfunction,
        inspect.ismethod,
        inspect.isbuiltin,
        inspect.isroutine,
        inspect.ismethoddescriptor,
        callable,
        lambda shape: isinstance(shape, types.FunctionType),
        lambda shape: isinstance(shape, types.MethodType),
        lambda shape: isinstance(shape, collections.abc.Callable),
    ]
    return [observed(decorate, question) for question in questions]


@same
def test_names_and_documentation(decorate: Any) -> Any:
    """Names, documentation, module, defaults and annotations are those of the plain callable."""
    names = ["__name__", "__qualname__", "__doc__", "__module__", "__annotations__", "__defaults__", "__kwdefaults__"]
    return [observed(decorate, lambda shape, name=name: getattr(shape, name)) for name in names]


@same
def test_type_hints(decorate: Any) -> Any:
    """typing.get_type_hints resolves the annotations of the plain callable."""
    return observed(decorate, typing.get_type_hints)


@same
def test_standing_for_another_function(decorate: Any) -> Any:
    """functools.wraps above a decorated function says whom it stands for; what is called stays the decorated one."""

    def other(a: int) -> int:
        return a

    @functools.wraps(other)
    @decorate
    def twice(a: int) -> int:
        return 2 * other(a)

    found = [twice(3), twice.__name__, inspect.unwrap(twice) is other]
    del twice.__wrapped__
    return [*found, twice(3)]


@pytest.mark.skipif("__wrapped__" not in vars(wrapt.BaseObjectProxy), reason="the wrapt in Python calls __wrapped__")
@same
def test_whom_a_function_stands_for(decorate: Any) -> Any:
    """`__wrapped__` is the function that functools.wraps or a cache has put there, not the plain one below us."""

    def other(a: int) -> int:
        return a

    wrapper = functools.wraps(other)(decorate(lambda a: a + 1))
    cached = decorate(functools.lru_cache(other))
    return [found.__wrapped__ is other for found in (wrapper, cached)] + [wrapper(3), cached(3)]


@same
def test_attributes_in_one_go(decorate: Any) -> Any:
    """A function takes a new dict of attributes, and refuses to be without one."""

    @decorate
    def marked() -> None: ...

    marked.mark = 1
    marked.__dict__ = given = {"other": 2}
    return [vars(marked) is given, marked.other, hasattr(marked, "mark"), outcome(lambda: delattr(marked, "__dict__"))]


@same
def test_annotations_after_the_type_was_asked_for_its_own(decorate: Any) -> Any:
    """What the type of a callable says of annotations, to whoever asks, leaves those of the callable as they are."""

    def annotations(shape: Any) -> Any:
        getattr(type(shape), "__annotations__", None)
        return inspect.get_annotations(type(shape)), getattr(shape, "__annotations__", {})

    return observed(decorate, annotations)


@same
def test_source(decorate: Any) -> Any:
    """inspect.getsource gives the lines of the plain function."""
    return observed(decorate, inspect.getsource)


@same
def test_repr_without_address(decorate: Any) -> Any:
    """repr() and str() say what they say of the plain callable."""

    def words(shape: Any) -> list[str]:
        return [text.partition(" at 0x")[0] for text in (repr(shape), str(shape))]

    return observed(decorate, words)


@same
def test_attributes_can_be_set(decorate: Any) -> Any:
    """Attributes are set, read, listed and deleted as on a plain function."""

    @decorate
    def function() -> None: ...

    function.mark = 1
    seen = [function.mark, dict(vars(function)), function.__dict__ == vars(function)]
    del function.mark
    return [*seen, hasattr(function, "mark"), dict(vars(function))]


@same
def test_truth_and_equality(decorate: Any) -> Any:
    """A function equals itself and no other, methods of one instance are equal, and all are hashable."""
    first, second = shapes(decorate), shapes(decorate)
    return [
        first["function"] == first["function"],
        first["function"] == second["function"],
        first["method"] == first["method"].__self__.method,
        first["method"] == second["method"],
        hash(first["method"]) == hash(first["method"].__self__.method),
        {first["method"]: 1}.get(first["method"].__self__.method),
        bool(first["function"]),
    ]


@same
def test_what_a_function_is_not(decorate: Any) -> Any:
    """isinstance finds the abstract classes of a plain callable, and no others, in functions, methods and their like."""
    names = [name for name in collections.abc.__all__ if name != "ByteString"]  # from Python 3.12 it warns who asks
    kinds = [getattr(collections.abc, name) for name in names]
    kinds += [typing.SupportsInt, typing.SupportsFloat, typing.SupportsIndex, typing.SupportsAbs, typing.SupportsBytes]
    kinds += [typing.SupportsComplex, typing.SupportsRound, os.PathLike]
    kinds += [contextlib.AbstractContextManager, contextlib.AbstractAsyncContextManager]
    wanted = ["function", "coroutine", "method", "over classmethod", "under staticmethod"]
    wanted += ["bound method", "partial", "cached", "builtin"]
    named = shapes(decorate)
    return {name: [kind.__name__ for kind in kinds if isinstance(named[name], kind)] for name in wanted}


@same
def test_messages_say_function(decorate: Any) -> Any:
    """Who tells the type of what it was given, as Python does and libraries do, tells of a function."""
    function: Any = shapes(decorate)["function"]
    answers = [outcome(list, function), outcome(next, function), outcome(memoryview, function)]
    return [*answers, type(function).__name__, type(function).__qualname__, repr(type(function))]


@same
def test_exit_stack_takes_a_function(decorate: Any) -> Any:
    """`ExitStack.push` asks the type of what it is given for `__exit__`, which that of a function does not have."""
    told = []
    with contextlib.ExitStack() as stack:
        stack.push(decorate(functools.partial(lambda told, kind, error, traceback: told.append(kind) or True, told)))
        stack.push(decorate(lambda kind, error, traceback: told.append(kind)))
        raise KeyError
    return told


# Methods


@same
def test_method_of_a_class_is_one_object(decorate: Any) -> Any:
    """A method taken from its class is the same object each time, so that overriding can be seen with `is`."""

    class Base:
        @decorate
        def kept(self) -> None: ...

        @decorate
        def replaced(self) -> None: ...

        @decorate
        @staticmethod
        def static() -> None: ...

    class Child(Base):
        @decorate
        def replaced(self) -> None: ...

    made = Child()
    return [
        Base.kept is Base.kept,
        Child.kept is Base.kept,
        Child.replaced is Base.replaced,
        made.kept.__func__ is Base.kept,
        Base.static is made.static,
        vars(Base)["kept"] is Base.kept,
        type(made.kept).__name__,
        type(vars(Base)["static"]).__name__,
        weakref.WeakMethod(made.kept)() == made.kept,
    ]


@same
def test_bound_method_knows_its_instance(decorate: Any) -> Any:
    """`__self__` is the instance, `__func__` is a function of the same name."""
    method = shapes(decorate)["method"]
    return (
        type(method.__self__).__name__,
        method.__self__.value,
        method.__func__.__name__,
        method.__func__(method.__self__, 3),
    )


# Pickles and copies


class Account:
    """Something with methods that can be found by name."""

    def __init__(self, balance: int = 0) -> None:
        self.balance = balance

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Account) and other.balance == self.balance

    def plain(self, more: int) -> int:
        return self.balance + more

    plain_classmethod = classmethod(lambda cls: cls.__name__)

    @staticmethod
    def plain_static(a: int) -> int:
        return a

    @traced
    def method(self, more: int) -> int:
        return self.balance + more

    @tool
    async def coroutine(self) -> int:
        return self.balance

    @traced
    @classmethod
    def over_classmethod(cls) -> str:
        return cls.__name__

    @classmethod
    @traced
    def under_classmethod(cls) -> str:
        return cls.__name__

    @traced
    @staticmethod
    def over_static(a: int) -> int:
        return a

    @staticmethod
    @traced
    def under_static(a: int) -> int:
        return a

    @traced
    @functools.lru_cache
    def cached(self, a: int) -> int:
        return a

    __hash__ = object.__hash__

    class Inner:
        @traced
        def deep(self) -> str:
            return "deep"


class Savings(Account):
    """Inherits decorated methods."""


@traced
def top_level(a: int) -> int:
    return a + 1


@traced
def top_level_generator() -> Any:
    yield 1


def undecorated(a: int) -> int:
    return a + 2


class Adder:
    """A callable object."""

    def __init__(self, parts: list[int]) -> None:
        self.parts = parts

    def __call__(self, a: int) -> int:
        return sum(self.parts, a)


decorated_elsewhere = traced(name="other", attributes={"k": 1})(undecorated)
decorated_object = tool(Adder([1, 2]))
decorated_partial = tool(functools.partial(undecorated, 3))
decorated_bound = traced(Account(7).plain)
decorated_builtin = traced(len)

PICKLED = {
    "function": (lambda: top_level, (1,), 2),
    "method": (lambda: Account(5).method, (1,), 6),
    "inherited method": (lambda: Savings(5).method, (1,), 6),
    "unbound method": (lambda: Account.method, (Account(5), 1), 6),
    "unbound inherited method": (lambda: Savings.method, (Savings(5), 1), 6),
    "method of a nested class": (lambda: Account.Inner().deep, (), "deep"),
    "over classmethod": (lambda: Account.over_classmethod, (), "Account"),
    "over classmethod by instance": (lambda: Account().over_classmethod, (), "Account"),
    "over classmethod, inherited": (lambda: Savings.over_classmethod, (), "Savings"),
    "under classmethod": (lambda: Account.under_classmethod, (), "Account"),
    "under classmethod, inherited": (lambda: Savings().under_classmethod, (), "Savings"),
    "over staticmethod": (lambda: Account.over_static, (3,), 3),
    "over staticmethod by instance": (lambda: Account().over_static, (3,), 3),
    "under staticmethod": (lambda: Account.under_static, (3,), 3),
    "cached method": (lambda: Account(5).cached, (3,), 3),
    "under another name": (lambda: decorated_elsewhere, (3,), 5),
    "callable object": (lambda: decorated_object, (3,), 6),
    "partial": (lambda: decorated_partial, (), 5),
    "partial of decorated": (lambda: functools.partial(top_level, 4), (), 5),
    "bound method, decorated": (lambda: decorated_bound, (3,), 10),
    "builtin": (lambda: decorated_builtin, ([1, 2],), 2),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", PICKLED)
def test_pickled_callable_does_the_same(name: str, protocol: int) -> None:
    """What can be found by name, or is built of what can, comes back from pickle and works as before."""
    make, args, expected = PICKLED[name]
    with record():
        assert expected == pickle.loads(pickle.dumps(make(), protocol))(*args)


@pytest.mark.parametrize("name", PICKLED)
def test_pickled_callable_is_still_recorded(name: str) -> None:
    """What comes back from pickle is decorated as before: same name, same options."""
    make, args, _ = PICKLED[name]
    with record() as before:
        make()(*args)
    with record() as after:
        pickle.loads(pickle.dumps(make()))(*args)
    said = [(span.name, span.kind, span.input, span.attributes) for span in before.spans]
    assert said == [(span.name, span.kind, span.input, span.attributes) for span in after.spans]


def test_pickled_function_is_the_function() -> None:
    """A function that is found by its name comes back as the very same object."""
    assert top_level is pickle.loads(pickle.dumps(top_level))


def test_instances_with_decorated_methods_are_pickled() -> None:
    """Decorated methods do not stand in the way of pickling instances."""
    assert Account(9) == pickle.loads(pickle.dumps(Account(9)))


@same
def test_what_cannot_be_pickled_raises_pythons_own_error(decorate: Any) -> Any:
    """Local functions, lambdas and methods of local classes raise what they raise when plain."""
    named = shapes(decorate)
    kinds = [
        "function",
        "coroutine",
        "generator",
        "async generator",
        "unbound method",
        "over staticmethod",
        "under staticmethod",
    ]
    return [outcome(pickle.dumps, named[kind]) for kind in kinds] + [outcome(pickle.dumps, named["method"])[0]]


@same
def test_what_is_not_at_its_name_raises_as_plain(decorate: Any) -> Any:
    """A function in whose place stands another one, or none, raises pickle's own error, with the same notes."""
    namespace: dict[str, Any] = {"__name__": __name__}
    exec("def top_level(): ...\ndef nowhere(): ...", namespace)
    found = []
    for name in ("top_level", "nowhere"):
        with pytest.raises((pickle.PicklingError, AttributeError)) as caught:
            pickle.dumps(decorate(namespace[name]))
        found.append((str(caught.value).partition(" at 0x")[0], getattr(caught.value, "__notes__", None)))
    return found


@same
def test_copied_function_is_the_function(decorate: Any) -> Any:
    """copy and deepcopy of a function give the function itself."""
    function = shapes(decorate)["function"]
    return (
        copy.copy(function) is function,
        copy.deepcopy(function) is function,
        copy.deepcopy([function])[0] is function,
    )


@same
def test_copied_callable_object_copies_what_it_wraps(decorate: Any) -> Any:
    """A copy of a callable object shares its parts, a deep copy has its own."""
    adder = decorate(Adder([1, 2]))
    shallow, deep = copy.copy(adder), copy.deepcopy(adder)
    adder.parts.append(10)
    return [shallow(0), deep(0), shallow is adder, deep is adder, shallow.parts is adder.parts]


@same
def test_copied_method_belongs_to_the_copied_instance(decorate: Any) -> Any:
    """A deep copy of a bound method is bound to the copy of its instance, a shallow copy to the instance itself."""
    method = shapes(decorate)["method"]
    shallow, deep = copy.copy(method), copy.deepcopy(method)
    instance, again = copy.deepcopy([method.__self__, method])
    method.__self__.value = 100
    return [shallow(0), deep(0), shallow.__self__ is method.__self__, again.__self__ is instance]


@same
def test_deep_copied_instance_with_a_decorated_method_in_it(decorate: Any) -> Any:
    """An instance that keeps decorated bound methods is deep-copied with methods of the copy."""
    account = Account(1)
    account.kept = decorate(account.plain)
    twin = copy.deepcopy(account)
    account.balance = 50
    return twin.kept(1), account.kept(1)


def test_copies_are_recorded() -> None:
    """A deep copy of a callable object is decorated as the original is."""
    with record() as recording:
        copy.deepcopy(decorated_object)(1)
    assert ["Adder"] == [span.name for span in recording.spans]


# Doubles and dispatch


@same
def test_autospec(decorate: Any) -> Any:
    """mock.create_autospec makes mocks of the same signature and kind, that refuse the same wrong calls."""

    def speced(shape: Any) -> Any:
        spec = mock.create_autospec(shape)
        said, given = outcome(spec, 1, 2, 3, 4, z=5)
        if inspect.iscoroutine(given):  # of Python 3.13.0, which refuses nothing in place of a coroutine function
            given.close()
        return str(inspect.signature(spec)), inspect.iscoroutinefunction(spec), said

    wanted = ["function", "coroutine", "generator", "method", "over classmethod", "lambda"]
    named = shapes(decorate)
    return [speced(named[name]) for name in wanted]


@same
def test_autospec_of_a_class(decorate: Any) -> Any:
    """mock.create_autospec of a class with decorated methods knows them."""

    class Plain:
        @decorate
        def method(self, a: int) -> int: ...

        @decorate
        async def waiting(self) -> int: ...

        @decorate
        @classmethod
        def of_class(cls, b: int) -> int: ...

        @decorate
        @staticmethod
        def static(c: int) -> int: ...

    spec = mock.create_autospec(Plain)
    made = spec()
    wrong = [outcome(made.method)[0], outcome(spec.of_class, 1, 2)[0], outcome(spec.static)[0]]
    return wrong + [inspect.iscoroutinefunction(made.waiting), outcome(made.method, 1)[0]]


@same
def test_single_dispatch(decorate: Any) -> Any:
    """singledispatch over and under a decorator chooses by the type of the argument."""

    @functools.singledispatch
    @decorate
    def kind(value: object) -> str:
        return "object"

    @kind.register
    @decorate
    def of_int(value: int) -> str:
        return "int"

    @functools.singledispatch
    def other(value: object) -> str:
        return "object"

    other.register(str, decorate(lambda value: "str"))
    over = decorate(other)
    return [kind(1), kind("a"), over("a"), over(1), sorted(str(key) for key in kind.registry)]


@same
def test_single_dispatch_method(decorate: Any) -> Any:
    """singledispatchmethod over decorated methods binds and chooses."""

    class Kinds:
        @functools.singledispatchmethod
        @decorate
        def kind(self, value: object) -> str:
            return "object"

        @kind.register
        @decorate
        def of_int(self, value: int) -> str:
            return f"int of {type(self).__name__}"

        @functools.singledispatchmethod
        @classmethod
        @decorate
        def of_class(cls, value: object) -> str:
            return cls.__name__

    return Kinds().kind(1), Kinds().kind("a"), Kinds.of_class(1), Kinds().of_class(1)


# In classes of every kind


@same
def test_abstract_methods(decorate: Any) -> Any:
    """An abstract method stays abstract, in either order, and is concrete when overridden."""

    class Base(abc.ABC):
        @decorate
        @abc.abstractmethod
        def inside(self) -> int: ...

        @abc.abstractmethod
        @decorate
        def outside(self) -> int: ...

        @decorate
        @classmethod
        @abc.abstractmethod
        def of_class(cls) -> int: ...

    class Concrete(Base):
        @decorate
        def inside(self) -> int:
            return 1

        @decorate
        def outside(self) -> int:
            return 2

        @decorate
        @classmethod
        def of_class(cls) -> int:
            return 3

    made = Concrete()
    return sorted(Base.__abstractmethods__), outcome(Base), [made.inside(), made.outside(), made.of_class()]


@same
def test_properties(decorate: Any) -> Any:
    """property, cached_property and partialmethod take decorated functions."""

    class Box:
        def __init__(self) -> None:
            self.asked = 0

        @property
        @decorate
        def value(self) -> int:
            """Doc."""
            return 1

        @value.setter
        @decorate
        def value(self, new: int) -> None:
            self.asked = new

        @functools.cached_property
        @decorate
        def cached(self) -> int:
            self.asked += 1
            return self.asked

        @decorate
        def method(self, a: int, b: int) -> tuple[int, int]:
            return a, b

        partial = functools.partialmethod(method, 1)

    box = Box()
    box.value = 7
    return [
        box.value,
        box.asked,
        box.cached,
        box.cached,
        vars(box),
        Box.value.__doc__,
        box.partial(2),
        Box.partial(box, 3),
    ]


@same
def test_enum_methods(decorate: Any) -> Any:
    """A decorated method of an enum is a method, not a member."""

    class Colour(enum.Enum):
        RED = 1
        BLUE = 2

        @decorate
        def title(self) -> str:
            return self.name.title()

        @decorate
        @classmethod
        def first(cls) -> str:
            return next(iter(cls)).name

        @decorate
        @staticmethod
        def static() -> int:
            return 3

    return [member.name for member in Colour], Colour.RED.title(), Colour.first(), Colour.static()


@same
def test_dataclass_methods(decorate: Any) -> Any:
    """Dataclasses, frozen and with slots, keep decorated methods and do not take them for fields."""

    @dataclasses.dataclass(frozen=True, slots=True)
    class Point:
        x: int
        y: int = 2

        @decorate
        def sum(self) -> int:
            return self.x + self.y

        @decorate
        def __post_init__(self) -> None:
            object.__setattr__(self, "x", self.x * 10)

    return Point(1).sum(), [field.name for field in dataclasses.fields(Point)], repr(Point(3)).rpartition(".")[2]


@same
def test_slots_and_zero_argument_super(decorate: Any) -> Any:
    """Classes with __slots__ work, and super() without arguments finds the next class."""

    class Base:
        __slots__ = ("x",)

        @decorate
        def __init__(self, x: int) -> None:
            self.x = x

        @decorate
        def name(self) -> str:
            return f"base {self.x} {__class__.__name__}"  # type: ignore[name-defined]

        @decorate
        @classmethod
        def make(cls) -> Any:
            return cls(5)

    class Child(Base):
        __slots__ = ()

        @decorate
        def name(self) -> str:
            return "child of " + super().name()

        @decorate
        @classmethod
        def make(cls) -> Any:
            return super().make()

    return Child(1).name(), Child.make().name(), type(Child.make()).__name__


@same
def test_special_methods(decorate: Any) -> Any:
    """Decorated special methods are found by the interpreter."""

    class Special:
        @decorate
        def __new__(cls, *args: Any) -> Any:
            made = super().__new__(cls)
            made.args = args
            return made

        @decorate
        def __init__(self, *args: Any) -> None:
            self.inited = args

        @decorate
        def __len__(self) -> int:
            return 3

        @decorate
        def __getitem__(self, item: Any) -> Any:
            return item

        @decorate
        def __call__(self, a: int) -> int:
            return a

        @decorate
        def __enter__(self) -> str:
            return "entered"

        @decorate
        def __exit__(self, *exc: Any) -> bool:
            return True

        @decorate
        def __iter__(self) -> Any:
            yield from (1, 2)

        @decorate
        async def __aiter__(self) -> Any:
            yield 1

        @decorate
        def __add__(self, other: Any) -> Any:
            return NotImplemented

        @decorate
        def __radd__(self, other: Any) -> Any:
            return "radd"

        @decorate
        def __eq__(self, other: object) -> bool:
            return True

        @decorate
        def __repr__(self) -> str:
            return "Special!"

        @decorate
        def __getattr__(self, name: str) -> str:
            if name.startswith("__"):
                raise AttributeError(name)
            return name

    class Child(Special):
        def __new__(cls, *args: Any) -> Any:
            return super().__new__(cls, "child")

    async def first() -> Any:
        return [item async for item in Special()]

    made = Special(1)
    with made as entered:
        raise ValueError("swallowed by __exit__")
    return [
        made.args, made.inited, len(made), made[1], made(2), entered, list(made), asyncio.run(first()), 1 + made,
        outcome(lambda: made + 1)[0], made == 3, repr(made), made.missing, Child().args, made.__new__(Special, 9).args,
        Special.__hash__ is None,
    ]  # fmt: skip


@same
def test_class_hooks(decorate: Any) -> Any:
    """__init_subclass__ and __class_getitem__ are class methods without saying so, decorated too."""
    seen = []

    class Base:
        @decorate
        def __init_subclass__(cls, tag: str = "none", **more: Any) -> None:
            super().__init_subclass__(**more)
            seen.append((cls.__name__, tag))

        @decorate
        def __class_getitem__(cls, item: Any) -> Any:
            return cls.__name__, item

    class Child(Base, tag="child"): ...

    class Explicit:
        @decorate
        @classmethod
        def __init_subclass__(cls) -> None:
            seen.append(cls.__name__)

        @classmethod
        @decorate
        def __class_getitem__(cls, item: Any) -> Any:
            return cls.__name__, item

    class Below(Explicit): ...

    return [seen, Base["a"], Child["b"], Below["c"], outcome(lambda: type("T", (Base,), {}, wrong=1))]


@same
def test_set_name(decorate: Any) -> Any:
    """A callable object that wants to know its name in the class is told."""

    class Knows:
        def __set_name__(self, owner: type, name: str) -> None:
            self.told = owner.__name__, name

        def __call__(self) -> Any:
            return self.told

    class Owner:
        known = decorate(Knows())

    return Owner.known(), Owner().known()


@same
def test_metaclass_methods(decorate: Any) -> Any:
    """Methods of a metaclass bind to its classes."""

    class Meta(type):
        @decorate
        def shout(cls) -> str:
            return cls.__name__.upper()

        @decorate
        def __call__(cls, *args: Any) -> Any:
            return ["made", super().__call__(*args)]

        @decorate
        def __instancecheck__(cls, instance: object) -> bool:
            return instance == 1

    class Thing(metaclass=Meta): ...

    return Thing.shout(), Thing()[0], isinstance(1, Thing), isinstance(2, Thing)


@same
def test_protocols(decorate: Any) -> Any:
    """Runtime checks of protocols see decorated methods."""

    @typing.runtime_checkable
    class Runs(typing.Protocol):
        def run(self) -> int: ...

    class Runner:
        @decorate
        def run(self) -> int:
            return 1

    class Other: ...

    return isinstance(Runner(), Runs), isinstance(Other(), Runs), issubclass(Runner, Runs)


@same
def test_named_tuple_methods(decorate: Any) -> Any:
    """Methods of a NamedTuple can be decorated."""

    class Pair(typing.NamedTuple):
        a: int
        b: int

        @decorate
        def sum(self) -> int:
            return self.a + self.b

    return Pair(1, 2).sum(), Pair._fields


# Between other decorators


@same
def test_wrapped_by_functools(decorate: Any) -> Any:
    """functools.wraps on top of a decorated function copies its names and signature."""

    @decorate
    def function(a: int, b: str = "x") -> str:
        """Doc."""
        return b * a

    @functools.wraps(function)
    def over(*args: Any, **kwargs: Any) -> Any:
        return "over " + function(*args, **kwargs)

    return over(2), over.__name__, over.__doc__, str(inspect.signature(over)), over.__annotations__


@same
def test_below_a_decorator_of_wrapt(decorate: Any) -> Any:
    """A decorator made by wrapt is told the instance, also where the method is called by the class."""

    @wrapt.decorator
    def told(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        return type(instance).__name__, args, wrapped(*args, **kwargs)

    class Holder:
        @told
        @decorate
        def method(self, a: int) -> int:
            return a

    return Holder().method(1), Holder.method(Holder(), 1)


@pytest.mark.parametrize("target", [lambda: 1 / 0, functools.partial(lambda: 1 / 0)], ids=["function", "partial"])
def test_tests_that_fail_do_not_show_our_frames(target: Any) -> None:
    """pytest shows the test and what it called, as it would without us."""
    with pytest.raises(ZeroDivisionError) as raised, record():
        traced(target)()
    assert {__file__} == {str(entry.path) for entry in raised.traceback.filter(raised)}


@same
def test_cached(decorate: Any) -> Any:
    """lru_cache under and over a decorator caches, and its own methods can be reached."""
    calls = []

    @functools.cache
    @decorate
    def over(a: int) -> int:
        calls.append(a)
        return a

    @decorate
    @functools.cache
    def under(a: int) -> int:
        calls.append(a)
        return a

    class Holder:
        @decorate
        @functools.cache
        def method(self, a: int) -> int:
            calls.append(a)
            return a

    holder = Holder()
    results = [over(1), over(1), under(2), under(2), holder.method(3), holder.method(3), Holder.method(holder, 3)]
    return results, calls, over.cache_info(), under.cache_info(), under.cache_clear()


@same
def test_context_manager_over_a_generator(decorate: Any) -> Any:
    """contextlib.contextmanager and asynccontextmanager take decorated generators."""
    seen = []

    @contextlib.contextmanager
    @decorate
    def manager(a: int) -> Any:
        try:
            yield a
        except ValueError as error:
            seen.append(str(error))
        finally:
            seen.append("closed")

    @contextlib.asynccontextmanager
    @decorate
    async def amanager(a: int) -> Any:
        try:
            yield a
        finally:
            seen.append("aclosed")

    async def use() -> Any:
        async with amanager(2) as got:
            seen.append(got)
            raise KeyError("k")

    with manager(1) as got:
        seen.append(got)
        raise ValueError("swallowed")
    with manager(3):
        pass
    return seen, outcome(asyncio.run, use()), outcome(lambda: manager(4).__enter__())


@same
def test_context_manager_under_a_decorator(decorate: Any) -> Any:
    """What contextmanager made can be decorated and is still a context manager, and a decorator."""
    seen = []

    @decorate
    @contextlib.contextmanager
    def manager(a: int) -> Any:
        seen.append(a)
        yield a + 1
        seen.append("closed")

    @manager(5)
    def function() -> str:
        return "function"

    with manager(1) as got:
        seen.append(got)
    return seen, function(), seen


@same
def test_types_coroutine(decorate: Any) -> Any:
    """types.coroutine over and under a decorator gives generators that can be awaited."""

    @types.coroutine
    @decorate
    def over(a: int) -> Any:
        got = yield a
        return got

    @decorate
    @types.coroutine
    def under(a: int) -> Any:
        got = yield a
        return got

    async def both() -> Any:
        return await over(1), await under(2)

    driven = both()
    steps = [driven.send(None), driven.send("one")]
    steps.append(outcome(driven.send, "two")[1])
    return steps, inspect.isawaitable(over(1)), inspect.isawaitable(under(1))


@same
def test_names_of_what_a_call_makes(decorate: Any) -> Any:
    """Generators and coroutines carry the name of the function, and are of the plain types."""

    @decorate
    def generator() -> Any:
        yield

    @decorate
    async def coroutine() -> None: ...

    @decorate
    async def async_generator() -> Any:
        yield

    made = [generator(), coroutine(), async_generator()]
    made[1].close()
    return [(type(one).__name__, one.__name__, one.__qualname__) for one in made]


# Calls


@same
def test_calls(decorate: Any) -> Any:
    """Every shape returns, for a right call, what the plain one returns."""
    named = shapes(decorate)

    async def awaited(shape: Any, *args: Any) -> Any:
        return await shape(*args)

    async def gathered(shape: Any) -> Any:
        return [item async for item in shape(4)]

    holder = named["method"].__self__
    return [
        named["function"](4, "x", 1.0, c=True, z=1),
        asyncio.run(awaited(named["coroutine"], 4)),
        list(named["generator"](4)),
        asyncio.run(gathered(named["async generator"])),
        named["lambda"](4),
        named["method"](4),
        named["unbound method"](holder, 4),
        named["unbound method"](self=holder, a=4),
        asyncio.run(awaited(named["coroutine method"], 4)),
        *[named[name](4) for name in named if "classmethod" in name or "staticmethod" in name],
        named["bound method"](4),
        named["callable object"](4),
        asyncio.run(awaited(named["callable object, async"], 4)),
        named["partial"](4),
        asyncio.run(awaited(named["partial of a coroutine function"])),
        asyncio.run(awaited(named["partial of decorated"])),
        named["cached"](4),
        named["wrapt-decorated"](4),
        named["builtin"]([1, 2]),
        named["builtin method"](1),
        named["class method of a builtin"]("ab"),
    ]


@same
def test_wrong_calls(decorate: Any) -> Any:
    """A wrong call raises, at the call, Python's own TypeError with the words of the plain callable."""
    calls = [((), {}), ((1, 2, 3, 4), {}), ((1,), {"nonsense": 1}), ((1,), {"a": 1})]
    said = {}
    for name, shape in shapes(decorate).items():
        for args, kwargs in calls:
            kind, text = outcome(shape, *args, **kwargs)
            if kind == "returned" and inspect.iscoroutine(text):
                text.close()
            said[name, str(args), str(kwargs)] = (kind, text if kind == "TypeError" else "")
    return said


def test_only_callables_are_decorated() -> None:
    """What cannot be called, and classes, are refused at decoration by a sentence that says what to do."""
    for target in (3, Account, property(lambda self: 1)):
        with pytest.raises(TypeError, match="decorate its methods"):
            traced(target)


def called_from(start: int) -> int:
    return start


called_from.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # as of a function that C defines
    [inspect.Parameter("from", inspect.Parameter.POSITIONAL_ONLY)]
)

NAMED = {
    "function": (lambda: traced(undecorated), (1,), "undecorated", {"a": 1}),
    "default": (lambda: traced(lambda a, b=2: a), (1,), "<lambda>", {"a": 1, "b": 2}),
    "surplus": (lambda: traced(lambda a, *rest, **more: a), (1, 2, 3), "<lambda>", {"a": 1, "*rest": [2, 3]}),
    "method": (lambda: Account(1).method, (2,), "Account.method", {"more": 2}),
    "unbound method": (lambda: Account.method, (Account(1), 2), "Account.method", {"more": 2}),
    "over classmethod": (lambda: Account.over_classmethod, (), "Account.over_classmethod", {}),
    "under classmethod": (lambda: Account().under_classmethod, (), "Account.under_classmethod", {}),
    "over staticmethod": (lambda: Account().over_static, (2,), "Account.over_static", {"a": 2}),
    "under staticmethod": (lambda: Account.under_static, (2,), "Account.under_static", {"a": 2}),
    "bound method": (lambda: traced(Account(1).plain), (2,), "Account.plain", {"more": 2}),
    "surplus of a bound method": (
        lambda: traced(types.MethodType(lambda self, a, *rest: a, 1)),
        (1, 2),
        "<lambda>",
        {"a": 1, "*rest": [2]},
    ),
    "bound classmethod": (lambda: traced(Account.over_classmethod), (), "Account.over_classmethod", {}),
    "callable object": (lambda: traced(Adder([1])), (2,), "Adder", {"a": 2}),
    "object for a function": (
        lambda: traced(functools.update_wrapper(Adder([1]), undecorated)),
        (2,),
        "undecorated",
        {"a": 2},
    ),
    "partial": (lambda: traced(functools.partial(divmod, 7)), (2,), "divmod", {"y": 2}),
    "partial with a keyword": (lambda: traced(functools.partial(undecorated, a=7)), (), "undecorated", {"a": 7}),
    "partial of a method": (lambda: traced(functools.partial(Account(1).plain, 2)), (), "Account.plain", {}),
    "builtin": (lambda: traced(len), ([1],), "len", {"obj": [1]}),
    "builtin method": (lambda: traced([1].count), (2,), "list.count", {"value": 2}),
    "cached": (lambda: traced(functools.lru_cache(undecorated)), (2,), "undecorated", {"a": 2}),
    "first argument called self": (lambda: traced(lambda self, a: a), (1, 2), "<lambda>", {"a": 2}),
    "keyword of Python": (lambda: traced(called_from), (2,), "called_from", {"from": 2}),
}


# What is recorded


@pytest.mark.parametrize("name", NAMED)
def test_name_and_input(name: str) -> None:
    """A span is called what the callable is called, its input maps parameters to arguments without self and cls."""
    make, args, expected, arguments = NAMED[name]
    decorated = make()
    with record() as recording:
        decorated(*args)
    first = recording.spans[-1]
    assert (expected, arguments) == (first.name, first.input or {})


def test_kinds_of_spans() -> None:
    """Each decorator gives its kind, an option its name, and constant attributes are set."""
    with record() as recording:
        tool(name="add up", attributes={"k": "v"})(undecorated)(1)
        agent(undecorated)(1)
        traced(kind="retrieval", capture_input=False, capture_output=False)(undecorated)(1)
    said = [(span.name, span.kind, span.attributes, span.input, span.output) for span in recording.spans]
    assert [
        ("add up", "tool", {"k": "v"}, {"a": 1}, 3),
        ("undecorated", "agent", {}, {"a": 1}, 3),
        ("undecorated", "retrieval", {}, None, None),
    ] == said


def test_agent_id_is_read_from_the_instance() -> None:
    """`@agent(id="attribute")` takes the attribute of the instance at the call; spans below inherit it."""

    class Worker:
        def __init__(self) -> None:
            self.name = "worker 7"

        @agent(id="name")
        def run(self) -> int:
            return top_level(1)

    with record() as recording:
        Worker().run()
    assert ["worker 7", "worker 7"] == [span.attributes["gen_ai.agent.id"] for span in recording.spans]


def test_agent_id_of_a_plain_function_is_the_text_itself() -> None:
    """It has no instance with an attribute of that name."""
    with record() as recording:
        agent(id="researcher")(top_level)(1)
    assert ["researcher"] * len(recording.spans) == [one.attributes.get("gen_ai.agent.id") for one in recording.spans]


def test_model_calls_of_an_agent_without_id_carry_its_name() -> None:
    """So that `costs` and `stats` can add up by agent, also where its id is not found; other spans need not say it, and
    logs have no id."""
    with record() as recording:

        @llm_call(model="m")
        def ask() -> None:
            log("ASKED")

        class Inner:
            @agent(id="no_method_has_it", name="inner")
            def run(self) -> None:
                ask()

        @agent(name="outer")
        def run() -> None:
            ask()
            Inner().run()

        run()
    called = [(one.name, one.attributes.get("gen_ai.agent.name")) for one in recording.spans]
    assert [("ask", "outer"), ("ask", "inner"), ("inner", None), ("outer", None)] == called
    assert [None, None] == [one.agent_id for one in recording.logs]


@pytest.fixture(autouse=True)
def nothing_configured() -> Any:
    """What a test does not record itself is not recorded."""
    with recording_off():
        yield


@pytest.fixture
@traced
def decorated_fixture() -> Any:
    yield "from a decorated fixture"


def test_decorated_generator_as_fixture(decorated_fixture: str) -> None:
    """pytest takes a decorated generator for a fixture."""
    assert "from a decorated fixture" == decorated_fixture


@traced
def test_decorated_test_is_collected(decorated_fixture: str) -> None:
    """pytest collects a decorated test and gives it its fixtures."""
    assert decorated_fixture


def test_plain_is_plain() -> None:
    """The comparison above is against the undecorated target itself."""
    assert undecorated is plain(undecorated)
