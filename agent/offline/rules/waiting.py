"""Coroutines: calls that are never awaited, and calls that block the event loop."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .source import Finding, Source, dotted, is_generator, told, type_of_function, written

usual = {"aclose", "drain", "wait_closed", "asend", "athrow"}
known = {
    "asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell", "asyncio.start_server", "asyncio.sleep",
    "asyncio.gather", "asyncio.wait", "asyncio.wait_for", "asyncio.to_thread", "asyncio.open_connection",
    "anyio.sleep", "trio.sleep",
}  # fmt: skip
blocking = {
    "time.sleep": "await asyncio.sleep()",
    "requests.get": "an async HTTP client",
    "requests.post": "an async HTTP client",
    "input": "a thread",
    "urllib.request.urlopen": "an async HTTP client",
}


def find(source: Source) -> Iterator[Finding]:
    for call in source.calls:
        name = dotted(call.func)
        if is_coroutine_call(source, call, name) and is_dropped(source, call):
            yield told(
                call,
                "missing-await",
                f"`{written(call)}` in {source.place(call)} is a coroutine that is never awaited, so it never runs",
                f"write `await {written(call)}`",
            )
        elif (
            name in blocking
            and isinstance(source.function_of(call), ast.AsyncFunctionDef)
            and not is_in_lambda(source, call)
        ):
            yield told(
                call,
                "blocking-in-async",
                f"`{written(call)}` in {source.place(call)} blocks the whole event loop",
                f"use `{blocking[name]}`",
            )


def is_in_lambda(source: Source, call: ast.Call) -> bool:
    for above in source.ancestors(call):
        if isinstance(above, (*type_of_function, ast.Lambda)):
            return isinstance(above, ast.Lambda)
    return False


def is_coroutine_call(source: Source, call: ast.Call, name: str) -> bool:
    """A call of an `async def` of this file (function, or method by self), or of a well-known coroutine."""
    if name in known:
        return isinstance(source.function_of(call), ast.AsyncFunctionDef)
    last = name.rsplit(".", 1)[-1]
    if is_statement_in_coroutine(source, call, name) and (last in usual or name in awaited_elsewhere(source)):
        return True
    found = [f for f in source.functions if f.name == last]
    if (
        not found
        or not all(isinstance(f, ast.AsyncFunctionDef) for f in found)
        or any(is_generator(f) or f.decorator_list for f in found)
    ):
        return False
    owner = source.class_around(call)
    in_class = source.class_of(found[0]) is not None
    return name == f"self.{last}" and owner in map(source.class_of, found) if in_class else name == last


def is_statement_in_coroutine(source: Source, call: ast.Call, name: str) -> bool:
    """`self.lock.release()` on a line of its own in an `async def`, where this file defines no plain `release`."""
    last = name.rsplit(".", 1)[-1]
    plain = any(isinstance(function, ast.FunctionDef) and function.name == last for function in source.functions)
    return (
        isinstance(source.function_of(call), ast.AsyncFunctionDef)
        and isinstance(source.parent(call), ast.Expr)
        and not plain
        and "." in name
    )


def awaited_elsewhere(source: Source) -> set[str]:
    """What this file awaits: `self.queue.put` and the like, by their full text."""
    return {
        dotted(node.value.func)
        for node in source.nodes
        if isinstance(node, ast.Await) and isinstance(node.value, ast.Call)
    } - {""}


def is_dropped(source: Source, call: ast.Call) -> bool:
    """The coroutine is thrown away, or used as if it were its result."""
    above = source.parent(call)
    match above:
        case ast.Expr():
            return True
        case (
            ast.Attribute()
            | ast.Subscript()
            | ast.BinOp()
            | ast.Compare()
            | ast.FormattedValue()
            | ast.For()
            | ast.If()
        ):
            return isinstance(above, ast.FormattedValue) or getattr(above, "attr", "") not in (
                "send",
                "close",
                "throw",
                "cr_frame",
                "__await__",
            )
        case ast.Return():
            return False
        case ast.Assign(targets=[ast.Name(id=name)]):
            return is_used_as_value(source, call, name)
        case ast.Call(func=func):
            return (
                dotted(func)
                in ("len", "print", "str", "int", "list", "dict", "sum", "sorted", "json.loads", "max", "min")
                and call in above.args
            )
    return False


def is_used_as_value(source: Source, call: ast.Call, name: str) -> bool:
    """The name it is bound to is indexed, called upon, compared or printed, and never awaited or handed on."""
    function = source.function_of(call)
    uses = [
        node
        for node in ast.walk(function or source.tree)
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)
    ]
    above = [source.parent(use) for use in uses]
    if not isinstance(function, ast.AsyncFunctionDef) or any(
        isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) for node in above
    ):
        return False
    plain = (
        ast.Attribute,
        ast.Subscript,
        ast.BinOp,
        ast.Compare,
        ast.FormattedValue,
        ast.For,
        ast.comprehension,
        ast.If,
        ast.UnaryOp,
    )
    if uses and all(isinstance(node, ast.Return) for node in above):
        return True
    return (
        bool(uses)
        and any(isinstance(node, plain) for node in above)
        and not any(
            isinstance(node, ast.Await | ast.Call | ast.List | ast.Tuple) and not keeps_nothing(node) for node in above
        )
    )


def keeps_nothing(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Call) and dotted(node.func) in ("len", "print", "str")
