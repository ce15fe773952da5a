"""Errors that a tool gives back as its result: the call has succeeded, what the model reads says that it has failed."""

from __future__ import annotations

import re
from typing import Any

from instrument.detectors.similarity import json_text

LONGEST = 2_000
"""A longer result that begins like an error is rather a text about errors, or a log."""

_ERROR = (
    r"\W*(?:traceback \(most recent call last\)|fatal:"
    r"|[\w.]*(?:error|exception)(?: ?[:!]| [-(]| code\b| \d| (?:executing|running|calling|while|during|occurred)\b))"
)
_BEGINS = re.compile(_ERROR, re.IGNORECASE).match
_MAY_BEGIN = re.compile((r'"(?:\W*\{|' + _ERROR + ")").encode(), re.IGNORECASE).match
"""The same of the JSON of a text, or of an object in it."""

_SAYS_SO = ("error", "errors", "exception")
_SAYS_OTHERWISE = ("ok", "success")
_BAD = frozenset({"error", "failed", "failure"})


def may_be_error(told: Any) -> bool:
    """Whether a result, encoded or as it is, may be an error, as far as a glance tells: most are none."""
    if type(told) is not bytes:
        return type(told) is dict or (type(told) is str and len(told) <= LONGEST)
    if told[:1] == b'"':
        return len(told) <= LONGEST and _MAY_BEGIN(told) is not None
    if told[:1] != b"{" or len(told) > LONGEST:
        return False
    said = told.lower()
    return b"error" in said or b"false" in said or b"fail" in said or b"exception" in said


def error_text(output: Any) -> str:
    """The error that a result consists of; empty where it is none."""
    if type(output) is str:
        if len(output) > LONGEST:
            return ""
        held = json_text(output)
        if held is None:
            return output if _BEGINS(output) else ""
        output = held
    return _told(output) if type(output) is dict else ""


def _told(result: dict[str, Any]) -> str:
    said = next((result[key] for key in _SAYS_SO if result.get(key)), None)
    if said is not None and said is not True:
        return _words(said)
    status = result.get("status")
    is_bad = said is True or result.get("isError") is True or (type(status) is str and status.lower() in _BAD)
    if is_bad or any(result.get(key) is False for key in _SAYS_OTHERWISE):
        return _words(result.get("message") or result.get("content") or result)
    return ""


def _words(said: Any) -> str:
    if type(said) is dict:
        said = said.get("message") or said
    return said if type(said) is str else str(said)
