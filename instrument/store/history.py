"""What is usual for each name (`history.json`): durations, costs and counts of earlier runs, for the detectors."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from instrument.detectors.history import History, Saved
from instrument.errors import InstrumentError
from instrument.store.folder import around
from instrument.store.turns import turn_in

NAME = "history.json"


def known(folder: Path, tell: Callable[[str], object]) -> History:
    """What was saved last. What cannot be used is told of in a sentence and counts for nothing."""
    file = folder / NAME
    try:
        return History(json.loads(file.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as fault:
        tell(f"{file} cannot be read ({fault.strerror}) and counts for nothing: let it be read, or delete it")
    except (ValueError, RecursionError):
        tell(f"{file} is no JSON and counts for nothing: delete it, or have it replaced when a recorded run ends")
    except InstrumentError as damaged:
        tell(f"{file} counts for nothing: {damaged}")
    return History()


def near(path: str | os.PathLike[str], tell: Callable[[str], object]) -> History:
    """What was saved in the folder that the records at `path`, a file or a folder, belong to."""
    return next((known(folder, tell) for folder in around(path) if (folder / NAME).exists()), History())


def save(folder: Path, learned: Saved) -> None:
    """Add what was learned to what is there, whole or not at all: other processes may have added to it meanwhile.

    A folder that is not there or cannot be written is left alone.
    """
    fresh = folder / f"{NAME}.{os.getpid()}"
    with turn_in(folder):
        everything = known(folder, tell=lambda sentence: None)
        everything.load(learned)
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(everything.save(), file, separators=(",", ":"))
            fresh.replace(folder / NAME)
        except OSError:
            with suppress(OSError):
                fresh.unlink()
