"""Records without the words of the program: what is left where content is not to be recorded."""

from __future__ import annotations

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
    return replace(error, message=_hidden(error.message, keyed_hash), causes=causes)


def _hidden(text: str, keyed_hash: Hash) -> str:
    data = text.encode("utf-8", "surrogatepass")
    return f"[not recorded: {len(data)} bytes, {keyed_hash(data)}]"
