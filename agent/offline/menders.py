"""One mender for each kind of fault: the edits that mend it, and a test that shows the fault where one can."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from . import samples, sqltext
from .edits import Edit, at_line, before, put, text_of
from .rules import Finding, Source
from .rules.defaults import defaults, makers
from .rules.division import origin_of
from .rules.source import Function, dotted, names_in, own_nodes, parameter, parameters, written


@dataclass(frozen=True)
class Mending:
    """The changes that mend a fault, and a test or None."""

    edits: tuple[Edit, ...]
    test: str | None = None


Mender = Callable[[Source, Finding], Mending | None]


def division(source: Source, finding: Finding) -> Mending | None:
    """Refuse the value that would divide by zero with a ValueError that names it."""
    for node in at_line(source, finding.line, ast.BinOp, ast.AugAssign):
        divisor = node.right if isinstance(node, ast.BinOp) else node.value  # type: ignore[attr-defined]
        function = source.function_of(node)
        if not isinstance(node.op, ast.Div | ast.FloorDiv | ast.Mod) or function is None or not is_steady(divisor):  # type: ignore[attr-defined]
            continue
        statement = source.statement_of(node)
        own = {
            name
            for part in ast.walk(statement)
            if isinstance(part, ast.comprehension)
            for name in names_in(part.target)
        }
        if f"`{written(divisor)}`" not in finding.message or names_in(divisor) & own or may_be_skipped(source, node):
            continue
        edit = before(
            source, statement, f'if {text_of(source, divisor)} == 0:\n    raise ValueError("{complaint(divisor)}")'
        )
        return Mending((edit,), division_test(source, function, divisor)) if edit else None
    return None


def may_be_skipped(source: Source, node: ast.AST) -> bool:
    """Whether its statement can go well without dividing: the check in front of it would refuse what works now."""
    child = node
    for above in source.ancestors(node):
        if isinstance(above, ast.stmt):
            return False
        if isinstance(above, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            return True
        if isinstance(above, ast.IfExp) and child is not above.test:
            return True
        if isinstance(above, ast.BoolOp) and child is not above.values[0]:
            return True
        child = above
    return False


def is_steady(divisor: ast.expr) -> bool:
    """Asking for it twice gives the same: a name, an attribute, a length, and arithmetic on those."""
    return all(
        not isinstance(part, ast.Call) or dotted(part.func) == "len" for part in ast.walk(divisor)
    ) and not isinstance(divisor, ast.Constant)


def complaint(divisor: ast.expr) -> str:
    match divisor:
        case ast.Call(args=[argument]):
            return f"{written(argument)} must not be empty".replace('"', "'")
    return f"{written(divisor)} must not be zero".replace('"', "'")


def division_test(source: Source, function: Function, divisor: ast.expr) -> str | None:
    origin = origin_of(divisor, function)
    given = {name: zero_for(name, origin) for name in names_in(origin) if parameter(function, name)}
    attributes = {
        part.attr: "[]" if is_sized(origin, part) else "0"
        for part in ast.walk(origin)
        if isinstance(part, ast.Attribute) and written(part.value) == "self"
    }
    call = samples.call(source, function, {name: value for name, value in given.items() if value}, attributes)
    if call is None or not (given or attributes):
        return None
    body = f"{call.setup}    with pytest.raises(ValueError):\n        {call.text}\n"
    return samples.whole_file(source.path, function.name, "refuses_zero", body, imports=("pytest",))


def zero_for(name: str, origin: ast.expr) -> str:
    """A value of the parameter for which the divisor is zero."""
    text = written(origin)
    if re.fullmatch(rf"len\({name}\) - 1", text):
        return "[1]"
    if f"len({name})" in text or (text.startswith("sum(") and name in text):
        return "[]"
    if text == f"{name} - 1":
        return "1"
    return "0" if text == name else "1"


def is_sized(origin: ast.expr, part: ast.Attribute) -> bool:
    return f"len({written(part)})" in written(origin)


def mutable_default(source: Source, finding: Finding) -> Mending | None:
    """Default to None and make the value inside."""
    for function in source.functions:
        for arg, default in defaults(function):
            if default.lineno == finding.line and f"`{arg.arg}=" in finding.message:
                return mended_default(source, function, arg, default)
    return None


def mended_default(source: Source, function: Function, arg: ast.arg, default: ast.expr) -> Mending | None:
    if names_in(default) - makers:
        return None  # what a name stands for when the function is made may not be what it stands for in the call
    first = next((statement for statement in function.body if not is_docstring(statement)), None)
    edit = (
        before(source, first, f"if {arg.arg} is None:\n    {arg.arg} = {text_of(source, default)}") if first else None
    )
    if edit is None:
        return None
    edits = [put(source, default, "None"), edit]
    if arg.annotation is not None and "None" not in written(arg.annotation):
        edits.append(put(source, arg.annotation, optional(text_of(source, arg.annotation))))
    return Mending(tuple(edits), default_test(source, function, arg.arg))


def is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def optional(annotation: str) -> str:
    return f"{annotation[:-1]} | None{annotation[-1]}" if annotation[:1] in "\"'" else f"{annotation} | None"


def default_test(source: Source, function: Function, name: str) -> str | None:
    place = samples.place(source, function)
    if place is None:
        return None
    body = (
        f'    default = inspect.signature(module.{place}).parameters["{name}"].default\n'
        f"    hash(default)  # what every call shares must not be changeable\n"
    )
    return samples.whole_file(source.path, function.name, f"{name}_is_not_shared", body, imports=("inspect",))


def off_by_one(source: Source, finding: Finding) -> Mending | None:
    """Stop at the last element."""
    for node in at_line(source, finding.line, ast.Call, ast.Compare, ast.Subscript):
        edit = shortened(source, node, finding)
        function = source.function_of(node)
        if edit is not None:
            call = samples.call(source, function) if function else None
            test = (
                samples.whole_file(source.path, function.name, "stays_inside", f"{call.setup}    {call.text}\n")
                if call and function
                else None
            )
            return Mending((edit,), test) if test else None
    return None


def shortened(source: Source, node: ast.AST, finding: Finding) -> Edit | None:
    match node:
        case ast.Call(
            func=ast.Name(id="range"),
            args=[*_, ast.BinOp(left=left, op=ast.Add(), right=ast.Constant(value=1)) as stop],
        ):
            return put(source, stop, text_of(source, left)) if f"`{written(node)}`" in finding.message else None
        case ast.Compare(left=left, ops=[ast.LtE()], comparators=[right]) if f"`{written(node)}`" in finding.message:
            return put(source, node, f"{text_of(source, left)} < {text_of(source, right)}")
        case ast.Subscript(slice=ast.Call(func=ast.Name(id="len")) as index) if (
            f"`{written(node)}` is one past" in finding.message
        ):
            return put(source, index, "-1")
    return None


def bare_except(source: Source, finding: Finding) -> Mending | None:
    """Catch what the tried conversion raises, or at least let KeyboardInterrupt and SystemExit through."""
    match = re.search(r"\bexcept\s*:", source.lines[finding.line - 1])
    handler = next(at_line(source, finding.line, ast.ExceptHandler), None)
    if match is None or handler is None:
        return None
    edit = Edit((finding.line, match.start()), (finding.line, match.end()), f"except {expected(source, handler)}:")
    return Mending((edit,))


def expected(source: Source, handler: ast.AST) -> str:
    tried = source.parent(handler)
    calls = {
        dotted(node.func)
        for part in getattr(tried, "body", [])
        for node in ast.walk(part)
        if isinstance(node, ast.Call)
    }
    return "(TypeError, ValueError)" if calls and calls <= {"int", "float"} else "Exception"


def sql_injection(source: Source, finding: Finding) -> Mending | None:
    """Placeholders in the text, values beside it."""
    for call in source.calls:
        if (
            not isinstance(call.func, ast.Attribute)
            or not call.func.attr.startswith("execute")
            or len(call.args) != 1
            or call.keywords
        ):
            continue
        text = built_text(source, call, finding.line)
        query = sqltext.parametrised(text, source.text) if text is not None else None
        if text is None or query is None:
            continue
        edits = query_edits(source, call, text, query)
        return Mending(edits, sql_test(source, call, text))
    return None


def built_text(source: Source, call: ast.Call, line: int) -> ast.expr | None:
    """The expression on a line that is executed: the argument itself, or what the local name given was bound to."""
    argument = call.args[0]
    if argument.lineno == line and not isinstance(argument, ast.Name):
        return argument
    function = source.function_of(call)
    if isinstance(argument, ast.Name) and function is not None:
        bound = [
            node
            for node in own_nodes(function)
            if isinstance(node, ast.Assign) and written(node.targets[0]) == argument.id
        ]
        if len(bound) == 1 and bound[0].value.lineno == line:
            return bound[0].value
    return None


def query_edits(source: Source, call: ast.Call, text: ast.expr, query: sqltext.Query) -> tuple[Edit, ...]:
    argument = call.args[0]
    if argument is text:
        return (put(source, argument, f"{query.text}, {query.values}"),)
    return put(source, text, query.text), put(source, argument, f"{text_of(source, argument)}, {query.values}")


def sql_test(source: Source, call: ast.Call, text: ast.expr) -> str | None:
    """Call the function with a hostile value and look at the SQL that reaches the database."""
    function = source.function_of(call)
    if function is None:
        return None
    database = written(call.func).split(".")
    hostile = dict.fromkeys(pasted_names(function, text), "HOSTILE")
    given = {
        **hostile,
        **(
            {database[0]: "database"} if parameter(function, database[0]) else database_parameter(function, database[0])
        ),
    }
    attributes = {database[1]: "database"} if database[0] == "self" else {}
    made = samples.call(source, function, given, attributes)
    if made is None or not hostile:
        return None
    connects = "sqlite3.connect(" in written(function)
    inner = (
        f'    with mock.patch("sqlite3.connect", return_value=database):\n        {made.text}\n'
        if connects
        else f"    {made.text}\n"
    )
    body = (
        f"    database = mock.MagicMock()\n{made.setup}{inner}"
        f'    calls = [call for call in database.mock_calls if "execute" in str(call[0]) and call.args]\n'
        f"    said = [str(call.args[0]) for call in calls]\n"
        f"    assert said\n    assert not any(HOSTILE in sql for sql in said)\n"
    )
    return samples.whole_file(
        source.path,
        function.name,
        "keeps_values_out_of_the_sql",
        body,
        imports=("from unittest import mock",),
        constants="HOSTILE = \"x' OR '1'='1\"\n",
    )


def pasted_names(function: Function, text: ast.expr) -> set[str]:
    names = names_in(text)
    return {arg.arg for arg in parameters(function) if arg.arg in names}


def database_parameter(function: Function, receiver: str) -> dict[str, str]:
    """The parameter that the receiver of `execute` was made from: `cursor = connection.cursor()`."""
    for node in own_nodes(function):
        if isinstance(node, ast.Assign) and written(node.targets[0]) == receiver:
            return {name: "database" for name in names_in(node.value) if parameter(function, name)}
    return {}


def is_literal(source: Source, finding: Finding) -> Mending | None:
    """Compare values instead of identities."""
    for node in at_line(source, finding.line, ast.Compare):
        match node:
            case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot() as op], comparators=[right]) if (
                f"`{written(node)}`" in finding.message
            ):
                sign = "==" if isinstance(op, ast.Is) else "!="
                edit = put(source, node, f"{text_of(source, left)} {sign} {text_of(source, right)}")
                return Mending((edit,), warning_test(source, node, "compares_values"))
    return None


def warning_test(source: Source, node: ast.AST, what: str) -> str:
    """Python itself warns of some faults when it compiles a file: this one must not be among them."""
    function = source.function_of(node)
    shown = text_of(source, node)
    body = (
        f'    text = PATH.read_text(encoding="utf-8")\n'
        f"    with warnings.catch_warnings(record=True) as caught:\n"
        f'        warnings.simplefilter("always")\n'
        f'        compile(text, PATH.name, "exec")\n'
        f"    lines = [text.splitlines()[warning.lineno - 1] for warning in caught]\n"
        f"    assert not any({shown!r} in line for line in lines)\n"
    )
    return samples.whole_file(
        source.path, function.name if function else "module", what, body, imports=("warnings",), loads=False
    )


def assert_tuple(source: Source, finding: Finding) -> Mending | None:
    """Take the parentheses off."""
    for node in at_line(source, finding.line, ast.Assert):
        match node:
            case ast.Assert(test=ast.Tuple(elts=[condition, message]) as both):
                edit = put(source, both, f"{text_of(source, condition)}, {text_of(source, message)}")
                return Mending((edit,), warning_test(source, node, "asserts"))
    return None


def none_comparison(source: Source, finding: Finding) -> Mending | None:
    for node in at_line(source, finding.line, ast.Compare):
        match node:
            case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq() as op], comparators=[ast.Constant(value=None)]):
                return Mending(
                    (put(source, node, f"{text_of(source, left)} {'is' if isinstance(op, ast.Eq) else 'is not'} None"),)
                )
    return None


def late_binding(source: Source, finding: Finding) -> Mending | None:
    """Bind the loop's variable as a default of the lambda."""
    name = re.search(r"looks `(\w+)` up", finding.message)
    for node in at_line(source, finding.line, ast.Lambda):
        if name and isinstance(node, ast.Lambda) and not (node.args.vararg or node.args.kwarg or node.args.kwonlyargs):
            given = ", ".join([*([written(node.args)] if node.args.args else []), f"{name.group(1)}={name.group(1)}"])
            return Mending((put(source, node, f"lambda {given}: {text_of(source, node.body)}"),))
    return None


def changed_while_iterating(source: Source, finding: Finding) -> Mending | None:
    """Loop over a copy."""
    line = re.search(r"\(line (\d+)\)", finding.message)
    for node in at_line(source, int(line.group(1)), ast.For) if line else ():
        if isinstance(node, ast.For):
            return Mending((put(source, node.iter, f"list({text_of(source, node.iter)})"),))
    return None


def raise_not_implemented(source: Source, finding: Finding) -> Mending | None:
    for node in at_line(source, finding.line, ast.Name):
        if isinstance(node, ast.Name) and node.id == "NotImplemented":
            return Mending((put(source, node, "NotImplementedError"),))
    return None


menders: Mapping[str, Mender] = {
    "division-by-zero": division,
    "mutable-default": mutable_default,
    "off-by-one": off_by_one,
    "bare-except": bare_except,
    "sql-injection": sql_injection,
    "is-literal": is_literal,
    "assert-on-tuple": assert_tuple,
    "none-comparison": none_comparison,
    "late-binding": late_binding,
    "changed-while-iterating": changed_while_iterating,
    "raise-not-implemented": raise_not_implemented,
}
