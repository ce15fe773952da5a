"""Words are taken out of texts by short cuts; none of them may change which words there are, or how many are shared."""

from __future__ import annotations

import re

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from instrument.detectors.calls import Call, call_of
from instrument.detectors.similarity import in_common, question
from instrument.detectors.words import Vocabulary, distinct_words, folded, some_words
from instrument.model import Span

WORDS = st.sampled_from(
    ["tides", "moon", "Sea", "of", "to", "a1", "7", "x", "_", "2024", "set_a", "über", "日本", '"', "\\n"]
)
PROSE = st.lists(WORDS, max_size=12).map(" ".join)


def call(asked: str, told: str) -> Call:
    """One call of a tool that takes a text and gives one."""
    return call_of(
        Span(
            trace_id="a" * 32, span_id="b" * 16, start_ns=1, duration_ns=1, kind="tool", name="look", status="ok",
            input={"q": asked}, output=told,
        )
    )  # fmt: skip


@given(st.lists(PROSE, min_size=2, max_size=5))
def test_bits_are_as_good_as_sets(texts: list[str]) -> None:
    """For all questions the share of common words is the same with a vocabulary as without, however it has grown."""
    vocabulary = Vocabulary()
    by_sets = [question({"q": text}) for text in texts]
    by_bits = [question({"q": text}, vocabulary) for text in texts]
    expected = [in_common(one, other) for one in by_sets for other in by_sets]
    assert expected == [in_common(one, other) for one in by_bits for other in by_bits]


@given(st.dictionaries(st.sampled_from("ab"), PROSE))
def test_plain_arguments_are_read_as_encoded_ones_are(arguments: dict[str, str]) -> None:
    """For all arguments that are texts."""
    read = [question(given) for given in (msgspec.json.encode(arguments), arguments)]
    assert read[0].atoms == read[1].atoms
    assert read[0].words == read[1].words


@given(st.text() | PROSE | st.text(alphabet="a1_ \n\\\"'X"))
def test_distinct_words_are_numbers_and_those_of_three_letters(text: str) -> None:
    """For all texts, and each of them is a part of the text: where a word is no part it is none of the words."""
    read = folded(msgspec.json.encode(text))
    words = distinct_words(read)
    assert set(re.findall(r"\w{3,}|\d+", read)) == words
    assert all(word in read for word in words)


def test_a_line_end_is_no_part_of_a_word() -> None:
    """Nor is any other sign that stands escaped in an encoded text."""
    assert {"tides", "moon", "sea"} == distinct_words(folded(msgspec.json.encode('tides\nmoon\t"sea"')))


@given(PROSE, st.integers(0, 40))
def test_some_words_are_among_all(text: str, times: int) -> None:
    """For all texts, however long."""
    read = folded(msgspec.json.encode(text * times))
    assert distinct_words(read).issuperset(some_words(read))


@given(PROSE, PROSE, PROSE)
def test_an_answer_tells_no_more_where_all_its_words_were_known(asked: str, before: str, answer: str) -> None:
    """For all questions and answers: from the earlier answer or the question."""
    earlier, later = call("", before), call(asked, answer)
    expected = later.answer <= later.asked | earlier.answer
    assert expected == call(asked, answer).tells_no_more(earlier)
