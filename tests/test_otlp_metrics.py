"""The metrics that the otlp sink adds up: numbers, buckets, dimensions, by the editions of the conventions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("opentelemetry.exporter.otlp.proto.common", reason="needs the extra otlp")

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from instrument.model import Failure, Span
from instrument.sinks.otlp.measures import Measures
from instrument.sinks.otlp.series import MOST_SERIES, OVERFLOW, Spread
from tests.recorded import MS, call, span


def measured(*spans: Span, names: str = "1.41", temporality: str = "") -> dict[str, Any]:
    """The metrics of some spans by name."""
    measures = Measures(Resource({}), names, temporality)
    for one in spans:
        measures.add(one)
    return parsed(measures.request())


def parsed(request: bytes | None) -> dict[str, Any]:
    assert request is not None
    found = ExportMetricsServiceRequest.FromString(request)
    return {one.name: one for one in found.resource_metrics[0].scope_metrics[0].metrics}


def about(point: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in point.attributes}


def test_durations_by_kind() -> None:
    """Of model calls, tools, agents and workflows, in seconds, each by its name."""
    found = measured(call(1), *(span(n, kind=kind, name=kind) for n, kind in enumerate(("tool", "agent", "workflow"), 2)))  # fmt: skip
    names = {"gen_ai.client.operation.duration", "gen_ai.execute_tool.duration", "gen_ai.invoke_agent.duration", "gen_ai.invoke_workflow.duration"}  # fmt: skip
    sums = {round(found[name].histogram.data_points[0].sum, 6) for name in names}
    (tool,) = found["gen_ai.execute_tool.duration"].histogram.data_points
    assert ({0.005}, {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "tool"}) == (sums, about(tool))


def test_tokens_by_type() -> None:
    """Input and output apart, in the buckets of the conventions."""
    points = measured(call(1), call(2))["gen_ai.client.token.usage"].histogram.data_points
    told = {about(point)["gen_ai.token.type"]: (point.count, point.sum, point.explicit_bounds[1]) for point in points}
    assert {"input": (2, 200.0, 4.0), "output": (2, 20.0, 4.0)} == told


def test_the_newest_edition_counts_tokens() -> None:
    """Sums by kind, with a modality; the older names are not there."""
    found = measured(call(1), call(2), names="latest")
    (point,) = found["gen_ai.client.inference.usage.input_tokens"].sum.data_points
    assert (200, "unknown", False) == (
        point.as_int or point.as_double,
        about(point)["gen_ai.token.modality"],
        "gen_ai.client.token.usage" in found,
    )


def test_money_is_a_counter() -> None:
    """In US dollars; calls without a price do not count."""
    (point,) = measured(call(1), call(2), call(3, usd=None))["instrument.cost"].sum.data_points
    assert 0.002 == pytest.approx(point.as_double)


def test_a_refused_call_has_no_part_in_the_durations() -> None:
    """It did not take place: a histogram of calls would be drawn to zero by it. A counter of its own has it."""
    refused = span(2, kind="tool", name="read", status="refused", error=Failure("BudgetExceeded"), duration_ns=0)
    found = measured(span(1, kind="tool", name="read"), refused)
    (took,), (counted,) = found["gen_ai.execute_tool.duration"].histogram.data_points, found["instrument.refused"].sum.data_points  # fmt: skip
    assert (1, 1.0, "BudgetExceeded") == (took.count, counted.as_int or counted.as_double, about(counted)["error.type"])


def test_failures_have_their_type() -> None:
    """As a dimension of their own."""
    failed = span(1, kind="tool", name="read", status="error", error=Failure("OSError"))
    (point,) = measured(failed)["gen_ai.execute_tool.duration"].histogram.data_points
    assert "OSError" == about(point)["error.type"]


@pytest.mark.parametrize(("temporality", "second"), [("", 2), ("cumulative", 2), ("delta", 1)])
def test_what_the_second_request_counts(temporality: str, second: int) -> None:
    """All since the start, or all since the first request."""
    measures = Measures(Resource({}), "1.41", temporality)
    counts = []
    for number in (1, 2):
        measures.add(call(number))
        (point,) = parsed(measures.request())["gen_ai.client.operation.duration"].histogram.data_points
        counts.append(point.count)
    assert [1, second] == counts


def test_no_number_ends_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the clock is set back while the program runs its numbers go on."""
    measures = Measures(Resource({}), "1.41")
    measures.add(call(1))
    monkeypatch.setattr("time.time_ns", lambda: 0)
    (point,) = parsed(measures.request())["gen_ai.client.operation.duration"].histogram.data_points
    assert point.start_time_unix_nano <= point.time_unix_nano


@given(st.lists(st.floats(0, 200, allow_nan=False), min_size=1, max_size=30))
def test_buckets_are_those_of_the_sdk(values: list[float]) -> None:
    """For all values: the same counts as the SDK's own histogram with these bounds."""
    bounds = [0.01 * 2**n for n in range(14)]
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("x")
    theirs, ours = meter.create_histogram("h", explicit_bucket_boundaries_advisory=bounds), Spread("h", "s", bounds)
    for value in values:
        theirs.record(value)
        ours.of(()).add(value)
    data: Any = reader.get_metrics_data()
    (expected,) = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    (found,) = ours.told(0, 1, None).data.data_points  # type: ignore[arg-type]
    assert (list(expected.bucket_counts), expected.count, expected.min, expected.max) == (
        found.bucket_counts,
        found.count,
        found.min,
        found.max,
    )


def test_series_are_bounded() -> None:
    """Names without end do not fill the memory: what comes late is counted together."""
    spread = Spread("h", "s", [1.0])
    for number in range(MOST_SERIES + 5):
        spread.of((("name", str(number)),)).add(0.5)
    points: Any = spread.told(0, MS, None).data.data_points  # type: ignore[arg-type]
    assert (MOST_SERIES + 1, 5, dict(OVERFLOW)) == (len(points), points[-1].count, points[-1].attributes)
