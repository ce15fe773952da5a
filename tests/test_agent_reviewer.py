"""Rules of `agent.reviewer`: the loop against a scripted model over real HTTP, as it is recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.errors import ModelError
from agent.notes import Notes
from agent.report import Review
from agent.reviewer import Limits, Reviewer
from agent.selection import select
from instrument import BudgetExceeded, LoopDetected
from instrument.testing import record
from tests.agent_endpoint import SHOP, Raw, Script, call, endpoint, finding, raw_call, reasoning, says, verdict


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one file to review."""
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


class Run:
    """One review: what came of it, what the model was asked, what was recorded."""

    def __init__(self, folder: Path, script: Script, *, fix: bool = False, limits: Limits | None = None) -> None:
        self.script, self.error = script, None
        with record() as recording, endpoint(script) as there:
            self.reviewer = Reviewer(select([folder]), there, fix=fix, limits=limits or Limits())
            try:
                self.review: Review | None = self.reviewer.review("Find faults")
            except ModelError as error:
                self.review, self.error = None, error
            self.spans, self.logs = list(recording.spans), list(recording.logs)

    @property
    def root(self) -> Any:
        """The span of the whole review."""
        return next(span for span in self.spans if span.kind == "agent")

    def events(self, *names: str) -> list[str]:
        """The logged events, or those of some names, in order."""
        return [log.event for log in self.logs if not names or log.event in names]

    def thoughts(self) -> list[list[dict[str, Any]]]:
        """What the model was given each time it thought."""
        return [request["input"] for request in self.script.asked("review")]

    def answered(self, call_id: str = "call_1") -> dict[str, Any]:
        """What the model read as the answer to a call."""
        items = [item for item in self.thoughts()[-1] if item.get("type") == "function_call_output"]
        return dict(json.loads(next(item["output"] for item in items if item["call_id"] == call_id)))


def run(folder: Path, *think: Any, limits: Limits | None = None, fix: bool = False, **answers: Any) -> Run:
    """A review by a model that answers so."""
    return Run(folder, Script(think, **answers), fix=fix, limits=limits)


ANALYZE = call("analyze_code", path="shop.py")


def test_it_acts_until_the_model_answers(folder: Path) -> None:
    """Tools are called step by step, and the answer is the review."""
    done = run(folder, call("read_file", path="shop.py"), ANALYZE, verdict(finding())).review
    assert done
    assert ("answered", 3, ["divides by zero"]) == (done.outcome, done.steps, [f.message for f in done.findings])


def test_the_tree_is_root_plan_and_steps(folder: Path) -> None:
    """Plan and steps lie below the root, thoughts and tools below their step, the analysis below its tool."""
    done = run(folder, ANALYZE, verdict())
    names = {span.span_id: span.name for span in done.spans}
    expected = [
        ("Reviewer.create_plan", "Reviewer.review"),
        ("Reviewer.think", "step"),
        ("Analyst.analyze", "analyze_code"),
        ("analyze_code", "step"),
        ("step", "Reviewer.review"),
        ("Reviewer.think", "step"),
        ("step", "Reviewer.review"),
        ("Reviewer.review", None),
    ]
    assert expected == [(span.name, names.get(span.parent_id or "")) for span in done.spans]


def test_each_span_has_its_kind(folder: Path) -> None:
    """The public decorators give agent, step, llm and tool spans."""
    done = run(folder, ANALYZE, verdict())
    assert {"agent", "step", "llm", "tool"} == {span.kind for span in done.spans}


def test_steps_are_numbered(folder: Path) -> None:
    """Every iteration is one step span with its number."""
    done = run(folder, ANALYZE, verdict())
    assert [1, 2] == [span.attributes["instrument.iteration"] for span in done.spans if span.kind == "step"]


def test_every_call_to_the_model_is_counted(folder: Path) -> None:
    """Planning, thinking, analysing and reflecting all carry the tokens that the endpoint reported."""
    done = run(folder, ANALYZE, verdict(), limits=Limits(reflect_every=1))
    calls = [span for span in done.spans if span.kind == "llm"]
    assert len(done.script.requests) == len(calls)
    assert {(100, 10)} == {(span.usage.input, span.usage.output) for span in calls if span.usage}
    assert all(span.usage for span in calls)


def test_the_root_carries_label_and_outcome(folder: Path) -> None:
    """The root says what the task was and how it ended."""
    attributes = run(folder, verdict()).root.attributes
    assert ("Find faults", "answered") == (attributes["instrument.label"], attributes["instrument.agent.outcome"])


def test_the_events_of_a_step(folder: Path) -> None:
    """The agent logs its beginning, and each step thinking, acting and every tool call."""
    done = run(folder, [call("read_file", "1", path="shop.py"), call("nope", "2")], verdict())
    think = ["THINK_START", "THINK_COMPLETE"]
    act = ["ACT_START", "TOOL_CALL", "TOOL_COMPLETE", "TOOL_CALL", "ACT_ERROR"]
    assert ["AGENT_INIT", *think, *act, *think] == done.events()


