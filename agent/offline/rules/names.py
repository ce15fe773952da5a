"""Names: builtins covered up, a forgotten global, an exception used after its handler, values and arguments lost."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from .defaults import defaults
from .source import (
    Finding,
    Function,
    Source,
    assignments,
    dotted,
    every_block,
    is_none,
    is_stub,
    names_in,
    own_nodes,
    parameters,
    told,
    where,
    written,
)

precious = {
    "list", "dict", "set", "str", "int", "float", "tuple", "bool", "len", "sum", "max", "min", "sorted", "range",
    "print", "open", "zip", "any", "all", "abs", "isinstance", "enumerate", "iter", "next", "map", "filter", "bytes",
    "object", "input", "type", "id",
}  # fmt: skip
mild = {"input", "type", "id", "object", "bytes", "map", "filter", "next", "iter", "open", "all", "any", "range", "abs"}


def find(source: Source) -> Iterator[Finding]:
    yield from covered_builtins(source)
    for function in source.functions:
        yield from without_global(source, function)
        yield from exception_gone(source, function)
        yield from unused_parameter(source, function)
        yield from used_up(function)
    for block in every_block(source):
        yield from lost_swap(source, block)
        yield from lost_value(source, block)
        yield from wrong_sign(source, block)


def covered_builtins(source: Source) -> Iterator[Finding]:
    """A builtin's name that is given to something else where the builtin is called as well."""
    for scope in [source.tree, *source.functions]:
        seen: set[str] = set()
        called = {
            node.func.id for node in ast.walk(scope) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        for node, name in rebound(scope):
            if name in called - seen:
                seen.add(name)
                yield told(
                    node,
                    "shadowed-builtin",
                    f"`{name}` in {where(scope)} covers up the builtin `{name}`, so that `{name}()` no longer works "
                    "there",
                    f"use another name, such as `{name}_` or one that says what it holds",
                )


def rebound(scope: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Parameters and plain assignments that bind a builtin's name to something that is not callable by its looks."""
    if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
        speed = {arg.arg for arg, default in defaults(scope) if written(default) == arg.arg or is_none(default)}
        yield from ((arg, arg.arg) for arg in parameters(scope) if arg.arg in precious - mild - speed)
    for node in own_nodes(scope):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=value)
            ):
                if name in precious and not isinstance(value, ast.Attribute | ast.Lambda | ast.Name):
                    yield node, name
            case ast.For(target=ast.Name(id=name)) if name in precious - mild:
                yield node, name


def without_global(source: Source, function: Function) -> Iterator[Finding]:
    """`total += 1` on a module's name without `global`: UnboundLocalError."""
    declared = {
        name for node in own_nodes(function) if isinstance(node, ast.Global | ast.Nonlocal) for name in node.names
    }
    local = {arg.arg for arg in ast.walk(function.args) if isinstance(arg, ast.arg)} | declared
    for node in own_nodes(function):
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
            others = [other for other in assignments(function, name) if not isinstance(other, ast.AugAssign)]
            if name not in local and not others and (name in source.module_names or is_outer(source, function, name)):
                yield told(
                    node,
                    "missing-global",
                    f"`{written(node)}` in `{function.name}()` makes `{name}` local, so it has no value yet: "
                    "UnboundLocalError",
                    f"declare `{'global' if name in source.module_names else 'nonlocal'} {name}`, or pass it in",
                )
                return


def is_outer(source: Source, function: Function, name: str) -> bool:
    outer = source.function_of(function)
    return outer is not None and bool(assignments(outer, name))


def exception_gone(source: Source, function: Function) -> Iterator[Finding]:
    """The name of `except … as error` is deleted at the end of its handler."""
    for node in own_nodes(function):
        if not isinstance(node, ast.ExceptHandler) or not node.name or len(assignments(function, node.name)) > 0:
            continue
        inside = {
            id(part)
            for handler in own_nodes(function)
            if isinstance(handler, ast.ExceptHandler) and handler.name == node.name
            for part in ast.walk(handler)
        }
        after = [
            part
            for part in own_nodes(function)
            if isinstance(part, ast.Name)
            and part.id == node.name
            and id(part) not in inside
            and part.lineno > node.lineno
        ]
        if (
            after
            and node.name not in {arg.arg for arg in parameters(function)}
            and node.name not in source.module_names
        ):
            yield told(
                after[0],
                "exception-name-gone",
                f"`{node.name}` is used in `{function.name}()` after its except block, where Python has deleted "
                "it: UnboundLocalError",
                "keep it under another name inside the handler",
            )
            return


