"""Sizes in bytes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument.cli.sizes import in_bytes, in_words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("512", 512),
        ("1_000", 1000),
        ("2kB", 2000),
        ("2 KiB", 2048),
        ("1.5GB", 1_500_000_000),
        (" 1 mib ", 1 << 20),
        ("2 TiB", 1 << 41),
    ],
)
def test_sizes_are_read(text: str, expected: int) -> None:
    """A number with or without a unit is a size; units of thousands and of 1024 are told apart."""
    assert expected == in_bytes(text)


@pytest.mark.parametrize("text", ["", "-1", "nan", "1e9", "5 PB", "MB", "1,5 GB", "٣", "9" * 10_000_000])
def test_other_text_is_no_size(text: str) -> None:
    """Anything else is refused with what is allowed."""
    with pytest.raises(ValueError, match="is no size: give bytes, or a number with kB"):
        in_bytes(text)


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_600, "1 MB"), (1_234_567, "1.23 MB"), (10**15, "1e+03 TB")],
)
def test_sizes_are_shown_with_three_digits(size: int, expected: str) -> None:
    """A size is shown with three digits and the unit that fits."""
    assert expected == in_words(size)


@given(st.integers(0, 10**14))
def test_what_is_shown_can_be_read(size: int) -> None:
    """For every size, what is shown reads as that size to half a percent."""
    assert in_bytes(in_words(size)) == pytest.approx(size, rel=0.005)
