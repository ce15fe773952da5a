"""Successful runs to inject failures into: conversations of an invented garden shop, or those of a file.

The generated ones contain what is easily mistaken for a loop: paging, polling, one retry, reading again after an edit,
batches, the same tests after each change, one question about each thing of a list.
"""

from __future__ import annotations

import json
import lzma
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Step(NamedTuple):
    """One tool call of a run, with the model call that asked for it.

    Arguments are JSON text, the result is text; `offered` is False for an invented tool. `seconds` is the time that the
    tool takes, None for a usual one; `prompt` and `finish` are the model call's tokens and finish reason.
    """

    tool: str
    arguments: str
    result: str
    offered: bool = True
    seconds: float | None = None
    prompt: int | None = None
    finish: str = "tool_calls"

    @property
    def failed(self) -> bool:
        return self.result.startswith("Error")


def steps_of(messages: Sequence[dict[str, Any]]) -> list[Step]:
    """The tool calls of a conversation, each with its result."""
    results = {m.get("tool_call_id"): str(m.get("content") or "") for m in messages if m["role"] == "tool"}
    in_order = [str(m.get("content") or "") for m in messages if m["role"] == "tool"]
    calls = [call for m in messages for call in m.get("tool_calls") or []]
    by_id = len(results) == len(in_order) == len(calls)
    return [
        Step(
            call["function"]["name"],
            call["function"]["arguments"],
            results.get(call.get("id"), "") if by_id else (in_order[n] if n < len(in_order) else ""),
        )
        for n, call in enumerate(calls)
    ]


def runs_in(path: Path) -> Iterator[list[Step]]:
    for line in lines_of(path):
        run = json.loads(line)
        if isinstance(run, list):
            yield steps_of(run)
        elif run.get("reward", 1) == 1:
            yield steps_of(run["messages"])


def lines_of(path: Path) -> list[str]:
    opened = lzma.open if path.suffix == ".xz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        return list(file)


def words(text: str) -> list[str]:
    return text.split()


PLANTS = words("fern moss lily iris sedge aster heath clover tansy yarrow sorrel mallow bugle avens vetch teasel")
TOPICS = words("watering shade frost pruning soil slugs mildew potting seeds compost light roots cuttings drought")
WORDS = words("when where which how often much early late young old dry wet cold warm deep near under before after")
FILLERS = words("please again now really maybe exactly also kindly")
EVERYTHING = [*PLANTS, *TOPICS, *WORDS]


def sentence(rng: random.Random, length: int) -> str:
    return " ".join(rng.choice(EVERYTHING) for _ in range(length))


class Shop:
    """Writes one healthy conversation: reading, searching, paging, polling, retrying once, editing, batch work."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.messages: list[dict[str, Any]] = [{"role": "user", "content": sentence(rng, 12)}]

    def call(self, tool: str, result: object, **arguments: object) -> None:
        """One call and its result, as two messages."""
        mark = f"call_{len(self.messages)}"
        function = {"name": tool, "arguments": json.dumps(arguments)}
        text = result if isinstance(result, str) else json.dumps(result)
        self.messages.append({"role": "assistant", "content": None, "tool_calls": [{"id": mark, "function": function}]})
        self.messages.append({"role": "tool", "tool_call_id": mark, "content": text})

    def search(self) -> None:
        hits = [f"{sentence(self.rng, 9)} {self.rng.randrange(999)}" for _ in range(3)]
        self.call("search_guides", hits, query=sentence(self.rng, self.rng.randrange(5, 10)))

    def read(self) -> None:
        self.call("read_guide", sentence(self.rng, 40), guide=f"{self.rng.choice(PLANTS)}-{self.rng.randrange(99)}")

    def note(self) -> None:
        self.call("note", "", text=sentence(self.rng, 14))

    def page(self) -> None:
        for number in range(1, self.rng.randrange(3, 6)):
            rows = [f"{self.rng.choice(PLANTS)} {self.rng.randrange(9999)}" for _ in range(5)]
            self.call("list_plants", rows, shelf="north", page=number)

    def poll(self) -> None:
        job = self.rng.randrange(999)
        for percent in (10, 45, 80, 100):
            self.call("job_status", {"job": job, "done": percent}, job=job)

    def retry(self) -> None:
        order = self.rng.randrange(9999)
        self.call("get_order", "Error: the service did not answer in time", order=order)
        self.call("get_order", {"order": order, "plants": self.rng.sample(PLANTS, 3)}, order=order)

    def edit(self) -> None:
        name, old, new = f"{self.rng.choice(PLANTS)}.txt", sentence(self.rng, 8), sentence(self.rng, 8)
        self.call("read_file", old, path=name)
        self.call("edit_file", "edited", path=name, old=old, new=new)
        self.call("read_file", new, path=name)

    def batch(self) -> None:
        for _ in range(self.rng.randrange(2, 6)):
            self.call("update_order", {"status": "updated"}, order=self.rng.randrange(9999), shipped=True)

    def repair(self) -> None:
        """A coding agent with nothing but a shell: tests, edits, the same tests with other flags."""
        test = f"cd /garden && python -m pytest tests/test_{self.rng.choice(PLANTS)}.py"
        for flags in ("-q", "-x -q", "-q", "-q -k early"):
            self.call(
                "shell", f"{self.rng.randrange(1, 9)} failed, {sentence(self.rng, 12)}", command=f"{test} {flags}"
            )
            self.call("shell", "", command=f"sed -i 's/{sentence(self.rng, 1)}/{sentence(self.rng, 1)}/' src/beds.py")

    def compare(self) -> None:
        for plant in self.rng.sample(PLANTS, self.rng.randrange(3, 9)):
            price = f"{plant} costs {self.rng.randrange(2, 60)} and is in stock"
            self.call("ask_stock", price, question=f"what does one young {plant} cost at the moment")


def conversations(rng: random.Random, count: int) -> Iterator[list[Step]]:
    for _ in range(count):
        shop = Shop(rng)
        deeds = [
            shop.read,
            shop.search,
            shop.note,
            shop.page,
            shop.poll,
            shop.retry,
            shop.edit,
            shop.batch,
            shop.compare,
        ]
        for deed in rng.sample(deeds, rng.randrange(3, 7)):
            deed()
        yield steps_of(shop.messages)
