"""A file that is looked for first and used afterwards: in between another program may make or remove it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .facts import caught
from .source import Finding, Source, dotted, told, written

absent = {
    "os.mkdir": "use `os.makedirs(…, exist_ok=True)`",
    "os.makedirs": "pass `exist_ok=True` and drop the check",
    "mkdir": "pass `exist_ok=True` and drop the check",
    "open": 'open it with mode "x" and catch FileExistsError',
    "write_text": 'open it with mode "x" and catch FileExistsError',
    "write_bytes": 'open it with mode "xb" and catch FileExistsError',
}
present = {
    "os.remove": "remove it in `contextlib.suppress(FileNotFoundError)`",
    "os.unlink": "remove it in `contextlib.suppress(FileNotFoundError)`",
    "unlink": "pass `missing_ok=True` and drop the check",
}
looks = {"os.path.exists", "os.path.isfile", "os.path.isdir", "exists", "is_file", "is_dir"}
prepared = {"OSError", "FileExistsError", "FileNotFoundError", "Exception", "BaseException", "*"}


def find(source: Source) -> Iterator[Finding]:
    for node in source.nodes:
        match node:
            case ast.If(test=ast.UnaryOp(op=ast.Not(), operand=ast.Call() as look), body=[first, *_], orelse=[]):
                yield from used(source, look, first, absent)
            case ast.If(test=ast.Call() as look, body=[first, *_], orelse=[]):
                yield from used(source, look, first, present)


def used(source: Source, look: ast.Call, statement: ast.stmt, uses: dict[str, str]) -> Iterator[Finding]:
    """The statement right after the look does to the same place what fails, or harms, when the look is out of date."""
    for call in calls_of(statement):
        name = action(call)
        if (
            place_of(look)
            and action(look) in looks
            and name in uses
            and place_of(call) == place_of(look)
            and (name != "open" or writes(call))
            and not any(keyword.arg in ("exist_ok", "missing_ok") for keyword in call.keywords)
            and not caught(source, call) & prepared
        ):
            yield told(
                look,
                "check-then-use",
                f"between `{written(look)}` and `{written(call)}` in {source.place(look)} another program may get "
                "there first",
                uses[name],
                "info",
            )


def calls_of(statement: ast.stmt) -> list[ast.Call]:
    match statement:
        case ast.Expr(value=ast.Call() as call) | ast.Assign(value=ast.Call() as call):
            return [call]
        case ast.With(items=[ast.withitem(context_expr=ast.Call() as call), *_]):
            return [call]
    return []


def action(call: ast.Call) -> str:
    """The function by its full name, or the method by its last."""
    name = dotted(call.func)
    return name if name.startswith("os.") or name == "open" else getattr(call.func, "attr", "")


def place_of(call: ast.Call) -> str:
    """The path a call is about: its first argument, or what the method is called on."""
    name = dotted(call.func)
    if name.startswith("os.") or name == "open":
        return written(call.args[0]) if call.args else ""
    return written(call.func.value) if isinstance(call.func, ast.Attribute) else ""


def writes(call: ast.Call) -> bool:
    mode = next((keyword.value for keyword in call.keywords if keyword.arg == "mode"), None)
    given = call.args[1] if len(call.args) > 1 and dotted(call.func) == "open" else mode
    return isinstance(given, ast.Constant) and str(given.value).startswith("w")
