"""Notes for the next review: what is written down about a file, and what changed since it was."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .ledger import Fault, count

longest = 3500
entry = re.compile(r"\[([\w-]+)\] line (\d+): (.*?)(?= \|\| |$)")


@dataclass(frozen=True)
class Change:
    """How a file's faults compare with those noted the last time."""

    still: tuple[Fault, ...]
    new: tuple[Fault, ...]
    gone: tuple[str, ...]


def written(faults: Sequence[Fault], mended: Sequence[Fault]) -> str:
    """The note about one file: how many faults, each with rule, line and the start of its message; what was mended."""
    listed = " || ".join(f"[{fault.rule}] line {fault.line}: {short(fault.message)}" for fault in faults)
    told = f"{count(len(faults))} left" if mended else f"{count(len(faults))} found"
    repaired = f" (mended: {', '.join(sorted({fault.rule for fault in mended}))})" if mended else ""
    return f"{told}{repaired}{': ' if listed else ''}{listed}"[:longest]


def short(message: str) -> str:
    line = " ".join(message.replace("||", "|").split())
    return line if len(line) <= 160 else line[:159] + "…"


def compared(faults: Sequence[Fault], note: str) -> Change:
    """What the note's faults have become. Lines may have moved, so rule and message decide."""
    before = {
        (rule, without_numbers(message)): f"{rule} (line {line} then)" for rule, line, message in entry.findall(note)
    }
    now = {(fault.rule, without_numbers(short(fault.message))): fault for fault in faults}
    return Change(
        still=tuple(fault for key, fault in now.items() if key in before),
        new=tuple(fault for key, fault in now.items() if key not in before),
        gone=tuple(told for key, told in before.items() if key not in now),
    )


def without_numbers(text: str) -> str:
    return re.sub(r"\d+", "#", text)


def sentence(path: str, faults: Sequence[Fault], note: str) -> str:
    """The comparison in one sentence."""
    change = compared(faults, note)
    parts = [
        f"still there: {places(change.still)}" if change.still else "",
        f"gone: {', '.join(change.gone)}" if change.gone else "",
        f"new: {places(change.new)}" if change.new else "",
    ]
    told = "; ".join(part for part in parts if part) or "no fault then, and none now"
    return f"{path} was seen before; {told}."


def places(faults: Sequence[Fault]) -> str:
    return ", ".join(f"{fault.rule} (line {fault.line})" for fault in faults)
