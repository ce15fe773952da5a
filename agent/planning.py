"""The plan: steps that are still to do, done or failed, and how a reflection changes them. Values only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from agent.answers import PLAN, AnswerError, StepVerdict

FALLBACK = "proceed step by step"
"""The only step of a plan that could not be read."""

MAX_STEPS = 12
MAX_REDO = 2
"""A step that was sent back this often counts as failed the next time."""


@dataclass(frozen=True)
class Step:
    """One step of the plan; `reason` says why it failed or is to be redone."""

    text: str
    status: Literal["todo", "done", "failed"] = "todo"
    reason: str = ""
    redone: int = 0

    def judged(self, verdict: StepVerdict) -> Step:
        """The step after a verdict on it; one that is to be redone once too often has failed."""
        if verdict.status != "redo":
            return replace(self, status=verdict.status, reason=verdict.reason)
        if self.redone >= MAX_REDO:
            return replace(self, status="failed", reason=verdict.reason)
        return replace(self, status="todo", reason=verdict.reason, redone=self.redone + 1)


@dataclass(frozen=True)
class Plan:
    """The steps in order."""

    steps: tuple[Step, ...]

    @property
    def finished(self) -> tuple[Step, ...]:
        """The steps that are done or have failed."""
        return tuple(step for step in self.steps if step.status != "todo")

    @property
    def current(self) -> Step | None:
        """The first step that is still to do."""
        return next((step for step in self.steps if step.status == "todo"), None)

    @property
    def remaining(self) -> tuple[Step, ...]:
        """What is to do after the current step."""
        return tuple(step for step in self.steps if step.status == "todo")[1:]

    def judged(self, verdicts: Sequence[StepVerdict]) -> Plan:
        """The plan after a reflection; verdicts on steps that it does not have are ignored."""
        by_number = {verdict.step: verdict for verdict in verdicts}
        numbered = enumerate(self.steps, start=1)
        return Plan(tuple(step.judged(by_number[n]) if n in by_number else step for n, step in numbered))


def read_plan(text: str) -> Plan:
    """The plan in the model's text; a text that holds none becomes the one step `FALLBACK`."""
    try:
        steps = [step.strip() for step in PLAN.read(text).steps if step.strip()]
    except AnswerError:
        steps = []
    return Plan(tuple(Step(step) for step in steps[:MAX_STEPS] or [FALLBACK]))
