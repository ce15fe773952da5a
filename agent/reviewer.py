"""The agent: it plans once, then thinks and acts step by step until the model answers or its steps end.

Everything recorded comes from the decorators and `span` here and on the tools; `log` says what happens in between.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openai.types.responses import Response, ResponseFunctionToolCall

from agent import prompts
from agent.analyst import Analyst
from agent.answers import PLAN, REFLECTION, REVIEW, SUMMARY, AnswerError, Verdict, excerpt
from agent.errors import ModelError
from agent.memory import History, Item, Turn, fitted, message, split
from agent.model import Endpoint, call_output, function_calls, said, text_of
from agent.notes import Notes
from agent.planning import FALLBACK, Plan, Step, read_plan
from agent.prompts import Assignment
from agent.registry import Output, ToolRegistry
from agent.report import Review, counted
from agent.schema import Schema
from agent.selection import Selection
from agent.tools import fixing_tools, memory_tools, reading_tools
from instrument import BudgetExceeded, LoopDetected, agent, current_span, llm_call, log, span
from instrument.tokens import count


@dataclass(frozen=True)
class Limits:
    """How far a review may go.

    `max_steps` iterations; `max_context_tokens` in one request; `summarize_after` turns of history; a look back at the
    plan every `reflect_every` steps (and at once after a call that failed).
    """

    max_steps: int = 30
    max_context_tokens: int = 100_000
    summarize_after: int = 12
    reflect_every: int = 3


DEFAULT_LIMITS = Limits()


class Reviewer:
    """A code-review agent for one review; with `fix` it may change files of the workspace and run tests."""

    def __init__(
        self, selection: Selection, endpoint: Endpoint, *, fix: bool = False, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self.agent_id = f"reviewer-{uuid.uuid4().hex[:8]}"
        self.trace_id: str | None = None
        self.selection = selection
        self.endpoint = endpoint
        self.fix = fix
        self.limits = limits
        self.analyst = Analyst(endpoint)
        self.notes = Notes(selection.workspace.root)
        self.changed: list[str] = []
        self.tools = self.equipped()
        self.plan = Plan((Step(FALLBACK),))
        self.history = History()
        self.deeds: list[str] = []
        self.steps = 0
        self.stumbled = False
        self.misread = False
        log("AGENT_INIT", f"{self.agent_id} with {endpoint.reviewer}", agent_id=self.agent_id, tools=list(self.tools))

    def equipped(self) -> ToolRegistry:
        """The tools; those that change the workspace or run its code only where that is wanted."""
        workspace = self.selection.workspace
        fixing = fixing_tools(workspace, self.changed) if self.fix else ()
        return ToolRegistry([*reading_tools(workspace, self.analyst), *memory_tools(self.notes), *fixing])

    @agent(id="agent_id")
    def review(self, task: str) -> Review:
        """Review the files. A review that a budget or the loop breaker stops comes back as far as it got.

        Raises `ModelError` when the model cannot be used.
        """
        self.trace_id = mark({"instrument.label": prompts.one_line(task)[:100], "instrument.agent.outcome": "error"})
        try:
            review = self.work(task)
        except BudgetExceeded as refusal:
            review = self.unfinished("budget", str(refusal))
        except LoopDetected as refusal:
            review = self.unfinished("loop", str(refusal))
        mark({"instrument.agent.outcome": review.outcome})
        return review

    def work(self, task: str) -> Review:
        """Plan, then step until there is an answer."""
        assignment = self.assignment(task)
        self.plan = self.planned(assignment)
        while self.steps < self.limits.max_steps:
            self.steps += 1
            with span("step", kind="step", attributes={"instrument.iteration": self.steps}):
                verdict = self.step(assignment)
            if verdict is not None:
                return self.finished("answered", verdict)
        return self.unfinished("max_steps", f"there was no answer after {counted(self.steps, 'step')}")

    def assignment(self, task: str) -> Assignment:
        """The task with the files, their lengths and what earlier reviews noted about them."""
        workspace, files = self.selection.workspace, self.selection.files
        lines = {path: len(workspace.read(path).lines) for path in files}
        return Assignment(task, lines, self.fix, self.notes.about(files))

    def planned(self, assignment: Assignment) -> Plan:
        """The model's plan for the assignment."""
        response = self.create_plan(self.endpoint.reviewer, [message(prompts.plan_request(assignment))])
        return read_plan(text_of(response))

    def step(self, assignment: Assignment) -> Verdict | None:
        """Think once, then either act on the calls that the model makes or take its answer."""
        response = self.consult(assignment)
        calls = function_calls(response)
        if not calls:
            return self.answer(response)
        self.act(response, calls)
        self.look_back()
        return None

    def consult(self, assignment: Assignment) -> Response:
        """Ask the model what to do next, with the plan and as much of the history as there is room for."""
        log("THINK_START", told(self.plan.current), iteration=self.steps)
        response = self.think(self.endpoint.reviewer, self.conversation(assignment), self.tools.schemas)
        calls = [call.name for call in function_calls(response)]
        log("THINK_COMPLETE", ", ".join(calls) or "answered", iteration=self.steps, calls=calls)
        return response

    def act(self, response: Response, calls: Sequence[ResponseFunctionToolCall]) -> None:
        """Make the calls in the model's order and keep them with their outputs as one turn."""
        self.misread = False
        log("ACT_START", ", ".join(call.name for call in calls), iteration=self.steps, calls=len(calls))
        outputs = [call_output(call, self.use(call).text) for call in calls]
        self.remember_turn((*said(response), *outputs))

    def use(self, call: ResponseFunctionToolCall) -> Output:
        """Make one call; one that goes wrong is answered to the model like any other."""
        log("TOOL_CALL", f"{call.name} {excerpt(call.arguments, 200)}", tool=call.name)
        output = self.tools.call(call.name, call.arguments)
        if output.ok:
            log("TOOL_COMPLETE", call.name, tool=call.name)
        else:
            self.stumbled = True
            log("ACT_ERROR", f"{call.name}: {output.value}", level="ERROR", tool=call.name)
        self.deeds.append(f"{call.name} {excerpt(call.arguments, 200)} → {excerpt(output.text, 200)}")
        return output

    def answer(self, response: Response) -> Verdict | None:
        """The review in what the model said. One that cannot be read is given back once; the second ends the review."""
        text = text_of(response)
        try:
            return REVIEW.read(text)
        except AnswerError as error:
            log("THINK_ERROR", str(error), level="WARNING", iteration=self.steps)
            if self.misread:
                raise ModelError(f"The model answered twice with what is no review: {excerpt(text)}") from error
            self.misread = True
            self.remember_turn((*said(response), message(prompts.UNREADABLE)))
            return None

    def look_back(self) -> None:
        """Every few steps, and at once after a call that failed, have the model judge how its plan is going."""
        due = self.stumbled or self.steps % self.limits.reflect_every == 0
        if not due or self.plan.current is None:
            return
        response = self.reflect(self.endpoint.reviewer, [message(prompts.reflection(self.plan, self.deeds))])
        self.deeds, self.stumbled = [], False
        try:
            self.plan = self.plan.judged(REFLECTION.read(text_of(response)).steps)
        except AnswerError as error:
            log("THINK_ERROR", str(error), level="WARNING", iteration=self.steps)

    def conversation(self, assignment: Assignment) -> list[Item]:
        """The assignment and the history; what there is no room for is summarised by the model and leaves."""
        opening = prompts.opening(assignment, self.plan)
        fixed = [prompts.THINK, opening, str(self.tools.schemas), self.history.summary]
        room = self.limits.max_context_tokens - sum(map(self.tokens, fixed))
        leaving, staying = split(self.history.turns, self.limits.summarize_after, room, self.tokens)
        if leaving:
            earlier = History(fitted(leaving, room, self.tokens), self.history.summary)
            self.history = History(staying, self.summary_of(opening, earlier))
        self.history = History(fitted(staying, room, self.tokens), self.history.summary)
        return [message(opening), *self.history.items()]

    def summary_of(self, opening: str, earlier: History) -> str:
        """The model's summary of turns that are about to leave; what cannot be read as one is kept as it is."""
        question = [message(opening), *earlier.items(), message(prompts.SUMMARIZE_NOW)]
        text = text_of(self.summarize(self.endpoint.reviewer, question))
        try:
            return SUMMARY.read(text).summary
        except AnswerError:
            return text

    def remember_turn(self, turn: Turn) -> None:
        """Add a turn to the history."""
        self.history = self.history.with_turn(turn)

    def tokens(self, text: str) -> int:
        """Tokens of a text for the reviewing model."""
        return count(text, self.endpoint.reviewer)

    @llm_call
    def create_plan(self, model: str, messages: list[Item]) -> Response:
        """Ask for a plan."""
        return self.endpoint.ask(model, prompts.CREATE_PLAN, messages, PLAN)

    @llm_call
    def think(self, model: str, messages: list[Item], tools: list[Schema]) -> Response:
        """Ask for the next calls or the finished review."""
        return self.endpoint.ask(model, prompts.THINK, messages, REVIEW, tools)

    @llm_call
    def reflect(self, model: str, messages: list[Item]) -> Response:
        """Ask how the plan is going."""
        return self.endpoint.ask(model, prompts.REFLECT, messages, REFLECTION)

    @llm_call
    def summarize(self, model: str, messages: list[Item]) -> Response:
        """Ask for the earlier steps in brief."""
        return self.endpoint.ask(model, prompts.SUMMARIZE, messages, SUMMARY)

    def finished(self, outcome: str, verdict: Verdict) -> Review:
        """The review with what is known about how it came to be."""
        return Review(
            outcome=outcome,
            summary=verdict.summary,
            findings=verdict.findings,
            workspace=str(self.selection.workspace.root),
            files=list(self.selection.files),
            left_out=list(self.selection.left_out),
            changed=self.changed,
            steps=self.steps,
            agent_id=self.agent_id,
            trace_id=self.trace_id,
        )

    def unfinished(self, outcome: str, why: str) -> Review:
        """What there is of a review that was stopped: the analyst's findings, which nobody has checked."""
        return self.finished(outcome, Verdict(f"The review is unfinished: {why.rstrip('.')}.", self.analyst.findings))


def mark(attributes: Mapping[str, object]) -> str | None:
    """Set attributes on the span that is running here, if any, and give its trace."""
    here = current_span()
    if here is None:
        return None
    here.set(attributes)
    return here.trace_id


def told(step: Step | None) -> str:
    """The step at hand for the log."""
    return step.text if step else "all steps of the plan are finished"
