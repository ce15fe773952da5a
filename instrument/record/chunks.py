"""What a stream gave, without the secrets that go over several of its pieces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from instrument.model import opened

if TYPE_CHECKING:
    from instrument.redact import Redactor

Path = tuple[Any, ...]  # keys and positions


def without_secrets_across(parts: list[Any], redactor: Redactor) -> list[Any]:
    """The parts, texts and objects alike: what lies at the same place of several objects belongs together as well."""
    cut = redactor.pieces(parts)
    objects = {at: node for at, part in enumerate(cut) if type(node := opened(part)) in (dict, list)}
    if len(objects) < 2:
        return cut
    places: dict[Path, list[tuple[int, str]]] = {}
    for at, node in objects.items():
        for path, text in _texts_in(node, ()):
            places.setdefault(path, []).append((at, text))
    for path, found in places.items():
        texts = [text for _, text in found]
        told = redactor.pieces(texts) if len(set(texts)) > 1 else texts
        for (at, before), text in zip(found, told, strict=True):
            if text != before:
                objects[at] = _with_text_at(objects[at], path, text)
                cut = [*cut[:at], objects[at], *cut[at + 1 :]]
    return cut


def _texts_in(node: Any, path: Path) -> Iterator[tuple[Path, str]]:
    kind = type(node)
    if kind is str:
        yield path, node
    elif kind is dict or kind is list:
        for key, inner in node.items() if kind is dict else enumerate(node):
            yield from _texts_in(inner, (*path, key))


def _with_text_at(node: Any, path: Path, text: str) -> Any:
    """A copy of the node with another text at this place."""
    if not path:
        return text
    changed = dict(node) if type(node) is dict else list(node)
    changed[path[0]] = _with_text_at(node[path[0]], path[1:], text)
    return changed
