"""What runs were given: the outermost spans with their inputs, read without all else."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec
from msgspec import Raw, Struct

from instrument.store.jsonl import decoded

HEAD = 400
"""Before so many bytes of a line it says what it is a record of and what its parent is."""


class Root(Struct, frozen=True, tag="span", tag_field="type"):
    """Of `model.Span`."""

    trace_id: str
    name: str
    parent_id: str | None = None
    input: Raw = Raw(b"null")


class OpenRoot(Root, frozen=True, tag="open", tag_field="type"):
    """Of `model.Open`: of a run that never ended, or has not yet."""


_decoder: msgspec.json.Decoder[Root | OpenRoot] = msgspec.json.Decoder(Root | OpenRoot)


def roots(path: str | os.PathLike[str]) -> Iterator[Root]:
    """The outermost spans below a path, in the order of their lines; of one that ended maybe its beginning as well."""
    return (root for root in decoded(path, _decoder.decode, [], _may_be_root) if root.parent_id is None)


def _may_be_root(line: bytes) -> bool:
    head = line[:HEAD]
    return (b'"span"' in head or b'"open"' in head) and b'"parent_id":"' not in head
