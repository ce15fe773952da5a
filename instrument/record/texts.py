"""Strings and bytes as JSON can hold them."""

from __future__ import annotations

from typing import Any

from instrument.cutting import beginning


def without_surrogates(tree: Any) -> Any:
    """The tree with what is no valid Unicode written in Python's escapes, and marked."""
    if type(tree) is str:
        escaped = valid(tree)
        return tree if escaped is tree else {"$escaped": escaped}
    if type(tree) is list:
        return [without_surrogates(element) for element in tree]
    if type(tree) is dict:
        return {valid(key): without_surrogates(element) for key, element in tree.items()}
    return tree


def valid(text: str) -> str:
    """The text with what is no valid Unicode written in Python's escapes; the very same object where all of it is."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def text_of(value: object) -> str:
    """The text of a string, in a plain one, whatever its class makes of it; of anything else what it says of itself."""
    return value if type(value) is str else str.__str__(value if isinstance(value, str) else str(value))


def valid_text_of(value: object) -> str:
    """The same without what is no valid Unicode, as `valid` gives it."""
    return valid(text_of(value))


def shown_bytes(content: bytes, length: int | None = None) -> dict[str, Any]:
    """Bytes as text where they are UTF-8, else in Python's escapes: either way a secret in them can be seen."""
    length = len(content) if length is None else length
    try:
        return {"$bytes": length, "text": content.decode()}
    except UnicodeDecodeError:
        shown = beginning(content, 256)
        cut = {} if len(shown) == length else {"hash": hash_of(content)}
        return {"$bytes": length, "escaped": shown.decode("utf-8", "backslashreplace"), **cut}


def hash_of(content: bytes) -> str:
    """Sixteen digits that say whether two binary contents are equal, as a checksum does."""
    import hashlib

    return hashlib.blake2b(content, digest_size=8).hexdigest()
