"""What the agent can do. The docstrings are what the model reads, so they are written for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

import msgspec

from agent.analyst import Analyst
from agent.errors import ToolError
from agent.notes import Notes
from agent.syntax import syntax_fault
from agent.testrun import run_pytest
from agent.workspace import Source, Workspace
from instrument import tool

Tools = tuple[Callable[..., dict[str, Any]], ...]

MAX_LINES = 500
"""Lines that one read_file answers with."""


def reading_tools(workspace: Workspace, analyst: Analyst) -> Tools:
    """Tools that look at files."""

    @tool
    def read_file(path: str, start_line: int | None = None, end_line: int | None = None) -> dict[str, Any]:
        """Read a file of the workspace, with line numbers. At most 500 lines are given at a time.

        path: the file, relative to the workspace
        start_line: first line wanted, from 1; null for the beginning
        end_line: last line wanted, inclusive; null for the end
        """
        source = workspace.read(path)
        total, first = len(source.lines), 1 if start_line is None else start_line
        if first < 1 or first > max(total, 1):
            raise ToolError(f"{path} has {total} lines, there is no line {first}")
        last = min(total if end_line is None else end_line, first + MAX_LINES - 1, total)
        return {"path": source.path, "from": first, "to": last, "of": total, "source": source.numbered(first, last)}

    @tool
    def analyze_code(path: str, focus: str | None = None) -> dict[str, Any]:
        """Have a Python file analysed for faults, each with its line and, where possible, a patch and a test.

        path: the file, relative to the workspace
        focus: what to look at in particular; null for everything
        """
        source = workspace.read(path)
        return {"path": source.path, "findings": msgspec.to_builtins(analyst.examine(source, focus))}

    return read_file, analyze_code


def memory_tools(notes: Notes) -> Tools:
    """Tools that keep what is learned for the next review."""

    @tool
    def remember(key: str, value: str) -> dict[str, Any]:
        """Keep a note for later reviews. A note of the same key is replaced.

        key: what the note is about; name the file by its path
        value: the note
        """
        notes.remember(key, value)
        return {"remembered": key}

    @tool
    def recall(query: str) -> dict[str, Any]:
        """Find notes of earlier reviews.

        query: words that the note holds; empty for all notes
        """
        return {"notes": notes.recall(query)}

    return remember, recall


def fixing_tools(workspace: Workspace, changed: list[str]) -> Tools:
    """Tools that change the workspace or run its code; what they wrote is added to `changed`."""

    written: set[Path] = set()

    def save(path: str, text: str, encoding: str) -> str:
        name = workspace.write(path, text, encoding)
        if name not in changed:
            changed.append(name)
        return name

    @tool
    def patch_file(path: str, old: str, new: str) -> dict[str, Any]:
        """Replace text in a file. The old text has to be exact, indentation included, and occur once.

        path: the file, relative to the workspace
        old: the text to replace, without line numbers
        new: the text to put in its place
        """
        source = workspace.read(path)
        text, line = patched(source, old, new)
        return {"path": save(path, text, source.encoding), "line": line}

    @tool
    def write_test(path: str, content: str) -> dict[str, Any]:
        """Write a new test file for pytest. Files that were there before are not overwritten.

        path: the file, relative to the workspace; its name begins with test_ and ends with .py
        content: the whole file
        """
        place = workspace.locate(path)
        if not is_test(place.name):
            raise ToolError(f"{path} is no name of a test: it has to begin with test_ and end with .py")
        if place.exists() and place not in written:
            raise ToolError(f"{path} is there already; choose another name")
        must_parse(content, path)
        written.add(place)
        return {"path": save(path, content, "utf-8")}

    @tool
    def run_test(path: str) -> dict[str, Any]:
        """Run a test file with pytest, for at most a minute.

        path: the test file, relative to the workspace
        """
        name = workspace.read(path).path
        if not is_test(name):
            raise ToolError(f"{path} is no test file: its name has to begin with test_ and end with .py")
        done = run_pytest(workspace.root, name)
        return {
            "path": name,
            "passed": done.exit_code == 0,
            "exit_code": done.exit_code,
            "timed_out": done.exit_code is None,
            "seconds": done.seconds,
            "output": done.output,
        }

    return patch_file, write_test, run_test


def is_test(path: str) -> bool:
    """Whether a path has the name of a test file."""
    name = PurePath(path).name
    return name.endswith(".py") and (name.startswith("test_") or name.endswith("_test.py"))


def patched(source: Source, old: str, new: str) -> tuple[str, int]:
    """The text with `old` replaced by `new`, and the line where that begins; line ends are those of the file."""
    text = source.text
    if "\r\n" in text and "\r\n" not in old:
        old, new = old.replace("\n", "\r\n"), new.replace("\n", "\r\n")
    start = text.find(old) if old else -1
    if start < 0:
        raise ToolError(f"the old text does not occur in {source.path}; read the file again and give it exactly")
    if text.find(old, start + 1) >= 0:
        raise ToolError(f"the old text occurs more than once in {source.path}; give more of what stands around it")
    result = text[:start] + new + text[start + len(old) :]
    if syntax_fault(text) is None:
        must_parse(result, source.path)
    return result, text.count("\n", 0, start) + 1


def must_parse(text: str, path: str) -> None:
    """Refuse a text that is about to become a Python file and is none."""
    fault = syntax_fault(text)
    if fault is not None and path.endswith((".py", ".pyi")):
        raise ToolError(f"{path} would not be valid Python: {fault}")
