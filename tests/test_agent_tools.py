"""Rules of `agent.tools`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.analyst import Analyst
from agent.errors import ToolError
from agent.notes import Notes
from agent.registry import ToolRegistry
from agent.tools import fixing_tools, memory_tools, patched, reading_tools
from agent.workspace import Source, Workspace
from instrument.testing import record
from tests.agent_endpoint import Script, endpoint, fault, says

SHOP = "def mean(prices):\n    return sum(prices) / len(prices)\n"


class Bench:
    """All tools over a folder, and what the analyst is asked."""

    def __init__(self, root: Path, script: Script, analyst: Analyst) -> None:
        self.root, self.script, self.changed = root, script, list[str]()
        workspace = Workspace(root)
        reading, fixing = reading_tools(workspace, analyst), fixing_tools(workspace, self.changed)
        self.registry = ToolRegistry([*reading, *memory_tools(Notes(root)), *fixing])

    def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        """What the model reads after a call."""
        return dict(json.loads(self.registry.call(name, json.dumps(arguments)).text))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """The tools over a folder with one file."""
    (tmp_path / "shop.py").write_text(SHOP)
    script = Script(think=[], analysis=[says({"findings": [fault(2)]})])
    with record(), endpoint(script) as there:
        yield Bench(tmp_path, script, Analyst(there))


def test_read_file_gives_numbered_lines(bench: Bench) -> None:
    """The lines come with their numbers and how many there are."""
    expected = {"path": "shop.py", "from": 1, "to": 1, "of": 2, "source": "    1| def mean(prices):"}
    assert expected == bench.call("read_file", path="shop.py", end_line=1)["result"]


def test_a_long_file_is_read_in_parts(bench: Bench) -> None:
    """One answer has a limit, and says where it ended."""
    (bench.root / "long.py").write_text("x = 1\n" * 2000)
    result = bench.call("read_file", path="long.py", start_line=1000)["result"]
    assert (1000, 1499, 2000) == (result["from"], result["to"], result["of"])


@pytest.mark.parametrize("line", [0, -1, 3, 10**9])
def test_a_line_that_is_not_there_is_told(bench: Bench, line: int) -> None:
    """A range outside of the file is an error that says how long it is."""
    assert (
        f"shop.py has 2 lines, there is no line {line}"
        == bench.call("read_file", path="shop.py", start_line=line)["error"]
    )


def test_analyze_code_asks_the_second_model(bench: Bench) -> None:
    """The analyst is the cheaper model; it gets path, focus and the numbered source."""
    bench.call("analyze_code", path="shop.py", focus="division\nonly")
    request = bench.script.requests[0]
    source = "    1| def mean(prices):\n    2|     return sum(prices) / len(prices)"
    assert "gpt-4.1-mini" == request["model"]
    assert f"PATH: shop.py\nFOCUS: division only\n\n{source}" == request["input"][0]["content"]


def test_analyze_code_answers_the_findings(bench: Bench) -> None:
    """What the analyst found comes back as it said it."""
    assert {"path": "shop.py", "findings": [fault(2)]} == bench.call("analyze_code", path="shop.py")["result"]


def test_an_unreadable_analysis_is_told(bench: Bench) -> None:
    """An analyst that talks instead of answering is a failure of the tool, not of the review."""
    bench.script.analysis = [says("Looks good to me!")]
    assert "could not be read" in bench.call("analyze_code", path="shop.py")["error"]


def test_notes_are_remembered_and_recalled(bench: Bench) -> None:
    """What one call remembers another finds."""
    bench.call("remember", key="shop.py", value="mean of nothing")
    assert {"notes": {"shop.py": "mean of nothing"}} == bench.call("recall", query="nothing")["result"]


def test_patch_file_replaces_and_says_where(bench: Bench) -> None:
    """The old text is replaced; the answer holds the line, the file is listed as changed."""
    result = bench.call("patch_file", path="shop.py", old="/ len(prices)", new="/ (len(prices) or 1)")["result"]
    assert ({"path": "shop.py", "line": 2}, ["shop.py"]) == (result, bench.changed)
    assert "(len(prices) or 1)" in (bench.root / "shop.py").read_text()


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("", "x", "does not occur"),
        ("missing", "x", "does not occur"),
        ("prices", "x", "more than once"),
        ("def mean(prices):", "def mean(prices:", "would not be valid Python"),
    ],
)
def test_a_patch_that_is_not_exact_changes_nothing(bench: Bench, old: str, new: str, why: str) -> None:
    """Text that is missing, occurs twice or would break the file is refused with the reason."""
    assert why in bench.call("patch_file", path="shop.py", old=old, new=new)["error"]
    assert (SHOP, []) == ((bench.root / "shop.py").read_text(), bench.changed)


def test_text_that_overlaps_itself_is_not_unique() -> None:
    """`aa` occurs twice in `aaa`."""
    with pytest.raises(ToolError, match="more than once"):
        patched(Source("a.txt", "aaa", "utf-8"), "aa", "b")


def test_a_patch_keeps_the_line_ends_of_the_file() -> None:
    """The model speaks in plain line ends; a file with others keeps them."""
    source = Source("a.py", "a = 1\r\nb = 2\r\nc = 3\r\n", "utf-8")
    assert ("a = 1\r\nb = 4\r\nd = 5\r\n", 2) == patched(source, "b = 2\nc = 3", "b = 4\nd = 5")


def test_a_file_that_is_broken_may_be_mended_in_steps() -> None:
    """Where the file does not parse before the patch it need not parse after it."""
    assert ("def f(:\n  (\n", 2) == patched(Source("a.py", "def f(:\n  ((\n", "utf-8"), "((", "(")


def test_write_test_makes_a_file_with_its_folders(bench: Bench) -> None:
    """A new test may lie in a folder that is not there yet."""
    assert {"path": "tests/test_a.py"} == bench.call("write_test", path="tests/test_a.py", content="x = 1\n")["result"]
    assert "x = 1\n" == (bench.root / "tests" / "test_a.py").read_text()


@pytest.mark.parametrize("path", ["shop.py", "test_a.txt", "conftest.py", "../test_a.py", ".git/test_a.py"])
def test_write_test_writes_nothing_but_tests(bench: Bench, path: str) -> None:
    """Only files with the name of a test, inside the workspace."""
    assert not bench.call("write_test", path=path, content="x = 1\n")["ok"]
    assert ["shop.py"] == [each.name for each in bench.root.iterdir()]


def test_write_test_does_not_write_through_a_link(bench: Bench) -> None:
    """A link with the name of a test to a file that is none does not make that file."""
    (bench.root / "test_a.py").symlink_to("conftest.py")
    assert not bench.call("write_test", path="test_a.py", content="x = 1\n")["ok"]


def test_write_test_does_not_replace_what_was_there(bench: Bench) -> None:
    """A test of the user's is not overwritten, not even after it was patched."""
    (bench.root / "test_shop.py").write_text("mine = 1\n")
    bench.call("patch_file", path="test_shop.py", old="mine = 1", new="mine = 2")
    assert "is there already" in bench.call("write_test", path="test_shop.py", content="x = 1\n")["error"]


