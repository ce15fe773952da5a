"""`instrument costs`: exact amounts, unpriced calls apart, one sentence when something is wrong."""

from __future__ import annotations

import io
import json
import sqlite3
import time
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from instrument.cli.amounts import WITHOUT_TOKENS, places
from instrument.cli.main import main
from instrument.cli.moments import since
from instrument.model import Batch, Cost, Span, Usage
from instrument.sinks.ledger import LedgerSink
from tests.recorded import span, write

DAY = 86_400 * 10**9


def run(*words: str) -> int:
    """`instrument costs` with these words."""
    return main(["costs", *words])


def call(number: int, model: str, usd: str | None, basis: str = "priced", day: int = 20_000) -> Span:
    return Span(
        run="r", trace_id="t", span_id=str(number), start_ns=day * DAY, duration_ns=1, kind="llm", name="think",
        status="ok", attributes={"gen_ai.request.model": model}, usage=Usage(input=1000, output=10),
        cost=Cost(usd=usd, basis=basis),
    )  # fmt: skip


@pytest.fixture
def folder(alone: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a ledger of three models, the working directory inside of it."""
    sink = LedgerSink(f"sqlite:///{alone}/.instrument/ledger.db")
    sink.write(Batch([
        call(0, "gpt-4.1", "0.1"),
        call(1, "gpt-4.1", "0.0000002", day=20_001),
        call(2, "secret", None, "unpriced"),
        call(3, "mini", "0.02", "estimated"),
    ]))  # fmt: skip
    sink.close()
    (alone / "src").mkdir()
    monkeypatch.chdir("src")
    return alone


@pytest.mark.parametrize("words", [[], ["--reprice"]])
def test_it_fits_a_narrow_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """Counts give way to the money, sentences are broken."""
    monkeypatch.setenv("COLUMNS", "60")
    main(["costs", *words])
    assert [] == [line for line in capsys.readouterr().out.splitlines() if len(line) > 60]


def test_the_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Amounts are exact and aligned, the dearest model first; what is unpriced or estimated is said below."""
    assert 0 == run()
    assert capsys.readouterr().out.splitlines() == [
        "model    calls  input  cached  output  reasoning  unpriced        USD",
        "gpt-4.1      2  2,000       0      20          0            0.1000002",
        "mini         1  1,000       0      10          0            0.0200000",
        "secret       1  1,000       0      10          0         1    unknown",
        "total        4  4,000       0      40          0         1  0.1200002",
        WITHOUT_TOKENS,
        "1 call is unpriced and not in the total: secret",
        "1 call is estimated: tokens, or a price, had to be assumed",
    ]


@pytest.mark.parametrize("place", ["", ".instrument", ".instrument/ledger.db"])
def test_a_path_may_be_project_folder_or_file(folder: Path, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The ledger is found from the project, the recording folder, or by its own name."""
    assert 0 == run(str(folder / place), "--json")
    assert str(folder / ".instrument" / "ledger.db") == json.loads(capsys.readouterr().out)["ledger"]


def test_json_has_exact_decimals(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Money in JSON is decimal text to the last digit, and null where no price is known; what is left out is said."""
    run("--json", "--by", "model")
    shown = json.loads(capsys.readouterr().out)
    expected = ("0.1200002", ["0.1000002", "0.02", None], WITHOUT_TOKENS)
    assert expected == (shown["total"]["usd"], [g["usd"] for g in shown["groups"]], shown["left_out"])


def test_by_day_since(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Days are in order, and those before --since are left out."""
    run("--json", "--by", "day", "--since", "2024-10-05")
    shown = json.loads(capsys.readouterr().out)
    assert [("2024-10-05", "0.0000002")] == [(group["key"], group["usd"]) for group in shown["groups"]]


def test_days_come_in_their_order(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whichever was the dearest."""
    sink = LedgerSink(str(folder / ".instrument" / "ledger.db"))
    sink.write(Batch([call(9, "gpt-4.1", "7", day=20_002)]))
    sink.close()
    run("--json", "--by", "day")
    days = [group["key"] for group in json.loads(capsys.readouterr().out)["groups"]]
    assert ["2024-10-04", "2024-10-05", "2024-10-06"] == days


@pytest.mark.parametrize(("calls", "usd"), [([], "0"), ([call(0, "secret", None, "unpriced")], None)])
def test_what_is_not_known_is_not_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], calls: list[Span], usd: str | None
) -> None:
    """Calls of which none has a price cost an unknown amount, no call costs nothing."""
    (tmp_path / "x.db").touch()
    sink = LedgerSink(str(tmp_path / "x.db"))
    sink.write(Batch(calls))
    sink.close()
    run(str(tmp_path / "x.db"), "--json", "--by", "model")
    assert usd == json.loads(capsys.readouterr().out)["total"]["usd"]


def test_control_characters_do_not_reach_the_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model's name, which a service chose, cannot move the cursor."""
    sink = LedgerSink(str(folder / ".instrument" / "ledger.db"))
    sink.write(Batch([call(9, "bad\x1b[2J", "1")]))
    sink.close()
    run()
    assert "\x1b" not in capsys.readouterr().out


def test_a_ledger_that_was_only_begun_is_empty(tmp_path: Path) -> None:
    """A file without a byte is what a process leaves that was killed before its first row."""
    (tmp_path / "x.db").touch()
    assert 0 == run(str(tmp_path / "x.db"))


@pytest.mark.parametrize("content", [None, b"no ledger"])
def test_no_ledger_is_one_sentence(tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing or broken ledger is said in one line on stderr, with exit code 2."""
    path = tmp_path / "x.db"
    if content is not None:
        path.write_bytes(content)
    assert 2 == run(str(path))
    said = capsys.readouterr()
    assert ("", 1, True) == (said.out, said.err.count("\n"), "x.db" in said.err)


def test_a_file_of_events_is_no_ledger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Other verbs take one: what `costs` reads is named."""
    path = tmp_path / "x.jsonl"
    path.write_text('{"type": "run"}\n' * 100)
    told = f"instrument: {path} is not a ledger: name a ledger.db, or the folder that has one\n"
    assert (2, told) == (run(str(path)), capsys.readouterr().err)


def test_the_database_of_something_else_is_no_ledger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not taken for one that was only begun."""
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE notes (x)")
    assert (2, f"instrument: {path} is not a ledger\n") == (run(str(path)), capsys.readouterr().err)


def test_a_folder_without_anything_has_no_ledger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That no model was called is said of what was recorded."""
    assert (2, True) == (run(str(tmp_path)), "there is no ledger" in capsys.readouterr().err)


def test_without_a_folder_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Outside of any project the user is told what to do."""
    monkeypatch.setenv("INSTRUMENT_DIR", str(tmp_path / "nowhere"))
    assert 2 == run()
    assert "run a decorated program" in capsys.readouterr().err


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """When the settings say where the ledger is and cannot be read, the key is named."""
    monkeypatch.setenv("INSTRUMENT_LEDGER__URL", "postgres://x")
    assert 2 == run()
    assert "ledger.url" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-02", DAY),
        ("1970-01-02T00:00:01+00:00", DAY + 10**9),
        ("1970-01-02T02:00+02:00", DAY),
        ("1970-01-02T00:00:00.25", DAY + 250_000_000),
        ("2026-11-23T12:00:00.123456Z", 1_795_435_200_123_456_000),
    ],
)
def test_points_in_time(text: str, expected: int) -> None:
    """Dates and times are UTC unless they say otherwise, and exact to the microsecond as records show them."""
    assert expected == since(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("3m", 180), ("2h", 7200), ("7d", 604_800), ("1w", 604_800)]
)
def test_times_ago(text: str, seconds: int) -> None:
    """A number with a unit is that long ago."""
    before = time.time_ns()
    assert before <= since(text) + seconds * 10**9 <= time.time_ns()


@pytest.mark.parametrize(("usd", "places_shown"), [("1", 2), ("0.5", 2), ("0.125", 3), ("1E+2", 2)])
def test_an_amount_has_two_decimals_at_least(usd: str, places_shown: int) -> None:
    """As money is written, and more where it has more."""
    assert places_shown == places(Decimal(usd))


def test_a_time_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong --since names what can be given."""
    assert (2, True) == (run("--since", "yesterday"), "2026-11-23" in capsys.readouterr().err)


@pytest.mark.parametrize("words", [[], ["--reprice"]])
@pytest.mark.parametrize(("asked", "code"), [("tool", 0), ("llm", 2)])
def test_no_ledger_is_fine_where_no_model_was_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: str, code: int, words: list[str]
) -> None:
    """There is nothing to pay, which is said; calls that are recorded and not entered are not passed over."""
    one = call(0, "mini", "0.1") if asked == "llm" else span(1)
    write(tmp_path / "a.jsonl", one)
    assert code == run(str(tmp_path), *words)
    assert (code == 0) == capsys.readouterr().out.startswith("no model call that told its tokens in")


@pytest.mark.parametrize("words", [[], ["--reprice"], ["--json"]])
def test_a_name_that_stdout_cannot_show_is_escaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """Where the terminal knows no letters but those of English."""
    ledger = LedgerSink(f"sqlite:///{tmp_path}/ledger.db")
    ledger.write(Batch([call(0, "mödel", "0.1")]))
    ledger.close()
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    code = run(str(tmp_path), *words)
    out.seek(0)
    assert (0, True) == (code, {"--json": "m\\u00f6del"}.get("".join(words), "m\\xf6del") in out.read())
