"""Random generator bodies, random ways to drive them, and a log of all that can be seen from inside and outside.

A body is a nest of tuples that is written out as Python source, for a generator, an async generator or a coroutine, so
that real `try`, `finally`, `with` and `yield from` run. A drive is a list of operations on it. `observe` runs one drive
on one body and gives the log; two ways to make the generator are alike when their logs are equal.
"""

from __future__ import annotations

import gc
import inspect
import itertools
import sys
import types
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

Statement = tuple[Any, ...]
Block = tuple[Statement, ...]
Drive = tuple[list[Any], str, bool]


class Stop(BaseException):
    """Stands for KeyboardInterrupt and its like."""


RAISED = {
    kind.__name__: kind for kind in (ValueError, KeyError, StopIteration, StopAsyncIteration, GeneratorExit, Stop)
}
CAUGHT = {**RAISED, "RuntimeError": RuntimeError, "BaseException": BaseException}


def random_body(random: Random, depth: int) -> Block:
    """A body of blocks that are at most `depth` levels deep."""
    return tuple(_statement(random, depth) for _ in range(random.randint(1, 3)))


def _statement(random: Random, depth: int) -> Statement:
    if depth == 0 or random.random() < 0.45:
        kind = random.choice(_LEAVES)
        return (kind, random.choice(sorted(RAISED))) if kind.startswith("raise ") else (kind,)
    kind = random.choice(["finally", "except", "except", "with", "twice", "from"])
    blocks = [random_body(random, depth - 1) for _ in range(1 + (kind in ("finally", "except")))]
    return (kind, random.choice(sorted(CAUGHT)), *blocks) if kind == "except" else (kind, *blocks)


_LEAVES = [*["yield"] * 8, *["pause"] * 3, "info", "return", "reraise", "raise new", "raise from"]


def random_drive(random: Random) -> Drive:
    """Operations, each with whether the consumer is in an `except` block of its own and how it answers pauses; then the
    end, and whether an event loop watches over async generators."""
    steps = [(_operation(random), random.random() < 0.3, _answers(random)) for _ in range(random.randint(1, 9))]
    return [(("next",), False, ()), *steps], random.choice(["close", "drop"]), random.random() < 0.5


def _operation(random: Random) -> tuple[Any, ...]:
    kind = random.choice([*["next"] * 4, *["send"] * 3, *["throw"] * 3, "close"])
    if kind == "send":
        return kind, random.randint(0, 9)
    if kind == "throw":
        return kind, (random.choice(sorted(RAISED)), random.choice(["instance", "class", "with cause"]))
    return (kind,)


def _answers(random: Random) -> tuple[Any, ...]:
    return tuple(_answer(random) for _ in range(random.choice([0, 0, 0, 1, 1, 2, 3])))


def _answer(random: Random) -> tuple[Any, ...]:
    kind = random.choice(["send", "send", "throw", "abandon", "overlap"])
    if kind == "send":
        return kind, random.randint(0, 9)
    # GeneratorExit comes into a body at a yield; at a pause nothing but a hand could throw it.
    return (kind, random.choice(sorted(RAISED.keys() - {"GeneratorExit"}))) if kind == "throw" else (kind,)


FORMS = ("generator", "async generator", "coroutine")


def source(body: Block, form: str) -> str:
    """The body as the source of a function `body`."""
    return "\n".join(_Writer(form).function("body", body, 0))


