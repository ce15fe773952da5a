"""The measure of detection against labels, on a few made traces."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.detection_labelled import main


def tool(number: int, query: str, *children: dict[str, Any]) -> dict[str, Any]:
    about = {"openinference.span.kind": "TOOL", "tool.name": "look", "input.value": query, "output.value": "nothing"}
    at = f"2026-01-01T00:00:{number:02}+00:00"
    return {
        "span_name": "look", "span_id": f"{number:016x}", "span_attributes": about, "status_code": "Ok",
        "timestamp": at, "child_spans": list(children),
    }  # fmt: skip


def labelled(name: str, queries: str, *categories: str) -> dict[str, Any]:
    spans = [tool(number, query) for number, query in enumerate(queries)]
    return {"id": name, "trace": {"spans": spans}, "labels": {"errors": [{"category": one} for one in categories]}}


def test_alarms_are_held_against_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two loops, of which one is labelled, and a loop that nobody sees: half of all is right."""
    call = {"id": "c", "function": {"name": "look", "arguments": "{}"}}
    run = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "a wall"}]
    rows = [
        labelled("loop", "aaaa", "Resource Abuse"), labelled("not told", "bbbb"), labelled("work", "abcd", "Other"),
        labelled("unseen", "abcd", "Other", "Resource Abuse"), {"messages": run, "reward": 1}, {"reward": 0},
    ]  # fmt: skip
    (tmp_path / "some.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.setattr("sys.argv", ["detection_labelled", "--data", str(tmp_path), "--splits", "4"])
    main()
    said = capsys.readouterr().out
    assert ["1 of 2", "1 of 2", "F1 0.500", "0 of 1"] == re.findall(r"\d of \d|F1 0\.\d+(?= \()", said)[:3] + [
        said.rpartition("runs ")[2][:6]
    ]
