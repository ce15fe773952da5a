"""The finished review, as text for people and as JSON for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import msgspec
from msgspec import Struct

from agent.answers import Finding
from agent.prompts import one_line


class Review(Struct, frozen=True):
    """What came of a review.

    `outcome` is answered, max_steps, budget, loop or error; all but the first mean that it is unfinished, and `summary`
    then says why. Paths are relative to `workspace`.
    """

    outcome: str
    summary: str
    findings: list[Finding]
    workspace: str
    files: list[str]
    left_out: list[str] = []
    changed: list[str] = []
    steps: int = 0
    agent_id: str = ""
    trace_id: str | None = None


def as_json(review: Review) -> str:
    """The review as one JSON object."""
    return msgspec.json.format(msgspec.json.encode(review), indent=2).decode() + "\n"


def as_text(review: Review) -> str:
    """The findings by file, the summary, what was left out and changed, and the outcome in one line."""
    ordered = sorted(review.findings, key=lambda finding: (finding.path, finding.line))
    by_file = groupby(ordered, key=lambda finding: finding.path)
    blocks = ["\n".join(file_block(path, findings, review)) for path, findings in by_file]
    left_out = [f"Left out: {reason}" for reason in review.left_out]
    changed = [f"Changed: {shown(path, review)}" for path in review.changed]
    return printable("\n\n".join([*blocks, "\n".join([review.summary, *left_out, *changed]), outcome(review)])) + "\n"


def file_block(path: str, findings: Iterable[Finding], review: Review) -> list[str]:
    """The findings of one file, each with what to do about it below."""
    lines = [shown(one_line(path), review)]
    for finding in findings:
        lines.append(f"  {finding.line:>4}  {finding.severity:<7}  {one_line(finding.message)}  [{finding.rule}]")
        if finding.suggestion:
            lines.append(f"{'':17}→ {one_line(finding.suggestion)}")
    return lines


def outcome(review: Review) -> str:
    """How the review ended, in one line."""
    by_severity = Counter(finding.severity for finding in review.findings)
    counts = ", ".join(counted(by_severity[each], each) for each in ("error", "warning", "info") if by_severity[each])
    found = counted(len(review.findings), "finding") + (f" ({counts})" if counts else "")
    return f"Outcome: {review.outcome} · {counted(len(review.files), 'file')}, {found}, {counted(review.steps, 'step')}"


def counted(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {noun}" + ("" if number == 1 or noun == "info" else "s")


def shown(path: str, review: Review) -> str:
    """A path as it can be opened from the current folder."""
    place = Path(review.workspace, path)
    here = Path.cwd()
    return str(place.relative_to(here)) if place.is_relative_to(here) else str(place)


def printable(text: str) -> str:
    """The text with control characters made visible, so that what a model says cannot steer a terminal."""
    plain = (char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode() for char in text)
    return "".join(plain)
