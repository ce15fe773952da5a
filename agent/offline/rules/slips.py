"""Small slips: loops over a number or nothing, keys never set, bad patterns, wrong modes, results thrown away."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator

from .facts import literal_size
from .source import Finding, Function, Source, assignments, dotted, names_in, only_value, own_nodes, told, written

patterns = ("compile", "match", "search", "fullmatch", "sub", "subn", "findall", "finditer", "split")
writing = ("write", "writelines", "truncate")
arithmetic = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
reading = ("read", "readline", "readlines")


def find(source: Source) -> Iterator[Finding]:
    for node in source.nodes:
        match node:
            case ast.For():
                yield from over_a_number(source, node)
                yield from never_entered(source, node)
                yield from set_back(source, node)
                yield from decided_at_once(source, node)
            case ast.Call():
                yield from bad_pattern(source, node)
            case ast.Expr(value=ast.BinOp() as value):
                yield from worked_out_for_nothing(source, node, value)
            case ast.With():
                yield from wrong_mode(source, node)
            case ast.Subscript(slice=ast.Name(id=name)):
                yield from halved_index(source, node, name)
    for function in source.functions:
        yield from key_never_set(function)


def over_a_number(source: Source, loop: ast.For) -> Iterator[Finding]:
    match loop.iter:
        case ast.Call(func=ast.Name(id="len" | "int" as name)) | ast.Constant(value=int() as name):
            message = f"`for … in {written(loop.iter)}` in {source.place(loop)} loops over a number: TypeError"
            yield told(
                loop, "loop-over-number", message, f"use `range({written(loop.iter)})`" if name else "use `range()`"
            )


def never_entered(source: Source, loop: ast.For) -> Iterator[Finding]:
    """`range(len(x), 0)` and `range(10, 0)` count upwards and are empty."""
    match loop.iter:
        case ast.Call(func=ast.Name(id="range"), args=[start, stop]):
            first, last = literal_size(start), literal_size(stop)
            down = (
                isinstance(start, ast.Call | ast.BinOp) and "len(" in written(start) and last is not None and last <= 0
            )
            if down or (first is not None and last is not None and first > last):
                message = (
                    f"`{written(loop.iter)}` in {source.place(loop)} is empty: it counts upwards, so the loop "
                    "never runs"
                )
                yield told(loop, "empty-range", message, "give a step of -1, or `reversed(range(…))`")


def set_back(source: Source, loop: ast.For) -> Iterator[Finding]:
    """A total that every round sets back to its start, and that is used after the loop."""
    for start in loop.body:
        match start:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant() | ast.List(elts=[]) as value):
                added = any(isinstance(node, ast.AugAssign) and written(node.target) == name for node in loop.body)
                inside = [node for node in ast.walk(loop) if isinstance(node, ast.Name) and node.id == name]
                read = [node for node in inside if isinstance(node.ctx, ast.Load)]
                if added and not read and is_read_after(source, loop, name):
                    message = (
                        f"`{name} = {written(value)}` stands inside the loop on line {loop.lineno} of "
                        f"{source.place(loop)}, "
                        f"so every round starts `{name}` again"
                    )
                    yield told(start, "reset-in-loop", message, "move it in front of the loop")


def is_read_after(source: Source, loop: ast.For, name: str) -> bool:
    function = source.function_of(loop)
    last = loop.end_lineno or loop.lineno
    return function is not None and any(
        isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load) and node.lineno > last
        for node in own_nodes(function)
    )


def decided_at_once(source: Source, loop: ast.For) -> Iterator[Finding]:
    """A search that says yes or no after looking at the first element only."""
    first, last = loop.body[0], loop.body[-1]
    if (
        not isinstance(first, ast.If)
        or not is_verdict(first.body[-1])
        or not names_in(loop.target) & names_in(first.test)
    ):
        return
    final: ast.stmt | None = None
    if len(loop.body) == 2 and not first.orelse and is_verdict(last):
        final = last
    if len(loop.body) == 1 and len(first.orelse) == 1 and is_verdict(first.orelse[0]):
        final = first.orelse[0]
    if final is not None:
        message = (
            f"`{written(final)}` in {source.place(loop)} ends the loop over `{written(loop.iter)}` after its "
            "first element: "
            f"the others are never looked at"
        )
        yield told(final, "leaves-loop-at-once", message, f"move `{written(final)}` behind the loop")


def is_verdict(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Return)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, bool)
    )


def bad_pattern(source: Source, call: ast.Call) -> Iterator[Finding]:
    match call:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=attr), args=[ast.Constant(value=str(text)), *_]):
            if attr in patterns and (problem := pattern_problem(text)):
                message = f"`{text}` in {source.place(call)} is no regular expression: {problem}"
                yield told(call, "bad-pattern", message, "correct the pattern, or use `re.escape()`")


def pattern_problem(text: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return ""


def worked_out_for_nothing(source: Source, node: ast.Expr, value: ast.BinOp) -> Iterator[Finding]:
    """Arithmetic on a line of its own; shifts and pipes are left out, which some libraries give a meaning."""
    tried = any(isinstance(above, ast.Try | ast.With) for above in source.ancestors(node))
    if isinstance(value.op, arithmetic) and not tried:
        message = f"`{written(value)}` in {source.place(node)} is worked out and thrown away"
        yield told(node, "useless-expression", message, "return it, assign it, or remove the line", "warning")


def wrong_mode(source: Source, block: ast.With) -> Iterator[Finding]:
    """`open(path)` that is written to, and `open(path, "w")` that is read from."""
    for item in block.items:
        match item:
            case ast.withitem(context_expr=ast.Call(func=ast.Name(id="open")) as call, optional_vars=ast.Name(id=name)):
                mode = mode_of(call)
                wrong = (
                    writing if mode in ("r", "rb", "rt") else reading if mode in ("w", "wb", "a", "ab", "wt") else ()
                )
                for use in (node for node in ast.walk(block) if isinstance(node, ast.Call)):
                    if (
                        isinstance(use.func, ast.Attribute)
                        and use.func.attr in wrong
                        and written(use.func.value) == name
                    ):
                        message = (
                            f"`{written(use)}` in {source.place(use)} uses a file that is opened with mode {mode!r}"
                        )
                        yield told(use, "wrong-file-mode", message, "open it with the mode that is needed")
                        return


def mode_of(call: ast.Call) -> str:
    given = [call.args[1]] if len(call.args) > 1 else [word.value for word in call.keywords if word.arg == "mode"]
    if not given:
        return "r"
    return str(given[0].value) if isinstance(given[0], ast.Constant) else ""


def halved_index(source: Source, node: ast.Subscript, name: str) -> Iterator[Finding]:
    """`middle = (low + high) / 2` and then `items[middle]`."""
    function = source.function_of(node)
    values = [bound.value for bound in assignments(function, name) if isinstance(bound, ast.Assign)] if function else []
    if (
        len(values) == 1
        and isinstance(values[0], ast.BinOp)
        and isinstance(values[0].op, ast.Div)
        and is_halving(values[0])
    ):
        message = (
            f"`{name}` is a float (`{written(values[0])}`), which `{written(node)}` in {source.place(node)} uses "
            "as an index: TypeError"
        )
        yield told(values[0], "float-as-integer", message, "use `//`")


def is_halving(value: ast.BinOp) -> bool:
    return isinstance(value.right, ast.Constant) and isinstance(value.right.value, int)


def key_never_set(function: Function) -> Iterator[Finding]:
    """`counts = {}` and then `counts[word] += 1`: the first time there is nothing to add to."""
    for node in own_nodes(function):
        match node:
            case ast.AugAssign(target=ast.Subscript(value=ast.Name(id=name))) if is_plain_dict(
                only_value(function, name)
            ):
                if not is_filled_otherwise(function, name, node):
                    message = (
                        f"`{written(node)}` in `{function.name}()` adds to a key that `{name}` does not have yet: "
                        "KeyError"
                    )
                    yield told(node, "missing-key", message, f"use `{name}.get(…, 0)`, a `Counter` or a `defaultdict`")


def is_plain_dict(value: ast.expr | None) -> bool:
    return (isinstance(value, ast.Dict) and not value.keys) or (
        isinstance(value, ast.Call) and dotted(value.func) == "dict" and not value.args and not value.keywords
    )


def is_filled_otherwise(function: Function, name: str, node: ast.AugAssign) -> bool:
    """Some other statement sets, tests or hands on what the dict holds."""
    for other in own_nodes(function):
        match other:
            case ast.Subscript(value=ast.Name(id=given), ctx=ast.Store()) if given == name and other is not node.target:
                return True
            case ast.Call(func=ast.Attribute(value=ast.Name(id=given), attr="setdefault" | "update" | "get")) if (
                given == name
            ):
                return True
            case ast.Compare(comparators=comparators) if any(name in names_in(part) for part in comparators):
                return True
            case ast.Call(args=args) if any(isinstance(part, ast.Name) and part.id == name for part in args):
                return dotted(other.func) not in ("len", "print", "sorted", "list", "max", "min", "sum", "dict")
            case ast.Try():
                return True
    return False
