"""What ruff sees: its chosen rules run in a subprocess, filtered to what is nearly always a fault, put in our words."""

from __future__ import annotations

import ast
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from .ruff_kinds import kinds
from .source import Finding, Source, is_in_query, written

seconds = 20.0
most_unused = 3
python = f"py3{min(sys.version_info.minor, 14)}"
"""Under Python 3.14 an annotation may name what is defined later."""


def find(source: Source) -> Iterator[Finding]:
    """Findings of ruff, the unlikely ones left out. Nothing when ruff is not installed."""
    seen: set[str] = set()
    nodes = source.by_line
    for raw in without_a_facade(diagnostics(source), source):
        code, line = raw["code"], raw["location"]["row"]
        kind = kinds.get(code)
        if kind is None or not likely(code, raw, nodes.get(line, []), source):
            continue
        if code == "F821" and raw["message"] in seen:
            continue
        seen.add(raw["message"])
        yield Finding(
            line, kind.severity, kind.rule, told(raw["message"], nodes.get(line, []), source), kind.suggestion
        )


def told(message: str, nodes: list[ast.AST], source: Source) -> str:
    text = message.split(". ")[0].rstrip(".")
    place = source.place(nodes[-1]) if nodes else "the module"
    code = nodes[0] if nodes and isinstance(nodes[0], ast.stmt) else None
    shown = "" if code is None else f" (`{shortened(source.lines[code.lineno - 1].strip())}`)"
    return f"in {place}: {text[0].lower() + text[1:]}{shown}"


def shortened(line: str) -> str:
    return line.replace("`", "'") if len(line) <= 80 else line[:77].replace("`", "'") + "…"


def without_a_facade(found: list[dict[str, Any]], source: Source) -> list[dict[str, Any]]:
    """A module of which most imports are used by nobody in it is there to be imported from."""
    imported = sum(isinstance(node, ast.alias) for node in source.nodes)
    unused = sum(raw["code"] == "F401" for raw in found)
    facade = unused > most_unused and unused > imported / 2
    return [raw for raw in found if not (facade and raw["code"] == "F401")]


def diagnostics(source: Source) -> list[dict[str, Any]]:
    command = binary()
    if command is None:
        return []
    name = PurePath(source.path).name or "module.py"
    asked = [
        *command,
        "check",
        "--isolated",
        "--preview",
        "--no-cache",
        "--quiet",
        "--exit-zero",
        "--target-version",
        python,
        "--output-format",
        "json",
    ]
    try:
        done = subprocess.run(
            [*asked, "--select", ",".join(kinds), "--stdin-filename", name, "-"],
            input=source.text.encode("utf-8", "surrogatepass"),
            capture_output=True,
            timeout=seconds,
            check=False,
        )
        found = json.loads(done.stdout or b"[]")
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return []
    return [raw for raw in found if raw.get("code")]


def available() -> bool:
    return binary() is not None


@cache
def binary() -> tuple[str, ...] | None:
    """How to run ruff: the program beside this interpreter, as its module, or the one on the path."""
    beside = Path(sys.executable).with_name("ruff.exe" if os.name == "nt" else "ruff")
    if beside.is_file():
        return (str(beside),)
    found = shutil.which("ruff")
    return (found,) if found else None


Likely = Callable[[dict[str, Any], list[ast.AST], Source], bool]


def likely(code: str, raw: dict[str, Any], nodes: list[ast.AST], source: Source) -> bool:
    """Whether a diagnostic names a fault rather than a habit or a deliberate trick."""
    check = doubts.get(code)
    return check is None or check(raw, nodes, source)


def no_star_import(raw: dict[str, Any], nodes: list[ast.AST], source: Source) -> bool:
    tricks = ("globals()", "vars()", "locals()", "exec(", "_convert_(", "sys.modules[__name__]")
    dynamic = "__getattr__" in source.module_names or any(trick in source.text for trick in tricks)
    return not dynamic and not any(
        isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in source.nodes
    )


def is_really_missing(raw: dict[str, Any], nodes: list[ast.AST], source: Source) -> bool:
    """The `__all__` of a package may name its submodules, which nobody sees here."""
    return PurePath(source.path).name != "__init__.py" and no_star_import(raw, nodes, source)


