"""The offline model as a reviewer: it plans, calls tools and answers from nothing but what is in each request."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from agent.offline import ledger, mind, notes, request
from agent.offline.conversation import deeds

CODE = "def mean(values):\n    return sum(values) / len(values)\n"
CLEAN = "def double(value):\n    return value * 2\n"
LEAKY = "def text(path):\n    file = open(path)\n    return file.read()\n"
READING = ("read_file", "analyze_code", "remember", "recall")
FIXING = (*READING, "patch_file", "write_test", "run_test")
ARGUMENTS = {
    "read_file": ("path", "start_line", "end_line"),
    "analyze_code": ("path", "focus"),
    "remember": ("key", "value"),
    "recall": ("query",),
    "patch_file": ("path", "old", "new"),
    "write_test": ("path", "content"),
    "run_test": ("path",),
}
FINDING = ("path", "line", "severity", "rule", "message", "suggestion")


def record(*names: str, **special: Any) -> dict[str, Any]:
    properties: dict[str, Any] = {name: {"type": ["string", "null"]} for name in names} | special
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


SCHEMAS = {
    "plan": record(steps=array({"type": "string"})),
    "review": record("summary", findings=array(record(*FINDING, line={"type": "integer"}))),
    "reflection": record(steps=array(record("status", "reason", step={"type": "integer"}))),
    "summary": record("summary"),
    "analysis": record(
        findings=array(
            record(
                "severity", "rule", "message", "suggestion", "test", line={"type": "integer"},
                patch={"anyOf": [record("old", "new"), {"type": "null"}]},
            )
        )
    ),
}  # fmt: skip


def ask(items: list[Any], form: str, tools: tuple[str, ...] = (), **more: Any) -> Any:
    """The reply to a request for a form, as the server would give it."""
    wanted = {"format": {"type": "json_schema", "name": form, "strict": True, "schema": SCHEMAS[form]}}
    offered = [
        {"type": "function", "name": name, "strict": True, "parameters": record(*ARGUMENTS[name])} for name in tools
    ]
    body = {"model": "offline-reviewer", "input": items, "text": wanted, "tools": offered, **more}
    return mind.answer(request.read(body))


@dataclass
class Desk:
    """An agent in small: the files, the tools on them, the conversation so far."""

    files: dict[str, str]
    tools: tuple[str, ...] = READING
    notes: dict[str, str] = field(default_factory=dict)
    refuse: Callable[[str, dict[str, Any]], str] = lambda name, arguments: ""
    keep: int = 100
    parallel: bool = True
    items: list[list[Any]] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    remembered: dict[str, str] = field(default_factory=dict)
    summary: str = ""

    def __post_init__(self) -> None:
        self.reviewed = list(self.files)

    def opening(self) -> str:
        paths = "\n".join(f"- {path}" for path in self.reviewed)
        told = "\n".join(f"- {key}: {value}" for key, value in self.notes.items()) or "(none)"
        fix = "yes" if "patch_file" in self.tools else "no"
        return f"TASK: find faults\nFILES:\n{paths}\nFIX: {fix}\nNOTES:\n{told}\nDONE: (none)\nCURRENT: (none)"

    def conversation(self) -> list[Any]:
        earlier = [{"role": "user", "content": f"SUMMARY OF EARLIER STEPS:\n{self.summary}"}] if self.summary else []
        return [{"role": "user", "content": self.opening()}, *earlier, *(item for turn in self.items for item in turn)]

    def review(self, most: int = 30) -> dict[str, Any]:
        """Let the model work until it answers."""
        for _ in range(most):
            reply = ask(self.conversation(), "review", self.tools, parallel_tool_calls=self.parallel)
            if not reply.calls:
                return json.loads(reply.text)  # type: ignore[no-any-return]
            self.act(reply.calls)
            self.trim()
        raise AssertionError(f"no answer after {most} steps: {self.calls[-6:]}")

    def act(self, calls: Any) -> None:
        turn: list[Any] = []
        for number, call in enumerate(calls):
            call_id = f"call_{len(self.calls)}_{number}"
            arguments = json.loads(call.arguments)
            self.calls.append((call.name, arguments))
            turn.append({"type": "function_call", "call_id": call_id, "name": call.name, "arguments": call.arguments})
            turn.append({"type": "function_call_output", "call_id": call_id, "output": self.use(call.name, arguments)})
        self.items.append(turn)

    def use(self, name: str, arguments: dict[str, Any]) -> str:
        refusal = self.refuse(name, arguments)
        if refusal:
            return json.dumps({"ok": False, "error": refusal})
        return json.dumps({"ok": True, "result": getattr(self, name)(**arguments)})

    def trim(self) -> None:
        """Keep the newest turns; the model's own summary stands for the others."""
        if len(self.items) > self.keep:
            question = [*self.conversation(), {"role": "user", "content": "Summarise everything above."}]
            self.summary = json.loads(ask(question, "summary").text)["summary"]
            self.items = self.items[-self.keep :]

    def read_file(self, path: str, start_line: Any, end_line: Any) -> Any:
        lines = self.files[path].splitlines()
        numbered = "\n".join(f"{number:>5}| {line}" for number, line in enumerate(lines, start=1))
        return {"path": path, "from": 1, "to": len(lines), "of": len(lines), "source": numbered}

    def analyze_code(self, path: str, focus: Any) -> Any:
        source = self.read_file(path, None, None)["source"]
        reply = ask([{"role": "user", "content": f"PATH: {path}\n\n{source}"}], "analysis")
        return {"path": path, **json.loads(reply.text)}

    def remember(self, key: str, value: str) -> Any:
        self.remembered[key] = value
        return {"remembered": key}

    def recall(self, query: str) -> Any:
        return {"notes": {}}

    def write_test(self, path: str, content: str) -> Any:
        self.files[path] = content
        return {"path": path}

    def patch_file(self, path: str, old: str, new: str) -> Any:
        assert 1 == self.files[path].count(old)
        self.files[path] = self.files[path].replace(old, new)
        return {"path": path, "line": 1}

    def run_test(self, path: str) -> Any:
        tried = [arguments for name, arguments in self.calls if name == "run_test" and arguments["path"] == path]
        return {"path": path, "passed": len(tried) > 1, "exit_code": 0 if len(tried) > 1 else 1, "output": ""}


