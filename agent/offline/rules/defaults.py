"""Default values made once and shared by every call, and lists that share one inner list."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .source import Finding, Function, Source, dotted, own_nodes, told, type_of_function, written

rule = "mutable-default"
makers = {
    "list", "dict", "set", "bytearray", "deque", "defaultdict", "Counter", "OrderedDict", "collections.deque",
    "collections.defaultdict",
}  # fmt: skip
changes = {
    "append", "extend", "insert", "add", "update", "pop", "remove", "clear", "setdefault", "sort", "reverse",
    "discard", "popitem", "appendleft",
}  # fmt: skip
questions = {"get", "items", "keys", "values", "copy", "index", "count", "isdisjoint", "issubset", "union"}
copies = {"len", "list", "dict", "set", "tuple", "sorted", "frozenset", "sum", "any", "all", "max", "min", "enumerate"}


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
                yield from shared_attributes(source, node)


def shared_defaults(function: Function) -> Iterator[Finding]:
    for arg, default in defaults(function):
        if is_mutable(default) and not arg.arg.startswith("_") and not is_harmless(function, arg.arg, default):
            severity, effect = effect_of_sharing(function, arg.arg)
            yield told(
                default,
                rule,
                f"the default `{arg.arg}={written(default)}` of `{function.name}()` is made once and shared by "
                f"all calls, {effect}",
                f"default to `None` and write `if {arg.arg} is None: {arg.arg} = {written(default)}` inside",
                severity,
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


def effect_of_sharing(function: Function, name: str) -> tuple[str, str]:
    """How bad it is that all calls share a default, and why."""
    if is_changed(function, name):
        return "error", "and the function changes it, so it grows from call to call"
    if is_given_out(function, name):
        return "warning", "so a change by one caller is seen by the next"
    return "info", "so whatever it is handed to must not change it"


def is_harmless(function: Function, name: str, default: ast.expr) -> bool:
    """Whether calls may share a default: they only read it, or it is a memory on purpose."""
    return is_only_read(function, name) or is_meant_to_last(function, name, default)


def is_only_read(function: Function, name: str) -> bool:
    """Whether nobody gets hold of it: the function loops over it, looks into it or asks it something, and no more."""
    reading: set[ast.AST] = set()
    for node in own_nodes(function):
        match node:
            case ast.For(iter=ast.Name() as use) | ast.comprehension(iter=ast.Name() as use):
                reading.add(use)
            case ast.If(test=ast.Name() as use) | ast.UnaryOp(op=ast.Not(), operand=ast.Name() as use):
                reading.add(use)
            case ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[ast.Name() as use]):
                reading.add(use)
            case ast.Call(func=ast.Attribute(value=ast.Name() as use, attr=attr)) if attr in questions:
                reading.add(use)
            case ast.Call(func=ast.Name(id=called), args=[ast.Name() as use]) if called in copies:
                reading.add(use)
            case ast.Call(func=ast.Attribute(value=ast.Constant(), attr="join"), args=[ast.Name() as use]):
                reading.add(use)
    uses = [node for node in ast.walk(function) if isinstance(node, ast.Name) and node.id == name]
    return bool(uses) and all(use in reading for use in uses)


def is_meant_to_last(function: Function, name: str, default: ast.expr) -> bool:
    """A memory from call to call: a counter (`n=[0]`), or a cache that is looked into and filled, not given out."""
    uses = [node for node in own_nodes(function) if isinstance(node, ast.Name) and node.id == name]
    if isinstance(default, ast.List) and default.elts:
        return is_changed(function, name) and all(is_inside_subscript(function, use) for use in uses)
    looked_up = any(
        isinstance(node, ast.Compare)
        and isinstance(node.ops[0], ast.In | ast.NotIn)
        and written(node.comparators[0]) == name
        for node in own_nodes(function)
    )
    return looked_up and is_changed(function, name) and not is_given_out(function, name)


def is_inside_subscript(function: Function, use: ast.Name) -> bool:
    return any(isinstance(node, ast.Subscript) and node.value is use for node in own_nodes(function))


def is_given_out(function: Function, name: str) -> bool:
    """Whether it is returned, yielded or kept under another name, where others may change it."""
    return any(
        isinstance(node, ast.Return | ast.Yield | ast.Assign)
        and isinstance(node.value, ast.Name)
        and node.value.id == name
        for node in own_nodes(function)
    )


def is_repeated_list(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult) and isinstance(node.left, ast.List)


def is_read_only(inner: ast.expr) -> bool:
    """`[[None]] * n`: one-element rows that are nearly always replaced whole."""
    return isinstance(inner, ast.List) and len(inner.elts) == 1 and not isinstance(inner.elts[0], ast.List)


def shared_rows(source: Source, node: ast.BinOp, times: ast.expr) -> Finding:
    return told(
        node,
        "shared-mutable",
        f"`{written(node)}` in {source.place(node)} repeats one inner object {written(times)} times: a change to "
        "one is a change to all",
        f"make each anew: `[… for _ in range({written(times)})]`",
    )


def shared_attributes(source: Source, owner: ast.ClassDef) -> Iterator[Finding]:
    """A list or dict on the class that methods change through `self` though no method makes one per instance."""
    if any("dataclass" in written(item) for item in owner.decorator_list):
        return
    for statement in owner.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if is_mutable(value) and not name.isupper():
                if (
                    changed_through_self(owner, name)
                    and not set_on_self(owner, name)
                    and not is_used_through_class(source, owner, name)
                ):
                    yield told(
                        statement,
                        "shared-class-attribute",
                        f"`{owner.name}.{name}` is one {written(value)} shared by all instances, and methods "
                        f"change it through `self.{name}`",
                        f"set `self.{name} = {written(value)}` in `__init__`",
                    )


def is_used_through_class(source: Source, owner: ast.ClassDef, name: str) -> bool:
    """`Class.registry` somewhere in the file: that all instances share it is meant."""
    return any(
        isinstance(node, ast.Attribute) and node.attr == name and written(node.value) in (owner.name, "cls")
        for node in source.nodes
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
