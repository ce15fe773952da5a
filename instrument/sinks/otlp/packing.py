"""Requests as they are, or compressed: on disk always, in memory where the target takes them so."""

from __future__ import annotations

import gzip

LEVEL = 1
"""The quickest: a third of the time of the usual one, for a fifth more bytes."""
_MAGIC = b"\x1f\x8b"
"""No request begins so: protobuf begins with the number of a field, JSON with a brace."""


def packed(body: bytes) -> bytes:
    """The request compressed by gzip."""
    return body if body.startswith(_MAGIC) else gzip.compress(body, LEVEL, mtime=0)


def unpacked(body: bytes) -> bytes:
    """The request itself."""
    return gzip.decompress(body) if body.startswith(_MAGIC) else body