def test_the_agent_is_known_in_every_log(folder: Path) -> None:
    """All logs carry the id of the agent instance, that of its making included."""
    done = run(folder, ANALYZE, verdict())
    assert {done.reviewer.agent_id} == {log.agent_id for log in done.logs}


def test_it_ends_when_its_steps_end(folder: Path) -> None:
    """A model that never answers is stopped, and what the analyst found is the unfinished review."""
    done = run(folder, ANALYZE, limits=Limits(max_steps=3))
    assert done.review
    assert ("max_steps", 3, [2]) == (done.review.outcome, done.review.steps, [f.line for f in done.review.findings])
    assert "max_steps" == done.root.attributes["instrument.agent.outcome"]
    assert 3 == len(done.script.asked("review"))


def test_an_unknown_tool_is_answered_to_the_model(folder: Path) -> None:
    """The model reads that there is no such tool, and may go on."""
    done = run(folder, call("delete_everything"), verdict())
    assert "there is no tool 'delete_everything'" in done.answered()["error"]
    assert done.review
    assert "answered" == done.review.outcome


@pytest.mark.parametrize("arguments", ["{", "[]", '{"path": 3}', '{"file": "shop.py"}', ""])
def test_invalid_arguments_are_answered_to_the_model(folder: Path, arguments: str) -> None:
    """The model reads what does not fit, and the tool is not called."""
    done = run(folder, raw_call("read_file", arguments), verdict())
    assert "the arguments do not fit" in done.answered()["error"]
    assert not [span for span in done.spans if span.kind == "tool"]


def test_parallel_calls_are_made_in_order(folder: Path) -> None:
    """Each gets its own output, in the model's order."""
    done = run(folder, [call("remember", "b", key="k", value="v"), call("recall", "a", query="k")], verdict())
    outputs = [item["call_id"] for item in done.thoughts()[-1] if item.get("type") == "function_call_output"]
    assert (["b", "a"], {"notes": {"k": "v"}}) == (outputs, done.answered("a")["result"])


def test_reasoning_goes_back_before_its_call(folder: Path) -> None:
    """The next request holds what the model said and the output, in that order."""
    done = run(folder, [reasoning("sealed"), ANALYZE], verdict())
    kinds = [item.get("type", item.get("role")) for item in done.thoughts()[-1]]
    assert ["user", "reasoning", "function_call", "function_call_output"] == kinds


def test_the_model_sees_its_assignment(folder: Path) -> None:
    """The first message names task, files, whether to mend them, the notes and where the plan stands."""
    expected = (
        "TASK: Find faults\nFILES:\n- shop.py\nFIX: no\nNOTES: (none)\n"
        "DONE: (none)\nCURRENT:\n- Analyse the file\nREMAINING:\n- Answer"
    )
    assert expected == run(folder, verdict()).thoughts()[0][0]["content"]


def test_without_fix_nothing_that_writes_is_offered(folder: Path) -> None:
    """Patching, writing and running tests are offered only where the user asked for it."""
    done = run(folder, call("patch_file", path="shop.py", old="sum", new="max"), verdict())
    offered = {tool["name"] for tool in done.script.asked("review")[0]["tools"]}
    assert {"read_file", "analyze_code", "remember", "recall"} == offered
    assert not done.answered()["ok"]


def test_without_fix_only_notes_are_written(folder: Path) -> None:
    """After a review the workspace is as it was, but for the agent's own folder."""
    run(folder, call("remember", key="shop.py", value="x"), verdict())
    assert {"shop.py", ".agent"} == {each.name for each in folder.iterdir()}


def test_with_fix_files_are_changed_and_told(folder: Path) -> None:
    """The review lists what was changed."""
    done = run(folder, call("patch_file", path="shop.py", old="/ len(prices)", new="/ 1"), verdict(), fix=True)
    assert done.review
    assert ["shop.py"] == done.review.changed
    assert "/ 1" in (folder / "shop.py").read_text()


def test_a_reflection_moves_the_plan_on(folder: Path) -> None:
    """What is done or failed is shown so the next time the model thinks."""
    judged = says({"steps": [{"step": 1, "status": "failed", "reason": "no such file"}]})
    done = run(folder, ANALYZE, verdict(), reflection=(judged,), limits=Limits(reflect_every=1))
    opening = done.thoughts()[-1][0]["content"]
    assert "DONE:\n- Analyse the file (failed: no such file)\nCURRENT:\n- Answer\nREMAINING: (none)" in opening


def test_there_is_a_reflection_every_few_steps(folder: Path) -> None:
    """Calls are kept few: as long as nothing fails only every third step looks back."""
    done = run(folder, *[call("recall", query=str(n)) for n in range(7)], verdict())
    assert 2 == len(done.script.asked("reflection"))


def test_a_failed_call_is_reflected_on_at_once(folder: Path) -> None:
    """The model judges its plan right after a failure, and is told what happened."""
    done = run(folder, call("read_file", path="gone.py"), verdict())
    assert "gone.py" in done.script.asked("reflection")[0]["input"][0]["content"]


