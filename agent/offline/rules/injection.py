"""Text from outside that becomes code: SQL, shell commands, eval."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .source import Finding, Function, Source, assignments, dotted, parameter, short, told, written

executes = {"execute", "executemany", "executescript", "raw", "read_sql", "read_sql_query"}
statement = re.compile(
    r"^\s*(select\b.+\bfrom\b|insert\s+into\b|update\b.+\bset\b|delete\s+from\b|drop\s+table\b|create\s+table\b|alter\s+table\b|replace\s+into\b|select\b)",
    re.I | re.S,
)


def find(source: Source) -> Iterator[Finding]:
    told: set[int] = set()
    for node in source.calls:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else dotted(node.func)
        if name in executes and node.args:
            said = [finding for finding in query(source, node, node.args[0]) if finding.line not in told]
            told.update(finding.line for finding in said)
            yield from said
        yield from shell(source, node, dotted(node.func))


def query(source: Source, call: ast.Call, sql: ast.expr) -> Iterator[Finding]:
    """A query text that is put together from values; constants of the module may be pasted in."""
    built = where_built(source, call, sql)
    is_query = any(statement.match(literal_part(text)) for text in built)
    for text in built:
        pasted = [part for part in pasted_values(text) if comes_from_outside(source, part, source.function_of(call))]
        if pasted and is_query:
            named = ", ".join(f"`{written(part)}`" for part in pasted[:3])
            yield told(
                text,
                "sql-injection",
                f"{source.place(call)} pastes {named} into the SQL text given to `{written(call.func)}()`: a "
                "crafted value can change the query",
                "put placeholders in the text and pass the values as second argument",
            )
            return


def where_built(source: Source, call: ast.Call, sql: ast.expr) -> list[ast.expr]:
    function = source.function_of(call)
    if not isinstance(sql, ast.Name):
        return [sql]
    bound = assignments(function or source.tree, sql.id)
    return [
        node.value
        for node in bound
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) and node.value is not None
    ]


def pasted_values(node: ast.expr) -> list[ast.expr]:
    match node:
        case ast.JoinedStr(values=values):
            return [part.value for part in values if isinstance(part, ast.FormattedValue)]
        case ast.BinOp(op=ast.Mod(), left=left, right=right) if has_text(left):
            return list(right.elts) if isinstance(right, ast.Tuple) else [right]
        case ast.BinOp(op=ast.Add(), left=left, right=right) if has_text(left) or has_text(right):
            return (
                [*pasted_values(left), *pasted_values(right)]
                if has_text(left) and has_text(right)
                else [right if has_text(left) else left, *pasted_values(left if has_text(left) else right)]
            )
        case ast.Call(func=ast.Attribute(attr="format", value=text), args=args, keywords=keywords) if has_text(text):
            return [*args, *(keyword.value for keyword in keywords)]
    return []


def has_text(node: ast.expr) -> bool:
    return any(isinstance(part, ast.Constant) and isinstance(part.value, str) for part in ast.walk(node))


def literal_part(node: ast.expr) -> str:
    """The constant beginning of a text, with a stand-in for every pasted value."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(literal_part(part) if isinstance(part, ast.Constant) else "x" for part in values)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return literal_part(left) + literal_part(right)
        case ast.BinOp(op=ast.Mod(), left=left):
            return literal_part(left)
        case ast.Call(func=ast.Attribute(value=text)):
            return literal_part(text)
    return "x"


def comes_from_outside(source: Source, node: ast.expr, function: Function | None, depth: int = 0) -> bool:
    """Whether a value may hold what a caller or user gave: parameters, attributes, input, and what is made of them."""
    if depth > 4:
        return False

    def outside(part: ast.expr) -> bool:
        return comes_from_outside(source, part, function, depth + 1)

    match node:
        case ast.Name(id=name):
            return name_from_outside(source, name, function, depth)
        case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=attr):
            return not attr.isupper() and not any(
                word in attr.lower() for word in ("table", "column", "schema", "field", "query", "sql")
            )
        case (
            ast.Attribute(value=value) | ast.Subscript(value=value) | ast.Starred(value=value) | ast.Await(value=value)
        ):
            return outside(value)
        case ast.Call(func=ast.Name(id="input")):
            return True
        case ast.Call(func=ast.Name(id="str" | "repr" | "format" | "tuple" | "list" | "sorted"), args=args):
            return any(outside(arg) for arg in args)
        case ast.Call(func=ast.Attribute(attr="join"), args=[argument]):
            return outside(argument)
        case ast.Call(func=ast.Attribute(value=value, attr=attr), args=args):
            return outside(value) or (attr in ("format", "replace") and any(outside(arg) for arg in args))
        case ast.JoinedStr(values=values):
            return any(outside(part.value) for part in values if isinstance(part, ast.FormattedValue))
        case ast.BinOp(left=left, right=right):
            return outside(left) or outside(right)
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return any(outside(part) for part in parts)
        case ast.IfExp(body=body, orelse=orelse):
            return outside(body) or outside(orelse)
        case ast.ListComp(elt=elt, generators=loops) | ast.GeneratorExp(elt=elt, generators=loops):
            return not isinstance(elt, ast.Constant) and any(outside(loop.iter) for loop in loops)
    return False


def name_from_outside(source: Source, name: str, function: Function | None, depth: int) -> bool:
    if function is not None and parameter(function, name) is not None:
        return True
    for node in assignments(function or source.tree, name):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and node.value is not None:
            plain = not isinstance(node, ast.Assign) or isinstance(node.targets[0], ast.Name)
            if plain and comes_from_outside(source, node.value, function, depth + 1):
                return True
        elif isinstance(node, ast.For) and comes_from_outside(source, node.iter, function, depth + 1):
            return True
    return False


def shell(source: Source, call: ast.Call, name: str) -> Iterator[Finding]:
    asks_shell = any(
        keyword.arg == "shell" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True
        for keyword in call.keywords
    )
    starts_shell = name in (
        "os.system",
        "os.popen",
        "commands.getoutput",
        "subprocess.getoutput",
        "subprocess.getstatusoutput",
    )
    if not call.args or not (asks_shell or starts_shell):
        return
    command = call.args[0]
    if is_fixed(command, source.function_of(call) or source.tree):
        return
    yield told(
        call,
        "shell-injection",
        f"`{name or written(call.func)}` in {source.place(call)} runs `{short(command, 50)}` through a shell: whoever "
        "controls that text runs commands",
        "pass a list of arguments and leave `shell` off",
    )


def is_fixed(node: ast.expr, scope: ast.AST) -> bool:
    """Text that stands in the file: a constant, a list of such, or a name that is only ever bound to such."""
    match node:
        case ast.Constant():
            return True
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return all(is_fixed(part, scope) for part in parts)
        case ast.Name(id=name):
            values = [bound_to(statement) for statement in assignments(scope, name)]
            return bool(values) and all(value is not None and is_literal(value) for value in values)
    return False


def bound_to(statement: ast.AST) -> ast.expr | None:
    match statement:
        case ast.Assign(targets=[ast.Name()], value=value) | ast.For(target=ast.Name(), iter=value):
            return value
    return None


def is_literal(node: ast.expr) -> bool:
    parts = node.elts if isinstance(node, ast.List | ast.Tuple) else [node]
    return all(isinstance(part, ast.Constant) for part in parts)
