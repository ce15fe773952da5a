"""`instrument serve` over plain HTTP: who is refused, what the headers say, how it ends."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient

from instrument.cli.main import main
from instrument.model import Batch
from instrument.sinks.ledger import LedgerSink
from instrument.store import history
from instrument.views.server import application
from tests.browser import serving
from tests.programs import begun
from tests.recorded import MS, TRACE, call, review, span, write

SLOW = "510f" * 8
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where one file is served: a review, and a search far slower than is usual in its folder."""
    file = tmp_path_factory.mktemp("served") / "a.jsonl"
    slow = span(
        1,
        trace_id=SLOW,
        run="r9",
        name="search",
        kind="tool",
        duration_ns=9_000 * MS,
        attributes={"instrument.sampling.rate": 0.5},
    )
    write(file, *review(), slow)
    history.save(file.parent, {"duration": {"search": {"200": 40}}})
    with serving(file) as found:
        yield found


def asked(
    address: str, path: str = "", method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Status, headers and body of the answer to a request; `headers` are those of a browser, `_` for `-`."""
    parts = urlsplit(address)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    try:
        connection.request(
            method,
            parts.path + path if not path.startswith("/") else path,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("path", "told"), [("api/runs", b'"sampled":"Sampling has stored what matters'), ("api/costs", b'"sampled":true')]
)
def test_of_a_share_of_the_traces_it_is_said_so(address: str, path: str, told: bytes) -> None:
    """Beside the numbers over all of them."""
    assert told in asked(address, path)[2]


def test_it_listens_on_loopback_only(address: str) -> None:
    """No other machine reaches it."""
    assert "127.0.0.1" == urlsplit(address).hostname


def test_a_run_is_judged_as_check_judges_it(address: str) -> None:
    """By what is usual in the folder, too."""
    assert b'"slow"' in asked(address, f"api/run/{SLOW}/findings")[2]


@pytest.mark.parametrize(("status", "is_told"), [("ok", False), ("error", True)])
def test_why_a_run_failed_stands_beside_its_findings(tmp_path: Path, status: str, is_told: bool) -> None:
    """Of one that did not fail it is only told where it is asked for."""
    write(tmp_path / "a.jsonl", span(1, status=status))
    client = TestClient(application(tmp_path, "token", 8080), base_url="http://127.0.0.1:8080")
    assert is_told == ("why" in client.get(f"/token/api/run/{TRACE}/findings").json())


def test_why_is_what_the_verb_tells(tmp_path: Path, capsys: Capture) -> None:
    """Word for word, with the spans that prove each line."""
    write(file := tmp_path / "a.jsonl", *review())
    main(["why", "--json", str(file)])
    expected = json.loads(capsys.readouterr().out)
    with TestClient(application(file, "t", 1), base_url="http://127.0.0.1:1") as client:
        told = client.get(f"/t/api/run/{TRACE}/why").json()
    assert {name: [[one["text"], one["span_ids"]] for one in expected[name]] for name in told} == {
        name: [line[:2] for line in lines] for name, lines in told.items()
    }
    assert ["failed", "slow", "expensive"] == list(told)


def test_the_token_is_long_and_always_another(address: str) -> None:
    """So that nobody guesses it."""
    from instrument.views.server import new_token

    token = urlsplit(address).path.strip("/")
    assert (24, True) == (len(token), new_token() != new_token())


@pytest.mark.parametrize(
    "path",
    ["/", "/api/runs", "/api/diff/a/b", "/favicon.ico", "/wrong/", "/wrong/api/runs", "//", "/..%2f..%2fetc/passwd"],
)
def test_without_the_token_everything_is_refused(address: str, path: str) -> None:
    """Whatever is asked for."""
    status, _, body = asked(address, path)
    assert (403, True) == (status, b"token" in body)


@pytest.mark.parametrize(
    "host",
    [
        "elsewhere.example",
        "elsewhere.example:80",
        "127.0.0.1",
        "127.0.0.1.elsewhere.example:{port}",
        "0.0.0.0:{port}",
        "localhost:1",
    ],
)
def test_another_host_name_is_refused(address: str, host: str) -> None:
    """A name that was bound anew to this machine does not open the page to the page that did it."""
    assert 403 == asked(address, "api/runs", Host=host.format(port=urlsplit(address).port))[0]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1"}, {"Origin": "http://localhost:1"},
        {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"},
    ],
)  # fmt: skip
def test_another_origin_is_refused(address: str, headers: dict[str, str]) -> None:
    """Even one that knows the token."""
    assert 403 == asked(address, "api/runs", **headers)[0]


def test_the_page_itself_is_answered(address: str) -> None:
    """By both names of this machine, with and without what browsers add."""
    port = urlsplit(address).port
    own = [
        {"Host": f"{name}:{port}", "Origin": f"http://{name}:{port}", "Sec_Fetch_Site": "same-origin"}
        for name in ("127.0.0.1", "localhost")
    ]
    assert [200, 200, 200] == [asked(address, "api/runs", **headers)[0] for headers in (*own, {})]


def test_two_runs_are_compared(address: str) -> None:
    """Every span of both is in one row; where one call of each is named, they are told in full."""
    told = json.loads(asked(address, f"api/diff/{TRACE}/{SLOW}")[2])
    calls = json.loads(asked(address, f"api/diff/{TRACE}/{SLOW}?span_a={1:016x}&span_b={1:016x}")[2])
    sides = [sum(one is not None for one in told["rows"][side]["id"]) for side in "ab"]
    assert (["15", "1"], [15, 1], "other call") == (told["figures"][2][1:3], sides, calls["changes"][0][0])


def test_a_comparison_is_told_again_only_when_a_run_has_grown(address: str) -> None:
    """Who names the state that was told is told that nothing came since."""
    state = json.loads(asked(address, f"api/diff/{TRACE}/{SLOW}")[2])["state"]
    since = [asked(address, f"api/diff/{TRACE}/{SLOW}?since={one}") for one in (state, "0.0")]
    assert [(204, False), (200, True)] == [(status, bool(body)) for status, _, body in since]


def test_of_all_runs_those_are_named_that_hold_a_text(address: str) -> None:
    """And it is said whether all of them were looked at."""
    told = [json.loads(asked(address, f"api/search?q={text}")[2]) for text in ("exampels", "straw", "")]
    assert [{"ids": ids, "share": 1.0} for ids in ([TRACE], [], [])] == told


def test_of_a_run_those_calls_are_named_that_hold_a_text(address: str) -> None:
    """Wherever it stands in them."""
    told = [json.loads(asked(address, f"api/run/{TRACE}/search?q={text}")[2]) for text in ("exampels", "straw", "")]
    assert [[f"{23:016x}"], [], []] == told


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_nothing_can_be_changed(address: str, method: str) -> None:
    """There is only reading."""
    assert 403 == asked(address, "api/runs", method)[0]


@pytest.mark.parametrize("path", ["", "page/main.js", "api/runs", "/"])
def test_every_answer_keeps_the_page_alone(address: str, path: str) -> None:
    """The policy allows nothing from elsewhere, no frame around it, and no script but those of the page."""
    _, headers, _ = asked(address, path)
    policy = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
    assert ("'none'", "'self'", "'none'", "'script'", "nosniff", "no-referrer", "no-store") == (
        policy["default-src"], policy["script-src"], policy["frame-ancestors"], policy["require-trusted-types-for"],
        headers["x-content-type-options"], headers["referrer-policy"], headers["cache-control"],
    )  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        "page/../server.py",
        "page/%2e%2e%2fserver.py",
        "page/..%5cserver.py",
        "page/nothing.js",
        "page/index.html",
        "api/nothing",
    ],
)
def test_only_files_of_the_page_are_given(address: str, path: str) -> None:
    """No way leads out of their folder."""
    assert 404 == asked(address, path)[0]


@pytest.mark.parametrize(
    "path",
    [
        "api/run/none",
        "api/run/none/span/1",
        "api/run/none/findings",
        "api/run/none/why",
        "api/run/none/file",
        "api/run/none/search?q=x",
        f"api/run/{TRACE}/span/none",
        "api/blob/none",
        f"api/diff/{TRACE}/none",
        f"api/diff/{TRACE}/{SLOW}?span_a=none",
    ],
)
def test_what_is_not_there_is_said(address: str, path: str) -> None:
    """In one sentence."""
    status, _, body = asked(address, path)
    assert (404, True) == (status, "not" in json.loads(body)["error"])


@pytest.mark.parametrize("path", ["", ".instrument"])
def test_costs_are_those_of_the_ledger(tmp_path: Path, path: str) -> None:
    """It outlasts the records, also where the project's folder is served and not the recording folder in it."""
    ledger = LedgerSink(f"sqlite:///{tmp_path}/.instrument/ledger.db")
    ledger.write(Batch([call(1)]))
    ledger.close()
    client = TestClient(application(tmp_path / path, "token", 8080), base_url="http://127.0.0.1:8080")
    told = client.get("/token/api/costs").json()
    assert ("ledger", 1) == (told["source"], len(told["rows"]))


def test_costs_are_those_of_the_records_where_the_ledger_is_damaged(tmp_path: Path) -> None:
    """The page is there all the same."""
    write(tmp_path / "a.jsonl", call(1))
    (tmp_path / "ledger.db").write_text("no ledger")
    client = TestClient(application(tmp_path, "token", 8080), base_url="http://127.0.0.1:8080")
    told = client.get("/token/api/costs").json()
    assert ("records", 1) == (told["source"], len(told["rows"]))


def test_a_run_that_has_grown_is_given_as_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not as it was when it was asked for first."""
    monkeypatch.setattr("instrument.views.server.POLL_SECONDS", 0)
    client = TestClient(application(tmp_path, "token", 8080), base_url="http://127.0.0.1:8080")
    counts = []
    for records in ([span(1)], [span(1), span(2, 1)]):
        write(tmp_path / "a.jsonl", *records)
        counts.append(len(client.get(f"/token/api/run/{TRACE}").json()["spans"]["id"]))
    assert [1, 2] == counts


def test_a_run_is_given_as_one_file(address: str) -> None:
    """To keep or to send: what `export --html` writes."""
    status, headers, body = asked(address, f"api/run/{TRACE}/file")
    assert (200, f'attachment; filename="run-{TRACE[:8]}.html"') == (status, headers["content-disposition"])
    assert b'<script type="text/plain" id="columns">' in body


def test_a_span_is_given_whole(address: str) -> None:
    """As it was recorded."""
    status, _, body = asked(address, f"api/run/{TRACE}/span/{23:016x}")
    span = json.loads(body)
    assert (200, "read_file", {"path": "m.py"}, "FileNotFoundError") == (
        status,
        span["name"],
        span["input"],
        span["error"]["type"],
    )


def test_it_ends_when_it_is_interrupted(tmp_path: Path) -> None:
    """At once, though somebody watches, and without a traceback."""
    (tmp_path / "a.jsonl").write_bytes(b"")
    with begun("-m", "instrument", "serve", tmp_path) as server:
        try:
            assert server.stdout is not None
            parts = urlsplit(address := server.stdout.readline().strip())
            assert 403 == asked(address, "v1/traces", "POST")[0]  # without --otlp nothing is taken
            with socket.create_connection((parts.hostname, parts.port)) as watching:
                watching.sendall(f"GET {parts.path}api/events HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
                watching.recv(100)
                server.send_signal(signal.SIGINT)
                _, said = server.communicate(timeout=30)
        finally:
            server.kill()
    assert (True, False) == (server.returncode in (0, 130), "Traceback" in said), said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["missing"], "there is no file or folder 'missing'"),
        (["--port", "high"], "'high' is no port: give a number from 1 to 65535"),
        (["--port", "70000"], "'70000' is no port"),
    ],
)
def test_bad_use_is_one_clear_sentence(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], sentence: str
) -> None:
    """What, and how to mend it."""
    monkeypatch.chdir(tmp_path)
    assert (2, True) == (main(["serve", *words]), sentence in capsys.readouterr().err)


def test_a_port_that_is_taken_is_said(capsys: Capture, tmp_path: Path) -> None:
    """With what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert (2, True) == (
            main(["serve", str(tmp_path), "--port", str(port)]),
            f"port {port} cannot be had" in capsys.readouterr().err,
        )


def test_without_the_extra_it_says_what_to_install(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the library does without."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert (2, "instrument: serving the page needs starlette and uvicorn: pip install 'agent-instrument[web]'\n") == (
        main(["serve", str(tmp_path)]),
        capsys.readouterr().err,
    )
