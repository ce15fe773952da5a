"""What a model call costs: tokens times prices, in decimal arithmetic.

Prices come from the settings, else from the `genai-prices` list, which is imported at the first call that needs it.
What is not known is never 0: a model or a service tier without a price is `unpriced`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from instrument import forks
from instrument.errors import SettingsError
from instrument.model import Cost, Usage
from instrument.money import EXACT, decimal_text

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

Price = Decimal | str | float | int
Steps = tuple[tuple[int, Decimal], ...]
"""USD a token by the size of the whole prompt: (more than this many input tokens, price), largest first."""

ZERO = Decimal(0)

QUARTER_NS = 900 * 10**9
"""How long a looked-up price holds: what changes by the day or the hour (off-peak prices) changes on the quarter."""

STANDARD_TIERS = frozenset({"", "default", "auto", "standard", "on_demand"})

_CONTEXTS: dict[str, tuple[dict[str, str], ...]] = {
    "batch": ({"processing": "batch"},),
    "fast": ({"service_tier": "fast"}, {"speed": "fast"}),
}
"""How the price list names a tier where it is not simply `service_tier`."""

_PROVIDERS = {
    "azure.ai.openai": "azure", "azure.ai.inference": "azure", "aws.bedrock": "aws", "gcp.gemini": "google",
    "gcp.vertex_ai": "google", "gcp.gen_ai": "google", "mistral_ai": "mistral", "moonshot_ai": "moonshotai",
    "x_ai": "x-ai",
}  # fmt: skip
"""OpenTelemetry's provider names where those of the price list differ."""

_DATE = re.compile(r"[-@_](?:20\d\d-?[01]\d-?[0-3]\d|latest)$")


class Rates(NamedTuple):
    """Prices of one model at one time; a rate that is None is not known.

    `fee` is USD for each request, `web_search` and `file_search` USD for each search, all others USD for each token.
    `basis` is that of a cost computed from exact tokens: `priced`, `free` where every known price is 0,
    `estimated` where the price is that of another provider or of the undated model.
    """

    input: Steps | None
    cached: Steps | None
    cache_write: Steps | None
    output: Steps | None
    reasoning: Steps | None = None
    audio_input: Steps | None = None
    audio_output: Steps | None = None
    fee: Decimal = ZERO
    cache_write_1h: Steps | None = None
    web_search: Decimal | None = None
    file_search: Decimal | None = None
    price_date: str = "own"
    basis: str = "priced"


class Prices:
    """Prices of all models. `own` maps models to parts as `settings.PRICE_PARTS` names them.

    Its prices are USD a million tokens, those of `web_searches` and `file_searches` USD a thousand of them.
    """

    def __init__(self, own: Mapping[str, Mapping[str, Price]] | None = None) -> None:
        self._own = {model.lower(): _own_rates(model, prices) for model, prices in (own or {}).items()}
        self._looked_up: dict[tuple[str, str | None, str | None, int], Rates | None] = {}

    def cost(
        self,
        usage: Usage,
        model: str | None,
        *,
        provider: str | None = None,
        tier: str | None = None,
        at_ns: int | None = None,
        free: bool = False,
    ) -> Cost:
        """The cost of one call at `at_ns` (nanoseconds since the epoch, now by default).

        Own prices win and hold for every tier. `tier` is the service tier of the response (`flex`, `priority`,
        `batch`, …). Tokens that the usage leaves out, audio, an hour in the cache or searches that have no price of
        their own, or a price that had to be taken from another provider or from the undated model, make the cost
        `estimated`. `free` is for calls that were not billed, such as cache hits.
        """
        if free:
            return Cost(usd="0", input="0", cached="0", cache_write="0", output="0", basis="free")
        rates = self.rates(model, provider=provider, tier=tier, at_ns=at_ns) if model else None
        return Cost() if rates is None else _cost(usage, rates)

    @staticmethod
    def are_loaded() -> bool:
        """Whether the price list has been read."""
        return _is_loaded

    def are_at_hand(self, model: str | None) -> bool:
        """Whether the price of the model, or that it has none, can be told without reading the price list first."""
        return _is_loaded or not model or any(name in self._own for name in _names(model))

    def rates(
        self, model: str, *, provider: str | None = None, tier: str | None = None, at_ns: int | None = None
    ) -> Rates | None:
        """The prices that hold for a call, None where they are not known."""
        quarter = (time.time_ns() if at_ns is None else at_ns) // QUARTER_NS
        key = (model, provider, tier, quarter)
        try:
            return self._looked_up[key]
        except KeyError:
            return self._remember(key, self._own_or_listed(model, provider, tier, quarter * QUARTER_NS))

    def _remember(self, key: tuple[str, str | None, str | None, int], rates: Rates | None) -> Rates | None:
        if len(self._looked_up) > 4096:
            self._looked_up.clear()
        self._looked_up[key] = rates
        return rates

    def _own_or_listed(self, model: str, provider: str | None, tier: str | None, at_ns: int) -> Rates | None:
        own = next((self._own[name] for name in _names(model) if name in self._own), None)
        return own if own is not None else _listed(model, provider, (tier or "").lower(), at_ns)


