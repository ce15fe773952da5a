"""Calls whose arguments are in the wrong order or number, or whose result is thrown away."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import combinations

from .source import (
    Finding,
    Function,
    Source,
    assignments,
    attributes_set,
    dotted,
    is_stub,
    own_nodes,
    parameter,
    told,
    type_of_function,
    written,
)

text_methods = {
    "replace", "strip", "lstrip", "rstrip", "upper", "lower", "title", "capitalize", "removeprefix", "removesuffix",
    "zfill", "ljust", "rjust", "center", "casefold", "swapcase", "format",
}  # fmt: skip
questions = {"isdigit", "isalpha", "isupper", "islower", "isspace", "startswith", "endswith", "is_file", "is_dir"}
pure_calls = {"sorted", "reversed", "len", "sum", "abs", "round", "str", "enumerate", "zip", "map", "filter", "range"}
in_place = {"sort", "append", "extend", "reverse", "insert", "remove", "clear", "update", "add", "discard"}


def find(source: Source) -> Iterator[Finding]:
    for call in source.calls:
        target = called_function(source, call)
        if target is not None and not is_stub(target):
            yield from swapped(source, call, target)
            yield from miscounted(source, call, target)
        yield from started_at_once(source, call)
    for node in source.nodes:
        match node:
            case ast.Expr(value=ast.Call() as call):
                yield from thrown_away(source, call)
            case ast.Assign(
                targets=[ast.expr() as bound], value=ast.Call(func=ast.Attribute(value=owner, attr=attr)) as call
            ) if attr in in_place:
                yield from assigned_none(source, node, bound, owner, attr)
            case ast.Return(
                value=ast.Call(func=ast.Attribute(value=owner, attr="sort" | "reverse" | "append" | "extend" as attr))
            ):
                if is_list(source, node, owner):
                    yield told(
                        node,
                        "none-result",
                        f"{source.place(node)} returns `{written(node.value)}`, which is always None: `{attr}()` "
                        "works in place",
                        f"call it first, then return `{written(owner)}`",
                    )
            case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
                yield from uncalled(source, test)


def called_function(source: Source, call: ast.Call) -> Function | None:
    """The one function or method of this file that a call means, where that is certain."""
    match call.func:
        case ast.Name(id=name):
            found = [f for f in source.tree.body if isinstance(f, type_of_function) and f.name == name]
            inner = source.function_of(call)
            hidden = inner is not None and (parameter(inner, name) is not None or assignments(inner, name))
            return (
                found[0]
                if len(found) == 1 and not hidden and not found[0].decorator_list and is_defined_once(source, name)
                else None
            )
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            function = source.function_of(call)
            owner = source.class_around(call)
            methods = (
                [f for f in owner.body if isinstance(f, type_of_function) and f.name == name]
                if owner and function
                else []
            )
            return (
                methods[0]
                if len(methods) == 1 and not methods[0].decorator_list and not is_set_on_self(owner, name)
                else None
            )
    return None


def is_defined_once(source: Source, name: str) -> bool:
    return source.definitions[name] == 1 and name not in source.stored_names | source.imported_names


def is_set_on_self(owner: ast.ClassDef | None, name: str) -> bool:
    return owner is None or name in attributes_set(owner)


def positional(function: Function, call: ast.Call) -> list[str]:
    names = [arg.arg for arg in [*function.args.posonlyargs, *function.args.args]]
    return names[1:] if isinstance(call.func, ast.Attribute) else names


def swapped(source: Source, call: ast.Call, function: Function) -> Iterator[Finding]:
    names = positional(function, call)
    given = [
        arg.id
        if isinstance(arg, ast.Name)
        else arg.attr
        if isinstance(arg, ast.Attribute) and written(arg.value) == "self"
        else ""
        for arg in call.args
    ]
    if any(isinstance(arg, ast.Starred) for arg in call.args):
        return
    inner = source.function_of(call)
    if inner is function or turns_around(inner):
        return
    for first, second in combinations(range(min(len(given), len(names))), 2):
        if (given[first], given[second]) == (names[second], names[first]) and given[first] != given[second]:
            yield told(
                call,
                "swapped-arguments",
                f"`{written(call)}` in {source.place(call)} passes `{given[first]}` as `{names[first]}` "
                f"and `{given[second]}` as `{names[second]}`",
                f"swap them: `{function.name}({', '.join(names)})`",
            )
            return


def turns_around(function: Function | None) -> bool:
    """A function whose name says that it does something the other way round."""
    words = ("back", "revers", "swap", "undo", "inver", "flip", "mirror", "opposite", "__r")
    return function is not None and any(word in function.name.lower() for word in words)


def miscounted(source: Source, call: ast.Call, function: Function) -> Iterator[Finding]:
    if any(isinstance(arg, ast.Starred) for arg in call.args) or any(keyword.arg is None for keyword in call.keywords):
        return
    names = positional(function, call)
    keywords = [keyword.arg for keyword in call.keywords if keyword.arg]
    known = {*names, *(arg.arg for arg in function.args.kwonlyargs)}
    unknown = [name for name in keywords if name not in known] if function.args.kwarg is None else []
    required = names[: len(names) - len(function.args.defaults)] if function.args.defaults else names
    missing = [name for name in required[len(call.args) :] if name not in keywords]
    if unknown:
        yield told(
            call,
            "unknown-argument",
            f"`{function.name}()` has no parameter `{unknown[0]}`, which {source.place(call)} passes: TypeError",
            f"its parameters are {', '.join(names) or 'none'}",
        )
    elif len(call.args) > len(names) and function.args.vararg is None:
        yield told(
            call,
            "too-many-arguments",
            f"{source.place(call)} passes {len(call.args)} arguments to `{function.name}()`, which takes "
            f"{len(names)}: TypeError",
            "pass what it takes",
        )
    elif missing:
        yield told(
            call,
            "missing-argument",
            f"{source.place(call)} calls `{function.name}()` without `{missing[0]}`: TypeError",
            f"pass `{missing[0]}`",
        )


def started_at_once(source: Source, call: ast.Call) -> Iterator[Finding]:
    """`Thread(target=work())` runs the work here and hands its result over as the target."""
    if dotted(call.func).rsplit(".", 1)[-1] not in ("Thread", "Process", "Timer"):
        return
    for keyword in call.keywords:
        if (
            keyword.arg == "target"
            and isinstance(keyword.value, ast.Call)
            and dotted(keyword.value.func) in {f.name for f in source.functions if not returns_function(f)}
        ):
            yield told(
                keyword.value,
                "called-too-early",
                f"`target={written(keyword.value)}` in {source.place(call)} calls it right here instead of in the "
                "new thread",
                f"pass `target={written(keyword.value.func)}`",
            )


def returns_function(function: Function) -> bool:
    return any(isinstance(node, type_of_function) for node in function.body) or any(
        isinstance(node, ast.Return) and isinstance(node.value, ast.Lambda) for node in own_nodes(function)
    )


def thrown_away(source: Source, call: ast.Call) -> Iterator[Finding]:
    match call.func:
        case ast.Attribute(value=owner, attr=attr) if attr in text_methods and is_text(source, call, owner, attr):
            yield told(
                call,
                "unused-result",
                f"`{written(call)}` in {source.place(call)} has no effect: strings never change, `{attr}()` "
                "returns a new one",
                f"assign it: `{written(owner)} = {written(call)}`",
            )
        case ast.Name(id=name) if (
            name in pure_calls
            and call.args
            and name not in source.module_names
            and not isinstance(source.parent(source.parents[call]), ast.Try)
        ):
            if not any(isinstance(above, ast.With | ast.Try) for above in source.ancestors(call)):
                yield told(
                    call,
                    "unused-result",
                    f"the result of `{written(call)}` in {source.place(call)} is thrown away, and the call does "
                    "nothing else",
                    "use the result",
                    "warning",
                )


def is_text(source: Source, call: ast.Call, owner: ast.expr, attr: str) -> bool:
    """The receiver is a string as far as one can tell: by its annotation, its value, or the way it is called."""
    if isinstance(owner, ast.JoinedStr) or (isinstance(owner, ast.Constant) and isinstance(owner.value, str)):
        return True
    function = source.function_of(call)
    if isinstance(owner, ast.Name) and function is not None:
        arg = parameter(function, owner.id)
        if arg is not None and arg.annotation is not None:
            return written(arg.annotation).strip("'\"").startswith("str")
        values = [node.value for node in assignments(function, owner.id) if isinstance(node, ast.Assign)]
        if any(
            isinstance(v, ast.JoinedStr)
            or (isinstance(v, ast.Constant) and isinstance(v.value, str))
            or written(v).startswith("str(")
            or has_text_method(v)
            for v in values
        ):
            return True
        plain = arg is not None or any(isinstance(above, ast.For) for above in source.ancestors(call))
        return (
            (plain and attr not in ("replace", "format", "title", "center", "lower", "upper"))
            or (attr == "replace" and plain and len(call.args) == 2)
            or (attr in ("lower", "upper") and plain and not call.args)
        )
    return False


def has_text_method(value: ast.expr) -> bool:
    return (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Attribute)
        and value.func.attr in text_methods | {"join", "read", "decode"}
    )


def assigned_none(source: Source, node: ast.Assign, bound: ast.expr, owner: ast.expr, attr: str) -> Iterator[Finding]:
    if is_list(source, node, owner) or (
        written(bound) == written(owner) and attr in ("sort", "append", "reverse", "extend", "insert")
    ):
        yield told(
            node,
            "none-result",
            f"`{written(bound)}` in {source.place(node)} becomes None: `{written(owner)}.{attr}()` works in place "
            "and returns nothing",
            "call it on a line of its own",
        )


def is_list(source: Source, node: ast.AST, owner: ast.expr) -> bool:
    function = source.function_of(node)
    if function is None or not isinstance(owner, ast.Name):
        return False
    arg = parameter(function, owner.id)
    if arg is not None and written(arg.annotation).startswith(("list", "List")):
        return True
    values = [item.value for item in assignments(function, owner.id) if isinstance(item, ast.Assign | ast.AnnAssign)]
    return any(
        isinstance(value, ast.List | ast.ListComp) or written(value).startswith(("list(", "sorted("))
        for value in values
    )


def uncalled(source: Source, test: ast.expr) -> Iterator[Finding]:
    """A function or method used as a condition without calling it: always true."""
    inner = test.operand if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) else test
    if is_method_of_own(source, test, inner) or is_function(source, test, inner) or is_text_question(inner):
        yield told(
            test,
            "not-called",
            f"`{written(inner)}` in {source.place(test)} is the function itself, which is always true",
            f"call it: `{written(inner)}(…)`",
        )


def is_method_of_own(source: Source, test: ast.expr, inner: ast.expr) -> bool:
    owner = source.class_around(test)
    if owner is None or not isinstance(inner, ast.Attribute) or written(inner.value) != "self":
        return False
    methods = [item for item in owner.body if isinstance(item, type_of_function) and item.name == inner.attr]
    known = is_set_on_self(owner, inner.attr) or set_on_class(owner, inner.attr)
    return bool(methods) and not methods[0].decorator_list and not known


def is_function(source: Source, test: ast.expr, inner: ast.expr) -> bool:
    if not isinstance(inner, ast.Name) or not is_defined_once(source, inner.id):
        return False
    around = [above for above in source.ancestors(test) if isinstance(above, type_of_function)]
    hidden = any(parameter(function, inner.id) or assignments(function, inner.id) for function in around)
    return any(isinstance(item, type_of_function) and item.name == inner.id for item in source.tree.body) and not hidden


def is_text_question(inner: ast.expr) -> bool:
    return isinstance(inner, ast.Attribute) and inner.attr in questions


def set_on_class(owner: ast.ClassDef | None, name: str) -> bool:
    return owner is not None and any(
        isinstance(node, ast.Assign) and any(written(target) == name for target in node.targets) for node in owner.body
    )
