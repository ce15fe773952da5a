"""Files in which any part may be of any type: they are read as far as they can be, never with a traceback."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from instrument.errors import InstrumentError
from instrument.model import encode
from instrument.store.foreign import read
from tests.test_import_claude_code import SESSION as CLAUDE
from tests.test_import_codex import SESSION as CODEX
from tests.test_import_messages import TALK
from tests.test_import_openinference import TREE
from tests.test_import_otlp import request, span
from tests.test_import_trajectory import STEPS

CALL = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 3}
FILES: dict[str, list[Any]] = {
    "claude-code": CLAUDE,
    "codex": CODEX,
    "openai": [{"messages": TALK, "tools": [{"type": "function"}]}],
    "openinference": [TREE],
    "otlp": [request(span(CALL))],
    "trajectory": [{"trajectory": STEPS}],
}
OTHERS: list[Any] = [
    None, True, 0, -1, 1.5, 10**30, "", "x", "{", '{"a":1}', "9" * 30, [], [1], {}, {"a": None}, [[]],
    {"type": "text"}, ["a", {"b": 2}], "2026-01-01",
]  # fmt: skip
SEEDS = 60


def damaged(value: Any, chance: random.Random) -> Any:
    """The value with parts replaced, renamed and left out."""
    if chance.random() < 0.08:
        return copy.deepcopy(chance.choice(OTHERS))
    if isinstance(value, dict):
        renamed = ((key if chance.random() > 0.03 else "type", part) for key, part in value.items())
        return {key: damaged(part, chance) for key, part in renamed if chance.random() > 0.03}
    if isinstance(value, list):
        return [damaged(part, chance) for part in value if chance.random() > 0.03]
    return value


@pytest.mark.parametrize("form", FILES)
def test_any_damage_is_borne(form: str, tmp_path: Path) -> None:
    """Each gives records that can be written, or one clear sentence."""
    file, read_at_all, refused = tmp_path / "given.jsonl", 0, list[str]()
    for seed in range(SEEDS):
        rows = [damaged(row, random.Random(seed * 1_000 + n)) for n, row in enumerate(FILES[form])]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        try:
            read_at_all += all(encode(record) for record in read(file, form).records)
        except InstrumentError as refusal:
            refused.append(str(refusal))
    assert SEEDS / 4 <= read_at_all
    assert all(str(file) in sentence for sentence in refused)
