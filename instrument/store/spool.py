"""Traces about which it is not decided whether they are kept: on disk, one folder a trace, one file a process.

    spool/<trace_id>/<utc>-<run>.jsonl    what one process has recorded of the trace so far
    spool/<trace_id>/shared               other processes take part; the one with the root decides
    spool/<trace_id>/wanted-error         one of the others asks to keep it, and why
    spool/<trace_id>/kept, dropped        the verdict, for processes that come late

What lies here without a verdict reads as kept: its process was killed, or is still at work.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

KEPT, DROPPED, SHARED, WANTED = "kept", "dropped", "shared", "wanted-"
TAKEN = ".taken-"
CHUNK = 64
LATE_SECONDS = 60.0
"""How long a verdict is left for processes that come late."""


class Spool:
    """The folder `spool`; `name` is what this process's files are called. Every method but `append` never raises."""

    def __init__(self, folder: str | os.PathLike[str], name: str) -> None:
        self.folder = Path(folder)
        self.name = name
        self._verdicts: deque[tuple[float, str]] = deque()

    def share(self, trace_id: str) -> None:
        """Tell other processes that this one will decide about the trace."""
        with suppress(OSError):
            (self._make(trace_id) / SHARED).touch(mode=0o600)

    def is_shared(self, trace_id: str) -> bool:
        """Whether another process will decide about the trace."""
        return os.path.exists(self.folder / trace_id / SHARED)

    def append(self, trace_id: str, lines: list[bytes]) -> None:
        """Keep the lines until it is decided. Raises `OSError`."""
        place = self._make(trace_id) / self.name
        fd = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            rest = memoryview(b"\n".join(lines) + b"\n")
            while rest:
                rest = rest[os.write(fd, rest) :]
        finally:
            os.close(fd)

    def want(self, trace_id: str, reason: str) -> None:
        """Ask the process that decides to keep the trace."""
        with suppress(OSError):
            (self.folder / trace_id / f"{WANTED}{reason}").touch(mode=0o600)

    def wanted(self, trace_id: str) -> str | None:
        """Why another process wants the trace to be kept."""
        names = self._names(trace_id)
        return next((name.removeprefix(WANTED) for name in names if name.startswith(WANTED)), None)

    def verdict(self, trace_id: str) -> str | None:
        """What was decided about a shared trace."""
        names = self._names(trace_id)
        return next((word for word in (KEPT, DROPPED) if word in names), None)

    def decide(self, trace_id: str, verdict: str) -> None:
        """Leave the verdict for processes that come late, for a while."""
        with suppress(OSError):
            (self.folder / trace_id / verdict).touch(mode=0o600)
        self._verdicts.append((time.monotonic() + LATE_SECONDS, trace_id))
        while self._verdicts and self._verdicts[0][0] < time.monotonic():
            self._retire(self.folder / self._verdicts.popleft()[1])

    def lines(self, trace_id: str, *, of_all: bool) -> Iterator[list[bytes]]:
        """What was kept of the trace, some lines at a time: of all processes, or of this one only."""
        for place in self._files(trace_id, of_all):
            with suppress(OSError):
                if not place.name.startswith(TAKEN):  # its process may write on meanwhile, into a new file
                    place = place.rename(place.with_name(TAKEN + place.name))
                with open(place, "rb") as file:
                    while chunk := [line.rstrip(b"\n") for line in islice(file, CHUNK)]:
                        yield chunk

    def remove(self, trace_id: str, *, of_all: bool, taken: bool) -> None:
        """Forget what was kept of the trace, with `taken` only what `lines` gave; a verdict stays."""
        for place in self._files(trace_id, of_all):
            if place.name.startswith(TAKEN) or not taken:
                with suppress(OSError):
                    place.unlink()
        with suppress(OSError):
            (self.folder / trace_id).rmdir()

    def sweep(self) -> None:
        """Remove the verdicts that nobody comes for any more, of processes that have ended."""
        with suppress(OSError):
            for place in list(self.folder.iterdir()):
                if place.stat().st_mtime < time.time() - LATE_SECONDS:
                    self._retire(place)

    def _retire(self, place: Path) -> None:
        names = self._names(place.name)
        if DROPPED in names or (KEPT in names and not any(name.endswith(".jsonl") for name in names)):
            shutil.rmtree(place, ignore_errors=True)

    def _files(self, trace_id: str, of_all: bool) -> list[Path]:
        mine = (self.name, TAKEN + self.name)
        names = [name for name in self._names(trace_id) if name in mine or (of_all and name.endswith(".jsonl"))]
        return [self.folder / trace_id / name for name in names]

    def _names(self, trace_id: str) -> list[str]:
        try:
            return sorted(os.listdir(self.folder / trace_id))
        except OSError:
            return []

    def _make(self, trace_id: str) -> Path:
        place = self.folder / trace_id
        if not place.is_dir():
            from instrument.store import folder

            folder.create(self.folder.parent)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            place.mkdir(mode=0o700, exist_ok=True)
        return place


class Held(Spool):
    """The same in memory, for tests: nothing is written, and no other process takes part."""

    def __init__(self) -> None:
        super().__init__("", "held.jsonl")
        self._lines: dict[str, list[bytes]] = {}

    def share(self, trace_id: str) -> None: ...

    def append(self, trace_id: str, lines: list[bytes]) -> None:
        self._lines.setdefault(trace_id, []).extend(lines)

    def lines(self, trace_id: str, *, of_all: bool) -> Iterator[list[bytes]]:
        if trace_id in self._lines:
            yield self._lines[trace_id]

    def remove(self, trace_id: str, *, of_all: bool, taken: bool) -> None:
        self._lines.pop(trace_id, None)

    def is_shared(self, trace_id: str) -> bool:
        return False

    def _names(self, trace_id: str) -> list[str]:
        return []

    def sweep(self) -> None: ...


def undecided(folder: Path) -> list[Path]:
    """The files in the spool that read as kept."""
    found: list[Path] = []
    with suppress(OSError):
        for place in sorted(folder.iterdir()):
            names = sorted(os.listdir(place)) if place.is_dir() else []
            if DROPPED not in names:
                found += [place / name for name in names if name.endswith(".jsonl")]
    return found
