"""What is imported again: logs, scores and findings have no id, unlike spans, by which a second one would be known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from instrument.model import Finding, Log, Score
from instrument.store.jsonl import decoded, files, record_of


class Told:
    """The logs, scores and findings in the folder `events`, which is read once, when the first is to be compared."""

    def __init__(self, events: Path) -> None:
        self._events = events
        self._homes: defaultdict[Any, set[Path]] = defaultdict(set)
        self._held: defaultdict[Path, list[Any]] = defaultdict(list)
        self._is_read = False

    def news(self, lines: Sequence[bytes], target: Path) -> list[bytes]:
        """Those of the lines, redacted as they are stored, that no other file than `target` has; it will have these."""
        signs = [_sign(record_of(line)) if _may_have_sign(line) else None for line in lines]
        if any(signs):
            self._read()
        for sign in self._held.pop(target, ()):
            self._homes[sign].discard(target)
        fresh = [sign is None or not self._homes[sign] for sign in signs]
        for sign, is_fresh in zip(signs, fresh, strict=True):
            if is_fresh and sign is not None:
                self._add(sign, target)
        return [line for line, is_fresh in zip(lines, fresh, strict=True) if is_fresh]

    def _read(self) -> None:
        if not self._is_read:
            self._is_read = True
            for file, sign in _signs_below(self._events):
                self._add(sign, file)

    def _add(self, sign: Any, file: Path) -> None:
        self._homes[sign].add(file)
        self._held[file].append(sign)


def _signs_below(events: Path) -> Iterator[tuple[Path, Any]]:
    for file in files(events) if events.is_dir() else ():
        for record in decoded(file, record_of, [], _may_have_sign):
            sign = _sign(record)
            if sign is not None:
                yield file, sign


def _may_have_sign(line: bytes) -> bool:
    return line.startswith((b'{"type":"log"', b'{"type":"score"', b'{"type":"finding"'))


def _sign(record: Any) -> Any:
    """What tells a log, score or finding of a trace from another one."""
    if getattr(record, "trace_id", None) is None:
        return None
    match record:
        case Log():
            return record.trace_id, record.span_id, record.time_ns, record.event, record.message
        case Score():
            return record.trace_id, record.span_id, record.time_ns, record.name, record.value, record.label
        case Finding():
            return record.trace_id, record.time_ns, record.detector, *record.span_ids
        case _:
            return None
