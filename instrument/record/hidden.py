"""Records without the words of the program: what is left where content is not to be recorded."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec.structs import replace

from instrument.model import Failure, Log, Record, Span

Hash = Callable[[bytes], str]


def without_words(record: Record, keyed_hash: Hash) -> Record:
    """The record with size and hash in the place of the messages of logs and exceptions, which quote arguments."""
    if isinstance(record, Log) and record.message:
        return replace(record, message=_hidden(record.message, keyed_hash))
    if isinstance(record, Span) and record.error is not None:
        return replace(record, error=_failure(record.error, keyed_hash))
    return record


def _failure(error: Failure, keyed_hash: Hash) -> Failure:
    causes = [_failure(cause, keyed_hash) for cause in error.causes]
    stack = None if error.stack is None else "\n".join(_FRAMES.findall(error.stack))
    return replace(error, message=_hidden(error.message, keyed_hash), stack=stack, causes=causes)


_FRAMES = re.compile(r'^ {2}(?:File ".*", line \d+, in .*(?:\n {4}\S.*)?|… \d+ more frames)$', re.MULTILINE)
"""The lines of a stack that ours have too; what others wrote (OpenTelemetry) ends with the message of the exception."""


def _hidden(text: str, keyed_hash: Hash) -> str:
    data = text.encode("utf-8", "surrogatepass")
    return f"[not recorded: {len(data)} bytes, {keyed_hash(data)}]"
