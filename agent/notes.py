"""Long-term memory: notes by key in one JSON file, `.agent/memory.json` below the workspace.

Writes are atomic and one at a time, also between processes. A file that cannot be understood is set aside under
another name, never overwritten.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from loguru import logger

from agent.errors import InputError, ToolError
from agent.workspace import content, locked, write_atomically

FOLDER = ".agent"
MAX_KEY, MAX_VALUE, MAX_NOTES = 200, 4_000, 500
"""Characters of a key and of a value, and how many notes there may be."""

MAX_BYTES = 16_000_000
"""More than all notes can take as JSON."""

MAX_RECALLED = 30


class Notes:
    """What the agent remembers from one review to the next."""

    def __init__(self, root: Path) -> None:
        self.folder = root / FOLDER
        self.path = self.folder / "memory.json"
        if not self.path.resolve().is_relative_to(root.resolve()):
            raise InputError(f"{self.path} is a link that leads out of {root}; remove it to review this folder")

    def all(self) -> dict[str, str]:
        """Every note, in the order in which they were last written."""
        if not self.path.exists():
            return {}
        data = content(self.path, str(self.path), MAX_BYTES)
        try:
            return msgspec.json.decode(data, type=dict[str, str])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self.set_aside(error)
            return {}

    def remember(self, key: str, value: str) -> None:
        """Write one note; one of the same key is replaced, and the oldest leaves when there are too many."""
        if not key.strip() or len(key) > MAX_KEY or len(value) > MAX_VALUE:
            raise ToolError(f"a note needs a key of 1 to {MAX_KEY} and a value of at most {MAX_VALUE} characters")
        try:
            with self.alone():
                kept = {name: note for name, note in self.all().items() if name != key}
                notes = dict([*kept.items(), (key, value)][-MAX_NOTES:])
                write_atomically(self.path, msgspec.json.format(msgspec.json.encode(notes), indent=2))
        except OSError as error:
            raise ToolError(f"the note cannot be written to {self.path}: {error.strerror}") from error

    def recall(self, query: str) -> dict[str, str]:
        """The newest notes that hold every word of the query in key or value; all of them for an empty query."""
        words = query.lower().split()
        return newest(item for item in self.all().items() if all(word in " ".join(item).lower() for word in words))

    def about(self, files: Iterable[str]) -> dict[str, str]:
        """The newest notes that mention one of the files by its path."""
        named = re.compile("|".join(rf"(?<![\w./-]){re.escape(path)}(?!\w)" for path in files))
        return newest(item for item in self.all().items() if named.search(" ".join(item)))

    def set_aside(self, error: Exception) -> None:
        """Rename a file that cannot be understood, so that its content is kept for people."""
        aside = self.path.with_name(f"memory.json.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
        try:
            self.path.rename(aside)
        except OSError as failure:
            raise ToolError(f"the notes in {self.path} can neither be read nor set aside: {failure}") from error
        logger.warning("The agent's notes could not be read ({}); the file was set aside as {}", error, aside)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other process writes the notes in the meantime."""
        self.folder.mkdir(exist_ok=True)
        ignored_by_git(self.folder)
        with locked(self.folder):
            yield


def newest(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The last of the notes, in their order."""
    return dict(list(items)[-MAX_RECALLED:])


def ignored_by_git(folder: Path) -> None:
    """Keep the agent's own folder out of the reviewed project's repository."""
    try:
        with open(folder / ".gitignore", "x", encoding="utf-8") as ignore:  # never through a link that is there
            ignore.write("*\n")
    except FileExistsError:
        return
