"""Comparisons and conditions that cannot mean what they say."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from .facts import is_length, literal_size, none_test
from .source import Finding, Source, is_in_query, is_none, own_nodes, told, written


def find(source: Source) -> Iterator[Finding]:
    for node in source.nodes:
        match node:
            case ast.Compare():
                yield from compared(source, node)
            case ast.BoolOp():
                yield from combined(source, node)
            case ast.If():
                yield from chained(source, node)
            case ast.Assert(test=ast.Tuple(elts=[_, *_])):
                yield told(
                    node,
                    "assert-on-tuple",
                    f"`{written(node)}` in {source.place(node)} can never fail: a tuple is always true",
                    "remove the parentheses",
                )
            case (
                ast.Attribute(value=ast.Name() | ast.Attribute() as owner, ctx=ast.Load())
                | ast.Subscript(value=ast.Name() | ast.Attribute() as owner)
            ):
                yield from used_as_none(source, node, owner)


def compared(source: Source, node: ast.Compare) -> Iterator[Finding]:
    for left, op, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
        sign = "==" if isinstance(op, ast.Eq | ast.Is) else "!="
        if isinstance(op, ast.Is | ast.IsNot) and (is_value(left) or is_value(right)):
            message = (
                f"`{written(node)}` in {source.place(node)} compares identity with a literal: equal values may be "
                "different objects"
            )
            yield told(node, "is-literal", message, f"use `{written(left)} {sign} {written(right)}`")
        elif isinstance(op, ast.Eq | ast.NotEq) and (is_none(left) or is_none(right)):
            if is_in_query(source, node):
                return
            message = (
                f"`{written(node)}` in {source.place(node)} compares with None by `{sign}`, which a class may redefine"
            )
            yield told(
                node, "none-comparison", message, "use `is None`" if sign == "==" else "use `is not None`", "warning"
            )
        elif isinstance(op, ast.Eq | ast.NotEq) and (
            is_fraction(left) or is_fraction(right) or is_float_sum(left) or is_float_sum(right)
        ):
            message = (
                f"`{written(node)}` in {source.place(node)} compares floats for exact equality, which rounding breaks"
            )
            yield told(node, "float-equality", message, "use `math.isclose()`", "warning")
        elif is_impossible_length(left, op, right):
            message = (
                f"`{written(node)}` in {source.place(node)} always has the same answer: a length is never negative"
            )
            yield told(node, "constant-condition", message, "compare with the length that was meant")


def is_value(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        return is_value(node.operand)
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float | str | bytes | complex) and not isinstance(node.value, bool)
    return isinstance(node, ast.List | ast.Dict | ast.Set | ast.Tuple)


def is_fraction(node: ast.expr) -> bool:
    """A float literal that binary cannot hold exactly; halves and whole numbers are safe to compare."""
    return isinstance(node, ast.Constant) and isinstance(node.value, float) and not (node.value * 64).is_integer()


def is_float_sum(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and any(is_fraction(side) for side in (node.left, node.right))


def is_impossible_length(left: ast.expr, op: ast.cmpop, right: ast.expr) -> bool:
    size = literal_size(right)
    return (
        is_length(left)
        and size is not None
        and isinstance(right, ast.Constant | ast.UnaryOp)
        and (
            (isinstance(op, ast.Lt | ast.GtE) and size <= 0) or (isinstance(op, ast.LtE | ast.Gt | ast.Eq) and size < 0)
        )
    )


def combined(source: Source, node: ast.BoolOp) -> Iterator[Finding]:
    constant = next(
        (value for value in node.values[1:] if isinstance(value, ast.Constant) and is_value(value) and value.value),
        None,
    )
    first = node.values[0]
    if (
        constant
        and isinstance(node.op, ast.Or)
        and isinstance(first, ast.Compare)
        and isinstance(first.ops[0], ast.Eq)
        and is_test(source, node)
    ):
        message = (
            f"`{written(node)}` in {source.place(node)} is always true: `{written(constant)}` stands alone after `or`"
        )
        yield told(
            node,
            "always-true",
            message,
            f"use `{written(first.left)} in ({written(first.comparators[0])}, {written(constant)})`",
        )
    elif isinstance(node.op, ast.And) and (clash := contradiction(node.values)):
        message = f"`{written(node)}` in {source.place(node)} can never be true: {clash}"
        yield told(node, "always-false", message, "correct a bound, or use `or`")
    elif isinstance(node.op, ast.Or) and is_tautology(node.values):
        message = (
            f"`{written(node)}` in {source.place(node)} is always true: a value differs from at least one of the two"
        )
        yield told(node, "always-true", message, "use `and`, or `not in (…)`")
    else:
        yield from repeated(source, node)


def is_test(source: Source, node: ast.AST) -> bool:
    above = source.parent(node)
    return isinstance(above, ast.If | ast.While | ast.IfExp | ast.Assert | ast.UnaryOp | ast.BoolOp | ast.comprehension)


def contradiction(values: list[ast.expr]) -> str:
    for first, second in pairwise(values):
        match first, second:
            case ast.Compare(left=a, ops=[ast.Eq()], comparators=[ast.Constant(value=x)]), ast.Compare(
                left=b, ops=[ast.Eq()], comparators=[ast.Constant(value=y)]
            ):
                if written(a) == written(b) and x != y:
                    return f"`{written(a)}` cannot equal both"
            case ast.Compare(left=a, ops=[ast.Lt() | ast.LtE()], comparators=[low]), ast.Compare(
                left=b, ops=[ast.Gt() | ast.GtE()], comparators=[high]
            ):
                if written(a) == written(b) and is_below(low, high):
                    return f"`{written(a)}` cannot be below `{written(low)}` and above `{written(high)}`"
            case ast.Compare(left=a, ops=[ast.Gt() | ast.GtE()], comparators=[high]), ast.Compare(
                left=b, ops=[ast.Lt() | ast.LtE()], comparators=[low]
            ):
                if written(a) == written(b) and is_below(low, high):
                    return f"`{written(a)}` cannot be above `{written(high)}` and below `{written(low)}`"
    return ""


def is_below(low: ast.expr, high: ast.expr) -> bool:
    below, above = literal_size(low), literal_size(high)
    return below is not None and above is not None and below < above


def is_tautology(values: list[ast.expr]) -> bool:
    for first, second in pairwise(values):
        match first, second:
            case ast.Compare(left=a, ops=[ast.NotEq()], comparators=[ast.Constant(value=x)]), ast.Compare(
                left=b, ops=[ast.NotEq()], comparators=[ast.Constant(value=y)]
            ):
                if written(a) == written(b) and x != y:
                    return True
    return False


def repeated(source: Source, node: ast.BoolOp) -> Iterator[Finding]:
    texts = [written(value) for value in node.values]
    twice = next((text for text in texts if texts.count(text) > 1 and "(" not in text), None)
    if twice:
        message = (
            f"`{twice}` stands twice in `{written(node)}` in {source.place(node)}: one of them was meant to be "
            "something else"
        )
        yield told(node, "repeated-condition", message, "test the other value", "warning")


def chained(source: Source, node: ast.If) -> Iterator[Finding]:
    """An elif whose test can no longer be true, because an earlier one took all its cases."""
    above = source.parent(node)
    if isinstance(above, ast.If) and above.orelse == [node]:
        return
    earlier: list[ast.expr] = []
    link: ast.stmt | None = node
    while isinstance(link, ast.If):
        cover = next((test for test in earlier if covers(test, link.test)), None)
        if cover is not None:
            message = (
                f"`{written(link.test)}` in {source.place(node)} is never reached: `{written(cover)}` on line "
                f"{cover.lineno} already took those cases"
            )
            yield told(link, "unreachable-branch", message, "test the narrower case first")
        earlier.append(link.test)
        link = link.orelse[0] if len(link.orelse) == 1 else None


def covers(first: ast.expr, later: ast.expr) -> bool:
    if written(first) == written(later):
        return not any(isinstance(part, ast.Call | ast.NamedExpr | ast.Await) for part in ast.walk(first))
    match first, later:
        case ast.Compare(left=a, ops=[op], comparators=[bound]), ast.Compare(
            left=b, ops=[other], comparators=[limit]
        ) if written(a) == written(b):
            x, y = literal_size(bound), literal_size(limit)
            if x is None or y is None:
                return False
            if isinstance(op, ast.Gt | ast.GtE) and isinstance(other, ast.Gt | ast.GtE):
                return y > x or (y == x and isinstance(op, ast.GtE))
            if isinstance(op, ast.Lt | ast.LtE) and isinstance(other, ast.Lt | ast.LtE):
                return y < x or (y == x and isinstance(op, ast.LtE))
    return False


def used_as_none(source: Source, node: ast.Attribute | ast.Subscript, owner: ast.expr) -> Iterator[Finding]:
    if isinstance(node, ast.Attribute) and (node.attr.startswith("__") or source.function_of(node) is None):
        return
    test = none_test(source, node, written(owner))
    if test is not None and not is_rebound_between(source, test, node, owner):
        yield told(
            test,
            "inverted-guard",
            f"`{written(test)}` in {source.place(node)} is the wrong way round: line {node.lineno} uses "
            f"`{written(node)}` "
            f"exactly when `{written(owner)}` is None",
            "negate the test",
        )


def is_rebound_between(source: Source, test: ast.expr, node: ast.AST, owner: ast.expr) -> bool:
    function = source.function_of(node)
    if function is None:
        return True
    first, last = test.lineno, getattr(node, "lineno", 0)
    if isinstance(owner, ast.Attribute) and any(
        isinstance(part, ast.Call)
        and first < part.lineno <= last
        and written(part.func).startswith(written(owner.value))
        for part in own_nodes(function)
    ):
        return True
    return any(
        written(part) == written(owner)
        and isinstance(getattr(part, "ctx", None), ast.Store)
        and first <= getattr(part, "lineno", 0) <= last
        for part in own_nodes(function)
    )
