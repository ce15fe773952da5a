"""The first model: decides from the conversation so far what to do next, and answers when nothing is left to do.

The order is: read, analyse, remember, answer; and where faults are to be mended, before remembering: write tests, run
them, patch, run them again, take back what did not help, analyse again. Whatever was done already or failed twice is
passed over, so every conversation comes to its answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from . import notes, shapes
from .analyst import focuses
from .conversation import Assignment, assignment_of, deeds, said
from .ledger import Fault, Known, Ledger, count, fault_of, gathered
from .reply import ToolCall
from .request import Asked
from .rules import examine, is_python, ruff

most_calls = 16
most_read = 6
most_tries = 2

Wanted = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Mind:
    """All that a decision is made from."""

    asked: Asked
    given: Assignment
    ledger: Ledger
    tools: frozenset[str]

    def can(self, tool: str) -> bool:
        return tool in self.tools

    @property
    def fixing(self) -> bool:
        return self.given.fix and {"write_test", "run_test", "patch_file"} <= self.tools


@dataclass(frozen=True)
class Repair:
    """One fault that can be mended, and where its test goes."""

    path: str
    fault: Fault
    test_path: str

    @property
    def patch(self) -> tuple[str, str, str]:
        old, new = self.fault.patch or ("", "")
        return self.path, old, new


def mind_of(asked: Asked) -> Mind:
    tools = frozenset(tool.name for tool in asked.tools) if asked.choice != "none" else frozenset()
    given = assignment_of(asked)
    return Mind(asked, given, gathered(said(asked, "user", "assistant", "developer", "system"), deeds(asked)), tools)


def next_calls(mind: Mind) -> list[ToolCall]:
    """The calls to make now; none when it is time to answer."""
    for stage in (reading, analysing, testing, showing, patching, checking, taking_back, analysing_again, remembering):
        wanted = list(stage(mind))
        if wanted:
            most = most_calls if mind.asked.parallel else 1
            return [call(mind.asked, name, arguments) for name, arguments in wanted[:most]]
    return []


def call(asked: Asked, name: str, arguments: dict[str, Any]) -> ToolCall:
    """A call whose arguments fit the tool's schema: what it asks for besides is null or empty."""
    schema = next(tool.parameters for tool in asked.tools if tool.name == name)
    properties = schema.get("properties")
    fitting = shapes.conform(arguments, schema) if properties else arguments
    return ToolCall(name, json.dumps(fitting, ensure_ascii=False))


def reading(mind: Mind) -> Iterator[Wanted]:
    """Files that nobody has looked at; of many files only those that cannot be analysed otherwise."""
    if not mind.can("read_file"):
        return
    for path in mind.given.files:
        known = mind.ledger.of(path)
        wanted = len(mind.given.files) <= most_read or not mind.can("analyze_code") or gave_up(known)
        if wanted and not known.read and known.reads < most_tries and known.faults is None:
            yield "read_file", {"path": path}


def gave_up(known: Known) -> bool:
    return known.faults is None and known.analyses >= most_tries


def analysing(mind: Mind) -> Iterator[Wanted]:
    if mind.can("analyze_code"):
        for path in mind.given.files:
            known = mind.ledger.of(path)
            unknown = known.faults is None or (mind.fixing and known.recalled and not known.patched)
            if unknown and known.analyses < most_tries and is_python(path, known.source):
                yield "analyze_code", {"path": path, "focus": focus(mind)}


def focus(mind: Mind) -> str | None:
    """What the task asks for in particular, in its own words, when it names a kind of fault."""
    return mind.given.task[:200] if any(word in mind.given.task.lower() for word in focuses) else None


def repairs(mind: Mind) -> list[Repair]:
    """The faults with a patch, each with the path of its test beside the file: its own name if that is free."""
    if not mind.fixing:
        return []
    return [
        Repair(path, fault, free_name(mind, path, fault))
        for path in mind.given.files
        for fault in mind.ledger.of(path).faults or ()
        if fault.patch
    ]


def free_name(mind: Mind, path: str, fault: Fault) -> str:
    """`test_stats_division_by_zero_12.py` beside `stats.py`; with a number when such a file was there before."""
    place = PurePosixPath(path)
    base = f"test_{place.stem}_{fault.rule.replace('-', '_')}_{fault.line}"
    names = [str(place.with_name(f"{base}{extra}.py")) for extra in ("", "_2", "_3")]
    return next((name for name in names if name not in mind.ledger.refused), names[-1])


