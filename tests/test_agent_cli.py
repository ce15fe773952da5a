"""Rules of `agent.cli`: exit codes and what is printed where."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from loguru import logger

from agent import cli
from agent.reviewer import Reviewer
from agent.workspace import locked
from instrument.reading import read
from instrument.testing import record
from tests.agent_endpoint import SHOP, Raw, Script, call, finding, says, serving, verdict
from tests.programs import python


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A file to review."""
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path / "shop.py"


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """The command line in this process, recorded by the test kit; gives exit code, stdout and stderr."""
    monkeypatch.setattr(cli, "configure", lambda **settings: settings)
    monkeypatch.setattr(cli, "shutdown", lambda: None)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")

    def run(*arguments: object, script: Script | None = None) -> tuple[int, str, str]:
        with record(), serving(script or Script(think=[verdict()])) as url:
            monkeypatch.setenv("OPENAI_BASE_URL", url)
            try:
                code = cli.main([str(argument) for argument in arguments])
            except SystemExit as stop:
                code = int(stop.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    yield run
    logger.remove()


def agent(*arguments: object, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, started in a folder."""
    return python("-m", "agent", *map(str, arguments), cwd=folder, **environment)


def test_a_review_that_finds_faults_exits_0(main: Any, shop: Path) -> None:
    """Findings are what a review is for, no failure."""
    code, out, _ = main("review", shop, script=Script(think=[verdict(finding())]))
    assert 0 == code
    assert "     2  error    divides by zero  [division]\n" in out


def test_only_one_review_at_a_time_mends_a_folder(main: Any, shop: Path) -> None:
    """A second one with --fix does not begin; one that only reads does."""
    with locked(shop.parent):
        fixing, _, told = main("review", shop, "--fix")
        reading, *_ = main("review", shop)
    assert (2, 0) == (fixing, reading)
    assert f"agent: another review with --fix is at work in {shop.parent}; try again when it has ended\n" == told


def test_what_was_changed_before_ctrl_c_is_named(main: Any, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to look for what a stopped review has left behind."""

    def stopped(self: Reviewer, task: str) -> None:
        self.changed.append("shop.py")
        raise KeyboardInterrupt

    monkeypatch.setattr(Reviewer, "review", stopped)
    assert (130, "", "agent: changed until it was stopped: shop.py\nagent: stopped from the keyboard\n") == main(
        "review", shop, "--fix"
    )


def test_json_is_all_there_is_on_stdout(main: Any, shop: Path) -> None:
    """One object, and nothing else."""
    _, out, _ = main("review", shop, "--json", script=Script(think=[verdict(finding())]))
    told = json.loads(out)
    assert ("answered", ["shop.py"], 2) == (told["outcome"], told["files"], told["findings"][0]["line"])


def test_the_trace_can_be_found_from_the_json(main: Any, shop: Path) -> None:
    """The review says which trace recorded it."""
    assert 32 == len(json.loads(main("review", shop, "--json")[1])["trace_id"])


def test_a_review_that_is_not_finished_exits_1(main: Any, shop: Path) -> None:
    """Steps that end before there is an answer: what there is is printed."""
    script = Script(think=[call("analyze_code", path="shop.py")])
    code, out, _ = main("review", shop, "--max-steps", 2, script=script)
    assert 1 == code
    assert "Outcome: max_steps · 1 file, 1 finding (1 error), 2 steps" in out


@pytest.mark.parametrize("answer", [Raw(401, b'{"error": {"message": "no such key"}}'), says("Sure!"), Raw(200, b"{}")])
def test_a_model_that_is_of_no_use_exits_1_with_one_sentence(main: Any, shop: Path, answer: Any) -> None:
    """The sentence stands on stderr, without a traceback."""
    code, _, err = main("review", shop, script=Script(think=[answer]))
    assert (1, 1) == (code, err.count("\n"))
    assert err.startswith("agent: The model")


def test_an_error_is_told_in_the_json_too(main: Any, shop: Path) -> None:
    """A program that reads stdout gets an object in any case."""
    out = main("review", shop, "--json", script=Script(think=[Raw(401)]))[1]
    assert "error" == json.loads(out)["outcome"]


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("gone.py", None, "does not exist"),
        ("empty", "folder", "holds no Python file"),
        ("picture.py", b"\x89PNG\0", "binary"),
        ("notes.md", b"# Notes\n", "not a Python file"),
    ],
)
def test_what_cannot_be_reviewed_exits_2_with_one_sentence(
    main: Any, tmp_path: Path, name: str, data: Any, why: str
) -> None:
    """The sentence names the path and says why; the model is not asked."""
    if data == "folder":
        (tmp_path / name).mkdir()
    elif data is not None:
        (tmp_path / name).write_bytes(data)
    script = Script(think=[verdict()])
    code, out, err = main("review", tmp_path / name, script=script)
    assert (2, "", 1, []) == (code, out, err.count("\n"), script.requests)
    assert name in err
    assert why in err


