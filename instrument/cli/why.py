"""`instrument why`: one screen that says why a run was slow, expensive, or failed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from instrument.cli.others import say_of_others
from instrument.cli.printing import json_document, say, tell
from instrument.cli.source import add_trace, find_trace, judge_of, path_of, place_trace, trace_ids

if TYPE_CHECKING:
    from instrument.analysis.why import Reason, Why
    from instrument.views.theme import Theme

QUESTIONS = ("slow", "expensive", "failed")
PROOFS = 2
ANSWERS = 7


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "why",
        help="say why a run was slow, why expensive, why it failed, each line with the spans that prove it",
        description="The last trace, or the one whose id begins with TRACE. Time is that on the critical path; in "
        "brackets are the ids of the spans that prove a line, all of them in --json.",
    )
    add_trace(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the answers."""
    from instrument.analysis.why import why
    from instrument.store import blobs
    from instrument.views.theme import theme_for

    place_trace(args)
    notices: list[str] = []
    path = path_of(args)
    began = trace_ids(path)
    trace = find_trace(path, args.trace, notices, began)
    stored = blobs.folder_for(path)
    found = judge_of(args, path, notices)(trace)
    answers = why(trace, found, lambda value: blobs.whole(value, stored))
    if args.json:
        from msgspec import to_builtins

        say(json_document({"trace_id": trace.trace_id, "name": trace.root.name, **to_builtins(answers)}))
    else:
        theme = theme_for(sys.stdout)
        _print(answers, theme)
        if args.trace is None:
            say_of_others(trace, path, began, "why", theme)
    tell(notices)
    return 0


def _print(answers: Why, theme: Theme) -> None:
    for question in QUESTIONS:
        say(theme.paint(f"why {question}", "bold"))
        reasons = getattr(answers, question)
        for reason in reasons[:ANSWERS]:
            for text in _lines(reason, theme):
                say(text)
        if len(reasons) > ANSWERS:
            say(f"  {theme.ellipsis} {len(reasons) - ANSWERS} more: --json")


def _lines(reason: Reason, theme: Theme) -> Iterator[str]:
    from instrument.views.theme import clean, wrapped

    shown = [clean(span_id, 16) for span_id in reason.span_ids[:PROOFS]]
    more = len(reason.span_ids) - PROOFS
    proof = f" [{' '.join(shown)}{f' +{more}' if more > 0 else ''}]" if shown else ""
    text = clean(reason.text, 300) if theme.unicode else clean(reason.text, 300).replace("µ", "u")
    for place, part in enumerate(wrapped(text + proof, theme.width and theme.width - 4)):
        yield f"  {'  ' if place else f'{theme.dot} '}{part}"
