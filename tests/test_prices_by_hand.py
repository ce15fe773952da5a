"""Each rule of pricing worked out by hand from the price list's own numbers, from the answer to the ledger's row."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import genai_prices
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import instrument
from instrument.analysis.reprice import priced_anew
from instrument.cli import costs
from instrument.cli.main import main
from instrument.model import Cost, Usage
from instrument.pricing import Prices
from instrument.reading import read
from instrument.sinks.jsonl import JsonlSink
from instrument.sinks.ledger import LedgerSink
from instrument.store.entries import By, Row
from instrument.store.ledger import rows
from instrument.testing import record

LISTED = f"genai-prices {genai_prices.__version__}"
PRICES = {"m": {"input": "0.3", "output": "7", "cached": "0.03", "cache_write": "0.375"}}


def listed(model: str, tier: str | None = None, provider: str = "openai") -> dict[str, Any]:
    """The list's own numbers for a model, in US dollars a million tokens."""
    usage = genai_prices.Usage(input_tokens=1, output_tokens=1)
    context = {"processing": "batch"} if tier == "batch" else {"service_tier": tier} if tier else None
    found = genai_prices.calc_price(usage, model, provider_id=provider, price_context=context)
    return {name: value for name, value in vars(found.model_price).items() if value is not None}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def answered(model: str, tier: str | None, usage: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": "well"}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": model, "choices": choices}
    return {**head, "usage": usage} | ({} if tier is None else {"service_tier": tier})


@instrument.llm_call
def ask(prompt: str, model: str, answer: dict[str, Any], service_tier: str | None = None) -> Any:
    return answer


def row_of(path: Path, model: str, answer: dict[str, Any], asked_tier: str | None = None) -> Row:
    """What the ledger has of one call."""
    with record(sinks=(LedgerSink(str(path)),)):
        ask("hello", model, answer, asked_tier)
    [row] = rows(path)
    return row


USAGE = {
    "prompt_tokens": 1_000_000,
    "completion_tokens": 100_000,
    "prompt_tokens_details": {"cached_tokens": 400_000},
    "completion_tokens_details": {"reasoning_tokens": 30_000},
}


def test_the_numbers_of_the_list() -> None:
    """What the cases below are worked out with; when this fails the list has changed and they must be done anew."""
    numbers = {
        (model, tier): tuple(str(listed(model, tier)[f"{part}_mtok"]) for part in ("input", "cache_read", "output"))
        for model, tier in (("gpt-4.1", None), ("gpt-5", None), ("gpt-5", "flex"), ("gpt-5", "priority"))
    }
    assert {
        ("gpt-4.1", None): ("2", "0.5", "8"),
        ("gpt-5", None): ("1.25", "0.125", "10"),
        ("gpt-5", "flex"): ("0.625", "0.0625", "5"),
        ("gpt-5", "priority"): ("2.5", "0.25", "20"),
    } == numbers


@pytest.mark.parametrize(
    ("model", "asked", "told", "usd"),
    [
        # 600,000 fresh, 400,000 cached and 100,000 output tokens, of which 30,000 are reasoning
        ("gpt-4.1", None, "default", "2.2"),  # 0.6 × 2 + 0.4 × 0.5 + 0.1 × 8
        ("gpt-4.1-2025-04-14", None, None, "2.2"),  # a dated name has the price of its model
        ("gpt-5", None, None, "1.8"),  # 0.6 × 1.25 + 0.4 × 0.125 + 0.1 × 10
        ("gpt-5", "flex", "flex", "0.9"),  # half
        ("gpt-5", "priority", "priority", "3.6"),  # double
        ("gpt-5", "priority", "default", "1.8"),  # the tier of the response wins
        ("gpt-5", "auto", "priority", "3.6"),
        ("gpt-5", "flex", None, "0.9"),  # the response does not say: what was asked for holds
    ],
)
def test_a_chat_completion(model: str, asked: str | None, told: str | None, usd: str, path: Path) -> None:
    """Fresh, cached and output tokens at their prices, reasoning at that of output, at the tier of the response."""
    row = row_of(path, model, answered(model, told, USAGE), asked)
    assert (usd, "priced", LISTED) == (row.usd, row.basis, row.price_date)


def test_long_context_by_the_whole_prompt(path: Path) -> None:
    """gemini-2.5-pro costs more for all tokens beyond 200,000 of prompt, cached ones counted: 2.5 and 15 USD."""
    cost = Prices().cost(Usage(input=300_000, cached=150_000, output=10_000), "gemini-2.5-pro", provider="google")
    by_list = listed("gemini-2.5-pro", provider="google")
    dear = {name: by_list[name].tiers[-1].price for name in ("input_mtok", "cache_read_mtok", "output_mtok")}
    expected = Decimal("0.15") * dear["input_mtok"] + Decimal("0.15") * dear["cache_read_mtok"]
    assert expected + Decimal("0.01") * dear["output_mtok"] == Decimal(cost.usd or 0)


