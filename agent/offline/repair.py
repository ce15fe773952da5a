"""Patches for findings, each with a test that fails because of the fault and passes once it is mended.

Nothing is run here: whether a test really fails and then passes is found out by whoever uses it.
"""

from __future__ import annotations

from dataclasses import replace

from .edits import patch_of
from .menders import menders
from .rules import Finding, Source, Verdict

most_mended = 50
"""Findings of one file that get a patch, from its top: each is tried on the whole file, and a next review has more."""


def with_repairs(verdict: Verdict) -> list[Finding]:
    """The findings, those that can be mended with their patch and test."""
    if verdict.source is None:
        return list(verdict.findings)
    mendable = [finding for finding in verdict.findings if finding.rule in menders][:most_mended]
    return [repaired(verdict.source, each) if each in mendable else each for each in verdict.findings]


def repaired(source: Source, finding: Finding) -> Finding:
    mending = menders[finding.rule](source, finding)
    patch = patch_of(source, mending.edits) if mending else None
    return replace(finding, patch=patch, test=mending.test) if mending and patch else finding