def places(review: dict[str, Any]) -> list[tuple[str, int, str]]:
    return [(finding["path"], finding["line"], finding["rule"]) for finding in review["findings"]]


def test_review_names_the_fault() -> None:
    """Read, analyse, remember, answer: the fault of the file at hand, at its line."""
    desk = Desk({"mean.py": CODE})
    assert [("mean.py", 2, "division-by-zero")] == places(desk.review())
    assert ["read_file", "analyze_code", "remember"] == [name for name, _ in desk.calls]


def test_clean_file_gets_no_finding() -> None:
    """Nothing is made up where nothing is wrong."""
    review = Desk({"double.py": CLEAN}).review()
    assert ([], True) == (review["findings"], "found no fault" in review["summary"])


def test_many_files_are_all_analysed() -> None:
    """Thirty files are more than one turn takes, and none is left out."""
    desk = Desk({f"file{number}.py": CODE for number in range(30)})
    assert 30 == len(places(desk.review()))


def test_one_call_at_a_time_when_told_so() -> None:
    """`parallel_tool_calls=False` gives one call in each reply."""
    desk = Desk({"a.py": CODE, "b.py": CLEAN}, parallel=False)
    desk.review()
    assert {2} == {len(turn) for turn in desk.items}


@pytest.mark.parametrize("missing", READING)
def test_missing_tool_is_worked_around(missing: str) -> None:
    """Without any one of its tools the review still names the fault."""
    desk = Desk({"mean.py": CODE}, tools=tuple(name for name in READING if name != missing))
    assert [("mean.py", 2, "division-by-zero")] == places(desk.review())


