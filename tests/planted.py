"""Plants one fault into a clean module: the proof that the offline model's reviews are about the file at hand.

A family of faults has a function that gives all the ways in which its fault fits into a text, as (new text, line of the
fault), or snippets to be added to a text, or both. What is planted where is drawn with a seed.
`python -m tests.planted` prints the hit rate of a larger run.
"""

from __future__ import annotations

import ast
import random
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.planted_snippets import SNIPPETS

Way = tuple[str, int]
Family = Callable[[str, ast.Module], Iterator[Way]]
families: dict[str, Family] = {}
clean_folder = Path(__file__).parent / "clean_modules"


@dataclass(frozen=True)
class Planted:
    """A module with one fault, and the line where it is."""

    name: str
    family: str
    text: str
    line: int


def clean_modules() -> list[Path]:
    return sorted(clean_folder.glob("*.py"))


def all_families() -> list[str]:
    return sorted({*families, *SNIPPETS})


def plant(seed: int, count: int, modules: list[Path] | None = None, each_once: bool = False) -> list[Planted]:
    """`count` planted modules, drawn with the seed; with `each_once` no family comes twice before all were there."""
    rng = random.Random(seed)
    texts = {path.name: path.read_text() for path in modules or clean_modules()}
    queue: list[str] = []
    found: list[Planted] = []
    while len(found) < count:
        if not queue:
            queue = all_families()
            rng.shuffle(queue)
        family = queue.pop() if each_once else rng.choice(all_families())
        name = rng.choice(sorted(texts))
        planted = one(family, name, texts[name], rng)
        if planted is None and each_once:
            candidates = [other for other in sorted(texts) if one(family, other, texts[other], rng)]
            other = rng.choice(candidates) if candidates else name
            planted = one(family, other, texts[other], rng)
        if planted is not None:
            found.append(planted)
    return found


def one(family: str, name: str, text: str, rng: random.Random) -> Planted | None:
    ways = [way for way in ways_of(family, text) if way[0] != text and (family == "syntax" or parses(way[0]))]
    if not ways:
        return None
    planted, line = rng.choice(ways)
    return Planted(name, family, planted, line)


def ways_of(family: str, text: str) -> Iterator[Way]:
    """All the ways to plant a fault of a family into a text."""
    if family in families:
        yield from families[family](text, ast.parse(text))
    yield from (appended(text, snippet) for snippet in SNIPPETS.get(family, ()))


def parses(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "planted", "exec")
    except SyntaxError:
        return False
    return True


def family(function: Family) -> Family:
    families[function.__name__] = function
    return function


# Changing text


def replaced(text: str, node: Any, new: str) -> str:
    """The text with the part of a node replaced."""
    lines = text.splitlines(keepends=True)
    first, last = node.lineno - 1, node.end_lineno - 1
    before, after = cut(lines[first], node.col_offset)[0], cut(lines[last], node.end_col_offset)[1]
    return "".join(lines[:first]) + before + new + after + "".join(lines[last + 1 :])


def cut(line: str, column: int) -> tuple[str, str]:
    raw = line.encode()
    return raw[:column].decode(), raw[column:].decode()


def inserted(text: str, line: int, new: str) -> str:
    """The text with whole lines put in front of a line (from 1)."""
    lines = text.splitlines(keepends=True)
    return "".join([*lines[: line - 1], new if new.endswith("\n") else new + "\n", *lines[line - 1 :]])


def without(text: str, first: int, last: int) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(lines[: first - 1] + lines[last:])


def walk(tree: ast.AST, *kinds: type[ast.AST]) -> Iterator[Any]:
    return (node for node in ast.walk(tree) if isinstance(node, kinds))


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def top_functions(tree: ast.Module) -> list[ast.FunctionDef]:
    return [node for node in tree.body if isinstance(node, ast.FunctionDef)]


def own_body(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.stmt]:
    """The statements after a docstring."""
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return function.body[1:] if documented else function.body


def appended(text: str, snippet: str, marker: str = "# here") -> Way:
    """The text with a function at its end; the fault's line carries the marker, which is taken off."""
    whole = text.rstrip("\n") + "\n\n\n" + snippet.strip("\n") + "\n"
    line = next(number for number, code in enumerate(whole.splitlines(), start=1) if code.endswith(marker))
    return whole.replace(f"  {marker}", ""), line


# Families that change the code that is there


