"""The reference agent's run as the engines show it that people already have, read back through their interfaces.

The engines are too big for every run of the tests: `make engines` installs them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from instrument.model import Finding, Span
from instrument.reading import read
from instrument.sinks.otlp.sink import OtlpSink
from tests.engines import mlflow as mlflows
from tests.engines import phoenix as phoenixes
from tests.engines.mlflow import Mlflow
from tests.engines.phoenix import Phoenix
from tests.engines.server import missing, until

CHECKOUT = Path(__file__).parent.parent
ARRIVE_SECONDS = 60.0
AGENT_SECONDS = 120.0

pytestmark = [pytest.mark.timeout(420), pytest.mark.xdist_group("engines")]
needs_phoenix = pytest.mark.skipif(missing(phoenixes.NAME) is not None, reason=missing(phoenixes.NAME) or "")
needs_mlflow = pytest.mark.skipif(missing(mlflows.NAME) is not None, reason=missing(mlflows.NAME) or "")


class Run(NamedTuple):
    """What the agent recorded on disk; `said` is what it printed beside its answer."""

    spans: list[Span]
    findings: list[Finding]
    said: str

    def parents(self) -> dict[str, str | None]:
        return {span.span_id: span.parent_id for span in self.spans}

    def of_kind(self, kind: str) -> list[Span]:
        return [span for span in self.spans if span.kind == kind]


class Seen(NamedTuple):
    """A span as the engine shows it, its attributes by their names there."""

    name: str
    kind: str
    attributes: dict[str, Any]
    events: list[str]


def review(folder: Path, endpoint: str, names: str, **environ: str) -> Run:
    """The reference agent with its embedded model reviews the examples, and sends what it records to the endpoint."""
    for file in (CHECKOUT / "examples" / "review").glob("*.py"):
        (folder / file.name).write_text(file.read_text())
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "INSTRUMENT_", "OTEL_"))
    }
    settings = {
        "PYTHONPATH": str(CHECKOUT),
        "INSTRUMENT_DIR": str(folder / "recorded"),
        "INSTRUMENT_SINKS": "jsonl,otlp",
        "INSTRUMENT_OTLP__ENDPOINT": endpoint,
        "INSTRUMENT_OTLP__NAMES": names,
    }
    done = subprocess.run(
        [sys.executable, "-m", "agent", "review", "."], cwd=folder, env={**kept, **settings, **environ},
        capture_output=True, text=True, timeout=AGENT_SECONDS, check=False,
    )  # fmt: skip
    assert "answered" in done.stdout, done.stderr
    send_what_waits(folder / "recorded", endpoint, environ)
    (trace,) = read(folder / "recorded")
    return Run(list(trace.spans), list(trace.findings), done.stderr)


def send_what_waits(folder: Path, endpoint: str, environ: dict[str, str]) -> None:
    """A server that has just started answers its first request after the agent has ended: as the next process would."""
    sink = OtlpSink(folder, endpoint=endpoint, protocol=environ.get("INSTRUMENT_OTLP__PROTOCOL"), environ=environ)
    until(lambda: not any((folder / "otlp").rglob("*.gz")), ARRIVE_SECONDS, "empty spool")
    sink.close()


# Phoenix


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phoenix]:
    """One server for all tests of this file."""
    with phoenixes.phoenix(tmp_path_factory.mktemp("phoenix")) as found:
        yield found


def seen_in_phoenix(server: Phoenix, project: str, run: Run) -> dict[str, Seen]:
    """By the span's id, as soon as all of them are there."""
    spans = until(
        lambda: len(found := server.spans(project)) >= len(run.spans) and found, ARRIVE_SECONDS, "complete trace"
    )
    return {
        span["context"]["span_id"]: Seen(
            span["name"],
            span["span_kind"],
            {**span["attributes"], "parent": span["parent_id"], "status": span["status_code"]},
            [event["name"] for event in span["events"]],
        )
        for span in spans
    }


@needs_phoenix
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_phoenix_shows_the_run(phoenix: Phoenix, tmp_path: Path, protocol: str) -> None:
    """By OpenInference names: tree, kinds, names, models, tokens, messages; by either protocol."""
    project = f"shop-{protocol[:4]}"
    run = review(
        tmp_path, phoenix.grpc if protocol == "grpc" else phoenix.url, "openinference",
        INSTRUMENT_OTLP__PROTOCOL=protocol, OTEL_RESOURCE_ATTRIBUTES=f"openinference.project.name={project}",
    )  # fmt: skip
    seen = seen_in_phoenix(phoenix, project, run)
    assert run.parents() == {span_id: span.attributes["parent"] for span_id, span in seen.items()}
    kinds = {"agent": "AGENT", "llm": "LLM", "tool": "TOOL", "step": "CHAIN"}
    assert {span.span_id: (span.name, kinds[span.kind]) for span in run.spans} == {
        span_id: (span.name, span.kind) for span_id, span in seen.items()
    }
    for span in run.of_kind("llm"):
        assert span.usage is not None
        told = seen[span.span_id].attributes
        assert (span.attributes["gen_ai.request.model"], span.usage.input, span.usage.output) == (
            told["llm.model_name"],
            told["llm.token_count.prompt"],
            told["llm.token_count.completion"],
        )
        assert span.input["messages"][0]["content"] == told["llm.input_messages.0.message.content"]
        assert told["llm.output_messages.0.message.role"] == "assistant"
    check_findings(run, seen)


