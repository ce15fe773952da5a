"""Whoever is measured: one file each, whose `start(folder, variant)` sets it up to write into `folder`.

A contestant is imported only in the process that measures it, in the environment that it is installed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True)
class Contestant:
    """How to decorate, to put calls below a parent, to wait until all is written, and what then has been written.

    `lines` gives every line on disk; `kept`, where nothing is written, how many spans reached the end of the line
    and the last of them as JSON. A contestant with neither records nothing. `decorate_model` is for calls of a model,
    where that is another decorator.
    """

    decorate: Decorator
    parent: Callable[[], AbstractContextManager[Any]]
    flush: Callable[[], object]
    lines: Callable[[], Iterator[bytes]] | None = None
    kept: Callable[[], tuple[int, bytes]] | None = None
    versions: dict[str, str] = field(default_factory=dict)
    decorate_model: Decorator | None = None


@dataclass(frozen=True)
class Entry:
    """A row of the table: who, in which variant (`module` is its file here), in which environment."""

    title: str
    module: str
    variant: str = ""
    environment: str = ""
    """Empty: the project's own."""
    writes: bool = True
    """Whether it writes JSON lines, so that it is compared with the OpenTelemetry SDK."""


ENTRIES = {
    "floor": Entry("floor: hand-written minimum", "floor"),
    "wrapt": Entry("empty wrapt wrapper", "wrapt_wrapper", writes=False),
    "ours-disabled": Entry("instrument, disabled", "ours", "disabled", writes=False),
    "ours-unsampled": Entry("instrument, not sampled", "ours", "unsampled", writes=False),
    "ours-memory": Entry("instrument, sink that only counts", "ours", "memory", writes=False),
    "ours-jsonl-unwatched": Entry("instrument, jsonl, loops off", "ours", "jsonl-unwatched"),
    "ours-jsonl": Entry("instrument, jsonl", "ours", "jsonl"),
    "ours-jsonl-ledger": Entry("instrument, jsonl + ledger", "ours", "jsonl,ledger"),
    "ours": Entry("instrument, all defaults", "ours", "console,jsonl,ledger"),
    "otel": Entry("OpenTelemetry SDK", "otel", environment="otel"),
    "logfire": Entry("logfire", "logfire_sdk", environment="logfire"),
    "openinference": Entry("openinference", "openinference_sdk", environment="openinference"),
    "langfuse": Entry("langfuse", "langfuse_sdk", environment="langfuse"),
}


def lines_of(folder: Path) -> Iterator[bytes]:
    """Every line of every `.jsonl` file below the folder."""
    for path in sorted(folder.rglob("*.jsonl")):
        with path.open("rb") as file:
            yield from file
