"""A wrapper by wrapt that does nothing: what transparency alone costs."""

from __future__ import annotations

from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import wrapt

from benchmarks.contestants import Contestant


@wrapt.decorator
def _through(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return wrapped(*args, **kwargs)


def start(folder: Path, variant: str) -> Contestant:
    """Nothing to set up."""
    return Contestant(_through, nullcontext, lambda: None, versions={"wrapt": version("wrapt")})