def unused_parameter(source: Source, function: Function) -> Iterator[Finding]:
    """A parameter that a plain function computes without, next to one that it uses twice in its place."""
    if (
        function.decorator_list
        or is_stub(function)
        or source.class_of(function) is not None
        or source.function_of(function) is not None
    ):
        return
    result = [node for node in own_nodes(function) if isinstance(node, ast.Return) and node.value is not None]
    names = [arg.arg for arg in parameters(function)]
    used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    unused = [name for name in names if name not in used and not name.startswith("_")]
    if len(unused) != 1 or len(names) < 2 or not result or function.name in source.passed_names:
        return
    for node in own_nodes(function):
        match node:
            case (
                ast.BinOp(left=ast.Name(id=a), right=ast.Name(id=b))
                | ast.Compare(left=ast.Name(id=a), comparators=[ast.Name(id=b)])
            ) if a == b and a in names:
                yield told(
                    node,
                    "wrong-variable",
                    f"`{written(node)}` in `{function.name}()` uses `{a}` twice, and the parameter `{unused[0]}` "
                    "is never used",
                    f"use `{unused[0]}` for one of them",
                )
                return


def used_up(function: Function) -> Iterator[Finding]:
    """A generator or map walked twice in one straight run: the second walk sees nothing."""
    for node in function.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if (
                is_one_shot(value) and len(assignments(function, name)) == 1
            ):
                after = function.body[function.body.index(node) + 1 :]
                walks = [walk for later in after if (walk := walk_of(later, name)) is not None]
                if len(walks) > 1:
                    yield told(
                        walks[1],
                        "used-up-iterator",
                        f"`{name}` in `{function.name}()` is an iterator that line {walks[0].lineno} has used up: "
                        "here it is empty",
                        f"make it a list: `{name} = list(…)`",
                    )


def is_one_shot(value: ast.expr) -> bool:
    return isinstance(value, ast.GeneratorExp) or (
        isinstance(value, ast.Call) and dotted(value.func) in ("map", "filter", "zip", "reversed", "enumerate")
    )


walkers = {"sum", "list", "max", "min", "sorted", "set", "tuple", "any", "all", "dict"}


def walk_of(statement: ast.stmt, name: str) -> ast.Call | ast.For | None:
    if isinstance(statement, ast.If | ast.While | ast.Try):
        return None
    for node in ast.walk(statement):
        match node:
            case ast.Call(func=func, args=[ast.Name(id=given), *_]) if given == name and dotted(func) in walkers:
                return node
            case ast.For(iter=ast.Name(id=given)) if given == name:
                return node
    return None


def lost_swap(source: Source, block: list[ast.stmt]) -> Iterator[Finding]:
    for first, second in pairwise(block):
        match first, second:
            case ast.Assign(targets=[a], value=b), ast.Assign(targets=[c], value=d) if (
                written(a) == written(d) and written(b) == written(c) and written(a) != written(b)
            ):
                if isinstance(b, ast.Name | ast.Subscript | ast.Attribute) and not is_saved(source, first, a):
                    yield told(
                        second,
                        "lost-swap",
                        f"`{written(first)}` in {source.place(first)} has already overwritten `{written(a)}`: "
                        "both end up with the same value",
                        f"write `{written(a)}, {written(b)} = {written(b)}, {written(a)}`",
                    )


def is_saved(source: Source, at: ast.stmt, target: ast.expr) -> bool:
    """Something before kept the old value."""
    function = source.function_of(at) or source.tree
    return any(
        isinstance(node, ast.Assign) and written(node.value) == written(target) and node.lineno < at.lineno
        for node in own_nodes(function)
    )


def lost_value(source: Source, block: list[ast.stmt]) -> Iterator[Finding]:
    """The same plain name assigned twice in a row, the first value never read."""
    for first, second in pairwise(block):
        match first, second:
            case ast.Assign(targets=[ast.Name(id=a)], value=value), ast.Assign(
                targets=[ast.Name(id=b)], value=later
            ) if a == b and a not in names_in(later) and a != "_":
                if (
                    isinstance(value, ast.Call | ast.BinOp)
                    and source.function_of(first) is not None
                    and not names_in(later) & calls_in(value)
                ):
                    yield told(
                        first,
                        "overwritten-value",
                        f"`{written(first)}` in {source.place(first)} has no effect: the next line gives `{a}` "
                        "another value",
                        "use the value, or remove the line",
                        "warning",
                    )


def calls_in(node: ast.expr) -> set[str]:
    return {dotted(part.func) for part in ast.walk(node) if isinstance(part, ast.Call)}


def wrong_sign(source: Source, block: list[ast.stmt]) -> Iterator[Finding]:
    """`x =+ 1` and `x =- 1`: the sign belongs before the equals sign."""
    for statement in block:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.UnaryOp(op=ast.UAdd() | ast.USub() as op)):
                sign = "+" if isinstance(op, ast.UAdd) else "-"
                line = source.lines[statement.lineno - 1]
                if f"={sign} " in line or (f"={sign}" in line and f"= {sign}" not in line and f" ={sign}" in line):
                    yield told(
                        statement,
                        "wrong-augmented",
                        f"`{line.strip()}` in {source.place(statement)} sets `{name}` to {sign}…, it does not add "
                        "to it",
                        f"write `{name} {sign}= …`",
                    )
