"""`instrument tail [-f]`: what happens, as it happens, in this process or another."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from instrument.cli.printing import say
from instrument.cli.sizes import whole
from instrument.cli.source import path_of, settings_of
from instrument.errors import InstrumentError
from instrument.views.theme import Theme, clean, theme_for

if TYPE_CHECKING:
    from instrument.model import Record, Run
    from instrument.store.follow import Follower
    from instrument.views.live import Live

POLL_SECONDS = 0.2
LINES = 20
KEPT_LINES = 5_000
"""So many of the latest lines of a file are looked at for the lines to begin with."""


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "tail",
        help="print the latest records, and with -f what happens from now on, also in another process",
        description="The latest records as lines at their depth, then what is running just now. With -f it goes on "
        "until Ctrl-C; in a terminal the spans that are open stand below the lines, with the time they have taken.",
    )
    parser.add_argument("path", nargs="?", help="a file, or a folder with files (default: the nearest .instrument)")
    parser.add_argument("--path", dest="named_path", metavar="PATH", help=argparse.SUPPRESS)
    parser.add_argument("-f", "--follow", action="store_true", help="go on as more is recorded")
    parser.add_argument(
        "-n", "--lines", type=whole("lines"), default=LINES, metavar="N", help="so many first (default: 20)"
    )
    parser.add_argument("--json", action="store_true", help="print the records themselves, one JSON object a line")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print lines until there are no more, or with -f until an interrupt."""
    from instrument.store.follow import Follower
    from instrument.store.jsonl import files

    path = _awaited(args) if args.follow else path_of(args)
    if not args.follow:
        files(path)  # complains where there is nothing
    follower = Follower(path)
    screen = _Raw() if args.json else _Screen(args.follow)
    try:
        if not os.path.exists(path):
            sys.stderr.write(f"instrument: nothing is recorded in {clean(path)} yet: waiting for it, Ctrl-C ends it\n")
        screen.show(_latest(follower), args.lines)
        while args.follow:
            time.sleep(POLL_SECONDS)
            screen.show([line for _, line in follower.new()], None)
    except KeyboardInterrupt:  # the usual way out
        if sys.stdout.isatty():
            say("")
    return 0


def _awaited(args: argparse.Namespace) -> str:
    """The path; where there is no recording yet, the folder that the settings name."""
    try:
        return path_of(args)
    except InstrumentError:
        return str(settings_of(args).folder)


def _latest(follower: Follower) -> list[bytes]:
    """The last lines, and before them the heads of processes and of spans that have not ended."""
    heads: dict[bytes, bytes] = {}
    latest: deque[bytes] = deque(maxlen=KEPT_LINES)
    for _, line in follower.new(by_age=True):
        latest.append(line)
        kind = _KIND.match(line)
        if kind is None:
            continue
        name = _RUN_ID if kind[1] == b"run" else _SPAN_ID
        found = name.search(line)
        if found is not None and kind[1] == b"span":
            heads.pop(found[1], None)
        elif found is not None:
            heads[found[1]] = line
    kept = set(latest)
    return [*(head for head in heads.values() if head not in kept), *latest]


_KIND = re.compile(rb'\{"type":"(run|open|span)"')
_SPAN_ID = re.compile(rb'"span_id":"([^"]*)"')
_RUN_ID = re.compile(rb'"run":"([^"]*)"')


class _Raw:
    """The records as they lie on disk."""

    def show(self, lines: Iterable[bytes], most: int | None) -> None:
        for line in deque(lines, most):
            say(line.decode("utf-8", "replace").rstrip("\n"))
        sys.stdout.flush()


class _Screen:
    """Lines, and below them in a terminal what is running just now."""

    def __init__(self, follow: bool) -> None:
        from instrument.views.live import Live

        self._live: Live = Live(_is_alive)
        self._redraws = follow and sys.stdout.isatty()
        self._standing = 0

    def show(self, lines: Iterable[bytes], most: int | None) -> None:
        """Print what is new, the last `most` of it; then what is running, if it can be drawn anew later."""
        theme = theme_for(sys.stdout)
        told = [*deque(self._live.told([*_records(lines)], theme), most), *self._live.gone(theme)]
        standing = self._running(theme) if self._redraws or most is not None else []
        shown = [*told, *standing]
        if shown or self._standing:
            up = f"\x1b[{self._standing}F\x1b[J" if self._standing else ""
            say("\n".join(shown), end="\n" if shown else "", before=up)
            sys.stdout.flush()
        self._standing = len(standing) if self._redraws else 0

    def _running(self, theme: Theme) -> list[str]:
        rows = max(3, min(12, shutil.get_terminal_size().lines // 2))
        return self._live.running(time.time_ns(), theme, rows)


def _records(lines: Iterable[bytes]) -> Iterator[Record]:
    from instrument.store.jsonl import record_of

    for line in lines:
        # a line that is no record is left out; `show` and `runs` tell of it
        with suppress(ValueError, TypeError, RecursionError):
            yield record_of(line)


def _is_alive(run: Run) -> bool:
    from instrument.store.processes import is_running

    return run.pid <= 0 or is_running(run.pid, run.start_ns, run.run)