def is_plain_import(raw: dict[str, Any], nodes: list[ast.AST], source: Source) -> bool:
    alias = next((node for node in nodes if isinstance(node, ast.alias)), None)
    statement = alias and source.parent(alias)
    if alias is None or statement is None or PurePath(source.path).name == "__init__.py":
        return False
    module = getattr(statement, "module", None) or alias.name
    for_effect = isinstance(statement, ast.Import) and "." in alias.name and alias.asname is None
    hidden = module.startswith("_") or (alias.asname or "").startswith("_")
    return (
        not for_effect and not hidden and not any(isinstance(above, ast.Try) for above in source.ancestors(statement))
    )


def name_in(raw: dict[str, Any]) -> str:
    """What the message of a finding quotes first."""
    quoted: str = raw["message"].partition("`")[2].partition("`")[0]
    return quoted


def is_not_placeholder(raw: dict[str, Any], nodes: list[ast.AST], source: Source) -> bool:
    named = name_in(raw)
    return (
        any(
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom)
            for node in nodes
        )
        and not any(isinstance(node, ast.arg) and node.arg == named for node in nodes)
        and named not in source.global_names
        and not any(
            isinstance(source.parent(node), ast.If) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)
        )
        and not earlier_is_assignment(raw, source)
    )


def earlier_is_assignment(raw: dict[str, Any], source: Source) -> bool:
    words = raw["message"].replace(":", " ").split()
    lines = {int(word) for before, word in itertools.pairwise(words) if before == "line" and word.isdigit()}
    return any(isinstance(node, ast.Assign) for line in lines for node in source.by_line.get(line, []))


def is_assignment(raw: dict[str, Any], nodes: list[ast.AST], source: Source) -> bool:
    """One plain target, and not a name that says that it is ignored."""
    ignored = ("`dummy", "`_", "`unused", "`ignore", "`junk", "`throwaway")
    statement = next((node for node in nodes if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign)), None)
    plain = not isinstance(statement, ast.Assign) or (
        len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name)
    )
    return statement is not None and plain and not any(word in raw["message"] for word in ignored)


def is_not_probe(raw: dict[str, Any], nodes: list[ast.AST], source: Source) -> bool:
    """A bare attribute or name inside try or with is there to see whether it raises."""
    statement = next((node for node in nodes if isinstance(node, ast.Expr)), None)
    if statement is not None and isinstance(statement.value, ast.Attribute):
        return is_method(statement.value.attr, source)
    return statement is not None and not any(
        isinstance(above, ast.Try | ast.With) for above in source.ancestors(statement)
    )


def is_method(name: str, source: Source) -> bool:
    """A method that somebody forgot to call, rather than a property read for its effect."""
    usual = {
        "close", "clear", "sort", "reverse", "commit", "rollback", "flush", "start", "join", "pop", "append",
        "release", "acquire",
    }  # fmt: skip
    own = {f.name for f in source.functions if source.class_of(f) is not None and not f.decorator_list}
    return name in usual | own


def is_against_builtin(raw: dict[str, Any], nodes: list[ast.AST], source: Source) -> bool:
    names = {"str", "int", "float", "list", "dict", "tuple", "set", "bool", "bytes"}
    compares = [node for node in nodes if isinstance(node, ast.Compare) and written(node.left).startswith("type(")]
    return any(isinstance(side, ast.Name) and side.id in names for node in compares for side in node.comparators)


def is_not_nan_check(raw: dict[str, Any], nodes: list[ast.AST], source: Source) -> bool:
    return any(
        isinstance(node, ast.Compare)
        and written(node.left) == written(node.comparators[0])
        and not isinstance(node.ops[0], ast.NotEq)
        for node in nodes
    )


def is_not_switched_off(raw: dict[str, Any], nodes: list[ast.AST], source: Source) -> bool:
    """`if 0 and …` is how a branch is switched off by hand; a slip has its constant last, as in `x == 1 or 2`."""
    return not any(isinstance(node, ast.BoolOp) and isinstance(node.values[0], ast.Constant) for node in nodes)


