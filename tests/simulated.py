"""A simulated agent whose runs are exactly what its plan says, and in which everything has its consequences.

Each step asks a model with the whole history and then calls tools with arguments that depend on the answer; answers
and results depend on all that was given. A `Twist` is the one thing that is different in the other run. Ids, times,
folders, ports and the speed of the machine are different in every run.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, NamedTuple

from instrument.analysis.tree import Trace, traces
from instrument.model import Cost, Failure, Span, Usage
from tests.recorded import NOON

Fields = dict[str, Any]


class Tool(NamedTuple):
    """A call of a tool."""

    name: str
    argument: str


class Step(NamedTuple):
    """One turn: a model call, then tools, one after the other or all at once."""

    tools: tuple[Tool, ...]
    at_once: bool = False


class Plan(NamedTuple):
    """What the agent does."""

    steps: tuple[Step, ...]
    task: str = "find the fault in a.py"
    model: str = "gpt-4.1"
    temperature: float = 0.5


class Twist(NamedTuple):
    """The one thing that is different: what, in which step, at which tool."""

    cause: str = "nothing"
    step: int = 0
    tool: int = 0


def simulate(plan: Plan, twist: Twist = Twist(), seed: int = 1, speed: int = 3) -> Trace:
    """One run of the plan; what is volatile depends on `seed`, how long things take on `speed`."""
    (trace,) = traces(_Run(plan, twist, seed, speed).spans())
    return trace


class _Run:
    def __init__(self, plan: Plan, twist: Twist, seed: int, speed: int) -> None:
        self.plan, self.twist, self.seed, self.speed = plan, twist, seed, speed
        self.now = NOON + seed * 10**12
        self.made: list[Span] = []

    def spans(self) -> list[Span]:
        start = self.now
        history: list[Fields] = [_message("user", self.plan.task + (", please" if self.is_twisted("task") else ""))]
        for number, step in enumerate(self.plan.steps):
            if not (self.is_twisted("step gone") and number == self.twist.step):
                history = self.step(number, step, history)
        last = {"task": self.plan.task} if not self.is_twisted("task") else {"task": f"{self.plan.task}, please"}
        self.add("agent", "review", None, start, input=last, output=history[-1]["parts"][0])
        return self.made

    def is_twisted(self, cause: str, step: int | None = None, tool: int | None = None) -> bool:
        here = self.twist.cause == cause and step in (None, self.twist.step)
        return here and tool in (None, self.twist.tool)

    def step(self, number: int, step: Step, history: list[Fields]) -> list[Fields]:
        start, place = self.now, f"step {number}"
        self.now += 1
        answer = self.think(number, history, place)
        history = [*history, _message("assistant", answer)]
        tools = self.tools_of(number, step)
        at_once = step.at_once is not self.is_twisted("concurrency", number)
        begin, ends = self.now, []
        for place_of_tool, tool in enumerate(tools):
            if at_once:
                self.now = begin + place_of_tool
            result = self.act(number, place_of_tool, tool, answer, place)
            ends.append(self.now)
            history = [*history, _message("tool", result)]
        self.now = max([self.now, *ends]) + 1
        self.add("step", "iteration", self.id("root"), start, id=place, attributes={"instrument.iteration": number})
        return history

    def tools_of(self, number: int, step: Step) -> list[Tool]:
        tools = list(step.tools)
        at = self.twist.tool
        if self.is_twisted("removed", number):
            del tools[at]
        elif self.is_twisted("added", number):
            tools.insert(at, Tool("lint", "all"))
        elif self.is_twisted("other call", number):
            tools[at] = Tool("grep", tools[at].argument)
        elif self.is_twisted("order", number):
            tools[at], tools[at + 1] = tools[at + 1], tools[at]
        return tools

    def think(self, number: int, history: list[Fields], place: str) -> str:
        model = "gpt-4o" if self.is_twisted("model", number) else self.plan.model
        settings: Fields = {"temperature": self.plan.temperature}
        if self.is_twisted("setting", number):
            settings["temperature"] = 0.9
        if self.is_twisted("new setting", number):
            settings["top_p"] = 0.1
        system = "be thorough" if self.is_twisted("prompt", number) else "be brief"
        more = "all" if self.is_twisted("tools", number) else "one"
        asked = {
            "messages": [_message("system", system), *history],
            "tools": [{"name": "read", "parameters": {"how": more}}],
            "settings": settings,
        }
        answer = f"I will look {digest(asked, model)}" + (" again" if self.is_twisted("answer", number) else "")
        fails = self.is_twisted("model error", number)
        start = self.now
        self.now += 2 * self.speed
        self.add(
            "llm",
            f"chat {model}",
            self.id(place),
            start,
            id=f"think {number}",
            input=asked,
            output=None if fails else {"messages": [_message("assistant", answer)]},
            attributes={"gen_ai.request.model": model, "gen_ai.response.id": f"resp_{self.seed}abcdef123"},
            usage=Usage(input=10 * len(history), output=5),
            cost=Cost(usd="0.001", basis="priced"),
            **(_failed("RateLimitError") if fails else {}),
        )
        self.now += 1
        return "" if fails else answer

    def act(self, number: int, place_of_tool: int, tool: Tool, answer: str, place: str) -> str:
        key = sum(tool.name == before.name for before in self.plan.steps[number].tools[:place_of_tool])
        argument = f"{tool.argument} {digest(answer)}"
        if self.is_twisted("arguments", number, place_of_tool):
            argument += " more"
        asked = {
            "what": argument,
            "file": f"/tmp/run-{self.seed}/a.py",
            "url": f"http://127.0.0.1:{50_000 + self.seed}",
        }
        result = f"{tool.name} found {digest(tool.name, argument)}" + (
            " and more" if self.is_twisted("result", number, place_of_tool) else ""
        )
        fails = self.is_twisted("error", number, place_of_tool)
        start = self.now
        self.now += 5 * self.speed
        self.add(
            "tool",
            tool.name,
            self.id(place),
            start,
            id=f"act {number} {place_of_tool} {key}",
            input=asked,
            output=None if fails else f"{result} at 2026-11-2{self.seed % 10} 10:00:0{self.seed % 10}",
            **(_failed("FileNotFoundError") if fails else {}),
        )
        self.now += 1
        return "failed" if fails else result

    def add(self, kind: str, name: str, parent: str | None, start: int, id: str = "root", **fields: Any) -> None:
        known: Fields = {"status": "ok", "start_ns": start, "duration_ns": self.now - start, "parent_id": parent}
        self.made.append(
            Span(
                run=f"run{self.seed}",
                trace_id=digest("trace", self.seed) * 4,
                span_id=self.id(id),
                kind=kind,
                name=name,
                **{**known, **fields},
            )
        )

    def id(self, name: str) -> str:
        return sha256(f"{self.seed} {name}".encode()).hexdigest()[:16]


def _failed(type: str) -> Fields:
    return {"status": "error", "error": Failure(type, "it went wrong")}


def _message(role: str, text: str) -> Fields:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def digest(*parts: Any) -> str:
    """Eight letters that stand for the parts: no number and no id, which would count as volatile."""
    raw = sha256(repr(parts).encode()).digest()[:8]
    return "".join(chr(ord("g") + byte % 16) for byte in raw)
