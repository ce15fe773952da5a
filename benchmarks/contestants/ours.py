"""instrument itself, with its defaults but for the sinks that `variant` names, or for what `_SETTINGS` says.

`memory` is a sink that counts: everything up to the finished, redacted line. The console writes to the null device.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.contestants import Contestant, lines_of


class Counting:
    """Counts the lines and keeps the last."""

    spans = 0
    last = b""

    def write(self, batch: Any) -> None:
        Counting.spans += len(batch)
        Counting.last = batch.lines[-1]

    def flush(self) -> None: ...

    def close(self) -> None: ...


_SETTINGS: dict[str, dict[str, Any]] = {
    "disabled": {"enabled": False},
    "unsampled": {"sinks": ("jsonl",), "sample_rate": 0.0, "loops": {"action": "off"}},
    "jsonl-unwatched": {"sinks": ("jsonl",), "loops": {"action": "off"}},
    "memory": {"sinks": (f"{__name__}:Counting",)},
}


def _is_span(line: bytes) -> bool:
    """A call that took long, on a busy machine, has a record of its beginning too."""
    return b'"type":"span"' in line[:40]


def start(folder: Path, variant: str) -> Contestant:
    """Configured as a program would do it; nothing but the folder is different from the defaults."""
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    import instrument

    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    instrument.configure(dir=folder, **_SETTINGS.get(variant, {"sinks": tuple(variant.split(","))}))
    return Contestant(
        instrument.tool,
        lambda: instrument.span("parent"),
        instrument.flush,
        (lambda: (line for line in lines_of(folder / "events") if _is_span(line))) if "jsonl" in variant else None,
        (lambda: (Counting.spans, Counting.last)) if variant == "memory" else None,
        {"instrument": instrument.__version__, **{name: version(name) for name in ("wrapt", "msgspec")}},
        decorate_model=instrument.llm_call(model="gpt-4.1-mini"),
    )
