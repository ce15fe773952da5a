"""The mind: what the offline model answers, decided by the form that is asked for and nothing but the request."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from . import analyst, ledger, planner, reviewer, shapes
from .conversation import deeds, said
from .reply import Reply, ToolCall
from .request import Asked
from .rules import examine

introduction = (
    "I am an offline model that reviews Python code by static analysis. I can plan a review, call the tools of a "
    "review agent, and name faults in source that I am given; I cannot hold a conversation or answer other questions."
)
reviewing = {"analyze_code", "read_file", "patch_file", "write_test", "run_test", "remember", "recall"}
fence = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)```", re.S)


def answer(asked: Asked) -> Reply:
    """What to say to a request."""
    offered = {tool.name for tool in asked.tools}
    if asked.choice not in ("auto", "none", "required"):
        return Reply(calls=(forced(asked, asked.choice),))
    name = asked.format.name if asked.format else ""
    if name in forms:
        return in_form(asked, forms[name](asked))
    if name == "review" or (offered & reviewing and asked.choice != "none"):
        return next_step(asked)
    if asked.choice == "required":
        return Reply(calls=(forced(asked, asked.tools[0].name),))
    return in_form(asked, {}) if asked.format else Reply(plain(asked))


def in_form(asked: Asked, value: Mapping[str, Any]) -> Reply:
    """The value as JSON that fits the schema which was asked for."""
    if asked.format is None or not asked.format.schema.get("properties"):
        return Reply(json.dumps(value or {"message": introduction}, ensure_ascii=False))
    return Reply(json.dumps(shapes.conform(value, asked.format.schema, told=introduction), ensure_ascii=False))


def next_step(asked: Asked) -> Reply:
    """The next calls of a review, or the review."""
    mind = reviewer.mind_of(asked)
    calls = reviewer.next_calls(mind)
    if calls:
        return Reply(calls=tuple(calls))
    if asked.choice == "required":
        return Reply(calls=(forced(asked, asked.tools[0].name),))
    review = reviewer.review(mind)
    return in_form(asked, review) if asked.format else Reply(as_text(review) if mind.given.files else plain(asked))


def forced(asked: Asked, name: str) -> ToolCall:
    """A call that the request insists on; where it wants a path, it gets that of the file at hand."""
    files = reviewer.mind_of(asked).given.files
    return reviewer.call(asked, name, {"path": files[0], "key": files[0], "query": files[0]} if files else {})


def summary(asked: Asked) -> dict[str, Any]:
    """The conversation so far as facts, one a line."""
    facts = ledger.told(ledger.gathered(said(asked, "user", "assistant"), deeds(asked)))
    return {"summary": facts or "Nothing was done yet."}


def as_text(review: Mapping[str, Any]) -> str:
    """A review for people."""
    lines = [
        f"- {entry['path']}:{entry['line']} {entry['severity']} [{entry['rule']}] {entry['message']} → "
        f"{entry['suggestion']}"
        for entry in review["findings"]
    ]
    return "\n".join([review["summary"], *lines])


def plain(asked: Asked) -> str:
    """Plain text: a review of the code in the last message where there is some, else what this model is."""
    blocks = fence.findall(said(asked, "user"))
    if not blocks:
        return introduction
    found = examine("module.py", blocks[-1]).findings
    findings = [{**reviewer.finding("line", fault_like), "path": "code"} for fault_like in found]  # type: ignore[arg-type]
    told = f"{ledger.count(len(findings)).capitalize()} found in the code by static analysis."
    return as_text({"summary": told, "findings": findings})


forms: Mapping[str, Callable[[Asked], Mapping[str, Any]]] = {
    "plan": planner.plan,
    "reflection": planner.reflection,
    "summary": summary,
    "analysis": analyst.analysis,
}
