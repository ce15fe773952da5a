"""What model calls were sent, read from their contents: what fills a prompt, what stands in it twice, what was asked
before, which tools were offered in vain, and where a prompt parts from the one before, so that no cache finds the rest.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import Struct

from instrument.detectors.answers import functions, offered_tools, wishes
from instrument.detectors.calls import encoded, plain
from instrument.detectors.prompts import ONLY_WHAT_IS_NEW
from instrument.detectors.similarity import common_start
from instrument.messages import in_parts
from instrument.model import Span

AROUND = 24
"""Letters that are shown on each side of the place where two prompts part."""
EARLY = 0.1
"""Two prompts part early where less than this share of the later one stands before that place."""
TWICE = 200
"""Letters from which on a message that stands in a prompt twice is worth telling: short ones, as `yes`, may well."""

Whole = Callable[[Any], Any]
"""Gives a recorded value with what was stored apart from it in its place."""

_JSON = msgspec.json.Encoder(enc_hook=str)


class Said(Struct, frozen=True):
    """One message of a prompt: whose it is, such as `system` or `results of search`, and its text."""

    whose: str
    text: str


class Parting(Struct, frozen=True):
    """Where a prompt parts from the one before: the number of the message, whose it is, and the text around."""

    number: int
    whose: str
    around: str


def as_it_is(value: Any) -> Any:
    """A `Whole` where nothing is stored apart."""
    return value


def messages(call: Span, whole: Whole = as_it_is) -> list[Said]:
    """The messages that a call sent, in order; empty where they were not recorded as messages."""
    given = whole(plain(call.input))
    sent = given.get("messages") if isinstance(given, dict) else None
    return spoken(sent) if isinstance(sent, list) else []


def spoken(sent: Sequence[Any]) -> list[Said]:
    """Recorded messages in words, also those that a function was given in the dialect of its service."""
    tools: dict[str, str] = {}
    sent = [message for message in sent if isinstance(message, dict)]
    return [_said(in_parts(message), tools) for message in sent]


def _said(message: dict[str, Any], tools: dict[str, str]) -> Said:
    """`tools` are the names of the tools that were called so far, by the id of the call."""
    parts = [part for part in message.get("parts") or () if isinstance(part, dict)]
    tools.update((str(part.get("id")), str(part.get("name"))) for part in parts if part.get("type") == "tool_call")
    answered = {tools.get(str(part.get("id"))) for part in parts if part.get("type") == "tool_call_response"}
    name = answered.pop() if len(answered) == 1 else None
    whose = f"results of {name}" if name else str(message.get("role") or "unknown")
    return Said(whose, "\n".join(map(_text, parts)))


def _text(part: dict[str, Any]) -> str:
    content = part.get("content", part.get("response"))
    if isinstance(content, str):
        return content
    return _JSON.encode({key: value for key, value in part.items() if key not in ("id", "type")}).decode()


def filling(prompt: Sequence[Said]) -> tuple[str, float, int]:
    """What most of a prompt is: whose, its share, and how many messages that is."""
    sizes: Counter[str] = Counter()
    for one in prompt:
        sizes[one.whose] += len(one.text)
    whose, most = sizes.most_common(1)[0] if sizes else ("", 0)
    return whose, most / max(1, sizes.total()), sum(one.whose == whose for one in prompt)


def twice(prompt: Sequence[Said]) -> tuple[Said, int] | None:
    """The long message that a prompt holds more than once, and how often; of several the one that takes most."""
    times = Counter((one.whose, one.text) for one in prompt if len(one.text) >= TWICE)
    found = [(Said(*one), number) for one, number in times.items() if number > 1]
    return max(found, key=lambda item: len(item[0].text) * (item[1] - 1), default=None)


def asked_before(calls: Sequence[Span]) -> list[list[Span]]:
    """Calls that were sent the very same messages, tools and settings, in groups."""
    groups: dict[tuple[str, bytes], list[Span]] = defaultdict(list)
    for call in calls:
        if _is_whole(call):
            groups[call.name, encoded(call.input)].append(call)
    return [group for group in groups.values() if len(group) > 1]


def _is_whole(call: Span) -> bool:
    """Whether its input is all that the model was sent: what a function was given, or follows an id, need not be."""
    given = plain(call.input)
    return isinstance(given, dict) and "messages" in given and call.attributes.keys().isdisjoint(ONLY_WHAT_IS_NEW)


def early_partings(calls: Sequence[Span], whole: Whole = as_it_is) -> list[tuple[Span, Parting]]:
    """Those of the calls whose prompt parts early from the one before and yet goes on with what that one held."""
    found: list[tuple[Span, Parting]] = []
    prompts = ((call, messages(call, whole)) for call in calls)
    for (before, known), (call, prompt) in pairwise(prompts):
        parting = _other_tools(before, call) or _early_parting(known, prompt)
        if parting is not None and _goes_on(known, prompt):
            found.append((call, parting))
    return found


def _other_tools(before: Span, call: Span) -> Parting | None:
    """Tools come before all messages."""
    one, other = offered_tools(before), offered_tools(call)
    return Parting(0, "", "") if one is not None and other is not None and one != other else None


def _early_parting(known: Sequence[Said], prompt: Sequence[Said]) -> Parting | None:
    size, before = sum(len(one.text) for one in prompt), 0
    for number, (one, other) in enumerate(zip(known, prompt, strict=False), 1):
        if one != other:
            at = common_start(one.text, other.text) if one.whose == other.whose else 0
            is_early = before + at < EARLY * size
            return Parting(number, other.whose, _around(other.text, at)) if is_early else None
        before += len(one.text)
    return None


def _goes_on(known: Sequence[Said], prompt: Sequence[Said]) -> bool:
    """Whether most of what the earlier prompt held behind its first message is in the later one."""
    held = {one.text for one in prompt}
    sizes = [(len(one.text), one.text in held) for one in known[1:]]
    return 2 * sum(size for size, is_held in sizes if is_held) > sum(size for size, _ in sizes)


def _around(text: str, at: int) -> str:
    start, end = max(0, at - AROUND), at + AROUND
    shown = " ".join(text[start:end].split())
    return f"{'…' if start else ''}{shown}{'…' if end < len(text) else ''}"


def never_called(spans: Sequence[Span]) -> list[str]:
    """The functions that models were offered and that nobody called, in the order in which they were offered.

    Empty where it is not known what models answered, for then they may have called them, and where none answered.
    """
    models = [span for span in spans if span.kind == "llm"]
    offers = {bytes(offer): offer for span in models if (offer := offered_tools(span)) is not None}
    answers = [span.output for span in models if span.status == "ok"]
    if not answers or any(answer is None for answer in answers):
        return []
    called = {span.name for span in spans if span.kind != "llm"}
    called.update(wish.name for span in models for wish in wishes(span))
    offered = dict.fromkeys(name for offer in offers.values() for name, _ in functions(plain(offer)))
    return [name for name in offered if name not in called]