@family
def guard_removed(text: str, tree: ast.Module) -> Iterator[Way]:
    """Division by a length without the check that stood before it."""
    for function in functions(tree):
        for guard in own_body(function):
            if (
                isinstance(guard, ast.If)
                and not guard.orelse
                and re.search(r"not \w+|len\(\w+\) == 0|== 0|not self", ast.unparse(guard.test))
            ):
                division = next(
                    (
                        node
                        for node in ast.walk(function)
                        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and node.lineno > guard.lineno
                    ),
                    None,
                )
                if division is not None and shares_name(guard.test, division.right, function):
                    size = (guard.end_lineno or 0) - guard.lineno + 1
                    yield without(text, guard.lineno, guard.end_lineno or 0), division.lineno - size


def shares_name(test: ast.expr, divisor: ast.expr, function: ast.AST) -> bool:
    def names(node: ast.AST) -> set[str]:
        return {ast.unparse(part) for part in ast.walk(node) if isinstance(part, ast.Name | ast.Attribute)}

    origins = [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == ast.unparse(divisor)
    ]
    return bool(
        names(test) & (names(divisor) | {name for origin in origins for name in names(origin)}) - {"self", "len"}
    )


@family
def range_too_long(text: str, tree: ast.Module) -> Iterator[Way]:
    for loop in walk(tree, ast.For):
        match loop:
            case ast.For(
                target=ast.Name(id=name),
                iter=ast.Call(
                    func=ast.Name(id="range"), args=[ast.Call(func=ast.Name(id="len"), args=[measured])]
                ) as called,
            ):
                if f"{ast.unparse(measured)}[{name}]" in ast.unparse(loop):
                    yield replaced(text, called.args[0], f"{ast.unparse(called.args[0])} + 1"), loop.lineno


@family
def mutable_default(text: str, tree: ast.Module) -> Iterator[Way]:
    for function in functions(tree):
        for default in function.args.defaults:
            if isinstance(default, ast.Constant) and default.value is None:
                yield replaced(text, default, "[]"), default.lineno
                yield replaced(text, default, "{}"), default.lineno


@family
def bare_except(text: str, tree: ast.Module) -> Iterator[Way]:
    for handler in walk(tree, ast.ExceptHandler):
        if (
            handler.type
            and not handler.name
            and not any(isinstance(node, ast.Raise) and node.exc is None for node in ast.walk(handler))
        ):
            line = text.splitlines()[handler.lineno - 1]
            yield text.replace(line, line[: line.index("except")] + "except:", 1), handler.lineno


@family
def is_literal(text: str, tree: ast.Module) -> Iterator[Way]:
    for node in walk(tree, ast.Compare):
        match node:
            case ast.Compare(left=left, ops=[ast.Eq()], comparators=[ast.Constant(value=str() | int()) as value]):
                yield replaced(text, node, f"{ast.unparse(left)} is {ast.unparse(value)}"), node.lineno


@family
def equals_none(text: str, tree: ast.Module) -> Iterator[Way]:
    for node in walk(tree, ast.Compare):
        match node:
            case ast.Compare(left=left, ops=[ast.Is()], comparators=[ast.Constant(value=None)]):
                yield replaced(text, node, f"{ast.unparse(left)} == None"), node.lineno


@family
def inverted_guard(text: str, tree: ast.Module) -> Iterator[Way]:
    """`if x is None: return` turned round, where x is used below."""
    for function in functions(tree):
        for guard in own_body(function):
            match guard:
                case ast.If(
                    test=ast.Compare(
                        left=ast.Name(id=name), ops=[ast.Is()], comparators=[ast.Constant(value=None)]
                    ) as test,
                    orelse=[],
                    body=[ast.Return() | ast.Raise()],
                ):
                    used = any(
                        isinstance(node, ast.Attribute | ast.Subscript)
                        and ast.unparse(node.value) == name
                        and node.lineno > guard.lineno
                        for node in ast.walk(function)
                    )
                    if used:
                        yield replaced(text, test, f"{name} is not None"), guard.lineno
                case ast.If(
                    test=ast.UnaryOp(op=ast.Not(), operand=ast.Name(id=name)) as test,
                    orelse=[],
                    body=[ast.Return() | ast.Raise()],
                ):
                    if re.search(rf"(/ len\({name}\)|max\({name}|min\({name}|{name}\[0\])", ast.unparse(function)):
                        yield replaced(text, test, name), guard.lineno


