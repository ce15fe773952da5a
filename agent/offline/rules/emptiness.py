"""First element, maximum, minimum or pick of a collection that may be empty and that nothing checks."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .facts import EMPTY, FULL, UNKNOWN, caught, implied, key_of, state_of
from .source import Finding, Function, Source, assignments, is_stub, only_value, own_nodes, parameter, told, written

rule = "empty-collection"
collections = (
    "list", "List", "Sequence", "Iterable", "Collection", "MutableSequence", "deque", "Iterator", "set", "Set",
    "frozenset", "dict", "Dict", "Mapping",
)  # fmt: skip
takers = {
    "max": "ValueError",
    "min": "ValueError",
    "mean": "StatisticsError",
    "median": "StatisticsError",
    "choice": "IndexError",
    "reduce": "TypeError",
}


def find(source: Source) -> Iterator[Finding]:
    said: set[tuple[Function | None, str]] = set()
    for node in source.nodes:
        taken = first_of(node) or whole_of(node)
        function = source.function_of(node)
        if taken is None or function is None or is_stub(function):
            continue
        argument, failure = taken
        if (function, written(argument)) not in said and not caught(source, node) & {
            "*",
            "Exception",
            failure,
            "LookupError",
            "StatisticsError",
        }:
            for finding in judged(source, node, argument, failure, function):
                said.add((function, written(argument)))
                yield finding


def judged(source: Source, node: ast.AST, argument: ast.expr, failure: str, function: Function) -> Iterator[Finding]:
    fact = state_of(source, node, {key_of(argument), *origin_keys(argument, function), *sizes_of(argument, function)})
    if fact.state == EMPTY:
        line = fact.test.lineno
        yield told(
            fact.test,
            "inverted-guard",
            f"`{written(fact.test)}` is the wrong way round in `{function.name}()`: line "
            f"{getattr(node, 'lineno', line)} takes "
            f"`{written(node)}` exactly when `{written(argument)}` is empty ({failure})",
            "negate the test",
        )
    elif (
        fact.state == UNKNOWN and is_known_collection(source, node, argument, function) and not says_non_empty(function)
    ):
        yield told(
            node,
            rule,
            f"`{written(node)}` in `{function.name}()` raises {failure} when `{written(argument)}` is empty, and "
            "nothing checks that",
            f"check `{written(argument)}` first"
            + (", or give `default=`" if written(node).startswith(("max(", "min(")) else ""),
            "warning",
        )


def first_of(node: ast.AST) -> tuple[ast.expr, str] | None:
    match node:
        case ast.Subscript(value=value, slice=ast.Constant(value=0), ctx=ast.Load()):
            return value, "IndexError"
        case ast.Subscript(
            value=value, slice=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1)), ctx=ast.Load()
        ):
            return value, "IndexError"
    return None


def whole_of(node: ast.AST) -> tuple[ast.expr, str] | None:
    match node:
        case ast.Call(func=ast.Name(id="max" | "min" as name), args=[argument], keywords=keywords):
            plain = not isinstance(argument, ast.Starred) and all(keyword.arg != "default" for keyword in keywords)
            return (argument, takers[name]) if plain else None
        case ast.Call(func=ast.Attribute(value=ast.Name(id="random" | "statistics"), attr=name), args=[argument]) if (
            name in takers
        ):
            return argument, takers[name]
        case ast.Call(func=ast.Name(id="next"), args=[ast.Call(func=ast.Name(id="iter"), args=[argument])]):
            return argument, "StopIteration"
    return None


def origin_keys(argument: ast.expr, function: Function) -> set[str]:
    value = only_value(function, argument.id) if isinstance(argument, ast.Name) else None
    if isinstance(value, ast.Call) and value.args:
        return {key_of(value.args[0])}
    inner = argument.args if isinstance(argument, ast.Call) else []
    walked = (
        [loop.iter for loop in argument.generators] if isinstance(argument, ast.GeneratorExp | ast.ListComp) else []
    )
    return {key_of(part) for part in [*inner, *walked]} | {
        key_of(part.func.value)
        for part in walked
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute)
    }


def sizes_of(argument: ast.expr, function: Function) -> set[str]:
    """Local names that hold the size of a collection: a test of one is a test of the other."""
    length = f"len({written(argument)})"
    return {
        written(node.targets[0])
        for node in own_nodes(function)
        if isinstance(node, ast.Assign) and written(node.value) == length
    }


def is_known_collection(source: Source, node: ast.AST, argument: ast.expr, function: Function) -> bool:
    """A parameter annotated as a collection, or a local list that may have been filtered down to nothing."""
    match argument:
        case ast.Name(id=name):
            arg = parameter(function, name)
            if arg is not None:
                usual = (
                    not isinstance(node, ast.Subscript)
                    or starts_a_search(source, node, name)
                    or is_guarded_elsewhere(source, function, name)
                )
                return usual and is_collection_type(arg) and not assignments(function, name) and is_public(function)
            return is_filter(only_value(function, name), function) and not isinstance(source.parent(node), ast.Compare)
        case ast.Call(func=ast.Name(id="sorted" | "list"), args=[ast.Name() as inner]):
            return is_known_collection(source, node, inner, function)
        case (
            ast.GeneratorExp(generators=[ast.comprehension(iter=ast.Name(id=name))])
            | ast.ListComp(generators=[ast.comprehension(iter=ast.Name(id=name))])
        ):
            return parameter(function, name) is not None and is_guarded_elsewhere(source, function, name)
        case ast.Call(func=ast.Attribute(value=ast.Name() as inner, attr="values" | "keys" | "items"), args=[]):
            return is_known_collection(source, node, inner, function)
    return False


def starts_a_search(source: Source, node: ast.Subscript, name: str) -> bool:
    """`best = xs[0]` in front of a loop over `xs`: the loop could do with none, the first line cannot."""
    statement = source.parent(node)
    block = getattr(source.parent(statement), "body", []) if isinstance(statement, ast.Assign) else []
    later = block[block.index(statement) + 1 :] if statement in block else []
    return any(isinstance(other, ast.For) and name in written(other.iter) for other in later)


def is_guarded_elsewhere(source: Source, function: Function, name: str) -> bool:
    """Another function of the file finds it worth a test that a parameter of this name is not empty."""
    for other in source.functions:
        if other is not function and parameter(other, name) is not None:
            tests = [node.test for node in own_nodes(other) if isinstance(node, ast.If)]
            if any(fact.key == name and fact.state in (EMPTY, FULL) for test in tests for fact in implied(test, True)):
                return True
    return False


def is_collection_type(arg: ast.arg) -> bool:
    text = written(arg.annotation).strip("'\"")
    head = text.split("[", 1)[0].rsplit(".", 1)[-1]
    return head in collections


def is_public(function: Function) -> bool:
    return not function.name.startswith("_")


def is_filter(value: ast.expr | None, function: Function) -> bool:
    match value:
        case ast.ListComp(generators=[one]):
            return bool(one.ifs)
        case ast.Call(func=ast.Name(id="sorted" | "list"), args=[ast.Name(id=name)]):
            arg = parameter(function, name)
            return arg is not None and is_collection_type(arg) and is_public(function)
    return False


def says_non_empty(function: Function) -> bool:
    text = (ast.get_docstring(function) or "").lower()
    return any(word in text for word in ("empty", "at least one", "indexerror", "valueerror", "one or more"))
