"""Plans and judgements about plans: the steps of a review, and how far the calls made so far have brought them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .conversation import listed, read_assignment, said, sections
from .request import Asked

most_named = 3
tools_of = {
    "read": ("read_file",),
    "analys": ("analyze_code",),
    "write": ("write_test", "run_test"),
    "patch": ("patch_file", "run_test"),
    "note": ("remember",),
    "remember": ("remember",),
}


def plan(asked: Asked) -> dict[str, Any]:
    """The steps for the files of the assignment."""
    given = read_assignment(said(asked, "user"))
    if not given.files:
        return {"steps": ["Answer that there is no file to review"]}
    files = named(given.files)
    known = [path for path in given.files if path in given.notes]
    return {
        "steps": [
            f"Read {files}",
            f"Have {files} analysed",
            *([f"Compare with what was noted about {named(known)} in an earlier review"] if known else []),
            *(
                [
                    "Write a test that fails for each fault that can be shown by one",
                    "Patch these faults and run their tests again",
                ]
                if given.fix
                else []
            ),
            f"Note what was learned about {files} for the next review",
            "Answer with the review",
        ]
    }


def named(files: Sequence[str]) -> str:
    """Up to three paths by name, more by number."""
    if len(files) > most_named:
        return f"the {len(files)} files"
    return " and ".join([", ".join(files[:-1]), files[-1]] if len(files) > 1 else files)


@dataclass(frozen=True)
class Happened:
    """One line of what happened: the tool, the path it was about, whether it went well."""

    tool: str
    path: str
    ok: bool
    error: str


def reflection(asked: Asked) -> dict[str, Any]:
    """A verdict on each step that what happened lets one judge."""
    parts = sections(said(asked, "user"))
    happened = [read for line in listed(parts.get("WHAT HAPPENED", [])) if (read := read_deed(line))]
    steps = [(number, status, text) for line in parts.get("PLAN", []) for number, status, text in read_step(line)]
    verdicts = [
        verdict
        for number, status, text in steps
        if status != "done"
        for verdict in judged(number, text, happened, steps)
    ]
    return {"steps": verdicts}


def read_step(line: str) -> list[tuple[int, str, str]]:
    match = re.match(r"\s*(\d+)\.\s*(?:\[(\w+)\])?\s*(.*)", line)
    return [(int(match.group(1)), match.group(2) or "todo", match.group(3))] if match else []


def read_deed(line: str) -> Happened | None:
    match = re.match(r"(\w+) (.*?)(?: → | -> )(.*)", line)
    if not match:
        return None
    tool, arguments, output = match.groups()
    path = re.search(r'"(?:path|key)": ?"([^"]*)', arguments)
    error = re.search(r'"error": ?"(.*)', output)
    return Happened(
        tool,
        path.group(1) if path else "",
        '"ok": false' not in output and '"ok":false' not in output,
        error.group(1).rstrip("'\"}…") if error else "",
    )


def judged(
    number: int, text: str, happened: Sequence[Happened], steps: Sequence[tuple[int, str, str]]
) -> list[dict[str, Any]]:
    """The verdict on one step, or nothing when it is still to come."""
    tools = step_tools(text)
    own = [deed for deed in happened if deed.tool in tools and (deed.path in text or not names_file(text, happened))]
    if own:
        good = [deed for deed in own if deed.ok]
        if not good:
            return [verdict(number, "failed", f"{own[-1].tool} failed: {own[-1].error or 'no reason given'}")]
        if any(deed.tool == tools[0] for deed in good):
            return [verdict(number, "done", f"{tools[0]} went well for {places(good, tools[0])}")]
    later = (
        {tool for other, _, told in steps if other > number for tool in step_tools(told)} - set(tools) - {"run_test"}
    )
    if any(deed.tool in later and deed.ok for deed in happened) and not is_last(number, steps):
        return [verdict(number, "done", "later steps are already under way")]
    return []


def step_tools(text: str) -> tuple[str, ...]:
    return next(
        (tools for word, tools in tools_of.items() if word in text.lower().split(" ", 3)[0] or word in text.lower()), ()
    )


def names_file(text: str, happened: Sequence[Happened]) -> bool:
    return any(deed.path and deed.path in text for deed in happened)


def is_last(number: int, steps: Sequence[tuple[int, str, str]]) -> bool:
    return number == max(other for other, _, _ in steps)


def places(deeds: Sequence[Happened], tool: str) -> str:
    paths = list(dict.fromkeys(deed.path for deed in deeds if deed.tool == tool))
    return named(paths) if paths else "it"


def verdict(number: int, status: str, reason: str) -> dict[str, Any]:
    return {"step": number, "status": status, "reason": reason}
