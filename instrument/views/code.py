"""Colours for code and JSON in a terminal: words, strings, numbers and comments, told apart in any language.

The text is what it was: only colours are added, and it must be clean (no control characters) before.
"""

from __future__ import annotations

import re

from instrument.views.theme import Theme

_WORDS = (
    "and|as|assert|async|await|break|case|catch|class|const|continue|def|del|do|elif|else|enum|except|export|extends|"
    "False|finally|fn|for|from|func|function|global|if|impl|import|in|interface|is|lambda|let|match|mod|mut|new|None|"
    "nonlocal|not|null|or|package|pass|pub|public|private|raise|return|self|static|struct|super|switch|this|throw|"
    "True|true|false|try|type|use|var|void|while|with|yield|SELECT|FROM|WHERE|GROUP|ORDER|BY|JOIN|INSERT|UPDATE|DELETE"
)
_TOKEN = re.compile(
    r"""(?P<string>[rbfuRBFU]{0,2}(?:'''.*?'''|\"\"\".*?\"\"\"|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'))(?P<key>\s*:)?"""
    r"|(?P<comment>(?<![^\s;{}()])(?:\#|//|--\s).*)"
    rf"|(?P<word>\b(?:{_WORDS})\b)"
    r"|(?P<number>\b\d[\d_.]*(?:e[+-]?\d+)?\b)"
)
_STYLES = {"string": "green", "comment": "dim", "word": "blue", "number": "cyan"}
_FENCE = re.compile(r"\s*(?:```|~~~)\s*([\w+-]*)")


def code(line: str, theme: Theme) -> str:
    """One line of code."""
    return _TOKEN.sub(lambda found: _painted(found, theme), line) if theme.color else line


def change(line: str, theme: Theme) -> str:
    """One line of a diff."""
    style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return theme.paint(line, style) if style else line


def prose(lines: list[str], theme: Theme) -> list[str]:
    """Text with code between fences in it (Markdown): the code in colours, the rest as it is."""
    painted, language = [], None
    for line in lines:
        fence = _FENCE.match(line)
        if fence:
            language = (fence[1] or "text") if language is None else None
            painted.append(theme.paint(line, "dim"))
        elif language is None:
            painted.append(line)
        else:
            painted.append((change if language in ("diff", "patch") else code)(line, theme))
    return painted


def _painted(found: re.Match[str], theme: Theme) -> str:
    if found["key"] is not None:  # a key of JSON
        return theme.paint(found["string"], "blue") + found["key"]
    return theme.paint(found[0], _STYLES[found.lastgroup or "word"])
