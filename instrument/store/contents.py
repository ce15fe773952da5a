"""Texts looked for in what was recorded: in records as they lie in the files, and in the long values beside them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from instrument.store import blobs
from instrument.store.follow import Follower
from instrument.store.jsonl import files

_STORED = re.compile(rb'"\$blob":"(sha256:[0-9a-f]{64})"')


def holding(text: str, blob_folder: Path) -> Callable[[bytes], bool]:
    """Says of a record's line whether the text stands in it, whatever the case, or in JSON that is a text there.

    Long values that the record refers to belong to it; each is read once.
    """
    is_in = _standing(text)
    known: dict[bytes, bool] = {}

    def is_stored(reference: bytes) -> bool:
        if reference not in known:
            try:
                known[reference] = is_in(blobs.read(blob_folder, reference.decode()))
            except (OSError, ValueError):
                known[reference] = False
        return known[reference]

    def holds(line: bytes) -> bool:
        return is_in(line) or (b'"$blob"' in line and any(map(is_stored, _STORED.findall(line))))

    return holds


def _standing(text: str) -> Callable[[bytes], bool]:
    once = _escaped(text.lower())
    forms = {text.lower(), once, _escaped(once)}
    encoded = [form.encode() for form in forms]

    def in_bytes(content: bytes) -> bool:
        lowered = content.lower()
        return any(form in lowered for form in encoded)

    def in_letters(content: bytes) -> bool:
        lowered = content.decode(errors="replace").lower()
        return any(form in lowered for form in forms)

    return in_bytes if text.isascii() else in_letters  # bytes know no capitals but those of English


def _escaped(text: str) -> str:
    return msgspec.json.encode(text)[1:-1].decode()


class Search:
    """The traces below a path in which a text stands, looked for a while at a time, in the latest files first."""

    def __init__(self, path: str | os.PathLike[str], text: str) -> None:
        self.found: dict[str, None] = {}
        self._path = path
        self._holds = holding(text, blobs.folder_for(path))
        self._follower = Follower(path)
        self._lines: Iterator[tuple[int, bytes]] | None = None
        self._looked = self._size = 0

    def look(self, seconds: float = float("inf")) -> bool:
        """Look for so long, and say whether that was all: then the next look is at what has been written since."""
        until = time.monotonic() + seconds
        if self._lines is None:
            self._lines, self._looked, self._size = self._follower.new(latest_first=True), 0, _size(self._path)
        for _, line in self._lines:
            self._looked += len(line)
            if self._holds(line) and (trace_id := _trace_of(line)) is not None:
                self.found[trace_id] = None
            if time.monotonic() > until:
                return False
        self._lines = None
        return True

    @property
    def share(self) -> float:
        """About how much of it all has been looked at: 0 to 1."""
        return 1.0 if self._lines is None else min(0.99, self._looked / max(1, self._size))


class _Of(Struct, gc=False):
    trace_id: str | None = None


_of = msgspec.json.Decoder(_Of).decode


def _trace_of(line: bytes) -> str | None:
    try:
        return _of(line).trace_id
    except (ValueError, RecursionError):
        return None


def _size(path: str | os.PathLike[str]) -> int:
    try:
        return sum(file.stat().st_size for file in files(path))
    except OSError:
        return 0
