"""The reference agent, led into each pattern by a scripted model behind a real endpoint: found in time, and stopped.

What was called is counted where it arrives, at the endpoint and in the tools, not in what was recorded.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from agent.errors import ToolError
from agent.reviewer import Limits, Reviewer
from agent.selection import select
from instrument import LoopDetected, agent, flush, tool
from instrument.analysis.report import every_finding
from instrument.analysis.tree import traces
from instrument.model import Finding
from instrument.testing import Recording, record
from instrument.thresholds import thresholds
from tests.agent_endpoint import SHOP, Item, Raw, Script, call, endpoint, kind_of, raw_call, response, verdict

Answer = Callable[[int], Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one file to review."""
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


class Model(Script):
    """A model that thinks long enough for what is found to be known; `known` is that, each time it is asked."""

    recording: Recording
    known: list[set[str]]

    def answer(self, request: dict[str, Any]) -> Any:
        """The next answer of the script."""
        if kind_of(request) == "review":
            self.known.append({found.detector for found in self.recording.findings if found.severity != "info"})
        return super().answer(request)


class Led(NamedTuple):
    """What came of a review: its outcome, the calls that tools received, the thoughts the endpoint was asked for."""

    outcome: str
    made: list[str]
    thoughts: int
    found_after: dict[str, int]
    recording: Recording


def led(folder: Path, think: Sequence[Item | Raw], answers: dict[str, Answer], **settings: Any) -> Led:
    """A review with tools of these names, each giving what its function makes of the number of its call."""
    model, made = Model(think), list[str]()
    limits = Limits(max_steps=len(think), reflect_every=1_000)
    with record(**settings) as recording, endpoint(model) as there:
        model.recording, model.known = recording, []
        reviewer = Reviewer(select([folder]), there, limits=limits)
        for name, answer in answers.items():
            reviewer.tools.register(name, counting(name, answer, made))
        vars(reviewer.tools)["call"] = settled(reviewer.tools.call)
        review = reviewer.review("Find faults")
    found = {name for known in model.known for name in known}
    return Led(
        review.outcome,
        made,
        len(model.asked("review")),
        {name: next(n for n, known in enumerate(model.known) if name in known) for name in found},
        recording,
    )


def settled(called: Callable[[str, str], Any]) -> Callable[[str, str], Any]:
    """The same, and what it shows is known before the model is asked again, however fast the machine is."""

    def call_and_settle(name: str, arguments: str) -> Any:
        output = called(name, arguments)
        flush()
        return output

    return call_and_settle


def counting(name: str, answer: Answer, made: list[str]) -> Callable[..., dict[str, Any]]:
    """A tool that notes that it was called."""

    @tool(name=name)
    def asked(query: str) -> dict[str, Any]:
        """Find something out.

        query: what is wanted
        """
        made.append(f"{name} {query}")
        result = answer(len(made))
        if isinstance(result, Exception):
            raise result
        return {"found": result}

    return asked


def search(query: str) -> Item:
    """The model's wish for a search."""
    return call("search", query=query)


def asks(query: str, name: str = "search") -> Item:
    """The model's wish for a call."""
    return call(name, query=query)


def nothing(number: int) -> list[str]:
    """An answer that is always the same."""
    return []


def news(number: int) -> str:
    """An answer that is always another."""
    return f"{'abcdefghijklmnopqrstuvwxyz'[number] * 5} was there"


def fails(number: int) -> Exception:
    """A failure that is always the same."""
    return ToolError("the service is away")


TIDE = "when is the next high tide in the old harbour"
REWORDED = [TIDE, f"please {TIDE}", f"{TIDE} today", f"now {TIDE}", f"{TIDE} again"]
VAIN = ["boats", "tides", "winds", "fees", "bells", "fogs", "lights", "moorings"]
STEPS = [asks("door", name) for name in ("look", "turn", "walk", "wait")]


class Case(NamedTuple):
    """A script and its tools: `finding` is known after so many calls, and so many are made before one is refused.

    `is_model_refused`: the model is called as often as the tool, and is the first that is not asked again.
    """

    think: Sequence[Item]
    answers: dict[str, Answer]
    finding: str
    known_after: int
    made: int
    settings: dict[str, Any] = {}
    is_model_refused: bool = False


