"""Division by something that may be zero: a parameter, a length, a sum or a counter that nothing checks first."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .facts import EMPTY, UNKNOWN, Fact, caught, key_of, state_of
from .source import Finding, Function, Source, assignments, is_stub, only_value, own_nodes, parameter, told, written

rule = "division-by-zero"
numbers = {"int", "float", "complex", "Decimal", "Fraction", "Number", "Real", "Integral", "decimal.Decimal"}
divisions = (ast.Div, ast.FloorDiv, ast.Mod)


def find(source: Source) -> Iterator[Finding]:
    said: set[tuple[Function | None, str]] = set()
    for finding, key in suspicions(source):
        if key not in said:
            said.add(key)
            yield finding


def suspicions(source: Source) -> Iterator[tuple[Finding, tuple[Function | None, str]]]:
    """Every suspect division, with the function and divisor it is about: one word on each is enough."""
    for node, left, divisor in divided(source):
        function = source.function_of(node)
        if is_zero(divisor):
            yield (
                told(node, rule, f"`{written(node)}` divides by zero", "divide by something else"),
                (function, written(node)),
            )
        elif (
            function is None
            or is_text(left, function)
            or protected(source, node)
            or is_documented(function)
            or is_formatting(node, divisor, function)
            or may_be_array(source, divisor, function)
        ):
            continue
        elif finding := suspicion(source, node, divisor, function):
            yield finding, (function, written(divisor))


def divided(source: Source) -> Iterator[tuple[ast.AST, ast.expr, ast.expr]]:
    """Every division in the file as (node, dividend, divisor)."""
    for node in source.nodes:
        match node:
            case ast.BinOp(op=op, left=left, right=right) if isinstance(op, divisions):
                yield node, left, right
            case ast.AugAssign(op=op, target=target, value=value) if isinstance(op, divisions):
                yield node, target, value
            case ast.Call(func=ast.Name(id="divmod"), args=[left, right]):
                yield node, left, right


def suspicion(source: Source, node: ast.AST, divisor: ast.expr, function: Function) -> Finding | None:
    origin = origin_of(divisor, function)
    if isinstance(origin, ast.Name) and source.function_of(function) is not None:
        return None
    reason = zero_when(source, origin, function)
    if reason is None:
        return None
    keys = {key_of(divisor), key_of(origin), *inner_keys(origin)} - {""}
    totals = isinstance(origin, ast.Call) and written(origin.func) == "sum"  # a loop says nothing about a sum
    fact = state_of(source, node, keys, {key_of(divisor)} if totals else None)
    if fact.state == EMPTY:
        return inverted(node, divisor, fact, function)
    if fact.state != UNKNOWN:
        return None
    what = written(node.value) if isinstance(node, ast.AugAssign) else written(divisor)
    return told(
        node,
        rule,
        f"`{function.name}()` divides by `{what}`, which is zero {reason}: ZeroDivisionError",
        f"check `{what}` before dividing, and return or raise what an empty input should give",
    )


def inverted(node: ast.AST, divisor: ast.expr, fact: Fact, function: Function) -> Finding:
    line = fact.test.lineno
    return told(
        fact.test,
        "inverted-guard",
        f"`{written(fact.test)}` is the wrong way round in `{function.name}()`: line "
        f"{getattr(node, 'lineno', line)} divides by "
        f"`{written(divisor)}` exactly when it is zero",
        "negate the test",
    )


def may_be_array(source: Source, divisor: ast.expr, function: Function) -> bool:
    """Arrays give inf where numbers raise: in a file that uses them only what is annotated or counted is a number."""
    if not source.imported_names & {"np", "numpy", "pd", "pandas", "pl", "polars", "torch", "jax", "jnp", "tf", "xr"}:
        return False
    origin = origin_of(divisor, function)
    names = [part.id for part in ast.walk(origin) if isinstance(part, ast.Name)]
    known = [arg for name in names if (arg := parameter(function, name)) and written(arg.annotation) in numbers]
    return "len(" not in written(origin) and not known


def is_zero(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float) and node.value == 0


def is_text(left: ast.expr, function: Function) -> bool:
    """Whether the left side is a string to format or a path to join rather than a number to divide."""
    if isinstance(left, ast.JoinedStr | ast.Constant) and not isinstance(getattr(left, "value", 0), int | float):
        return True
    text = written(left).lower()
    words = (
        "path", "dir", "root", "folder", "base", "home", "cwd", "here", "template", "fmt", "format", "msg", "message",
    )  # fmt: skip
    if any(word in text for word in words) and not isinstance(left, ast.BinOp):
        return True
    if isinstance(left, ast.Name):
        value = only_value(function, left.id)
        return value is not None and value is not left and is_text_value(value)
    return False


def is_documented(function: Function) -> bool:
    """The docstring already tells the caller about zero or empty input."""
    text = (ast.get_docstring(function) or "").lower()
    return any(word in text for word in ("zero", "empty", "positive", "at least one"))


def is_formatting(node: ast.AST, divisor: ast.expr, function: Function) -> bool:
    """`%` with a right side that is not known to be a number is as likely to format a string."""
    if not isinstance(getattr(node, "op", None), ast.Mod) or not isinstance(divisor, ast.Name):
        return False
    arg = parameter(function, divisor.id)
    return arg is not None and arg.annotation is None


def is_text_value(value: ast.expr) -> bool:
    return isinstance(value, ast.JoinedStr) or (isinstance(value, ast.Constant) and isinstance(value.value, str))


def protected(source: Source, node: ast.AST) -> bool:
    return bool(caught(source, node) & {"*", "ZeroDivisionError", "ArithmeticError", "Exception", "BaseException"})


def origin_of(divisor: ast.expr, function: Function) -> ast.expr:
    """What a divisor stands for: the one expression a local name was bound to, else itself."""
    while isinstance(divisor, ast.Call) and written(divisor.func) in ("float", "int", "abs") and divisor.args:
        divisor = divisor.args[0]
    if isinstance(divisor, ast.Name):
        value = only_value(function, divisor.id)
        if value is not None and not isinstance(value, ast.Name):
            return value
    return divisor


def inner_keys(origin: ast.expr) -> set[str]:
    if isinstance(origin, ast.Call):
        return {key_of(argument) for argument in origin.args}
    if isinstance(origin, ast.BinOp):
        return {key_of(origin.left), key_of(origin.right)}
    return set()


def zero_when(source: Source, origin: ast.expr, function: Function) -> str | None:
    """In words, when the divisor is zero; None where nothing says that it may be."""
    match origin:
        case ast.Call(func=ast.Name(id="len" | "sum" as taker), args=[argument, *_]):
            if may_be_empty(source, argument, function):
                return f"when `{written(argument)}` is empty" + (" or sums to nothing" if taker == "sum" else "")
        case ast.Call(func=ast.Attribute(attr="get"), args=[_, ast.Constant(value=0)]):
            return "when the key is missing"
        case ast.Call(func=ast.Attribute(attr="count", value=receiver), args=[_]):
            return f"when `{written(receiver)}` has none of it" if parameter(function, written(receiver)) else None
        case ast.BinOp(op=ast.Sub(), left=left, right=ast.Constant(value=1)):
            if (
                isinstance(left, ast.Call)
                and written(left.func) == "len"
                and may_be_empty(source, left.args[0], function)
            ):
                return f"when `{written(left.args[0])}` has one element"
        case ast.BinOp(op=ast.Sub(), left=ast.Name(id=high), right=ast.Name(id=low)):
            if is_numeric(function, high) and is_numeric(function, low):
                return f"when `{high}` equals `{low}`"
        case ast.BinOp(op=ast.Add(), left=ast.Attribute() as first, right=ast.Attribute() as second):
            empty = all(starts_at_zero(source, function, written(part)) for part in (first, second))
            return "until something was counted" if empty else None
        case ast.Name(id=name) if is_counter(function, name):
            return "when the loop never counts anything"
        case ast.Name(id=name) if is_numeric(function, name):
            return "when the caller passes 0"
        case ast.Attribute(value=ast.Name(id="self")):
            return "until something was added" if starts_at_zero(source, function, written(origin)) else None
    return None


def may_be_empty(source: Source, node: ast.expr, function: Function) -> bool:
    match node:
        case ast.Name(id=name):
            if parameter(function, name) is not None:
                # bound again it is no longer the caller's value
                return is_collection(function, name) and not assignments(function, name)
            return is_filtered(function, name)
        case ast.Attribute(value=ast.Name(id="self")):
            return starts_at_zero(source, function, written(node))
        case ast.Call(func=ast.Attribute(attr="values" | "items" | "keys", value=receiver), args=[]):
            return may_be_empty(source, receiver, function)
        case ast.GeneratorExp(generators=[one]) | ast.ListComp(generators=[one]):
            return may_be_empty(source, one.iter, function) or bool(one.ifs)
        case ast.Call(func=ast.Name(id="list" | "set" | "sorted" | "tuple"), args=[inner]):
            return may_be_empty(source, inner, function)
    return False


def is_collection(function: Function, name: str) -> bool:
    arg = parameter(function, name)
    return arg is not None and written(arg.annotation).strip("'\"") not in ("str", "bytes")


def is_filtered(function: Function, name: str) -> bool:
    """A local list that a condition or a loop fills, so that it may stay empty."""
    value = only_value(function, name)
    match value:
        case ast.ListComp(generators=[one]) | ast.SetComp(generators=[one]) | ast.DictComp(generators=[one]):
            return bool(one.ifs) or parameter(function, written(one.iter)) is not None
        case ast.List(elts=[]) | ast.Dict(keys=[]) | ast.Call(func=ast.Name(id="list" | "dict" | "set"), args=[]):
            return grows_only_in_a_branch(function, name)
        case ast.Call(func=ast.Name(id="list" | "sorted" | "set" | "tuple"), args=[ast.Name(id=inner)]):
            return parameter(function, inner) is not None
        case ast.Call(func=ast.Name(id="list"), args=[ast.Call(func=ast.Name(id="filter"))]):
            return True
    return False


def grows_only_in_a_branch(function: Function, name: str) -> bool:
    return not any(
        isinstance(statement, ast.Expr) and written(statement.value).startswith((f"{name}.append(", f"{name}.add("))
        for statement in function.body
    )


def is_counter(function: Function, name: str) -> bool:
    """Starts at zero and is only ever added to inside a loop."""
    bound = assignments(function, name)
    if len(bound) < 2 or not isinstance(bound[0], ast.Assign) or not is_zero(bound[0].value):
        return False
    added = [node for node in bound[1:] if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add)]
    return len(added) == len(bound) - 1 and not any(node in function.body for node in added)


def is_numeric(function: Function, name: str) -> bool:
    """A parameter that is a number by its annotation, or by how the function computes with it."""
    arg = parameter(function, name)
    if arg is None or assignments(function, name) or has_nonzero_default(function, arg):
        return False
    if function.name.startswith("_"):
        return False  # all its callers are at hand, and know what they pass
    if arg.annotation is not None:
        return bool(set(written(arg.annotation).strip("'\"").replace("|", " ").split()) & numbers)
    return not is_stub(function)


def has_nonzero_default(function: Function, arg: ast.arg) -> bool:
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    defaults = dict(zip(reversed(positional), reversed(given.defaults), strict=False))
    keyword = {name: value for name, value in zip(given.kwonlyargs, given.kw_defaults, strict=True) if value}
    default = {**defaults, **keyword}.get(arg)
    return isinstance(default, ast.Constant) and bool(default.value)


def starts_at_zero(source: Source, function: Function, attribute: str) -> bool:
    """`self.x` is set to zero or an empty collection by `__init__` and to nothing else there."""
    owner = source.class_of(function)
    start = (
        next((item for item in owner.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"), None)
        if owner
        else None
    )
    if start is None or start is function:
        return False
    return any(is_empty_start(node, attribute) for node in own_nodes(start))


empty_starts = {"0", "0.0", "[]", "{}", "set()", "list()", "dict()", "deque()"}


def is_empty_start(node: ast.AST, attribute: str) -> bool:
    match node:
        case ast.Assign(targets=[target], value=value) | ast.AnnAssign(target=target, value=ast.expr() as value):
            return written(target) == attribute and written(value) in empty_starts
    return False
