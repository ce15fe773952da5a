"""Which files are reviewed: the paths of the command line, folders opened up, as a workspace and names below it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.errors import InputError, ToolError
from agent.syntax import syntax_fault
from agent.workspace import Workspace

MAX_FILES = 40
"""More files than this are left out of one review, and named: a longer review is better split."""

SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})

_STATEMENT = re.compile(
    r"""\s*(?: import\s\w | from\s[\w.]+\simport\s | (?:async\s+)?def\s+\w+\( | class\s+\w+\s*[:(] | @\w
    | (?:if|elif|for|while|with|async)\s.+:\s*(?:\#.*)?$ | (?:try|else|finally)\s*: | \w[\w.\[\]]*\s*(?:=[^=]|\() )""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Selection:
    """The workspace, the files under review relative to it, and a sentence for everything left out."""

    workspace: Workspace
    files: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def select(paths: Sequence[str | Path]) -> Selection:
    """The files that `paths` stand for; `InputError` when one of them cannot be reviewed.

    The workspace is the nearest folder that holds everything named: a folder itself, or a file's folder.
    """
    places = [existing(Path(path)) for path in paths]
    folders = [place if place.is_dir() else place.parent for place in places]
    workspace = Workspace(Path(os.path.commonpath(folders)))
    files, left_out = dict[str, None](), list[str]()
    for path, place in zip(paths, places, strict=True):
        found, refused = opened_up(place, workspace) if place.is_dir() else ([named(place, path, workspace)], [])
        if not found:
            raise InputError(f"{path} holds no Python file that can be reviewed{because(refused)}")
        files.update(dict.fromkeys(found))
        left_out += refused
    return Selection(workspace, *bounded(list(files), left_out))


def bounded(files: list[str], left_out: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """As many files as one review takes; what is beyond that is told with the rest that was left out."""
    beyond = files[MAX_FILES:]
    if beyond:
        left_out = [*left_out, f"{len(beyond)} more files from {beyond[0]} on: one review takes {MAX_FILES}"]
    return tuple(files[:MAX_FILES]), tuple(left_out)


def existing(path: Path) -> Path:
    """The path with every link resolved."""
    try:
        return path.resolve(strict=True)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{path} cannot be used: {error}") from error


def named(place: Path, path: str | Path, workspace: Workspace) -> str:
    """The name of a file that was asked for by its path, which therefore has to be fit for review."""
    try:
        return reviewable(place, workspace)
    except ToolError as refusal:
        raise InputError(f"{path} cannot be reviewed: {refusal}") from None


def opened_up(folder: Path, workspace: Workspace) -> tuple[list[str], list[str]]:
    """The Python files below a folder in order, and a sentence for each that cannot be reviewed.

    Those that are beyond what one review takes are not read.
    """
    found, refused = list[str](), list[str]()
    for place in python_files(folder, unreadable := list[OSError]()):
        try:
            found.append(reviewable(place, workspace) if len(found) < MAX_FILES else workspace.name(place))
        except ToolError as refusal:
            refused.append(str(refusal))
    closed = [f"{workspace.name(Path(error.filename))} cannot be looked into: {error.strerror}" for error in unreadable]
    return found, refused + closed


def python_files(folder: Path, unreadable: list[OSError]) -> Iterator[Path]:
    """Every `*.py` below a folder, without hidden folders, virtual environments and installed packages.

    What kept a folder from being looked into is added to `unreadable`.
    """
    for current, folders, names in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(name for name in folders if not skipped(Path(current, name)))
        yield from (Path(current, name) for name in sorted(names) if name.endswith(".py") and not name.startswith("."))


def skipped(folder: Path) -> bool:
    """Whether a folder is not looked into."""
    return folder.name.startswith(".") or folder.name in SKIPPED or os.path.exists(folder / "pyvenv.cfg")


def reviewable(place: Path, workspace: Workspace) -> str:
    """The name of a file below the workspace; `ToolError` when it cannot be read or is not Python."""
    source = workspace.read(workspace.name(place))
    if not source.path.isprintable():
        raise ToolError(f"{source.path!r} has a name that cannot be shown")
    if place.suffix not in (".py", ".pyi") and not re.match(r"#!.*python", source.text):
        raise ToolError(f"{source.path} is not a Python file")
    if not looks_like_python(source.text):
        raise ToolError(f"{source.path} does not hold Python")
    return source.path


def looks_like_python(text: str) -> bool:
    """Whether a text is Python, perhaps with a syntax error: it parses, or one of its lines looks like a statement."""
    return syntax_fault(text) is None or any(_STATEMENT.match(line) for line in text.splitlines())


def because(reasons: Sequence[str]) -> str:
    """The first reason, as the end of a sentence."""
    return f" ({reasons[0]})" if reasons else ""
