"""Money: exact, never 0 for what is not known, equal to the price list's own arithmetic."""

from __future__ import annotations

from datetime import UTC, datetime, time
from decimal import Decimal, localcontext
from typing import Any

import genai_prices
import pytest
from genai_prices.data import providers
from genai_prices.types import ModelPrice, TimeOfDateConstraint
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from instrument.errors import SettingsError
from instrument.model import Cost, Usage
from instrument.money import EXACT, decimal_text
from instrument.pricing import QUARTER_NS, Prices
from tests.programs import python

LISTED = Prices()
OWN = Prices({"mine": {"input": "1", "cached": "0.1", "cache_write": "1.25", "output": "3"}})
UNPRICED = Cost()


def ns(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp()) * 10**9  # type: ignore[misc,arg-type]


NOW = ns(2026, 11, 23)


def usd(cost: Cost) -> Decimal:
    assert cost.usd is not None
    return Decimal(cost.usd)


# The price list's own arithmetic


MODELS = [
    ("gpt-4.1", "openai", None),
    ("gpt-4.1-mini-2025-04-14", "openai", None),
    ("gpt-4.1-nano", "openai", "priority"),
    ("gpt-4o", "openai", "batch"),
    ("gpt-5", "openai", "flex"),
    ("gpt-5-nano", "openai", "default"),
    ("gpt-5.4", "openai", None),
    ("gpt-5.6-sol", "openai", None),
    ("gpt-6-luna", "openai", "flex"),
    ("gpt-6-sol", "openai", "priority"),
    ("gpt-6.1-terra", "openai", None),
    ("gpt-6-astra", "openai", "fast"),
    ("o3", "openai", None),
    ("claude-sonnet-4-5", "anthropic", "batch"),
    ("claude-haiku-4-5", "anthropic", None),
    ("gemini-2.5-pro", "google", None),
    ("deepseek-chat", "deepseek", None),
    ("mistral-medium-latest", "mistral", None),
    ("openai/gpt-oss-120b", "groq", None),
    ("gpt-4o", "azure", None),
]


