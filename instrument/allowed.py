"""What a setting's value may be: each function takes what a source gave and returns the value.

Every function raises `ValueError` whose message says what is allowed. Keywords give any Python value, TOML its own
types, the environment text.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

SINKS = ("console", "jsonl", "ledger", "memory", "otlp")
DATABASES = ("postgresql://", "postgres://")
"""How the address of a ledger begins that is no file."""
SINK_GROUP = "instrument.sinks"
LEVELS = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")
LOOP_ACTIONS = ("warn", "raise", "off")

_NO_SINKS = frozenset({"none", "off", "no", "false", "0", "null", "nothing", "disabled"})
_SWITCHES = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_IMPORTABLE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_DATABASE = re.compile(r"\w+://([^/?#]*)/+[^/?#]")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_LONGEST_PATH = 4000
_LARGEST = 2**63 - 1


def switch(value: object) -> bool:
    """True or False, also as 1, 0 or a word."""
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value.strip().lower() in _SWITCHES:
        return _SWITCHES[value.strip().lower()]
    raise ValueError("must be true or false (1, yes, on; 0, no, off)")


def word(value: object, *, words: tuple[str, ...]) -> str:
    """One of the words, in any case."""
    chosen = value.strip().lower() if isinstance(value, str) else None
    for allowed in words:
        if allowed.lower() == chosen:
            return allowed
    raise ValueError(f"must be one of {', '.join(words)}")


def loop_action(value: object) -> object:
    """What happens when a call would only repeat what was tried: a word, or the function that decides."""
    if callable(value) or (isinstance(value, str) and _IMPORTABLE.fullmatch(value.strip())):
        return value.strip() if isinstance(value, str) else value
    try:
        return word(value, words=LOOP_ACTIONS)
    except ValueError as fault:
        raise ValueError(f"{fault}, or a function that decides (by its name: package.module:function)") from None


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    if isinstance(value, str) and len(value) > 100:
        return None
    try:
        number = Decimal(float.__repr__(value) if isinstance(value, float) else value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _number(value: object, kind: type[int | float | Decimal], low: int, high: int, what: str) -> object:
    number = _decimal(value)
    if number is None or not low <= number <= high or (kind is int and number != number.to_integral_value()):
        raise ValueError(f"must be {what}")
    return kind(number.copy_abs() if number and number.adjusted() > -30 else 0)


def _is_nothing(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _or_none(rule: Callable[[object], object]) -> Callable[[object], object]:
    def optional(value: object) -> object:
        none = isinstance(value, str) and value.strip().lower() == "none"
        return None if none or _is_nothing(value) else rule(value)

    return optional


count = partial(_number, kind=int, low=0, high=_LARGEST, what="a whole number from 0 up")
share = partial(_number, kind=float, low=0, high=1, what="a number from 0 to 1")
price = partial(_number, kind=Decimal, low=0, high=10**12, what="US dollars a million tokens, a number from 0 up")
count_or_none = _or_none(partial(count, what="a whole number from 0 up, or none"))
size_or_none = _or_none(partial(count, low=1, what="a whole number from 1 up, or none"))
count_from_one = partial(count, low=1, what="a whole number from 1 up")
seconds = partial(_number, kind=float, low=0, high=10**9, what="seconds, a number from 0 up")
seconds_or_none = _or_none(partial(seconds, what="seconds, a number from 0 up, or none"))
money = partial(price, what="US dollars, a number from 0 up")
money_or_none = _or_none(partial(money, what="US dollars, a number from 0 up, or none"))


protocol_or_none = _or_none(partial(word, words=("http/protobuf", "grpc")))
DIALECTS = ("1.41", "latest", "both", "openinference")
"""What exported names are told in; `views.otel` says what each is."""

dialect_or_none = _or_none(partial(word, words=DIALECTS))


def endpoint_or_none(value: object) -> str | None:
    """The address of a target, `http://host:port` or `https://host:port`; nothing for an empty one."""
    if _is_nothing(value):
        return None
    try:
        parts = urlsplit(value if isinstance(value, str) and len(value) <= 1024 else "")
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("must be http://host:port or https://host:port")
    return str(value)


def text_or_none(value: object) -> str | None:
    """One line of text; nothing for an empty one."""
    if _is_nothing(value):
        return None
    if not isinstance(value, str) or len(value) > 1024 or _UNPRINTABLE.search(value):
        raise ValueError("must be text of at most 1024 characters, valid UTF-8 without control characters")
    return value


def budget_name(value: object) -> str:
    """One line of text."""
    text = text_or_none(value)
    if text is None:
        raise ValueError("must be a name, as of a team")
    return text


def path(value: object) -> Path:
    """A path; a leading ~ is the home folder."""
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str) or not text.strip() or len(text) > _LONGEST_PATH or _UNPRINTABLE.search(text):
        raise ValueError(f"must be a path of 1 to {_LONGEST_PATH} characters, valid UTF-8 without control characters")
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        raise ValueError("starts with ~ and that home folder is not known (is HOME set?): give the whole path")
    return Path(expanded)


def path_or_none(value: object) -> Path | None:
    """As `path`; nothing for an empty one."""
    return None if _is_nothing(value) else path(value)


def ledger_url_or_none(value: object) -> str | None:
    """The address of an SQLite file or a PostgreSQL database; nothing for an empty one."""
    if _is_nothing(value):
        return None
    if isinstance(value, str) and value.startswith(DATABASES):
        return _database(value)
    file = value.removeprefix("sqlite:///") if isinstance(value, str) else value
    if file == value or file in ("", ":memory:"):
        raise ValueError(
            "must be sqlite:///relative/path.db, sqlite:////absolute/path.db or postgresql://user@host/database"
        )
    path(file)
    return str(value)


def _database(url: str) -> str:
    found = _DATABASE.match(url)
    hosts = found[1].rpartition("@")[2].split(",") if found else []
    try:  # each by itself: newer Pythons take no list of them
        known = all(urlsplit(f"//{host}").port != 0 for host in hosts)
    except ValueError:
        known = False
    if not found or not known:
        raise ValueError("must name a database: postgresql://user:password@host:5432/database")
    return url


def _listed(value: object) -> list[object] | None:
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = json_or_none(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    return list(value) if isinstance(value, list | tuple) else None


def json_or_none(text: str) -> object:
    """What the text is in JSON, None when it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def names(value: object) -> tuple[str, ...]:
    """Names in a list, or in text separated by commas; each once, in the order given."""
    listed = _listed(value)
    if listed is None and isinstance(value, str):
        listed = [*value.split(",")]
    found = [item.strip() for item in listed or () if isinstance(item, str)]
    if listed is None or len(found) < len(listed) or any(map(_UNPRINTABLE.search, found)):
        raise ValueError("must be names, in a list or separated by commas")
    return tuple(dict.fromkeys(filter(None, found)))


