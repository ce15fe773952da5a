"""Test files: calls of a function with made-up arguments, in a module that is loaded by its path."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from .rules import Source
from .rules.source import Function, own_nodes, parameters, written

plain = {
    "int": "7",
    "float": "7.5",
    "str": '"text"',
    "bool": "True",
    "bytes": 'b"text"',
    "Decimal": "7",
    "complex": "7j",
}


@dataclass(frozen=True)
class Call:
    """The text of a call, and the indented lines that have to come before it."""

    text: str
    setup: str = ""


def place(source: Source, function: Function) -> str | None:
    """How a function is reached from its module: `name` or `Class.name`; None for one inside another function."""
    owner = source.class_of(function)
    if owner is not None:
        return f"{owner.name}.{function.name}" if source.parent(owner) is source.tree else None
    return function.name if source.parent(function) is source.tree else None


def call(
    source: Source,
    function: Function,
    given: Mapping[str, str] | None = None,
    attributes: Mapping[str, str] | None = None,
) -> Call | None:
    """A call with the given arguments as Python text, the others made up; None where that cannot be done."""
    kinds = {written(item) for item in function.decorator_list}
    where = place(source, function)
    if where is None or isinstance(function, ast.AsyncFunctionDef) or kinds - {"staticmethod", "classmethod"}:
        return None
    is_method = source.class_of(function) is not None and not kinds
    named = parameters(function)[1 if is_method or "classmethod" in kinds else 0 :]
    required = {arg.arg for arg in named} - optional(function)
    arguments = [
        f"{arg.arg}={(given or {}).get(arg.arg) or sample(arg)}"
        for arg in named
        if arg.arg in required or arg.arg in (given or {})
    ]
    if any(arg in function.args.posonlyargs for arg in named):
        arguments = [argument.partition("=")[2] for argument in arguments]
    if not is_method:
        return Call(f"module.{where}({', '.join(arguments)})")
    return Call(f"thing.{function.name}({', '.join(arguments)})", instance(where, function, attributes or {}))


def optional(function: Function) -> set[str]:
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    last = positional[len(positional) - len(given.defaults) :] if given.defaults else []
    return {arg.arg for arg in last} | {
        arg.arg for arg, value in zip(given.kwonlyargs, given.kw_defaults, strict=True) if value is not None
    }


def instance(where: str, function: Function, attributes: Mapping[str, str]) -> str:
    """Lines that make an object without its `__init__`, with the attributes that the method reads."""
    name = where.rpartition(".")[0]
    called = {
        node.func.attr
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    read = {
        node.attr for node in own_nodes(function) if isinstance(node, ast.Attribute) and written(node.value) == "self"
    } - called
    values = {**dict.fromkeys(sorted(read), "7"), **attributes}
    lines = [f"    thing = object.__new__(module.{name})\n"]
    return "".join([*lines, *(f'    object.__setattr__(thing, "{attr}", {value})\n' for attr, value in values.items())])


def sample(arg: ast.arg) -> str:
    """A value for a parameter, by its annotation or its name."""
    kind = written(arg.annotation).strip("'\"")
    head, _, inner = kind.partition("[")
    head = head.rsplit(".", 1)[-1].split(" |")[0]
    if head in plain:
        return plain[head]
    if head in ("list", "List", "Sequence", "Iterable", "Collection", "tuple", "Tuple", "Iterator"):
        return items(inner.rstrip("]").split(",")[0].strip())
    if head in ("dict", "Dict", "Mapping"):
        return "{}"
    if head in ("set", "Set", "frozenset"):
        return "{3, 1, 2}"
    return by_name(arg.arg) if not kind else mocked


def items(kind: str) -> str:
    """Three different elements of a kind."""
    known = {"int": "[3, 1, 2]", "float": "[3.0, 1.0, 2.0]", "str": '["c", "a", "b"]', "": "[3, 1, 2]"}
    return known.get(kind, f"[{mocked}, {mocked}, {mocked}]")


mocked = "unittest.mock.MagicMock()"


def by_name(name: str) -> str:
    """A guess for a parameter without annotation: a list for a plural, text for names and the like, else a number."""
    if re.search(r"(name|text|word|line|path|title|code|key|label|message|prefix)$", name):
        return '"text"'
    if re.search(r"(s|list|items|seq|data|array|sequence|queue|numbers)$", name) and not name.endswith(
        ("ss", "is", "us", "parts", "rows_count")
    ):
        return "[3, 1, 2]"
    return "7"


def whole_file(
    path: str, subject: str, rule: str, body: str, imports: Sequence[str] = (), constants: str = "", loads: bool = True
) -> str:
    """A whole test file for pytest with one test, to lie beside the file that it tests."""
    name = PurePosixPath(path).name
    wanted = {
        "from pathlib import Path",
        *imports,
        *(["importlib.util", "sys"] if loads else []),
        *(["unittest.mock"] if mocked in body else []),
    }
    lines = sorted(
        (item if item.startswith("from ") else f"import {item}" for item in wanted),
        key=lambda line: (line.startswith("from "), line),
    )
    constants = f'PATH = Path(__file__).with_name("{name}")\n{constants}'.rstrip("\n")
    head = "\n".join([*lines, "", constants])
    loading = f"\n\n\n{loader}" if loads else ""
    start = "    module = load()\n" if loads else ""
    return f"{head}{loading}\n\n\ndef test_{subject.strip('_')}_{rule}():\n{start}{body}"


loader = '''def load():
    """The module under test, from its file."""
    sys.path.insert(0, str(PATH.parent))
    spec = importlib.util.spec_from_file_location(f"{PATH.stem}_under_test", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module'''
