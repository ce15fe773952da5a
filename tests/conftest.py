"""What holds for every test, and what many share.

`make test` tries the same examples each time, HYPOTHESIS_PROFILE=explore looks for new.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from hypothesis import settings

from instrument.testing import Recording
from tests.openai_endpoint import Endpoint, endpoint
from tests.openai_styles import client_of
from tests.programs import NOT_INHERITED

pytest_plugins = ["tests.browser"]

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=50)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell that starts us in the background, without a Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def recording(recorded: Recording) -> Recording:
    """What the test's decorated code records, by the test kit's own fixture."""
    return recorded


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the working directory, and nothing that is set for us or for the terminal."""
    for name in [name for name in os.environ if name.startswith(NOT_INHERITED)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def patient_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The otlp sink takes its time at its end: whether a busy machine sends all within a second is not what is tested."""
    for name in ("courier.CLOSE_SECONDS", "sink.LOAD_SECONDS", "sink.FLUSH_SECONDS"):
        monkeypatch.setattr(f"instrument.sinks.otlp.{name}", 20.0)
    monkeypatch.setattr("instrument.sinks.otlp.courier.Courier.close.__defaults__", (20.0,))


@pytest.fixture
def server() -> Iterator[Endpoint]:
    """An endpoint on loopback that speaks OpenAI's language."""
    with endpoint() as server:
        yield server


@pytest.fixture
def client(server: Endpoint) -> Iterator[openai.OpenAI]:
    """The real client, of that endpoint."""
    with client_of(server.base_url) as client:
        yield client
