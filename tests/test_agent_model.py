"""Rules of `agent.model`, over real HTTP on loopback."""

from __future__ import annotations

import socket

import openai
import pytest

from agent.answers import REVIEW
from agent.errors import InputError, ModelError
from agent.memory import message
from agent.model import Endpoint, connect, function_calls, online_models, said, text_of
from tests.agent_endpoint import Raw, Script, call, endpoint, reasoning, says, serving, verdict
from tests.loopback import free_port


def asked(script: Script, model: str = "gpt-4.1", retries: int = 2) -> openai.types.responses.Response:
    """The response to one question."""
    with endpoint(script, model, retries) as there:
        return there.ask(there.reviewer, "Review.", [message("hello")], REVIEW)


def test_nothing_is_kept_at_the_other_end() -> None:
    """Requests are not stored, and carry instructions, input and the strict form of the answer."""
    script = Script(think=[verdict()])
    asked(script)
    request = script.requests[0]
    assert (False, "Review.", [message("hello")]) == (request["store"], request["instructions"], request["input"])
    assert {"format": REVIEW.format} == request["text"]


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("gpt-4.1", None),
        ("gpt-5-chat-latest", None),
        ("gpt-5", ["reasoning.encrypted_content"]),
        ("o3", ["reasoning.encrypted_content"]),
    ],
)
def test_reasoning_is_asked_for_where_there_is_any(model: str, wanted: object) -> None:
    """Models that do not reason answer 400 when asked for their reasoning."""
    script = Script(think=[verdict()])
    asked(script, model)
    assert wanted == script.requests[0].get("include")


def test_what_was_said_goes_back_without_ids() -> None:
    """Calls and text go back as plain items; reasoning only in the encrypted form, as nothing is stored to refer to."""
    response = asked(Script(think=[[reasoning(None), reasoning("sealed"), call("f", "c1", x=1), says("hm")]]))
    expected = (
        {"type": "reasoning", "summary": [], "encrypted_content": "sealed"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"x": 1}'},
        {"role": "assistant", "content": "hm"},
    )
    assert expected == said(response)


def test_calls_come_in_the_models_order() -> None:
    """Parallel calls are handled as the model listed them."""
    response = asked(Script(think=[[call("b", "1"), call("a", "2")]]))
    assert ["b", "a"] == [each.name for each in function_calls(response)]


def test_a_refusal_is_text() -> None:
    """What the model refuses with can be shown."""
    refusal = {**says(""), "content": [{"type": "refusal", "refusal": "I will not."}]}
    assert "I will not." == text_of(asked(Script(think=[refusal])))


def test_the_client_tries_again_after_500() -> None:
    """A failure of the moment is not seen."""
    script = Script(think=[Raw(500, b"{}"), Raw(429, b"{}"), verdict(summary="fine")])
    assert "fine" in text_of(asked(script))


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (Raw(500, b'{"error": {"message": "out of order"}}'), "answered 500: out of order"),
        (Raw(429, b'{"error": {"message": "too many requests"}}'), "answered 429: too many requests"),
        (Raw(401, b'{"error": {"message": "no such key"}}'), "answered 401: no such key"),
        (Raw(404, b"<html>not here</html>", "text/html"), "answered 404: '<html>not here</html>'"),
        (Raw(503, b""), "answered 503: nothing more"),
        (Raw(400, b'{"error": {"message": "first\\nsecond"}}'), "answered 400: first second"),
        (Raw(200, b"<html>hello</html>", "text/html"), "is no response: '<html>hello</html>'"),
        (Raw(200, b"{not json"), "no JSON"),
        (Raw(200, b"[1, 2]"), "no response"),
        (Raw(200, b"null"), "no response"),
        (Raw(200, b'{"id": 3}'), "no response"),
        (Raw(200, b'{"output": 3}'), "no response"),
        (Raw(200, b'{"output": ["x"]}'), "no response"),
        (Raw(200, b'{"output": [{"type": "message"}]}'), "no response"),
        (Raw(200, b'{"output": [{"type": "function_call"}]}'), "no response"),
        (Raw(200, b'{"output": [], "error": {"message": "overheated"}}'), "could not answer: overheated"),
        (Raw(200, b'{"id"', length=100), "cannot be reached"),
    ],
)
def test_nonsense_is_one_clear_sentence(answer: Raw, sentence: str) -> None:
    """Whatever an endpoint answers that is no response, the error is one line, names it and says what came."""
    with pytest.raises(ModelError, match=r"^The model's endpoint http://127\.0\.0\.1:\d+/v1/ ") as caught:
        asked(Script(think=[answer]), retries=0)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_endpoint_that_is_down_is_one_clear_sentence() -> None:
    """A refused connection names the address; a user name and password in it are not shown."""
    with free_port() as port:
        url = f"http://user:pass@127.0.0.1:{port}/v1"
        with openai.OpenAI(base_url=url, api_key="test", max_retries=0) as client, pytest.raises(ModelError) as caught:
            Endpoint(client, "a", "b").ask("a", "", [], REVIEW)
    assert f"The model's endpoint http://127.0.0.1:{port}/v1/ cannot be reached" in str(caught.value)


def test_an_endpoint_that_never_answers_is_one_clear_sentence() -> None:
    """It says how long was waited in all: each try has its own time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with (
            openai.OpenAI(base_url=url, api_key="test", max_retries=0, timeout=0.05) as client,
            pytest.raises(ModelError, match=r"gave no answer in 1 × 0\.05 seconds$"),
        ):
            Endpoint(client, "a", "b").ask("a", "", [], REVIEW)


@pytest.mark.parametrize(
    ("name", "base", "expected"),
    [
        (None, None, ("gpt-5", "gpt-5-mini")),
        ("gpt-4.1", None, ("gpt-4.1", "gpt-5-mini")),
        ("gpt-4.1,gpt-4.1-nano", None, ("gpt-4.1", "gpt-4.1-nano")),
        ("llama", "http://127.0.0.1:1/v1", ("llama", "llama")),
        ("llama, small", "http://127.0.0.1:1/v1", ("llama", "small")),
    ],
)
def test_the_two_models(
    name: str | None, base: str | None, expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One name is the reviewer's; at an endpoint of one's own it is the analyst's too, unless a second is given."""
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    if base:
        monkeypatch.setenv("OPENAI_BASE_URL", base)
    assert expected == online_models(name)


def test_an_address_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A base URL that cannot be read is bad input, in one sentence."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://[::1")
    with pytest.raises(InputError, match="OPENAI_BASE_URL"), connect():
        pass


def test_a_key_and_a_base_url_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `OPENAI_API_KEY` the endpoint in `OPENAI_BASE_URL` is asked."""
    script = Script(think=[verdict()])
    with serving(script) as url:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        with connect("llama") as there:
            there.ask(there.reviewer, "", [message("hello")], REVIEW)
    assert "llama" == script.requests[0]["model"]