def _cost(usage: Usage, rates: Rates) -> Cost:
    if not _is_known(usage, rates):
        return Cost()
    fresh, cached, written, output = _parts(usage, rates)
    usd = EXACT.add(EXACT.add(fresh, cached), EXACT.add(written, output))
    return Cost(
        usd=decimal_text(usd),
        input=decimal_text(fresh),
        cached=decimal_text(cached),
        cache_write=decimal_text(written),
        output=decimal_text(output),
        basis=rates.basis if rates.basis == "free" or _is_exact(usage, rates) else "estimated",
        price_date=rates.price_date,
    )


def _is_known(usage: Usage, rates: Rates) -> bool:
    """Whether anything was counted, and all that was has a price."""
    if usage.input is None and usage.output is None:
        return False
    return not ((usage.input and rates.input is None) or (usage.output and rates.output is None))


def _parts(usage: Usage, rates: Rates) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """Money for fresh input (with fees of the request and of searches), cached input, cache writes and output."""
    prompt, answer = _some(usage.input), _some(usage.output)
    cached, written = _some(usage.cached), _some(usage.cache_write)
    longer = min(_some(usage.cache_write_1h), written)
    fresh = max(prompt - cached - written, 0)
    spoken_in, spoken_out = _audio(usage, rates, fresh)
    thought = min(_some(usage.reasoning), answer - spoken_out) if rates.reasoning else 0
    extra_in = EXACT.add(_beside_tokens(usage, rates), _money(spoken_in, rates.audio_input, prompt))
    extra_out = EXACT.add(_money(thought, rates.reasoning, prompt), _money(spoken_out, rates.audio_output, prompt))
    return (
        EXACT.add(extra_in, _money(fresh - spoken_in, rates.input, prompt)),
        _money(cached, rates.cached or rates.input, prompt),
        EXACT.add(
            _money(written - longer, rates.cache_write or rates.input, prompt),
            _money(longer, rates.cache_write_1h or rates.cache_write or rates.input, prompt),
        ),
        EXACT.add(extra_out, _money(answer - thought - spoken_out, rates.output, prompt)),
    )


def _beside_tokens(usage: Usage, rates: Rates) -> Decimal:
    """USD that the request takes whatever its tokens are."""
    usd = rates.fee
    for count, price in ((usage.web_searches, rates.web_search), (usage.file_searches, rates.file_search)):
        if count and price:
            usd = EXACT.add(usd, EXACT.multiply(price, count))
    return usd


