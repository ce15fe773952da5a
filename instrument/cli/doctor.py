"""`instrument doctor`: the settings in effect and where each came from, and whether everything they ask for works."""

from __future__ import annotations

import argparse
import json
import platform
import sqlite3
import sys
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any, NamedTuple

from instrument.cli.printing import say
from instrument.cli.sizes import in_words
from instrument.cli.trials import ENCODINGS, Check, ranks, trial_of, tried, write_below
from instrument.store import folder
from instrument.version import __version__
from instrument.views.theme import theme_for, wrapped

if TYPE_CHECKING:
    from instrument.settings import Setting, Settings

PACKAGES = ("wrapt", "msgspec", "pydantic", "pydantic-settings", "loguru", "tiktoken", "genai-prices", "openai")


class Examination(NamedTuple):
    """All that the doctor found; `notes` are no faults, `oldest` is the oldest event file's last write."""

    settings: list[Setting]
    folder: Check
    files: int
    bytes: int
    oldest: str | None
    sinks: list[Check]
    tokens: list[Check]
    versions: dict[str, str | None]
    notes: list[str]

    @property
    def faults(self) -> list[str]:
        """One sentence for each thing that is wrong."""
        checks = [check for check in (self.folder, *self.sinks, *self.tokens) if not check.works]
        wrong = [setting.problem for setting in self.settings if setting.problem]
        return wrong + [f"{check.name}: {check.detail}" for check in checks]


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "doctor", help="show the settings in effect and where each came from, and try everything they ask for"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what was found; 0 when all is fine, 1 when something is wrong."""
    examination = examine()
    say(_as_json(examination) if args.json else _as_text(examination))
    return 1 if examination.faults else 0


def examine() -> Examination:
    """Read the settings and try what they ask for. Whatever is written for a trial is removed again."""
    from instrument.settings import explain, load_lenient

    settings, _ = load_lenient()
    held = folder.contents(settings.folder)
    return Examination(
        settings=explain(),
        folder=_folder(settings),
        files=len(held.events) + len(held.blobs) + len(held.ledger),
        bytes=held.bytes,
        oldest=_day(held.events[0].modified) if held.events else None,
        sinks=[tried(name, trial_of(name), settings) for name in settings.sinks],
        tokens=[tried(name, ranks(model), settings) for name, model in ENCODINGS],
        versions=_versions(),
        notes=_notes(settings),
    )


def _folder(settings: Settings) -> Check:
    if "jsonl" not in settings.sinks and "ledger" not in settings.sinks:
        return Check("folder", True, f"{settings.folder}: no sink in use writes there")
    return tried("folder", lambda asked: write_below(asked.folder), settings)


def _notes(settings: Settings) -> list[str]:
    from instrument.settings import find_folder

    notes = [] if settings.enabled else ["recording is switched off: enabled is false"]
    if settings.enabled and not settings.sinks:
        notes.append("nothing is kept, as there is no sink: INSTRUMENT_ENABLED=0 saves the work as well")
    found = find_folder(settings)
    if found is not None and found != settings.folder:
        notes.append(f"without a path, reading verbs read {found}, which was found above")
    return notes


def _versions() -> dict[str, str | None]:
    ours = {"instrument": __version__, "python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    return {**ours, **{name: _version(name) for name in PACKAGES}}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _as_json(examination: Examination) -> str:
    shown = {
        "fine": not examination.faults,
        "faults": examination.faults,
        "notes": examination.notes,
        "settings": [setting._asdict() for setting in examination.settings],
        "folder": {
            **examination.folder._asdict(),
            "files": examination.files,
            "bytes": examination.bytes,
            "oldest": examination.oldest,
        },
        "sinks": [check._asdict() for check in examination.sinks],
        "tokens": [check._asdict() for check in examination.tokens],
        "versions": examination.versions,
    }
    return json.dumps(shown, indent=2, default=str)


def _as_text(examination: Examination) -> str:
    held = f"{examination.files} files, {in_words(examination.bytes)}"
    parts = [
        (
            "settings",
            _table(
                [(setting.key, _value(setting.value, setting.key), setting.source) for setting in examination.settings]
            ),
        ),
        ("folder", [*_checks([examination.folder]), f"    {held}, oldest events {examination.oldest or '-'}"]),
        ("sinks", _checks(examination.sinks) or ["none"]),
        ("tokens", _checks(examination.tokens)),
        ("versions", _versions_in_lines(examination.versions)),
        ("notes", examination.notes),
        ("wrong" if examination.faults else "all is fine", examination.faults),
    ]
    return "\n".join(line for head, lines in parts if lines or head == "all is fine" for line in _section(head, lines))


def _versions_in_lines(versions: dict[str, str | None]) -> list[str]:
    width = theme_for(sys.stdout).width
    told = ", ".join(f"{name}\xa0{version or '-'}" for name, version in versions.items())
    return [line.replace("\xa0", " ") for line in wrapped(told, (width or 100) - 2)]


def _section(head: str, lines: list[str]) -> list[str]:
    return [head, *(f"  {line}" for line in lines)]


def _checks(checks: list[Check]) -> list[str]:
    width = max((len(check.name) for check in checks), default=0)
    return [f"{'ok' if check.works else 'no'}  {check.name:<{width}}  {check.detail}" for check in checks]


def _table(rows: list[tuple[str, str, str]]) -> list[str]:
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    return [f"{key:<{first}}  {value:<{min(second, 40)}}  {source}" for key, value, source in rows]


def _value(value: Any, key: str) -> str:
    if value is None:
        from instrument.setting_tables import UNSET

        return UNSET.get(key, "none")
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
