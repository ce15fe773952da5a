"""How many tokens a text is: tiktoken's own encodings, offline and exact.

The rank files of `o200k_base` and `cl100k_base` lie in `data/` and are checked against the
checksums that tiktoken itself names. tiktoken's registry and its cache folder stay untouched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING, Any

from instrument import forks
from instrument.errors import InstrumentError

if TYPE_CHECKING:
    from tiktoken import Encoding

CHUNK = 32_768
"""Characters encoded in one go: tiktoken panics on about a million blanks and slows down on long runs."""

O200K, CL100K = "o200k_base", "cl100k_base"

# First match wins. The first group agrees with tiktoken's own table of models, the second holds names
# that it lacks though their maker has said what they are.
_FAMILIES = (
    ("gpt-4o", O200K), ("gpt-4.", O200K), ("chatgpt-4o", O200K), ("gpt-5", O200K), ("gpt-oss", O200K),
    ("o1", O200K), ("o3", O200K), ("o4-mini", O200K),
    ("gpt-4", CL100K), ("gpt-3.5", CL100K), ("gpt-35", CL100K),
    ("text-embedding-3", CL100K), ("text-embedding-ada", CL100K), ("davinci-002", CL100K), ("babbage-002", CL100K),
    ("codex-mini", O200K),
)  # fmt: skip

MESSAGE, NAME, REPLY = 3, 1, 3
"""Tokens around each message, for a `name`, and before the reply: figures of the OpenAI Cookbook, "How to count
tokens with tiktoken", for the gpt-4o and gpt-4 families."""

TOOL_CALL = 7
"""Tokens around a tool call in the history, beyond its name and arguments: seen in recorded calls."""

IMAGE = {"low": 85}
IMAGE_DEFAULT = 765
"""Tokens of an image in low detail, and of one of 1,024 by 1,024 pixels (OpenAI's vision guide, gpt-4o)."""

# Parts of a message that the model does not read as text.
_NO_TEXT = frozenset({
    "type", "id", "call_id", "tool_call_id", "file_id", "detail", "status", "index", "encrypted_content",
    "data", "file_data", "url", "image_url", "uri", "mime_type", "format", "annotations", "logprobs", "sha256",
    "modality", "bytes", "finish_reason",
})  # fmt: skip
_TOOLS_HEAD = "# Tools\n\n## functions\n\nnamespace functions {\n\n"
_TOOLS_END = "\n\n} // namespace functions"
_IMAGES = ("image_url", "input_image", "image")

_encodings: dict[str, Encoding] = {}
_building = forks.Lock()


def count(text: str, model: str | None = None) -> int:
    """Tokens of `text` for `model`. What looks like a special token counts as the plain text that it is.

    Exact up to `CHUNK` characters, and beyond as long as blanks between words allow to cut the text where a
    token ends anyway. Longer runs without such a place are cut hard, each cut at most a few tokens off.
    """
    encode = encoding(model).encode_ordinary
    if len(text) <= CHUNK:
        return len(encode(text))
    return sum(len(encode(piece)) for piece in _pieces(text, CHUNK))


def estimate_messages(messages: Iterable[Any], model: str | None = None, tools: Iterable[Any] = ()) -> int:
    """About how many input tokens the messages of a chat or Responses call and its tool definitions are.

    Messages are the plain values sent to the API (or our GenAI parts); a string is one user message. An estimate:
    how providers wrap messages and tools is not published, and images are taken at a typical size.
    """
    listed = [messages] if isinstance(messages, str) else messages
    return REPLY + sum(_message(message, model) for message in listed) + _tools(tools, model)


def encoding_name(model: str | None) -> tuple[str, bool]:
    """The name of the model's encoding, and whether that is known rather than assumed.

    Providers (`openai/gpt-4o`), fine-tuning (`ft:gpt-4o:…`) and dates do not matter. A name that no table knows,
    newer families included, is taken to use `o200k_base`.
    """
    bare = _bare_name(model or "")
    return next(((name, True) for prefix, name in _FAMILIES if _belongs(bare, prefix)), (O200K, False))


def encoding(model: str | None = None, just_before: Callable[[], None] | None = None) -> Encoding:
    """The `tiktoken.Encoding` of the model, built once in a process and safe to share between threads.

    While tiktoken builds it no other thread runs, for a tenth of a second; `just_before` is called before that.
    Raises `InstrumentError` when the shipped rank file is damaged.
    """
    name = encoding_name(model)[0]
    found = _encodings.get(name)
    return found if found is not None else _build_once(name, just_before)


def is_built(model: str | None = None) -> bool:
    """Whether the model's encoding is there already."""
    return encoding_name(model)[0] in _encodings


def _build_once(name: str, just_before: Callable[[], None] | None) -> Encoding:
    with _building:
        from tiktoken import Encoding

        if name not in _encodings:
            specification = _specification(name)
            if just_before is not None:
                just_before()
            _encodings[name] = Encoding(**specification)
        return _encodings[name]


def _specification(name: str) -> dict[str, Any]:
    """What tiktoken builds the encoding from: its own function, run with our loader in place of its download."""
    openai_public = import_module("tiktoken_ext.openai_public")
    code = getattr(openai_public, name).__code__
    if "load_tiktoken_bpe" not in code.co_names:
        raise InstrumentError(f"this tiktoken defines {name} in a way that we do not know: install tiktoken 0.14")
    specification: dict[str, Any] = FunctionType(code, {**vars(openai_public), "load_tiktoken_bpe": _shipped_ranks})()
    return specification


