"""Hostile bytes for the reader and hostile objects for the capture; `make fuzz` tries new ones in every run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from instrument import read, records, tool
from instrument.model import Record, encode
from instrument.store.heads import heads
from instrument.testing import record
from instrument.views.outline import outline
from instrument.views.theme import Theme
from tests.recorded import review

LINES = [encode(one) for one in review()]
Json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = sorted({key for line in LINES for key in json.loads(line)})


@st.composite
def spoiled_lines(draw: st.DrawFn) -> bytes:
    """A line of a real file with a field exchanged for anything, cut, doubled, or something else altogether."""
    line = draw(st.sampled_from(LINES))
    match draw(st.integers(0, 4)):
        case 0:
            fields = json.loads(line)
            fields[draw(st.sampled_from(KEYS))] = draw(Json)
            return json.dumps(fields).encode()
        case 1:
            return line[: draw(st.integers(0, len(line)))]
        case 2:
            at = draw(st.integers(0, len(line)))
            return line[:at] + draw(st.binary(max_size=20)) + line[at:]
        case 3:
            return json.dumps(draw(Json)).encode()
        case _:
            return draw(st.binary(max_size=200))


@given(st.lists(spoiled_lines(), max_size=12), st.booleans())
def test_the_reader_takes_any_bytes(made: list[bytes], compressed: bool) -> None:
    """Whatever stands in a file, reading it gives records, traces and a picture of each, and raises nothing."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "a.jsonl"
        data = b"\n".join(made)
        place.write_bytes(b"\x1f\x8b" + data if compressed else data)
        for path in (Path(folder), place):
            try:
                assert all(isinstance(one, Record) for one in records(path, []))
            except (OSError, EOFError):
                assert compressed
                return
        list(heads(folder, []))
        for trace in read(folder, []):
            assert isinstance(outline(trace, Theme(width=80)), str)


class Hostile:
    """An object whose every answer comes from a list: values, or errors to raise."""

    def __init__(self, answers: list[Any]) -> None:
        object.__setattr__(self, "answers", answers)

    def _next(self) -> Any:
        answers = object.__getattribute__(self, "answers")
        answer = answers.pop() if answers else "done"
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def __repr__(self) -> str:
        return self._next()  # type: ignore[no-any-return]

    def __str__(self) -> str:
        return self._next()  # type: ignore[no-any-return]

    def __len__(self) -> int:
        return self._next()  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[Any]:
        return self._next()  # type: ignore[no-any-return]

    def __eq__(self, other: object) -> bool:
        return self._next()  # type: ignore[no-any-return]

    def __hash__(self) -> int:
        return 1

    def __getattr__(self, name: str) -> Any:
        return self._next()

    def keys(self) -> Any:
        return self._next()

    def model_dump(self, *args: Any, **kwargs: Any) -> Any:
        return self._next()


ERRORS = [
    ValueError("no"),
    RecursionError("deep"),
    MemoryError("full"),
    AttributeError("x"),
    StopIteration(),
    OSError(28),
]
Answers = st.lists(Json | st.sampled_from(ERRORS) | st.binary(max_size=30), max_size=6)
Odd = st.recursive(
    Json | st.binary(max_size=50) | Answers.map(Hostile) | st.complex_numbers() | st.text(st.characters(), max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers() | st.text(max_size=5) | st.binary(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(Odd, Odd)
def test_the_capture_takes_any_objects(first: Any, second: Any) -> None:
    """Whatever a decorated function is given, it gets that very object, and the span has valid JSON."""

    @tool
    def same(value: Any, *, other: Any) -> Any:
        return value

    with record() as recording:
        assert same(first, other=second) is first
        assert [] == [reason for reason in recording.flush().lost if "queue" in reason]
        [made] = recording.spans
    assert msgspec.json.encode(made)
