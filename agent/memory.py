"""Short-term memory: the conversation so far in turns, and what has to leave it when it grows too long.

A turn is what the model said in one step (reasoning, function calls, text) together with the outputs of those calls.
Turns leave whole, so a call is never parted from its output or its reasoning. Values and pure functions only.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

Item = dict[str, Any]
Turn = tuple[Item, ...]
Count = Callable[[str], int]
"""Tokens of a text."""

CUT = " … (cut to fit the context)"


@dataclass(frozen=True)
class History:
    """The turns, oldest first, and a summary of those that have left."""

    turns: tuple[Turn, ...] = ()
    summary: str = ""

    def with_turn(self, turn: Turn) -> History:
        """The history with one more turn at its end."""
        return replace(self, turns=(*self.turns, turn))

    def items(self) -> list[Item]:
        """The history as input items of a request."""
        earlier = [message(f"SUMMARY OF EARLIER STEPS:\n{self.summary}")] if self.summary else []
        return [*earlier, *(item for turn in self.turns for item in turn)]


def message(text: str) -> Item:
    """A plain message to the model."""
    return {"role": "user", "content": text}


def split(turns: tuple[Turn, ...], most: int, room: int, count: Count) -> tuple[tuple[Turn, ...], tuple[Turn, ...]]:
    """The turns that have to leave and those that stay, where `most` turns and `room` tokens are allowed.

    What is too much is cut to half of that, so that not every step has a turn to leave. The newest always stays.
    """
    if len(turns) <= most and tokens_of(turns, count) <= room:
        return (), turns
    staying = turns[-max(most // 2, 1) :]
    while len(staying) > 1 and tokens_of(staying, count) > room // 2:
        staying = staying[1:]
    return turns[: len(turns) - len(staying)], staying


def fitted(turns: tuple[Turn, ...], room: int, count: Count) -> tuple[Turn, ...]:
    """The turns with the longest outputs of calls shortened until all fit into `room` tokens, as far as that goes."""
    while tokens_of(turns, count) > room:
        longest = max(outputs(turns), key=lambda item: len(item["output"]), default=None)
        if longest is None or len(longest["output"]) < 200:
            return turns
        turns = tuple(tuple(shortened(item) if item is longest else item for item in turn) for turn in turns)
    return turns


def outputs(turns: tuple[Turn, ...]) -> list[Item]:
    """The outputs of calls in the turns."""
    return [item for turn in turns for item in turn if item.get("type") == "function_call_output"]


def shortened(output: Item) -> Item:
    """An output of which about half the text is left, still an object with `ok` as the tools give it."""
    told = json.loads(output["output"])
    key = "result" if told["ok"] else "error"
    text = told[key] if isinstance(told[key], str) else json.dumps(told[key], ensure_ascii=False)
    kept = text.removesuffix(CUT)
    return {**output, "output": json.dumps({"ok": told["ok"], key: kept[: len(kept) // 2] + CUT}, ensure_ascii=False)}


def tokens_of(turns: tuple[Turn, ...], count: Count) -> int:
    """Tokens that the turns take as text."""
    return sum(count(json.dumps(item, ensure_ascii=False)) for turn in turns for item in turn)
