"""`patch_openai()`: every call of the OpenAI client becomes one llm span, by whatever method and wherever it goes."""

from __future__ import annotations

from typing import Any

from instrument.integrations.clients import Library, Patched

_library = Library("patch_openai", "OpenAI()")


def patch_openai(client: Any = None) -> Patched:
    """Record the calls of one OpenAI client (and of what its `with_options` gives), or of all.

    Calling it again changes nothing more; each handle undoes its own call. Raises `ImportError` when openai is not
    installed, `TypeError` for what is no client of it.
    """
    from openai._base_client import AsyncAPIClient, SyncAPIClient

    return _library.patch(SyncAPIClient, AsyncAPIClient, client)
