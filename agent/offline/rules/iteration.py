"""What is walked over and changed at once, and functions made in a loop that see only its last round."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .loops import walk_body
from .source import (
    Finding,
    Source,
    binding_targets,
    blocks,
    bound_names,
    dotted,
    leaves,
    names_in,
    own_nodes,
    scopes,
    told,
    written,
)

list_changes = {"append", "remove", "insert", "pop", "extend", "clear"}
dict_changes = {"pop", "popitem", "clear", "update", "setdefault"}
set_changes = {"add", "discard", "remove", "pop", "clear", "update"}


def find(source: Source) -> Iterator[Finding]:
    for node in source.nodes:
        match node:
            case ast.For():
                yield from changing(source, node)
                yield from by_index(source, node)
            case ast.Lambda() | ast.FunctionDef():
                yield from late_binding(source, node)


def changing(source: Source, loop: ast.For) -> Iterator[Finding]:
    walked = walked_collection(loop.iter)
    if not walked or walked in ("self", "cls") or walked in set(bound_names(walk_body(loop))):
        return
    if isinstance(loop.iter, ast.Call) and is_something_else(source, walked):
        return
    for node in walk_body(loop):
        change = change_of(node, walked, loop)
        if change and not leaves_after(source, node, loop) and not is_work_added(source, node, loop):
            yield told(
                node,
                "changed-while-iterating",
                f"`{change}` changes `{walked}` while {source.place(loop)} loops over it (line {loop.lineno}): "
                "elements are skipped or it raises RuntimeError",
                f"loop over a copy: `list({written(loop.iter)})`",
            )
            return


def is_something_else(source: Source, walked: str) -> bool:
    """Made by a class that is no dict, so that its `keys()` may well be a list: an email message, a table."""
    made = [
        dotted(node.value.func).rsplit(".", 1)[-1]
        for node in source.nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and walked in map(written, node.targets)
    ]
    return any(name[:1].isupper() and name not in ("OrderedDict", "Counter", "ChainMap") for name in made)


def is_work_added(source: Source, node: ast.AST, loop: ast.For) -> bool:
    """`todo.extend(more)`, or an append on a condition: the loop is meant to go on over what was added."""
    match node:
        case ast.Call(func=ast.Attribute(attr="extend")):
            return True
        case ast.Call(func=ast.Attribute(attr="append")):
            return source.parent(source.statement_of(node)) is not loop
    return False


def walked_collection(node: ast.expr) -> str:
    match node:
        case ast.Name() | ast.Attribute():
            return written(node)
        case ast.Call(func=ast.Attribute(value=value, attr="keys" | "values" | "items"), args=[]):
            return written(value)
        case ast.Call(func=ast.Name(id="enumerate" | "reversed"), args=[inner, *_]):
            return written(inner) if isinstance(inner, ast.Name | ast.Attribute) and node.func.id == "enumerate" else ""  # type: ignore[attr-defined]
    return ""


def by_index(source: Source, loop: ast.For) -> Iterator[Finding]:
    """`for i in range(len(xs))` that takes elements out of `xs`: the last indexes are gone when they are reached."""
    match loop:
        case ast.For(
            target=ast.Name(id=name),
            iter=ast.Call(func=ast.Name(id="range"), args=[ast.Call(func=ast.Name(id="len"), args=[measured])]),
        ):
            for node in walk_body(loop):
                change = taken_out(node, written(measured), name)
                if change and not leaves_after(source, node, loop):
                    yield told(
                        node,
                        "changed-while-iterating",
                        f"`{change}` shortens `{written(measured)}` while {source.place(loop)} counts through its "
                        "first length "
                        f"(line {loop.lineno}): IndexError, and elements are skipped",
                        "make a new list of those to keep",
                    )
                    return


def taken_out(node: ast.AST, measured: str, name: str) -> str:
    match node:
        case ast.Delete(targets=[ast.Subscript(value=value, slice=ast.Name(id=index))]) if index == name:
            return written(node) if written(value) == measured else ""
        case ast.Call(func=ast.Attribute(value=value, attr="pop" | "remove")) if written(value) == measured:
            return written(node) if name in names_in(node) else ""
    return ""


def change_of(node: ast.AST, walked: str, loop: ast.For) -> str:
    keyed = isinstance(loop.iter, ast.Call) and isinstance(loop.iter.func, ast.Attribute)
    match node:
        case ast.Call(func=ast.Attribute(value=value, attr=attr)) if (
            written(value) == walked and attr in list_changes | dict_changes | set_changes
        ):
            return written(node)
        case ast.Delete(targets=[ast.Subscript(value=value)]) if written(value) == walked:
            return written(node)
        case ast.Assign(targets=[ast.Subscript(value=value, slice=index)]) if keyed and written(value) == walked:
            own = names_in(loop.target)
            return written(node) if not (isinstance(index, ast.Name) and index.id in own) else ""
    return ""


def leaves_after(source: Source, node: ast.AST, loop: ast.For) -> bool:
    """The loop is left (or the collection bound anew) right after the change."""
    statement = source.statement_of(node)
    for above in [statement, *source.ancestors(statement)]:
        if above is loop:
            return False
        parent = source.parent(above)
        if parent is None or not isinstance(above, ast.stmt):
            continue
        for block in blocks(parent):
            if above in block and any(
                leaves(later) and not isinstance(later, ast.Continue) for later in block[block.index(above) :]
            ):
                return True
    return False


def late_binding(source: Source, function: ast.Lambda | ast.FunctionDef) -> Iterator[Finding]:
    """A function made in a loop that reads the loop's variable when it is called, and is kept until then."""
    loops = {}
    child: ast.AST = function
    for above in source.ancestors(function):
        if isinstance(above, ast.For) and child in above.body:
            loops.update({name: above.lineno for target in binding_targets(above) for name in names_in(target)})
        if isinstance(above, ast.ListComp | ast.DictComp | ast.SetComp) and not isinstance(child, ast.comprehension):
            loops.update({name: above.lineno for loop in above.generators for name in names_in(loop.target)})
        if isinstance(above, scopes):
            break
        child = above
    if not loops or not is_kept(source, function):
        return
    own = {arg.arg for arg in ast.walk(function.args) if isinstance(arg, ast.arg)} | set(
        bound_names(own_nodes(function))
    )
    used = sorted(
        {node.id for node in own_nodes(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        & set(loops) - own
    )
    if used:
        name = used[0]
        what = "the lambda" if isinstance(function, ast.Lambda) else f"`{function.name}()`"
        yield told(
            function,
            "late-binding",
            f"{what} in {source.place(function)} looks `{name}` up when it is called: all of them see the last "
            f"`{name}` of the loop",
            f"bind it now: `{name}={name}` as a default",
        )


def is_kept(source: Source, function: ast.Lambda | ast.FunctionDef) -> bool:
    """Stored for later rather than used up inside the round: appended, put under a key, part of a comprehension."""
    above = source.parent(function)
    if isinstance(function, ast.FunctionDef):
        return any(
            isinstance(node, ast.Name)
            and node.id == function.name
            and isinstance(node.ctx, ast.Load)
            and is_stored(source, node)
            for node in ast.walk(source.parents[function])
        )
    return isinstance(above, ast.ListComp | ast.DictComp | ast.SetComp) or is_stored(source, function)


def is_stored(source: Source, node: ast.AST) -> bool:
    above = source.parent(node)
    match above:
        case ast.Call(
            func=ast.Attribute(
                attr="append"
                | "add"
                | "insert"
                | "put"
                | "submit"
                | "after"
                | "connect"
                | "register"
                | "setdefault"
                | "call_soon"
                | "call_later"
            )
        ):
            return node is not above.func
        case ast.keyword(arg="target" | "command" | "callback"):
            return True
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]):
            return True
        case ast.Tuple() | ast.List() | ast.Dict():
            return is_stored(source, above)
    return False
