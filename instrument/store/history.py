"""What is usual for each name (`history.json`): durations, costs and counts of earlier runs, for the detectors."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

NAME = "history.json"


def load(folder: Path) -> dict[str, Any]:
    """What was saved last; nothing where there is none or where it cannot be read."""
    try:
        found = json.loads((folder / NAME).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def near(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What was saved in the folder that the records at `path`, a file or a folder, belong to."""
    place = Path(path)
    around = place if place.is_dir() else place.parent
    candidates = (around, around.parent, around / ".instrument")
    return next((load(folder) for folder in candidates if (folder / NAME).is_file()), {})


def save(folder: Path, history: dict[str, Any]) -> None:
    """Replace what was saved, whole or not at all. A folder that is not there or cannot be written is left alone."""
    fresh = folder / f"{NAME}.{os.getpid()}"
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w") as file:
            json.dump(history, file, separators=(",", ":"))
        fresh.replace(folder / NAME)
    except OSError:
        fresh.unlink(missing_ok=True)
