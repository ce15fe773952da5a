"""`instrument VERB …`, also as `python -m instrument`: read what was recorded."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from keyword import iskeyword
from typing import TYPE_CHECKING, NoReturn

from instrument.errors import InstrumentError
from instrument.version import __version__

if TYPE_CHECKING:
    from instrument.settings import Settings

VERBS = (
    "runs", "show", "why", "check", "logs", "costs", "stats", "query", "tail", "diff", "export", "import",
    "serve", "run", "ledger", "doctor", "prune",
)  # fmt: skip
SEES_BAD_SETTINGS = frozenset({"doctor"})
"""Verbs that work with settings that cannot be used, because they say what is wrong with them."""
_OPTION = re.compile(r"^ +(?:-\w(?: \S+)?, )?(--[\w-]+)", re.MULTILINE)
"""An option where help describes it."""
FINE, BAD_USE, INTERRUPTED = 0, 2, 130
_DUCKDB_INTERRUPTED = "Query interrupted"
"""What DuckDB makes of Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code: 0 fine, 1 something was found, 2 bad use."""
    words = list(sys.argv[1:] if argv is None else argv)
    _have_streams()
    try:
        code = _run(words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _stop_writing()
        return FINE
    except OSError as problem:
        return _complain(_unreadable(problem) if _is_flushed() else f"the answer cannot be written: {problem.strerror}")
    except KeyboardInterrupt:
        return INTERRUPTED
    except RecursionError:
        return _complain("what was recorded is nested too deeply to be shown")
    except RuntimeError as problem:
        if str(problem) != _DUCKDB_INTERRUPTED:
            raise
        return INTERRUPTED


def _run(words: list[str]) -> int:
    if words and words[0] not in VERBS and not words[0].startswith("-"):
        meant = _meant(words[0], VERBS) or f"known are {', '.join(VERBS)}"
        return _complain(f"there is no verb {words[0][:60]!r}; {meant}")
    parser, verbs = _parser(words)
    try:
        args = _parsed(words, parser, verbs)
        if "run" not in args:
            parser.print_help()
            return BAD_USE if words else FINE
        args.settings = None if args.verb in SEES_BAD_SETTINGS else _settings()
        code: int = args.run(args)
        return code
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else BAD_USE
    except InstrumentError as problem:
        return _complain(str(problem))


def _parsed(words: list[str], parser: _Parser, verbs: Mapping[str, _Parser]) -> argparse.Namespace:
    """What the words say; paths and options of a verb may stand in any order."""
    known = argparse.Namespace()
    if words and words[0] in verbs:
        known.verb, *words = words
        parser = verbs[known.verb]
    try:
        args, unknown = parser.parse_known_intermixed_args(words, known)
    except TypeError:  # what has verbs of its own, or hands on all that follows
        args, unknown = parser.parse_known_args(words, known)
    if unknown:
        parser.error(_superfluous(unknown, parser))
    return args


def _superfluous(unknown: Sequence[str], parser: _Parser) -> str:
    """What to say of words that are not known."""
    options = [word.partition("=")[0] for word in unknown if word.startswith("-")]
    if not options:
        return f"too many words: {' '.join(unknown)}"
    meant = _meant(options[0], _OPTION.findall(parser.format_help())) or f"`{parser.prog} --help` lists those it has"
    return f"there is no option {options[0]}; {meant}"


def _meant(word: str, known: Sequence[str]) -> str | None:
    from difflib import get_close_matches

    close = get_close_matches(word.lower()[:100], known, n=1)
    return f"did you mean {close[0]}?" if close else None


def _parser(words: list[str]) -> tuple[_Parser, Mapping[str, _Parser]]:
    parser = _Parser(
        prog="instrument",
        description="Show what decorated agents did, what it cost and where it went wrong.",
        epilog="Every verb takes a path or finds the nearest .instrument folder; `instrument VERB --help` says more.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB")
    asked = [word for word in words[:1] if word in VERBS]
    for verb in asked or VERBS:
        ending = "_" if iskeyword(verb) else ""  # no module can be called `import`
        importlib.import_module(f"instrument.cli.{verb}{ending}").add(subparsers)
    return parser, subparsers.choices


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(_complain(message))


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        sys.stdout.write(f"instrument {__version__}\n")
        parser.exit()


def _settings() -> Settings | None:
    """The settings, looked for once for the whole verb; None where nothing is set, which spares loading them."""
    from instrument import origins

    if not origins.are_there():
        return None
    from instrument.settings import load

    return load()


def _unreadable(problem: OSError) -> str:
    if problem.filename is None or problem.strerror is None:
        return problem.strerror or str(problem)
    return f"{problem.filename} cannot be read or written: {problem.strerror}"


def _complain(sentence: str) -> int:
    from instrument.views.theme import clean

    shown = "\n".join(map(clean, sentence.split("\n")))
    sys.stderr.write(f"instrument: {shown}\n")
    return BAD_USE


def _have_streams() -> None:
    """Whoever started us may have closed ours: an answer is then the exit code alone."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 - as above


def _is_flushed() -> bool:
    """Whether what was said so far could be written; otherwise no more is."""
    try:
        sys.stdout.flush()
    except OSError:
        _stop_writing()
        return False
    return True


def _stop_writing() -> None:
    """Nobody takes our output any more; without this Python complains at exit when it flushes."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
