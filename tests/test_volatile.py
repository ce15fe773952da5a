"""What differs in every run and means nothing, and what only looks like it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument.analysis.volatile import steady


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("id 3b241101-e2bb-4255-8caf-4136c566a962", "id 9c858901-8a57-4791-81fe-4c455b099bc9"),
        ("at 2026-11-23T12:00:00.123Z", "at 2027-01-02T08:10:59+02:00"),
        ("on 2026-11-23", "on 2027-01-02"),
        ("für 2026-11-23", "für 2027-01-02"),
        ("<f at 0x7f8b25b59b90>", "<f at 0x7f8b25b5ffff>"),
        ("call_a1b2c3d4e5", "call_zz9yy8xx77"),
        ("trace 3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a", "trace b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0"),
        ("http://127.0.0.1:54321/v1", "http://127.0.0.1:40000/v1"),
        ("/tmp/pytest-1/test_x/a.py", "/home/ann/work/a.py"),
        ("1 passed in 0.02s", "1 passed in 1.70s"),
        ({"duration_ms": 5, "n": 1}, {"duration_ms": 99, "n": 1}),
        ({"type": "tool_call", "id": "one", "name": "f"}, {"type": "tool_call", "id": "two", "name": "f"}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"port": 54321}, {"port": 40000}),
    ],
)
def test_what_is_volatile_is_alike(one: Any, two: Any) -> None:
    """Ids, times, addresses, ports, folders, durations, the order of keys."""
    assert steady(one) == steady(two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("/tmp/a.py", "/tmp/b.py"),
        ("src/one/a.py", "src/two/a.py"),
        ("wait 5 s", "wait 10 s"),
        ({"user_id": 5}, {"user_id": 6}),
        ({"id": "ann"}, {"id": "bob"}),
        ({"port": 80}, {"port": 8080}),
        ({"cents": 54321}, {"cents": 40000}),
        ("https://a.example/x/y", "https://a.example/z/y"),
        ("call me", "call you"),
        ("12345", "12346"),
        (0.5, 0.9),
        ("deadbeef", "cafebabe"),
        ("at 2026-11-23T12:00:00Z", "at noon"),
    ],
)
def test_what_means_something_is_not(one: Any, two: Any) -> None:
    """Names of files, relative paths, whole numbers, ids of people, chosen ports, addresses elsewhere."""
    assert steady(one) != steady(two)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("type", "id", "port", "created", "x")), inner),
    max_leaves=8,
)  # fmt: skip


@given(JSON)
def test_any_value_can_be_compared(value: Any) -> None:
    """For all JSON, whatever its keys hold: what is steady stays as it is."""
    assert steady(value) == steady(steady(value))
