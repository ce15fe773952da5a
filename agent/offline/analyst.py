"""The second model: looks at one file and answers with its faults, each with a patch and a test where it has them."""

from __future__ import annotations

import re
from typing import Any

from . import repair
from .conversation import said, source_in
from .request import Asked
from .rules import Finding, examine

insecure = {
    "sql-injection", "shell-injection", "hard-coded-secret", "guessable-secret", "eval", "exec", "weak-hash",
    "unsafe-deserialisation", "unsafe-yaml", "unverified-tls",
}  # fmt: skip
left_open = {"resource-leak", "use-after-close", "lock-not-released"}
focuses = {
    "secur": insecure,
    "resource": left_open,
    "leak": left_open,
    "except": {"bare-except", "swallowed-exception", "exception-order", "jump-in-finally", "raise-not-implemented"},
    "async": {"missing-await", "blocking-in-async", "dangling-task"},
}
"""Rules by what a task says that asks for them in particular."""


def analysis(asked: Asked) -> dict[str, Any]:
    """The findings about the file in a request, those that were asked for in particular first."""
    text = said(asked, "user")
    path = header(text, "PATH") or "module.py"
    source = source_in(text) or without_headers(text)
    verdict = examine(path, source)
    findings = repair.with_repairs(verdict)
    return {"findings": [as_json(finding) for finding in by_focus(findings, header(text, "FOCUS"))]}


def header(text: str, name: str) -> str:
    match = re.search(rf"^{name}:[ \t]*(.+)$", text, re.M)
    return match.group(1).strip() if match else ""


def without_headers(text: str) -> str:
    lines = [line for line in text.split("\n") if not re.match(r"(PATH|FOCUS):", line)]
    return "\n".join(lines).strip("\n") + "\n"


def by_focus(findings: list[Finding], focus: str) -> list[Finding]:
    wanted = {rule for word, rules in focuses.items() if word in focus.lower() for rule in rules}
    return sorted(findings, key=lambda finding: finding.rule not in wanted)


def as_json(finding: Finding) -> dict[str, Any]:
    patch = {"old": finding.patch[0], "new": finding.patch[1]} if finding.patch else None
    return {
        "line": finding.line,
        "severity": finding.severity,
        "rule": finding.rule,
        "message": finding.message,
        "suggestion": finding.suggestion,
        "patch": patch,
        "test": finding.test,
    }