@family
def return_lost(text: str, tree: ast.Module) -> Iterator[Way]:
    """The last return of an annotated function becomes a bare expression statement or vanishes."""
    for function in functions(tree):
        last = function.body[-1]
        if (
            function.returns is not None
            and ast.unparse(function.returns) not in ("None", "Any")
            and "None" not in ast.unparse(function.returns)
            and len(own_body(function)) > 1
            and isinstance(last, ast.Return)
            and last.value is not None
        ):
            if not any(isinstance(node, ast.Yield) for node in ast.walk(function)):
                yield without(text, last.lineno, last.end_lineno or 0), function.lineno


@family
def misspelt_name(text: str, tree: ast.Module) -> Iterator[Way]:
    for function in functions(tree):
        for node in ast.walk(function):
            if (
                isinstance(node, ast.Name)
                and isinstance(node.ctx, ast.Load)
                and len(node.id) > 4
                and node.id in {arg.arg for arg in function.args.args}
            ):
                yield replaced(text, node, node.id[:-2] + node.id[-1] + node.id[-2] + "x"), node.lineno


@family
def import_lost(text: str, tree: ast.Module) -> Iterator[Way]:
    for statement in tree.body:
        if isinstance(statement, ast.Import) and len(statement.names) == 1:
            name = statement.names[0].name.split(".")[0]
            uses = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == name]
            if uses and "annotations" not in text.split("\n\n", 2)[1]:
                yield without(text, statement.lineno, statement.lineno), min(uses) - 1


@family
def import_unused(text: str, tree: ast.Module) -> Iterator[Way]:
    first = next(
        (
            node
            for node in tree.body
            if isinstance(node, ast.Import | ast.ImportFrom) and getattr(node, "module", "") != "__future__"
        ),
        None,
    )
    if first is not None:
        yield inserted(text, first.lineno, "import calendar"), first.lineno


@family
def variable_unused(text: str, tree: ast.Module) -> Iterator[Way]:
    for function in functions(tree):
        body = own_body(function)
        if function.args.args and not isinstance(function, ast.AsyncFunctionDef):
            indent = " " * body[0].col_offset
            yield inserted(text, body[0].lineno, f"{indent}leftover = {function.args.args[-1].arg}"), body[0].lineno


@family
def f_prefix_lost(text: str, tree: ast.Module) -> Iterator[Way]:
    for node in walk(tree, ast.JoinedStr):
        segment = ast.get_source_segment(text, node) or ""
        if segment.startswith('f"') and re.search(r"\{\w+[}:!]", segment):
            yield replaced(text, node, segment[1:]), node.lineno


@family
def f_without_placeholder(text: str, tree: ast.Module) -> Iterator[Way]:
    for node in walk(tree, ast.Raise):
        for part in ast.walk(node):
            if (
                isinstance(part, ast.Constant)
                and isinstance(part.value, str)
                and not any(isinstance(other, ast.JoinedStr) for other in ast.walk(node))
            ):
                yield replaced(text, part, f"f{ast.get_source_segment(text, part)}"), part.lineno


@family
def self_lost(text: str, tree: ast.Module) -> Iterator[Way]:
    for owner in walk(tree, ast.ClassDef):
        for function in owner.body:
            if (
                isinstance(function, ast.FunctionDef)
                and not function.decorator_list
                and not function.name.startswith("__")
                and "self." in ast.unparse(function)
            ):
                line = text.splitlines()[function.lineno - 1]
                yield text.replace(line, re.sub(r"\(self(, )?", "(", line), 1), function.lineno


@family
def await_lost(text: str, tree: ast.Module) -> Iterator[Way]:
    for statement in walk(tree, ast.Expr):
        if isinstance(statement.value, ast.Await):
            inner = statement.value.value
            yield replaced(text, statement, ast.get_source_segment(text, inner) or ""), statement.lineno


@family
def file_left_open(text: str, tree: ast.Module) -> Iterator[Way]:
    for block in walk(tree, ast.With):
        item = block.items[0]
        if (
            len(block.items) == 1
            and isinstance(item.optional_vars, ast.Name)
            and ast.unparse(item.context_expr).startswith("open(")
        ):
            lines = text.splitlines(keepends=True)
            indent = " " * block.col_offset
            opening = f"{indent}{item.optional_vars.id} = {ast.unparse(item.context_expr)}\n"
            body = [line.removeprefix("    ") for line in lines[block.body[0].lineno - 1 : block.end_lineno]]
            yield "".join([*lines[: block.lineno - 1], opening, *body, *lines[block.end_lineno :]]), block.lineno


