"""Default values made once and shared by every call, and lists that share one inner list."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .source import Finding, Function, Source, dotted, own_nodes, type_of_function, written

rule = "mutable-default"
makers = {
    "list",
    "dict",
    "set",
    "bytearray",
    "deque",
    "defaultdict",
    "Counter",
    "OrderedDict",
    "collections.deque",
    "collections.defaultdict",
}
changes = {
    "append",
    "extend",
    "insert",
    "add",
    "update",
    "pop",
    "remove",
    "clear",
    "setdefault",
    "sort",
    "reverse",
    "discard",
    "popitem",
    "appendleft",
}


def find(source: Source) -> Iterator[Finding]:
    for node in source.nodes:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from shared_defaults(node)
            case ast.BinOp(op=ast.Mult(), left=ast.List(elts=[inner]), right=ast.expr() as times) if is_mutable(
                inner
            ) or is_repeated_list(inner):
                if isinstance(source.parent(node), ast.Assign | ast.AnnAssign | ast.Return) and not is_read_only(inner):
                    yield shared_rows(source, node, times)
            case ast.ClassDef():
                yield from shared_attributes(node)


def shared_defaults(function: Function) -> Iterator[Finding]:
    for arg, default in defaults(function):
        if is_mutable(default) and not arg.arg.startswith("_"):
            changed = is_changed(function, arg.arg)
            effect = (
                "and the function changes it, so it grows from call to call"
                if changed
                else "so a change by one caller is seen by the next"
            )
            yield Finding(
                default.lineno,
                "error" if changed else "warning",
                rule,
                f"the default `{arg.arg}={written(default)}` of `{function.name}()` is made once and shared by "
                f"all calls, {effect}",
                f"default to `None` and write `if {arg.arg} is None: {arg.arg} = {written(default)}` inside",
            )


def defaults(function: Function) -> Iterator[tuple[ast.arg, ast.expr]]:
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    yield from reversed(list(zip(reversed(positional), reversed(given.defaults), strict=False)))
    yield from (
        (arg, value) for arg, value in zip(given.kwonlyargs, given.kw_defaults, strict=True) if value is not None
    )


def is_mutable(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return dotted(node.func) in makers
    return isinstance(node, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)


def is_changed(function: Function, name: str) -> bool:
    for node in own_nodes(function):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=given), attr=attr)) if given == name and attr in changes:
                return True
            case ast.Subscript(value=ast.Name(id=given), ctx=ast.Store() | ast.Del()) if given == name:
                return True
            case ast.AugAssign(target=ast.Name(id=given)) if given == name:
                return True
    return False


def is_repeated_list(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult) and isinstance(node.left, ast.List)


def is_read_only(inner: ast.expr) -> bool:
    """`[[None]] * n`: one-element rows that are nearly always replaced whole."""
    return isinstance(inner, ast.List) and len(inner.elts) == 1 and not isinstance(inner.elts[0], ast.List)


def shared_rows(source: Source, node: ast.BinOp, times: ast.expr) -> Finding:
    return Finding(
        node.lineno,
        "error",
        "shared-mutable",
        f"`{written(node)}` in {source.place(node)} repeats one inner object {written(times)} times: a change to "
        "one is a change to all",
        f"make each anew: `[… for _ in range({written(times)})]`",
    )


def shared_attributes(owner: ast.ClassDef) -> Iterator[Finding]:
    """A list or dict on the class that methods change through `self` though no method makes one per instance."""
    if any("dataclass" in written(item) for item in owner.decorator_list):
        return
    for statement in owner.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if is_mutable(value) and not name.isupper():
                if changed_through_self(owner, name) and not set_on_self(owner, name):
                    yield Finding(
                        statement.lineno,
                        "error",
                        "shared-class-attribute",
                        f"`{owner.name}.{name}` is one {written(value)} shared by all instances, and methods "
                        f"change it through `self.{name}`",
                        f"set `self.{name} = {written(value)}` in `__init__`",
                    )


def changed_through_self(owner: ast.ClassDef, name: str) -> bool:
    for node in ast.walk(owner):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Attribute(value=ast.Name(id="self"), attr=attr), attr=method)
            ) if attr == name and method in changes:
                return True
            case ast.Subscript(value=ast.Attribute(value=ast.Name(id="self"), attr=attr), ctx=ast.Store()) if (
                attr == name
            ):
                return True
    return False


def set_on_self(owner: ast.ClassDef, name: str) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and node.attr == name
        and isinstance(node.ctx, ast.Store)
        and written(node.value) in ("self", "cls")
        for function in owner.body
        if isinstance(function, type_of_function)
        for node in ast.walk(function)
    )
