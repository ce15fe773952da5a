"""Decorated equals plain: random bodies, driven at random, behave event for event as they do undecorated."""

from __future__ import annotations

import types
import warnings
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from instrument import tool, traced
from instrument.record.switch import switch
from instrument.testing import record
from tests.planted_faults import FAULTS, with_fault
from tests.random_bodies import FORMS, Block, Drive, observe, random_body, random_drive, source
from tests.same import differences, plain, recording_off


def case(depth: int, seed: int) -> tuple[Block, list[Drive]]:
    """A body and four drives of it."""
    random = Random(seed)
    return random_body(random, depth), [random_drive(random) for _ in range(4)]


CASES = st.builds(case, st.integers(0, 2), st.integers(0, 2**32))
QUICK = settings(max_examples=60, deadline=None, database=None, derandomize=True)


@pytest.fixture(scope="module", autouse=True)
def recording() -> Iterator[None]:
    """One recorder for all drives of this module."""
    with record():
        yield


def compiled(body: Block, form: str) -> types.CodeType:
    """The body as code, for every drive of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # a `return` in a `finally` is what some of them are about
        return compile(source(body, form), "<body>", "exec")


def strange(log: list[Any]) -> bool:
    """Whether the body goes on when it is destroyed, or a coroutine when it is closed.

    CPython asks an outer generator once more and ends an outer coroutine; it does so for `yield from` and `await`, too.
    """
    ignored = [what for what, *rest in log if "ignored GeneratorExit" in str(rest)]
    return "unraisable" in ignored or "coroutine ignored GeneratorExit" in str(log)


def first_difference(case: Any, form: str, decorate: Any) -> list[str]:
    """Where the first drive of a case whose log differs does so; empty when all are the same."""
    body, drives = case
    code = compiled(body, form)
    for drive in drives:
        expected = observe(code, drive, plain)
        found = list(differences(expected, observe(code, drive, decorate)))
        if found and not strange(expected):
            return [source(body, form), repr(drive), *found[:3]]
    return []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("decorate", [traced, lambda f: tool(name="x")(traced(f))], ids=["one", "two"])
def test_random_bodies(form: str, decorate: Any) -> None:
    """Values, return value, order of `finally`, identity and context of exceptions and sys.exc_info are as undecorated."""

    @QUICK
    @given(CASES)
    def all_the_same(case: Any) -> None:
        assert [] == first_difference(case, form, decorate)

    all_the_same()


@pytest.mark.parametrize("form", FORMS)
def test_random_bodies_while_recording_is_off(form: str) -> None:
    """With recording off the events are those of the plain generator, too."""

    @settings(QUICK, max_examples=50)
    @given(CASES)
    def all_the_same(case: Any) -> None:
        assert [] == first_difference(case, form, traced)

    with recording_off():
        all_the_same()


@pytest.mark.parametrize("form", FORMS)
def test_every_driven_body_ends_its_span(form: str) -> None:
    """However a generator is driven and left, when it is gone its span has ended."""

    @settings(QUICK, max_examples=100)
    @given(CASES)
    def all_have_ended(case: Any) -> None:
        body, drives = case
        code = compiled(body, form)
        for drive in drives:
            observe(code, drive, traced)
        assert {} == switch.recorder.open  # type: ignore[union-attr]

    with record():
        all_have_ended()


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_caught(fault: str) -> None:
    """The property above fails for a wrapper with one planted fault: such a body and drive are found."""
    form = "async generator" if fault.startswith("a") else "generator"
    found = find(CASES, lambda case: bool(first_difference(case, form, with_fault(fault))), settings=hunting())
    assert first_difference(found, form, with_fault(fault))


@pytest.mark.parametrize("form", FORMS[:2])
def test_wrapper_without_a_fault_passes(form: str) -> None:
    """It is the planted fault that is caught: the same wrapper without it shows no difference."""
    with pytest.raises(NoSuchExample):
        find(CASES, lambda case: bool(first_difference(case, form, with_fault(None))), settings=hunting())


def hunting() -> settings:
    """To find an example without making it small."""
    return settings(QUICK, max_examples=150, phases=[Phase.generate])
