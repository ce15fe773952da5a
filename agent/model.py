"""The way to the model: OpenAI, any endpoint that speaks its Responses API, or without a key the embedded one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import openai
from openai import OpenAI
from openai.types.responses import Response, ResponseFunctionToolCall

from agent.answers import Answer, excerpt
from agent.errors import InputError, ModelError
from agent.memory import Item

REVIEWER, ANALYST = "gpt-5", "gpt-5-mini"
"""The models that are asked where nothing else is said: the second is cheaper and sees one file at a time."""

TIMEOUT, RETRIES = 180, 2
"""Seconds one request may take, and how often the client tries again after 429, 500 and the like."""

_REASONS = re.compile(r"(o\d|gpt-[5-9](?!.*chat)|codex)")


@dataclass(frozen=True)
class Endpoint:
    """A client, the two models behind it, the `prices` to be set for them and a `notice` for people."""

    client: OpenAI
    reviewer: str
    analyst: str
    notice: str = ""
    prices: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def ask(
        self, model: str, instructions: str, messages: Sequence[Item], answer: Answer[Any], tools: Sequence[Any] = ()
    ) -> Response:
        """One question to a model; it answers in the given form or calls some of the tools.

        Nothing is kept at the other end: the whole conversation is sent each time.
        """
        create: Any = self.client.responses.create  # its parameter types are far narrower than the plain JSON sent here
        try:
            response = create(
                model=model,
                instructions=instructions,
                input=list(messages),
                text={"format": answer.format},
                tools=list(tools) or openai.omit,
                store=False,
                include=["reasoning.encrypted_content"] if _REASONS.match(model) else openai.omit,
            )
        except openai.APIError as error:
            raise ModelError(self.sentence(error)) from error
        except json.JSONDecodeError as error:
            raise ModelError(f"{self.place} answered with something that is no JSON: {error}") from error
        except (UnicodeEncodeError, TypeError) as error:
            raise ModelError(f"{self.place} cannot be asked: {error}") from error
        return self.checked(response)

    @property
    def place(self) -> str:
        """The endpoint for people, without what may be secret in its address."""
        url = self.client.base_url
        return f"The model's endpoint {url.copy_with(username=None, password=None, query=None)}"

    def sentence(self, error: openai.APIError) -> str:
        """What went wrong, in one sentence."""
        if isinstance(error, openai.APITimeoutError):
            return f"{self.place} gave no answer in {self.client.max_retries + 1} × {self.client.timeout} seconds"
        if isinstance(error, openai.APIConnectionError):
            return f"{self.place} cannot be reached: {error.__cause__ or error}"
        if isinstance(error, openai.APIStatusError):
            return f"{self.place} answered {error.status_code}: {complaint(error)}"
        return f"{self.place} answered with something unusable: {error.message}"

    def checked(self, response: object) -> Response:
        """The response when it has the shape of one; some servers send web pages and call them success."""
        if not isinstance(response, Response) or not well_formed(response):
            shown = response.to_json(indent=None, warnings=False) if isinstance(response, Response) else str(response)
            raise ModelError(f"{self.place} answered with something that is no response: {excerpt(shown)}")
        if response.status == "failed" or response.error is not None:
            why = response.error.message if response.error else "it does not say why"
            raise ModelError(f"{self.place} could not answer: {why}")
        return response


@contextmanager
def connect(name: str | None = None) -> Iterator[Endpoint]:
    """The endpoint to use: OpenAI's or `OPENAI_BASE_URL` with a key in `OPENAI_API_KEY`, else the embedded one.

    `name` is the reviewing model, or two names with a comma between: the reviewing one and the cheaper analyst.
    """
    if os.environ.get("OPENAI_API_KEY", "").strip():
        with online_client() as client:
            yield Endpoint(client, *online_models(name))
    else:
        with embedded(name) as endpoint:
            yield endpoint


def online_client() -> OpenAI:
    """A client set up by the environment: `OPENAI_API_KEY`, `OPENAI_BASE_URL` and its like."""
    try:
        return OpenAI(timeout=TIMEOUT, max_retries=RETRIES)
    except Exception as error:  # an address or key can be wrong in many ways
        raise InputError(f"OPENAI_BASE_URL, or another OPENAI_… variable, cannot be used: {error}") from error


def online_models(name: str | None) -> tuple[str, str]:
    """Reviewer and analyst; at an endpoint of one's own the one model that was named is the only one known."""
    reviewer, _, analyst = (name or REVIEWER).partition(",")
    own = bool(os.environ.get("OPENAI_BASE_URL"))
    return reviewer.strip(), analyst.strip() or (reviewer.strip() if own and name else ANALYST)


@contextmanager
def embedded(name: str | None) -> Iterator[Endpoint]:
    """The embedded model, which reviews by static analysis: a server on loopback for as long as it is needed."""
    from agent.offline import serve

    with serve() as served:
        reviewer, analyst = served.models
        if name not in (None, reviewer):
            raise InputError(f"--model {name} needs OPENAI_API_KEY; without it the only model is {reviewer}")
        # a proxy from the environment must not be asked for what lies on loopback
        with (
            openai.DefaultHttpxClient(trust_env=False) as http,
            OpenAI(
                base_url=served.base_url, api_key="offline", timeout=TIMEOUT, max_retries=RETRIES, http_client=http
            ) as client,
        ):
            free = {"input": 0.0, "output": 0.0}
            yield Endpoint(client, reviewer, analyst, offline_notice(), {reviewer: free, analyst: free})


def offline_notice() -> str:
    """Why the embedded model is used."""
    ignored = " (OPENAI_BASE_URL is not used without it)" if os.environ.get("OPENAI_BASE_URL") else ""
    return f"OPENAI_API_KEY is not set{ignored}: the embedded offline model reviews by static analysis, free of charge."


def complaint(error: openai.APIStatusError) -> str:
    """What the endpoint says about a refused request."""
    said = error.body.get("message") if isinstance(error.body, dict) else None
    if said:
        return " ".join(str(said).split())[:500]
    return excerpt(error.response.text) if error.response.text.strip() else "nothing more"


def well_formed(response: Response) -> bool:
    """Whether the response has the output that its type promises; the client takes any JSON."""
    try:
        calls = all(call.name and call.call_id and isinstance(call.arguments, str) for call in function_calls(response))
        return calls and isinstance(text_of(response), str)
    except (AttributeError, TypeError):
        return False


def function_calls(response: Response) -> list[ResponseFunctionToolCall]:
    """The calls that the model makes, in its order."""
    return [item for item in response.output if item.type == "function_call"]


def text_of(response: Response) -> str:
    """What the model says, a refusal included."""
    parts = [part for item in response.output if item.type == "message" for part in item.content]
    return "".join(part.refusal if part.type == "refusal" else part.text for part in parts)


def said(response: Response) -> tuple[Item, ...]:
    """What the model said as input items for the next request.

    Ids are left out, as nothing is kept under them. Reasoning can be sent back only in its encrypted form.
    """
    items: list[Item] = []
    for item in response.output:
        if item.type == "function_call":
            items.append({"type": item.type, "call_id": item.call_id, "name": item.name, "arguments": item.arguments})
        elif item.type == "reasoning" and item.encrypted_content:
            items.append({"type": item.type, "summary": [], "encrypted_content": item.encrypted_content})
    text = text_of(response)
    return (*items, {"role": "assistant", "content": text}) if text else tuple(items)


def call_output(call: ResponseFunctionToolCall, text: str) -> Item:
    """The answer to a call as an input item."""
    return {"type": "function_call_output", "call_id": call.call_id, "output": text}