def usage_of(fresh: int, cached: int, written: int, output: int) -> Usage:
    everything = fresh + cached + written
    return Usage(input=everything, cached=cached, cache_write=written, output=output, reasoning=output // 2)


usages = st.builds(usage_of, *[st.integers(0, 400_000)] * 4)
huge_usages = st.builds(usage_of, *[st.integers(0, 10**15)] * 4)


def by_the_list(usage: Usage, model: str, provider: str, tier: str | None) -> Decimal:
    context = {"processing": "batch"} if tier == "batch" else {"service_tier": tier} if tier else None
    counts = genai_prices.Usage(
        input_tokens=usage.input,
        cache_read_tokens=usage.cached,
        cache_write_tokens=usage.cache_write,
        output_tokens=usage.output,
        output_reasoning_tokens=usage.reasoning,
    )
    at = datetime.fromtimestamp(NOW / 1e9, UTC)
    return genai_prices.calc_price(
        counts, model, provider_id=provider, genai_request_timestamp=at, price_context=context
    ).total_price


@pytest.mark.parametrize(("model", "provider", "tier"), MODELS)
@given(usages)
@settings(deadline=None, max_examples=15)
def test_equals_the_price_lists_own_arithmetic(model: str, provider: str, tier: str | None, usage: Usage) -> None:
    """Every tier, long-context step, cached and cache-write price comes out as genai-prices computes it."""
    cost = LISTED.cost(usage, model, provider=provider, tier=tier, at_ns=NOW)
    assert (by_the_list(usage, model, provider, tier), "priced") == (usd(cost), cost.basis)


@pytest.mark.parametrize(("model", "provider", "tier"), MODELS)
@given(usages)
@settings(deadline=None, max_examples=10)
def test_parts_add_up_exactly(model: str, provider: str, tier: str | None, usage: Usage) -> None:
    """Input, cached, cache write and output are together the whole, to the last digit."""
    cost = LISTED.cost(usage, model, provider=provider, tier=tier, at_ns=NOW)
    parts = (cost.input, cost.cached, cost.cache_write, cost.output)
    assert usd(cost) == sum(Decimal(part) for part in parts if part is not None)


@given(huge_usages, huge_usages)
@settings(deadline=None, max_examples=50)
def test_costs_are_additive(one: Usage, other: Usage) -> None:
    """Two calls cost what one call with all their tokens costs, where the price has no steps."""
    names = ("input", "cached", "cache_write", "output", "reasoning")
    both = Usage(**{name: getattr(one, name) + getattr(other, name) for name in names})
    assert usd(OWN.cost(one, "mine")) + usd(OWN.cost(other, "mine")) == usd(OWN.cost(both, "mine"))


@given(usages, st.sampled_from(["input", "output"]), st.integers(0, 1_000_000))
@settings(deadline=None, max_examples=50)
def test_more_tokens_never_cost_less(usage: Usage, name: str, more: int) -> None:
    """Input and output that grow never make a call cheaper, over steps of the price too."""
    grown = replace(usage, **{name: getattr(usage, name) + more})
    assert usd(LISTED.cost(usage, "gpt-6-sol", at_ns=NOW)) <= usd(LISTED.cost(grown, "gpt-6-sol", at_ns=NOW))


# By hand


def test_a_call_by_hand() -> None:
    """7 fresh, 4 cached and 7 output tokens of gpt-4.1-mini (0.4, 0.1, 1.6 USD a million) are 0.0000144 USD."""
    expected = Cost(
        usd="0.0000144", input="0.0000028", cached="0.0000004", cache_write="0", output="0.0000112",
        basis="priced", price_date=f"genai-prices {genai_prices.__version__}",
    )  # fmt: skip
    assert expected == LISTED.cost(Usage(input=11, cached=4, output=7, reasoning=3), "gpt-4.1-mini", at_ns=NOW)


@pytest.mark.parametrize(("day", "expected"), [((2025, 5, 1), "0.05"), ((2025, 7, 1), "0.01")])
def test_the_price_is_that_of_the_day(day: tuple[int, ...], expected: str) -> None:
    """o3 became cheaper on 2025-06-10; a call costs what it cost on its day."""
    assert expected == LISTED.cost(Usage(input=1000, output=1000), "o3", at_ns=ns(*day)).usd


def test_the_price_is_that_of_the_hour() -> None:
    """deepseek-chat is cheaper from 16:30 to 00:30 UTC, in the list and here."""
    night, day = (LISTED.rates("deepseek-chat", at_ns=ns(2025, 6, 1, *at)) for at in ((16, 45), (16, 15)))
    assert night is not None
    assert day is not None
    assert night.input < day.input  # type: ignore[operator]


def test_prices_change_on_the_quarter_hour() -> None:
    """A looked-up price holds for a quarter of an hour, so no price in the list may change within one."""
    conditions = [
        condition.constraint
        for provider in providers
        for model in provider.models
        if not isinstance(model.prices, ModelPrice)
        for condition in model.prices
    ]
    times = [t for c in conditions if isinstance(c, TimeOfDateConstraint) for t in (c.start_time, c.end_time)]
    assert [] == [at for at in times if at.minute % 15 or at.second or at.utcoffset() != time(tzinfo=UTC).utcoffset()]


def test_the_whole_prompt_chooses_the_step() -> None:
    """Beyond 272,000 input tokens all tokens of a gpt-5.4 call cost the higher price, cached and output ones too."""
    below = LISTED.cost(Usage(input=272_000, cached=100_000, output=1_000_000), "gpt-5.4", at_ns=NOW)
    above = LISTED.cost(Usage(input=272_001, cached=100_000, output=1_000_000), "gpt-5.4", at_ns=NOW)
    assert (("0.025", "15"), ("0.05", "22.5")) == ((below.cached, below.output), (above.cached, above.output))


@pytest.mark.parametrize(
    ("model", "told", "most"),
    [
        ("claude-haiku-4-5", Usage(input=10, cache_write=2, cache_write_1h=5, output=0), {"cache_write_1h": 2}),
        ("perplexity/sonar-deep-research", Usage(input=0, output=10, reasoning=20), {"reasoning": 10}),
        ("gpt-4o-realtime-preview", Usage(input=10, output=4, audio=50), {"audio": 14}),
    ],
    ids=["an hour in the cache", "reasoning", "audio"],
)
def test_a_part_costs_no_more_than_its_whole(model: str, told: Usage, most: dict[str, Any]) -> None:
    """Of a part that is said to be larger than what it is part of, no more is billed than that can hold."""
    assert usd(LISTED.cost(replace(told, **most), model, at_ns=NOW)) == usd(LISTED.cost(told, model, at_ns=NOW))


# What is not known


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("no-such-model", {}),
        (None, {}),
        ("", {}),
        ("whisper-1", {}),
        ("ft:gpt-4.1-2025-04-14:team::id", {}),
        ("gpt-4.1", {"tier": "scale"}),
        ("gpt-4.1", {"tier": "flex"}),
        ("gpt-4.1", {"tier": "prioritty"}),
        ("gpt-4o", {"tier": "priority", "provider": "azure"}),
        ("gpt-4.1", {"provider": "github-copilot"}),
    ],
)
def test_what_is_not_known_is_unpriced(model: str | None, options: dict[str, Any]) -> None:
    """An unknown model, or a tier for which a model has no price, has no cost: neither 0 nor the standard price."""
    assert UNPRICED == LISTED.cost(Usage(input=10, output=10), model, at_ns=NOW, **options)


