"""Findings about patterns that go on: they are told again each time they have grown."""

from __future__ import annotations

from collections.abc import Iterable

from instrument.model import AGAIN_OF, Finding


def pattern_of(finding: Finding) -> str:
    """The same for all findings that tell of one pattern, of a trace."""
    first = finding.data.get(AGAIN_OF) or (finding.span_ids[-1] if finding.span_ids else finding.message)
    return f"{finding.detector} {finding.data.get('measure', '')} {first}"


def latest(findings: Iterable[Finding]) -> list[Finding]:
    """Of each pattern the last of the findings, which are in order of time."""
    last: dict[str, Finding] = {}
    for one in findings:
        pattern = pattern_of(one)
        last.pop(pattern, None)  # its place is that of the last
        last[pattern] = one
    return list(last.values())
