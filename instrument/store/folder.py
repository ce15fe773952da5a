"""The recording folder (`.instrument`): made private, found, measured, and kept from growing for ever.

It holds `events/` (one JSONL file a process, and its rotations), `spool/` (traces that sampling has not decided about),
`blobs/` (long values, stored once by content), `programs/` (what programs left for those that started them) and
`ledger.db`. Only files in the first three folders are ever removed, never
those of a process that is alive.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from instrument.store.processes import is_running

NAME = ".instrument"
LEDGER = "ledger.db"
TRIM_TO = 0.9
"""A folder over its cap is cut to this share of it, so that not every start of a process has to cut again."""
BLOB_REST_SECONDS = 3600.0
"""A blob is written before the record that refers to it: one younger than this is never removed."""
_EVENTS = re.compile(r"(?P<run>.+?)(?:\.\d+)?\.jsonl(?:\.\d+)?(?:\.gz)?")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MARK = b"sha256:"
_DIGITS = 64
_CHUNK = 1 << 20


def around(path: str | os.PathLike[str]) -> tuple[Path, Path, Path]:
    """Where the recording folder may be that the records at `path`, a file or a folder, belong to."""
    place = Path(path)
    nearest = place if place.is_dir() else place.parent
    return nearest, nearest.parent, nearest / NAME


class File(NamedTuple):
    """A file, its size in bytes and when it was last written, in seconds since the epoch."""

    path: Path
    bytes: int
    modified: float


class Contents(NamedTuple):
    """What a folder holds; `events` oldest first."""

    events: list[File]
    blobs: list[File]
    ledger: list[File]

    @property
    def prunable_bytes(self) -> int:
        """Bytes of events and blobs, which the cap is about."""
        return sum(file.bytes for file in (*self.events, *self.blobs))

    @property
    def bytes(self) -> int:
        """Bytes of everything."""
        return self.prunable_bytes + sum(file.bytes for file in self.ledger)


class Pruned(NamedTuple):
    """What was (or with `dry_run` would be) removed, what a living process kept, what could not be removed and why."""

    removed: list[File]
    alive: list[Path]
    failed: list[str]
    left_bytes: int

    @property
    def freed_bytes(self) -> int:
        """Bytes of what was removed."""
        return sum(file.bytes for file in self.removed)


class _Head(msgspec.Struct):
    type: str = ""
    run: str = ""
    pid: int = 0
    start_ns: int = 0


_heads = msgspec.json.Decoder(_Head)


def create(folder: str | os.PathLike[str]) -> Path:
    """The folder, made where it is missing: for its owner only, and ignored by git.

    A folder that held something before is left as it is. Raises `OSError`.
    """
    place = Path(folder)
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        place.mkdir(mode=0o700)
        is_new = True
    except FileExistsError:
        is_new = not any(place.iterdir())
    if is_new:
        with suppress(FileExistsError), open(place / ".gitignore", "x", encoding="ascii") as ignore:
            ignore.write("*\n")
    return place


def contents(folder: str | os.PathLike[str]) -> Contents:
    """Every file of the folder by its use; nothing where there is no folder."""
    place = Path(folder)
    undecided = [file for trace in _folders(place / "spool") for file in _files(trace)]
    events = [file for file in (*_files(place / "events"), *undecided) if _EVENTS.fullmatch(file.path.name)]
    ledger = [file for file in _files(place) if file.path.name.startswith(LEDGER)]
    return Contents(sorted(events, key=lambda file: (file.modified, file.path.name)), _blobs(place), ledger)


def trim(folder: str | os.PathLike[str], max_bytes: int, shared: str | os.PathLike[str] | None = None) -> list[Path]:
    """Remove the oldest event files and blobs when they exceed `max_bytes` (0: no cap); returns what was removed.

    `shared` is an event file outside of the folder whose blobs lie in it. Below the cap this only lists the files;
    above it every event file is read once. Never raises.
    """
    try:
        if max_bytes <= 0 or _bytes_below(folder) <= max_bytes:
            return []
        pruned = prune(folder, max_bytes=int(max_bytes * TRIM_TO), shared=shared)
        return [file.path for file in pruned.removed]
    except Exception:  # noqa: BLE001 - this runs inside the user's first decorated call
        return []


def _bytes_below(folder: str | os.PathLike[str]) -> int:
    """About `prunable_bytes`, at a tenth of its price."""
    return sum(
        _bytes_in(os.path.join(folder, name), deep) for name, deep in (("events", 0), ("spool", 1), ("blobs", 1))
    )


def _bytes_in(folder: str, depth: int) -> int:
    total = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_size
            elif depth:
                total += _bytes_in(entry.path, depth - 1)
    return total


def prune(
    folder: str | os.PathLike[str],
    *,
    max_bytes: int | None = None,
    keep_days: float | None = None,
    dry_run: bool = False,
    shared: str | os.PathLike[str] | None = None,
) -> Pruned:
    """Remove event files, oldest first, and the blobs that nothing refers to any more. The ledger is not touched.

    Event files go that were last written more than `keep_days` ago, and as many more as it takes to come down to
    `max_bytes` of events and blobs. Files of a process that is alive stay. `shared` as for `trim`.
    """
    held = contents(folder)
    alive = _alive(held.events)
    uses = _Uses(held, shared)
    chosen = uses.unused()
    left = held.prunable_bytes - sum(file.bytes for file in chosen)
    oldest_kept = time.time() - keep_days * 86_400 if keep_days is not None else None
    for file in (file for file in held.events if file.path not in alive):
        too_old = oldest_kept is not None and file.modified < oldest_kept
        if too_old or (max_bytes is not None and left > max_bytes):
            gone = [file, *uses.drop(file)]
            chosen += gone
            left -= sum(one.bytes for one in gone)
    removed, failed = (chosen, []) if dry_run else _remove(chosen)
    return Pruned(removed, sorted(alive), failed, held.prunable_bytes - sum(file.bytes for file in removed))


def _remove(files: Iterable[File]) -> tuple[list[File], list[str]]:
    removed, failed = [], []
    for file in files:
        try:
            file.path.unlink(missing_ok=True)
            removed.append(file)
            if file.path.parent.parent.name == "spool":
                with suppress(OSError):
                    file.path.parent.rmdir()
        except OSError as fault:
            failed.append(f"{file.path}: {fault.strerror}")
    return removed, failed


def _files(folder: Path) -> Iterator[File]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    yield File(Path(entry.path), status.st_size, status.st_mtime)


def _folders(folder: Path) -> list[Path]:
    with suppress(OSError), os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    return []


def _blobs(folder: Path) -> list[File]:
    place = folder / "blobs"
    return [file for at in (place, *_folders(place)) for file in _files(at) if _digest(file.path)]


def _digest(blob: Path) -> str | None:
    """The content's hash, from the file's name or, where folders hold its first digits, from both."""
    found = _DIGEST.search(blob.name) or _DIGEST.match(blob.parent.name + blob.name)
    return found[0] if found else None


class _Uses:
    """Which event file refers to which blob."""

    def __init__(self, held: Contents, shared: str | os.PathLike[str] | None) -> None:
        self._blobs = {digest: file for file in held.blobs if (digest := _digest(file.path))}
        self._of = {file.path: self._mentioned(file.path) for file in held.events}
        elsewhere = [self._mentioned(path) for path in _shared_files(shared)]
        self._count = Counter(digest for digests in (*self._of.values(), *elsewhere) for digest in digests)

    def _mentioned(self, path: Path) -> set[str]:
        """The blobs that the file mentions, wherever: to keep one too many does no harm."""
        found: set[str] = set()
        with suppress(OSError, EOFError, zlib.error):
            if self._blobs:
                found.update(digest for digest in _digests(path) if digest in self._blobs)
        return found

    def unused(self) -> list[File]:
        """Blobs that nothing refers to. Where there is no event file at all, they belong to one that is not known."""
        return (
            [file for digest, file in self._blobs.items() if not self._count[digest] and _rests(file)]
            if self._of
            else []
        )

    def drop(self, events: File) -> list[File]:
        """The blobs that only this event file referred to."""
        digests = self._of.pop(events.path)
        self._count.subtract(digests)
        unused = [self._blobs[digest] for digest in digests if digest in self._blobs and not self._count[digest]]
        return [file for file in unused if _rests(file)]


def _rests(blob: File) -> bool:
    return blob.modified < time.time() - BLOB_REST_SECONDS


def _shared_files(shared: str | os.PathLike[str] | None) -> list[Path]:
    if shared is None:
        return []
    stem = Path(shared).stem  # a rotation of `all.log` is `all.1.jsonl`
    return [file.path for file in _files(Path(shared).parent) if file.path.name.startswith(stem)]


def _digests(path: Path) -> Iterator[str]:
    """The digits behind every mark in the file."""
    length = len(_MARK) + _DIGITS
    with _opened(path) as stream:
        rest = b""
        while chunk := stream.read(_CHUNK):
            data = rest + chunk
            at = data.find(_MARK)
            while at >= 0:
                yield data[at + len(_MARK) : at + length].decode("latin-1")
                at = data.find(_MARK, at + length)
            rest = data[1 - length :]


def _opened(path: Path) -> io.BufferedIOBase | Any:
    return gzip.open(path) if path.suffix == ".gz" else open(path, "rb")


def _alive(events: Iterable[File]) -> set[Path]:
    """The files, with their rotations, of processes that are still running."""
    runs: dict[str, list[File]] = {}
    for file in events:
        found = _EVENTS.fullmatch(file.path.name)
        runs.setdefault(found["run"] if found else file.path.name, []).append(file)
    return {file.path for files in runs.values() if _is_alive(files) for file in files}


def _is_alive(files: list[File]) -> bool:
    heads = [head for file in files if (head := _head(file.path)) is not None]
    if not heads or os.name != "posix":
        return max(file.modified for file in files) > time.time() - BLOB_REST_SECONDS
    return any(is_running(head.pid, head.start_ns, head.run) for head in heads)


def _head(path: Path) -> _Head | None:
    """The run record at the beginning of the file."""
    try:
        with _opened(path) as stream:
            head = _heads.decode(stream.readline(_CHUNK))
    except (OSError, EOFError, ValueError, zlib.error):
        return None
    return head if head.type == "run" and head.pid > 0 else None


def processes_alive(files: Iterable[Path]) -> dict[str, bool]:
    """Whether the process of a recording still runs, by the recording's id, as far as the beginnings of files tell."""
    heads = (head for path in files if (head := _head(path)) is not None)
    return {head.run: is_running(head.pid, head.start_ns, head.run) for head in heads}
