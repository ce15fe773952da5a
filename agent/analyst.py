"""The analyst: a second, cheaper model that looks at one file at a time."""

from __future__ import annotations

from openai.types.responses import Response

from agent import prompts
from agent.answers import ANALYSIS, AnswerError, Fault, Finding
from agent.errors import ToolError
from agent.memory import Item, message
from agent.model import Endpoint, text_of
from agent.workspace import Source
from instrument import llm_call


class Analyst:
    """Finds faults in single files and keeps what it found, so that a review that is stopped still has it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.faults: dict[str, list[Fault]] = {}

    def examine(self, source: Source, focus: str | None = None) -> list[Fault]:
        """The faults of a file; `ToolError` when the model's answer cannot be read."""
        question = [message(prompts.analysis(source, focus))]
        response = self.analyze(self.endpoint.analyst, question)
        try:
            found = ANALYSIS.read(text_of(response)).findings
        except AnswerError as error:
            raise ToolError(f"the analyst's answer could not be read ({error})") from error
        self.faults[source.path] = found
        return found

    @llm_call
    def analyze(self, model: str, messages: list[Item]) -> Response:
        """Ask the analyst."""
        return self.endpoint.ask(model, prompts.ANALYZE, messages, ANALYSIS)

    @property
    def findings(self) -> list[Finding]:
        """Everything found so far as findings of a review."""
        return [
            Finding(path, fault.line, fault.severity, fault.rule, fault.message, fault.suggestion)
            for path, faults in self.faults.items()
            for fault in faults
        ]
