"""The secret of this installation: what placeholders and the address of `serve` are made with, kept on disk."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

_KEY_BYTES = 32


@cache
def installation_key() -> bytes:
    """The 32 random bytes that make placeholders of this installation alike from run to run, and guessable to nobody.

    Kept readable to the user alone in `$XDG_STATE_HOME/instrument/redaction.key` (`~/.local/state` by default), and
    never in the recording folder: whoever is sent that folder could otherwise try out candidates for a short secret
    until one gives the same placeholder. Where it cannot be kept, a key for this process alone.
    """
    try:
        return _kept_key(_state_folder() / "redaction.key")
    except (OSError, RuntimeError):
        return secrets.token_bytes(_KEY_BYTES)


def _state_folder() -> Path:
    given = os.environ.get("XDG_STATE_HOME", "")
    base = Path(given) if os.path.isabs(given) else Path.home() / ".local" / "state"
    return base / "instrument"


def _kept_key(place: Path) -> bytes:
    """The key on disk, made if there is none. A hard link appears whole or not at all, so all processes agree."""
    for _ in range(3):
        with suppress(FileNotFoundError):
            kept = place.read_bytes()
            if len(kept) == _KEY_BYTES:
                return kept
            place.unlink(missing_ok=True)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, fresh = tempfile.mkstemp(dir=place.parent, prefix=".redaction.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
            with suppress(FileExistsError):
                os.link(fresh, place)
        finally:
            os.unlink(fresh)
    raise OSError(f"{place} cannot be kept")