@pytest.mark.parametrize("broken", READING)
def test_broken_tool_is_worked_around(broken: str) -> None:
    """A tool that always fails is tried twice at the most, and then gone without."""
    desk = Desk({"mean.py": CODE}, refuse=lambda name, arguments: "out of order" if name == broken else "")
    assert [("mean.py", 2, "division-by-zero")] == places(desk.review())
    assert 2 >= sum(name == broken for name, _ in desk.calls)


def test_unknown_path_is_said_to_be_unseen() -> None:
    """A file that cannot be opened is named in the summary, with the reason; the others are reviewed."""

    def refuse(name: str, arguments: dict[str, Any]) -> str:
        return "gone.py does not exist" if arguments.get("path") == "gone.py" else ""

    review = Desk({"gone.py": "", "mean.py": CODE}, refuse=refuse).review()
    assert [("mean.py", 2, "division-by-zero")] == places(review)
    assert "gone.py was not examined: gone.py does not exist" in review["summary"]


def test_no_tool_works_at_all() -> None:
    """Even then there is an answer, and it does not pretend to a review."""
    review = Desk({"mean.py": CODE}, refuse=lambda name, arguments: "no").review()
    assert ([], True) == (review["findings"], "No file could be examined." in review["summary"])


def test_text_file_is_said_to_be_no_python() -> None:
    """What cannot be reviewed is said to be so."""
    review = Desk({"notes.txt": "buy milk\n"}).review()
    assert ([], True) == (review["findings"], "notes.txt is not Python" in review["summary"])


@pytest.mark.parametrize("keep", [1, 2])
def test_trimmed_history_loses_no_finding(keep: int) -> None:
    """With only the newest turns and the model's own summary of the rest, the review is the same."""
    files = {"a.py": CODE, "b.py": CLEAN, "c.py": LEAKY}
    whole, trimmed = Desk(dict(files)), Desk(dict(files), keep=keep, parallel=False)
    assert places(whole.review()) == places(trimmed.review())


def test_forgotten_history_still_comes_to_an_end() -> None:
    """Where trimmed turns leave no summary behind, the model answers within bounds all the same."""
    desk = Desk({"a.py": CODE, "b.py": LEAKY}, keep=1, parallel=False)
    desk.trim = lambda: desk.items.__delitem__(slice(0, -4))  # type: ignore[method-assign]
    desk.review(most=40)


def test_cut_output_keeps_what_is_whole() -> None:
    """Of an analysis that was cut to fit, the findings that are still whole count."""
    told = json.dumps({"findings": [{"line": 2, "rule": "division-by-zero"}, {"line": 9, "rule": "late-binding"}]})
    cut = told[: told.index('"late')] + " … (cut to fit the context)"
    assert [2] == [fault.line for fault in ledger.faults_in(cut)]


@pytest.mark.parametrize("keep", [100, 1])
def test_faults_that_were_cut_off_are_owned_up_to(keep: int) -> None:
    """A review that has lost some of an analysis says so, also when only its own summary is left of that."""
    desk = Desk({"mean.py": CODE}, keep=keep)
    told = json.dumps({"findings": [{"line": 2, "rule": "division-by-zero"}]})
    desk.analyze_code = lambda path, focus: told[:-2] + ", … (cut to fit the context)"  # type: ignore[method-assign]  # the answer that a long file gets
    assert "There are more faults in mean.py than could be kept in view." in desk.review()["summary"]


def test_fix_writes_a_test_then_patches_and_runs_it_again() -> None:
    """Analyse, write a test, see it fail, patch, see it pass, look again, remember, answer."""
    desk = Desk({"mean.py": CODE}, tools=FIXING)
    review = desk.review()
    assert [
        "read_file", "analyze_code", "write_test", "run_test", "patch_file", "run_test", "analyze_code", "remember",
    ] == [name for name, _ in desk.calls]  # fmt: skip
    assert "(mended; test_mean_division_by_zero_2.py failed before and passes now)" in review["findings"][0]["message"]


