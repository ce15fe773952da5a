"""The page over loopback: what lies below a path, and what is being added to it.

Every address begins with a random token; requests with another host name or from another origin are refused, so that
no page that the user has open elsewhere can read what was recorded. Nothing is ever changed or fetched from elsewhere.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from instrument.analysis.critical_path import waited_for
from instrument.analysis.facts import NOBODY
from instrument.analysis.report import findings_of
from instrument.analysis.retold import latest
from instrument.analysis.totals import Sum, dollars
from instrument.analysis.tree import Trace
from instrument.collecting import uncollected
from instrument.errors import InstrumentError
from instrument.model import Finding, Usage
from instrument.store import blobs, ledger
from instrument.store.contents import Search
from instrument.store.sampled import STORED, is_sampled
from instrument.views.answers import answers
from instrument.views.catalog import Catalog, day_of, spent_told
from instrument.views.columns import columns
from instrument.views.compared import both_calls, compared, run_of
from instrument.views.html import PAGE, TYPES, Judge, pieces, script, shell

T = TypeVar("T")

POLL_SECONDS = 0.25
"""How often the files are looked at while somebody watches."""
HEARTBEAT_SECONDS = 10.0
MOST_SEARCHES = 8
LOOK_SECONDS = 0.4
"""So long what all runs hold is looked through for one answer."""
MOST_KEPT = 3
MOST_EXAMINED = 30_000
"""Lines of the longest run that the detectors look at again; what was found while it was recorded is shown anyway."""
UNKNOWN = "this is not recorded here (any more)"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(18)


def application(
    path: str | os.PathLike[str], token: str, port: int, receiving: Sequence[Route] = (), judge: Judge = findings_of
) -> Starlette:
    """The page for what lies below `path`, at `http://127.0.0.1:{port}/{token}/`.

    `receiving` are routes that take in what programs send, and never pages. `judge` gives the findings of a trace.
    `app.state.end()` lets those who watch go, so that the server can stop.
    """
    served = _Served(Path(path), judge)
    threading.Thread(target=served.prepare, name="instrument-page", daemon=True).start()
    guard = Middleware(
        _Guarded, token=token, port=port, taking=frozenset(f"/{token}{route.path}" for route in receiving)
    )
    app = Starlette(routes=[Mount(f"/{token}", routes=[*receiving, *served.routes()])], middleware=[guard])
    app.state.end = served.end
    return app


class _Guarded:
    """Refuses whoever does not come from the page itself, and sets the headers that keep the page alone."""

    def __init__(self, app: ASGIApp, token: str, port: int, taking: frozenset[str]) -> None:
        self._app, self._token, self._taking = app, token, taking
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        self._origins = {f"http://{host}" for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        refusal = self._refusal(Request(scope))
        if refusal is not None:
            return await PlainTextResponse(refusal, 403, HEADERS)(scope, receive, send)

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                added = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        await self._app(scope, receive, with_headers)

    def _refusal(self, request: Request) -> str | None:
        if request.headers.get("host", "").lower() not in self._hosts:
            return "refused: this page is served to this machine only, by the address that `instrument serve` printed\n"
        origin = request.headers.get("origin")
        if origin is not None and origin not in self._origins:
            return "refused: the request comes from another page\n"
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return "refused: the request comes from another page\n"
        is_sent = request.method == "POST" and request.url.path in self._taking and origin is None
        if request.method not in ("GET", "HEAD") and not is_sent:
            return "refused: there is nothing here to change\n"
        given = request.url.path.split("/")[1]
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            return "refused: the address lacks the token; open the one that `instrument serve` printed\n"
        return None


class _Served:
    """The answers. One thread at a time asks the catalogue."""

    def __init__(self, path: Path, judge: Judge) -> None:
        self._path, self._judge = path, judge
        self._catalog = Catalog(path)
        self._lock = threading.Lock()
        self._comparing = threading.Lock()
        self._told: tuple[tuple[str, ...], bytes] | None = None
        self._searching = threading.Lock()
        self._searches: OrderedDict[str, Search] = OrderedDict()
        self._explaining = threading.Lock()
        self._explained: tuple[tuple[str, str], bytes] | None = None
        self._looked = 0.0
        self._is_sampled = False
        self.ending = False
        self._encoded: OrderedDict[str, tuple[int, bytes]] = OrderedDict()

    def routes(self) -> list[Route]:
        answers: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/": self.page,
            "/page/{name}": self.file,
            "/api/runs": self.runs,
            "/api/costs": self.costs,
            "/api/search": self.contents,
            "/api/events": self.events,
            "/api/run/{trace}": self.run,
            "/api/run/{trace}/span/{span}": self.span,
            "/api/run/{trace}/findings": self.findings,
            "/api/run/{trace}/why": self.why,
            "/api/run/{trace}/search": self.search,
            "/api/run/{trace}/file": self.saved,
            "/api/diff/{a}/{b}": self.diff,
            "/api/blob/{digest}": self.blob,
        }
        return [Route(path, answer) for path, answer in answers.items()]

    def end(self) -> None:
        """Let those who watch go."""
        self.ending = True

    async def page(self, request: Request) -> Response:
        return Response(shell(), media_type="text/html; charset=utf-8")

    async def file(self, request: Request) -> Response:
        name = request.path_params["name"]
        place = PAGE / name
        if name == "main.js":  # all modules in one, so that the page opens by one request
            return Response(script(), media_type=TYPES[".js"])
        if place.suffix not in TYPES or name != place.name or not place.is_file():
            return _missing("there is no such file")
        return Response(place.read_bytes(), media_type=TYPES[place.suffix])

    async def runs(self, request: Request) -> Response:
        def told(catalog: Catalog) -> Any:
            return {"version": catalog.version, "rows": catalog.rows(), "path": str(self._path), "sampled": sampled}

        sampled = await asyncio.to_thread(self._of_sampling)
        return _json(await self._asked(told))

    def _of_sampling(self) -> str:
        """What to say of the list where it holds a share of the traces."""
        if not self._holds_a_share():
            return ""
        where_all_are = "; Costs has the model calls of all" if self._ledger() is not None else ""
        return f"{STORED[0].upper()}{STORED[1:]}{where_all_are}."

    def _holds_a_share(self) -> bool:
        self._is_sampled = self._is_sampled or is_sampled(self._path)
        return self._is_sampled

    def _ledger(self) -> Path | None:
        place = ledger.in_folder(self._path)
        return place if place.is_file() else None

    async def costs(self, request: Request) -> Response:
        return _json(await self._asked(self._spending))

    async def run(self, request: Request) -> Response:
        return await self._of(request, self._columns)

    def prepare(self) -> None:
        """Read what is there and get the latest run ready, so that the page opens at once."""
        with self._lock:
            self._catalog.refresh()
            latest = self._catalog.latest()
            if latest is not None:
                self._columns(self._catalog, latest)

    async def span(self, request: Request) -> Response:
        span_id = request.path_params["span"]
        return await self._of(request, lambda catalog, trace: catalog.span(trace, span_id))

    async def findings(self, request: Request) -> Response:
        told = await asyncio.to_thread(self._examined, request.path_params["trace"])
        return _json(told) if told is not None else _missing(UNKNOWN)

    def _examined(self, trace: str) -> Any:
        """The findings, those that only show afterwards among them, what the run waited for, and why it failed if it
        did. Others are answered while the run is looked at.
        """
        lines = self._ask(lambda catalog: catalog.lines(trace) if catalog.find(trace) else 0)
        if lines > MOST_EXAMINED:
            return {"findings": None, "most": MOST_EXAMINED}
        whole = self._whole(trace)
        if whole is None:
            return None
        found = self._judge(whole)
        why = {} if whole.root.status == "ok" else {"why": answers(whole, found, blobs.folder_for(self._path))}
        return columns(found, whole.start_ns).told(path=waited_for(whole), **why)

    async def why(self, request: Request) -> Response:
        told = await asyncio.to_thread(self._why, request.path_params["trace"])
        return _json(told) if told is not None else _missing(UNKNOWN)

    def _why(self, trace: str) -> bytes | None:
        """The last answer is kept until the run has grown."""
        with self._explaining:
            state = self._ask(lambda catalog: _grown(catalog, trace))
            if self._explained is None or self._explained[0] != (trace, state):
                with uncollected():
                    whole = self._whole(trace)
                    if whole is None:
                        return None
                    told = answers(whole, self._findings(whole), blobs.folder_for(self._path))
                    self._explained = (trace, state), msgspec.json.encode(told)
            return self._explained[1]

    def _whole(self, trace: str) -> Trace | None:
        return self._ask(lambda catalog: catalog.trace(trace) if catalog.find(trace) else None)

    async def search(self, request: Request) -> Response:
        trace, text = request.path_params["trace"], _wanted(request)
        if not await self._asked(lambda catalog: catalog.find(trace)):
            return _missing(UNKNOWN)
        return _json(await asyncio.to_thread(self._catalog.lines_with, trace, text) if text else [])

    async def contents(self, request: Request) -> Response:
        """The runs in which a text stands, as far as they were looked at; who asks again has more looked at."""
        text = _wanted(request)
        return _json(await asyncio.to_thread(self._looked_for, text) if text else {"ids": [], "share": 1})

    def _looked_for(self, text: str) -> Any:
        with self._searching:
            search = self._searches.pop(text, None) or Search(self._path, text)
            self._searches[text] = search
            if len(self._searches) > MOST_SEARCHES:
                self._searches.popitem(last=False)
            search.look(LOOK_SECONDS)
            return {"ids": list(search.found), "share": search.share}

    async def saved(self, request: Request) -> Response:
        """The run as one file to keep or to send."""
        trace = await asyncio.to_thread(self._whole, request.path_params["trace"])
        if trace is None:
            return _missing(UNKNOWN)
        content = pieces(trace, blobs.folder_for(self._path), self._findings)
        kept = {"Content-Disposition": f'attachment; filename="run-{trace.trace_id[:8]}.html"'}
        return StreamingResponse(content, headers=kept, media_type="text/html; charset=utf-8")

    async def diff(self, request: Request) -> Response:
        """Two runs beside each other or, where spans are named, one call of the one and one of the other."""
        ids = request.path_params["a"], request.path_params["b"]
        spans = request.query_params.get("span_a"), request.query_params.get("span_b")
        try:
            if any(spans):
                return _json(await self._asked(partial(both_calls, ids=ids, spans=spans)))
            told = await asyncio.to_thread(self._compared, ids, request.query_params.get("since"))
            return Response(status_code=204) if told is None else _json(told)
        except LookupError as missing:
            return _missing(str(missing.args[0]))

    def _compared(self, ids: tuple[str, str], since: str | None) -> bytes | None:
        """None where neither run has grown since that state.

        Others are answered while two runs are compared, which may take seconds; the last answer is kept.
        """
        with self._comparing:
            state = self._ask(lambda catalog: ".".join(_grown(catalog, trace) for trace in ids))
            if since == state:
                return None
            if self._told is None or self._told[0] != (*ids, state):
                with uncollected():
                    one, two = (self._ask(partial(run_of, trace=trace)) for trace in ids)
                    told = {**compared(one, two, self._findings), "state": state}
                    self._told = (*ids, state), msgspec.json.encode(told)
            return self._told[1]

    def _findings(self, whole: Trace) -> Sequence[Finding]:
        return self._judge(whole) if len(whole.spans) <= MOST_EXAMINED else latest(whole.findings)

    async def blob(self, request: Request) -> Response:
        read = partial(blobs.read, blobs.folder_for(self._path), f"sha256:{request.path_params['digest']}")
        try:
            return Response(await asyncio.to_thread(read), media_type="application/octet-stream")
        except (ValueError, OSError):
            return _missing("the value is not there any more")

    async def events(self, request: Request) -> Response:
        stream = self._events(request.query_params.get("run"), _number(request, "after"), _number(request, "version"))
        return StreamingResponse(stream, media_type="text/event-stream")

    async def _events(self, trace: str | None, after: int, version: int) -> AsyncIterator[bytes]:
        """What changes: rows of runs, and the lines that a run gets; a run that is not there yet is waited for."""
        spoke = time.monotonic()
        was_live: set[str] = set()
        while not self.ending:
            rows, version, was_live = await self._asked(partial(_changes, version=version, was_live=was_live))
            if rows:
                yield _event("runs", {"version": version, "rows": rows})
            if trace is not None:
                told = await self._asked(partial(_added, trace=trace, after=after))
                if told is not None:
                    after = told["lines"]
                    yield _event("columns", told)
            if time.monotonic() - spoke > HEARTBEAT_SECONDS:
                spoke = time.monotonic()
                yield b": still here\n\n"
            await asyncio.sleep(POLL_SECONDS)

    async def _of(self, request: Request, tell: Callable[[Catalog, str], Any]) -> Response:
        """What `tell` says of the run that the request names."""
        trace = request.path_params["trace"]
        told = await self._asked(lambda catalog: tell(catalog, trace) if catalog.find(trace) else None)
        return _json(told) if told is not None else _missing(UNKNOWN)

    async def _asked(self, tell: Callable[[Catalog], T]) -> T:
        return await asyncio.to_thread(self._ask, tell)

    def _ask(self, tell: Callable[[Catalog], T]) -> T:
        with self._lock:
            if time.monotonic() - self._looked > POLL_SECONDS / 2:
                self._catalog.refresh()
                self._looked = time.monotonic()
            return tell(self._catalog)

    def _columns(self, catalog: Catalog, trace: str) -> bytes:
        """The columns of a run as JSON; those of the last few runs are kept until the run grows."""
        lines, encoded = self._encoded.get(trace, (-1, b""))
        if lines != catalog.lines(trace):
            made, lines = catalog.columns(trace)
            encoded = msgspec.json.encode(made.told(trace=trace, lines=lines))
            self._encoded[trace] = lines, encoded
            if len(self._encoded) > MOST_KEPT:
                self._encoded.popitem(last=False)
        return encoded[:-1] + b"," + msgspec.json.encode(_moment(catalog, trace))[1:]

    def _spending(self, catalog: Catalog) -> Any:
        """From the ledger, which outlasts the records, where there is one; else from the records."""
        place = self._ledger()
        if place is not None:
            try:
                return {"source": "ledger", "rows": _ledger_rows(place)}
            except InstrumentError:
                pass
        return {"source": "records", "rows": catalog.spending(), "sampled": self._holds_a_share()}


def _wanted(request: Request) -> str:
    return request.query_params.get("q", "")[:200]


def _number(request: Request, name: str) -> int:
    given = request.query_params.get(name, "")
    return int(given) if given.isascii() and given.isdigit() else 0


def _changes(catalog: Catalog, version: int, was_live: set[str]) -> tuple[list[Any], int, set[str]]:
    """The rows that changed, also because a process has begun or ended without writing anything."""
    live = {trace for trace in catalog.unended() if catalog.is_live(trace)}
    rows = catalog.rows(version) if catalog.version > version else []
    if gone := live ^ was_live:
        known = {row["id"] for row in rows}
        rows += [row for row in catalog.rows() if row["id"] in gone - known]
    return rows, catalog.version, live


def _added(catalog: Catalog, trace: str, after: int) -> Any:
    if not catalog.find(trace) or catalog.lines(trace) <= after:
        return None
    made, lines = catalog.columns(trace, after)
    return made.told(trace=trace, lines=lines, **_moment(catalog, trace))


def _moment(catalog: Catalog, trace: str) -> dict[str, Any]:
    ends = {process: None if sign is None else str(sign) for process, sign in catalog.ends(trace).items()}
    return {"live": catalog.is_live(trace), "now": str(time.time_ns()), "ends": ends}


def _grown(catalog: Catalog, trace: str) -> str:
    """The state of a run as a text, which is another one when it has grown or its process has gone."""
    return f"{catalog.lines(trace)}{'+' if catalog.is_live(trace) else ''}" if catalog.find(trace) else ""


def _ledger_rows(place: Path) -> list[list[Any]]:
    sums: dict[tuple[str, str, str], Sum] = {}
    for row in ledger.rows(place):
        key = day_of(row.time_ns), row.model_answered or row.model_requested or NOBODY, row.agent_id or NOBODY
        usage = Usage(input=row.input, output=row.output, cached=row.cached)
        sums.setdefault(key, Sum()).add((usage, row.basis, dollars(row.usd)))
    return spent_told(sums)


def _json(value: Any) -> Response:
    content = value if isinstance(value, bytes) else msgspec.json.encode(value)
    return Response(content, media_type="application/json")


def _missing(sentence: str) -> Response:
    return Response(msgspec.json.encode({"error": sentence}), 404, media_type="application/json")


def _event(name: str, value: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(value) + b"\n\n"
