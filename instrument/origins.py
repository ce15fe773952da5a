"""Where settings come from: keywords, the environment and TOML files, each as single keys that remember their origin.

A source yields `Given` for a key that it sets, and `Unreadable` for a file that cannot be used.
Nothing here knows which keys exist, beyond `is_table`, which is handed in: keys whose value is looked into.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from instrument.allowed import json_or_none
from instrument.secret_shapes import DISTINCT

PREFIX = "INSTRUMENT_"
CONFIG = "INSTRUMENT_CONFIG"
PROGRAM = "INSTRUMENT_RUN_PROGRAM"
OTHER_VARIABLES = frozenset({CONFIG, PROGRAM})
"""Variables with our prefix that are no settings."""
FREE_TABLES = frozenset({"prices", "sink"})
"""Tables whose keys are names of the user's own."""

Key = tuple[str, ...]
IsTable = Callable[[Key], bool]

_SECTION: Key = ("tool", "instrument")
_HEADER = re.compile(r"\s*\[+\s*([^\]]+?)\s*\]")
_ASSIGNMENT = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[^=#"'])+?)\s*=""")
_SECRET_NAME = re.compile(
    r"pass|secret|token|api.?key|key$|auth|credential|cookie|bearer|signature|private|dsn|headers", re.IGNORECASE
)
_URL_PASSWORD = re.compile(r"(://[^\s:/@]*:)\S*@")
_NAMED_SECRET = re.compile(
    r"\b(\w*(?:password|passwd|pwd|passphrase|secret|token|api_?key)=)[^\s&;,'\"]+", re.IGNORECASE
)


class Given(NamedTuple):
    """One value as a source gave it; `text` is the whole TOML file and `table` the keys above, to find the line."""

    key: Key
    value: object
    source: str
    text: str = ""
    table: Key = ()


class Unreadable(NamedTuple):
    """A file that cannot be used: who named it, its path fit to be shown, and why."""

    name: str
    path: str
    reason: str


def from_keywords(overrides: Mapping[str, Any], is_table: IsTable) -> Iterator[Given]:
    """Nested mappings, or names joined by `__` or dots."""
    for name, value in overrides.items():
        yield from _leaves(Given(tuple(re.split(r"__|\.", name)), value, f"keyword {visible(name)}"), is_table)


def from_environment(is_table: IsTable) -> Iterator[Given]:
    """Every INSTRUMENT_* variable that is not empty (an empty INSTRUMENT_SINKS means no sinks). A table may be JSON."""
    for name in sorted(name for name in os.environ if name.startswith(PREFIX) and name not in OTHER_VARIABLES):
        key, value = _key_of_variable(name), os.environ.get(name, "")
        if value.strip() or key == ("sinks",):
            table = json_or_none(value) if is_table(key) else None
            found = table if isinstance(table, dict) else value
            yield from _leaves(Given(key, found, f"environment variable {visible(name)}"), is_table)


def from_config(is_table: IsTable) -> Iterator[Given | Unreadable]:
    """The file named by INSTRUMENT_CONFIG: `[tool.instrument]` when it has that table, else its top level."""
    if path := config_path():
        yield from from_file(CONFIG, path, is_table)


def from_pyproject(is_table: IsTable) -> Iterator[Given | Unreadable]:
    """`[tool.instrument]` in the nearest pyproject.toml at or above the working directory."""
    if path := nearest("pyproject.toml", os.path.isfile):
        yield from from_file("pyproject.toml", path, is_table, is_ours=False)


def are_there() -> bool:
    """Whether any source but keywords sets anything: where none does all settings are their defaults."""
    sources = (from_environment, from_config, from_pyproject)
    return any(True for source in sources for _ in source(lambda key: False))


def config_path() -> Path | None:
    """The absolute path of the file that INSTRUMENT_CONFIG names."""
    name = os.environ.get(CONFIG, "").strip()
    return here() / os.path.expanduser(name) if name else None


def nearest(name: str | Path, exists: Callable[[Path], bool]) -> Path | None:
    """The path of that name at or above the working directory."""
    beginning = here()
    return next((at / name for at in (beginning, *beginning.parents) if exists(at / name)), None)


def here() -> Path:
    """The working directory; `.` when it has been removed."""
    try:
        return Path.cwd()
    except OSError:
        return Path()


def _key_of_variable(name: str) -> Key:
    parts = name.removeprefix(PREFIX).split("__")
    free = parts[0].lower() in FREE_TABLES
    return tuple(part if free and index == 1 else part.lower() for index, part in enumerate(parts))


def from_file(name: str, path: Path, is_table: IsTable, *, is_ours: bool = True) -> Iterator[Given | Unreadable]:
    """`[tool.instrument]` of a TOML file that `name` names, else its top level when the file `is_ours`."""
    try:
        data = _content(path)
        if not is_ours and _SECTION[-1].encode() not in data:
            return  # a broken pyproject.toml that says nothing about us is not ours to complain about
        text = data.decode("utf-8-sig")
        document = tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as fault:
        yield Unreadable(name, visible(path), _why(fault))
        return
    section = _inside(document, _SECTION)
    if section is not None:
        yield from _leaves(Given((), section, visible(path), text, _SECTION), is_table)
        if outside := [str(key) for key in document if is_ours and is_table((str(key),))]:
            yield Unreadable(
                name,
                visible(path),
                f"has [tool.instrument] and sets {', '.join(outside)} outside of it: move that there",
            )
    elif is_ours:
        yield from _leaves(Given((), document, visible(path), text), is_table)


def _content(path: Path) -> bytes:
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(0, "it is no regular file")
    return path.read_bytes()


def _why(fault: Exception) -> str:
    if isinstance(fault, OSError):
        return f"cannot be read: {fault.strerror}"
    if isinstance(fault, UnicodeDecodeError):
        line = fault.object.count(b"\n", 0, fault.start) + 1
        column = fault.start - fault.object.rfind(b"\n", 0, fault.start)
        return f"is not valid UTF-8 (at line {line}, column {column})"
    return f"is not valid TOML: {str(fault) if isinstance(fault, ValueError) else 'it is nested too deeply'}"


def _inside(tree: object, keys: Key) -> object:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def _leaves(given: Given, is_table: IsTable) -> Iterator[Given]:
    if is_table(given.key) and isinstance(given.value, Mapping):
        for name, inner in given.value.items():
            yield from _leaves(given._replace(key=(*given.key, str(name)), value=inner), is_table)
    else:
        yield given


def where(given: Given) -> str:
    """The origin of a value, for a TOML file with the line where that can be told."""
    line = _line(given.text, (*given.table, *given.key)) if given.text else None
    return given.source if line is None else f"{given.source} line {line}"


def _line(text: str, key: Key) -> int | None:
    """The line, from 1, that most likely sets the key: tomllib keeps no positions."""
    table: Key = ()
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.match(line[:500]):
            table = _key_path(header[1])
        elif assignment := _ASSIGNMENT.match(line[:500]):
            path = _key_path(assignment[1])
            if path and (*table, *path) == key[: len(table) + len(path)]:
                return number
    return None


def _key_path(text: str) -> Key:
    try:
        tree: object = tomllib.loads(f"{text} = 0")
    except ValueError:
        return ()
    path: list[str] = []
    while isinstance(tree, dict) and tree:
        name, tree = next(iter(tree.items()))
        path.append(name)
    return tuple(path)


def dotted(key: Key) -> str:
    """The key as TOML writes it, names of the user's own in quotes: `prices."gpt-x".input`."""
    if not key:
        return ".".join(_SECTION)
    return ".".join(_part(part, index == 1 and key[0] in FREE_TABLES) for index, part in enumerate(key))


def _part(part: str, quoted: bool) -> str:
    short = part if len(part) <= 100 else f"{part[:99]}…"
    return short if not quoted and re.fullmatch(r"[\w-]+", short, re.ASCII) else json.dumps(short)


def masked(value: object, name: str = "", depth: int = 0) -> Any:
    """The value fit to be shown: `***` where its name or shape says secret, and for the password in an address."""
    if (name and _SECRET_NAME.search(name)) or depth > 8:
        return "***"
    if isinstance(value, Mapping):
        return {str(key): masked(inner, str(key), depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [masked(inner, "", depth + 1) for inner in value]
    return _masked_text(value) if isinstance(value, str) else value


def _masked_text(text: str) -> str:
    if len(text) > 2000:  # neither worth showing nor worth searching
        return f"({len(text)} characters)"
    return _secret_shape().sub("***", _NAMED_SECRET.sub(r"\1***", _URL_PASSWORD.sub(r"\1***@", text)))


@cache
def _secret_shape() -> re.Pattern[str]:
    """Made when it is first needed: that takes ten milliseconds."""
    beginnings = r"(?:sk-|pk-|rk-|gh[pousr]_|github_pat_|xox[a-z]-|AKIA|AIza|eyJ)[\w.-]{8,}"
    return re.compile(rf"{beginnings}|{DISTINCT}|bearer\s+\S+", re.IGNORECASE)


def shown(value: object) -> str:
    """The value in at most 120 printable characters, whatever object it is."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a keyword may be any object
        return f"<{type(value).__name__}>"
    return text if len(text) <= 120 else f"{text[:119]}…"


def visible(name: str | Path, limit: int = 300) -> str:
    """The name, path or sentence in at most `limit` printable characters."""
    text = str(name)[: limit + 1]
    printable = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
    return printable if len(printable) <= limit else f"{printable[: limit - 1]}…"
