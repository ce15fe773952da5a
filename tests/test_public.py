"""The public surface: the names that are fixed, no more and no less, and light to import."""

from __future__ import annotations

import inspect

import pytest

import instrument
from instrument import errors

FIXED = """
BudgetExceeded InstrumentError LoopDetected Report Settings SettingsError Trace __version__ agent analyse budget carry
configure current_span extract flush inject llm_call log metrics patch_openai read records save score session shutdown
span tool traced wrap
"""


def test_public_names() -> None:
    """`__all__` is exactly the documented list, in order."""
    assert sorted(FIXED.split()) == sorted(instrument.__all__)


@pytest.mark.parametrize("name", sorted(instrument.__all__))
def test_every_name_can_be_had(name: str) -> None:
    """Names that are loaded late are there when they are asked for."""
    assert getattr(instrument, name) is not None


@pytest.mark.parametrize("name", sorted(set(instrument.__all__) - {"__version__"}))
def test_every_name_is_documented(name: str) -> None:
    """Every public name says what it is."""
    assert inspect.getdoc(getattr(instrument, name))


def test_unknown_name_is_an_attribute_error() -> None:
    """A name that does not exist is told the usual way."""
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        instrument.nonsense  # the access is the test


@pytest.mark.parametrize("name", ["BudgetExceeded", "LoopDetected", "SettingsError"])
def test_errors_have_one_base(name: str) -> None:
    """Whoever catches `InstrumentError` catches all of ours."""
    assert issubclass(getattr(errors, name), instrument.InstrumentError)