@family
def sql_pasted(text: str, tree: ast.Module) -> Iterator[Way]:
    for call in walk(tree, ast.Call):
        match call:
            case ast.Call(
                func=ast.Attribute(attr="execute"),
                args=[ast.Constant(value=str(sql)), ast.Tuple(elts=[ast.Name(id=name)])],
            ):
                function = ast.unparse(call.func)
                yield (
                    replaced(text, call, f'{function}(f"{sql.replace("?", chr(39) + "{" + name + "}" + chr(39))}")'),
                    call.lineno,
                )
                yield replaced(text, call, f'{function}("{sql.replace("?", "%s")}" % {name})'), call.lineno
                yield replaced(text, call, f'{function}("{sql.split("?")[0]}" + {name})'), call.lineno


@family
def shell_true(text: str, tree: ast.Module) -> Iterator[Way]:
    for call in walk(tree, ast.Call):
        match call:
            case ast.Call(func=ast.Attribute(attr="run", value=ast.Name(id="subprocess")), args=[ast.Name(id=name)]):
                yield replaced(text, call, f'subprocess.run(" ".join({name}), shell=True, check=False)'), call.lineno


@family
def secret_written(text: str, tree: ast.Module) -> Iterator[Way]:
    last = max((node.end_lineno or 0) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)) + 1
    for code in ('DB_PASSWORD = "hunter2-prod"', 'API_KEY = "sk-live-51H8xkq2Z0aB"', 'password = "Tr0ub4dor&3"'):
        yield inserted(text, last, code), last


@family
def code_after_return(text: str, tree: ast.Module) -> Iterator[Way]:
    for function in functions(tree):
        last = function.body[-1]
        if isinstance(last, ast.Return | ast.Raise) and function.args.args:
            line = (last.end_lineno or 0) + 1
            yield inserted(text, line, " " * last.col_offset + f"print({function.args.args[0].arg})"), line


@family
def loop_never_ends(text: str, tree: ast.Module) -> Iterator[Way]:
    for loop in walk(tree, ast.While):
        tested = {node.id for node in ast.walk(loop.test) if isinstance(node, ast.Name)}
        steps = [node for node in loop.body if isinstance(node, ast.AugAssign) and ast.unparse(node.target) in tested]
        if (
            len(steps) == 1
            and len(loop.body) > 1
            and not any(isinstance(node, ast.Return | ast.Break | ast.Yield) for node in ast.walk(loop))
        ):
            yield without(text, steps[0].lineno, steps[0].lineno), loop.lineno


@family
def assert_tuple(text: str, tree: ast.Module) -> Iterator[Way]:
    for function in functions(tree):
        if function.args.args and not isinstance(function, ast.AsyncFunctionDef):
            first = own_body(function)[0]
            name = function.args.args[-1].arg
            yield (
                inserted(
                    text, first.lineno, " " * first.col_offset + f'assert ({name} is not None, "{name} is missing")'
                ),
                first.lineno,
            )


@family
def changed_in_loop(text: str, tree: ast.Module) -> Iterator[Way]:
    for loop in walk(tree, ast.For):
        match loop:
            case ast.For(iter=ast.Call(func=ast.Name(id="list"), args=[inner]) as called):
                change = next((node for node in ast.walk(loop) if isinstance(node, ast.Delete)), None)
                if change is not None:
                    yield replaced(text, called, ast.unparse(inner)), change.lineno


@family
def bound_late(text: str, tree: ast.Module) -> Iterator[Way]:
    for node in walk(tree, ast.Lambda):
        segment = ast.get_source_segment(text, node) or ""
        if re.search(r", (\w+)=\1:", segment):
            yield replaced(text, node, re.sub(r", (\w+)=\1:", ":", segment)), node.lineno


@family
def arguments_swapped(text: str, tree: ast.Module) -> Iterator[Way]:
    for call in walk(tree, ast.Call):
        match call:
            case ast.Call(func=func, args=[ast.Name(id=first), ast.Name(id=second), *_]):
                targets = [f for f in functions(tree) if f.name == ast.unparse(func).rsplit(".", 1)[-1]]
                names = [arg.arg for arg in targets[0].args.args if arg.arg != "self"] if targets else []
                if names[:2] == [first, second]:
                    rest = "".join(f", {ast.unparse(arg)}" for arg in call.args[2:])
                    yield replaced(text, call, f"{ast.unparse(func)}({second}, {first}{rest})"), call.lineno


