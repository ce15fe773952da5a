"""Counting tokens: exact, offline, without a trace in the user's tiktoken."""

from __future__ import annotations

import gzip
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiktoken import registry
from tiktoken.model import MODEL_PREFIX_TO_ENCODING, MODEL_TO_ENCODING
from tiktoken_ext import openai_public

from instrument import tokens
from instrument.errors import InstrumentError
from instrument.tokens import count, encoding, encoding_name, estimate_messages
from tests.programs import python

DATA = Path(tokens.__file__).parent / "data"
SHIPPED = {"o200k_base", "cl100k_base"}


@pytest.mark.parametrize(
    ("model", "ids"), [("gpt-4o", [24912, 2375]), ("gpt-4", [15339, 1917])], ids=["o200k_base", "cl100k_base"]
)
def test_ids_are_the_published_ones(model: str, ids: list[int]) -> None:
    """Token ids are those of the published encodings."""
    assert ids == encoding(model).encode("hello world")


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_rank_files_have_tiktokens_own_checksums(name: str) -> None:
    """The shipped file, unpacked, has the sha256 that stands in tiktoken's code."""
    content = gzip.decompress((DATA / f"{name}.tiktoken.gz").read_bytes())
    assert hashlib.sha256(content).hexdigest() in getattr(openai_public, name).__code__.co_consts


def test_a_damaged_rank_file_is_refused() -> None:
    """A file whose checksum is not the expected one is never used."""
    with pytest.raises(InstrumentError, match=r"o200k_base\.tiktoken\.gz .* install"):
        tokens._shipped_ranks("x/o200k_base.tiktoken", "0" * 64)


def test_the_users_tiktoken_stays_as_it_was(tmp_path: Path) -> None:
    """Counting opens no connection, writes nothing to tiktoken's cache and registers no encoding."""
    program = """
import socket
def refuse(*args, **kwargs):
    raise AssertionError("a connection was opened")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from instrument.tokens import count
from tiktoken import registry
print(count("hello world", "gpt-4o"), count("hello world", "gpt-4"), len(registry.ENCODINGS))
"""
    done = python("-c", program, TIKTOKEN_CACHE_DIR=str(tmp_path))
    assert (["2", "2", "0"], []) == (done.stdout.split(), list(tmp_path.iterdir())), done.stderr


def test_an_encoding_is_built_once() -> None:
    """All threads share one encoding."""
    tokens._encodings.clear()
    with ThreadPoolExecutor(8) as pool:
        assert 1 == len(set(map(id, pool.map(encoding, ["gpt-4"] * 8))))


def test_tiktokens_registry_does_not_know_ours() -> None:
    """Ours is an encoding beside tiktoken's own, not in its place."""
    assert encoding("gpt-4o") not in registry.ENCODINGS.values()


@pytest.mark.parametrize("text", ["<|endoftext|>", "a<|endofprompt|>b", "<|fim_prefix|>"])
def test_special_tokens_in_a_text_are_text(text: str) -> None:
    """What looks like a special token is counted as the characters it is made of."""
    assert len(encoding("gpt-4").encode(text, disallowed_special=())) == count(text, "gpt-4") > 1


@given(st.text(alphabet=st.characters(), max_size=50))
@settings(deadline=None, max_examples=50)
def test_any_string_can_be_counted(text: str) -> None:
    """No string raises, lone surrogates included, and only the empty one has no tokens."""
    assert bool(text) == (count(text) > 0)


@pytest.mark.parametrize("unit", [" ", "a", "\n", "\t", "="])
def test_a_million_equal_characters_are_counted(unit: str) -> None:
    """Runs on which tiktoken itself gives up are counted, in pieces."""
    assert 0 < count(unit * 1_000_000) <= 1_000_000


words = st.text(st.characters(exclude_categories=["Cs", "Z", "Cc"]), min_size=1, max_size=3)
blanks = st.sampled_from([" ", "  ", "   ", "\n", " \n ", "\t"])
texts = st.lists(st.tuples(words, blanks, words, st.just(" ")).map("".join), min_size=30, max_size=60).map("".join)


@given(texts, st.sampled_from(["gpt-4o", "gpt-4"]))
@settings(deadline=None, max_examples=100)
def test_cutting_between_words_does_not_change_the_count(text: str, model: str) -> None:
    """Pieces cut at blanks have together exactly the tokens of the whole, whatever words and blanks are made of."""
    encode = encoding(model).encode_ordinary
    assert encode(text) == [token for piece in tokens._pieces(text, 64) for token in encode(piece)]