@pytest.mark.parametrize(
    "options",
    [
        ["--max-steps", "0"],
        ["--max-steps", "x"],
        ["--budget-usd", "-1"],
        ["--budget-usd", "nan"],
        ["--task", " "],
        ["--fast"],
    ],
    ids=" ".join,
)
def test_a_wrong_option_exits_2(main: Any, shop: Path, options: list[str]) -> None:
    """The usage is shown with what is wrong."""
    code, _, err = main("review", shop, *options)
    assert 2 == code
    assert options[0] in err


def test_the_task_reaches_the_model(main: Any, shop: Path) -> None:
    """What the user asks for stands in the first message."""
    script = Script(think=[verdict()])
    main("review", shop, "--task", "Only look at names", script=script)
    assert script.requests[0]["input"][0]["content"].startswith("TASK: Only look at names\n")


def test_fix_is_for_the_user_to_allow(main: Any, shop: Path) -> None:
    """With `--fix` the tools that write are offered."""
    script = Script(think=[verdict()])
    main("review", shop, "--fix", script=script)
    assert {"patch_file", "write_test", "run_test"} < {tool["name"] for tool in script.asked("review")[0]["tools"]}


def test_the_chosen_models_are_asked(main: Any, shop: Path) -> None:
    """`--model` names the reviewer and, after a comma, the analyst."""
    script = Script(think=[call("analyze_code", path="shop.py"), verdict()])
    main("review", shop, "--model", "large,small", script=script)
    assert ["large", "large", "small", "large"] == [request["model"] for request in script.requests]


def test_a_setting_that_does_not_exist_exits_2_with_one_sentence(shop: Path) -> None:
    """A wrong key in the environment is told before anything is done."""
    done = agent("review", shop, folder=shop.parent, INSTRUMENT_SINKZ="jsonl")
    assert (2, "") == (done.returncode, done.stdout)
    assert "INSTRUMENT_SINKZ" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_trace_of_a_failed_review_is_kept(shop: Path) -> None:
    """An endpoint that is down ends the review with one sentence, and what happened is on disk."""
    folder = shop.parent / "here"
    folder.mkdir()
    environment = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "INSTRUMENT_SINKS": "jsonl"}
    done = agent("review", shop, folder=folder, **environment)
    lines = [
        json.loads(line) for path in folder.glob(".instrument/events/*.jsonl") for line in path.read_text().splitlines()
    ]
    root = next(line for line in lines if line.get("kind") == "agent" and line["type"] == "span")
    assert (1, 1) == (done.returncode, done.stderr.count("\n"))
    assert ("error", "error") == (root["status"], root["attributes"]["instrument.agent.outcome"])


class Spent(NamedTuple):
    """A review that ran out of money, what the model was asked meanwhile, and where it was recorded."""

    done: subprocess.CompletedProcess[str]
    requests: list[Any]
    recorded: Path


@pytest.fixture(scope="module")
def spent(tmp_path_factory: pytest.TempPathFactory) -> Spent:
    folder = tmp_path_factory.mktemp("spent")
    (folder / "shop.py").write_text(SHOP)
    script = Script(think=[call("analyze_code", path="shop.py")])
    with serving(script) as url:
        environment = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": url, "INSTRUMENT_SINKS": "jsonl"}
        arguments = ["review", folder / "shop.py", "--json", "--model", "gpt-4.1", "--budget-usd", "0.01"]
        done = agent(*arguments, folder=folder, INSTRUMENT_BUDGET__ASSUMED_OUTPUT="60", **environment)
    return Spent(done, script.requests, folder / ".instrument")


def test_money_that_is_spent_ends_the_review(spent: Spent) -> None:
    """With `--budget-usd` the call that does not fit any more is not sent, and the review is unfinished."""
    one_call = 100 * 2e-6 + 10 * 8e-6  # its tokens at the price of gpt-4.1, the dearer of the two models
    assert (1, "budget") == (spent.done.returncode, json.loads(spent.done.stdout)["outcome"])
    assert 0 < len(spent.requests) * one_call <= 0.01


def test_a_review_that_ran_out_of_money_says_so(spent: Spent) -> None:
    """One clear sentence with what was spent, reserved and asked."""
    said = r"The review is unfinished: the budget allows 0\.01 USD: [\d.]+ spent, 0 reserved .* may take [\d.]+\."
    assert re.fullmatch(said, json.loads(spent.done.stdout)["summary"])


def test_a_review_that_ran_out_of_money_keeps_its_trace(spent: Spent) -> None:
    """With the calls that were made."""
    [trace] = [found for found in read(spent.recorded) if found.root.kind == "agent"]
    assert "budget" == trace.root.attributes["instrument.agent.outcome"]
    assert len(spent.requests) == trace.cost.priced


def test_without_a_key_the_embedded_model_reviews(shop: Path) -> None:
    """No key, no network: the fault of the file is found, the notice says how, and a proxy is not asked."""
    proxies = {
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
    }
    done = agent("review", shop, "--json", folder=shop.parent, INSTRUMENT_SINKS="jsonl", **proxies)
    told = json.loads(done.stdout)
    assert (0, [2]) == (done.returncode, [each["line"] for each in told["findings"]])
    assert "OPENAI_API_KEY is not set: the embedded offline model" in done.stderr