def _money(tokens: int, steps: Steps | None, prompt: int) -> Decimal:
    """USD for tokens at the step that holds for all tokens of a call with a prompt of this size."""
    if not tokens or steps is None:
        return ZERO
    price = steps[0][1] if len(steps) == 1 else next(price for more_than, price in steps if prompt > more_than)
    return EXACT.multiply(price, tokens)


def _audio(usage: Usage, rates: Rates, fresh: int) -> tuple[int, int]:
    """Audio tokens of input and of output that have a price of their own.

    Usage gives only their sum, so where both have one the output, which is dearer, takes what it can.
    """
    audio = _some(usage.audio)
    output = min(audio, _some(usage.output)) if rates.audio_output else 0
    return (min(audio - output, fresh) if rates.audio_input else 0), output


def _some(tokens: int | None) -> int:
    return max(tokens or 0, 0)


def _is_exact(usage: Usage, rates: Rates) -> bool:
    """Whether every number that the cost rests on is known."""
    split_known = not usage.audio or (rates.audio_input is None) is not (rates.audio_output is None)
    complete = usage.input is not None and (usage.output is not None or not _costs(rates.output))
    consistent = (usage.cached or 0) + (usage.cache_write or 0) <= (usage.input or 0)
    longer_known = not usage.cache_write_1h or rates.cache_write_1h is not None
    return (
        usage.source == "reported"
        and split_known
        and complete
        and consistent
        and longer_known
        and _bills_searches(usage, rates)
    )


def _bills_searches(usage: Usage, rates: Rates) -> bool:
    """Whether all searches are in the cost: each has its price, or the fee of the request is the price of searching."""
    unknown = (usage.web_searches and rates.web_search is None) or (usage.file_searches and rates.file_search is None)
    return not unknown or bool(rates.fee)


def _costs(steps: object) -> bool:
    return isinstance(steps, tuple) and any(price for _, price in steps)


def _own_rates(model: str, prices: Mapping[str, Price | None]) -> Rates:
    def rate(name: str) -> Steps | None:
        price = prices.get(name)
        return None if price is None else _per_token(_checked(price, f'prices."{model}".{name}'))

    def each(name: str) -> Decimal | None:
        price = prices.get(name)
        return None if price is None else EXACT.scaleb(_checked(price, f'prices."{model}".{name}'), -3)

    rates = Rates(
        rate("input"), rate("cached"), rate("cache_write"), rate("output"), cache_write_1h=rate("cache_write_1h"),
        web_search=each("web_searches"), file_search=each("file_searches"),
    )  # fmt: skip
    return _judged(rates, exact=True)


def _judged(rates: Rates, exact: bool) -> Rates:
    """The rates with the basis of what is computed from them."""
    is_free = not any(price if isinstance(price, Decimal) else _costs(price) for price in rates)
    return rates._replace(basis="free" if is_free else "priced" if exact else "estimated")


def _checked(price: Price, key: str) -> Decimal:
    try:
        usd = Decimal(str(price))
    except ArithmeticError:
        usd = Decimal("NaN")
    if not usd.is_finite() or usd < 0:
        per = "thousand" if key.endswith("searches") else "million tokens"
        raise SettingsError(f"{key} is {price!r}: give USD a {per}, a number that is not negative")
    return usd


def _per_token(price: Any) -> Steps | None:
    """A price a million tokens, plain or in steps by size of the prompt, as steps a token."""
    if price is None:
        return None
    tiers = [(tier.start, tier.price) for tier in reversed(getattr(price, "tiers", ()))]
    return tuple((start, EXACT.scaleb(usd, -6)) for start, usd in [*tiers, (-1, getattr(price, "base", price))])


def _names(model: str) -> Iterator[str]:
    """Names under which a model may be listed: as it is, without its date, without its provider."""
    name = model.strip().lower()
    undated = _DATE.sub("", name)
    yield from dict.fromkeys((name, undated, name.rpartition("/")[2], undated.rpartition("/")[2]))


