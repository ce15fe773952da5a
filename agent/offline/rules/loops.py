"""Loops that never end, end at once, or mix up their variables."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .defaults import is_mutable
from .source import (
    Finding,
    Function,
    Source,
    assignments,
    binding_targets,
    bound_names,
    dotted,
    loop_nodes,
    names_in,
    own_nodes,
    scopes,
    told,
    written,
)


def find(source: Source) -> Iterator[Finding]:
    for node in source.nodes:
        match node:
            case ast.While():
                yield from endless(source, node)
            case ast.For():
                yield from leaving_at_once(source, node)
                yield from sharing(source, node)
                yield from swapped_targets(source, node)
                yield from wrong_index(source, node)


def endless(source: Source, loop: ast.While) -> Iterator[Finding]:
    if isinstance(loop.test, ast.Constant) and loop.test.value:
        if not can_leave(source, loop):
            yield told(
                loop,
                "infinite-loop",
                f"`while {written(loop.test)}:` in {source.place(loop)} has no break, return or raise: it never ends",
                "add the condition that ends it",
            )
    elif stuck := stuck_names(source, loop):
        yield told(
            loop,
            "infinite-loop",
            f"nothing in the loop changes {' or '.join(f'`{name}`' for name in sorted(stuck))}, so `while "
            f"{written(loop.test)}:` in {source.place(loop)} never ends once it starts",
            "change it in the loop, or leave the loop",
        )


def is_shared(function: Function, name: str) -> bool:
    """A list or the like that a call was given, which may fill it later."""
    made = any(
        isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and is_mutable(node.value)
        for node in assignments(function, name)
    )
    calls = (node for node in own_nodes(function) if isinstance(node, ast.Call) and dotted(node.func) != "len")
    return made and any(name in names_in(argument) for call in calls for argument in call.args)


def can_leave(source: Source, loop: ast.While) -> bool:
    """A way out: break, return, raise, yield, await, an exit, or a call that by its name waits or may raise."""
    if any(isinstance(node, ast.Break) for node in loop_nodes(loop.body)):
        return True
    ways = (ast.Return, ast.Raise, ast.Yield, ast.YieldFrom, ast.Await, ast.AsyncFor, ast.AsyncWith)
    inner = list(walk_body(loop))
    if any(isinstance(node, ways) for node in inner):
        return True
    waits = (
        "exit", "accept", "recv", "serve", "sleep", "wait", "get", "input", "next", "select", "poll", "readline",
        "join", "handle", "run", "run_once", "_run_once", "step",
    )  # fmt: skip
    if any(isinstance(node, ast.Call) and dotted_end(node) in waits for node in inner):
        return True
    return any(isinstance(above, ast.Try) for above in source.ancestors(loop))


def dotted_end(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else dotted(call.func)


def walk_scope(node: ast.AST) -> Iterator[ast.AST]:
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        if not isinstance(current, scopes):
            stack.extend(ast.iter_child_nodes(current))


def stuck_names(source: Source, loop: ast.While) -> set[str]:
    """Plain local numbers that the test compares and the body never binds; empty when anything else could end it."""
    function = source.function_of(loop)
    names = names_in(loop.test)
    if (
        function is None
        or not names
        or not is_plain_test(loop.test)
        or any(isinstance(node, ast.Global | ast.Nonlocal) for node in own_nodes(function))
    ):
        return set()
    inner = list(walk_body(loop))
    ways = (ast.Return, ast.Raise, ast.Break, ast.Yield, ast.YieldFrom, ast.Await)
    if any(isinstance(node, ways) for node in inner) or set(bound_names(inner)) & names:
        return set()
    if any(
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in names
        and not is_called(source, node)
        for node in ast.walk(function)
    ):
        return set()
    return (
        set()
        if touched(inner, names) or any(is_shared(function, name) for name in names)
        else {name for name in names if assignments(function, name) or is_parameter(function, name)}
    )


def is_called(source: Source, node: ast.Attribute) -> bool:
    """`stack.pop()` rather than `pop = stack.pop`, whose later calls change `stack` unseen."""
    above = source.parent(node)
    return isinstance(above, ast.Call) and above.func is node


def is_parameter(function: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> bool:
    return any(isinstance(node, ast.arg) and node.arg == name for node in ast.walk(function.args))


def is_plain_test(test: ast.expr) -> bool:
    """Only names, constants, comparisons, arithmetic and `len()`: nothing that could change by itself."""
    for node in ast.walk(test):
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id == "len"):
            return False
        if isinstance(node, ast.Attribute | ast.Await | ast.NamedExpr | ast.Lambda):
            return False
    return True


def touched(inner: list[ast.AST], names: set[str]) -> bool:
    """A method call on a tested name, or its handing over, may change what it holds."""
    for node in inner:
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name))) if name in names:
                return True
            case ast.Call(func=ast.Attribute(value=ast.Subscript(value=ast.Name(id=name)))) if name in names:
                return True
            case ast.Call(args=args) if not is_harmless(node) and any(
                isinstance(arg, ast.Name) and arg.id in names for arg in args
            ):
                return True
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()) if name in names:
                return True
    return False


def is_harmless(call: ast.Call) -> bool:
    return dotted(call.func) in ("print", "len", "str", "int", "float", "abs", "min", "max", "repr") or (
        isinstance(call.func, ast.Attribute) and call.func.attr in ("append", "add", "debug", "info", "write")
    )


def leaving_at_once(source: Source, loop: ast.For) -> Iterator[Finding]:
    """A loop that gathers something and still returns at the end of its first round."""
    last = loop.body[-1]
    gathered = {name for node in loop.body if (name := gathering(node))}
    if (
        not isinstance(last, ast.Return | ast.Break)
        or not gathered
        or any(isinstance(node, ast.Continue) for node in loop_nodes(loop.body))
    ):
        return
    if isinstance(last, ast.Break) or names_in(last) & gathered:
        word = type(last).__name__.lower()
        yield told(
            last,
            "leaves-loop-at-once",
            f"this `{word}` ends the loop over `{written(loop.iter)}` in {source.place(loop)} after its first "
            f"round, though it gathers `{sorted(gathered)[0]}`",
            f"move the `{word}` out of the loop",
        )


def gathering(node: ast.stmt) -> str:
    """The name of the collection or number that a statement adds to, if it does."""
    match node:
        case ast.AugAssign(target=target):
            return written(target)
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=owner, attr="append" | "add" | "extend" | "update"))):
            return sorted(names_in(owner))[0] if names_in(owner) else ""
        case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=name))]):
            return name
    return ""


def sharing(source: Source, loop: ast.For) -> Iterator[Finding]:
    """An inner loop that binds the outer loop's variable again, which the outer still uses."""
    outer = {name for target in binding_targets(loop) for name in names_in(target)} - {"_"}
    for node in walk_body(loop):
        if isinstance(node, ast.For) and (
            same := outer & {name for target in binding_targets(node) for name in names_in(target)}
        ):
            name = sorted(same)[0]
            if written(node.iter) == written(loop.iter) or not (
                matters_after(loop, node, name) or (counts(loop) and counts(node))
            ):
                continue
            yield told(
                node,
                "shadowed-loop-variable",
                f"the inner loop in {source.place(loop)} binds `{name}` again, which is the variable of the loop "
                f"on line {loop.lineno}",
                "give the inner variable another name",
            )


