"""Changes of a file's text by the places of its syntax tree, and the patch that they come to.

A patch is exact text of the file that occurs once, and what should stand there instead.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .rules import Source
from .rules.source import written

Patch = tuple[str, str]


@dataclass(frozen=True)
class Edit:
    """One change of the text: from (line, column) to (line, column), columns in characters, lines from 1."""

    start: tuple[int, int]
    end: tuple[int, int]
    new: str


def patch_of(source: Source, edits: Sequence[Edit]) -> Patch | None:
    """Whole lines around the edits, widened until they occur only once; None when the result would be no Python."""
    first, last = min(edit.start[0] for edit in edits), max(edit.end[0] for edit in edits)
    lines = source.lines
    while source.text.count("\n".join(lines[first - 1 : last])) > 1:
        if first == 1 and last == len(lines):
            return None
        first, last = max(first - 1, 1), min(last + 1, len(lines))
    old = "\n".join(lines[first - 1 : last])
    new = "\n".join(applied(lines, edits)[first - 1 :]).split("\n")
    added = sum(edit.new.count("\n") - (edit.end[0] - edit.start[0]) for edit in edits)
    fresh = "\n".join(new[: last - first + 1 + added])
    return (old, fresh) if parses("\n".join(lines).replace(old, fresh, 1)) and old != fresh else None


def applied(lines: Sequence[str], edits: Sequence[Edit]) -> list[str]:
    """The lines after the edits, which are made from the last to the first."""
    changed = list(lines)
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        (first, left), (last, right) = edit.start, edit.end
        joined = changed[first - 1][:left] + edit.new + changed[last - 1][right:]
        changed[first - 1 : last] = joined.split("\n")
    return changed


def parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


def at_line(source: Source, line: int, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
    return (node for node in source.nodes if isinstance(node, kinds) and getattr(node, "lineno", 0) == line)


def put(source: Source, node: ast.AST, new: str) -> Edit:
    """The node's text replaced."""
    return Edit(
        (node.lineno, column(source, node.lineno, node.col_offset)),  # type: ignore[attr-defined]
        (node.end_lineno, column(source, node.end_lineno, node.end_col_offset)),  # type: ignore[attr-defined]
        new,
    )


def column(source: Source, line: int, byte: int) -> int:
    """The syntax tree counts bytes, edits count characters."""
    return len(source.lines[line - 1].encode()[:byte].decode(errors="ignore"))


def before(source: Source, statement: ast.stmt, code: str) -> Edit | None:
    """Lines put in front of a statement, with its indentation; None when it does not begin its line."""
    line = source.lines[statement.lineno - 1]
    indent = line[: len(line) - len(line.lstrip())]
    if column(source, statement.lineno, statement.col_offset) != len(indent) or line.lstrip().startswith("elif"):
        return None
    text = "".join(f"{indent}{part}\n" for part in code.split("\n"))
    return Edit((statement.lineno, 0), (statement.lineno, 0), text)


def text_of(source: Source, node: ast.AST) -> str:
    return ast.get_source_segment(source.text, node) or written(node)
