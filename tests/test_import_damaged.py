"""Files in which any part may be of any type: they are read as far as they can be, never with a traceback."""

from __future__ import annotations

import bz2
import copy
import gzip
import json
import lzma
import random
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from instrument.errors import InstrumentError
from instrument.model import Span, encode
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


TEXTS = {form: "".join(json.dumps(row) + "\n" for row in rows).encode() for form, rows in FILES.items()}
ENCODED: dict[str, Callable[[bytes], bytes]] = {
    "a mark of UTF-8": lambda text: b"\xef\xbb\xbf" + text,
    "UTF-16": lambda text: text.decode().encode("utf-16"),
    "ends of lines as on Windows": lambda text: text.replace(b"\n", b"\r\n"),
    "packed without a name that says so": gzip.compress,
    "packed as xz": lzma.compress,
    "packed as bzip2": bz2.compress,
    "a line that is nested without end": lambda text: text + b"[" * 100_000 + b"\n",
}


def kinds(file: Path, text: bytes, form: str) -> list[str]:
    """The kinds of the spans in a file of this text."""
    file.write_bytes(text)
    return [record.kind for record in read(file, form).records if isinstance(record, Span)]


@pytest.mark.parametrize("way", ENCODED)
@pytest.mark.parametrize("form", FILES)
def test_how_a_text_is_written_changes_nothing(form: str, way: str, tmp_path: Path) -> None:
    """Marks of byte order, other ends of lines, packed files, a line that cannot be read: the same spans."""
    file = tmp_path / "given.jsonl"
    assert kinds(file, TEXTS[form], form) == kinds(file, ENCODED[way](TEXTS[form]), form)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_a_packed_file_that_is_damaged_is_no_crash(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """Wherever the damage is: one error, which the verb tells of the file before it goes on with the next."""
    file, packed = tmp_path / "given", pack(TEXTS["openai"])
    for place in range(6, len(packed), len(packed) // 12):
        damaged = packed[:place] + bytes([packed[place] ^ 255]) + packed[place + 1 :]
        for content in (packed[:place], damaged):
            file.write_bytes(content)
            with suppress(InstrumentError, OSError):
                read(file)


@pytest.mark.parametrize("form", sorted(FILES.keys() - {"codex"}))
def test_what_is_there_twice_is_there_once(form: str, tmp_path: Path) -> None:
    """Files that were put together hold spans again: each counts once. Codex' lines have no ids to know them by."""
    file = tmp_path / "given.jsonl"
    assert kinds(file, TEXTS[form], form) == kinds(file, 2 * TEXTS[form], form)


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("number", ["9" * 400, "-5", "1e30"])
def test_numbers_beyond_all_sense_are_no_tokens_and_no_times(form: str, number: str, tmp_path: Path) -> None:
    """Counts are from 0 to what eight bytes hold, else they are not known."""
    file = tmp_path / "given.jsonl"
    file.write_bytes(re.sub(rb"(?<=: )\d+(?=[,}])", number.encode(), TEXTS[form]))
    usages = [record.usage for record in read(file, form).records if isinstance(record, Span) and record.usage]
    counts = [count for usage in usages for count in (usage.input, usage.output) if count is not None]
    assert [] == [count for count in counts if not 0 <= count < 2**63]


@pytest.mark.parametrize(("text", "said"), [(b"", "is empty"), (b"\n \n", "is empty"), (b'{"messages": [', "cut off")])
def test_why_nothing_is_read(text: bytes, said: str, tmp_path: Path) -> None:
    """An empty file and one that was cut off are told apart from one of an unknown format."""
    file = tmp_path / "given.jsonl"
    file.write_bytes(text)
    with pytest.raises(InstrumentError, match=said):
        read(file)


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