@needs_phoenix
def test_phoenix_understands_genai_names(phoenix: Phoenix, tmp_path: Path) -> None:
    """It maps them to its own; only steps have no kind there."""
    environ = {"OTEL_RESOURCE_ATTRIBUTES": "openinference.project.name=shop-genai"}
    run = review(tmp_path, phoenix.url, "1.41", **environ)
    seen = seen_in_phoenix(phoenix, "shop-genai", run)
    kinds = {"agent": "AGENT", "llm": "LLM", "tool": "TOOL", "step": "UNKNOWN"}
    assert {span.span_id: kinds[span.kind] for span in run.spans} == {key: span.kind for key, span in seen.items()}
    for span in run.of_kind("llm"):
        assert span.usage is not None
        told = seen[span.span_id].attributes
        assert (span.usage.input, span.input["messages"][0]["content"]) == (
            told["llm.token_count.prompt"],
            told["llm.input_messages.0.message.content"],
        )


def check_findings(run: Run, seen: dict[str, Seen]) -> None:
    """Every finding is an event of one of its spans; that logs are not taken is said once, if the program saw it."""
    shown = sorted(span_id for span_id, span in seen.items() for name in span.events if name == "instrument.finding")
    assert len(run.findings) == len(shown)
    assert run.said.count("it takes no logs") <= 1
    assert all(any(span_id in finding.span_ids for finding in run.findings) for span_id in shown)
    assert shown


# MLflow


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    """One server for all tests of this file."""
    with mlflows.mlflow(tmp_path_factory.mktemp("mlflow")) as found:
        yield found


def seen_in_mlflow(server: Mlflow, experiment: str, run: Run) -> dict[str, Seen]:
    """By the span's id, as soon as all of them are there."""

    def complete() -> list[dict[str, Any]]:
        spans = [span for trace in server.traces(experiment) for span in server.spans(trace["trace_id"])]
        return spans if len(spans) >= len(run.spans) else []

    return {
        span["span_id"]: Seen(
            span["name"],
            span["attributes"].get("mlflow.spanType", "none"),
            {**span["attributes"], "parent": span["parent_span_id"]},
            [event["name"] for event in span.get("events", [])],
        )
        for span in until(complete, ARRIVE_SECONDS, "complete trace")
    }


@needs_mlflow
@pytest.mark.parametrize(
    ("names", "model_call", "step"), [("1.41", "CHAT_MODEL", "none"), ("openinference", "LLM", "CHAIN")]
)
def test_mlflow_shows_the_run(mlflow: Mlflow, tmp_path: Path, names: str, model_call: str, step: str) -> None:
    """By either names: tree, kinds, models, tokens of every call and of the trace, messages, status."""
    experiment = mlflow.experiment(f"shop by {names}")
    run = review(tmp_path, mlflow.url, names, OTEL_EXPORTER_OTLP_HEADERS=f"x-mlflow-experiment-id={experiment}")
    seen = seen_in_mlflow(mlflow, experiment, run)
    assert run.parents() == {span_id: span.attributes["parent"] for span_id, span in seen.items()}
    kinds = {"agent": "AGENT", "llm": model_call, "tool": "TOOL", "step": step}
    assert {span.span_id: kinds[span.kind] for span in run.spans} == {key: span.kind for key, span in seen.items()}
    for span in run.of_kind("llm"):
        assert span.usage is not None
        told = seen[span.span_id].attributes
        assert (span.attributes["gen_ai.request.model"], span.usage.input, span.usage.output) == (
            told["mlflow.llm.model"],
            told["mlflow.chat.tokenUsage"]["input_tokens"],
            told["mlflow.chat.tokenUsage"]["output_tokens"],
        )
        assert span.input["messages"][0] == told["mlflow.spanInputs"]["messages"][0]
        assert "mlflow.spanOutputs" in told
    (trace,) = mlflow.traces(experiment)
    total = sum(span.usage.input or 0 for span in run.spans if span.usage is not None)
    assert ("OK", total) == (
        trace["state"],
        json.loads(trace["trace_metadata"]["mlflow.trace.tokenUsage"])["input_tokens"],
    )
    check_findings(run, seen)