def testing(mind: Mind) -> Iterator[Wanted]:
    for repair in repairs(mind):
        taken = {*mind.ledger.written, *mind.ledger.runs, *mind.ledger.refused}
        if repair.fault.test and repair.test_path not in taken:
            yield "write_test", {"path": repair.test_path, "content": repair.fault.test}


def showing(mind: Mind) -> Iterator[Wanted]:
    for repair in repairs(mind):
        if repair.test_path in mind.ledger.written and repair.test_path not in mind.ledger.runs:
            yield "run_test", {"path": repair.test_path}


def patching(mind: Mind) -> Iterator[Wanted]:
    """Faults whose test failed as it should, and those that no test can show."""
    for repair in repairs(mind):
        runs = mind.ledger.runs.get(repair.test_path, [])
        shown = runs[:1] == [False] and repair.test_path not in mind.ledger.broken
        if (shown or not repair.fault.test) and repair.patch not in mind.ledger.patches:
            path, old, new = repair.patch
            yield "patch_file", {"path": path, "old": old, "new": new}


def checking(mind: Mind) -> Iterator[Wanted]:
    for repair in repairs(mind):
        if is_patched(mind, repair) and len(mind.ledger.runs.get(repair.test_path, ())) == 1:
            yield "run_test", {"path": repair.test_path}


def is_patched(mind: Mind, repair: Repair) -> bool:
    return mind.ledger.patches.get(repair.patch) == ""


def taking_back(mind: Mind) -> Iterator[Wanted]:
    """A patch after which the test still fails is undone."""
    for repair in repairs(mind):
        path, old, new = repair.patch
        failed = len(mind.ledger.runs.get(repair.test_path, ())) >= 2 and not mind.ledger.runs[repair.test_path][-1]
        if failed and is_patched(mind, repair) and (path, new, old) not in mind.ledger.patches:
            yield "patch_file", {"path": path, "old": new, "new": old}


def analysing_again(mind: Mind) -> Iterator[Wanted]:
    """What was patched is looked at once more: lines have moved, and the fault should be gone."""
    if not mind.can("analyze_code"):
        return
    for path in mind.given.files:
        known = mind.ledger.of(path)
        if known.patched and known.after is None and known.faults is not None and known.analyses < most_tries + 1:
            yield "analyze_code", {"path": path, "focus": focus(mind)}


def remembering(mind: Mind) -> Iterator[Wanted]:
    if mind.can("remember"):
        for path in mind.given.files:
            known = mind.ledger.of(path)
            if not known.remembered and (known.faults is not None or known.source):
                yield "remember", {"key": path[:200], "value": notes.written(left(mind, path), mended(mind, path))}


def faults_of(mind: Mind, path: str) -> list[Fault]:
    """The analyst's faults of a file, or our own where there is no analyst but the file was read."""
    known = mind.ledger.of(path)
    if known.faults is not None:
        return known.faults
    if not known.source:
        return []
    own = examine(path, known.source).findings if known.whole or is_python(path, known.source) else ()
    return [fault for finding in own if (fault := fault_of(vars(finding)))]


def mended(mind: Mind, path: str) -> list[Fault]:
    """Faults whose patch went in and whose test, where there is one, passes now."""
    done = []
    for repair in repairs(mind):
        runs = mind.ledger.runs.get(repair.test_path, [])
        proven = runs[-1:] == [True] and len(runs) >= 2
        if repair.path == path and is_patched(mind, repair) and (proven or not repair.fault.test):
            done.append(repair.fault)
    return done


def left(mind: Mind, path: str) -> list[Fault]:
    """What is still wrong with a file after all that was done."""
    known = mind.ledger.of(path)
    if known.after is not None:
        return known.after
    done = mended(mind, path)
    return [fault for fault in faults_of(mind, path) if fault not in done]


def review(mind: Mind) -> dict[str, Any]:
    """The finished review."""
    findings = [finding for path in mind.given.files for finding in file_findings(mind, path)]
    return {"summary": summary(mind, findings), "findings": findings}


