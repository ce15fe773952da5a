"""A model's endpoint for tests: a real server on loopback that speaks the Responses API and answers by a script."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import openai

from agent.model import Endpoint
from tests import loopback

Item = dict[str, Any]
SHOP = "def mean(prices):\n    return sum(prices) / len(prices)\n"
"""A file with one fault: what the tests of the agent have it review."""


@dataclass(frozen=True)
class Raw:
    """An answer byte for byte, with status and headers."""

    status: int = 200
    body: bytes = b""
    type: str = "application/json"
    length: int | None = None


def call(name: str, call_id: str = "call_1", **arguments: Any) -> Item:
    """A function call as an output item."""
    return raw_call(name, json.dumps(arguments), call_id)


def raw_call(name: str, arguments: str, call_id: str = "call_1") -> Item:
    """A function call with any text as its arguments."""
    return {
        "type": "function_call",
        "id": f"fc_{call_id}",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": "completed",
    }


def reasoning(encrypted: str | None) -> Item:
    """A reasoning item."""
    return {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": encrypted}


def says(answer: Any) -> Item:
    """A message with a text, or with anything else as JSON."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}


def verdict(*findings: Item, summary: str = "Looked at everything.") -> Item:
    """A finished review as an output item."""
    return says({"summary": summary, "findings": list(findings)})


def finding(path: str = "shop.py", line: int = 2, **more: Any) -> Item:
    """A finding of a finished review."""
    told = {"severity": "error", "rule": "division", "message": "divides by zero", "suggestion": "check first"}
    return {"path": path, "line": line, **told, **more}


def fault(line: int = 2, **more: Any) -> Item:
    """A finding of the analyst."""
    return {**{k: v for k, v in finding(line=line).items() if k != "path"}, "patch": None, "test": None, **more}


Think = Sequence[Sequence[Item] | Item | Raw]


@dataclass
class Script:
    """What is answered: to each kind of question its own answers one after the other, the last one again and again."""

    think: Think
    plan: Think = (says({"steps": ["Analyse the file", "Answer"]}),)
    reflection: Think = (says({"steps": []}),)
    summary: Think = (says({"summary": "what went before"}),)
    analysis: Think = (says({"findings": [fault()]}),)
    requests: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, request: dict[str, Any]) -> Sequence[Item] | Item | Raw:
        """The next answer to a request."""
        self.requests.append(request)
        kind = kind_of(request)
        answers = self.think if kind == "review" else getattr(self, kind)
        return answers[min(len(self.asked(kind)), len(answers)) - 1]

    def asked(self, kind: str) -> list[dict[str, Any]]:
        """The requests of one kind so far: plan, review, reflection, summary or analysis."""
        return [request for request in self.requests if kind_of(request) == kind]


def kind_of(request: Mapping[str, Any]) -> str:
    """What a request asks for: the name of the form of its answer."""
    return str(request["text"]["format"]["name"])


def response(model: str, output: Sequence[Item]) -> bytes:
    """A whole response of the API."""
    told: Item = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "completed",
        "model": model,
        "output": list(output),
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 10,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 110,
        },
    }
    return json.dumps(told).encode()


@contextmanager
def serving(script: Script) -> Iterator[str]:
    """The base URL of a server that answers by the script."""

    class Handler(loopback.Handler):
        def do_POST(self) -> None:
            request = json.loads(self.body())
            answer = script.answer(request)
            if not isinstance(answer, Raw):
                items = [answer] if isinstance(answer, dict) else answer
                answer = Raw(body=response(request["model"], items))
            headers = {"content-type": answer.type, "retry-after-ms": "1"}
            if answer.length is not None:
                headers["content-length"] = str(answer.length)
            self.reply(answer.status, answer.body, headers)
            self.close_connection = answer.length is not None

    with loopback.serving(Handler) as server:
        yield f"http://127.0.0.1:{server.server_port}/v1"


@contextmanager
def endpoint(script: Script, model: str = "gpt-4.1", retries: int = 2) -> Iterator[Endpoint]:
    """An endpoint for the agent that answers by the script."""
    with (
        serving(script) as url,
        openai.DefaultHttpxClient(trust_env=False, verify=False) as http,  # certificates take long to load
        openai.OpenAI(base_url=url, api_key="test", max_retries=retries, http_client=http) as client,
    ):
        yield Endpoint(client, model, f"{model}-mini")
