"""From files on disk to traces that can show themselves."""

from __future__ import annotations

import html
import os
from collections.abc import Iterator

from instrument.analysis import tree
from instrument.store.jsonl import records
from instrument.views.outline import outline
from instrument.views.theme import Theme

__all__ = ["Trace", "read", "records"]


class Trace(tree.Trace, frozen=True, kw_only=True, dict=True, eq=False):
    """A trace as `read` gives it: `str(trace)` and a notebook's cell show it as a tree."""

    def __str__(self) -> str:
        return outline(self, Theme(width=120))

    def _repr_html_(self) -> str:
        return f'<pre style="line-height: 1.2">{html.escape(str(self))}</pre>'


def read(path: str | os.PathLike[str], notices: list[str] | None = None) -> Iterator[Trace]:
    """The traces below `path`, a file or a folder, in order of their start; all of them are held in memory.

    What cannot be read is skipped: one sentence a file about it goes to `notices`, or to `warnings` without it.
    Raises `FileNotFoundError` when there is nothing at `path`.
    """
    return tree.traces(records(path, notices), Trace)
