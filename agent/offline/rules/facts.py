"""What is known about an expression where it is used: the guards that hold there.

A fact is about emptiness: `full` (true, non-empty, non-zero), `empty` (the opposite) or `mentioned` (some test talks
about it in a way that is not followed further, so a rule had better stay silent). `None` is tracked apart.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from .source import Source, binding_targets, bound_names, scopes, terminates, type_of_function, written

FULL, EMPTY, MENTIONED, UNKNOWN = "full", "empty", "mentioned", "unknown"
NONE, SOMETHING = "none", "something"


@dataclass(frozen=True)
class Condition:
    """A test that is known to have come out `truth` where we stand; `changed`: names bound again since."""

    test: ast.expr
    truth: bool
    changed: frozenset[str]


@dataclass(frozen=True)
class Fact:
    key: str
    state: str
    test: ast.expr


def conditions(source: Source, node: ast.AST) -> Iterator[Condition]:
    """Tests known to hold (or not) at a node, nearest first, up to its function."""
    changed: set[str] = set()
    child = node
    for above in source.ancestors(node):
        if isinstance(child, ast.stmt):
            yield from before(above, child, changed)
        for test, truth in opened_by(above, child):
            yield Condition(test, truth, frozenset(changed))
        if isinstance(above, ast.For | ast.AsyncFor):
            changed |= set(bound_names(ast.walk(above.target)))
        if isinstance(above, scopes):
            return
        child = above


def before(above: ast.AST, child: ast.stmt, changed: set[str]) -> Iterator[Condition]:
    """Conditions left behind by the statements before `child` in its block; `changed` grows as we go up."""
    for earlier in preceding(above, child):
        match earlier:
            case ast.If(test=test, body=body, orelse=orelse):
                if terminates(body) and not terminates(orelse):
                    yield Condition(test, False, frozenset(changed))
                elif orelse and terminates(orelse):
                    yield Condition(test, True, frozenset(changed))
            case ast.Assert(test=test):
                yield Condition(test, True, frozenset(changed))
            case ast.While(test=test):
                yield Condition(test, False, frozenset(changed | set(bound_names(ast.walk(earlier)))))
        changed |= set(bound_names(ast.walk(earlier)))


def preceding(above: ast.AST, child: ast.stmt) -> list[ast.stmt]:
    for field in ("body", "orelse", "finalbody"):
        block = getattr(above, field, None)
        if isinstance(block, list) and child in block:
            return list(reversed(block[: block.index(child)]))
    return []


def opened_by(above: ast.AST, child: ast.AST) -> list[tuple[ast.expr, bool]]:
    """The tests that an enclosing construct puts in front of one of its parts."""
    match above:
        case ast.If(test=test, body=body, orelse=orelse) | ast.While(test=test, body=body, orelse=orelse):
            return [(test, True)] if child in body else [(test, False)] if child in orelse else []
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return [(test, True)] if child is body else [(test, False)] if child is orelse else []
        case ast.BoolOp(op=op, values=values) if child in values:
            earlier = values[: values.index(child)]
            return [(value, isinstance(op, ast.And)) for value in earlier]
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            if not isinstance(child, ast.comprehension):
                return [(test, True) for generator in above.generators for test in generator.ifs]
    return []


def facts(condition: Condition) -> Iterator[Fact]:
    """What a condition says about keys whose names were not bound again since."""
    for fact in implied(condition.test, condition.truth):
        if not names_of(fact.key) & condition.changed:
            yield fact


def implied(test: ast.expr, truth: bool) -> Iterator[Fact]:
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield from implied(operand, not truth)
        case ast.BoolOp(op=op, values=values):
            if isinstance(op, ast.And) == truth:
                for value in values:
                    yield from implied(value, truth)
            else:
                yield from mentions(test)
        case ast.NamedExpr(target=target, value=value):
            yield Fact(target.id, FULL if truth else EMPTY, test)
            yield from implied(value, truth)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            yield from compared(left, op, right, truth, test)
        case ast.Call(func=ast.Name(id="isinstance" | "callable" | "hasattr")):
            return
        case ast.Name() | ast.Attribute() | ast.Subscript():
            yield Fact(key_of(test), FULL if truth else EMPTY, test)
        case ast.Call(func=ast.Name(id="len" | "bool" | "any"), args=[argument]):
            yield Fact(key_of(argument), FULL if truth else EMPTY, test)
        case _:
            yield from mentions(test)


def compared(left: ast.expr, op: ast.cmpop, right: ast.expr, truth: bool, test: ast.expr) -> Iterator[Fact]:
    if isinstance(op, ast.In | ast.NotIn):
        yield from mentions(test)
        return
    if isinstance(left, ast.Constant) and not isinstance(right, ast.Constant):
        left, right, op = right, left, mirrored(op)
    if isinstance(right, ast.Constant) and right.value is None:
        same = isinstance(op, ast.Is | ast.Eq) == truth
        yield Fact(key_of(left), NONE if same else SOMETHING, test)
        return
    bound = literal_size(right)
    state = None if bound is None else compared_state(op if truth else negated(op), bound, is_length(left))
    if state:
        yield Fact(key_of(left), state, test)
    else:
        yield from mentions(test)


def compared_state(op: ast.cmpop, bound: float, length: bool) -> str | None:
    """What `x op bound` says about x being zero; for a length, below one means zero."""
    match op:
        case ast.Eq():
            return EMPTY if bound == 0 else FULL
        case ast.NotEq():
            return FULL if bound == 0 else MENTIONED
        case ast.Gt():
            return FULL if bound >= 0 else MENTIONED
        case ast.GtE():
            return FULL if bound > 0 else MENTIONED
        case ast.Lt():
            return EMPTY if length and bound <= 1 else FULL if bound <= 0 else MENTIONED
        case ast.LtE():
            return EMPTY if length and bound < 1 else FULL if bound < 0 else MENTIONED
    return None


def negated(op: ast.cmpop) -> ast.cmpop:
    pairs: dict[type[ast.cmpop], type[ast.cmpop]] = {
        ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt,
    }  # fmt: skip
    return pairs.get(type(op), type(op))()


def mirrored(op: ast.cmpop) -> ast.cmpop:
    pairs: dict[type[ast.cmpop], type[ast.cmpop]] = {
        ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE,
    }  # fmt: skip
    return pairs.get(type(op), type(op))()


def literal_size(node: ast.expr) -> float | None:
    match node:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Constant(value="" | b"") | ast.List(elts=[]) | ast.Tuple(elts=[]) | ast.Dict(keys=[]):
            return 0
    return None


def mentions(test: ast.expr) -> Iterator[Fact]:
    for node in ast.walk(test):
        if isinstance(node, ast.Name | ast.Attribute):
            yield Fact(key_of(node), MENTIONED, test)


def key_of(node: ast.AST) -> str:
    """The text of an expression, with what only asks for its size taken off: `len(x)` and `bool(x)` are about `x`."""
    match node:
        case ast.Call(func=ast.Name(id="len" | "bool" | "abs" | "list" | "tuple" | "set"), args=[argument]):
            return key_of(argument)
        case ast.NamedExpr(target=target):
            return target.id
        case ast.BinOp(left=left, right=ast.Constant()):
            return key_of(left)
    return written(node)


def is_length(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len"


def names_of(key: str) -> set[str]:
    return set(key.replace(".", " ").replace("[", " ").replace("(", " ").split()[:1])


def state_of(source: Source, node: ast.AST, keys: set[str], walked: set[str] | None = None) -> Fact:
    """The strongest fact about any of these keys at a node: full, else empty, else mentioned, else unknown.

    `walked`: the keys for which a loop around the node is proof enough (all, unless said otherwise).
    """
    known = [fact for condition in conditions(source, node) for fact in facts(condition) if fact.key in keys]
    for state in (FULL, EMPTY, MENTIONED):
        for fact in known:
            if fact.state == state:
                return fact
    if walked_over(source, node, keys if walked is None else walked) or settled_before(source, node, keys):
        return Fact("", MENTIONED, ast.Constant(None))
    return Fact("", UNKNOWN, ast.Constant(None))


def none_test(source: Source, node: ast.AST, key: str) -> ast.expr | None:
    """The test after which `key` is None for certain at a node, or None."""
    for condition in conditions(source, node):
        for fact in facts(condition):
            if fact.key == key and fact.state in (NONE, SOMETHING, FULL):
                return fact.test if fact.state == NONE else None
    return None


def walked_over(source: Source, node: ast.AST, keys: set[str]) -> bool:
    """Inside a loop over something it cannot be empty."""
    child = node
    for above in source.ancestors(node):
        if isinstance(above, ast.For | ast.AsyncFor) and child in above.body and touches(above.iter, keys):
            return True
        if isinstance(above, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
            loops = above.generators
            if not isinstance(child, ast.comprehension) and any(touches(loop.iter, keys) for loop in loops):
                return True
        if isinstance(above, type_of_function):
            return False
        child = above
    return False


def touches(node: ast.AST, keys: set[str]) -> bool:
    return any(
        written(inner) in keys for inner in ast.walk(node) if isinstance(inner, ast.Name | ast.Attribute | ast.Call)
    )


def settled_before(source: Source, node: ast.AST, keys: set[str]) -> bool:
    """An earlier statement gave the value a floor or a substitute: `if not x: x = 1`, `x = x or 1`."""
    child = node
    for above in source.ancestors(node):
        if isinstance(child, ast.stmt) and any(settles(earlier, keys) for earlier in preceding(above, child)):
            return True
        if isinstance(above, type_of_function):
            return False
        child = above
    return False


def settles(statement: ast.stmt, keys: set[str]) -> bool:
    match statement:
        case ast.If(test=test) | ast.While(test=test) if touches(test, keys):
            return not only_asks_type(test)
        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
            bound = {written(target) for target in binding_targets(statement)}
            targets = bound | {written(t) for t in getattr(statement, "targets", []) if isinstance(t, ast.Attribute)}
            return bool(targets & keys) and has_floor(value)
    return False


def only_asks_type(test: ast.expr) -> bool:
    return all(fact.state in (NONE, SOMETHING) for fact in implied(test, True))


def has_floor(value: ast.expr) -> bool:
    match value:
        case ast.BoolOp(op=ast.Or(), values=[*_, ast.Constant(value=last)]):
            return bool(last)
        case ast.BoolOp() | ast.IfExp():
            return True
        case ast.Call(func=ast.Name(id="max"), args=[_, _, *_]):
            return True
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return any(isinstance(side, ast.Constant) and bool(side.value) for side in (left, right))
    return False


def caught(source: Source, node: ast.AST) -> set[str]:
    """Names of the exceptions that the try-blocks and `suppress` around a node catch; a bare except catches `*`."""
    names: set[str] = set()
    child = node
    for above in source.ancestors(node):
        if isinstance(above, ast.Try) and child in above.body:
            for handler in above.handlers:
                names |= exception_names(handler.type) if handler.type else {"*"}
        if isinstance(above, ast.With):
            for item in above.items:
                names |= set(re.findall(r"\w+", written(item.context_expr)))
        if isinstance(above, type_of_function):
            break
        child = above
    return names


def exception_names(node: ast.expr) -> set[str]:
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    return {written(part).rsplit(".", 1)[-1] for part in parts}
