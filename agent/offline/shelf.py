"""Stored responses: a bounded number of them, for `previous_response_id`, retrieval and background work."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from .refusal import RefusalError
from .request import Item

most = 1000


@dataclass(frozen=True)
class Stored:
    """A response, and the conversation that a later request continues from."""

    response: dict[str, Any]
    items: tuple[Item, ...]


class Shelf:
    """The newest `most` responses, safe to use from several threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.kept: OrderedDict[str, Stored] = OrderedDict()

    def put(self, stored: Stored) -> None:
        """Keep a response, or its newer state; the oldest leaves when there are too many."""
        with self.lock:
            self.kept[stored.response["id"]] = stored
            while len(self.kept) > most:
                self.kept.popitem(last=False)

    def update(self, stored: Stored) -> None:
        """Its newer state, unless it was cancelled or deleted in the meantime."""
        with self.lock:
            before = self.kept.get(stored.response["id"])
            if before is not None and before.response["status"] in ("queued", "in_progress"):
                self.kept[stored.response["id"]] = stored

    def get(self, response_id: str) -> Stored:
        """A response. Raises RefusalError (404)."""
        with self.lock:
            stored = self.kept.get(response_id)
        if stored is None:
            raise RefusalError(404, f"Response with id '{response_id}' not found.")
        return stored

    def earlier(self, response_id: str) -> tuple[Item, ...]:
        """The conversation up to and with a response that is to be continued. Raises RefusalError (400)."""
        with self.lock:
            stored = self.kept.get(response_id)
        if stored is None:
            raise RefusalError(
                400,
                f"Previous response with id '{response_id}' not found.",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        return stored.items

    def remove(self, response_id: str) -> None:
        """Forget a response. Raises RefusalError (404)."""
        self.get(response_id)
        with self.lock:
            self.kept.pop(response_id, None)