STOPPED = {
    "the same call": Case([search("tides")] * 8, {"search": nothing}, "repeated_call", 3, 3),
    "in other words": Case(list(map(search, REWORDED)), {"search": news}, "near_repeat", 3, 3),
    "round in a circle": Case(
        [asks("a", name) for name in ("look", "turn") * 4], {"look": nothing, "turn": nothing}, "cycle", 4, 5
    ),
    "again though it failed": Case([search("tides")] * 8, {"search": fails}, "again_after_failure", 2, 2),
    "failure after failure": Case(list(map(search, VAIN)), {"search": fails}, "error_storm", 3, 3),
    "a search in vain": Case(
        list(map(search, VAIN)), {"search": lambda number: ["one"] if number == 1 else []}, "no_progress", 5, 5
    ),
    "from the beginning": Case(
        [*STEPS, *STEPS[:3], *STEPS], dict.fromkeys(("look", "turn", "walk", "wait"), lambda number: "well"),
        "restart", 7, 7,
    ),
    "far too often": Case(
        list(map(search, VAIN)), {"search": news}, "tool_abuse", 5, 5, {"detectors": {"calls_of_one_tool": 4}},
        is_model_refused=True,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def warned(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Led]:
    """What comes of each case where it is only warned; each is led once for all tests."""

    @cache
    def led_into(name: str) -> Led:
        case = STOPPED[name]
        folder = tmp_path_factory.mktemp("shop")
        (folder / "shop.py").write_text(SHOP)
        return led(folder, case.think, case.answers, **case.settings)

    return led_into


@pytest.mark.parametrize("name", STOPPED)
def test_found_as_early_as_can_be(name: str, warned: Callable[[str], Led]) -> None:
    """The finding is known before the model is asked for the next step."""
    assert STOPPED[name].known_after == warned(name).found_after[STOPPED[name].finding]


@pytest.mark.parametrize("name", STOPPED)
def test_warned_of_it_goes_on(name: str, warned: Callable[[str], Led]) -> None:
    """By default every call that the model wants is made."""
    assert len(STOPPED[name].think) == len(warned(name).made)


@pytest.mark.parametrize("name", STOPPED)
def test_afterwards_the_same_is_found(name: str, warned: Callable[[str], Led]) -> None:
    """A trace that is looked at when all is over shows what was found while it ran."""
    found = warned(name).recording.findings
    assert found == found_afterwards(warned(name).recording, STOPPED[name].settings)


def found_afterwards(recording: Recording, settings: dict[str, Any]) -> Sequence[Finding]:
    """What the detectors find in the spans alone, without what they found before."""
    (trace,) = traces(recording.spans)
    limits = thresholds(settings.get("detectors", {}))
    return [replace(found, run=recording.spans[0].run) for found in every_finding(trace, limits)]


REFUSING: dict[str, dict[str, Any]] = {
    "scope run": {"action": "raise", "scope": "run"},
    "a function": {"action": lambda finding: finding.detector == "repeated_call"},
}


@pytest.mark.parametrize("loops", REFUSING.values(), ids=REFUSING)
def test_other_ways_to_refuse_stop_it_too(loops: dict[str, Any], folder: Path) -> None:
    """The run may be shut, a function may decide: neither tool nor endpoint gets another call."""
    done = led(folder, [search("tides")] * 8, {"search": nothing}, loops=loops)
    assert ("loop", 3, 4) == (done.outcome, len(done.made), done.thoughts)


def test_a_function_may_let_it_go_on(folder: Path) -> None:
    """What the function does not refuse is made."""
    done = led(folder, [search("tides")] * 8, {"search": nothing}, loops={"action": lambda finding: False})
    assert 8 == len(done.made)


@pytest.mark.parametrize("name", STOPPED)
def test_stopped_before_it_goes_on(name: str, folder: Path) -> None:
    """With `raise` the tool is not called again, the review ends, and the model is asked nothing more."""
    case = STOPPED[name]
    done = led(folder, case.think, case.answers, **case.settings, loops={"action": "raise"})
    thoughts = case.made if case.is_model_refused else case.made + 1
    assert ("loop", case.made, thoughts) == (done.outcome, len(done.made), done.thoughts)


def test_work_is_not_stopped(folder: Path) -> None:
    """Different calls with different answers go on to the verdict."""
    think = [*map(search, VAIN), call("read_file", path="shop.py"), verdict()]
    done = led(folder, think, {"search": news}, loops={"action": "raise"})
    assert ("answered", len(VAIN), len(think)) == (done.outcome, len(done.made), done.thoughts)


def test_the_same_question_to_the_model_is_refused(folder: Path) -> None:
    """A model call is refused like any other: it does not reach the endpoint."""
    script = Script([verdict()])
    with record(loops={"action": "raise"}), endpoint(script) as there:
        reviewer = Reviewer(select([folder]), there)

        @agent
        def plans_for_ever() -> None:
            for _ in range(8):
                reviewer.create_plan("gpt-4.1", [{"role": "user", "content": "What now?"}])

        with pytest.raises(LoopDetected, match="create_plan was called 3 times"):
            plans_for_ever()
    assert 3 == len(script.requests)


def costing(tokens: int, *output: Item) -> Raw:
    """An answer for which so many prompt tokens were counted."""
    told = json.loads(response("gpt-4.1", output))
    told["usage"] |= {"input_tokens": tokens, "total_tokens": tokens + 10}
    return Raw(body=json.dumps(told).encode())


def cut(*output: Item) -> Raw:
    """An answer that met the limit of its length."""
    told = json.loads(response("gpt-4.1", output))
    told |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    return Raw(body=json.dumps(told).encode())


USUAL = [costing(100, search(query)) for query in VAIN[:4]]
SEEN: dict[str, tuple[Sequence[Item | Raw], str, int, dict[str, Any]]] = {
    "a tool that was not offered": ([search("a"), asks("b", "serach"), search("c")], "hallucinated_tool", 2, {}),
    "arguments that are no JSON": ([search("a"), raw_call("search", '{"query": "b'), search("c")], "cut_answer", 2, {}),
    "an answer cut short": ([search("a"), cut(search("b")), search("c")], "cut_answer", 2, {}),
    "a prompt near the window": (
        [costing(100, search("a")), costing(700, search("b")), costing(850, search("c")), search("d")],
        "context_growth", 3, {"detectors": {"context_window": 1_000}},
    ),
    "a call that costs far more": (
        [*USUAL, costing(900_000, search("e")), search("f")], "spending", 5, {"detectors": {"history_calls": 3}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEN)
def test_seen_at_once(name: str, folder: Path) -> None:
    """What no refusal would mend is known before the model is asked for the next step as well."""
    think, finding, known_after, settings = SEEN[name]
    assert known_after == led(folder, think, {"search": news}, **settings).found_after[finding]


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1

    def __call__(self) -> int:
        self.now += 1_000
        return self.now


def test_a_slow_call_is_seen_at_once(folder: Path) -> None:
    """A call far beyond those before it."""
    clock = Clock()

    def takes(number: int) -> str:
        clock.now += 10**7 if number < 6 else 10**10
        return news(number)

    done = led(folder, [*map(search, VAIN)], {"search": takes}, clock=clock, detectors={"history_calls": 5})
    assert 6 == done.found_after["slow"]


def test_a_stalled_call_is_seen_while_it_is_open(folder: Path) -> None:
    """The watchdog finds it, though nothing ends and nothing is asked."""
    seen: list[set[str]] = []

    def waits(number: int) -> str:
        for _ in range(200):
            if "stalled" in {found.detector for found in recordings[0].findings}:
                break
            flush()
            pause.wait(0.05)
        seen.append({found.detector for found in recordings[0].findings})
        return "at last"

    pause, recordings = threading.Event(), list[Recording]()
    model = Script([search("tides"), verdict()])
    with record(detectors={"stalled_seconds": 0.1}) as recording, endpoint(model) as there:
        recordings.append(recording)
        reviewer = Reviewer(select([folder]), there)
        reviewer.tools.register("search", counting("search", waits, []))
        reviewer.review("Find faults")
    assert [{"stalled"}] == seen
