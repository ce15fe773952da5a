"""Whatever fails inside the patch of the OpenAI client, its caller sees what the plain client gives."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

import instrument
from instrument.integrations import clients as patch
from instrument.integrations import (
    openai_bodies,
    openai_calls,
    openai_later,
    openai_services,
    openai_stream_usage,
)
from instrument.pieces import chat, joining, responses
from instrument.record import http_bodies, streams
from instrument.record.context import current
from instrument.record.recorder import Recorder
from instrument.record.switch import switch
from instrument.testing import record
from tests.openai_endpoint import Endpoint, as_json, endpoint
from tests.openai_styles import STYLES, answers, chat_with, got, run, seen, seen_error

MODULES = (
    patch, openai_calls, openai_stream_usage, openai_services, openai_bodies, openai_later, streams, http_bodies, chat,
    responses, joining,
)  # fmt: skip
ENTRIES = frozenset({
    "Library.__init__", "Library.patch", "Library._request", "Library._arequest", "Library._copied", "Library._unwatch",
    "Library._wrap", "Library._wrap_copies", "_unwrap",
    "_family", "Patched.__init__", "Patched.undo", "Patched.__enter__", "Patched.__exit__", "_telling",
    "_StandIn.__getattr__", "_StandIn.__del__", "_SyncStandIn.__iter__", "_SyncStandIn.close", "_AsyncStandIn.__aiter__",
    "_AsyncStandIn.aclose", "Watched.__iter__", "Watched.__aiter__", "Watched.__next__", "Watched.__anext__",
    "Watched.__getattr__", "Watched.__del__", "Watched.__init__", "_StandIn.__init__", "Exchange.__init__",
    "Exchange.leave", "is_ours",
})  # fmt: skip
"""What the client itself calls (each goes through `safely`), what only patching and undoing calls, what only assigns or
sets a variable, and what takes back our own addition to a stream."""


async def refused(client: Any) -> Any:
    """A call that the endpoint refuses."""
    return await chat_with(model="bad")(client)


async def background(client: Any) -> Any:
    """A response that is queued and fetched, whole and as a stream."""
    queued = await got(client.responses.create(model="gpt-4.1-mini", input="x", background=True))
    return queued, await got(client.responses.retrieve(queued.id))


async def configured(client: Any) -> Any:
    """A client made of another one."""
    return await chat_with()(client.with_options(timeout=5))


CALLS = {
    **{name: STYLES[name] for name in (
        "chat stream", "chat stream closed early", "chat raw", "chat streaming stream iter_lines", "chat streaming json",
        "responses stream",
    )},
    "refused": refused, "background": background, "with_options": configured,
}  # fmt: skip


def ours() -> Iterator[tuple[Any, str]]:
    """Every function and method of ours, with what holds it: a function also where another module has imported it."""
    homes = {module.__name__ for module in MODULES}
    for module in MODULES:
        for name, value in vars(module).items():
            if inspect.isfunction(value) and value.__module__ in homes:
                yield module, name
            elif inspect.isclass(value) and value.__module__ == module.__name__:
                yield from ((value, inner) for inner, method in vars(value).items() if inspect.isfunction(method))


PARTS = {
    f"{holder.__name__.rpartition('.')[2]}.{name}": (holder, name)
    for holder, name in ours()
    if getattr(holder, name).__qualname__ not in ENTRIES and "Protocol" not in str(getattr(holder, "__mro__", ""))
}


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    with endpoint() as server:
        server.answer = lambda path, body: (
            as_json({"error": {"message": "bad"}}, 400) if body.get("model") == "bad" else answers(path, body)
        )
        yield server


async def all_calls(client: Any) -> Any:
    """Everything that is seen of all of them."""
    found = []
    for style in CALLS.values():
        try:
            found.append(seen(await style(client)))
        except Exception as error:
            found.append(seen_error(error))
    return [repr(one) for one in found]


def everything(server: Endpoint) -> list[Any]:
    """What the callers of both clients see."""
    return [run(all_calls, server.base_url, asynchronous) for asynchronous in (False, True)]


@pytest.fixture(scope="module")
def plain(server: Endpoint) -> list[Any]:
    """What the plain client gives."""
    return everything(server)


def failing(*args: Any, **kwargs: Any) -> Any:
    raise ValueError("planted")


@pytest.mark.parametrize("part", PARTS)
def test_fault_in_the_patch_stays_there(
    part: str, server: Endpoint, plain: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any function of the patch may raise, and every call gives what the plain client gives; nothing stays current."""
    with record(), instrument.patch_openai():
        monkeypatch.setattr(*PARTS[part], failing)
        assert (plain, None) == (everything(server), current.get())
        monkeypatch.undo()


RECORDING = ["take_over", "read_answer", "value", "arguments", "clock", "take", "opened", "put", "fault", "ask_guards"]


@pytest.mark.parametrize("part", RECORDING)
def test_fault_in_the_recorder_stays_there(
    part: str, server: Endpoint, plain: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any part of the recorder may raise as well."""
    with record(), instrument.patch_openai(), instrument.budget(calls=1000):
        assert isinstance(switch.recorder, Recorder)
        monkeypatch.setattr(switch.recorder, part, failing)
        seen = everything(server)
        monkeypatch.undo()
    assert plain == seen
