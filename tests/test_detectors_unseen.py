"""Rules of `instrument.detectors.unseen`."""

from __future__ import annotations

from typing import Any

import pytest

from instrument.detectors import default
from instrument.model import Finding
from tests.detector_runs import Tape, alarms, feed, names

Message = dict[str, Any]


def wished(number: int, name: str, **arguments: Any) -> Message:
    return {"type": "tool_call", "id": f"call_{number}", "name": name, "arguments": arguments}


def answered(number: int, result: Any) -> Message:
    return {"role": "tool", "parts": [{"type": "tool_call_response", "id": f"call_{number}", "response": result}]}


class Talk:
    """A conversation whose tools are not decorated: what they gave stands in the prompts alone."""

    def __init__(self) -> None:
        self.tape = Tape()
        self._history: list[Message] = [{"role": "user", "parts": [{"type": "text", "content": "when?"}]}]

    def turn(self, *calls: tuple[str, dict[str, Any], Any], decorated: bool = False) -> None:
        """The model wishes for these calls; their results come with the next prompt."""
        first = len(self._history) * 10
        parts = [wished(first + n, name, **arguments) for n, (name, arguments, _) in enumerate(calls)]
        said = {"role": "assistant", "parts": parts or [{"type": "text", "content": "so"}]}
        self.tape.span("chat", "llm", input={"messages": [*self._history]}, output={"messages": [said]})
        self._history.append(said)
        for n, (name, arguments, result) in enumerate(calls):
            self._history.append(answered(first + n, result))
            if decorated:
                self.tape.tool(name, result, **arguments)

    def findings(self) -> list[Finding]:
        self.turn()
        return feed(self.tape.spans)


@pytest.mark.parametrize("result", ["nothing", ["nothing"], {"found": 0}])
def test_repeats_of_a_tool_that_is_not_decorated_are_found(result: Any) -> None:
    """By what models wished for and were told; the spans that prove it are those of the model calls."""
    talk = Talk()
    for _ in range(3):
        talk.turn(("search", {"q": "tides"}, result))
    (found,) = talk.findings()
    wishes = [span.span_id for span in talk.tape.spans if span.kind == "llm"][:3]
    assert ("repeated_call", wishes) == (found.detector, found.span_ids)


def test_agents_that_hand_a_task_to_and_fro_are_found() -> None:
    """Handing over is a call like any other, of which most programs have no function."""
    talk = Talk()
    for turn in range(6):
        talk.turn((f"transfer_to_{'billing' if turn % 2 else 'triage'}", {}, "transferred"))
    assert "cycle" in alarms(talk.findings())


def test_errors_that_come_back_in_prompts_are_found() -> None:
    """One name after the other against a tool that knows none of them."""
    talk = Talk()
    for column in ("amount", "total", "price"):
        talk.turn(("run_sql", {"column": column}, f"ERROR: no column {column}"))
    assert {"error_storm"} == names(talk.findings())


def test_calls_asked_for_at_once_are_calls_of_their_own() -> None:
    """A list that one answer works through is no repeat."""
    talk = Talk()
    talk.turn(*(("read", {"page": page}, f"text {page}") for page in range(6)))
    talk.turn(*(("read", {"page": page}, f"text {page}") for page in range(6, 12)))
    assert [] == talk.findings()


def test_calls_that_were_recorded_count_once() -> None:
    """A decorated tool is watched by its own spans."""
    talk = Talk()
    for _ in range(3):
        talk.turn(("search", {"q": "tides"}, "nothing"), decorated=True)
    (found,) = talk.findings()
    tools = [span.span_id for span in talk.tape.spans if span.kind == "tool"]
    assert ("repeated_call", tools) == (found.detector, found.span_ids)


def test_a_tool_that_polls_is_no_repeat() -> None:
    """Its results differ."""
    talk = Talk()
    for percent in range(0, 100, 20):
        talk.turn(("status", {"job": 7}, f"{percent} percent done"))
    assert [] == talk.findings()


def test_the_id_of_a_wish_may_come_again() -> None:
    """Some models count the calls of each answer anew: the last result under an id is that of the last wish."""
    tape, history = Tape(), list[Message]()
    for percent in (10, 20, 30, 40):
        said = {"role": "assistant", "parts": [wished(1, "status", job=7)]}
        tape.span("chat", "llm", input={"messages": [*history]}, output={"messages": [said]})
        history += [said, answered(1, f"{percent} percent done")]
    assert [] == feed(tape.spans)


def test_a_repeat_that_goes_on_names_the_first_model_call() -> None:
    """Told again when it has doubled, as a continuation of the first finding."""
    talk = Talk()
    for _ in range(6):
        talk.turn(("search", {"q": "tides"}, "nothing"))
    first, again = talk.findings()
    assert (first.span_ids[-1], first.span_ids[0]) == (again.data["again_of"], again.span_ids[0])


def test_wishes_that_nobody_answers_are_forgotten() -> None:
    """Only the last of many wait for their results."""
    watch, tape = default(), Tape()
    for number in range(1_000):
        output = {"messages": [{"role": "assistant", "parts": [wished(number, "search", q=number)]}]}
        tape.span("chat", "llm", input={"messages": []}, output=output)
    feed(tape.spans, watch)
    models = watch._run(tape.trace)._models
    assert models is not None and len(models.unseen._waiting) <= 64
