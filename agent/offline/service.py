"""What the server does for each request, without HTTP: a method, a path and a body in, a result out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from . import chat, mind, request, stream, vectors
from .refusal import RefusalError, bad
from .reply import as_items, begun, failed, finished, output_items, within
from .request import Asked
from .shelf import Shelf, Stored


@dataclass(frozen=True)
class Result:
    """A JSON object, or a stream of encoded events."""

    body: Mapping[str, Any] | None = None
    events: Iterable[bytes] | None = None


class Service:
    """The API. Its only state is what was stored."""

    def __init__(self) -> None:
        self.shelf = Shelf()

    def handle(self, method: str, path: str, data: bytes) -> Result:
        """Answer one request. Raises RefusalError."""
        parts = [part for part in path.split("?", 1)[0].strip("/").split("/") if part]
        match method, parts:
            case "GET", ["v1", "models"]:
                return Result(
                    {"object": "list", "data": [described(name) for name in (*request.models, vectors.model)]}
                )
            case "GET", ["v1", "models", name]:
                return Result(model(name))
            case "POST", ["v1", "responses"]:
                return self.create(request.body_of(data))
            case "POST", ["v1", "responses", "input_tokens"]:
                return Result(self.counted(request.body_of(data)))
            case "POST", ["v1", "chat", "completions"]:
                return completed(request.body_of(data))
            case "POST", ["v1", "embeddings"]:
                return Result(vectors.answer(request.body_of(data)))
            case _, ["v1", "responses", response_id, *rest]:
                return Result(self.stored(method, response_id, rest, path))
        raise unknown(method, path)

    def create(self, body: Mapping[str, Any]) -> Result:
        """Make a response: at once, as a stream, or in the background."""
        asked = self.read(body)
        if body.get("stream"):
            return Result(events=self.streamed(asked))
        if body.get("background"):
            return Result(self.postponed(asked))
        return Result(self.answered(asked, begun(asked)))

    def read(self, body: Mapping[str, Any]) -> Asked:
        before = body.get("previous_response_id")
        earlier = self.shelf.earlier(before) if isinstance(before, str) else ()
        return request.read(body, earlier)

    def answered(self, asked: Asked, response: dict[str, Any]) -> dict[str, Any]:
        """Have the mind answer, and keep the response where that is wanted."""
        reply = within(mind.answer(asked), asked.most_tokens)
        output = output_items(reply)
        done = finished(response, reply, output, asked.input_tokens)
        if asked.body.get("store") is not False:
            stored = Stored(done, (*asked.items, *as_items(output)))
            self.shelf.update(stored) if asked.body.get("background") else self.shelf.put(stored)
        return done

    def streamed(self, asked: Asked) -> Iterable[bytes]:
        response = begun(asked)
        done = self.answered(asked, response)
        return map(stream.encoded, stream.events(response, done))

    def postponed(self, asked: Asked) -> dict[str, Any]:
        """Say `queued` now and do the work on a thread."""
        response = begun(asked, "queued")
        self.shelf.put(Stored(response, asked.items))
        threading.Thread(target=self.work, args=(asked, response), daemon=True).start()
        return response

    def work(self, asked: Asked, response: dict[str, Any]) -> None:
        try:
            self.answered(asked, response)
        except Exception as error:  # noqa: BLE001 - the thread has nobody else to tell
            self.shelf.update(Stored(failed(response, f"{type(error).__name__}: {error}"), asked.items))

    def counted(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "object": "response.input_tokens",
            "input_tokens": self.read({"model": request.models[0], **body}).input_tokens,
        }

    def stored(self, method: str, response_id: str, rest: list[str], path: str) -> dict[str, Any]:
        """Retrieve, list the input of, cancel or delete a stored response."""
        actions: dict[tuple[str, tuple[str, ...]], Callable[[str], dict[str, Any]]] = {
            ("GET", ()): lambda given: self.shelf.get(given).response,
            ("GET", ("input_items",)): self.input_items,
            ("POST", ("cancel",)): self.cancelled,
            ("DELETE", ()): self.deleted,
        }
        action = actions.get((method, tuple(rest)))
        if action is None:
            raise unknown(method, path)
        return action(response_id)

    def input_items(self, response_id: str) -> dict[str, Any]:
        stored = self.shelf.get(response_id)
        said = [
            {
                "id": f"msg_{number}",
                "type": "message",
                "status": "completed",
                "role": item.role,
                "content": [{"type": "input_text", "text": item.text}],
            }
            for number, item in enumerate(stored.items)
            if isinstance(item, request.Message) and item.role != "assistant"
        ]
        ends = {"first_id": said[0]["id"] if said else None, "last_id": said[-1]["id"] if said else None}
        return {"object": "list", "data": said, "has_more": False, **ends}

    def cancelled(self, response_id: str) -> dict[str, Any]:
        stored = self.shelf.get(response_id)
        if not stored.response["background"]:
            raise bad("Only responses created with background=true can be cancelled.", "response_id")
        self.shelf.update(Stored({**stored.response, "status": "cancelled"}, stored.items))
        return self.shelf.get(response_id).response

    def deleted(self, response_id: str) -> dict[str, Any]:
        self.shelf.remove(response_id)
        return {"id": response_id, "object": "response", "deleted": True}


def completed(body: Mapping[str, Any]) -> Result:
    """A chat completion, whole or as a stream."""
    asked = chat.read(body)
    reply = within(mind.answer(asked), asked.most_tokens)
    return Result(events=chat.chunks(asked, reply)) if body.get("stream") else Result(chat.completion(asked, reply))


def described(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1_760_000_000, "owned_by": "offline"}


def model(name: str) -> dict[str, Any]:
    if name not in (*request.models, vectors.model):
        raise RefusalError(404, f"The model '{name}' does not exist", param="model", code="model_not_found")
    return described(name)


def unknown(method: str, path: str) -> RefusalError:
    return RefusalError(404, f"Invalid URL ({method} {path})")
