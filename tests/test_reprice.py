"""`instrument costs --reprice`: old and new side by side, the ledger untouched, bad prices named."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument.analysis.reprice import compared, priced_anew
from instrument.cli.amounts import WITHOUT_TOKENS
from instrument.cli.main import main
from instrument.model import Batch, Cost, Span, Usage
from instrument.pricing import Prices
from instrument.sinks.ledger import LedgerSink
from instrument.store.entries import By, Row, added_up
from instrument.store.ledger import rows, totals
from tests.recorded import span, write

DAY = 86_400 * 10**9
MAY_2025, JULY_2025 = 20_210 * DAY, 20_270 * DAY


def run(*words: str) -> int:
    """`instrument costs` with these words."""
    return main(["costs", *words])


def call(number: int, model: str, cost: Cost, **usage: int) -> Span:
    return Span(
        run="r", trace_id="t", span_id=str(number), start_ns=MAY_2025, duration_ns=1, kind="llm", name="think",
        status="ok", attributes={"gen_ai.request.model": model}, usage=Usage(**usage), cost=cost,
    )  # fmt: skip


Shown = Callable[..., Any]


@pytest.fixture
def ledger(alone: Path) -> Path:
    """A ledger of one priced call, one of a model that had no price, and one that was not billed."""
    sink = LedgerSink(f"sqlite:///{alone}/ledger.db")
    sink.write(Batch([
        call(0, "o3", Cost(usd="0.05", basis="priced", price_date="then"), input=1000, output=1000),
        call(1, "mine", Cost(), input=1000, output=10),
        call(2, "gpt-4.1", Cost(usd="0", basis="free"), input=1000, output=10),
    ]))  # fmt: skip
    sink.close()
    return alone / "ledger.db"


@pytest.fixture
def shown(ledger: Path, capsys: pytest.CaptureFixture[str]) -> Shown:
    """The verb's JSON for more words."""

    def run_for(*words: str) -> Any:
        assert 0 == run(str(ledger), "--reprice", "--json", *words)
        return json.loads(capsys.readouterr().out)

    return run_for


def prices(folder: Path, text: str) -> str:
    (folder / "prices.toml").write_text(text)
    return str(folder / "prices.toml")


def usd(groups: Any, which: str) -> dict[str, str | None]:
    return {group["key"]: group[which]["usd"] for group in groups}


