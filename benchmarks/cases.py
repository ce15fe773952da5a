"""What is decorated and called: two numbers, prose to a mapping, the first one awaited, a search, a loop, a model.

In `a`, `b`, `c` and `nested` no call is like another, as in a run that goes well; what a run that turns in circles costs
(its findings are written as well) is `loop`. `model` is a conversation that goes to a model and grows: whoever knows of
model calls decorates it as one.
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
    of_model: bool = False


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


def find(pattern: str, where: dict[str, Any]) -> list[dict[str, Any]]:
    return next(_finds)


_finds = cycle(
    [
        {
            "path": f"findBegins/{_word(_random)}.py",
            "line": 10 * number + n,
            "text": _prose(_random, 80, "def", "findEnds"),
        }
        for n in range(8)
    ]
    for number in range(KINDS_OF_ANSWERS)
)


def _pattern_and_options(call: int) -> Arguments:
    return f"def step_{call}", {"folders": ["src", "tests"], "limit": 8, "case": {"fold": True}}


def think(messages: list[dict[str, str]]) -> dict[str, Any]:
    return next(_completions)


LONGEST_CONVERSATION = 20
_SAID = [_prose(_random, 400, "messageBegins", "messageEnds") for _ in range(KINDS_OF_QUERIES)]
_completions = cycle(
    {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "model": "gpt-4.1-mini-2025-04-14",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": _prose(_random, 400, "answerBegins", "answerEnds")},
            }
        ],
        "usage": {"prompt_tokens": 900 + number, "completion_tokens": 90, "total_tokens": 990 + number},
    }
    for number in range(KINDS_OF_ANSWERS)
)


def _conversation(call: int) -> Arguments:
    """A system prompt and from one to some twenty messages, of 400 characters each, the first of its own."""
    turns = range(1 + call % LONGEST_CONVERSATION)
    said = [_SAID[(call + turn) % KINDS_OF_QUERIES] for turn in turns]
    roles = [("user", "assistant")[turn % 2] for turn in turns]
    messages = [{"role": role, "content": text} for role, text in zip(roles, said, strict=True)]
    return ([{"role": "system", "content": f"{call} {_SAID[0]}"}, *messages],)


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
    "nested": Case(
        "options → eight finds",
        find,
        _pattern_and_options,
        (b"find", b"def step_", b"findBegins", b"findEnds"),
        most_calls=8_000,
    ),
    "model": Case(
        "1 to 20 messages → an answer",
        think,
        _conversation,
        (b"think", b"messageBegins", b"messageEnds", b"answerBegins", b"answerEnds"),
        most_calls=2_000,
        of_model=True,
    ),
    "loop": Case("the same two ints for ever", add, lambda call: (40507, 30211), (b"add", b"40507", b"70718")),
}