def _listed(model: str, provider: str | None, tier: str, at_ns: int) -> Rates | None:
    """The rates of the price list; None where it knows neither the model nor the tier."""
    listed, at = _genai_prices(), datetime.fromtimestamp(at_ns / 1e9, UTC)
    for candidate, name, exact in _places(model, provider):
        found = listed(candidate, name)
        if found is not None:
            info, own_model = found
            price = _tier_price(info, tier, at, own_model)
            return None if price is None else _listed_rates(price, info.get_prices(at), name, exact)
    return None


def _places(model: str, provider: str | None) -> Iterator[tuple[str | None, str, bool]]:
    """Where to look, best first: provider, model, and whether a price found there is the one asked for."""
    asked, *others = _names(model)
    if provider:
        seller = _PROVIDERS.get(provider.lower(), provider)
        yield from ((seller, name, name == asked) for name in (asked, *others))
    maker, slash, rest = asked.partition("/")
    if slash:
        yield maker, rest, provider is None
    for home in (None, "openai"):  # by the name alone the list does not recognise all of OpenAI's models
        yield home, asked, provider is None
        yield from ((home, name, False) for name in others)


def _tier_price(info: ModelInfo, tier: str, at: datetime, own_model: bool) -> ModelPrice | None:
    """The price at a service tier. The list gives the standard price for a tier that it does not know: we give None."""
    if tier in STANDARD_TIERS:
        return info.get_prices(at)
    for context in _CONTEXTS.get(tier, ({"service_tier": tier},)):
        active = (one for one in info.price_variants or () if one.constraint is None or one.constraint.active(at))
        if own_model and any(one.when == context for one in active):
            return info.get_prices(at, context)
    return None


def _listed_rates(price: ModelPrice, usual: ModelPrice, name: str, exact: bool) -> Rates | None:
    """The rates of a price. Searches cost what they usually do where the price of a service tier leaves them out."""

    def rate(key: str) -> Steps | None:
        return _per_token(price.__dict__.get(key))

    rates = Rates(
        rate("input_mtok"), rate("cache_read_mtok"), rate("cache_write_mtok"), rate("output_mtok"),
        rate("output_reasoning_mtok"), rate("input_audio_mtok"), rate("output_audio_mtok"),
        _per_request("requests_kcount", price) or ZERO, rate("cache_write_1h_mtok"),
        _per_request("web_searches_kcount", price, usual), _per_request("storage_searches_kcount", price, usual),
        _list_version(),
    )  # fmt: skip
    if rates.input is None and rates.output is None:
        return rates._replace(input=_NOTHING, output=_NOTHING, basis="free") if name.endswith(":free") else None
    return _judged(rates, exact)


def _per_request(key: str, *prices: ModelPrice) -> Decimal | None:
    """USD of one, from a price a thousand: that of the first that has one."""
    found = next((found for price in prices if (found := price.__dict__.get(key)) is not None), None)
    return None if found is None else EXACT.scaleb(getattr(found, "base", found), -3)


_NOTHING: Steps = ((-1, ZERO),)


@cache
def _list_version() -> str:
    from importlib.metadata import version

    return f"genai-prices {version('genai-prices')}"


_is_loaded = False
_loading = forks.Lock()


def load() -> None:
    """Read the price list, which takes half a second the first time."""
    _genai_prices()


def _genai_prices() -> Any:
    """A function (provider, model) → the model's entry and whether it is the provider's own, or None."""
    global _is_loaded
    with nullcontext() if _is_loaded else _loading:
        try:
            from genai_prices.data_snapshot import get_snapshot
        except ImportError:
            _is_loaded = True
            return lambda provider, model: None
        snapshot = get_snapshot()
        _is_loaded = True

    def listed(provider: str | None, model: str) -> tuple[ModelInfo, bool] | None:
        try:
            seller, info = snapshot.find_provider_model(model, None, provider, None)
        except LookupError:
            return None
        return info, any(info is one for one in seller.models)

    return listed