@given(st.text(max_size=300), st.integers(8, 64))
@settings(deadline=None, max_examples=50)
def test_pieces_are_the_text(text: str, size: int) -> None:
    """Cutting loses and adds nothing, and no piece is longer than allowed."""
    pieces = list(tokens._pieces(text, size))
    assert (text, True) == ("".join(pieces), all(len(piece) <= size for piece in pieces))


# Names


TIKTOKENS = {**MODEL_TO_ENCODING, **MODEL_PREFIX_TO_ENCODING}


@pytest.mark.parametrize("model", [model for model, name in TIKTOKENS.items() if name in SHIPPED])
def test_names_agree_with_tiktokens_table(model: str) -> None:
    """Every model that tiktoken maps to one of the shipped encodings is mapped to the same one, and is known."""
    assert (TIKTOKENS[model], True) == encoding_name(model)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-5.6-sol", ("o200k_base", True)),
        ("codex-mini-latest", ("o200k_base", True)),
        ("GPT-4o-2024-08-06", ("o200k_base", True)),
        ("openai/gpt-4-turbo", ("cl100k_base", True)),
        ("openrouter/openai/gpt-4.1-mini", ("o200k_base", True)),
        ("openai.gpt-5.6-luna", ("o200k_base", True)),
        ("ft:gpt-4o-mini-2024-07-18:team::id", ("o200k_base", True)),
        ("ft:gpt-3.5-turbo-0125:team::id", ("cl100k_base", True)),
        ("gpt-oss:20b", ("o200k_base", True)),
        ("gpt-6-sol", ("o200k_base", False)),
        ("gpt-50", ("o200k_base", False)),
        ("o100", ("o200k_base", False)),
        ("claude-sonnet-4-6", ("o200k_base", False)),
        ("", ("o200k_base", False)),
        (None, ("o200k_base", False)),
    ],
)
def test_names_beyond_tiktokens_table(model: str | None, expected: tuple[str, bool]) -> None:
    """Case, provider, date and fine-tuning do not matter; what no table knows is taken for o200k_base."""
    assert expected == encoding_name(model)


# Messages


def test_messages_cost_what_they_say_and_their_frame() -> None:
    """A message is its role and content, three tokens around it, and three before the reply."""
    assert 3 + 1 + 2 + 3 == estimate_messages([{"role": "user", "content": "hello world"}], "gpt-4o")


def test_the_conventions_parts_count_as_the_raw_message() -> None:
    """A message in GenAI parts is estimated like the one that was sent."""
    raw = [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "look", "arguments": "{}"}}]}]
    parts = [{"role": "assistant", "parts": [{"type": "tool_call", "id": "1", "name": "look", "arguments": "{}"}]}]
    assert estimate_messages(raw, "gpt-4o") == estimate_messages(parts, "gpt-4o")


def test_pictures_count_by_detail_not_by_their_bytes() -> None:
    """The base64 of a picture is no text: a picture in low detail costs 85 tokens more than none."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000, "detail": "low"}}
    without = estimate_messages([{"role": "user", "content": []}], "gpt-4o")
    assert 85 == estimate_messages([{"role": "user", "content": [picture]}], "gpt-4o") - without


def tool(description: str) -> dict[str, object]:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {"type": "function", "function": {"name": "look_up", "description": description, "parameters": parameters}}


def test_tool_definitions_count_with_their_descriptions() -> None:
    """A longer description of a tool costs just its own tokens more."""
    short, long = (estimate_messages([], "gpt-4o", [tool(text)]) for text in ("Look", "Look up the town"))
    assert count("// Look up the town\n", "gpt-4o") - count("// Look\n", "gpt-4o") == long - short


def test_tools_count_for_less_than_their_json() -> None:
    """Models see a definition in a terser form than JSON schema."""
    names = [tool("") | {"n": n} for n in range(10)]
    assert estimate_messages([], "gpt-4o", names) < count(json.dumps(names), "gpt-4o")


KEYS = ["type", "properties", "required", "enum", "anyOf", "parameters", "function", "image_url"]
schemas = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(schemas, max_size=3), st.lists(schemas, max_size=2))
@settings(deadline=None, max_examples=100)
def test_any_plain_values_can_be_estimated(messages: list[object], tools: list[object]) -> None:
    """Messages and tools of any plain shape give a number."""
    assert 3 <= estimate_messages(messages, "gpt-4o", tools)
