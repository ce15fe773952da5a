"""What the model answers with: one type for each kind of question, its schema and how it is read."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Struct

from agent.schema import schema_of

Severity = Literal["error", "warning", "info"]


class Steps(Struct, frozen=True):
    """A plan: what to do, in order."""

    steps: list[str]


class Finding(Struct, frozen=True):
    """One fault of one file; `line` counts from 1."""

    path: str
    line: int
    severity: Severity
    rule: str
    message: str
    suggestion: str


class Verdict(Struct, frozen=True):
    """The finished review."""

    summary: str
    findings: list[Finding]


class StepVerdict(Struct, frozen=True):
    """How one step of the plan (from 1) went."""

    step: int
    status: Literal["done", "failed", "redo"]
    reason: str


class Reflection(Struct, frozen=True):
    """How the steps of the plan went that can be judged by now."""

    steps: list[StepVerdict]


class Summary(Struct, frozen=True):
    """The earlier part of a conversation in brief."""

    summary: str


class Patch(Struct, frozen=True):
    """Exact text of a file and what should stand there instead."""

    old: str
    new: str


class Fault(Struct, frozen=True):
    """One fault seen by the analyst, with a patch and a test where it has them."""

    line: int
    severity: Severity
    rule: str
    message: str
    suggestion: str
    patch: Patch | None = None
    test: str | None = None


class Analysis(Struct, frozen=True):
    """What the analyst found in one file."""

    findings: list[Fault]


T = TypeVar("T", bound=Struct)


class AnswerError(ValueError):
    """The model's text is not the answer that was asked for."""


class Answer(Generic[T]):
    """A kind of answer: its name, its type, the format that asks for it and the reading of it."""

    def __init__(self, name: str, type: type[T]) -> None:
        self.name = name
        self.type = type

    @property
    def format(self) -> dict[str, Any]:
        """The `text.format` of a request that wants this answer."""
        return {"type": "json_schema", "name": self.name, "strict": True, "schema": schema_of(self.type)}

    def read(self, text: str) -> T:
        """The answer in the model's text; `AnswerError` when it holds none."""
        try:
            return msgspec.json.decode(without_fence(text), type=self.type, strict=False)
        except (msgspec.MsgspecError, UnicodeEncodeError) as error:
            raise AnswerError(f"{str(error) or 'not JSON'}: {excerpt(text)}") from error


PLAN = Answer("plan", Steps)
REVIEW = Answer("review", Verdict)
REFLECTION = Answer("reflection", Reflection)
SUMMARY = Answer("summary", Summary)
ANALYSIS = Answer("analysis", Analysis)


def without_fence(text: str) -> str:
    """The text without the ``` lines that some models put around JSON."""
    text = text.strip()
    if not text.startswith("```"):
        return text
    return text.partition("\n")[2].rpartition("```")[0]


def excerpt(text: str, length: int = 80) -> str:
    """The start of a text, quoted, on one line."""
    line = " ".join(text.split())
    return repr(line if len(line) <= length else line[:length] + "…")