def is_clock_or_container(raw: dict[str, Any], nodes: list[ast.AST], source: Source) -> bool:
    asked = (
        "now", "today", "utcnow", "time", "monotonic", "uuid4", "uuid1", "random", "randint", "list", "dict", "set",
        "open", "getcwd",
    )  # fmt: skip
    return any(name in raw["message"].replace("`", " ").replace(".", " ").replace("(", " ").split() for name in asked)


def runs_no_constant(raw: dict[str, Any], nodes: list[ast.AST], source: Source) -> bool:
    if "seems safe" in raw["message"]:
        return False
    row, column = raw["location"]["row"], raw["location"]["column"]
    for node in nodes:
        if isinstance(node, ast.Call) and node.lineno == row and node.col_offset <= column:
            return not (
                node.args
                and (
                    isinstance(node.args[0], ast.Constant)
                    or "code" in written(node.args[0])
                    or "compile(" in written(node.args[0])
                )
            )
    return True


def is_not_converted(raw: dict[str, Any], nodes: list[ast.AST], source: Source) -> bool:
    """`int(os.environ.get("LINES", 0))` has its number either way."""
    reading = ("os.environ.get(", "os.getenv(", "environ.get(", "getenv(")
    return not any(
        isinstance(node, ast.Call)
        and written(node.func) in ("int", "float", "bool", "str")
        and any(written(arg).startswith(reading) for arg in node.args)
        for node in nodes
    )


def is_about_secrets(raw: dict[str, Any], nodes: list[ast.AST], source: Source) -> bool:
    """MD5 and SHA-1 are fine for cache keys; for passwords, tokens and signatures they are not."""
    function = source.function_of(nodes[-1]) if nodes else None
    text = f"{source.lines[raw['location']['row'] - 1]} {function.name if function else ''}".lower()
    return any(word in text for word in ("passw", "token", "secret", "sign", "auth", "credential", "pwd"))


def is_a_call(raw: dict[str, Any], nodes: list[ast.AST], source: Source) -> bool:
    return "import" not in raw["message"].lower()


def is_really_undefined(raw: dict[str, Any], nodes: list[ast.AST], source: Source) -> bool:
    function = source.function_of(nodes[-1]) if nodes else None
    if "`self`" in raw["message"] and function is not None and source.class_of(function) is not None:
        return False  # told as a missing self
    name = name_in(raw)
    if any(isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Del) for node in source.nodes):
        return False  # deleted at the end, and used before that
    return (
        no_star_import(raw, nodes, source) and "get_ipython" not in raw["message"] and "__path__" not in raw["message"]
    )


def has_no_filter(raw: dict[str, Any], nodes: list[ast.AST], source: Source) -> bool:
    return not any(
        isinstance(node, ast.Call) and any(keyword.arg == "filter" for keyword in node.keywords) for node in nodes
    )


def has_no_restart(raw: dict[str, Any], nodes: list[ast.AST], source: Source) -> bool:
    return not any(isinstance(above, ast.ClassDef) for node in nodes[:1] for above in [source.parent(node)]) and any(
        source.function_of(node) is not None for node in nodes[:1]
    )


def is_no_query(raw: dict[str, Any], nodes: list[ast.AST], source: Source) -> bool:
    return not any(isinstance(node, ast.Compare) and is_in_query(source, node) for node in nodes)


doubts: Mapping[str, Likely] = {
    "F401": is_plain_import,
    "F811": is_not_placeholder,
    "F822": is_really_missing,
    "F841": is_assignment,
    "B018": is_not_probe,
    "E721": is_against_builtin,
    "E711": is_no_query,
    "E712": is_no_query,
    "PLR0124": is_not_nan_check,
    "B008": is_clock_or_container,
    "RUF009": is_clock_or_container,
    "PLW0127": has_no_restart,
    "PLW1508": is_not_converted,
    "S307": runs_no_constant,
    "S102": runs_no_constant,
    "S605": runs_no_constant,
    "S324": is_about_secrets,
    "T100": is_a_call,
    "F821": is_really_undefined,
    "S202": has_no_filter,
    "SIM222": is_not_switched_off,
    "SIM223": is_not_switched_off,
}