def test_cache_writes_have_a_price_of_their_own(path: Path) -> None:
    """Anthropic's counts are exclusive: 2 fresh, 3 read and 5 written thousand tokens are 10 thousand of input."""
    answer = {
        "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "well"}],
        "usage": {"input_tokens": 2000, "cache_read_input_tokens": 3000, "cache_creation_input_tokens": 5000,
                  "output_tokens": 1000},
    }  # fmt: skip
    row = row_of(path, "claude-sonnet-4-5", answer)
    # 2 × 3 + 3 × 0.3 + 5 × 3.75 + 1 × 15, in thousandths of a US dollar
    assert (10_000, "0.04065") == (row.input, row.usd)


CLAUDE = {
    "type": "message", "role": "assistant", "model": "claude-opus-4-8", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "well"}],
}  # fmt: skip
WRITES = {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 4000}
HAIKU = {"input_tokens": 2000, "cache_creation_input_tokens": 5000, "cache_creation": WRITES, "output_tokens": 1000}
FOUND = {"id": "w", "type": "web_search_call", "status": "completed"}
RESPONSE = {
    "object": "response", "model": "gpt-4.1", "status": "completed", "usage": {"input_tokens": 0, "output_tokens": 0},
    "output": [
        {**FOUND, "action": {"type": "search", "query": "x"}}, {**FOUND, "action": {"type": "open_page"}}, FOUND,
        {"type": "file_search_call", "id": "f", "queries": ["x"], "status": "completed"},
    ],
}  # fmt: skip


def gemini(version: str) -> dict[str, Any]:
    candidate = {"content": {"parts": [{"text": "well"}]}, "groundingMetadata": {"webSearchQueries": ["x", "y", ""]}}
    tokens = {"promptTokenCount": 0, "candidatesTokenCount": 0}
    return {"candidates": [candidate], "usageMetadata": tokens, "modelVersion": version}


@pytest.mark.parametrize(
    ("answer", "usd"),
    [
        # in thousandths of a US dollar, claude-haiku-4-5 takes 1, 1.25, 2 (an hour) and 5
        ({**CLAUDE, "model": "claude-haiku-4-5", "usage": HAIKU}, "0.01625"),  # 2 × 1 + 1 × 1.25 + 4 × 2 + 1 × 5
        # claude-opus-4-8 takes 5 and 25, its fast mode 10 and 50
        ({**CLAUDE, "usage": {"input_tokens": 1000, "output_tokens": 1000, "service_tier": "standard"}}, "0.03"),
        ({**CLAUDE, "usage": {"input_tokens": 1000, "output_tokens": 1000, "speed": "fast"}}, "0.06"),
        # a search is 10 a thousand, in fast mode as well
        ({**CLAUDE, "usage": {"input_tokens": 0, "output_tokens": 0, "server_tool_use": {"web_search_requests": 3},
                              "speed": "fast"}}, "0.03"),
        ({**CLAUDE, "usage": {"input_tokens": 0, "output_tokens": 0, "server_tool_use": {"web_search_requests": 3}}},
         "0.03"),
        (RESPONSE, "0.0225"),  # two searches of the web at 10 and one of files at 2.5; opening a page is none
        (gemini("gemini-3-flash-preview"), "0.028"),  # two queries at 14
        (gemini("gemini-2.5-flash"), "0.035"),  # one prompt that was grounded, at 35
        ({"model": "perplexity/sonar", "object": "chat.completion", "choices": [],
          "usage": {"prompt_tokens": 0, "completion_tokens": 0, "num_search_queries": 2}}, "0.012"),  # a request, 12
    ],
)  # fmt: skip
def test_what_is_billed_beside_the_plain_tokens(answer: dict[str, Any], usd: str, path: Path) -> None:
    """An hour in the cache, a fast mode and searches are in the amount, which the ledger's row gives once more."""
    row = row_of(path, answer.get("model") or answer["modelVersion"], answer)
    assert (usd, "priced", usd) == (row.usd, row.basis, priced_anew(row, Prices()).usd)


@pytest.mark.parametrize("beside", ["cache_write_1h", "web_searches", "file_searches"])
def test_what_is_billed_and_has_no_price_makes_an_estimate(beside: str) -> None:
    """Own prices that leave out what was taken are too low, and the cost says that it is an estimate."""
    prices = Prices({**PRICES, "all": {**PRICES["m"], beside: 9}})
    usage = Usage(input=10, cache_write=10, output=1, **{beside: 4})
    assert ("estimated", "priced") == (prices.cost(usage, "m").basis, prices.cost(usage, "all").basis)


