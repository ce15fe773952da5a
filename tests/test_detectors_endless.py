"""A run that never ends: whatever it does on and on, what is remembered of it does not grow."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import cache
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import msgspec
import pytest

from instrument.detectors import Detectors, default, fingerprint, outcome
from instrument.model import Span
from tests.detector_runs import SECOND, TRACE, Tape, said, wish

FEW, MANY = 2_500, 5_000
SLACK = 1.1

Turn = Callable[[Tape, int], Span]
STREAMS: dict[str, Turn] = {
    "the same call": lambda tape, n: tape.tool("search", "nothing", city="Rome"),
    "the same failure": lambda tape, n: tape.tool("search", failed="no route", city="Rome"),
    "other failures": lambda tape, n: tape.tool("open", failed=f"{n} is not there", path=f"{n}.txt"),
    "failures now and then": lambda tape, n: tape.tool("open", n, failed="gone" if n % 3 else None, path=f"{n % 7}"),
    "other words": lambda tape, n: tape.tool("ask", f"no {n}", question=f"when is the next high tide {n % 97} of all"),
    "a circle": lambda tape, n: tape.tool(("look", "turn", "walk")[n % 3], "a wall", at="door"),
    "ever new names": lambda tape, n: tape.tool(f"tool{n}", f"result {n}", number=n),
    "ever new work": lambda tape, n: tape.tool("read", f"page {n} says {n * n}", page=n),
    "one answer to all": lambda tape, n: tape.tool("find", [], word=f"word{n}"),
    "from the beginning": lambda tape, n: tape.tool(f"step{n % 40}", "well", at="door"),
    "thinking": lambda tape, n: tape.model(said(f"thought {n}"), prompt=100 + n, usd="0.01"),
    "wishes for what is not there": lambda tape, n: tape.model(wish(f"tool{n}"), tools=["search"], prompt=100),
    "answers cut short": lambda tape, n: tape.model(
        said("and so"), prompt=100, attributes={"gen_ai.response.finish_reasons": ["length"]}
    ),
    "other models": lambda tape, n: tape.span(f"model{n}", "llm", output=said("x")),
}


def held(watch: Detectors) -> int:
    """Bytes of all that the detectors remember."""
    seen: set[int] = set()
    waiting: list[Any] = [watch.__dict__]
    total = 0
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type | ModuleType | FunctionType):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        waiting += gc.get_referents(one)
    return total


def call(stream: Turn, number: int) -> Span:
    """One call of the run, half a minute after the one before."""
    span = stream(Tape(TRACE), number)
    return msgspec.structs.replace(span, start_ns=span.start_ns + 30 * number * SECOND)


class Watched(NamedTuple):
    """What is held after the first part of a run and after all of it, and how many findings the first part gave."""

    few: int
    many: int
    told: int


@cache
def watched(name: str) -> Watched:
    """The run, each call noted as it ends and fed behind."""
    watch = default()
    told = sum(pass_by(watch, call(STREAMS[name], n)) for n in range(FEW))
    few = held(watch)
    for n in range(FEW, MANY):
        pass_by(watch, call(STREAMS[name], n))
    return Watched(few, held(watch), told)


def pass_by(watch: Detectors, span: Span) -> int:
    """How many findings a call gives."""
    mark, came = fingerprint(span.input), outcome(span.output, span.error)
    watch.check(span.name, span.kind, mark, TRACE, given=span.input)
    failed = span.error is not None
    watch.note(span.name, span.kind, mark, came, failed=failed, trace_id=TRACE, span_id=span.span_id)
    return len(watch.feed(span))


@pytest.mark.parametrize("name", STREAMS)
def test_what_is_remembered_does_not_grow(name: str) -> None:
    """Twice as many calls of one run need no more memory."""
    assert SLACK * watched(name).few >= watched(name).many


@pytest.mark.parametrize("name", STREAMS)
def test_findings_become_rare(name: str) -> None:
    """A pattern that goes on is told each time it has doubled, not at every call."""
    assert 40 >= watched(name).told


WORDS = "when does the spring tide reach the harbour mole".split()
ON_AND_ON: dict[str, Turn] = {
    "repeated_call": STREAMS["the same call"],
    "again_after_failure": STREAMS["the same failure"],
    "cycle": STREAMS["a circle"],
    "near_repeat": lambda tape, n: tape.tool("ask", "at noon", question=" ".join(WORDS[n % 9 :] + WORDS[: n % 9])),
    "no_progress": lambda tape, n: tape.tool("find", [] if n else ["tide"], word=f"word{n}"),
    "cut_answer": STREAMS["answers cut short"],
    "hallucinated_tool": lambda tape, n: tape.model(wish("fly"), tools=["search"], prompt=100),
}


@pytest.mark.parametrize("detector", ON_AND_ON)
def test_a_pattern_that_goes_on_began_where_it_was_told_first(detector: str) -> None:
    """However far the window has moved on, the last finding names the first one's first call and moment."""
    watch = default()
    found = [one for n in range(100) for one in watch.feed(call(ON_AND_ON[detector], n)) if one.detector == detector]
    first, last = found[0], found[-1]
    assert (first.span_ids[0], first.data["since_ns"], first.message[-20:]) == (
        last.span_ids[0],
        last.data["since_ns"],
        last.message[-20:],
    )
    assert len(found) > 2
