"""`instrument prune`: take the oldest event files, and what only they refer to, out of the recording folder."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from instrument.cli.printing import say
from instrument.cli.sizes import any_number, in_bytes, in_words
from instrument.cli.source import folder_of, looked, settings_of
from instrument.errors import InstrumentError
from instrument.origins import visible
from instrument.store.folder import NAME, Pruned, prune


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "prune",
        help="remove the oldest event files and the blobs that nothing refers to any more",
        description="Without a limit the setting retention.max_bytes is the limit. The ledger is never touched, "
        "nor are the files of a process that is running.",
    )
    parser.add_argument("folder", nargs="?", type=Path, help="the recording folder (default: the nearest .instrument)")
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--max-bytes", type=_size, metavar="SIZE", help="what may stay, such as 500MB; 0 for nothing")
    limit.add_argument(
        "--keep-days",
        type=any_number("number of days", "7 or 0.5"),
        metavar="DAYS",
        help="keep what was written in these last days",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Remove and say what went; 0 when done, 1 when a file could not be removed.

    Raises `InstrumentError` where there is no folder, `SettingsError` for settings that cannot be used.
    """
    settings, folder = settings_of(args), _folder(args)
    is_limited = args.max_bytes is not None or args.keep_days is not None
    max_bytes = args.max_bytes if is_limited else settings.retention.max_bytes or None
    pruned = prune(
        folder, max_bytes=max_bytes, keep_days=args.keep_days, dry_run=args.dry_run, shared=settings.jsonl_path
    )
    say(_as_json(pruned, args.dry_run) if args.json else _as_text(pruned, args.dry_run))
    return 1 if pruned.failed else 0


def _folder(args: argparse.Namespace) -> Path:
    """The folder that was named, or the one in it, or the nearest. Raises `InstrumentError` when there is none."""
    named: Path | None = args.folder
    places = (named / NAME, named) if named is not None else filter(None, [folder_of(args)])
    found = next((place for place in places if os.path.isdir(place)), None)
    if found is None:
        raise InstrumentError(f"there is no recording folder {visible(named) if named else looked(args)}")
    return found


def _size(text: str) -> int:
    try:
        return in_bytes(text)
    except ValueError as fault:
        raise argparse.ArgumentTypeError(str(fault)) from None


def _as_json(pruned: Pruned, dry_run: bool) -> str:
    shown = {
        "dry_run": dry_run,
        "removed": [{"path": str(file.path), "bytes": file.bytes} for file in pruned.removed],
        "freed_bytes": pruned.freed_bytes,
        "left_bytes": pruned.left_bytes,
        "alive": [str(path) for path in pruned.alive],
        "failed": pruned.failed,
    }
    return json.dumps(shown, indent=2)


def _as_text(pruned: Pruned, dry_run: bool) -> str:
    from instrument.analysis.in_words import many

    events = sum(file.path.parent.name == "events" for file in pruned.removed)
    blobs = len(pruned.removed) - events
    lines = [f"would remove {visible(file.path, 4000)}" for file in pruned.removed if dry_run]
    lines.append(
        f"{'would remove' if dry_run else 'removed'} {many(events, 'event file')} and {many(blobs, 'blob')} "
        f"({in_words(pruned.freed_bytes)}), {in_words(pruned.left_bytes)} stay"
    )
    if pruned.alive:
        lines.append(f"kept {many(len(pruned.alive), 'event file')} that running processes may still write to")
    return "\n".join([*lines, *(f"could not remove {visible(failure, 4000)}" for failure in pruned.failed)])
