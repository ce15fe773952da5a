"""What is decorated and called: two numbers, prose to a mapping, the first one awaited, and a loop of the same call.

In `a`, `b` and `c` no call is like another, as in a run that goes well; what a run that turns in circles costs (its
findings are written as well) is `loop`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from typing import Any

Arguments = tuple[Any, ...]

KINDS_OF_QUERIES = 256
KINDS_OF_ANSWERS = 1_021
"""Prime, because contestant, reference and bare function share the answers in turns of fifty: no answer shall come again
within some hundred calls of one of them."""


@dataclass(frozen=True)
class Case:
    """One function to call: `arguments` gives those of the n-th call.

    A record of it is complete when its line holds every one of `marks`. `most_calls` bounds a repeat, so that what is
    written stays some ten megabytes.
    """

    title: str
    function: Callable[..., Any]
    arguments: Callable[[int], Arguments]
    marks: tuple[bytes, ...]
    most_calls: int = 20_000
    awaited: bool = False


def add(a: int, b: int) -> int:
    return a + b


async def add_later(a: int, b: int) -> int:
    return a + b


def look_up(query: str) -> dict[str, str]:
    return next(_answers)


def _prose(words: random.Random, size: int, first: str, last: str) -> str:
    """So many characters of words that do not exist."""
    text = first
    while len(text) < size:
        text += " " + words.choice(_VOCABULARY)
    return text[: size - len(last) - 1] + " " + last


def _word(letters: random.Random) -> str:
    return "".join(letters.choice("bdfglmnprstv") + letters.choice("aeiou") for _ in range(letters.randint(1, 4)))


_random = random.Random(7)
_VOCABULARY = [_word(_random) for _ in range(1_500)]
_QUERIES = [_prose(_random, 1_990, "queryBegins", "queryEnds") for _ in range(KINDS_OF_QUERIES)]
_answers = cycle(
    {f"field_{n:02}": _prose(_random, 190, f"value{n:02}Begins", f"value{n:02}Ends") for n in range(20)}
    for _ in range(KINDS_OF_ANSWERS)
)


def _two_ints(call: int) -> Arguments:
    return 40507, call


def _prose_of_its_own(call: int) -> Arguments:
    return (f"{call} {_QUERIES[call % KINDS_OF_QUERIES]}",)


CASES = {
    "a": Case("two ints", add, _two_ints, (b"add", b"40507")),
    "b": Case(
        "2 kB of prose → a dict of 4 kB",
        look_up,
        _prose_of_its_own,
        (b"look_up", b"queryBegins", b"queryEnds", b"value00Begins", b"value19Ends"),
        most_calls=4_000,
    ),
    "c": Case("async, two ints", add_later, _two_ints, (b"add_later", b"40507"), awaited=True),
    "loop": Case("the same two ints for ever", add, lambda call: (40507, 30211), (b"add", b"40507", b"70718")),
}