def test_the_summary_begins_with_what_is_left() -> None:
    """A fault that was mended is no longer the first thing to look at, however bad it was."""
    unused = "import os\n\n\n" + CODE
    summary = Desk({"mean.py": unused}, tools=FIXING).review()["summary"]
    assert "found 2 faults; 1 mended; first of all mean.py, line 1: " in summary


def test_fault_is_left_alone_when_its_test_passes() -> None:
    """A fault that its test does not show is not patched, and that is said."""
    desk = Desk({"mean.py": CODE}, tools=FIXING)
    desk.run_test = lambda path: {"passed": True, "exit_code": 0}  # type: ignore[method-assign]
    assert "was left alone: its test passes as it is" in desk.review()["summary"]
    assert CODE == desk.files["mean.py"]


def test_patch_that_does_not_help_is_taken_back() -> None:
    """Where the test still fails after the patch, the file is as it was."""
    desk = Desk({"mean.py": CODE}, tools=FIXING)
    desk.run_test = lambda path: {"passed": False, "exit_code": 1}  # type: ignore[method-assign]
    assert "the patch did not help, so it was taken back" in desk.review()["summary"]
    assert CODE == desk.files["mean.py"]


def test_a_test_that_cannot_be_written_is_owned_up_to() -> None:
    """A fault is not mended without the proof that goes with it; the reason is in the review."""

    def refuse(name: str, arguments: dict[str, Any]) -> str:
        return "the folder is read-only" if name == "write_test" else ""

    desk = Desk({"mean.py": CODE}, tools=FIXING, refuse=refuse)
    expected = "mean.py, line 2 (division-by-zero) was left alone: the folder is read-only."
    assert expected in desk.review()["summary"]
    assert CODE == desk.files["mean.py"]


def test_taken_name_of_a_test_is_avoided() -> None:
    """When there is a test file of that name already, another name is used."""

    def refuse(name: str, arguments: dict[str, Any]) -> str:
        taken = (name, arguments.get("path")) == ("write_test", "test_mean_division_by_zero_2.py")
        return "it is there already; choose another name" if taken else ""

    desk = Desk({"mean.py": CODE}, tools=FIXING, refuse=refuse)
    desk.review()
    assert "test_mean_division_by_zero_2_2.py" in desk.files


def test_second_review_says_what_is_still_there_and_what_is_gone() -> None:
    """The notes of one review are used by the next."""
    first = Desk({"a.py": CODE + "\n\n" + LEAKY})
    first.review()
    second = Desk({"a.py": "# new\n" + CODE}, notes=first.remembered)
    summary = second.review()["summary"]
    assert "a.py was seen before; still there: division-by-zero (line 3); gone: resource-leak (line 6 then)." in summary


def test_note_and_comparison_are_inverse() -> None:
    """A note compared with the very faults it was written about has nothing new and nothing gone."""
    faults = [
        ledger.Fault(3, "error", "is-literal", "`x is 'a'` compares", ""),
        ledger.Fault(9, "info", "eval", "bad", ""),
    ]
    change = notes.compared(faults, notes.written(faults, []))
    assert (tuple(faults), (), ()) == (change.still, change.new, change.gone)


def test_summary_and_ledger_are_inverse() -> None:
    """What a summary tells is what was known."""
    desk = Desk({"a.py": CODE, "b.py": LEAKY})
    desk.review()
    known = ledger.gathered("", deeds(request.read({"model": "offline-reviewer", "input": desk.conversation()})))
    again = ledger.from_summary(ledger.told(known))
    assert ledger.told(known) == ledger.told(again)


