"""Makes tests of functions that say what they observe: with no decorator, and with each of ours, the same."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from instrument import agent, llm_call, tool, traced
from instrument.record.switch import switch
from instrument.testing import record

DECORATORS = {
    "traced": traced,
    "tool with options": tool(name="named", capture_input=False, attributes={"a": 1}),
    "llm_call": llm_call,
    "agent": agent(id="agent_name"),
    "two decorators": lambda target: traced(tool(target)),
}

QUIET_FORKS = {"PYTHONWARNINGS": "ignore:This process:DeprecationWarning"}
"""For a program that forks beside threads of its own: of them Python 3.12 and newer warn in any case."""
COUNTS_LATE = (3, 13) <= sys.version_info < (3, 13, 10) or sys.version_info[:3] == (3, 14, 0)
"""Whether this Python also warns of threads that begin after the fork: https://github.com/python/cpython/issues/137109"""


def plain(target: Any) -> Any:
    """The decorator that does nothing."""
    return target


@contextmanager
def recording_off() -> Iterator[None]:
    """No recorder is in force inside."""
    before = switch.recorder, switch.decided
    switch.recorder, switch.decided = None, True
    try:
        yield
    finally:
        switch.recorder, switch.decided = before


def same(observe: Callable[..., Any]) -> Callable[..., None]:
    """A test that `observe(decorate)` returns the same for the plain target and for every decorated one."""

    @pytest.mark.parametrize("recording", [record, recording_off], ids=["on", "off"])
    @pytest.mark.parametrize("decorate", DECORATORS.values(), ids=DECORATORS)
    def test(decorate: Any, recording: Any) -> None:
        expected = observe(plain)
        with recording():
            found = list(differences(expected, observe(decorate)))
        if found:
            pytest.fail("\n".join(found), pytrace=False)

    test.__doc__ = observe.__doc__
    test.__name__ = observe.__name__
    return test


def differences(expected: Any, found: Any, place: str = "") -> Iterator[str]:
    """Where two nests of dicts, lists and tuples differ, one sentence each."""
    kinds = dict, list, tuple
    if type(expected) is not type(found) or not isinstance(expected, kinds) or len(expected) != len(found):
        if expected != found:
            yield f"{place}: {expected!r} became {found!r}"
    elif isinstance(expected, dict):
        for key in expected:
            yield from differences(expected[key], found.get(key, "nothing"), f"{place}[{key!r}]")
    else:
        for index, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from differences(one, other, f"{place}[{index}]")


def outcome(call: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[str, Any]:
    """What a call gives: its result, or type and text of what it raises."""
    try:
        return "returned", call(*args, **kwargs)
    except BaseException as error:
        return type(error).__name__, re.sub(" at 0x[0-9a-f]+", "", str(error))


def under(*decorators: Any) -> Callable[[Any], Any]:
    """The decorators as one, the last nearest to the function."""
    return lambda target: functools.reduce(lambda inner, decorate: decorate(inner), reversed(decorators), target)
