"""What a request tells the mind: the assignment, the plan, the calls made so far and what came of them.

The model keeps no state, so everything is read from the request each time; what was trimmed away may stand in a
summary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .request import Asked, Call, Message, Output

heading = re.compile(r"^([A-Z][A-Z ]{2,40}):[ \t]*(.*)$")
numbered_line = re.compile(r"^ *(\d+)\| ?(.*)$")


@dataclass(frozen=True)
class Assignment:
    """The first message of a review: what to look at, whether to mend it, and where the plan stands."""

    task: str = ""
    files: tuple[str, ...] = ()
    fix: bool = False
    notes: Mapping[str, str] = field(default_factory=dict)
    done: tuple[str, ...] = ()
    current: tuple[str, ...] = ()
    remaining: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deed:
    """One call with its outcome. `result` is what the tool gave (None when it failed), `error` why it failed."""

    tool: str
    arguments: Mapping[str, Any]
    result: Any = None
    error: str = ""

    @property
    def ok(self) -> bool:
        return not self.error

    @property
    def path(self) -> str:
        return str(self.arguments.get("path") or self.arguments.get("key") or "")


def sections(text: str) -> dict[str, list[str]]:
    """The lines below each `NAME:`, the rest of the heading's own line first."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.split("\n"):
        match = heading.match(line)
        if match and not numbered_line.match(line):
            lines = found.setdefault(match.group(1), [])
            line = match.group(2)
        lines.append(line)
    return {
        name: [line for line in lines if line.strip() and line.strip() != "(none)"] for name, lines in found.items()
    }


def listed(lines: list[str]) -> tuple[str, ...]:
    """The entries of a list, without their bullets."""
    return tuple(re.sub(r"^\s*(?:[-*]|\d+\.)\s+", "", line).strip() for line in lines)


def assignment_of(asked: Asked) -> Assignment:
    """The assignment in the first message that names files."""
    for item in asked.items:
        if isinstance(item, Message) and re.search(r"^FILES:", item.text, re.M):
            return read_assignment(item.text)
    return Assignment()


def read_assignment(text: str) -> Assignment:
    parts = sections(text)
    entries = [entry.partition(": ") for entry in listed(parts.get("NOTES", []))]
    return Assignment(
        task=" ".join(parts.get("TASK", [])),
        files=tuple(re.sub(r" \(\d+ lines?\)$", "", entry) for entry in listed(parts.get("FILES", []))),
        fix=" ".join(parts.get("FIX", [])).strip().lower() in ("yes", "true"),
        notes={key: value for key, colon, value in entries if colon},
        done=listed(parts.get("DONE", [])),
        current=listed(parts.get("CURRENT", [])),
        remaining=listed(parts.get("REMAINING", [])),
    )


def deeds(asked: Asked) -> list[Deed]:
    """The calls of the conversation that have an output, in the order of the outputs."""
    calls = {item.call_id: item for item in asked.items if isinstance(item, Call)}
    return [
        deed(calls[item.call_id], item.text)
        for item in asked.items
        if isinstance(item, Output) and item.call_id in calls
    ]


def deed(call: Call, output: str) -> Deed:
    arguments = parsed(call.arguments)
    told = parsed(output)
    known = arguments if isinstance(arguments, dict) else {}
    if not isinstance(told, dict) or "ok" not in told:
        return Deed(call.name, known, result=output if told is None else told)
    if told["ok"]:
        return Deed(call.name, known, result=told.get("result"))
    return Deed(call.name, known, error=str(told.get("error") or "it failed"))


def parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def objects_in(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects that stand whole somewhere in a text: what is left of an output that was cut."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            start = text.find("{", start + 1)
            continue
        yield value
        start = text.find("{", end)


def said(asked: Asked, *roles: str) -> str:
    """The text of all messages of these roles."""
    return "\n\n".join(item.text for item in asked.items if isinstance(item, Message) and item.role in roles)


def source_in(text: str) -> str:
    """The source among numbered lines of the form `   12| code`, without the numbers; empty when there are none."""
    found = [match.group(2) for line in text.split("\n") if (match := numbered_line.match(line))]
    return "\n".join(found) + "\n" if found else ""