def test_an_unreadable_reflection_changes_nothing(folder: Path) -> None:
    """The plan stays as it is, and the review goes on."""
    done = run(folder, ANALYZE, verdict(), reflection=(says("All is well"),), limits=Limits(reflect_every=1))
    assert "DONE: (none)" in done.thoughts()[-1][0]["content"]


def test_an_unreadable_plan_is_one_step(folder: Path) -> None:
    """The agent proceeds step by step."""
    done = run(folder, verdict(), plan=(says("Let me think about it."),))
    assert "CURRENT:\n- proceed step by step" in done.thoughts()[0][0]["content"]


def test_an_unreadable_answer_is_given_back_once(folder: Path) -> None:
    """The model is told, and its second try counts."""
    done = run(folder, says("The file is fine."), verdict(summary="Fine."))
    assert done.review
    assert "Fine." == done.review.summary
    assert ["The file is fine.", "not the review in the JSON form"] == [
        item["content"] if n == 0 else item["content"][21:52] for n, item in enumerate(done.thoughts()[-1][1:])
    ]


def test_a_model_that_only_talks_ends_the_review(folder: Path) -> None:
    """A second answer that is no review is an error in one sentence, and the trace is kept with that outcome."""
    done = run(folder, says("Certainly! I'd be happy to help."))
    assert 'The model answered twice with what is no review: "Certainly! I\'d be happy to help."' == str(done.error)
    assert ("error", "error") == (done.root.status, done.root.attributes["instrument.agent.outcome"])


def test_an_endpoint_that_fails_for_a_moment_is_not_noticed(folder: Path) -> None:
    """The client tries again after 500 and 429."""
    done = run(folder, Raw(500, b"{}"), Raw(429, b"{}"), verdict())
    assert done.review
    assert "answered" == done.review.outcome


def test_an_endpoint_that_stays_broken_ends_the_review(folder: Path) -> None:
    """The error is one sentence, the failed call and its step are in the trace."""
    done = run(folder, Raw(500, b'{"error": {"message": "out of order"}}'))
    assert "answered 500: out of order" in str(done.error)
    assert ["Reviewer.think", "step", "Reviewer.review"] == [span.name for span in done.spans if span.status == "error"]


@pytest.mark.parametrize(
    ("refusal", "outcome"), [(BudgetExceeded("no money left"), "budget"), (LoopDetected("again"), "loop")]
)
def test_a_refused_call_ends_the_review(
    folder: Path, monkeypatch: pytest.MonkeyPatch, refusal: Exception, outcome: str
) -> None:
    """What a budget or the loop breaker refuses ends the review with what was found until then."""
    monkeypatch.setattr(Notes, "recall", lambda self, query: (_ for _ in ()).throw(refusal))
    done = run(folder, ANALYZE, call("recall", query="x"), verdict())
    assert done.review
    assert (outcome, [2]) == (done.review.outcome, [f.line for f in done.review.findings])
    assert str(refusal) in done.review.summary
    assert outcome == done.root.attributes["instrument.agent.outcome"]


def test_a_second_review_knows_what_the_first_noted(folder: Path) -> None:
    """Notes about the files at hand stand in the first message."""
    run(folder, call("remember", key="shop.py", value="mean of\nnothing"), verdict())
    assert "NOTES:\n- shop.py: mean of nothing\n" in run(folder, verdict()).thoughts()[0][0]["content"]


def test_a_long_history_is_summarised(folder: Path) -> None:
    """After so many turns the older ones are told in brief, and calls stay with their outputs."""
    thoughts = [call("recall", f"c{n}", query=str(n)) for n in range(6)]
    done = run(folder, *thoughts, verdict(), limits=Limits(summarize_after=4))
    items = done.thoughts()[-1]
    assert "SUMMARY OF EARLIER STEPS:\nwhat went before" == items[1]["content"]
    calls = [item["call_id"] for item in items if item.get("type") == "function_call"]
    assert ([item["call_id"] for item in items if item.get("type") == "function_call_output"], "c5") == (
        calls,
        calls[-1],
    )


def test_a_summary_is_made_of_what_leaves(folder: Path) -> None:
    """The model gets the turns that leave, with calls and outputs, and the summary before."""
    thoughts = [call("recall", f"c{n}", query=str(n)) for n in range(6)]
    asked = run(folder, *thoughts, verdict(), limits=Limits(summarize_after=4)).script.asked("summary")
    assert ["c0", "c1", "c2"] == [item["call_id"] for item in asked[0]["input"] if item.get("type") == "function_call"]


def test_requests_stay_within_the_context(folder: Path) -> None:
    """Large outputs are cut or leave, so that no request is longer than the model can take."""
    (folder / "long.py").write_text("x = 'some text that takes tokens'\n" * 5000)
    calls = [call("read_file", f"c{n}", path="long.py", start_line=n * 400 + 1) for n in range(5)]
    done = run(folder, *calls, verdict(), limits=Limits(max_context_tokens=8000))
    sizes = [
        done.reviewer.tokens(json.dumps([request["input"], request["tools"]]))
        for request in done.script.asked("review")
    ]
    assert max(sizes) < 9000
    assert done.review
    assert "answered" == done.review.outcome
