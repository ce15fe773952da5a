"""`instrument import`: take traces that other tools recorded into the recording folder."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from instrument.cli.printing import json_document, say, tell
from instrument.cli.source import folder_of, settings_of
from instrument.errors import InstrumentError
from instrument.views.theme import clean

if TYPE_CHECKING:
    from instrument.cli.twice import Told
    from instrument.model import Record, Span
    from instrument.pricing import Prices
    from instrument.redact import Redactor
    from instrument.store.foreign import Imported

PARTLY = 1
ROUNDED_NS = 1_000_000
"""How far formats may round the time at which a call began."""


def add(subparsers: Any) -> None:
    """Add the verb to the command line."""
    from instrument.store.foreign import FORMATS

    parser: argparse.ArgumentParser = subparsers.add_parser(
        "import",
        help="take in traces of other tools: OTLP, OpenInference, OpenAI messages, Claude Code, Codex, trajectories",
        description="Files may be compressed (gzip, xz, bzip2). Model calls are priced and entered in the ledger. "
        "What is imported again replaces itself. Exit code: 1 when some could not be read, 2 when none could.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a file to take in")
    parser.add_argument(
        "--dir", type=Path, metavar="DIR", help="the recording folder (default: the nearest .instrument)"
    )
    forms = f"what the files are: {', '.join(FORMATS)} (default: told by them)"
    parser.add_argument("--format", choices=("auto", *FORMATS), default="auto", metavar="FORMAT", help=forms)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Take the files in; 0 when all were read, 1 when some were not. Raises `InstrumentError` when none was."""
    to = _place(args)
    notices: list[str] = []
    done: list[dict[str, Any]] = []
    for file in args.files:
        try:
            done.append(_import(file, None if args.format == "auto" else args.format, to, notices))
        except InstrumentError as problem:
            notices.append(str(problem))
        except OSError as problem:
            notices.append(f"{problem.filename or file} cannot be read or written: {problem.strerror or problem}")
    if not done:
        raise InstrumentError("nothing was imported: " + "; ".join(notices))
    say(
        json_document({"folder": str(to.folder), "files": done, "skipped": notices})
        if args.json
        else _as_text(done, to.folder)
    )
    tell(notices)
    return PARTLY if len(done) < len(args.files) else 0


class Place(NamedTuple):
    """Where records go, the recording folder and the ledger, what redacts and prices them, and what is there."""

    folder: Path
    ledger: str
    redactor: Redactor
    prices: Prices
    told: Told


def _place(args: argparse.Namespace) -> Place:
    from instrument.cli.twice import Told
    from instrument.pricing import Prices
    from instrument.redact import redactor_of
    from instrument.store.folder import LEDGER

    settings, named = settings_of(args), args.dir
    folder = named if named is not None else folder_of(args) or settings.folder
    own_ledger = None if named is not None else settings.ledger.url
    ledger = own_ledger or str(folder / LEDGER)
    return Place(folder, ledger, redactor_of(settings), Prices(settings.prices), Told(folder / "events"))


def _import(file: Path, wanted: str | None, to: Place, notices: list[str]) -> dict[str, Any]:
    from instrument.cli.intake import entered, redacted
    from instrument.model import Span
    from instrument.store.foreign import read
    from instrument.store.foreign.attributes import priced

    imported = read(file, wanted)
    notices.extend(imported.skipped)
    taken = [priced(record, to.prices) if isinstance(record, Span) else record for record in imported.records]
    records, lines = redacted(taken, to.redactor)
    written = _write(records, lines, file.name, to)
    entered(_fresh_calls(records, to.ledger), to.ledger)
    return _counted(file, imported, records, written)


def _write(records: Sequence[Record], lines: Sequence[bytes], name: str, to: Place) -> Path:
    """Write the records as one event file; the same traces of a file of that name replace it later."""
    from instrument.store.appender import Appender
    from instrument.store.jsonl import event_file

    start = min((record.start_ns for record in _spans(records)), default=0)
    target = event_file(to.folder, f"import-{_mark(records, name)}", start)
    news = to.told.news(lines, target)
    unfinished = target.with_suffix(".part")
    unfinished.unlink(missing_ok=True)
    appender = Appender(unfinished)
    try:
        appender.append(news)
    finally:
        appender.close()
    os.replace(unfinished, target)
    return target


def _fresh_calls(records: Sequence[Record], ledger: str) -> list[Span]:
    """The spans for which the ledger has no row of the process that made them: what comes back is not paid twice."""
    from instrument.store import ledgers

    spans = _spans(records)
    begins = [span.start_ns for span in spans] or [0]
    imported = {span.run for span in spans}
    try:
        there = ledgers.rows(ledger, min(begins) - ROUNDED_NS, max(begins) + ROUNDED_NS)
        made_here = {(row.trace_id, row.span_id) for row in there if row.run not in imported}
    except InstrumentError:  # there is no ledger yet; or entering will say what is wrong with it
        return spans
    return [span for span in spans if (span.trace_id, span.span_id) not in made_here]


def _mark(records: Sequence[Record], name: str) -> str:
    traces = sorted({span.trace_id for span in _spans(records)})
    return sha256(repr((name, traces)).encode()).hexdigest()[:16]


def _spans(records: Sequence[Record]) -> list[Span]:
    from instrument.model import Span

    return [record for record in records if isinstance(record, Span)]


def _counted(file: Path, imported: Imported, records: Sequence[Record], written: Path) -> dict[str, Any]:
    from instrument.analysis.metrics import measure

    spans = _spans(records)
    used = [span.usage for span in spans if span.usage is not None]
    return {
        "file": str(file),
        "format": imported.format,
        "traces": len({span.trace_id for span in spans}),
        "spans": len(spans),
        "kinds": dict(Counter(span.kind for span in spans).most_common()),
        "errors": measure(spans).errors,
        "input": sum(usage.input or 0 for usage in used),
        "output": sum(usage.output or 0 for usage in used),
        "skipped": len(imported.skipped),
        "written": str(written),
    }


def _as_text(done: Sequence[dict[str, Any]], folder: Path) -> str:
    from instrument.analysis.in_words import many

    lines = [
        f"{one['file']}: {one['format']}, {many(one['traces'], 'trace')}, {many(one['spans'], 'span')} "
        f"({', '.join(f'{count:,} {kind}' for kind, count in one['kinds'].items())}), {many(one['errors'], 'error')}, "
        f"{one['input']:,} tokens in, {one['output']:,} out"
        for one in done
    ]
    return "\n".join(clean(line) for line in [*lines, f"they are in {folder}"])
