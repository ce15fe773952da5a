"""The straight line: imports go only downward, and the reading half never sees the recording half."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from instrument.cli.main import VERBS

ROOT = Path(__file__).parent.parent / "instrument"
ROWS = {
    0: ["model", "rows", "kinds", "statuses", "errors", "money", "version", "forks", "signals", "eager", "collecting", "cutting"],
    1: [
        "attributes", "settings", "setting_tables", "origins", "allowed", "pricing", "tokens", "installation", "redact", "secret_shapes", "secret_search", "usage", "answer", "request",
        "messages", "foreign", "pieces", "detectors", "thresholds",
    ],
    2: ["analysis", "analysis.tree", "analysis.metrics", "analysis.totals", "analysis.overview"],
    3: [
        "store", "views.text", "views", "record.spans", "record.pipeline", "record.room", "record.delivery", "record.lanes", "record.breath", "record.shift", "record.worth", "record.hidden", "record.capture", "record.snapshot", "record.context",
        "record.notices", "record.finished", "record.lines", "record.plain", "record.texts", "record.classes", "record.objects", "record.showers",
        "record.plan", "record.failures", "record.held", "record.switch", "record.blocks",
    ],
    4: [
        "analysis.report", "analysis.reprice", "analysis.why", "analysis.diff", "reading", "query", "record.llm", "record.sampling", "record.settling", "record.recorder", "record.wrappers", "record.budgets", "record.scopes", "record.shared", "record.joint", "record.later", "record.tables", "record.loops",
        "record.decorators", "record.proxies", "record.logs", "record.guards", "record", "sinks",
    ],
    5: ["views.answers", "views.chat", "views.columns", "views.catalog", "views.compared", "views.html", "views.server", "record.bridges", "record.threads", "integrations", "building"],
    6: ["wiring"],
    7: ["__init__", "cli", "testing"],
    8: ["__main__"],
}  # fmt: skip
RECORDING = ("record", "sinks", "integrations")
READING = (
    "attributes",
    "analysis",
    "store",
    "views",
    "reading",
    "query",
    "detectors",
    "settings",
    "setting_tables",
    "pricing",
    "tokens",
    "redact",
    "usage",
    "answer",
    "request",
    "thresholds",
)


def module_name(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__") if name != "__init__" else name


def row_of(name: str) -> int:
    """The row of the longest prefix that the table names."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        for row, names in ROWS.items():
            if prefix in names:
                return row
    raise LookupError(f"the layer table names no row for {name}")


def imports_of(path: Path) -> Iterator[str]:
    """The modules of ours that a file imports when it is loaded (imports inside functions run later and are free)."""
    for node in top_level(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (
                alias.name.removeprefix("instrument.") for alias in node.names if alias.name.startswith("instrument.")
            )
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "instrument":
            module = (node.module or "").removeprefix("instrument").removeprefix(".")
            for alias in node.names:
                inner = f"{module}.{alias.name}".strip(".")
                yield inner if is_module(inner) else module


def top_level(tree: ast.Module) -> Iterator[ast.stmt]:
    for node in tree.body:
        is_typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not is_typing:
            yield node


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_go_only_downward(path: Path) -> None:
    """A module imports from its own row only inside its family, and otherwise from rows below."""
    name = module_name(path)
    row = row_of(name)
    wrong = [
        imported
        for imported in imports_of(path)
        if row_of(imported) > row or (row_of(imported) == row and not same_family(name, imported))
    ]
    assert [] == wrong


def same_family(name: str, imported: str) -> bool:
    """Neighbours in one folder may know each other, and so may the modules of the bottom rows."""
    return name.split(".")[0] == imported.split(".")[0] or row_of(name) <= 1


@pytest.mark.parametrize("path", [path for path in FILES if module_name(path).startswith(READING)], ids=module_name)
def test_reading_never_sees_recording(path: Path) -> None:
    """What reads records knows nothing of how they were recorded."""
    assert [] == [imported for imported in imports_of(path) if imported.split(".")[0] in RECORDING]


MAPS = {
    "the top": (ROOT.parent / "CONTRIBUTING.md", ROOT),
    **{name: (ROOT / name / "__init__.py", ROOT / name) for name in ("record", "views", "cli", "integrations")},
}
"""Where the modules of a folder are named, in lines such as `subject: module module`."""


@pytest.mark.parametrize("folder", MAPS)
def test_every_module_has_its_place(folder: str) -> None:
    """Whoever looks for a place finds each module of a folder below its subject; verbs are their own."""
    page, modules = MAPS[folder]
    named = re.findall(r"\w+", " ".join(re.findall(r"^ *[\w' ]+: ([\w ]+)$", page.read_text(), re.M)))
    there = {path.stem for path in modules.glob("*.py") if not path.stem.startswith("__")}
    verbs = {*VERBS, "import_"} if folder == "cli" else set()
    assert sorted(there - verbs) == sorted(named)