class _Writer:
    """Writes statements as Python, every yield and note with a number of its own."""

    def __init__(self, form: str) -> None:
        self.form = form
        self.awaits = form != "generator"
        self.number = itertools.count(1)

    def function(self, name: str, body: Block, depth: int) -> Iterator[str]:
        yield f"{' ' * depth}{'async ' * self.awaits}def {name}():"
        yield f"{' ' * depth} note('enter', '{name}')"
        yield from self.block(body, depth + 1)
        if self.form != "coroutine":
            yield f"{' ' * depth} if False: yield"

    def block(self, body: Block, depth: int) -> Iterator[str]:
        for statement in body:
            kind, *parts = statement
            for line in self.statement(kind, parts):
                yield from ([" " * depth + line] if isinstance(line, str) else self.block(line, depth + 1))
        yield f"{' ' * depth}note({next(self.number)})"

    def statement(self, kind: str, parts: list[Any]) -> Iterator[str | Block]:
        number = next(self.number)
        if kind == "yield" and self.form != "coroutine":
            yield f"note('got', (yield {number}))"
        elif kind in ("yield", "pause"):
            yield f"note('woke', await pause({number}))" if self.awaits else f"note({number})"
        elif kind == "info":
            yield "note('handles', describe(sys.exc_info()[1]))"
        elif kind == "return":
            yield "return" if self.form == "async generator" else f"return {number}"
        elif kind == "reraise":
            yield "raise"
        elif kind == "raise new":
            yield f"raise make({parts[0]}, {number})"
        elif kind == "raise from":
            yield f"raise make({parts[0]}, {number}) from make(LookupError, 'cause')"
        elif kind == "finally":
            yield from ("try:", parts[0], "finally:", parts[1])
        elif kind == "except":
            yield from ("try:", parts[1], f"except {parts[0]} as error:")
            yield " note('caught', describe(error))"
            yield parts[2]
        elif kind == "with":
            yield f"with noted({number}):"
            yield parts[0]
        elif kind == "twice":
            yield "for _ in range(2):"
            yield parts[0]
        else:
            yield from self.delegation(number, parts[0])

    def delegation(self, number: int, body: Block) -> Iterator[str | Block]:
        yield from self.function(f"inner{number}", body, 0)
        if self.form == "async generator":
            yield f"async for item in inner{number}():"
            yield " note('got', (yield item))"
        else:
            yield f"note('returned', ({'await' if self.awaits else 'yield from'} inner{number}()))"