def file_findings(mind: Mind, path: str) -> list[dict[str, Any]]:
    done = mended(mind, path)
    tests = {id(repair.fault): repair.test_path for repair in repairs(mind)}
    told = [finding(path, fault, proof(fault, tests.get(id(fault), ""))) for fault in done]
    return sorted([*told, *(finding(path, fault) for fault in left(mind, path))], key=lambda entry: int(entry["line"]))


def proof(fault: Fault, test: str) -> str:
    return f" (mended; {test} failed before and passes now)" if fault.test else " (mended, without a test)"


def finding(path: str, fault: Fault, extra: str = "") -> dict[str, Any]:
    return {
        "path": path,
        "line": fault.line,
        "severity": fault.severity,
        "rule": fault.rule,
        "message": fault.message + extra,
        "suggestion": fault.suggestion,
    }


def summary(mind: Mind, findings: Sequence[Mapping[str, Any]]) -> str:
    """A few sentences: what was looked at and found, what could not be done, what has changed since the last time."""
    if not mind.given.files:
        return "There was no file to review: the request names none under FILES."
    parts = [
        overview(mind, findings),
        *unseen(mind),
        *since_last_time(mind),
        *not_mended(mind),
        "" if ruff.available() else "ruff is not installed here, so only the built-in rules were applied.",
    ]
    return " ".join(part for part in parts if part)


def overview(mind: Mind, findings: Sequence[Mapping[str, Any]]) -> str:
    looked_at = [(path, mind.ledger.of(path)) for path in mind.given.files]
    seen = [
        path
        for path, known in looked_at
        if known.faults is not None or (known.source and is_python(path, known.source))
    ]
    files = seen[0] if len(seen) == 1 else f"{len(seen)} files"
    if not seen:
        return "No file could be examined."
    if not findings:
        return f"Static analysis of {files} found no fault."
    worst = min(findings, key=lambda entry: (is_mended(entry), ("error", "warning", "info").index(entry["severity"])))
    places = sorted({entry["path"] for entry in findings})
    where = "" if len(seen) == 1 else f" in {len(places)} of them"
    fixed = sum(map(is_mended, findings))
    repaired = f"; {fixed} mended" if fixed else ""
    return (
        f"Static analysis of {files} found {count(len(findings))}{where}{repaired}; first of all {worst['path']}, "
        f"line {worst['line']}: {worst['message']}."
    )


def is_mended(entry: Mapping[str, Any]) -> bool:
    return "(mended" in entry["message"]


def unseen(mind: Mind) -> Iterator[str]:
    for path in mind.given.files:
        known = mind.ledger.of(path)
        if known.partly:
            yield f"There are more faults in {path} than could be kept in view."
        if known.faults is not None:
            continue
        if known.source and not is_python(path, known.source):
            yield f"{path} is not Python, which is all that this offline model can review."
        elif known.source and not known.whole:
            yield f"Of {path} only the beginning was seen."
        elif not known.source:
            yield f"{path} was not examined{': ' + known.errors[-1] if known.errors else ''}."


def since_last_time(mind: Mind) -> Iterator[str]:
    for path in mind.given.files:
        note = mind.given.notes.get(path)
        if note and mind.ledger.of(path).faults is not None:
            yield notes.sentence(path, left(mind, path), note)


def not_mended(mind: Mind) -> Iterator[str]:
    """Why patches that were at hand are not in, and which of them are out of sight."""
    for path in mind.given.files:
        known = mind.ledger.of(path)
        if known.patched and known.recalled:
            yield f"{path} was patched in steps that are no longer in view."
    for repair in repairs(mind):
        where = f"{repair.path}, line {repair.fault.line} ({repair.fault.rule})"
        runs = mind.ledger.runs.get(repair.test_path, [])
        if repair.test_path in mind.ledger.refused:
            yield f"{where} was left alone: {mind.ledger.refused[repair.test_path]}."
        elif repair.test_path in mind.ledger.broken:
            yield f"{where} was left alone: its test cannot run here."
        elif runs[:1] == [True]:
            yield f"{where} was left alone: its test passes as it is."
        elif mind.ledger.patches.get(repair.patch):
            yield f"{where} could not be patched: {mind.ledger.patches[repair.patch]}."
        elif len(runs) >= 2 and not runs[-1]:
            yield f"{where}: the patch did not help, so it was taken back."
