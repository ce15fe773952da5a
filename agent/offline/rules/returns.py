"""Results that never come back: missing returns, code after a return, recursion without an end."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from .source import (
    Finding,
    Function,
    Source,
    blocks,
    bound_names,
    dotted,
    every_block,
    is_generator,
    is_stub,
    leaves,
    own_nodes,
    parameters,
    scopes,
    terminates,
    told,
    written,
)

conditional = (*scopes, ast.Try, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Match)
nothing = {"", "None", "NoReturn", "Never", "typing.NoReturn", "object", "Any", "t.Any", "typing.Any", "bool | None"}


def find(source: Source) -> Iterator[Finding]:
    for function in source.functions:
        if not is_stub(function) and not is_abstract(function):
            yield from missing_return(source, function)
            yield from endless(source, function)
    for block in every_block(source):
        yield from unreachable(source, block)


def is_abstract(function: Function) -> bool:
    return any("abstract" in written(item) or "overload" in written(item) for item in function.decorator_list)


def missing_return(source: Source, function: Function) -> Iterator[Finding]:
    if (
        is_generator(function)
        or terminates(function.body)
        or function.name == "__init__"
        or is_exhaustive(function.body[-1])
        or gives_up(source, function)
    ):
        return
    given = [node for node in own_nodes(function) if isinstance(node, ast.Return) and is_value(node.value)]
    bare = [node for node in own_nodes(function) if isinstance(node, ast.Return) and node.value is None]
    if promises(function) and not given:
        yield missing(
            function,
            f"`{function.name}()` promises `{written(function.returns)}` but never returns a value",
            "return the result",
        )
    elif given and promises(function):
        yield missing(
            function,
            f"`{function.name}()` promises `{written(function.returns)}` but runs off its end without a return on "
            "some paths",
            "return a value on every path",
        )
    elif given and not bare and computes(function) and function.returns is None:
        yield missing(
            function,
            f"`{function.name}()` returns a value on some paths and None on others, where it runs off its end",
            "return a value on every path",
            "warning",
        )
    elif given and not bare and says_yes_only(function, given):
        yield missing(
            function,
            f"`{function.name}()` answers `{written(given[0].value)}` on some paths and None, rather than the "
            "opposite, on others",
            "return the opposite at the end",
            "warning",
        )
    elif not given and not bare and function.returns is None and (use := used_result(source, function)):
        yield missing(
            function,
            f"`{function.name}()` returns nothing, but line {use.lineno} uses its result in `{short(use, source)}`",
            "return the result",
        )


def gives_up(source: Source, function: Function) -> bool:
    """A call on a line of its own that never comes back: by its annotation in this file, or by its name."""
    never = {
        other.name for other in source.functions if written(other.returns).strip("'\"").endswith(("NoReturn", "Never"))
    }
    calls = [
        node.value for node in own_nodes(function) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ]
    names = {written(call.func).rsplit(".", 1)[-1] for call in calls}
    return bool(names & never) or any("raise" in name.lower() for name in names)


def is_exhaustive(statement: ast.stmt) -> bool:
    """A match, or an if-chain of several arms over one value, whose arms all return: it may well cover every case."""
    if isinstance(statement, ast.Match):
        return all(terminates(case.body) for case in statement.cases)
    if isinstance(statement, ast.Try | ast.With | ast.AsyncWith):
        return any(is_exhaustive(block[-1]) for block in blocks(statement))
    if not isinstance(statement, ast.If) or not statement.orelse:
        return False
    arms = list(arms_of(statement))
    return all(terminates(arm) for arm in arms)


def missing(function: Function, message: str, suggestion: str, severity: str = "error") -> Finding:
    return told(function, "missing-return", message, suggestion, severity)


def is_value(node: ast.expr | None) -> bool:
    return node is not None and not (isinstance(node, ast.Constant) and node.value is None)


def promises(function: Function) -> bool:
    """An annotation that None does not satisfy."""
    text = written(function.returns).strip("'\"")
    return (
        text not in nothing
        and "None" not in text
        and "Optional" not in text
        and not text.endswith(("Any", "TypeGuard", "NoReturn", "Never"))
    )


def computes(function: Function) -> bool:
    """The kind of function whose value is the point: its last statement is an if-chain of returns, all but one."""
    last = function.body[-1]
    if not isinstance(last, ast.If) or not last.orelse:
        return False
    arms = list(arms_of(last))
    returning = [arm for arm in arms if terminates(arm)]
    silent = [arm for arm in arms if not terminates(arm)]
    return len(returning) >= 1 and len(silent) == 1 and only_assigns(silent[0])


def says_yes_only(function: Function, given: list[ast.Return]) -> bool:
    """A question by its name, all of whose answers are the same bool, and that runs off its end otherwise."""
    asks = function.name.lstrip("_").startswith(("is_", "has_", "can_", "should_", "are_", "contains", "exists"))
    answers = {
        node.value.value
        for node in given
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, bool)
    }
    return asks and len(answers) == 1 and all(isinstance(node.value, ast.Constant) for node in given)


def arms_of(node: ast.If) -> Iterator[list[ast.stmt]]:
    yield node.body
    if len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
        yield from arms_of(node.orelse[0])
    elif node.orelse:
        yield node.orelse


def only_assigns(arm: list[ast.stmt]) -> bool:
    """An arm that only works out a local value or names one, and then forgets to return it."""
    last = arm[-1]
    if isinstance(last, ast.Assign):
        return all(isinstance(target, ast.Name) for target in last.targets)
    return isinstance(last, ast.Expr) and not isinstance(last.value, ast.Call | ast.Await | ast.Constant)


def used_result(source: Source, function: Function) -> ast.Call | None:
    """A call of this function in the same file whose value is assigned, returned, compared or passed on."""
    if function.decorator_list or is_overridden(source, function) or has_duplicates(source, function):
        return None
    owner = source.class_of(function)
    if owner is None and source.function_of(function) is not None:
        return None
    for call in source.calls:
        same = dotted(call.func) == (f"self.{function.name}" if owner else function.name)
        if (
            same
            and consumed(source, call, isinstance(function, ast.AsyncFunctionDef))
            and (owner is None or inside(source, call, owner))
        ):
            return call
    return None


def is_overridden(source: Source, function: Function) -> bool:
    owner = source.class_of(function)
    return owner is not None and any(
        isinstance(base, ast.Name) and base.id == owner.name for other in source.classes for base in other.bases
    )


def has_duplicates(source: Source, function: Function) -> bool:
    return sum(other.name == function.name for other in source.functions) > 1


def inside(source: Source, node: ast.AST, owner: ast.ClassDef) -> bool:
    return any(above is owner for above in source.ancestors(node))


def consumed(source: Source, call: ast.Call, is_async: bool) -> bool:
    above = source.parent(call)
    if is_async:
        if not isinstance(above, ast.Await):
            return False
        above = source.parent(above)
    return isinstance(
        above,
        ast.Assign
        | ast.AnnAssign
        | ast.AugAssign
        | ast.BinOp
        | ast.Compare
        | ast.For
        | ast.comprehension
        | ast.Subscript
        | ast.Attribute
        | ast.FormattedValue,
    ) or (isinstance(above, ast.Call) and call in above.args)


def short(node: ast.AST, source: Source) -> str:
    text = source.lines[getattr(node, "lineno", 1) - 1].strip()
    return text if len(text) <= 60 else text[:57] + "…"


def unreachable(source: Source, block: list[ast.stmt]) -> Iterator[Finding]:
    for earlier, later in itertools.pairwise(block):
        if (
            leaves(earlier)
            and not is_marker(later)
            and not any(isinstance(node, ast.Expr) and leaves(node) for node in ast.walk(earlier))
            and not isinstance(earlier, ast.Expr | ast.With | ast.AsyncWith | ast.Assert)
        ):
            word = type(earlier).__name__.lower()
            yield told(
                later,
                "unreachable-code",
                f"`{short(later, source)}` in {source.place(later)} is never reached: the `{word}` on line "
                f"{earlier.lineno} always leaves before it",
                "remove it, or move it before",
                "warning",
            )
            return


def is_marker(statement: ast.stmt) -> bool:
    """A `yield` after return makes a generator, an assert or raise after an exit soothes a type checker."""
    has_yield = any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(statement))
    return (
        has_yield
        or isinstance(statement, ast.Assert | ast.Pass)
        or (isinstance(statement, ast.Raise) and written(statement.exc).startswith("AssertionError"))
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
    )


def endless(source: Source, function: Function) -> Iterator[Finding]:
    """A function that calls itself before anything could have stopped it."""
    owner = source.class_of(function)
    kinds = [written(item) for item in function.decorator_list]
    if owner is not None and any(kind.endswith(("property", ".getter")) for kind in kinds):
        for node in own_nodes(function):
            if isinstance(node, ast.Return) and written(node.value) == f"self.{function.name}":
                yield told(
                    node,
                    "endless-recursion",
                    f"the property `{owner.name}.{function.name}` returns itself: RecursionError",
                    f"return `self._{function.name}`",
                )
        return
    if kinds:
        return
    own = f"self.{function.name}" if owner else function.name
    for statement in function.body:
        call = first_call(statement, own)
        if call is not None and not shadows(function, own):
            yield told(
                call,
                "endless-recursion",
                f"`{function.name}()` calls itself on every path and nothing ends it: RecursionError",
                "return without the call for the smallest case, before it",
            )
            return
        if may_leave(statement):
            return


def shadows(function: Function, own: str) -> bool:
    """The name means something else inside the function: a parameter, a local, an import or an inner function."""
    local = set(bound_names(own_nodes(function))) | {arg.arg for arg in parameters(function)}
    return own in local


def first_call(statement: ast.stmt, own: str) -> ast.Call | None:
    """A call that is made whenever the statement runs: not under an if, a loop, `and`, `or` or in a lambda."""
    stack: list[ast.AST] = [statement]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Call) and dotted(node.func) == own:
            return node
        if isinstance(node, ast.If | ast.IfExp | ast.While):
            stack.append(node.test)
        elif isinstance(node, ast.For):
            stack.append(node.iter)
        elif isinstance(node, ast.BoolOp):
            stack.append(node.values[0])
        elif not isinstance(node, conditional):
            stack.extend(ast.iter_child_nodes(node))
    return None


def may_leave(statement: ast.stmt) -> bool:
    return any(
        isinstance(node, ast.Return | ast.Raise | ast.Yield | ast.YieldFrom | ast.Await) for node in ast.walk(statement)
    )