@family
def defined_twice(text: str, tree: ast.Module) -> Iterator[Way]:
    for function in top_functions(tree):
        if not function.decorator_list and not any(
            isinstance(node, ast.Name) and node.id == function.name for node in ast.walk(tree)
        ):
            copy = f"def {function.name}({ast.unparse(function.args)}):\n    return None\n"
            line = text.rstrip("\n").count("\n") + 4
            yield text.rstrip("\n") + "\n\n\n" + copy, line


@family
def left_too_early(text: str, tree: ast.Module) -> Iterator[Way]:
    """The return after a loop slips into it."""
    for function in functions(tree):
        body = function.body
        if (
            len(body) >= 2
            and isinstance(body[-2], ast.For)
            and isinstance(body[-1], ast.Return)
            and isinstance(body[-1].value, ast.Name)
        ):
            loop, last = body[-2], body[-1]
            simple = all(isinstance(node, ast.AugAssign | ast.Expr) for node in loop.body)
            if simple and last.value and ast.unparse(last.value) in ast.unparse(loop):
                indent = " " * loop.body[0].col_offset
                yield (
                    inserted(without(text, last.lineno, last.lineno), last.lineno, f"{indent}{ast.unparse(last)}"),
                    last.lineno,
                )


@family
def result_lost(text: str, tree: ast.Module) -> Iterator[Way]:
    for node in walk(tree, ast.Assign):
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(
                    func=ast.Attribute(value=ast.Name(id=owner), attr="replace" | "strip" | "lower")
                ) as call,
            ) if name == owner:
                yield replaced(text, node, ast.unparse(call)), node.lineno


@family
def raise_lost(text: str, tree: ast.Module) -> Iterator[Way]:
    for node in walk(tree, ast.Raise):
        match node:
            case ast.Raise(exc=ast.Call(func=ast.Name(id=name)) as call, cause=None) if name in (
                "ValueError",
                "KeyError",
                "TypeError",
                "ZeroDivisionError",
            ):
                yield replaced(text, node, ast.get_source_segment(text, call) or ""), node.lineno


@family
def attribute_misspelt(text: str, tree: ast.Module) -> Iterator[Way]:
    for owner in walk(tree, ast.ClassDef):
        for node in ast.walk(owner):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.ctx, ast.Load)
                and ast.unparse(node.value) == "self"
                and len(node.attr) > 4
                and has_init(owner)
            ):
                yield replaced(text, node, f"self.{node.attr[:-2]}{node.attr[-1]}{node.attr[-2]}"), node.end_lineno or 0


def has_init(owner: Any) -> bool:
    return (
        any(getattr(item, "name", "") == "__init__" for item in owner.body)
        and not owner.decorator_list
        and not owner.bases
    )


@family
def argument_missing(text: str, tree: ast.Module) -> Iterator[Way]:
    for call in walk(tree, ast.Call):
        match call:
            case ast.Call(func=ast.Name(id=name), args=[first, _], keywords=[]):
                target = next((f for f in top_functions(tree) if f.name == name), None)
                if target is not None and not target.args.defaults and target.args.vararg is None:
                    yield replaced(text, call, f"{name}({ast.unparse(first)})"), call.lineno


@family
def not_called(text: str, tree: ast.Module) -> Iterator[Way]:
    for node in walk(tree, ast.While, ast.If):
        test = node.test
        if isinstance(test, ast.Call) and not test.args and ast.unparse(test.func).startswith("self."):
            yield replaced(text, test, ast.unparse(test.func)), node.lineno


@family
def syntax(text: str, tree: ast.Module) -> Iterator[Way]:
    for function in top_functions(tree):
        line = text.splitlines()[function.lineno - 1]
        if line.endswith(":"):
            yield text.replace(line, line[:-1], 1), function.lineno


def hits(planted: list[Planted]) -> list[tuple[Planted, bool]]:
    """For each planted module whether the review names the fault at its line."""
    from agent.offline.rules import examine

    return [
        (each, any(finding.line == each.line for finding in examine(each.name, each.text).findings)) for each in planted
    ]


def main() -> int:
    """Print the hit rate of a run: `python -m tests.planted [count] [seed]`."""
    given = [int(value) for value in sys.argv[1:3]]
    count, seed = given[0] if given else 200, given[1] if len(given) > 1 else 1
    found = hits(plant(seed, count, each_once=True))
    named, kinds = sum(hit for _, hit in found), {each.family for each, _ in found}
    missed = Counter(each.family for each, hit in found if not hit)
    print(f"{named} of {len(found)} named at the right line; {len(kinds)} families; missed: {dict(missed)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
