"""Rules of `agent.report`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.answers import Finding
from agent.report import Review, as_json, as_text


def review(*findings: Finding, **more: object) -> Review:
    """A finished review of two files."""
    told: dict[str, object] = {
        "outcome": "answered",
        "summary": "Two faults.",
        "workspace": "/w",
        "files": ["a.py", "b.py"],
    }
    return Review(findings=list(findings), **{**told, "steps": 3, **more})  # type: ignore[arg-type]


def test_findings_are_grouped_by_file_and_ordered_by_line() -> None:
    """Whatever order the model gives, people read file by file, from top to bottom; then summary and outcome."""
    b = Finding("b.py", 2, "warning", "unused", "never used", "")
    late, early = (
        Finding("a.py", 12, "error", "div", "divides by zero", "check"),
        Finding("a.py", 3, "info", "is", "odd", ""),
    )
    expected = (
        "/w/a.py\n"
        "     3  info     odd  [is]\n"
        "    12  error    divides by zero  [div]\n"
        "                 → check\n"
        "\n"
        "/w/b.py\n"
        "     2  warning  never used  [unused]\n"
        "\n"
        "Two faults.\n"
        "\n"
        "Outcome: answered · 2 files, 3 findings (1 error, 1 warning, 1 info), 3 steps\n"
    )
    assert expected == as_text(review(b, late, early))


def test_a_message_of_several_lines_keeps_to_its_own() -> None:
    """Whatever the model says, a finding is one line and its suggestion another."""
    text = as_text(review(Finding("a.py", 1, "info", "r", "one\ntwo", "three\n\nfour")))
    assert text.startswith("/w/a.py\n     1  info     one two  [r]\n                 → three four\n\n")


def test_what_was_changed_and_left_out_is_told() -> None:
    """Both stand below the summary."""
    text = as_text(review(changed=["a.py"], left_out=["c.py is binary, not text"]))
    assert "Two faults.\nLeft out: c.py is binary, not text\nChanged: /w/a.py\n" in text


def test_paths_are_shown_as_they_can_be_opened_from_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file below the current folder is shown relative to it."""
    monkeypatch.chdir(tmp_path)
    text = as_text(review(Finding("a.py", 1, "info", "r", "m", ""), workspace=str(tmp_path / "sub")))
    assert text.startswith("sub/a.py\n")


def test_control_characters_do_not_reach_the_terminal() -> None:
    """What the model says is shown, not obeyed."""
    assert "\\x1b[2Jgone\\x07" in as_text(review(summary="\x1b[2Jgone\x07"))


def test_the_json_is_the_whole_review() -> None:
    """Every field is there, under its name."""
    told = json.loads(as_json(review(Finding("a.py", 1, "info", "r", "m", "s"))))
    assert {"path": "a.py", "line": 1, "severity": "info", "rule": "r", "message": "m", "suggestion": "s"} == told[
        "findings"
    ][0]
    assert set(Review.__struct_fields__) == set(told)
