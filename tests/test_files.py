"""Plain files: what people of the field expect to find of a run, readable by any JSON reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from instrument.analysis.tree import Trace, traces
from instrument.model import Event, Link
from instrument.views.files import nested, save
from tests.recorded import NOON, call, fold, head, log, review, span


def of_review() -> Trace:
    return fold(*review())


def saved(folder: Path, *found: Trace, **options: Any) -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text()) for path in save(found or [of_review()], folder, **options)}


def test_four_files_are_written(tmp_path: Path) -> None:
    """Their names are fixed; nothing else is left in the folder."""
    names = [path.name for path in save(of_review(), tmp_path / "new")]
    expected = ["traces.json", "logs.json", "tokens.json", "metrics.json"]
    assert (expected, sorted(expected)) == (names, sorted(path.name for path in (tmp_path / "new").iterdir()))


def test_spans_are_nested_as_children(tmp_path: Path) -> None:
    """From the root down, in order, with UTC times and milliseconds."""
    (trace,) = saved(tmp_path)["traces"]
    root = trace["root"]
    failed = root["children"][2]["children"][1]
    names = [child["name"] for child in root["children"]]
    assert ["create_plan", "iteration", "iteration", "iteration"] == names
    assert (9000.0, "2026-11-23T12:00:00.001000Z") == (root["duration_ms"], root["start"])
    assert ("error", "FileNotFoundError") == (failed["status"], failed["error"]["type"])


def test_logs_have_utc_timestamps_in_order(tmp_path: Path) -> None:
    """Each with its level, event, message, metadata, and the name of its span."""
    logs = saved(tmp_path)["logs"]
    assert [
        ("2026-11-23T12:00:00.001000Z", "AGENT_INIT", "review"),
        ("2026-11-23T12:00:00.950000Z", "ACT_ERROR", "iteration"),
    ] == [(one["timestamp"], one["event"], one["span_name"]) for one in logs]


def test_logs_outside_of_the_traces_can_be_added(tmp_path: Path) -> None:
    """They take their place in time."""
    logs = saved(tmp_path, of_review(), logs=[log(0, event="SETUP")])["logs"]
    assert "SETUP" == logs[0]["event"]


def test_tokens_have_a_summary_and_a_detailed_log(tmp_path: Path) -> None:
    """The sum over all calls, and every call with its model, operation, agent, tokens and money."""
    tokens = saved(tmp_path)["tokens"]
    spent = tokens["summary"]["total"]
    assert (6818, 405, "0.002397", 1) == tuple(spent[key] for key in ("input", "output", "usd", "unpriced"))
    assert (4, "gpt-4.1-mini", "create_plan", "reviewer-1", 857, "0.000397") == (
        len(tokens["detailed_log"]),
        *(tokens["detailed_log"][0][key] for key in ("model", "operation", "agent", "total", "usd")),
    )


def test_metrics_are_given_over_all_and_by_trace(tmp_path: Path) -> None:
    """Counts, times by name, tokens and money by model; the time of all is the sum, whenever they ran."""
    other = next(traces([span(1, trace_id="b" * 32, start_ns=NOON + 10**15)]))
    metrics = saved(tmp_path, of_review(), other)["metrics"]
    assert (9_005_000_000, 7223) == (
        metrics["overall"]["wall_ns"],
        metrics["overall"]["spent_by_kind"]["llm"]["tokens"],
    )
    assert (2, 16, 3, {15, 1}) == (
        metrics["overall"]["traces"],
        metrics["overall"]["spans"],
        metrics["overall"]["by_name"]["read_file"]["count"],
        {one["spans"] for one in metrics["traces"].values()},
    )


def test_money_that_is_not_known_is_null(tmp_path: Path) -> None:
    """Never zero."""
    (trace,) = traces([call(1, usd=None)])
    assert None is saved(tmp_path, trace)["traces"][0]["cost"]["usd"]


def test_everything_of_a_span_is_written(tmp_path: Path) -> None:
    """Input, output, attributes, events, links, and keys that this version does not know."""
    rich = span(1, input={"a": 1}, output=[2], attributes={"k": "v"}, events=[Event("e", NOON)], links=[Link("t", "s")])
    (trace,) = traces([replace(rich, extra={"new": 5})])
    root = saved(tmp_path, trace)["traces"][0]["root"]
    assert ({"a": 1}, [2], {"k": "v"}, "e", "t", 5) == (
        root["input"],
        root["output"],
        root["attributes"],
        root["events"][0]["name"],
        root["links"][0]["trace_id"],
        root["new"],
    )


def test_several_roots_are_all_there() -> None:
    """The first is the root, the others stand beside it."""
    (trace,) = traces([span(1), span(2), span(3, 2)])
    told = json.loads(b"".join(nested(trace)))
    assert ("span1", "span2", "span3") == (
        told["root"]["name"],
        told["more_roots"][0]["name"],
        told["more_roots"][0]["children"][0]["name"],
    )


def test_a_trace_without_spans_has_a_root() -> None:
    """Only logs were kept."""
    (trace,) = traces([log(1, 1)])
    assert ("open", 1) == ((told := json.loads(b"".join(nested(trace))))["root"]["status"], len(told["logs"]))


def test_what_has_not_ended_has_no_end() -> None:
    """What has ended has."""
    (trace,) = traces([head(1), span(2, 1)])
    root = json.loads(b"".join(nested(trace)))["root"]
    assert (False, True) == ("end" in root, "end" in root["children"][0])


def test_deep_traces_are_written() -> None:
    """Deeper than Python recurses: 3,000 levels give as many lines."""
    (trace,) = traces([span(n, n - 1 if n else None) for n in range(3000)])
    text = b"".join(nested(trace))
    assert (3000, 3000) == (text.count(b'"children":['), text.count(b"]}"))


def test_what_was_there_before_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """A second save leaves nothing of the first."""
    save(of_review(), tmp_path)
    (small,) = traces([span(1)])
    assert 1 == len(saved(tmp_path, small)["traces"][0]["root"]["name"].split())


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither half a file nor a temporary one stays behind."""
    save(of_review(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        save(of_review(), tmp_path)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