def test_no_counts_no_cost() -> None:
    """A usage without any count is unpriced, not free."""
    assert UNPRICED == OWN.cost(Usage(), "mine")


def test_output_without_an_output_price_is_unpriced() -> None:
    """An embedding model that answers with tokens has no price for them."""
    assert UNPRICED == LISTED.cost(Usage(input=10, output=10), "text-embedding-3-small", at_ns=NOW)


@pytest.mark.parametrize("usage", [Usage(input=10), Usage(input=10, output=0)])
def test_embeddings_have_no_output(usage: Usage) -> None:
    """An embedding is priced whether its response names the output or leaves it out."""
    cost = LISTED.cost(usage, "text-embedding-3-small", at_ns=NOW)
    assert ("0.0000002", "priced") == (cost.usd, cost.basis)


@pytest.mark.parametrize(
    ("usage", "model", "provider"),
    [
        (Usage(input=10, output=10, source="estimated"), "gpt-4.1", "openai"),
        (Usage(input=10), "gpt-4.1", "openai"),
        (Usage(output=10), "gpt-4.1", "openai"),
        (Usage(input=10, cached=20, output=1), "gpt-4.1", "openai"),
        (Usage(input=10, cached=6, cache_write=6, output=1), "claude-haiku-4-5", "anthropic"),
        (Usage(input=10, output=10), "gpt-4.1-2026-11-11", "openai"),
        (Usage(input=10, output=10), "claude-sonnet-4-5", "openai"),
        (Usage(input=10, output=10), "gpt-4.1", "some-gateway"),
        (Usage(input=10, output=10), "openai/gpt-4.1", "some-gateway"),
        (Usage(input=10, output=10, audio=5), "gpt-4o-audio-preview", "openai"),
    ],
    ids=[
        "estimated",
        "no output",
        "no input",
        "more cached than input",
        "more cached and written than input",
        "unlisted date",
        "other maker",
        "gateway",
        "gateway that names the maker",
        "audio without a price",
    ],
)
def test_what_rests_on_an_assumption_is_estimated(usage: Usage, model: str, provider: str) -> None:
    """Counted or missing tokens, and prices of a neighbour, make the cost an estimate."""
    assert "estimated" == LISTED.cost(usage, model, provider=provider, at_ns=NOW).basis


@pytest.mark.parametrize("tier", [None, "", "default", "auto", "standard", "on_demand"])
def test_standard_tiers_have_the_standard_price(tier: str | None) -> None:
    """Every name that a service has for its standard tier means the standard price."""
    assert "2" == LISTED.cost(Usage(input=1_000_000, output=0), "gpt-4.1", tier=tier, at_ns=NOW).usd


