"""The failure patterns that `detection_injection.py` puts into runs, each in several forms."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any, NamedTuple

from benchmarks.garden_shop import EVERYTHING, FILLERS, PLANTS, TOPICS, Step, sentence


class Injected(NamedTuple):
    """A run with a pattern in it: the steps, where the pattern begins, and the last step by which it must be found."""

    steps: list[Step]
    begin: int
    deadline: int


Pattern = Callable[[random.Random, list[Step]], Injected | None]


def insert(
    rng: random.Random, steps: list[Step], block: Sequence[Step], *, at: int | None = None, reps: int
) -> Injected:
    """The run with `block` put in at a place; it must be found within its first `reps` steps."""
    place = rng.randrange(1, len(steps) + 1) if at is None else at
    return Injected([*steps[:place], *block, *steps[place:]], place, place + reps - 1)


def repeat(rng: random.Random, steps: list[Step], vary: Callable[[random.Random, Step], Step]) -> Injected:
    """A call of the run, three times more, each time as `vary` writes it."""
    at = rng.randrange(len(steps))
    return insert(rng, steps, [vary(rng, steps[at]) for _ in range(3)], at=at + 1, reps=3)


def as_it_is(rng: random.Random, step: Step) -> Step:
    return step


def other_key_order(rng: random.Random, step: Step) -> Step:
    arguments = json.loads(step.arguments)
    keys = list(arguments)
    rng.shuffle(keys)
    return step._replace(arguments=json.dumps({key: arguments[key] for key in keys}, indent=rng.choice((None, 1, 2))))


def other_blanks(rng: random.Random, step: Step) -> Step:
    arguments = {
        key: f" {value.replace(' ', '  ')}\n" if isinstance(value, str) else value
        for key, value in json.loads(step.arguments).items()
    }
    return step._replace(arguments=json.dumps(arguments))


def scattered(rng: random.Random, steps: list[Step]) -> Injected | None:
    """A call of the run, three times more, each time with one or two other calls in between."""
    times = Counter(step[:2] for step in steps)
    once = [n for n, step in enumerate(steps) if times[step[:2]] == 1]
    if not once:
        return None
    at = rng.choice(once)
    found, rest, left = steps[: at + 1], steps[at + 1 :], 3
    while left:
        for _ in range(rng.randrange(1, 3)):
            found.append(rest.pop(0) if rest else Step("note", json.dumps({"text": sentence(rng, 9)}), ""))
        found.append(steps[at])
        left -= 1
    return Injected([*found, *rest], at + 1, len(found) - 1)


def asked(said: list[str], result: str) -> Step:
    return Step("ask_expert", json.dumps({"question": " ".join(said), "urgent": False}), result)


def reworded(change: Callable[[random.Random, list[str]], list[str]], *, same_answer: bool) -> Pattern:
    """A question of prose, three times more in other words, with the same answer or with others."""

    def inject(rng: random.Random, steps: list[Step]) -> Injected:
        said = rng.sample(EVERYTHING, rng.randrange(7, 14))
        answer = sentence(rng, 40)
        block = [asked(said, answer)]
        block += [asked(change(rng, said), answer if same_answer else sentence(rng, 40)) for _ in range(3)]
        return insert(rng, steps, block, reps=4)

    return inject


def shuffled(rng: random.Random, said: list[str]) -> list[str]:
    return rng.sample(said, len(said))


def one_dropped(rng: random.Random, said: list[str]) -> list[str]:
    gone = rng.randrange(len(said))
    return shuffled(rng, [word for n, word in enumerate(said) if n != gone])


def some_added(rng: random.Random, said: list[str]) -> list[str]:
    grown = list(said)
    for filler in rng.sample(FILLERS, 2):
        grown.insert(rng.randrange(len(grown) + 1), filler)
    return grown


def other_case(rng: random.Random, said: list[str]) -> list[str]:
    return [rng.choice((word.upper(), word.title(), f"{word},")) for word in said]


def synonyms(rng: random.Random, said: list[str]) -> list[str]:
    return [f"{word}ish" if rng.random() < 0.25 else word for word in said]


def atom_variants(rng: random.Random, steps: list[Step]) -> Injected | None:
    """A call of the run whose arguments are names, three times more in other case, with the same result."""
    named = [
        n
        for n, step in enumerate(steps)
        if any(
            isinstance(value, str) and value.lower() != value.upper() for value in json.loads(step.arguments).values()
        )
    ]
    if not named:
        return None
    at, step = (place := rng.choice(named)), steps[place]

    def cased(change: Callable[[str], str]) -> Step:
        arguments = {k: change(v) if isinstance(v, str) else v for k, v in json.loads(step.arguments).items()}
        return step._replace(arguments=json.dumps(arguments))

    return insert(rng, steps, [cased(str.upper), cased(str.lower), cased(str.title)], at=at + 1, reps=3)


def cycle(length: int) -> Pattern:
    """Calls that follow each other in the run, the same ones three rounds more."""

    def inject(rng: random.Random, steps: list[Step]) -> Injected | None:
        starts = [n for n in range(len(steps) - length + 1) if len({s[:2] for s in steps[n : n + length]}) == length]
        if not starts:
            return None
        at = rng.choice(starts)
        return insert(rng, steps, steps[at : at + length] * 3, at=at + length, reps=3 * length)

    return inject


def failing_again(*, between: bool) -> Pattern:
    """A call that fails, three times more, directly or with another call in between."""

    def inject(rng: random.Random, steps: list[Step]) -> Injected:
        failing = rng.choice(steps)._replace(result=f"Error: {sentence(rng, 6)}")
        block: list[Step] = []
        for n in range(4):
            block += [failing, *([read_something(rng, n)] if between and n < 3 else [])]
        return insert(rng, steps, block, reps=len(block))

    return inject


def failing_reworded(rng: random.Random, steps: list[Step]) -> Injected:
    said = rng.sample(EVERYTHING, 9)
    error = f"Error: {sentence(rng, 6)}"
    return insert(rng, steps, [asked(one_dropped(rng, said), error) for _ in range(4)], reps=4)


def read_something(rng: random.Random, number: int) -> Step:
    return Step("read_shelf", json.dumps({"shelf": f"s{rng.randrange(9999)}"}), f"{number} {sentence(rng, 9)}")


def storm(rng: random.Random, steps: list[Step]) -> Injected:
    """Different calls that fail, four in a row."""
    return insert(
        rng,
        steps,
        [read_something(rng, n)._replace(tool=f"tool_{n % 3}", result=f"Error: {sentence(rng, 6)}") for n in range(4)],
        reps=4,
    )


def failing_tool(rng: random.Random, steps: list[Step]) -> Injected:
    """One tool that fails for each of four different arguments, with other work in between."""
    block: list[Step] = []
    for n in range(4):
        order = json.dumps({"order": rng.randrange(99_999)})
        block += [Step("ship_order", order, f"Error: {sentence(rng, 6)}"), read_something(rng, n)]
    return insert(rng, steps, block, reps=len(block))


def restart(rng: random.Random, steps: list[Step]) -> Injected | None:
    """The first steps of the run once more, from three of them up to all."""
    if len(steps) < 4 or len({step[:2] for step in steps[:3]}) < 2:
        return None
    again = rng.randrange(3, len(steps) + 1)
    at = rng.randrange(again, len(steps) + 1)
    return insert(rng, steps, steps[:again], at=at, reps=3)


def invented_tool(rng: random.Random, steps: list[Step]) -> Injected:
    """A tool that was not offered, called up to three times with different arguments."""
    block = [
        Step("summon_gardener", json.dumps({"who": rng.choice(PLANTS), "n": n}), "Error: no such tool", offered=False)
        for n in range(3)
    ]
    return insert(rng, steps, block, reps=3)


def in_vain(result: Callable[[random.Random, list[str], list[str]], str]) -> Pattern:
    """A question and three that resemble it, with three new words in ten each; the results hold nothing new."""

    def inject(rng: random.Random, steps: list[Step]) -> Injected:
        said, found = rng.sample(EVERYTHING, 10), [sentence(rng, 6) for _ in range(5)]
        block = []
        for n in range(4):
            question = [*rng.sample(said, 7), *(f"{rng.choice(TOPICS)}{n}{k}" for k in range(3))]
            block.append(asked(question, result(rng, question, found)))
        return insert(rng, steps, block, reps=4)

    return inject


def nothing_for(rng: random.Random, question: list[str], found: list[str]) -> str:
    return f"0 results for {' '.join(question)}"


def nothing(rng: random.Random, question: list[str], found: list[str]) -> str:
    return rng.choice(("nothing was found", "found was nothing"))


def known_already(rng: random.Random, question: list[str], found: list[str]) -> str:
    return "\n".join(rng.sample(found, len(found)))


def same_answer(rng: random.Random, steps: list[Step]) -> Injected:
    """A tool that said different things, then says nothing to a question and to three others."""
    block = [read_something(rng, n) for n in range(2)]
    return insert(rng, steps, [*block, *(read_something(rng, n)._replace(result="[]") for n in range(4))], reps=6)


def one_step(**changes: Any) -> Pattern:
    """One step of the run changed."""

    def inject(rng: random.Random, steps: list[Step]) -> Injected:
        at = rng.randrange(len(steps))
        return Injected([*steps[:at], steps[at]._replace(**changes), *steps[at + 1 :]], at, at)

    return inject


def slow_call(rng: random.Random, steps: list[Step]) -> Injected | None:
    """A call that takes twenty times what is usual, of a tool whose usual time is known."""
    known = [n for n, step in enumerate(steps) if TIMES_SEEN[step.tool] >= 25]
    if not known:
        return None
    at = rng.choice(known)
    return Injected([*steps[:at], steps[at]._replace(seconds=20.0), *steps[at + 1 :]], at, at)


def far_too_many(rng: random.Random, steps: list[Step]) -> Injected | None:
    """A tool of the run called on and on, each time for something else, up to the third call that is too many."""
    known = [step for step in steps if len(CALLS_SEEN.get(step.tool, ())) >= 8]
    if not known:
        return None
    tool, at = rng.choice(known).tool, rng.randrange(1, len(steps) + 1)
    number = allowed(CALLS_SEEN[tool]) - sum(step.tool == tool for step in steps[:at]) + 3
    more = [Step(tool, json.dumps({"item": rng.randrange(99_999)}), f"{n} {sentence(rng, 9)}") for n in range(number)]
    return insert(rng, steps, more, at=at, reps=number)


def allowed(needed: Sequence[int]) -> int:
    """Three times the calls that nine of ten successful runs needed, or five more where that is more."""
    usual = sorted(needed)[ceil(0.9 * len(needed)) - 1]
    return max(3 * usual, usual + 5)


TIMES_SEEN: Counter[str] = Counter()
CALLS_SEEN: dict[str, list[int]] = {}
"""How many calls of a tool each of the successful runs made that made any."""

PATTERNS: dict[str, dict[str, Pattern]] = {
    "repeated call": {
        "as it is": lambda rng, steps: repeat(rng, steps, as_it_is),
        "keys in other order": lambda rng, steps: repeat(rng, steps, other_key_order),
        "other white space": lambda rng, steps: repeat(rng, steps, other_blanks),
        "scattered": scattered,
    },
    "near repeat": {
        "words moved, same answer": reworded(shuffled, same_answer=True),
        "words moved, other answers": reworded(shuffled, same_answer=False),
        "a word dropped": reworded(one_dropped, same_answer=False),
        "fillers added": reworded(some_added, same_answer=False),
        "case and punctuation": reworded(other_case, same_answer=False),
        "synonyms, same answer": reworded(synonyms, same_answer=True),
        "names in other case": atom_variants,
    },
    "cycle": {"A B A B": cycle(2), "A B C A B C": cycle(3), "A B C D A B C D": cycle(4)},
    "again after failure": {
        "directly": failing_again(between=False),
        "others in between": failing_again(between=True),
        "reworded": failing_reworded,
    },
    "error storm": {"different calls": storm, "one tool, others in between": failing_tool},
    "restart": {"first steps": restart},
    "hallucinated tool": {"called thrice": invented_tool},
    "no progress": {
        "nothing for these words": in_vain(nothing_for),
        "nothing was found": in_vain(nothing),
        "what was found before": in_vain(known_already),
        "no answer to any": same_answer,
    },
    "slow": {"twenty times": slow_call},
    "tool abuse": {"three beyond the limit": far_too_many},
    "context growth": {"window nearly full": one_step(prompt=115_000)},
    "spending": {"a prompt of 60,000 tokens": one_step(prompt=60_000)},
    "cut answer": {"length": one_step(finish="length"), "filtered": one_step(finish="content_filter")},
}
