"""CSV of a trace: for any reader, and no danger in a spreadsheet."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument.analysis.tree import traces
from instrument.model import Failure, Record, Span
from instrument.views.csv import harmless, pieces
from tests.random_traces import spans
from tests.recorded import call, review, span


def rows(*records: Record) -> list[dict[str, Any]]:
    (trace,) = traces(records)
    return list(csv.DictReader(io.StringIO(b"".join(pieces(trace)).decode(), newline=""), strict=True))


@given(spans())
def test_every_span_is_one_row(found: list[Span]) -> None:
    """For all traces, in order of their start."""
    ids = [row["span_id"] for row in rows(*found)]
    assert (sorted(one.span_id for one in found), True) == (
        sorted(ids),
        (starts := [row["start"] for row in rows(*found)]) == sorted(starts),
    )


@given(st.text())
def test_no_cell_is_a_formula(text: str) -> None:
    """For all texts: nothing that a spreadsheet calculates is first, whatever blanks are before it."""
    cell = str(harmless(text))
    assert (False, False) == (cell.lstrip()[:1] in tuple("=+-@＝＋－＠"), cell[:1] in tuple("\t\r\n"))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t1", "\r1", "\n1", " =1", "＝1", '=HYPERLINK("x")'])  # fmt: skip
def test_a_formula_gets_an_apostrophe(text: str) -> None:
    """The text itself stays readable behind it."""
    assert f"'{text}" == harmless(text)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200))
def test_names_survive_every_reader(name: str) -> None:
    """For all names: commas, quotes, line breaks and all; only NUL is left out, which CSV readers refuse."""
    assert [harmless(name)] == [row["name"] for row in rows(span(1, name=name))]


def test_a_call_has_its_model_tokens_and_money() -> None:
    """As numbers and a decimal string."""
    known = {"gen_ai.request.model": "m", "gen_ai.agent.id": "ann", "instrument.operation": "think"}
    (row,) = rows(call(1, usd="0.0000001", attributes=known))
    wanted = ("m", "ann", "think", "100", "10", "0.0000001", "priced", "reported", "5.0")
    assert wanted == tuple(
        row[name] for name in "model agent operation input_tokens output_tokens usd cost_basis tokens_source duration_ms".split()
    )  # fmt: skip


def test_what_was_given_and_told_stands_in_its_row() -> None:
    """A text as it is, all else as JSON; what went wrong beside it."""
    failed = span(1, status="error", error=Failure("ValueError", "no"), input={"n": 1}, attributes={"a": 2}, output="x")
    (row,) = rows(failed)
    wanted = "input output attributes error_type error_message tokens_source".split()
    assert ['{"n":1}', "x", '{"a":2}', "ValueError", "no", ""] == [row[name] for name in wanted]


def test_what_is_not_known_is_empty() -> None:
    """No price is an empty cell, not 0."""
    (row,) = rows(call(1, usd=None))
    assert ("", "unpriced") == (row["usd"], row["cost_basis"])


def test_depth_tells_the_tree() -> None:
    """A spreadsheet can indent by it."""
    assert ["0", "1", "2"] == [row["depth"] for row in rows(*review())][:3]


def test_a_nul_is_left_out() -> None:
    """Readers refuse it."""
    assert "ab" == harmless("a\0b")


def test_a_cell_has_room_in_a_spreadsheet() -> None:
    """Longer values are cut and say so."""
    assert (True, True) == (len(cell := str(harmless("x" * 40_000))) < 32_767, cell.endswith("(40,000 characters)"))