def test_write_test_may_replace_its_own_file(bench: Bench) -> None:
    """A test that the agent wrote itself can be written again."""
    bench.call("write_test", path="test_a.py", content="x = 1\n")
    assert bench.call("write_test", path="test_a.py", content="x = 2\n")["ok"]
    assert ["test_a.py"] == bench.changed


def test_a_test_fails_before_the_patch_and_passes_after_it(bench: Bench) -> None:
    """The tools together: write a test, see it fail, patch, see it pass."""
    content = "from shop import mean\n\ndef test_mean():\n    assert mean([]) == 0\n"
    bench.call("write_test", path="test_shop.py", content=content)
    before = bench.call("run_test", path="test_shop.py")["result"]
    bench.call("patch_file", path="shop.py", old="/ len(prices)", new="/ (len(prices) or 1)")
    after = bench.call("run_test", path="test_shop.py")["result"]
    assert (False, 1, True, 0) == (before["passed"], before["exit_code"], after["passed"], after["exit_code"])
    assert "ZeroDivisionError" in before["output"]


@pytest.mark.parametrize("path", ["shop.py", "test_missing.py", "../test_a.py"])
def test_run_test_runs_nothing_but_tests(bench: Bench, path: str) -> None:
    """A file that is no test, missing or outside is not run."""
    assert not bench.call("run_test", path=path)["ok"]