class World:
    """What one run of a body sees, and the log of it. Exceptions appear by number, so that identity is compared."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.made: list[BaseException] = []
        self.closing = False

    def note(self, *what: Any) -> None:
        """One line of the log."""
        self.log.append(what)

    def make(self, kind: Any, word: Any) -> BaseException:
        """An exception that will be recognised."""
        self.made.append(kind(word))
        return self.made[-1]

    def describe(self, error: BaseException | None, depth: int = 4) -> Any:
        """The exception, which one it is, its cause and its context."""
        if error is None or depth == 0:
            return None
        which = next((index for index, made in enumerate(self.made) if made is error), str(error))
        cause, context = self.describe(error.__cause__, depth - 1), self.describe(error.__context__, depth - 1)
        return type(error).__name__, which, cause, context, error.__suppress_context__

    def namespace(self) -> dict[str, Any]:
        """The globals of the body."""
        world = self

        class noted:
            def __init__(self, number: int) -> None:
                self.number = number

            def __enter__(self) -> None:
                world.note("with", self.number)

            def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
                world.note("leave", self.number, world.describe(error))

        @types.coroutine
        def pause(number: int) -> Iterator[Any]:
            return (yield ("pause", number))

        return {
            **CAUGHT,
            "note": self.note,
            "make": self.make,
            "describe": self.describe,
            "noted": noted,
            "pause": pause,
            "sys": sys,
        }


def observe(code: types.CodeType, drive: Drive, decorate: Callable[[Any], Any]) -> list[Any]:
    """The log of one drive of the compiled body, decorated."""
    world = World()
    namespace = world.namespace()
    exec(code, namespace)
    made = decorate(namespace["body"])
    operations, end, watched = drive
    watched = watched or "('abandon',)" in str(operations)  # what is abandoned needs an event loop that watches
    with _unraisable(world), _hooks(world, watched) as orphans:
        world.note("make it")
        generator = made()
        asynchronous = isinstance(generator, types.AsyncGeneratorType)
        for number, (operation, handling, answers) in enumerate(operations):
            step = _Step(world, generator, number, operation, answers if asynchronous else None)
            world.note("step", number, *operation)
            _in_a_handler(world, step.run) if handling else step.run()
            step.generator = None
        if end == "close":
            for _ in range(2):
                _Step(world, generator, -1, ("close",), () if asynchronous else None).run()
        del step
        world.note("drop it")
        del generator
        while orphans:
            world.note("finalize")
            _finish(world, orphans.pop(0).aclose())
        world.note("forget its exceptions, and the frames in them")
        world.made.clear()
        if "ignored GeneratorExit" in str(world.log):
            gc.collect()  # what yields instead of ending lies in a cycle with the exception that it handles
    return world.log


def _in_a_handler(world: World, run: Callable[[], None]) -> None:
    try:
        raise world.make(ZeroDivisionError, "of the consumer")
    except ZeroDivisionError:
        run()
        world.note("still handles", world.describe(sys.exc_info()[1]))


class _Step:
    """One operation on the generator."""

    def __init__(self, world: World, generator: Any, number: int, operation: Any, answers: Any) -> None:
        self.world = world
        self.generator = generator
        self.number = number
        self.operation = operation
        self.answers = answers

    def run(self) -> None:
        """Do it and log what comes of it."""
        self.world.closing |= self.operation[0] == "close"
        try:
            if self.answers is None:
                self.world.note("value", self.start())
            else:
                _Waiting(self, self.start()).run()
        except (StopIteration, StopAsyncIteration) as stop:
            self.world.note("stopped", getattr(stop, "value", None), self.world.describe(stop))
        except BaseException as error:
            self.world.note("raised", self.world.describe(error))

    def start(self) -> Any:
        kind, *values = self.operation
        prefix = "" if self.answers is None else "a"
        if kind == "throw":
            values = [self.thrown(*values[0])]
        if kind == "next" and prefix:
            return anext(self.generator)
        if kind == "next":
            return self.generator.send(None) if inspect.iscoroutine(self.generator) else next(self.generator)
        return getattr(self.generator, prefix + kind)(*values)

    def thrown(self, name: str, form: str) -> Any:
        if name == "GeneratorExit" and inspect.iscoroutine(self.generator):
            name = "Stop"  # a coroutine that is to end is closed; nothing throws this into it
        if form == "class":
            return RAISED[name]
        error = self.world.make(RAISED[name], f"thrown at step {self.number}")
        if form == "with cause":
            error.__cause__ = self.world.make(LookupError, "cause of what was thrown")
        return error


class _Waiting:
    """Drives what an async generator gives for one step by hand, as an event loop would."""

    def __init__(self, step: _Step, awaitable: Any) -> None:
        self.step = step
        self.awaitable = awaitable
        self.answers = list(step.answers)

    def run(self) -> None:
        answer: tuple[Any, ...] = ("send", None)
        while answer[0] != "abandon" or self.step.world.closing:  # nobody gives up half-way after aclose()
            self.step.world.note("paused", self.go_on(*answer))
            answer = self.answers.pop(0) if self.answers else ("send", "no more answers")

    def go_on(self, kind: str, value: Any = None) -> Any:
        world = self.step.world
        if kind == "throw":
            return self.awaitable.throw(world.make(RAISED[value], "thrown at a pause"))
        if kind == "overlap":
            _Step(world, self.step.generator, -2, ("next",), ()).run()
        return self.awaitable.send(value)


def _finish(world: World, closing: Any) -> None:
    try:
        for _ in range(20):
            world.note("paused", closing.send(None))
    except StopIteration:
        world.note("finished")
    except BaseException as error:
        world.note("raised", world.describe(error))


class _hooks:
    """Hooks of an event loop: async generators that are dropped come to light."""

    def __init__(self, world: World, watched: bool) -> None:
        self.world = world
        self.watched = watched

    def __enter__(self) -> list[Any]:
        orphans: list[Any] = []
        self.before = sys.get_asyncgen_hooks()
        names = {"body"}  # those that the body makes are its own affair, and are dropped in both ways

        def first(generator: Any) -> None:
            if generator.__name__ in names:
                self.world.note("first step of", generator.__name__)

        sys.set_asyncgen_hooks(*(first, orphans.append) if self.watched else (None, None))
        return orphans

    def __exit__(self, *exc: Any) -> None:
        sys.set_asyncgen_hooks(*self.before)


class _unraisable:
    """What cannot be raised is logged."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __enter__(self) -> None:
        self.before = sys.unraisablehook
        sys.unraisablehook = lambda said: self.world.note("unraisable", self.world.describe(said.exc_value))

    def __exit__(self, *exc: Any) -> None:
        sys.unraisablehook = self.before
