"""Index off by one: loops and subscripts that reach one past the last element, or miss one."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .facts import caught
from .source import Finding, Source, assignments, loop_nodes, own_nodes, told, written

rule = "off-by-one"


def find(source: Source) -> Iterator[Finding]:
    for node in source.nodes:
        match node:
            case ast.Subscript(value=value, slice=index) if one_past(value, index) and not excused(source, node):
                yield told(
                    node,
                    rule,
                    f"`{written(node)}` is one past the last element of `{written(value)}`",
                    f"use `{written(value)}[-1]`",
                )
            case ast.Subscript(slice=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=0))):
                message = f"`{written(node)}` in {source.place(node)} is the first element, because -0 is 0"
                yield told(node, rule, message, f"use `{written(node.value)}[-1]` for the last")
            case ast.For(target=ast.Name(id=name), iter=iterated, body=body):
                yield from in_loop(source, node, name, iterated, list(body))
                yield from last_window(iterated, name, list(body))
            case ast.ListComp() | ast.GeneratorExp() | ast.SetComp() | ast.DictComp():
                for loop in node.generators:
                    if isinstance(loop.target, ast.Name):
                        yield from in_loop(source, loop.iter, loop.target.id, loop.iter, parts(node))
                        yield from last_window(loop.iter, loop.target.id, parts(node))
            case ast.While(test=test):
                yield from in_while(source, node, test)


def parts(node: ast.ListComp | ast.GeneratorExp | ast.SetComp | ast.DictComp) -> list[ast.AST]:
    return [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]


def excused(source: Source, node: ast.AST) -> bool:
    if isinstance(getattr(node, "ctx", None), ast.Store) or caught(source, node) & {
        "*",
        "IndexError",
        "LookupError",
        "KeyError",
        "Exception",
    }:
        return True
    return any(isinstance(above, ast.AnnAssign) for above in source.ancestors(node))


def one_past(value: ast.expr, index: ast.expr) -> bool:
    return length_of(index) == written(value)


def length_of(node: ast.AST) -> str:
    match node:
        case ast.Call(func=ast.Name(id="len"), args=[argument]):
            return written(argument)
    return ""


def in_loop(source: Source, at: ast.AST, name: str, iterated: ast.expr, body: list[ast.AST]) -> Iterator[Finding]:
    start, stop = range_of(iterated)
    if stop is None:
        return
    measured, extra = sized(source, at, stop)
    if not measured:
        return
    used = [(node, offset) for node, offset in indexed(body, measured, name) if isinstance(node.ctx, ast.Load)]
    if any(excused(source, node) for node, _ in used) or guarded(source, used, name):
        return
    reach = max((offset for _, offset in used), default=None)
    if reach is not None and reach + extra > 0:
        yield overrun(name, measured, iterated, extra, reach, used)
    elif missed_first(source, at, start, extra, used, measured):
        yield told(
            iterated,
            rule,
            f"`{written(iterated)}` starts at 1, so `{measured}[0]` is never looked at",
            f"start at 0: `range(len({measured}))`",
            "warning",
        )
    elif extra == -1 and used and reach == 0 and skips_last(source, at, measured, body, name):
        yield told(
            iterated,
            rule,
            f"`{written(iterated)}` stops before the last element of `{measured}`",
            f"use `range(len({measured}))`",
            "warning",
        )


def overrun(
    name: str,
    measured: str,
    iterated: ast.expr,
    extra: int,
    reach: int,
    used: list[tuple[ast.Subscript, int]],
) -> Finding:
    worst = next(node for node, offset in used if offset == reach)
    node = iterated if extra > 0 else worst
    return told(
        node,
        rule,
        f"`{written(iterated)}` lets `{name}` grow so far that `{written(worst)}` is past the end of "
        f"`{measured}`: IndexError",
        f"stop at `len({measured}){f' - {reach}' if reach else ''}`",
    )


def range_of(node: ast.expr) -> tuple[ast.expr | None, ast.expr | None]:
    match node:
        case ast.Call(func=ast.Name(id="range"), args=[stop]):
            return None, stop
        case ast.Call(func=ast.Name(id="range"), args=[start, stop]):
            return start, stop
    return None, None


def sized(source: Source, at: ast.AST, stop: ast.expr) -> tuple[str, int]:
    """(what is measured, how far beyond its length a range stops), as for `len(x) + 1` or `n` with `n = len(x)`."""
    match stop:
        case ast.BinOp(left=left, op=ast.Add(), right=ast.Constant(value=int() as extra)):
            return measured_by(source, at, left), extra
        case ast.BinOp(left=left, op=ast.Sub(), right=ast.Constant(value=int() as less)):
            return measured_by(source, at, left), -less
    return measured_by(source, at, stop), 0


def measured_by(source: Source, at: ast.AST, node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        function = source.function_of(at)
        bound = assignments(function, node.id) if function else []
        if len(bound) == 1 and isinstance(bound[0], ast.Assign):
            return length_of(bound[0].value)
        return ""
    return length_of(node)


def last_window(iterated: ast.expr, name: str, body: list[ast.AST]) -> Iterator[Finding]:
    """`range(len(x) - size)` over windows `x[i:i + size]` never comes to the last one."""
    _, stop = range_of(iterated)
    match stop:
        case ast.BinOp(left=measure, op=ast.Sub(), right=size) if measured := length_of(measure):
            own = [node for part in body for node in ast.walk(part) if is_named(node, measured)]
            windows = {f"{measured}[{name}:{name} + {written(size)}]", f"{measured}[{name}:{written(size)} + {name}]"}
            if own and all(written(node) in windows for node in own):
                yield told(
                    iterated,
                    rule,
                    f"`{written(iterated)}` stops before the last `{written(own[0])}`",
                    f"use `range(len({measured}) - {written(size)} + 1)`",
                    "warning",
                )


def is_named(node: ast.AST, measured: str) -> bool:
    return isinstance(node, ast.Subscript) and written(node.value) == measured


def indexed(body: list[ast.AST], measured: str, name: str) -> list[tuple[ast.Subscript, int]]:
    """Subscripts `measured[name + k]` in a loop's body, each with its k."""
    found = []
    for part in body:
        for node in ast.walk(part):
            if isinstance(node, ast.Subscript) and written(node.value) == measured:
                offset = offset_from(node.slice, name)
                if offset is not None:
                    found.append((node, offset))
    return found


