"""`instrument export`: one trace as plain files, or as one file in the format of another tool."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from instrument.cli.printing import json_document, say, tell
from instrument.cli.source import add_trace, find_trace, judge_of, path_of, place_trace
from instrument.errors import InstrumentError
from instrument.store import blobs
from instrument.views.theme import clean

if TYPE_CHECKING:
    from instrument.analysis.tree import Trace


class Format(NamedTuple):
    """One format: its option, the `module:function` that gives a trace's content in pieces, and its line of help."""

    name: str
    view: str
    help: str
    with_blobs: bool = False
    """Whether the view is told where the long values lie that records keep apart."""


FORMATS = (
    Format("chrome", "instrument.views.chrome:pieces", "a time line for ui.perfetto.dev and chrome://tracing"),
    Format("otlp", "instrument.views.otlp:pieces", "OTLP JSON by the GenAI conventions of OpenTelemetry"),
    Format("openinference", "instrument.views.otlp:openinference", "OTLP JSON by the OpenInference conventions"),
    Format("html", "instrument.views.html:pieces", "one page to open from disk or to send, as `serve` shows it", True),
    Format(
        "chat",
        "instrument.views.chat:pieces",
        "one line a model call as OpenAI's chat has it, to fine-tune, to evaluate, to ask again",
        True,
    ),
    Format("csv", "instrument.views.csv:pieces", "one row a span, safe to open as a spreadsheet"),
)
STDOUT = "-"
USAGE = """instrument export (--dir DIR | --chrome [FILE] | --otlp [FILE] |
                          --openinference [FILE] | --html [FILE] |
                          --chat [FILE] | --csv [FILE])
                         [-h] [-o FILE] [--json] [trace] [path]"""
"""In lines for a terminal: argparse breaks none between options of which one is needed."""


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "export",
        usage=USAGE,
        help="write one trace as plain JSON files (--dir), or for another tool: "
        + ", ".join(f"--{form.name}" for form in FORMATS),
        description="The last trace, or the one whose id begins with TRACE. Without FILE the content goes to stdout. "
        "Files that are there already are replaced.",
    )
    add_trace(parser)
    kinds = parser.add_mutually_exclusive_group(required=True)
    kinds.add_argument(
        "--dir", metavar="DIR", help="traces.json, logs.json, tokens.json and metrics.json in this folder"
    )
    for form in FORMATS:
        kinds.add_argument(f"--{form.name}", nargs="?", const=STDOUT, metavar="FILE", help=form.help)
    parser.add_argument("-o", "--output", metavar="FILE", help="where the content of one format goes")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the files and name them, or print the content."""
    form = next((form for form in FORMATS if getattr(args, form.name) is not None), None)
    place_trace(args)
    target = _place_target(args, form)
    target = STDOUT if target == "/dev/stdout" else target
    if form is not None and form.name == "html" and target == STDOUT and sys.stdout.isatty():
        raise InstrumentError("a page is nothing for a terminal: name a file, as in --html run.html")
    notices: list[str] = []
    trace = find_trace(path_of(args), args.trace, notices)
    if form is not None and target == STDOUT:
        _print(_content(form, trace, args, notices))
    else:
        _name(args, trace, _files(args, form, trace, target, notices))
    tell(notices)
    return 0


def _place_target(args: argparse.Namespace, form: Format | None) -> str:
    """Where the content goes; what `--chrome last` names looks like a trace and no other is named: it is no file."""
    if form is None:
        if args.output is not None:
            raise InstrumentError("-o names the file of one format, --dir the folder of several: give one of them")
        return str(args.dir)
    given = str(getattr(args, form.name))
    if args.output is None and (given == STDOUT or args.trace is not None or not _is_trace(given)):
        return given
    if given != STDOUT:
        if args.trace is not None:
            raise InstrumentError(f"both {given} and {args.output} are named as the file to write: give one of them")
        args.trace = given
        place_trace(args)
    return str(args.output or STDOUT)


def _is_trace(word: str) -> bool:
    if re.fullmatch(r"last(~\d+)?", word):
        return True
    return set(word.lower()) <= set("0123456789abcdef") and not os.path.exists(word)


def _content(form: Format, trace: Trace, args: argparse.Namespace, notices: list[str]) -> Iterable[bytes]:
    module, _, function = form.view.partition(":")
    pieces: Callable[..., Iterable[bytes]] = getattr(importlib.import_module(module), function)
    if not form.with_blobs:
        return pieces(trace)
    path = path_of(args)
    return pieces(trace, blobs.folder_for(path), judge_of(args, path, notices))


def _print(content: Iterable[bytes]) -> None:
    sys.stdout.flush()
    raw = getattr(sys.stdout, "buffer", None)
    for piece in content:
        if raw is not None:
            raw.write(piece)
        else:
            sys.stdout.write(piece.decode())


def _files(
    args: argparse.Namespace, form: Format | None, trace: Trace, target: str, notices: list[str]
) -> Sequence[Path]:
    from instrument.views.files import replace, save

    if form is None:
        return save(trace, target)
    return [replace(Path(target), _content(form, trace, args, notices))]


def _name(args: argparse.Namespace, trace: Trace, files: Sequence[Path]) -> None:
    named = [str(file) for file in files]
    say(json_document({"trace_id": trace.trace_id, "files": named}) if args.json else "\n".join(map(clean, named)))
