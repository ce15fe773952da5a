"""What all formats share: stable ids, times, and parts of parsed JSON that may be of any type."""

from __future__ import annotations

import re
from base64 import b64decode
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec

from instrument.cutting import beginning
from instrument.model import Failure, Run

Fields = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = r"\d+(?:\.\d+)?"
_DURATION = re.compile(
    rf"P(?:(?P<d>{_NUMBER})D)?(?:T(?:(?P<h>{_NUMBER})H)?(?:(?P<m>{_NUMBER})M)?(?:(?P<s>{_NUMBER})S)?)?"
)
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_UNITS = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3))
"""Numbers below these are seconds, milliseconds, microseconds: times since 1973, but for seconds, are told apart so."""
_LARGEST = 2**63 - 1
_LONGEST_FAILURE = 2_000
_FAILED = re.compile(r"\s*(?:Error\b|Exception\b|Traceback \(most recent call last\))")
_encode = msgspec.json.Encoder(order="sorted").encode


def fields(value: object) -> Fields:
    """A JSON object as it is, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """A JSON array as it is, an empty one for anything else."""
    return value if isinstance(value, list) else []


def objects(value: object) -> list[Fields]:
    """The objects in a JSON array, whatever else is among them; none where it is no array."""
    return [item for item in items(value) if isinstance(item, dict)]


def words(value: object) -> str | None:
    """A text that is not empty, None for anything else."""
    return value if isinstance(value, str) and value else None


def parsed(value: object) -> Any:
    """The JSON that a text holds; the value itself where it is no text or the text is no JSON array or object."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        return msgspec.json.decode(value)
    except (ValueError, RecursionError):
        return value


def digest(*parts: object, digits: int = 16) -> str:
    """Hexadecimal digits that depend on nothing but the parts: the same content has the same ids at every import."""
    return sha256(_encode(parts)).hexdigest()[:digits]


def hex_id(value: object, digits: int) -> str | None:
    """An id as so many hexadecimal digits: hex as it is, base64 decoded, others by their digest; None for none."""
    text = words(value)
    if text is None or not text.strip("0"):
        return None
    plain = text.removeprefix("0x").replace("-", "").lower()
    if re.fullmatch(rf"[0-9a-f]{{{digits}}}", plain):
        return plain
    try:
        raw = b64decode(text, validate=True)
    except ValueError:
        raw = b""
    return raw.hex() if len(raw) * 2 == digits else digest(text, digits=digits)


def moment(value: object) -> int | None:
    """Nanoseconds since the epoch from an ISO time (UTC unless it says otherwise) or a number of s, ms, us or ns."""
    if isinstance(value, str) and not value.isdigit():
        return _iso_moment(value)
    number = whole(value) if not isinstance(value, float) else value
    if number is None or not 0 < number <= _LARGEST:
        return None
    unit = next((unit for below, unit in _UNITS if number < below), 1)
    return round(number * unit)


def _iso_moment(text: str) -> int | None:
    try:
        found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.strip()))
    except ValueError:
        return None
    since = (found if found.tzinfo else found.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1_000


def lasted(value: object) -> int | None:
    """Nanoseconds from an ISO duration such as `PT1M2.5S`."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    return sum(round(float(found[unit]) * seconds * 10**9) for unit, seconds in _SECONDS.items() if found[unit])


def whole(value: object) -> int | None:
    """A whole number of at most eight bytes, also one that is written as a text."""
    if isinstance(value, str):
        text = value.strip()
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
    elif isinstance(value, float):
        value = int(value) if value.is_integer() else None
    return value if type(value) is int and abs(value) <= _LARGEST else None


def failure_told(result: object) -> Failure | None:
    """The failure that the text of a result tells: conversations have no other sign of a call that went wrong."""
    text = result if isinstance(result, str) else None
    if text is None or not _FAILED.match(text):
        return None
    return failure(text.strip())


def failure(text: str, kind: str = "ToolError") -> Failure:
    """A call that went wrong, with the beginning of what was said of it."""
    return Failure(kind, beginning(text, _LONGEST_FAILURE))


def run_id(trace_id: str) -> str:
    """The run that an imported trace belongs to: the same at every import, so that ledger rows replace each other."""
    return f"import-{trace_id[:16]}"


def run_of(trace_id: str, start_ns: int, source: str, resource: Fields | None = None) -> Run:
    """The head of the recording that an imported trace stands for."""
    about = resource or {}
    return Run(
        run=run_id(trace_id),
        start_ns=start_ns,
        service=words(about.get("service.name")),
        resource={**about, "instrument.imported_from": source},
    )
