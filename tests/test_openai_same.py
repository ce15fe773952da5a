"""Every style of calling the OpenAI client gives its caller the very same with `patch_openai` as without."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import instrument
from instrument.testing import record
from tests.openai_endpoint import Endpoint, endpoint
from tests.openai_styles import STYLES, UNRECORDED, answers, run

BOTH = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    with endpoint() as server:
        server.answer = answers
        yield server


@BOTH
@pytest.mark.parametrize("style", STYLES)
def test_caller_sees_the_same(style: str, asynchronous: bool, server: Endpoint) -> None:
    """Types, values, the fields that were set, headers and exceptions are those of the plain client."""
    plain = run(STYLES[style], server.base_url, asynchronous)
    with record() as recording, instrument.patch_openai():
        patched = run(STYLES[style], server.base_url, asynchronous)
    assert (plain, style not in UNRECORDED, {}) == (patched, len(recording.spans) == 1, recording.flush().lost)
