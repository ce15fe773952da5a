"""Strings and numbers mixed up: text plus number, a forgotten f, a strip that eats too much, a float as index."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .source import (
    Finding,
    Source,
    assignments,
    bound_names,
    dotted,
    only_value,
    own_nodes,
    parameter,
    parameters,
    short,
    told,
    written,
)

field = re.compile(r"\{([a-zA-Z_]\w*)(?:\.\w+|\[\w+\])*(?:![rsa])?(?::[^{}]*)?\}")
whole = {"len", "int", "sum", "round", "ord", "id", "hash", "abs"}


def find(source: Source) -> Iterator[Finding]:
    for node in source.nodes:
        match node:
            case ast.BinOp(op=ast.Add(), left=left, right=right):
                yield from added(source, node, left, right)
            case ast.AugAssign(op=ast.Add(), target=ast.Name() as target, value=value):
                yield from added(source, node, target, value)
            case ast.Constant(value=str()):
                yield from without_prefix(source, node)
            case ast.Call(
                func=ast.Attribute(attr="strip" | "lstrip" | "rstrip" as attr),
                args=[ast.Constant(value=str(text))],
            ) if is_word(text):
                yield told(
                    node,
                    "misused-strip",
                    f"`{written(node)}` in {source.place(node)} strips any of the characters {text!r}, not that "
                    "text: it eats too much",
                    f"use `remove{'suffix' if attr == 'rstrip' else 'prefix'}()`",
                )
            case ast.Call(func=ast.Name(id="range"), args=args) if any(is_true_division(arg) for arg in args):
                yield told(
                    node,
                    "float-as-integer",
                    f"`{written(node)}` in {source.place(node)} gives `range()` a float, as `/` always does: TypeError",
                    "use `//`",
                )
            case ast.Subscript(slice=index) if (
                is_true_division(index) and not isinstance(node.value, ast.Name)
            ) or is_half_of_length(node):
                yield told(
                    node,
                    "float-as-integer",
                    f"`{written(node)}` in {source.place(node)} uses a float as an index, as `/` always gives "
                    "one: TypeError",
                    "use `//`",
                )
            case ast.Compare(left=left, comparators=[right]) if typed(source, node, left) and typed(
                source, node, right
            ):
                yield from compared(source, node, left, right)
            case ast.List() | ast.Set() | ast.Tuple():
                yield from missing_comma(source, node)


def added(source: Source, node: ast.AST, left: ast.expr, right: ast.expr) -> Iterator[Finding]:
    kinds = (typed(source, node, left), typed(source, node, right))
    if set(kinds) in ({"str", "int"}, {"str", "float"}):
        number = left if kinds[0] != "str" else right
        text = right if kinds[0] != "str" else left
        yield told(
            node,
            "text-plus-number",
            f"{source.place(node)} adds the number `{written(number)}` to the text `{short(text, 40)}`: TypeError",
            f"use `str({written(number)})` or an f-string",
        )


def typed(source: Source, at: ast.AST, node: ast.expr) -> str:
    """`str`, `int`, `float` or an empty string, as far as the function itself tells."""
    match node:
        case ast.JoinedStr() | ast.Constant(value=str()):
            return "str"
        case ast.Constant(value=bool()):
            return ""
        case ast.Constant(value=int()):
            return "int"
        case ast.Constant(value=float()):
            return "float"
        case ast.Call(func=ast.Name(id="str" | "input" | "repr" | "chr" | "hex" | "format")):
            return "str" if written(node.func) not in source.module_names else ""
        case ast.Call(func=ast.Name(id="len" | "int" | "ord")):
            return "int"
        case ast.Call(func=ast.Name(id="float")):
            return "float"
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str()), attr="join" | "format" | "upper" | "lower")):
            return "str"
        case ast.BinOp(op=ast.Mod(), left=ast.Constant(value=str())):
            return "str"
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            kinds = {typed(source, at, left), typed(source, at, right)}
            return kinds.pop() if len(kinds) == 1 else "str" if kinds == {"str", ""} else ""
        case ast.Name(id=name):
            return typed_name(source, at, name)
        case ast.Attribute(value=ast.Name(id="self"), attr=attr):
            return typed_attribute(source, at, attr)
    return ""


def typed_name(source: Source, at: ast.AST, name: str) -> str:
    function = source.function_of(at)
    if function is None:
        value = only_value(source.tree, name)
        return typed(source, source.tree, value) if isinstance(value, ast.Constant | ast.JoinedStr) else ""
    arg = parameter(function, name)
    bound = assignments(function, name)
    if arg is not None and not bound:
        kind = written(arg.annotation).strip("'\"")
        return kind if kind in ("str", "int", "float") else ""
    if arg is None and bound:
        kinds = {typed_binding(source, function, node) for node in bound if not is_sum(node)}
        return kinds.pop() if len(kinds) == 1 else ""
    return ""


def is_sum(node: ast.AST) -> bool:
    """`total += price`: adding to a number leaves it one."""
    return (
        isinstance(node, ast.AugAssign)
        and isinstance(node.op, ast.Add | ast.Sub | ast.Mult)
        and isinstance(node.value, ast.Name | ast.Attribute | ast.BinOp)
    )


def typed_binding(source: Source, function: ast.AST, node: ast.AST) -> str:
    """The kind that one assignment gives a name; only what shows on its face is believed."""
    match node:
        case ast.Assign(targets=[ast.Name()], value=ast.Constant() | ast.JoinedStr() | ast.Call() as value):
            return typed(source, function, value)
        case ast.AugAssign(op=ast.Add(), value=ast.Constant(value=int())):
            return "int"
        case ast.For(target=ast.Name(), iter=ast.Call(func=ast.Name(id="range"))):
            return "int"
    return ""


def typed_attribute(source: Source, at: ast.AST, attr: str) -> str:
    owner = source.class_around(at)
    if owner is None:
        return ""
    annotated = [
        written(item.annotation)
        for item in owner.body
        if isinstance(item, ast.AnnAssign) and written(item.target) == attr
    ]
    return annotated[0] if annotated and annotated[0] in ("str", "int", "float") else ""


def compared(source: Source, node: ast.Compare, left: ast.expr, right: ast.expr) -> Iterator[Finding]:
    kinds = {typed(source, node, left), typed(source, node, right)}
    if kinds in ({"str", "int"}, {"str", "float"}) and not isinstance(
        node.ops[0], ast.In | ast.NotIn | ast.Is | ast.IsNot
    ):
        yield told(
            node,
            "text-against-number",
            f"`{written(node)}` in {source.place(node)} compares a text with a number",
            "convert one of them first",
        )


def without_prefix(source: Source, node: ast.Constant) -> Iterator[Finding]:
    """A plain string whose `{name}` is a local name: the f in front is missing."""
    function = source.function_of(node)
    if is_template(source, node) or (function is None and not isinstance(source.parent(node), ast.Call)):
        return
    known = (
        {arg.arg for arg in parameters(function)} | set(bound_names(own_nodes(function)))
        if function
        else source.module_names
    )
    names = [match.group(1) for match in field.finditer(str(node.value))]
    if names and all(name in known for name in names) and "{{" not in str(node.value):
        yield told(
            node,
            "missing-f-prefix",
            f"`{short(node, 40)}` in {source.place(node)} shows `{{{names[0]}}}` as it stands, because the `f` in "
            "front of the string is missing",
            "put `f` in front of the string",
        )


takers = {
    "_", "gettext", "ngettext", "pgettext", "npgettext", "compile", "sub", "match", "search", "Template",
    "PromptTemplate", "partial", "format", "route", "get", "post", "bind",
}  # fmt: skip


def is_template(source: Source, node: ast.Constant) -> bool:
    """Docstrings, parts of f-strings, and text that is formatted, translated, matched or kept for later."""
    function = source.function_of(node)
    if function is not None and any(node in ast.walk(item) for item in function.decorator_list):
        return True  # no parameter is known there
    for above in source.ancestors(node):
        match above:
            case ast.JoinedStr() | ast.FormattedValue():
                return True
            case ast.Expr():
                return isinstance(above.value, ast.Constant)
            case ast.Attribute(attr=attr):
                return attr in ("format", "format_map", "replace", "safe_substitute", "substitute")
            case ast.Call(func=func):
                last = dotted(func).rsplit(".", 1)[-1]
                return (
                    last in takers
                    or any(word in last.lower() for word in ("logger", "format", "template", "route", "path"))
                    or has_field_arguments(above, node)
                )
            case ast.Assign(targets=[ast.Name(id=name)]):
                return is_formatted_later(source, above, name)
            case ast.arguments() | ast.keyword() | ast.Dict():
                return not isinstance(above, ast.keyword) or above.arg not in ("message", "text", "end")
            case ast.stmt():
                return False
    return False


def has_field_arguments(call: ast.Call, node: ast.Constant) -> bool:
    """`logger.info("… {x}", x=x)`: the call takes the fields as keywords."""
    return any(keyword.arg and f"{{{keyword.arg}" in str(node.value) for keyword in call.keywords)


def is_formatted_later(source: Source, at: ast.AST, name: str) -> bool:
    function = source.function_of(at)
    text = written(function)
    return f"{name}.format" in text or f"{name} %" in text or (f"({name}" in text and "print(" + name not in text)


def is_word(text: str) -> bool:
    """A set of characters for strip never needs a letter twice or a dotted extension."""
    return (
        len(text) > 2
        and (len(set(text)) < len(text) or re.fullmatch(r"\.[a-z]{2,4}|https?://|[a-z]+[:_-]+", text) is not None)
        and bool(re.search("[a-zA-Z]", text))
        and not re.fullmatch(r"\s+|[\W_]+", text)
    )


def is_true_division(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Div)
        and ("len(" in written(node.left) or isinstance(node.right, ast.Constant))
    )


def is_half_of_length(node: ast.Subscript) -> bool:
    return (
        isinstance(node.slice, ast.BinOp) and isinstance(node.slice.op, ast.Div) and "len(" in written(node.slice.left)
    )


def missing_comma(source: Source, node: ast.List | ast.Set | ast.Tuple) -> Iterator[Finding]:
    """One string per line, and one element that spans two of them."""
    texts = [element for element in node.elts if isinstance(element, ast.Constant) and isinstance(element.value, str)]
    long = [
        element
        for element in texts
        if element.end_lineno != element.lineno
        and not source.lines[element.lineno - 1].strip().startswith(('"""', "'''", 'r"""'))
    ]
    if len(texts) < 3 or len(texts) != len(node.elts) or len(long) != 1:
        return
    first = source.lines[long[0].lineno - 1]
    if (
        len({element.lineno for element in texts}) == len(texts)
        and len(first.strip()) < 40
        and first.strip()[-1:] in "\"'"
    ):
        yield told(
            long[0],
            "missing-comma",
            f"`{first.strip()}` and the string on the next line in {source.place(node)} are one element, because "
            "a comma is missing",
            "put a comma between them",
        )