def rules(value: object) -> tuple[str, ...]:
    """Patterns of names, each with a share: `health*=0`."""
    chosen = names(value)
    for rule in chosen:
        name, _, rate = rule.rpartition("=")
        try:
            share(rate if name.strip() else None)
        except ValueError:
            raise ValueError(f"must be name=share, as in health*=0; {rule[:60]!r} is not (a share is 0 to 1)") from None
    return chosen


def rates(rules: Iterable[str]) -> tuple[tuple[str, float], ...]:
    """The patterns and shares in `rules`."""
    return tuple((name.strip(), float(rate)) for name, _, rate in (rule.rpartition("=") for rule in rules))


KEEPS = ("error", "finding", "slow", "dear")


def keeps_or_none(value: object) -> tuple[str, ...] | None:
    """Why a trace is kept whatever the rate; nothing for the default, the word nothing for none of them."""
    if value is None:
        return None
    chosen = names(value)
    if chosen == ("nothing",) or (not isinstance(value, str) and not chosen):
        return ()
    if not chosen or any(word not in KEEPS for word in chosen):
        raise ValueError(f"must be some of {', '.join(KEEPS)}, or nothing")
    return chosen


def patterns(value: object) -> tuple[str, ...]:
    """Regular expressions in a list; text is one of them (they may hold commas), or a JSON array of them."""
    listed = _listed(value)
    if listed is None or (isinstance(value, str) and not all(isinstance(item, str) for item in listed)):
        listed = [value]
    return tuple(_pattern(item) for item in listed if not _is_nothing(item))


def _pattern(value: object) -> str:
    if not isinstance(value, str) or len(value) > 10_000 or _SURROGATE.search(value):
        raise ValueError("must be regular expressions in a list (in the environment: one, or a JSON array)")
    try:
        re.compile(value)
    except (re.error, RecursionError, OverflowError, Warning) as fault:
        raise ValueError(f"must be regular expressions; {value[:60]!r} is none: {fault}") from None
    return value


def sinks(value: object) -> tuple[str, ...]:
    """Names of sinks; empty text is none at all."""
    try:
        chosen = names(value)
    except ValueError as fault:
        raise ValueError(f"{fault}; a class of your own is package.module:Name") from None
    if unknown := [name for name in chosen if not is_sink(name)]:
        raise ValueError(unknown_sinks(unknown))
    return chosen


def is_sink(name: str) -> bool:
    """Whether a sink can be meant: one of ours, `package.module:Name`, or an installed entry point."""
    return name in SINKS or _IMPORTABLE.fullmatch(name) is not None or _is_entry_point(name)


def _is_entry_point(name: str) -> bool:
    from importlib.metadata import entry_points

    return any(point.name == name for point in entry_points(group=SINK_GROUP))


def unknown_sinks(unknown: Iterable[str]) -> str:
    """What is wrong with these names of sinks."""
    short = [name[:60] for name in unknown]
    close = difflib.get_close_matches(short[0].lower(), SINKS, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    if short[0].lower() in _NO_SINKS:
        meant = "INSTRUMENT_ENABLED=0 (enabled = false) records nothing; "
    known = f"known are {', '.join(SINKS)}, package.module:Name and the entry points of {SINK_GROUP}"
    return f"there is no sink {', no sink '.join(map(repr, short))}; {meant}{known}"
