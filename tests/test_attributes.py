"""What a record holds, in the words of either convention, by one table of names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from instrument import attributes
from instrument.attributes import KINDS, TOKENS
from instrument.kinds import MODEL_KINDS
from instrument.model import Cost, Failure, Span, Usage
from instrument.views.otel import told

NAMES = {name for constant, name in vars(attributes).items() if constant.isupper() and isinstance(name, str)}
SPELLED = {
    "attributes.py",
    "__init__.py",  # instrument.settings is a module as well
    "store/foreign/names.py",  # a table of names, ours beside those of others
}


def test_attributes_are_spelled_once() -> None:
    """A module that needs an attribute of the table takes it from there. SQL spells names, behind a dot."""
    root = Path(attributes.__file__).parent
    files = {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*.py")}
    texts = ((path, text) for path in files.keys() - SPELLED for text in re.findall(r'(?<!\.)"([\w. ]+)"', files[path]))
    assert [] == sorted((path, text) for path, text in texts if text in NAMES)


def a_span(kind: str = "llm", name: str = "chat m", **more: Any) -> Span:
    return Span(trace_id="t", span_id="s", start_ns=0, duration_ns=1, status="ok", kind=kind, name=name, **more)


def told_of(span: Span, dialect: str = "both") -> dict[str, Any]:
    return told(span, dialect).attributes


USED = Usage(input=10, cached=4, cache_write=2, output=5, reasoning=3)
COST = Cost(usd="0.5", input="0.1", cached="0.05", cache_write="0.05", output="0.3", basis="priced", price_date="x")


NOW, BEFORE = "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens"


@pytest.mark.parametrize(("edition", "names"), [("latest", [NOW]), ("1.41", [NOW, BEFORE]), ("both", [NOW, BEFORE])])
def test_editions_differ_in_names_only(edition: str, names: list[str]) -> None:
    """Where the older edition asks for another name it stands beside the newer one."""
    found = told_of(a_span(usage=USED), edition)
    assert names == [name for name, value in found.items() if value == 2]


def test_tokens_by_the_genai_names() -> None:
    """Counts are inclusive in both worlds and keep their values."""
    found = told_of(a_span(usage=USED))
    expected = {
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.reasoning.output_tokens": 3,
    }
    assert expected == {name: found.get(name) for name in expected}


@pytest.mark.parametrize(
    ("kind", "operation", "target"),
    [
        ("tool", "execute_tool", "gen_ai.tool.name"),
        ("agent", "invoke_agent", "gen_ai.agent.name"),
        ("workflow", "invoke_workflow", "gen_ai.workflow.name"),
    ],
)
def test_kinds_are_operations(kind: str, operation: str, target: str) -> None:
    """A kind becomes an operation, and the span's name that of the tool, agent or workflow."""
    found = told_of(a_span(kind, "look"))
    assert (operation, "look") == (found["gen_ai.operation.name"], found[target])


def test_what_the_span_says_itself_wins() -> None:
    """An operation or a name that was recorded is kept."""
    found = told_of(a_span("agent", "run", attributes={"gen_ai.agent.name": "reviewer"}))
    assert "reviewer" == found["gen_ai.agent.name"]


def test_step_is_no_operation() -> None:
    """Kinds that the conventions do not know are told by our own name only."""
    found = told_of(a_span("step", "think"))
    assert (None, "step") == (found.get("gen_ai.operation.name"), found["instrument.kind"])


def test_session_is_a_conversation() -> None:
    """A session is told as the conversation, unless the call named one of its own."""
    alone = told_of(a_span(attributes={"session.id": "a"}))
    beside = told_of(a_span(attributes={"session.id": "a", "gen_ai.conversation.id": "b"}))
    assert ("a", "b") == (alone["gen_ai.conversation.id"], beside["gen_ai.conversation.id"])


@pytest.mark.parametrize(
    ("status", "dialect", "expected"),
    [("ok", "1.41", 0), ("ok", "openinference", 1), ("cancelled", "openinference", 0), ("error", "1.41", 2)],
)
def test_that_all_went_well_is_left_to_the_application(status: str, dialect: str, expected: int) -> None:
    """By the GenAI conventions; OpenInference has it said."""
    assert expected == told(replace(a_span(), status=status), dialect).status


def test_error_has_a_type() -> None:
    """A span that failed says with what."""
    assert "ValueError" == told_of(a_span(error=Failure("ValueError")))["error.type"]


def test_openinference_names() -> None:
    """Kind, model, tokens and total have OpenInference's names; what it does not name keeps its own."""
    said = {"gen_ai.request.model": "m", "gen_ai.response.finish_reasons": ["stop"], "mine": 1}
    expected = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "m",
        "llm.request.model_name": "m",
        "llm.finish_reason": "stop",
        "llm.token_count.prompt": 10,
        "llm.token_count.completion": 5,
        "llm.token_count.total": 15,
        "llm.token_count.prompt_details.cache_read": 4,
        "mine": 1,
    }
    found = told_of(a_span(usage=USED, attributes=said), "openinference")
    assert expected == {name: found.get(name) for name in expected}


def test_openinference_money() -> None:
    """Money is told in numbers; the prompt's share is the sum of its parts."""
    found = told_of(a_span(usage=USED, cost=COST), "openinference")
    assert (0.5, 0.2, 0.3) == (found["llm.cost.total"], found["llm.cost.prompt"], found["llm.cost.completion"])


def test_unpriced_is_not_zero() -> None:
    """Where no price is known nothing is told as money, and the basis says why."""
    found = told_of(a_span(usage=USED, cost=Cost()))
    assert (None, "unpriced") == (found.get("instrument.cost.usd"), found["instrument.cost.basis"])


def test_table_is_complete() -> None:
    """Every count of a usage has a row, and every kind of a model's."""
    assert ({*Usage.__struct_fields__} - {"source"}, True) == ({*TOKENS}, MODEL_KINDS <= KINDS.keys())