def matters_after(loop: ast.For, inner: ast.For, name: str) -> bool:
    """The outer round goes on to use the variable after the inner loop has bound it again."""
    if inner not in loop.body:
        return False
    later = [node for statement in loop.body[loop.body.index(inner) + 1 :] for node in ast.walk(statement)]
    first = next((node for node in later if isinstance(node, ast.Name) and node.id == name), None)
    return first is not None and isinstance(first.ctx, ast.Load)


def counts(loop: ast.For) -> bool:
    return isinstance(loop.iter, ast.Call) and dotted(loop.iter.func) == "range"


positions = {"i", "j", "idx", "index", "n", "num", "position"}


def swapped_targets(source: Source, loop: ast.For) -> Iterator[Finding]:
    match loop:
        case ast.For(
            target=ast.Tuple(elts=[ast.Name(id=first), ast.Name(id=second)]),
            iter=ast.Call(func=ast.Name(id="enumerate")),
        ):
            if second in positions and first not in positions:
                yield told(
                    loop,
                    "swapped-names",
                    f"`enumerate()` gives (index, item), but {source.place(loop)} unpacks it as (`{first}`, "
                    f"`{second}`)",
                    f"write `for {second}, {first} in …`",
                )
        case ast.For(
            target=ast.Tuple(elts=[ast.Name(id=first), ast.Name(id=second)]),
            iter=ast.Call(func=ast.Attribute(attr="items")),
        ):
            if (first, second) in (("value", "key"), ("v", "k"), ("val", "key")):
                yield told(
                    loop,
                    "swapped-names",
                    f"`items()` gives (key, value), but {source.place(loop)} unpacks it as (`{first}`, `{second}`)",
                    f"write `for {second}, {first} in …`",
                )


def wrong_index(source: Source, loop: ast.For) -> Iterator[Finding]:
    """Nested index loops where `m[i][i]` is used and the inner `j` never is."""
    inner = next((node for node in loop.body if isinstance(node, ast.For)), None)
    if (
        inner is None
        or not isinstance(loop.target, ast.Name)
        or not isinstance(inner.target, ast.Name)
        or "range" not in written(inner.iter)
    ):
        return
    i, j = loop.target.id, inner.target.id
    if (
        j.startswith("_")
        or i == j
        or any(isinstance(node, ast.Name) and node.id == j for statement in inner.body for node in ast.walk(statement))
    ):
        return
    for node in walk_scope(inner):
        match node:
            case ast.Subscript(value=ast.Subscript(slice=ast.Name(id=a)), slice=ast.Name(id=b)) if a == b == i:
                yield told(
                    node,
                    "wrong-index",
                    f"`{written(node)}` in {source.place(loop)} uses `{i}` twice and the inner loop's `{j}` never",
                    f"use `{j}` for the second index",
                )
                return


def walk_body(loop: ast.For | ast.While) -> Iterator[ast.AST]:
    for statement in loop.body:
        yield from walk_scope(statement)
