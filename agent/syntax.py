"""Whether a text is Python."""

from __future__ import annotations

import ast
import warnings


def syntax_fault(text: str) -> str | None:
    """What keeps a text from being Python, or None when nothing does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the reviewed text, not about us
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return str(error) or type(error).__name__
    return None
