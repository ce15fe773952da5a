"""A real MLflow tracking server on loopback, with a store of its own in a temporary folder."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.engines.server import FOLDER, asked, running
from tests.loopback import free_port

NAME = "mlflow"


class Mlflow(NamedTuple):
    """The address of a server, which is also that of OTLP over HTTP."""

    url: str

    def experiment(self, name: str) -> str:
        """The id of a new experiment, which the header `x-mlflow-experiment-id` names."""
        return str(asked(f"{self.url}/api/2.0/mlflow/experiments/create", {"name": name})["experiment_id"])

    def traces(self, experiment: str) -> list[dict[str, Any]]:
        """What is said of the traces of an experiment."""
        places = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}]
        answer = asked(f"{self.url}/api/3.0/mlflow/traces/search", {"locations": places})
        found: list[dict[str, Any]] = answer.get("traces", [])
        return found

    def spans(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans of a trace, as the page of MLflow gets them; ids in hexadecimal digits, attributes by name."""
        answer = asked(f"{self.url}/api/3.0/mlflow/traces/get?trace_id={trace_id}")
        return [
            {
                **span,
                "span_id": _digits(span["span_id"]),
                "parent_span_id": _digits(span.get("parent_span_id", "")) or None,
                "attributes": _named(span["attributes"]),
            }
            for span in answer["trace"]["spans"]
        ]


def _digits(text: str) -> str:
    return b64decode(text).hex()


def _named(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: _plain(pair.get("value", {})) for pair in pairs}


def _plain(value: dict[str, Any]) -> Any:
    """A value of the protocol's JSON."""
    match value:
        case {"kvlist_value": inner}:
            return _named(inner.get("values", []))
        case {"array_value": inner}:
            return [_plain(one) for one in inner.get("values", [])]
        case {"int_value": number}:
            return int(number)
    return next(iter(value.values()), None)


@contextmanager
def mlflow(folder: Path) -> Iterator[Mlflow]:
    """A running server."""
    with free_port() as port:
        url = f"http://127.0.0.1:{port}"
        command = [
            str(FOLDER / NAME / "bin" / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--default-artifact-root", str(folder / "artifacts"),
        ]  # fmt: skip
        environ = {"PATH": f"{FOLDER / NAME / 'bin'}:/usr/bin:/bin", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with running(command, folder, environ, f"{url}/health"):
            yield Mlflow(url)
