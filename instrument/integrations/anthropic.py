"""`patch_anthropic()`: every message of the Anthropic client becomes one llm span, as `patch_openai` does it."""

from __future__ import annotations

from typing import Any

from instrument.integrations.clients import Library, Patched

_library = Library("patch_anthropic", "Anthropic()")


def patch_anthropic(client: Any = None) -> Patched:
    """Record the calls of one Anthropic client (and of what its `with_options` gives), or of all.

    Calling it again changes nothing more; each handle undoes its own call. Raises `ImportError` when anthropic is not
    installed, `TypeError` for what is no client of it.
    """
    from anthropic._base_client import AsyncAPIClient, SyncAPIClient

    return _library.patch(SyncAPIClient, AsyncAPIClient, client)
