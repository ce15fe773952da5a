"""Embeddings: each word hashed to a few places of a vector, so that texts with words in common lie near each other."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
from collections.abc import Mapping
from typing import Any

from . import parameters as checks
from . import request, words
from .refusal import bad, missing, no_such_model, wrong_type

model = "offline-embedding"
size = 256
parameters: Mapping[str, checks.Check] = {
    "model": checks.text, "input": checks.anything, "encoding_format": checks.one_of("float", "base64"),
    "dimensions": checks.integer(1, 3072), "user": checks.text,
}  # fmt: skip


def answer(body: Mapping[str, Any]) -> dict[str, Any]:
    """The response to a request for embeddings. Raises RefusalError."""
    checks.check_parameters(body, parameters)
    name = body.get("model")
    if not name:
        raise missing("model")
    if name not in (model, *request.models):
        raise no_such_model(name)
    texts = read_texts(body.get("input"))
    vectors = [vector(text, body.get("dimensions") or size) for text in texts]
    as_text = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": packed(found) if as_text else found}
        for index, found in enumerate(vectors)
    ]
    tokens = sum(words.count(text) for text in texts)
    return {"object": "list", "data": data, "model": name, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def read_texts(given: Any) -> list[str]:
    if given is None:
        raise missing("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list):
        raise wrong_type("input", "one of an array of strings or a string", given)
    if not texts or not all(texts):
        raise bad("Invalid 'input': it cannot be empty.", "input", "empty_array" if not texts else "empty_string")
    wrong = next((text for text in texts if not isinstance(text, str)), None)
    if wrong is not None:
        raise wrong_type("input", "an array of strings", wrong)
    return texts


def vector(text: str, dimensions: int) -> list[float]:
    """A vector of length 1 (all zero but its first place for a text without words)."""
    places = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()):
        digest = hashlib.sha256(word.encode()).digest()
        for start in range(0, 16, 4):
            place = int.from_bytes(digest[start : start + 4], "big")
            places[place % dimensions] += 1.0 if digest[start + 16] % 2 else -1.0
    length = math.sqrt(sum(value * value for value in places))
    return [value / length for value in places] if length else [1.0, *places[1:]]


def packed(values: list[float]) -> str:
    """Little-endian 32-bit floats in base64, as clients ask for them."""
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
