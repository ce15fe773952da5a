"""Patches for findings, each with a test that fails because of the fault and passes once it is mended.

Nothing is run here: whether a test really fails and then passes is found out by whoever uses it.
"""

from __future__ import annotations

from dataclasses import replace

from .edits import patch_of
from .menders import menders
from .rules import Finding, Source, Verdict


def with_repairs(verdict: Verdict) -> list[Finding]:
    """The findings, those that can be mended with their patch and test."""
    if verdict.source is None:
        return list(verdict.findings)
    return [repaired(verdict.source, finding) for finding in verdict.findings]


def repaired(source: Source, finding: Finding) -> Finding:
    mender = menders.get(finding.rule)
    mending = mender(source, finding) if mender else None
    patch = patch_of(source, mending.edits) if mending else None
    return replace(finding, patch=patch, test=mending.test) if mending and patch else finding