def _shipped_ranks(url: str, expected_hash: str | None = None) -> dict[bytes, int]:
    """The ranks of the file that tiktoken would fetch from `url`, from our package data."""
    import gzip
    from base64 import b64decode
    from hashlib import sha256
    from importlib.resources import files

    name = url.rpartition("/")[2]
    content = gzip.decompress((files("instrument") / "data" / f"{name}.gz").read_bytes())
    if sha256(content).hexdigest() != expected_hash:
        raise InstrumentError(f"data/{name}.gz does not have tiktoken's checksum: install agent-instrument again")
    return {b64decode(token): int(rank) for token, rank in map(bytes.split, content.splitlines())}


def _bare_name(model: str) -> str:
    """`openai/gpt-4o`, `openai.gpt-4o` and `ft:gpt-4o:team::id` as `gpt-4o…`."""
    last = model.strip().lower().rpartition("/")[2]
    return last.removeprefix("openai.").removeprefix("ft:")


def _belongs(name: str, prefix: str) -> bool:
    """Whether the name is of the family: `o1` and `o1-mini` of `o1`, `o100` not, nor `gpt-50` of `gpt-5`."""
    follows = name[len(prefix) : len(prefix) + 1]
    return name.startswith(prefix) and not (prefix[-1].isdigit() and follows.isalnum())


def _pieces(text: str, size: int) -> Iterator[str]:
    start = 0
    while len(text) - start > size:
        end = _token_boundary(text, start, start + size)
        yield text[start:end]
        start = end
    yield text[start:]


def _token_boundary(text: str, start: int, end: int) -> int:
    """The last place up to `end` where a token ends whatever follows: a blank after a character that is none.

    Both encodings split there first. Looks back a quarter of the piece at most; without such a place, `end`.
    """
    floor = end - (end - start) // 4
    place = text.rfind(" ", floor, end)
    while place > floor and text[place - 1].isspace():
        place = text.rfind(" ", floor, place)
    return place if place > floor else end


def _message(message: Any, model: str | None) -> int:
    if not isinstance(message, Mapping):
        return MESSAGE + _text(message, model)
    named = NAME if message.get("role") and "name" in message else 0
    return MESSAGE + named + TOOL_CALL * _calls(message) + _text(message, model)


def _calls(message: Mapping[str, Any]) -> int:
    calls, parts = message.get("tool_calls"), message.get("parts")
    if isinstance(parts, list):
        return sum(isinstance(part, Mapping) and part.get("type") == "tool_call" for part in parts)
    return len(calls) if isinstance(calls, list) else int(message.get("type") == "function_call")


def _text(value: Any, model: str | None) -> int:
    """Tokens of all text in a plain value, pictures at a typical size."""
    if isinstance(value, str):
        return count(value, model)
    if isinstance(value, Mapping):
        is_image = value.get("type") in _IMAGES or value.get("modality") == "image"
        own = IMAGE.get(str(_detail(value)), IMAGE_DEFAULT) if is_image else 0
        return own + sum(_text(part, model) for key, part in value.items() if key not in _NO_TEXT)
    if isinstance(value, list | tuple):
        return sum(_text(part, model) for part in value)
    return 0 if value is None else count(str(value), model)


def _detail(part: Mapping[str, Any]) -> Any:
    nested = part.get("image_url")
    return nested.get("detail") if isinstance(nested, Mapping) else part.get("detail")


def _tools(tools: Iterable[Any], model: str | None) -> int:
    """Tokens of the tool definitions as a TypeScript namespace, which is how OpenAI's models say they see them."""
    shown = "\n\n".join(map(_declaration, tools))
    return count(_TOOLS_HEAD + shown + _TOOLS_END, model) if shown else 0


def _declaration(tool: Any) -> str:
    function = tool.get("function", tool) if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping):
        return str(tool)
    parameters = function.get("parameters") or function.get("input_schema")
    taken = f"_: {_type(parameters)}" if isinstance(parameters, Mapping) and parameters.get("properties") else ""
    return _comment(function) + f"type {function.get('name')} = ({taken}) => any;"


def _type(schema: Any, depth: int = 0) -> str:
    """A JSON schema as a TypeScript type, eight levels deep at most."""
    if not isinstance(schema, Mapping) or depth > 8:
        return "any"
    if isinstance(schema.get("enum"), list):
        return " | ".join(f'"{value}"' for value in schema["enum"])
    if isinstance(schema.get("anyOf"), list):
        return " | ".join(_type(one, depth + 1) for one in schema["anyOf"])
    if isinstance(schema.get("properties"), Mapping):
        return _members(schema, depth)
    if schema.get("type") == "array":
        return _type(schema.get("items"), depth + 1) + "[]"
    return {"integer": "number"}.get(str(schema.get("type")), str(schema.get("type", "any")))


def _members(schema: Mapping[str, Any], depth: int) -> str:
    required = schema["required"] if isinstance(schema.get("required"), list) else []
    lines = (
        f"{_comment(member)}{name}{'' if name in required else '?'}: {_type(member, depth + 1)},\n"
        for name, member in schema["properties"].items()
    )
    return "{\n" + "".join(lines) + "}"


def _comment(described: Any) -> str:
    text = described.get("description") if isinstance(described, Mapping) else None
    return f"// {text}\n" if text else ""
