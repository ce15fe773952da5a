"""Errors that are hidden, caught in the wrong order, or never raised."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

from .facts import exception_names
from .source import Finding, Source, told, written


def find(source: Source) -> Iterator[Finding]:
    for node in source.nodes:
        match node:
            case ast.Try():
                yield from handled(source, node)
            case (
                ast.Raise(exc=ast.Name(id="NotImplemented"))
                | ast.Raise(exc=ast.Call(func=ast.Name(id="NotImplemented")))
            ):
                yield told(
                    node,
                    "raise-not-implemented",
                    f"{source.place(node)} raises `NotImplemented`, which is no exception: the caller gets a TypeError",
                    "raise `NotImplementedError`",
                )
            case ast.Return() | ast.Break() | ast.Continue() if jumps_out_of_finally(source, node):
                word = type(node).__name__.lower()
                yield told(
                    node,
                    "jump-in-finally",
                    f"`{word}` inside `finally` of {source.place(node)} swallows whatever exception was on its way",
                    f"move the `{word}` out of `finally`",
                )


def handled(source: Source, node: ast.Try) -> Iterator[Finding]:
    earlier: list[str] = []
    for handler in node.handlers:
        names = exception_names(handler.type) if handler.type else {"BaseException"}
        shadow = next((before for before in earlier for name in names if is_covered(name, before, source)), None)
        if shadow:
            yield unreachable(source, handler, shadow)
        earlier.extend(names)
        yield from hidden(source, node, handler)


def is_covered(name: str, by: str, source: Source) -> bool:
    """Whether an earlier handler already catches `name`."""
    if by == "BaseException" or (by == "Exception" and name in {cls.name for cls in source.classes}):
        return True
    narrow, broad = getattr(builtins, name, None), getattr(builtins, by, None)
    return isinstance(narrow, type) and isinstance(broad, type) and issubclass(narrow, broad)


def unreachable(source: Source, handler: ast.ExceptHandler, shadow: str) -> Finding:
    name = written(handler.type) if handler.type else "everything"
    return told(
        handler,
        "exception-order",
        f"the handler for `{name}` in {source.place(handler)} is never reached: `except {shadow}` above it "
        "already catches that",
        f"put `except {name}` before `except {shadow}`",
    )


def hidden(source: Source, node: ast.Try, handler: ast.ExceptHandler) -> Iterator[Finding]:
    does = " ".join("; ".join(written(statement) for statement in handler.body).split())[:60]
    if handler.type is None:
        if not re_raises(handler):
            yield told(
                handler,
                "bare-except",
                f"the bare `except:` in {source.place(handler)} catches everything, KeyboardInterrupt and typing "
                f"errors too, and does `{does}`",
                "name the exceptions that are expected",
                "error" if is_silent(handler) else "warning",
            )
    elif (
        exception_names(handler.type) & {"Exception", "BaseException"}
        and is_silent(handler)
        and not explained(source, node, handler)
    ):
        yield told(
            handler,
            "swallowed-exception",
            f"`except {written(handler.type)}` in {source.place(handler)} hides every error: it only does `{does}`",
            "catch what is expected, and log or re-raise the rest",
            "warning",
        )


def re_raises(handler: ast.ExceptHandler) -> bool:
    return any(isinstance(node, ast.Raise) for statement in handler.body for node in ast.walk(statement))


def is_silent(handler: ast.ExceptHandler) -> bool:
    """Nothing is done with the error: the body passes, goes on, or gives back a constant."""
    return all(is_nothing(statement) for statement in handler.body)


def is_nothing(statement: ast.stmt) -> bool:
    match statement:
        case ast.Pass() | ast.Continue() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Return(value=None | ast.Constant(value=None)):
            return True
    return False


def explained(source: Source, node: ast.Try, handler: ast.ExceptHandler) -> bool:
    """A comment beside the handler says why the error does not matter, or another error is on its way already."""
    if any(
        isinstance(above, ast.ExceptHandler) or (isinstance(above, ast.Try) and node in above.finalbody)
        for above in source.ancestors(node)
    ):
        return True
    function = source.function_of(node)
    if function is not None and function.name == "__del__":
        return True  # Python would only print what leaves it
    last = handler.body[-1].end_lineno or handler.lineno
    return any("#" in line for line in source.lines[handler.lineno - 1 : last])


def jumps_out_of_finally(source: Source, node: ast.stmt) -> bool:
    child: ast.AST = node
    for above in source.ancestors(node):
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            return False
        if (
            isinstance(above, ast.For | ast.While | ast.AsyncFor)
            and not isinstance(node, ast.Return)
            and child in above.body
        ):
            return False
        if isinstance(above, ast.Try) and child in above.finalbody:
            return True
        child = above
    return False