def test_plan_names_the_files() -> None:
    """A plan is about the files of the assignment, and about mending only where that is wanted."""
    desk = Desk({"a.py": CODE, "b.py": CLEAN})
    steps = json.loads(ask(desk.conversation(), "plan").text)["steps"]
    assert ["Read a.py and b.py", "Have a.py and b.py analysed"] == steps[:2]
    assert not any("atch" in step for step in steps)


def test_plan_uses_notes_and_mends() -> None:
    """Notes of an earlier review and FIX: yes each have their steps."""
    desk = Desk({"a.py": CODE}, tools=FIXING, notes={"a.py": "1 fault found: [eval] line 3: bad"})
    steps = json.loads(ask(desk.conversation(), "plan").text)["steps"]
    assert "Compare with what was noted about a.py in an earlier review" in steps
    assert any(step.startswith("Patch") for step in steps)


def test_reflection_judges_by_what_happened() -> None:
    """Done for what went well, failed for what did not, nothing for what is still to come."""
    plan = "1. [todo] Read a.py\n2. [todo] Have a.py analysed\n3. [todo] Answer with the review"
    happened = (
        '- read_file \'{"path": "a.py"}\' → \'{"ok": true, "result": {}}\'\n'
        '- analyze_code \'{"path": "a.py"}\' → \'{"ok": false, "error": "no answer"}\''
    )
    reply = ask([{"role": "user", "content": f"PLAN:\n{plan}\nWHAT HAPPENED:\n{happened}"}], "reflection")
    verdicts = [(step["step"], step["status"]) for step in json.loads(reply.text)["steps"]]
    assert [(1, "done"), (2, "failed")] == verdicts


def test_analysis_of_a_focus_comes_first() -> None:
    """What was asked for in particular stands before the rest."""
    text = "def run(cmd, n):\n    print(1 / n)\n    return eval(cmd)\n"
    lines = "\n".join(f"{number:>5}| {line}" for number, line in enumerate(text.splitlines(), start=1))
    reply = ask([{"role": "user", "content": f"PATH: a.py\nFOCUS: security\n\n{lines}"}], "analysis")
    assert ["eval", "division-by-zero"] == [finding["rule"] for finding in json.loads(reply.text)["findings"]]


def test_numbered_lines_in_the_source_are_not_mistaken() -> None:
    """Source that looks like headings or numbered lines itself is taken as it is."""
    text = 'TEXT = """\nFILES:\n    1| not code\n"""\nprint(TEXT is "a")\n'
    lines = "\n".join(f"{number:>5}| {line}" for number, line in enumerate(text.splitlines(), start=1))
    reply = ask([{"role": "user", "content": f"PATH: a.py\n\n{lines}"}], "analysis")
    assert [5] == [finding["line"] for finding in json.loads(reply.text)["findings"]]


def test_no_files_is_answered() -> None:
    """An assignment without files gets an answer that says so."""
    reply = ask([{"role": "user", "content": "FILES: (none)\nFIX: no"}], "review", READING)
    assert "no file to review" in json.loads(reply.text)["summary"]


def test_forgotten_patches_are_asked_for_again() -> None:
    """Where the analysis left the conversation before anything was mended, it is made once more for its patches."""
    desk = Desk({"mean.py": CODE}, tools=FIXING)
    desk.summary = "ANALYSED mean.py 1x: 1 fault\nFAULT mean.py:2 [error division-by-zero] `mean()` divides => check"
    desk.review()
    assert "must not be empty" in desk.files["mean.py"]


def test_fault_that_moved_is_the_same_fault() -> None:
    """A fault whose line, in its message too, is another one now is still there, not gone and new."""
    then = ledger.Fault(16, "error", "changed-while-iterating", "`xs.remove(x)` changes `xs` (line 14)", "")
    now = ledger.Fault(18, "error", "changed-while-iterating", "`xs.remove(x)` changes `xs` (line 16)", "")
    assert (now,) == notes.compared([now], notes.written([then], [])).still
