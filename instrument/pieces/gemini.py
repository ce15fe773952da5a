"""Gemini's streamed answers: each piece is an answer of its own, the usage of the last one is that of all."""

from __future__ import annotations

from typing import Any

from instrument.foreign import Fields, at, known, listed, one_of, text
from instrument.pieces.joining import in_order

HEAD = ("model_version", "modelVersion", "response_id", "responseId", "usage_metadata", "usageMetadata")


class ContentSaid:
    """Candidates whose parts came one behind the other."""

    error: tuple[str, str] | None = None

    def __init__(self) -> None:
        self._head: Fields = {}
        self._candidates: dict[Any, Fields] = {}

    @property
    def has_spoken(self) -> bool:
        """Whether any candidate has a part."""
        return any(candidate["parts"] for candidate in self._candidates.values())

    @property
    def thinks_aloud(self) -> bool:
        """Whether thoughts came in pieces."""
        return any(known(part).get("thought") is True for one in self._candidates.values() for part in one["parts"])

    def take(self, piece: Any) -> None:
        """Note one piece."""
        fields = known(piece)
        self._head.update({name: fields[name] for name in HEAD if fields.get(name) is not None})
        for candidate in map(known, listed(fields.get("candidates"))):
            kept = self._candidates.setdefault(candidate.get("index") or 0, {"parts": [], "finish_reason": None})
            kept["parts"] += listed(at(candidate, "content", "parts"))
            reason = text(one_of(candidate, "finish_reason", "finishReason"))
            kept["finish_reason"] = reason or kept["finish_reason"]

    def answer(self) -> Fields | None:
        """The answer; texts that follow each other are one part."""
        if not self._head and not self._candidates:
            return None
        candidates = [
            {"content": {"role": "model", "parts": _merged(one["parts"])}, "finish_reason": one["finish_reason"]}
            for one in in_order(self._candidates)
        ]
        return {"candidates": candidates, **self._head}


def _merged(parts: list[Any]) -> list[Any]:
    merged: list[Any] = []
    for part in parts:
        fields = known(part)
        said = text(fields.get("text"))
        thought = fields.get("thought") is True
        if said is not None and merged and "texts" in known(merged[-1]) and merged[-1]["thought"] is thought:
            merged[-1]["texts"].append(said)
        else:
            merged.append(part if said is None else {"texts": [said], "thought": thought})
    return [
        {"text": "".join(part["texts"]), "thought": part["thought"]} if "texts" in known(part) else part
        for part in merged
    ]
