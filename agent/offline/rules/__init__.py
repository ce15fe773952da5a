"""The review brain: what one file's text says about its faults, worked out by static analysis alone.

Every rule is a small module with `find(source) -> findings`; ruff is one of them. Where two rules say the same about
one line, the first in the list has the word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from . import (
    bounds,
    calls,
    classes,
    comparisons,
    defaults,
    division,
    emptiness,
    exceptions,
    injection,
    iteration,
    loops,
    names,
    patterns,
    races,
    resources,
    returns,
    ruff,
    secrets,
    slips,
    texts,
    waiting,
)
from .source import Finding, Source, forget, parse

__all__ = ["Finding", "Source", "Verdict", "examine", "is_python", "parse"]

Rule = Callable[[Source], Iterator[Finding]]
rules: tuple[Rule, ...] = tuple(
    module.find
    for module in (
        division, bounds, emptiness, defaults, exceptions, comparisons, injection, secrets, resources, returns, loops,
        iteration, calls, classes, texts, patterns, races, waiting, names, slips, ruff,
    )
)  # fmt: skip
order = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True)
class Verdict:
    """What was found, and what kept the examination from being complete (sentences)."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    source: Source | None = None


def examine(path: str, text: str) -> Verdict:
    """Review one file. What is no Python gives no findings and a note, what does not parse its syntax error."""
    if not is_python(path, text):
        return Verdict((), (f"{path} is not Python source, and this offline model reviews only Python",))
    try:
        source = parse(path, text.removeprefix("\ufeff"))
    except SyntaxError as error:
        return Verdict((syntax_finding(error),))
    except (ValueError, RecursionError) as error:
        return Verdict((Finding(1, "warning", "unparsable", f"the file cannot be parsed: {error}", "split it up"),))
    notes = [] if ruff.available() else ["ruff is not installed here, so only the built-in rules were applied"]
    findings = [finding for rule in rules for finding in found(rule, source, notes)]
    forget()
    return Verdict(tuple(arranged(findings, source)), tuple(notes), source)


def found(rule: Rule, source: Source, notes: list[str]) -> list[Finding]:
    """What one rule finds; one that stumbles over odd code is left out and noted, the others go on."""
    try:
        return list(rule(source))
    except Exception as error:  # noqa: BLE001 - no file may keep the review from being answered
        notes.append(f"{rule.__module__.rpartition('.')[2]} could not be applied to {source.path}: {error!r}")
        return []


def arranged(findings: Iterable[Finding], source: Source) -> list[Finding]:
    """In the order of lines, each rule once a line, without what the author has silenced by `noqa`."""
    kept: dict[tuple[int, str], Finding] = {}
    for finding in findings:
        if not silenced(source, finding.line):
            kept.setdefault((finding.line, finding.rule), finding)
    lines = {finding.line for finding in kept.values() if finding.rule in covering}
    told = [finding for finding in kept.values() if not (finding.rule in covered and finding.line in lines)]
    return sorted(told, key=lambda finding: (finding.line, order[finding.severity]))


covering = {
    "unreachable-branch",
    "repeated-condition",
    "inverted-guard",
    "late-binding",
    "unreachable-code",
    "is-literal",
}
covered = {"always-false", "self-comparison", "repeated-exception", "constant-comparison"}


def silenced(source: Source, line: int) -> bool:
    text = source.lines[line - 1] if 0 < line <= len(source.lines) else ""
    return "#" in text and re.search(r"#\s*(noqa\b|type:\s*ignore\[name-defined\])", text, re.I) is not None


def is_python(path: str, text: str) -> bool:
    name = path.rsplit("/", 1)[-1].lower()
    if "." in name.lstrip("."):
        return name.endswith((".py", ".pyi", ".pyw"))
    return text.startswith("#!") and "python" in text.split("\n", 1)[0]


def syntax_finding(error: SyntaxError) -> Finding:
    line = error.lineno or 1
    code = (error.text or "").strip()
    shown = f" at `{code if len(code) <= 80 else code[:79] + '…'}`" if code else ""
    return Finding(
        line,
        "error",
        "syntax-error",
        f"the file does not parse: {error.msg}{shown}",
        "correct the syntax: Python cannot run any of this file",
    )
