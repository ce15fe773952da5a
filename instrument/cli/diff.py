"""`instrument diff`: where two runs part, why, and what follows from it."""

from __future__ import annotations

import argparse
import sys
from itertools import chain
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins
from msgspec.structs import asdict

from instrument.cli.over_all import as_they_are, overview_of
from instrument.cli.printing import json_document, say, tell
from instrument.cli.source import find_trace, is_path, no_trace, path_of, tell_of_sampling, trace_ids
from instrument.collecting import uncollected
from instrument.errors import InstrumentError
from instrument.views.theme import theme_for

if TYPE_CHECKING:
    from instrument.analysis.diff import Diff
    from instrument.analysis.sets import Sets
    from instrument.analysis.sides import Side
    from instrument.analysis.tree import Trace


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "diff",
        help="compare two runs: the first divergence, its cause, what follows, time, tokens and money",
        description="Agents do not do the same twice: --all compares how all runs of two folders ended, what they took "
        "and how they were judged. Else A and B are the first digits of a trace's or a run's id, `last`, `last~1` (the "
        "one before it), or a file or folder, whose last trace is meant. Without them the last two are compared; "
        "a file or folder alone is where both are. Ids, times, folders and ports that differ in every run are no "
        "difference.",
    )
    parser.add_argument("a", nargs="?", metavar="A", help="the one run (default: last~1)")
    parser.add_argument("b", nargs="?", metavar="B", help="the other run (default: last)")
    parser.add_argument("path", nargs="?", metavar="PATH", help="a file or folder with the runs (default: .instrument)")
    parser.add_argument("--path", dest="named_path", metavar="PATH", help=argparse.SUPPRESS)
    parser.add_argument("--all", action="store_true", help="all runs of A against all of B, two files or folders")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the comparison."""
    if args.all:
        return _run_all(args)
    from instrument.analysis.diff import compare

    _place_path(args)
    notices: list[str] = []
    began: dict[str, int] = {}
    with uncollected():
        one, other = _trace(args, args.a or "last~1", notices, began), _trace(args, args.b or "last", notices, began)
        if args.b is None and one.trace_id == other.trace_id:
            raise InstrumentError(
                f"{args.a} is the last trace itself: name another one to compare it with, such as last~1"
            )
        if args.a is None and one.root.name != other.root.name:
            names = f"{one.root.name} and {other.root.name}"
            notices.append(f"the last two runs are of {names}: to compare runs of one name, name two that `runs` lists")
        diff = compare(one, other)
    if args.json:
        say(json_document(_told(diff)))
    else:
        from instrument.views.difference import difference

        say(difference(diff, theme_for(sys.stdout)))
    tell(dict.fromkeys(notices))
    return 0


def _run_all(args: argparse.Namespace) -> int:
    """Print how all runs of two places compare."""
    from instrument.analysis.sets import sets
    from instrument.detectors.calls import fingerprint
    from instrument.store.roots import roots
    from instrument.views.brief import brief_of_given

    paths = [word for word in (args.a, args.b) if word is not None and is_path(word)]
    if len(paths) < 2 or args.path is not None or args.named_path is not None:
        raise InstrumentError("--all is of two files or folders: name both, as in `instrument diff before after --all`")
    unread: tuple[list[str], list[str]] = [], []
    one, two = (overview_of(path, notices) for path, notices in zip(paths, unread, strict=True))
    for path, found in zip(paths, (one, two), strict=True):
        if not found.rows:
            raise no_trace(path)
    tasks = {
        root.trace_id: (root.name, brief_of_given(root.input), fingerprint(root.input))
        for path in paths
        for root in roots(path)
    }
    a, b = (as_they_are(found.rows, path) for path, found in zip(paths, (one, two), strict=True))
    both = sets(a, b, (one.scores, two.scores), tasks)
    if args.json:
        say(json_document(_sets_told(both)))
    else:
        from instrument.views.sets import sets_compared

        say(sets_compared(both, theme_for(sys.stdout)))
    tell(dict.fromkeys(chain(*unread)))
    tell_of_sampling(*paths)
    return 0


def _sets_told(both: Sets) -> dict[str, Any]:
    from instrument.views.plain import total_told

    told: dict[str, Any] = to_builtins(both, enc_hook=str)
    return {**told, **{side: {**told[side], "total": total_told(getattr(both, side).total)} for side in ("a", "b")}}


def _place_path(args: argparse.Namespace) -> None:
    """A single word that is a file or folder is where both runs are."""
    if args.a is not None and args.b is None and args.named_path is None and is_path(args.a):
        args.a, args.path = None, args.a


def _trace(args: argparse.Namespace, word: str, notices: list[str], began: dict[str, int]) -> Trace:
    """The trace that a word means; `began` is kept for the other one. Raises `InstrumentError` where there is none."""
    if is_path(word):
        return find_trace(word, "last", notices)
    path = path_of(args)
    began.update(began or trace_ids(path))
    meant = word if word.startswith("last") else _of_run(path, word, began) or word
    return find_trace(path, meant, notices, began)


def _of_run(path: str, word: str, began: dict[str, int]) -> str | None:
    """The last trace of the run whose id begins with the word, where no trace's does."""
    from instrument.store.heads import heads

    if any(trace_id.startswith(word.lower()) for trace_id in began):
        return None
    seen = (head for head in heads(path, []) if head.run.startswith(word))
    known = {trace_id for head in seen if (trace_id := getattr(head, "trace_id", None)) in began}
    return max(known, key=lambda trace_id: (began[trace_id], trace_id), default=None)


def _told(diff: Diff) -> dict[str, Any]:
    told: dict[str, Any] = to_builtins(diff, enc_hook=str)
    return {**told, "a": _side(diff.a), "b": _side(diff.b)}


def _side(side: Side) -> dict[str, Any]:
    from instrument.views.plain import total_told

    return {**asdict(side), "total": total_told(side.total)}