def test_the_table(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Old and new amounts stand side by side, exact, the dearest by the new prices first; doubts are said below."""
    file = prices(ledger.parent, '[prices."o3"]\ninput = 1\noutput = 1\n')
    assert 0 == run(str(ledger), "--reprice", "--prices", file, "--at", "2026-01-01")
    assert capsys.readouterr().out.splitlines() == [
        "model    calls  was unpriced  still unpriced  old USD  new USD  difference",
        "o3           1                                  0.050    0.002      -0.048",
        "gpt-4.1      1                                  0.000    0.000       0.000",
        "mine         1             1               1  unknown  unknown     unknown",
        "total        3             1               1    0.050    0.002      -0.048",
        WITHOUT_TOKENS,
        "1 call is unpriced by the new prices and not in their total: mine",
        f"new: {file}, then today's price list, at 2026-01-01T00:00:00Z; nothing in the ledger was changed",
    ]


def test_a_call_costs_what_it_did_at_its_time(shown: Shown) -> None:
    """Without `--at` the price list is asked for the price at the time of the call: o3 was dearer in May 2025."""
    assert "0.05" == usd(shown()["groups"], "new")["o3"]


def test_a_call_costs_what_it_would_at_another_time(shown: Shown) -> None:
    """`--at` asks for the price of that day: 2 and 8 USD a million since June 2025."""
    assert "0.01" == usd(shown("--at", "2025-07-01")["groups"], "new")["o3"]


def test_prices_of_a_file_win(shown: Shown, ledger: Path) -> None:
    """A model of the file is priced by it: 1,000 times 2 and 10 times 5 USD a million."""
    file = prices(ledger.parent, "[prices.mine]\ninput = 2\noutput = 5\n")
    groups = shown("--prices", file)["groups"]
    assert {"o3": "0.05", "mine": "0.00205", "gpt-4.1": "0"} == usd(groups, "new")
    assert {"o3": "0", "mine": None, "gpt-4.1": "0"} == {group["key"]: group["difference"] for group in groups}


def test_prices_of_the_settings_are_known(shown: Shown, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A price that was added to the settings later prices the calls of before; one of a file wins."""
    monkeypatch.setenv("INSTRUMENT_CONFIG", prices(ledger.parent, "[prices.mine]\ninput = 2\noutput = 5\n"))
    assert "0.00205" == usd(shown()["groups"], "new")["mine"]
    (ledger.parent / "other.toml").write_text("[prices.mine]\ninput = 4\noutput = 10\n")
    assert "0.0041" == usd(shown("--prices", str(ledger.parent / "other.toml"))["groups"], "new")["mine"]


def test_what_has_a_price_now_and_what_has_none_any_more(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each in its column, and the latter by its name."""
    sink = LedgerSink(str(ledger))
    sink.write(Batch([call(3, "gone", Cost(usd="1", basis="priced"), input=1, output=1)]))
    sink.close()
    run(str(ledger), "--reprice", "--prices", prices(ledger.parent, "[prices.mine]\ninput = 2\noutput = 5\n"))
    out = capsys.readouterr().out.splitlines()
    rows_of = {line.split()[0]: line for line in out if line.startswith(("model", "mine", "gone"))}
    ends = [rows_of["model"].index(title) + len(title) for title in ("was unpriced", "still unpriced")]
    assert {"mine": ["1", " "], "gone": [" ", "1"]} == {
        name: [rows_of[name][end - 1] for end in ends] for name in ("mine", "gone")
    }
    assert "1 call is unpriced by the new prices and not in their total: gone" in out


def test_a_settings_file_will_do(shown: Shown, ledger: Path) -> None:
    """The prices may lie in `[tool.instrument]` of a larger file."""
    file = prices(ledger.parent, "[tool.other]\na = 1\n[tool.instrument.prices.mine]\ninput = 2\noutput = 5\n")
    assert "0.00205" == usd(shown("--prices", file)["groups"], "new")["mine"]


@pytest.mark.parametrize(("since", "calls"), [("2025-05-01", 3), ("2025-06-01", 0)])
def test_calls_before_a_moment_are_left_out(shown: Shown, since: str, calls: int) -> None:
    """As without new prices."""
    assert calls == shown("--since", since)["total"]["old"]["calls"]


def test_what_was_not_billed_stays_free(shown: Shown) -> None:
    """A call that a local cache answered costs nothing by any price."""
    assert ("0", "0") == tuple(usd(shown()["groups"], which)["gpt-4.1"] for which in ("old", "new"))


def test_unpriced_calls_are_counted_apart(shown: Shown) -> None:
    """In JSON as well: how many had no price, how many still have none, and no amount for them."""
    total = shown()["total"]
    assert (1, 1, "0.05", "0.05") == (
        total["old"]["unpriced"], total["new"]["unpriced"], total["old"]["usd"], total["new"]["usd"]
    )  # fmt: skip


def test_json_of_no_call_has_the_same_form(tmp_path: Path, shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no model was called there is no group, and the total is of nothing."""
    folder = tmp_path / "tools"
    folder.mkdir()
    write(folder / "a.jsonl", span(1))
    assert 0 == run(str(folder), "--reprice", "--json")
    found = json.loads(capsys.readouterr().out)
    assert (shown().keys(), []) == (found.keys(), found["groups"])


def test_the_ledger_is_not_touched(shown: Shown, ledger: Path) -> None:
    """What calls did cost stays what it was."""
    before = list(rows(ledger))
    shown("--at", "2025-07-01")
    assert before == list(rows(ledger))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[prices."m-1"]\ninput = -1\n', "prices.m-1.input = -1"),
        ('[prices."gpt 5"]\noutput = nan\n', 'prices."gpt 5".output = nan'),
        ("[prices.m]\ninput = 'dear'\n", "prices.m.input = 'dear'"),
        ("[prices.m]\nprompt = 1\n", "prices.m.prompt = 1"),
        ("sinks = []\n", "holds no prices"),
        ("[prices", "not valid TOML"),
    ],
)
def test_a_price_that_is_none_is_named(text: str, named: str, ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bad price is one message that names the key, the value and the file; exit code 2."""
    assert 2 == run(str(ledger), "--reprice", "--prices", prices(ledger.parent, text))
    said = capsys.readouterr().err.replace('"m-1"', "m-1").replace('."m".', ".m.")
    assert (True, True) == (named in said, "prices.toml" in said)


def test_a_missing_file_is_named(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of prices that is not there is one sentence."""
    assert 2 == run(str(ledger), "--reprice", "--prices", "nowhere.toml")
    assert "nowhere.toml cannot be read: No such file" in capsys.readouterr().err


def test_prices_without_reprice_is_bad_use(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--prices` and `--at` alone would be ignored, so they are refused."""
    assert 2 == run(str(ledger), "--at", "2026-01-01")
    assert "add --reprice" in capsys.readouterr().err


money = st.none() | st.decimals(0, 100, places=9).map(str)
some_rows = st.lists(
    st.builds(
        Row, time_ns=st.integers(0, 3 * DAY), run=st.just("r"), trace_id=st.just("t"), span_id=st.uuids().map(str),
        model_answered=st.sampled_from([None, "a", "b"]), operation=st.sampled_from([None, "x", "y"]),
        session=st.sampled_from([None, "s"]), user=st.sampled_from([None, "u", "v"]),
        input=st.none() | st.integers(0, 1000), output=st.none() | st.integers(0, 1000), usd=money,
        basis=st.sampled_from(["priced", "estimated"]), price_date=st.just("then"),
    ),
    max_size=12,
)  # fmt: skip


@given(some_rows, st.sampled_from(get_args(By)))
def test_old_amounts_are_those_of_costs(tmp_path_factory: pytest.TempPathFactory, recorded: list[Row], by: Any) -> None:
    """Whatever the rows, the old side adds up to what `instrument costs` shows, group by group, to the last digit."""
    from instrument.store import ledger as store

    path = tmp_path_factory.mktemp("old") / "ledger.db"
    connection = store.open_ledger(path)
    store.write(connection, recorded)
    connection.close()
    groups = compared(rows(path), Prices(), by)
    assert {total.key: total for total in totals(path, by=by)} == {one.old.key: one.old for one in groups}
    assert added_up(totals(path, by=by)) == added_up(one.old for one in groups)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**6))
def test_the_same_prices_give_the_same_amount(input: int, output: int, cached: int) -> None:
    """A row that was priced by the prices of its time is, by the same prices, what it was."""
    own = Prices({"mine": {"input": "1.1", "output": "7", "cached": "0.3"}})
    usage = Usage(input=input, output=output, cached=min(cached, input))
    cost = own.cost(usage, "mine")
    row = Row(
        time_ns=1, run="r", trace_id="t", span_id="s", model_answered="mine", input=input, output=output,
        cached=usage.cached, usd=cost.usd, usd_input=cost.input, usd_cached=cost.cached,
        usd_cache_write=cost.cache_write, usd_output=cost.output, basis=cost.basis, price_date=cost.price_date,
    )  # fmt: skip
    assert row == priced_anew(row, own)
    assert Decimal(row.usd or 0) == sum(
        (Decimal(part or 0) for part in (row.usd_input, row.usd_cached, row.usd_output)), Decimal(0)
    )
