"""One trace as one HTML file: the same page as `instrument serve` shows, with the data compressed inside.

The file needs no server and no network. Its policy allows only the very script and style that were written into it;
data are base64 text that nothing executes. Details of spans lie in pieces that are unpacked when they are asked for.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from instrument.analysis.critical_path import waited_for
from instrument.analysis.report import findings_of
from instrument.analysis.tree import Trace
from instrument.model import Finding, Record, Span
from instrument.store import blobs
from instrument.views.answers import answers
from instrument.views.columns import columns

Judge = Callable[[Trace], Sequence[Finding]]
"""The findings of a trace."""
PAGE = Path(__file__).parent / "page"
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
PART_BYTES = 400_000
"""About so much JSON of spans is unpacked at once."""
MOST_BLOB_BYTES = 32 * 1024 * 1024
"""So much of the long values that lie apart goes into a file; of the others the beginning and the end are there."""
_IMPORT = re.compile(r'^import (?:\{[^}]*\} from )?"\./([\w-]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let)\b)", re.MULTILINE)


def shell() -> bytes:
    """The page as the server gives it; everything else it asks for."""
    return (PAGE / "index.html").read_bytes()


def pieces(trace: Trace, blob_folder: Path | None = None, judge: Judge = findings_of) -> Iterator[bytes]:
    """The file, piece by piece, with what `judge` finds in the trace.

    The long values that lie in `blob_folder` are in it as far as there is room.
    """
    return (piece.encode() for piece in _page(trace, blob_folder, judge(trace)))


def _page(trace: Trace, blob_folder: Path | None, findings: Sequence[Finding]) -> Iterator[str]:
    style, code = _style(), script()
    policy = (
        f"default-src 'none'; script-src '{_hash(code)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    head, found, body = (PAGE / "index.html").read_text("utf-8").partition("<!-- links -->")
    assert found, "the page says where its links stand"
    title = f"<title>{html.escape(trace.root.name)} · instrument</title>"
    head = re.sub(r"<title>.*?</title>", lambda _: title, head)  # a name may hold what a template takes for a group
    yield head.replace("<!-- policy -->", f'<meta http-equiv="Content-Security-Policy" content="{policy}">')
    yield f"<style>{style}</style>\n"
    before, after = body[body.index("\n") :].split("</body>")
    yield before
    data = _data(trace, blob_folder, findings)
    yield next(data)
    yield f"<script>{code}</script>\n"  # it shows the run while the browser still reads the contents of the spans
    yield from data
    yield f"</body>{after}"


def _data(trace: Trace, blob_folder: Path | None, findings: Sequence[Finding]) -> Iterator[str]:
    parts = _parts(trace.spans)
    starts = [start for start, _ in parts]
    stored = _blobs(trace, blob_folder)
    records = [*trace.runs, *trace.spans, *trace.logs, *findings, *trace.scores]
    told = columns(records, trace.start_ns).told(
        trace=trace.trace_id,
        live=False,
        now=str(trace.end_ns),
        pieces=starts,
        blobs=list(stored),
        path=waited_for(trace),
        why=answers(trace, findings, blob_folder),
    )
    yield _element("columns", msgspec.json.encode(told))
    for number, (_, spans) in enumerate(parts):
        yield _element(f"piece-{number}", msgspec.json.encode(spans))
    for number, content in enumerate(stored.values()):
        yield _element(f"blob-{number}", content)


def _element(name: str, content: bytes) -> str:
    packed = b64encode(gzip.compress(content, 6, mtime=0)).decode("ascii")
    return f'<script type="text/plain" id="{name}">{packed}</script>\n'


def _parts(spans: Sequence[Span]) -> list[tuple[int, list[msgspec.Raw]]]:
    """The encoded spans in pieces, each with the place of its first span."""
    made: list[tuple[int, list[msgspec.Raw]]] = []
    room = 0
    for place, span in enumerate(spans):
        encoded = msgspec.json.encode(span)
        if room <= 0:
            made.append((place, []))
            room = PART_BYTES
        made[-1][1].append(msgspec.Raw(encoded))
        room -= len(encoded)
    return made


def _blobs(trace: Trace, folder: Path | None) -> dict[str, bytes]:
    """The long values that the spans refer to, as far as there is room."""
    kept: dict[str, bytes] = {}
    room = MOST_BLOB_BYTES
    for digest in _digests(trace.spans) if folder is not None else ():
        assert folder is not None
        try:
            content = blobs.read(folder, f"sha256:{digest}")
        except (OSError, ValueError):
            continue
        if len(content) <= room:
            kept[digest] = content
            room -= len(content)
    return kept


def _digests(spans: Iterable[Record]) -> dict[str, None]:
    mark = re.compile(rb'"\$blob":"sha256:([0-9a-f]{64})"')
    return {digest.decode(): None for span in spans for digest in mark.findall(msgspec.json.encode(span))}


def _hash(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _style() -> str:
    return (PAGE / "style.css").read_text("utf-8")


def script() -> str:
    """The modules of the page in one, each behind those that it imports; no two of them have a name in common."""
    placed: dict[str, str] = {}
    _place("main.js", placed)
    return '(() => {\n"use strict";\n' + "\n".join(placed.values()) + "})();\n"


def _place(name: str, placed: dict[str, str]) -> None:
    if name in placed:
        return
    source = (PAGE / name).read_text("utf-8")
    for needed in _IMPORT.findall(source):
        _place(needed, placed)
    placed[name] = _EXPORT.sub("", _IMPORT.sub("", source))
