"""What text views share: numbers for people, text that cannot harm a terminal, and themes that suit the stream."""

from __future__ import annotations

import io
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument.analysis.in_words import bill, count, duration
from instrument.analysis.metrics import ALARMING
from instrument.analysis.totals import Total
from instrument.model import Log
from instrument.money import money
from instrument.views.otel import line
from instrument.views.theme import LEVELS, RANKS, cells, clean, cut, cut_painted, theme_for, wrapped

# Text from records is data


HARMFUL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


@given(st.text())
def test_cleaned_text_cannot_control_a_terminal(text: str) -> None:
    """For all text: nothing that moves the cursor, hides, reorders or breaks the line is left."""
    assert HARMFUL.search(clean(text)) is None


def test_what_was_neutralised_can_be_seen() -> None:
    """An escape sequence is shown as what it is."""
    assert r"\x1b[2Jdone\n" == clean("\x1b[2Jdone\n")


def test_readable_text_stays() -> None:
    """Emoji with joiners, accents, right-to-left letters and wide characters are shown as they are."""
    text = "naïve 日本語 שלום 👩‍💻 é"
    assert text == clean(text)


def test_long_text_is_cut_and_says_how_long_it_was() -> None:
    """Ten megabytes cost as little as two thousand characters."""
    assert "xxxx… (10,000,000 characters)" == clean("x" * 10_000_000, 4)


# Numbers


@pytest.mark.parametrize(
    ("ns", "expected"),
    [
        (0, "0 ns"), (999, "999 ns"), (12_345, "12.3 µs"), (999_600, "1 ms"), (34_500_000, "34.5 ms"),
        (1_250_000_000, "1.25 s"),
        (59_990_000_000, "1 m 00 s"), (125_000_000_000, "2 m 05 s"), (3_720_000_000_000, "1 h 02 m"),
    ],
)  # fmt: skip
def test_durations_have_three_digits(ns: int, expected: str) -> None:
    """A person sees at a glance how long it took."""
    assert expected == duration(ns)


@pytest.mark.parametrize(
    ("usd", "expected"),
    [
        ("0", "$0"),
        ("1234567.891", "$1,234,567.89"),
        ("1", "$1.00"),
        ("0.5", "$0.5000"),
        ("0.000144", "$0.000144"),
        ("1e-9", "$0.00000000100"),
        ("1.5e-14", "$0.0000000000000150"),
    ],
)
def test_money_keeps_the_digits_that_mean_something(usd: str, expected: str) -> None:
    """A tenth of a cent is not shown as zero."""
    assert expected == money(Decimal(usd))


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (Total(), ""),
        (Total(calls=1), ""),
        (Total(calls=1, usd=Decimal(1), priced=1), "$1.00"),
        (Total(calls=1, usd=Decimal(1), estimated=1), "~$1.00"),
        (Total(calls=2, usd=Decimal(1), priced=1, unpriced=1), "$1.00+"),
        (Total(calls=1, usd=None, unpriced=1), "unpriced"),
        (Total(calls=2, free=2), "free"),
    ],
)
def test_a_bill_says_how_sure_it_is(total: Total, expected: str) -> None:
    """An amount, estimated (~), incomplete (+), unknown or free."""
    assert expected == bill(total)


@pytest.mark.parametrize(("number", "expected"), [(0, "0"), (999_999, "999,999"), (1_234_567, "1.23M")])
def test_counts_are_readable(number: int, expected: str) -> None:
    """Separators, and millions from a million on."""
    assert expected == count(number)


@pytest.mark.parametrize(("text", "width"), [("ab", 2), ("日本", 4), ("e\u0301", 1), ("☀\ufe0f", 1), ("a\u200db", 2)])
def test_text_takes_as_many_columns_as_terminals_give_it(text: str, width: int) -> None:
    """Wide letters two, what is put onto the letter before none."""
    assert width == cells(text)


@given(st.text(st.characters(codec="utf-8"), max_size=30), st.integers(1, 20))
def test_cut_text_fits(text: str, width: int) -> None:
    """For all text, wide characters and combining ones included."""
    assert cells(cut(text, width)) <= width


@given(st.text("ab 日", max_size=30), st.integers(1, 20))
def test_painted_text_is_cut_like_plain_text(text: str, width: int) -> None:
    """Colours take no space."""
    painted = "".join(f"\x1b[31m{letter}\x1b[0m" for letter in text)
    assert cut(text, width) == re.sub(r"\x1b\[[0-9;]*m", "", cut_painted(painted, width))


def test_what_is_cut_keeps_its_colours() -> None:
    """And ends with none."""
    red, green, none = "\x1b[31m", "\x1b[32m", "\x1b[0m"
    assert f"{red}ab{none}{green}c…{none}" == cut_painted(f"{red}ab{none}{green}cde{none}", 4)


@given(st.text("ab ,", max_size=60), st.integers(5, 20))
def test_wrapped_text_loses_no_word(text: str, width: int) -> None:
    """For all text the words are the same, in lines that fit unless a word alone does not."""
    lines = wrapped(text, width)
    too_long = [part for part in lines if cells(part) > width and " " in part.strip()]
    assert (text.split(), []) == (" ".join(lines).split(), too_long)


# Themes


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("color", "environ", "expected"),
    [
        ("auto", {}, True),
        ("auto", {"NO_COLOR": "1"}, False),
        ("auto", {"NO_COLOR": ""}, True),
        ("auto", {"TERM": "dumb"}, False),
        ("auto", {"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        ("never", {"FORCE_COLOR": "1"}, False),
        ("always", {"NO_COLOR": "1"}, True),
    ],
)
def test_a_terminal_gets_colours_unless_told_otherwise(color: str, environ: dict[str, str], expected: bool) -> None:
    """The setting wins, then NO_COLOR, then FORCE_COLOR, then what the terminal can do."""
    assert expected is theme_for(Terminal(), color, environ).color


def test_a_pipe_gets_plain_text_of_any_width() -> None:
    """What is read by programs is neither coloured nor cut."""
    assert (False, None) == (theme_for(io.StringIO(), environ={}).color, theme_for(io.StringIO(), environ={}).width)


def test_columns_set_the_width() -> None:
    """COLUMNS wins over what the terminal says; narrower than 20 nothing can be laid out."""
    assert [66, 20] == [theme_for(Terminal(), environ={"COLUMNS": columns}).width for columns in ("66", "5")]


def test_a_stream_without_unicode_gets_ascii() -> None:
    """By what its encoding can hold."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for encoding in ("latin-1", "utf-8")]
    assert [False, True] == [theme_for(stream, environ={}).unicode for stream in streams]


@pytest.mark.parametrize("level", sorted(ALARMING))
def test_what_is_counted_as_a_warning_is_one_everywhere(level: str) -> None:
    """A level that counts as a warning is found by `logs --level WARNING`, has a colour and is exported as one."""
    exported = line(Log(time_ns=1, level=level)).severity >= 13
    assert (True, True, True) == (RANKS.get(level, 0) >= RANKS["WARNING"], level in LEVELS, exported)
