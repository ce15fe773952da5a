"""Libraries that a thread of ours loads and others take for loaded as soon as their import has begun.

The price list imports httpx2, on a thread of ours while the first model answers. Versions 2 of OpenAI's client ask
`sys.modules` for httpx2 at every answer and would find a module that has nothing in it yet: the user's call would fail.
"""

from __future__ import annotations

import importlib
from contextlib import suppress


def load_httpx2(looks_for_it: object) -> None:
    """Load it where the client is imported, before anybody can make a call."""
    with suppress(Exception):
        importlib.import_module("httpx2")
