"""Values too long for a record, each stored once under the SHA-256 of its content.

    blobs/3f/3f9a…(64 digits)

The content is JSON that has been redacted. Folders are for their owner only (0700), files likewise (0600). A file
appears whole or not at all, so several processes may store the same value at once.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from instrument.store import folder as recording_folder

_REFERENCE = re.compile(r"sha256:([0-9a-f]{64})")


class Blobs:
    """A folder that is made when the first value comes; `lost` counts what could not be written, by reason."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.lost: Counter[str] = Counter()

    def put(self, pieces: Iterable[bytes]) -> str | None:
        """Store the joined pieces and return their reference, `sha256:…`; None where they could not be written."""
        pieces = tuple(pieces)
        digest = _digest(pieces)
        try:
            place = self.folder / digest[:2] / digest
            if not _is_kept(place, sum(map(len, pieces))):
                _write(place, pieces)
        except OSError as error:
            self.lost[errno.errorcode.get(error.errno or 0, type(error).__name__)] += 1
            return None
        return f"sha256:{digest}"


def folder_for(path: str | os.PathLike[str]) -> Path:
    """Where the long values of the records at `path`, a file or a folder, lie: beside their events."""
    candidates = [folder / "blobs" for folder in recording_folder.around(path)]
    return next((folder for folder in candidates if folder.is_dir()), candidates[0])


def read(folder: str | os.PathLike[str], reference: str) -> bytes:
    """The content that `reference` (`sha256:` and 64 hexadecimal digits) names.

    Raises `ValueError` for what is no reference and for content that does not match it, `FileNotFoundError` for a
    value that is not there (any more).
    """
    known = _REFERENCE.fullmatch(reference)
    if known is None:
        raise ValueError(f"{reference!r} is no reference to a stored value, which is `sha256:` and 64 hex digits")
    place = Path(folder) / known[1][:2] / known[1]
    content = place.read_bytes()
    if _digest((content,)) != known[1]:
        raise ValueError(f"{place} does not hold what its name says: it was changed or cut off; delete it")
    return content


def whole(value: Any, folder: Path) -> Any:
    """The value with what it refers to in its place, as far as that is there; nothing that it holds is changed."""
    if isinstance(value, list):
        return [whole(one, folder) for one in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$blob")
    if isinstance(reference, str):
        with suppress(OSError, ValueError):
            return msgspec.json.decode(read(folder, reference))
    return {key: whole(one, folder) for key, one in value.items()}


def _digest(pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _is_kept(place: Path, size: int) -> bool:
    """Whether the value is stored already; it counts as young again, so that no clean-up takes it from a new record."""
    with suppress(FileNotFoundError):
        if place.stat().st_size == size:
            os.utime(place)
            return True
    return False


def _write(place: Path, pieces: Iterable[bytes]) -> None:
    _make_private(place.parent)
    handle, fresh = tempfile.mkstemp(dir=place.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(pieces)
        os.replace(fresh, place)
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh)
        raise


def _make_private(folder: Path) -> None:
    """The folder and its two parents (`.instrument/blobs/3f`) for their owner only; what lies above as usual."""
    if folder.is_dir():
        return
    recording_folder.create(folder.parents[1])
    for place in (folder.parent, folder):
        with suppress(FileExistsError):
            place.mkdir(mode=0o700)