@pytest.mark.parametrize(
    ("model", "provider"), [("openai/gpt-4.1", None), ("gpt-4.1", "azure.ai.openai"), ("openai/gpt-4.1", "openrouter")]
)
def test_names_with_a_provider_are_understood(model: str, provider: str | None) -> None:
    """`provider/model` and the conventions' provider names find their entry in the list."""
    cost = LISTED.cost(Usage(input=1_000_000, output=0), model, provider=provider, at_ns=NOW)
    assert ("2", "priced") == (cost.usd, cost.basis)


def test_looked_up_prices_are_not_remembered_for_ever() -> None:
    """A service that runs for years, or names every call another model, takes no more memory."""
    prices = Prices({"mine": {"input": 1}})
    for quarter in range(5_000):
        prices.rates("mine", at_ns=quarter * QUARTER_NS)
    assert len(prices._looked_up) < 4_100


# Free


@pytest.mark.parametrize(
    "cost",
    [
        OWN.cost(Usage(input=1, output=1), "no-such-model", free=True),
        Prices({"local": {"input": 0, "output": 0}}).cost(Usage(input=1, output=1, source="estimated"), "local"),
    ],
    ids=["said so", "own price 0"],
)
def test_free_calls_cost_0(cost: Cost) -> None:
    """A call that is said to be free, or whose every price is 0, costs 0 and is called free."""
    assert ("0", "free") == (cost.usd, cost.basis)


# Own prices


def test_own_prices_win() -> None:
    """A price from the settings holds instead of the list's, for every tier and every date of the model's name."""
    prices = Prices({"GPT-4.1": {"input": "7"}})
    cost = prices.cost(Usage(input=1_000_000, cached=1_000_000), "gpt-4.1-2025-04-14", tier="flex")
    assert ("7", "own") == (cost.usd, cost.price_date)


def test_own_prices_do_not_load_the_list() -> None:
    """Importing the module, and calls with prices of one's own, do not import genai-prices."""
    program = (
        "import sys\nfrom instrument.pricing import Prices\nfrom instrument.model import Usage\n"
        "Prices({'mine': {'input': 1, 'output': 2}}).cost(Usage(input=1, output=1), 'mine')\n"
        "print('genai_prices' in sys.modules)"
    )
    assert "False\n" == python("-c", program).stdout


@pytest.mark.parametrize("price", ["-1", float("nan"), "Infinity", "cheap"])
def test_a_price_that_is_none_is_refused(price: str | float) -> None:
    """A negative, endless or unreadable price is a settings error that names the key."""
    with pytest.raises(SettingsError, match=r'prices\."mine"\.input'):
        Prices({"mine": {"input": price}})


# Arithmetic


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=0, max_value=10**9, places=12))
@settings(deadline=None, max_examples=100)
def test_decimal_text_is_the_same_number_without_exponent(value: Decimal) -> None:
    """Money as text is exact, has no exponent and no zeros at its end."""
    text = decimal_text(value)
    assert (value, False) == (Decimal(text), "E" in text or ("." in text and text.endswith(("0", "."))))


def test_large_sums_of_money_lose_no_digit() -> None:
    """A fraction of a token's price is left beside any sum."""
    assert "100000000000000000000.000000000001" == decimal_text(EXACT.add(Decimal(10**20), Decimal("1e-12")))


def test_the_users_decimal_context_does_not_matter() -> None:
    """A program that computes with three digits is billed with all of them."""
    usage = Usage(input=123_456_789, cached=1_234_567, cache_write=7, output=987_654_321)
    with localcontext() as context:
        context.prec = 3
        rounded = OWN.cost(usage, "mine")
    assert OWN.cost(usage, "mine") == rounded


@given(st.builds(Usage, **dict.fromkeys(("input", "cached", "cache_write", "output", "reasoning", "audio"),
                                        st.none() | st.integers(-5, 2**62))))  # fmt: skip
@settings(deadline=None, max_examples=100)
def test_any_usage_has_a_cost(usage: Usage) -> None:
    """However odd the counts, the cost is a number that is not negative, or unknown."""
    cost = LISTED.cost(usage, "gpt-4o-realtime-preview", at_ns=NOW)
    assert cost.usd is None or Decimal(cost.usd) >= 0
