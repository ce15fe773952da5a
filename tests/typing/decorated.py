"""Checked by `mypy --strict` from test_typing.py, which compares the types revealed for `Plain` and for `Traced`."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from typing import Any, Generic, ParamSpec, TypeVar, overload, reveal_type

from instrument import agent, carry, llm_call, session, span, tool, traced, wrap

T = TypeVar("T")
P = ParamSpec("P")


def other(function: Callable[P, T]) -> Callable[P, list[T]]:
    """A decorator of somebody else's that changes the type."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> list[T]:
        return [function(*args, **kwargs)]

    return call


class Plain(Generic[T]):
    def __init__(self, value: T) -> None:
        self.value = value

    def method(self, a: int, /, b: str = "b", *rest: float, c: bool, **more: object) -> T:
        return self.value

    async def coroutine(self, a: int) -> T:
        return self.value

    def generator(self, a: int) -> Generator[int, str, bytes]:
        got = yield a
        return got.encode()

    async def async_generator(self, a: int) -> AsyncIterator[int]:
        yield a

    @classmethod
    def of_class(cls, value: T) -> Plain[T]:
        return cls(value)

    @classmethod
    def under_classmethod(cls, value: T) -> Plain[T]:
        return cls(value)

    @staticmethod
    def static(a: int) -> str:
        return str(a)

    @staticmethod
    def under_static(a: int) -> str:
        return str(a)

    @property
    def size(self) -> int:
        return 1

    @contextlib.contextmanager
    def manager(self) -> Iterator[T]:
        yield self.value

    @other
    def changed(self, a: int) -> str:
        return str(a)


class Traced(Generic[T]):
    def __init__(self, value: T) -> None:
        self.value = value

    @traced
    def method(self, a: int, /, b: str = "b", *rest: float, c: bool, **more: object) -> T:
        return self.value

    @llm_call(model="gpt-4o", name="ask")
    async def coroutine(self, a: int) -> T:
        return self.value

    @tool
    def generator(self, a: int) -> Generator[int, str, bytes]:
        got = yield a
        return got.encode()

    @traced(kind="retrieval", attributes={"k": 1})
    async def async_generator(self, a: int) -> AsyncIterator[int]:
        yield a

    @agent
    @classmethod
    def of_class(cls, value: T) -> Traced[T]:
        return cls(value)

    @classmethod
    @agent(id="value", budget={"usd": 1})
    def under_classmethod(cls, value: T) -> Traced[T]:
        return cls(value)

    @tool(capture_input=False)
    @staticmethod
    def static(a: int) -> str:
        return str(a)

    @staticmethod
    @tool
    def under_static(a: int) -> str:
        return str(a)

    @property
    @traced
    def size(self) -> int:
        return 1

    @contextlib.contextmanager
    @traced
    def manager(self) -> Iterator[T]:
        yield self.value

    @traced
    @other
    @tool
    def changed(self, a: int) -> str:
        return str(a)


def plain_function(a: int, *, b: str = "b") -> list[int]:
    return [a]


@tool
def traced_function(a: int, *, b: str = "b") -> list[int]:
    return [a]


def plain_generic(value: T, other: Callable[[T], Awaitable[T]]) -> T:
    return value


@agent(name="generic")
def traced_generic(value: T, other: Callable[[T], Awaitable[T]]) -> T:
    return value


@overload
def plain_overloaded(a: int) -> int: ...
@overload
def plain_overloaded(a: str) -> str: ...
def plain_overloaded(a: Any) -> Any:
    return a


@overload
def traced_overloaded(a: int) -> int: ...
@overload
def traced_overloaded(a: str) -> str: ...
@traced
def traced_overloaded(a: Any) -> Any:
    return a


def pairs() -> None:
    """What is plain, and in the next line what is traced."""
    reveal_type(plain_function)
    reveal_type(traced_function)
    reveal_type(plain_generic)
    reveal_type(traced_generic)
    reveal_type(plain_overloaded)
    reveal_type(traced_overloaded)
    reveal_type(Plain("v").method)
    reveal_type(Traced("v").method)
    reveal_type(Plain.method)
    reveal_type(Traced.method)
    reveal_type(Plain("v").method(1, c=True))
    reveal_type(Traced("v").method(1, c=True))
    reveal_type(Plain("v").coroutine)
    reveal_type(Traced("v").coroutine)
    reveal_type(Plain("v").generator)
    reveal_type(Traced("v").generator)
    reveal_type(Plain("v").async_generator)
    reveal_type(Traced("v").async_generator)
    reveal_type(Plain.of_class)
    reveal_type(Traced.of_class)
    reveal_type(Plain.of_class("v"))
    reveal_type(Traced.of_class("v"))
    reveal_type(Plain.under_classmethod("v"))
    reveal_type(Traced.under_classmethod("v"))
    reveal_type(Plain.static)
    reveal_type(Traced.static)
    reveal_type(Plain("v").under_static)
    reveal_type(Traced("v").under_static)
    reveal_type(Plain("v").size)
    reveal_type(Traced("v").size)
    reveal_type(Plain("v").manager())
    reveal_type(Traced("v").manager())
    reveal_type(Plain("v").changed)
    reveal_type(Traced("v").changed)
    reveal_type(functools.partial(plain_function, 1))
    reveal_type(traced(functools.partial(plain_function, 1)))
    reveal_type(plain_function)
    reveal_type(carry(traced_function))
    reveal_type(len)
    reveal_type(tool(len))


def other_uses() -> None:
    """Uses that must be without an error."""
    with wrap(Plain, method=traced, coroutine=llm_call(model="m")), session("s", user="u", tags=["t"]):
        with span("step", kind="step") as live:
            live.set({"a.b": 1}, c=2)
            live.event("moment", at=1)
            live.usage(input=1, output=2, model="m")
            live.link(live.trace_id, live.span_id)