def test_an_hour_in_the_cache_costs_as_a_write_where_it_has_no_price() -> None:
    """A million tokens written at 1.25 US dollars, kept for an hour: they do not cost the 1 of plain input."""
    usage = Usage(input=1_000_000, cache_write=1_000_000, cache_write_1h=1_000_000, output=0)
    assert "1.25" == Prices({"m": {"input": 1, "cache_write": "1.25", "output": 1}}).cost(usage, "m").usd


def test_own_prices_of_searches_are_of_a_thousand() -> None:
    """Two searches at 10 US dollars a thousand and an hour in the cache at 4 a million."""
    own = {"m": {"input": 0, "output": 0, "web_searches": "10", "cache_write_1h": "4"}}
    usage = Usage(input=1_000_000, cache_write=1_000_000, cache_write_1h=1_000_000, output=0, web_searches=2)
    assert "4.02" == Prices(own).cost(usage, "m").usd


def test_a_batch_costs_half(path: Path) -> None:
    """The tier `batch` of the price list is half of the usual price."""
    usage = Usage(input=1_000_000, output=1_000_000)
    whole, half = (Prices().cost(usage, "gpt-4o", provider="openai", tier=tier).usd for tier in (None, "batch"))
    assert Decimal(whole or 0) == 2 * Decimal(half or 0)


def test_an_answer_from_a_local_cache_is_free(path: Path) -> None:
    """A call that says it was answered from a cache of the program's own costs nothing, whatever it would cost."""

    @instrument.llm_call
    def remembered(prompt: str, model: str = "gpt-4.1") -> Any:
        span = instrument.current_span()
        assert span is not None
        span.set({"instrument.cache.hit": True})
        return answered("gpt-4.1", None, USAGE)

    with record(sinks=(LedgerSink(str(path)),)), instrument.budget(usd=100) as scope:
        remembered("hello")
    [row] = rows(path)
    assert ("0", "free", None, Decimal(0)) == (row.usd, row.basis, row.price_date, scope.usd)


# All sums agree


counts = st.integers(0, 10**7)
some_calls = st.lists(
    st.tuples(
        st.sampled_from(["m", "gpt-4.1", "gpt-5", "nobody-knows"]), counts, counts, st.integers(0, 100),
        st.sampled_from(["a", "b"]),
    ),
    max_size=8,
)  # fmt: skip


@given(some_calls)
@settings(max_examples=15)
def test_ledger_traces_and_costs_agree(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[str, int, int, int, str]]
) -> None:
    """For all calls: rows of the ledger, `costs` by any key, `costs --reprice` and the traces have the same sums."""
    folder = tmp_path_factory.mktemp("sums")
    with _recorded(folder):
        for model, prompt, output, cached, name in calls:
            with instrument.span(name, kind="agent"), instrument.span("call", kind="llm") as live:
                live.usage(input=prompt, output=output, cached=min(cached, prompt), model=model)
    by_hand = [
        Prices(PRICES).cost(Usage(input=prompt, output=output, cached=min(cached, prompt)), model)
        for model, prompt, output, cached, _ in calls
    ]
    expected = (sum((_usd(cost) for cost in by_hand), Decimal(0)), sum(cost.basis == "unpriced" for cost in by_hand))
    traces = [trace.cost for trace in read(folder)]
    assert expected == (sum((one.usd or Decimal(0) for one in traces), Decimal(0)), sum(t.unpriced for t in traces))
    if calls:
        for by in get_args(By):
            groups = costs.totals(folder / "ledger.db", by=by)
            assert expected == (costs.added_up(groups).usd or Decimal(0), costs.added_up(groups).unpriced)


def _usd(cost: Cost) -> Decimal:
    return Decimal(cost.usd or 0)


def _recorded(folder: Path) -> Any:
    from instrument import building, wiring
    from instrument.settings import only

    wanted = only(prices=PRICES)
    run = building.run_record(wanted)
    sinks = (JsonlSink(folder, run), LedgerSink(str(folder / "ledger.db")))
    return wiring.installed(lambda: building.build(wanted, list(sinks), blobs=None, origin=None))


def test_the_verb_shows_the_sum_to_the_last_digit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """3 input tokens at 0.3 and 142,857 output tokens at 7 US dollars a million are 0.9999999 US dollars."""
    with _recorded(tmp_path):
        for prompt, output in ((1, 0), (1, 0), (1, 0), (0, 142_857)):
            with instrument.span("call", kind="llm") as live:
                live.usage(input=prompt, output=output, model="m")
    assert 0 == main(["costs", str(tmp_path / "ledger.db")])
    [total] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("total")]
    assert total.endswith("0.9999999")
