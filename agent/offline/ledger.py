"""What is known of a review so far: for each file what was read, found, tested and mended.

It is folded from the calls of the conversation, and from the summary that stands for calls that were trimmed away. The
summary is written by `told` and read by `from_summary`, so nothing that matters is lost on the way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .conversation import Deed, objects_in, source_in


@dataclass(frozen=True)
class Fault:
    """One fault of a file as the analyst told it."""

    line: int
    severity: str
    rule: str
    message: str
    suggestion: str
    patch: tuple[str, str] | None = None
    test: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """The same for the same fault after lines have moved."""
        return self.rule, re.sub(r"\d+", "#", self.message)


@dataclass
class Known:
    """What is known of one file.

    `faults` is None until an analysis came through; `recalled` ones have no patches, of `partly` ones some are missing.
    """

    read: bool = False
    source: str = ""
    whole: bool = False
    faults: list[Fault] | None = None
    after: list[Fault] | None = None
    analyses: int = 0
    reads: int = 0
    patched: int = 0
    remembered: bool = False
    recalled: bool = False
    partly: bool = False
    errors: list[str] = field(default_factory=list)


@dataclass
class Ledger:
    """What is known of all files, and of the tests and patches by the text that identifies them."""

    files: dict[str, Known] = field(default_factory=dict)
    runs: dict[str, list[bool]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    written: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    patches: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def of(self, path: str) -> Known:
        return self.files.setdefault(path, Known())


def gathered(summary: str, deeds: Iterable[Deed]) -> Ledger:
    """The ledger after an earlier summary and the calls since."""
    ledger = from_summary(summary)
    for deed in deeds:
        enter = entries.get(deed.tool)
        if enter:
            enter(ledger, deed)
    return ledger


def enter_read(ledger: Ledger, deed: Deed) -> None:
    known = ledger.of(deed.path)
    known.reads += 1
    if not deed.ok:
        known.errors.append(deed.error)
        return
    known.read = True
    text, whole = text_read(deed.result)
    if text:
        known.source, known.whole = text, whole


def text_read(result: Any) -> tuple[str, bool]:
    """The source in what read_file gave, and whether that is the whole file."""
    if isinstance(result, Mapping):
        text = next((result[key] for key in ("source", "text", "content") if isinstance(result.get(key), str)), "")
        whole = result.get("from", 1) == 1 and result.get("to") == result.get("of")
        return source_in(text) or text, whole
    if isinstance(result, str):
        return source_in(result) or result, "cut to fit" not in result
    return "", False


def enter_analysis(ledger: Ledger, deed: Deed) -> None:
    known = ledger.of(deed.path)
    known.analyses += 1
    if not deed.ok:
        known.errors.append(deed.error)
        return
    known.partly = isinstance(deed.result, str) and "cut to fit" in deed.result
    found = faults_in(deed.result)
    if known.patched and known.faults is not None:
        known.after = found
    else:
        known.faults, known.recalled = found, False


def faults_in(result: Any) -> list[Fault]:
    """The faults in what analyze_code gave; of an output that was cut, those that are still whole."""
    if isinstance(result, Mapping):
        result = result.get("findings", [])
    if isinstance(result, str):
        result = list(objects_in(result[1:] if result.startswith("{") else result))
    return (
        [fault for entry in result if isinstance(entry, Mapping) and (fault := fault_of(entry))]
        if isinstance(result, list)
        else []
    )


def fault_of(entry: Mapping[str, Any]) -> Fault | None:
    line, rule = entry.get("line"), entry.get("rule")
    if not isinstance(line, int) or not isinstance(rule, str):
        return None
    patch = entry.get("patch")
    pair = (
        (patch["old"], patch["new"])
        if isinstance(patch, Mapping) and isinstance(patch.get("old"), str) and isinstance(patch.get("new"), str)
        else None
    )
    severity = entry.get("severity") if entry.get("severity") in ("error", "warning", "info") else "warning"
    test = entry.get("test")
    return Fault(
        line,
        str(severity),
        rule,
        str(entry.get("message", "")),
        str(entry.get("suggestion", "")),
        pair,
        test if isinstance(test, str) else None,
    )


def enter_test(ledger: Ledger, deed: Deed) -> None:
    if deed.ok:
        ledger.written[deed.path] = str(deed.arguments.get("content", ""))
    else:
        ledger.refused[deed.path] = deed.error


def enter_run(ledger: Ledger, deed: Deed) -> None:
    passed = run_passed(deed)
    ledger.runs.setdefault(deed.path, []).append(passed)
    if not passed and is_broken(deed):
        ledger.broken.add(deed.path)


def run_passed(deed: Deed) -> bool:
    """Whether a test run passed, however the tool says so."""
    if not deed.ok:
        return False
    if isinstance(deed.result, Mapping):
        if isinstance(deed.result.get("passed"), bool):
            return bool(deed.result["passed"])
        code = next((deed.result[key] for key in ("exit_code", "returncode") if key in deed.result), None)
        return code == 0
    return (
        isinstance(deed.result, str)
        and bool(re.search(r'"passed": true|\bpassed\b', deed.result))
        and "failed" not in deed.result
    )


def is_broken(deed: Deed) -> bool:
    """The test could not run at all, so that its failure shows nothing about the fault."""
    if not deed.ok:
        return True
    text = str(deed.result)
    return any(
        word in text
        for word in ("ModuleNotFoundError", "ImportError", "error during collection", "errors during collection")
    )


def enter_patch(ledger: Ledger, deed: Deed) -> None:
    old, new = str(deed.arguments.get("old", "")), str(deed.arguments.get("new", ""))
    ledger.patches[(deed.path, old, new)] = deed.error
    if deed.ok:
        ledger.of(deed.path).patched += 1


def enter_note(ledger: Ledger, deed: Deed) -> None:
    ledger.of(deed.path).remembered = True


entries = {
    "read_file": enter_read,
    "analyze_code": enter_analysis,
    "write_test": enter_test,
    "run_test": enter_run,
    "patch_file": enter_patch,
    "remember": enter_note,
}


def told(ledger: Ledger) -> str:
    """The ledger as text, one fact a line, from which `from_summary` can make it again (sources and tests left out)."""
    lines: list[str] = []
    for path, known in ledger.files.items():
        lines += [f"READ {path}"] if known.read else []
        lines += [f"ANALYSED {path} {known.analyses}x: {count(len(known.faults))}"] if known.faults is not None else []
        lines += [
            f"{kind} {path}:{fault.line} [{fault.severity} {fault.rule}] {fault.message} => {fault.suggestion}"
            for kind, faults in (("FAULT", known.faults), ("LEFT", known.after))
            for fault in faults or ()
        ]
        lines += [f"PARTLY {path}"] if known.partly else []
        lines += [f"REANALYSED {path}"] if known.after is not None else []
        lines += [f"PATCHED {path} {known.patched}x"] if known.patched else []
        lines += [f"NOTED {path}"] if known.remembered else []
        lines += [f"FAILED {path}: {error}" for error in known.errors]
    lines += [f"WROTE {path}" for path in ledger.written]
    lines += [
        f"TEST {path} {' '.join('passed' if passed else 'failed' for passed in runs)}"
        for path, runs in ledger.runs.items()
    ]
    return "\n".join(lines)


def count(number: int) -> str:
    return "no fault" if number == 0 else "1 fault" if number == 1 else f"{number} faults"


fact = re.compile(r"^(READ|ANALYSED|PARTLY|FAULT|LEFT|REANALYSED|PATCHED|NOTED|FAILED|WROTE|TEST) (.*)$")
told_fault = re.compile(r"^(.+?):(\d+) \[(error|warning|info) ([\w-]+)\] (.*) => (.*)$")


def from_summary(text: str) -> Ledger:
    """The ledger that a summary tells of."""
    ledger = Ledger()
    for line in text.split("\n"):
        match = fact.match(line.strip())
        if match:
            take(ledger, match.group(1), match.group(2))
    return ledger


def take(ledger: Ledger, kind: str, rest: str) -> None:
    match kind:
        case "READ":
            ledger.of(rest).read = True
        case "ANALYSED":
            path, _, times = rest.rpartition(": ")[0].rpartition(" ")
            known = ledger.of(path)
            known.faults, known.analyses, known.recalled = [], int(times.rstrip("x") or 1), True
        case "PARTLY":
            ledger.of(rest).partly = True
        case "FAULT" | "LEFT":
            if found := told_fault.match(rest):
                path, line, severity, rule, message, suggestion = found.groups()
                known, fault = ledger.of(path), Fault(int(line), severity, rule, message, suggestion)
                if kind == "FAULT":
                    known.faults = [*(known.faults or ()), fault]
                else:
                    known.after = [*(known.after or ()), fault]
        case "REANALYSED":
            ledger.of(rest).after = ledger.of(rest).after or []
        case "PATCHED":
            path, _, times = rest.rpartition(" ")
            ledger.of(path).patched = int(times.rstrip("x") or 1)
        case "NOTED":
            ledger.of(rest).remembered = True
        case "FAILED":
            path, _, error = rest.partition(": ")
            ledger.of(path).errors.append(error)
        case "WROTE":
            ledger.written[rest] = ""
        case "TEST":
            path, *outcomes = rest.split(" ")
            ledger.runs[path] = [outcome == "passed" for outcome in outcomes]