def offset_from(index: ast.expr, name: str) -> int | None:
    match index:
        case ast.Name(id=given) if given == name:
            return 0
        case ast.BinOp(left=ast.Name(id=given), op=ast.Add(), right=ast.Constant(value=int() as offset)) if (
            given == name
        ):
            return offset
        case ast.BinOp(left=ast.Name(id=given), op=ast.Sub(), right=ast.Constant(value=int() as offset)) if (
            given == name
        ):
            return -offset
    return None


def guarded(source: Source, used: list[tuple[ast.Subscript, int]], name: str) -> bool:
    """The index is compared inside the loop before it is used, or the list grows there."""
    for node, _ in used:
        for above in source.ancestors(node):
            if isinstance(above, ast.If | ast.IfExp | ast.BoolOp | ast.While) and compares(above, name):
                return True
            if isinstance(above, ast.For | ast.FunctionDef) and any(
                isinstance(part, ast.If) and compares(part, name) for part in getattr(above, "body", [])
            ):
                return True
            if isinstance(above, ast.For):
                break
    return False


def checked_inside(source: Source, loop: ast.While, node: ast.AST, name: str) -> bool:
    """Whether a condition inside the loop looks at the index before the subscript."""
    for above in source.ancestors(node):
        if above is loop:
            return False
        if isinstance(above, ast.If | ast.IfExp | ast.BoolOp) and compares(above, name):
            return True
    return False


def compares(node: ast.AST, name: str) -> bool:
    test: ast.AST = node.test if isinstance(node, ast.If | ast.IfExp | ast.While) else node
    return any(
        isinstance(part, ast.Compare)
        and any(
            (isinstance(side, ast.Name) and side.id == name)
            or (isinstance(side, ast.BinOp) and name in written(side) and "[" not in written(side))
            for side in [part.left, *part.comparators]
        )
        for part in ast.walk(test)
    )


def missed_first(
    source: Source,
    at: ast.AST,
    start: ast.expr | None,
    extra: int,
    used: list[tuple[ast.Subscript, int]],
    measured: str,
) -> bool:
    """A range from 1 that looks at `x[i]` only, in a function that looks at no other place of `x`."""
    if not isinstance(start, ast.Constant) or start.value != 1 or not used or extra:
        return False
    return all(offset == 0 for _, offset in used) and not looks_elsewhere(
        source, at, measured, {node for node, _ in used}
    )


def skips_last(source: Source, at: ast.AST, measured: str, body: list[ast.AST], name: str) -> bool:
    """A range that stops one early in a function that treats the last element nowhere else."""
    later = any(
        isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and written(node.left) == name
        for part in body
        for node in ast.walk(part)
    )
    inner = any(isinstance(node, ast.For | ast.While) for part in body for node in ast.walk(part))
    own = {node for node, _ in indexed(body, measured, name)}
    return not later and not inner and not looks_elsewhere(source, at, measured, own)


def looks_elsewhere(source: Source, at: ast.AST, measured: str, own: set[ast.Subscript]) -> bool:
    function = source.function_of(at)
    if function is None:
        return True
    for node in own_nodes(function):
        if isinstance(node, ast.Subscript) and written(node.value) == measured and node not in own:
            return True
        if isinstance(node, ast.Call) and written(node.func).startswith((f"{measured}.pop", "next")):
            return True
        if isinstance(node, ast.Name) and node.id == measured and is_whole_use(source, node):
            return True
    return False


def is_whole_use(source: Source, node: ast.Name) -> bool:
    """The collection itself is passed on, walked or compared: some other place may see the missing element."""
    above = source.parent(node)
    if isinstance(above, ast.Call):
        return written(above.func) not in ("len", "list", "enumerate")
    return isinstance(above, ast.For | ast.comprehension | ast.Compare | ast.Starred | ast.BinOp)


def in_while(source: Source, loop: ast.While, test: ast.expr) -> Iterator[Finding]:
    for part in ast.walk(test):
        match part:
            case ast.Compare(left=ast.Name(id=name), ops=[ast.LtE()], comparators=[stop]):
                measured, extra = sized(source, loop, stop)
                used = indexed([*loop.body, test], measured, name) if measured else []
                used = [(node, offset) for node, offset in used if not checked_inside(source, loop, node, name)]
                moved = any(
                    isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
                    for node in loop_nodes(loop.body)
                )
                if (
                    used
                    and moved
                    and extra + max(offset for _, offset in used) >= 0
                    and not any(excused(source, node) for node, _ in used)
                ):
                    yield told(
                        loop,
                        rule,
                        f"`{written(part)}` lets `{name}` reach `len({measured})`, one past the last element, "
                        f"where `{written(used[0][0])}` fails",
                        f"use `{name} < {written(stop)}`",
                    )
