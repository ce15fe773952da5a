"""Every threshold of the detectors, with its default and the reason for it.

They are settings, `[detectors]` in TOML, `INSTRUMENT_DETECTORS__REPEATS=5` in the environment, and are handed in:
`instrument.detectors.default(settings)`. Counts are calls, shares lie between 0 and 1, times are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, inspect

from instrument.errors import SettingsError

Count = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]


class Thresholds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits that the detectors work with; immutable, made by `thresholds()`."""

    window: Annotated[int, Meta(ge=4)] = 10
    """Calls of a trace that are looked at together. Loops of agents are tight; what comes back after ten other calls is
    rather a second look. Longer windows take honest re-reading in long runs for a loop."""

    repeats: Annotated[int, Meta(ge=2)] = 3
    """The same call with the same outcome this often within the window, or within as many calls of its agent. Twice
    happens in runs that succeed (a look to make sure); the third time cannot be explained by that."""

    failures_of_one_call: Annotated[int, Meta(ge=2)] = 2
    """The same attempt failing this often in direct succession: nothing was changed in between, so one retry is the
    most that chance explains. One more where the fault passes of itself (a timeout, a busy service), or where no model
    answered in between: three tries are what programs and their libraries make."""

    failures_in_a_row: Annotated[int, Meta(ge=2)] = 3
    """Failing calls in direct succession, of whichever tools. One failure is normal, a second happens while the agent
    corrects itself, a third says that the correction does not work."""

    failures_of_one_tool: Annotated[int, Meta(ge=2)] = 4
    """Failures of one tool within the window and without a success of it, with other work in between. One more than in
    a row, because other work may have been the correction."""

    failing_share: Share = 0.5
    """Share of a full window of calls that failed. Half of all work lost is beyond any use of failing as a probe."""

    reworded: Share = 0.72
    """Words that two questions must have in common (twice the common words over all words of both) to count as the same
    question in other words: the middle of the range, 0.71 to 0.75, in which labelled runs are told apart best.
    Questions that share half of their words are often two aspects of one task."""

    reworded_same_answer: Share = 0.5
    """The same measure where the answers are equal too, or the first attempt failed: the answer shows that the
    question was the same, half of the words are enough to say so."""

    resembling: Share = 0.45
    """The same measure for the loosest likeness that `no_progress` still takes for the same search going on: it needs
    the silence of the results, and more calls, as its proof."""

    resembling_same_answer: Share = 0.33
    """The same measure where the answer tells no more than the earlier one did, apart from words of the question
    (`0 results for …`): a third of the words shows what is searched, the answer that nothing comes of it."""

    calls_without_news: Annotated[int, Meta(ge=2)] = 3
    """Calls in direct succession that resemble an earlier one and whose results contain nothing new, or that ask
    something else and get the empty answer of the one before: the third repeat, as with an exact loop."""

    programs_without_news: Annotated[int, Meta(ge=2)] = 5
    """The same of programs and commands. They print parts of themselves and look at their own values, so that little of
    what they print is new in runs that go well: at 3 a third more of labelled runs without a loop are alarmed about."""

    new_words: Annotated[int, Meta(ge=0)] = 2
    """Words of a result that are neither in its question nor in the calls before, up to which it counts as nothing new:
    a counter, a name or a time changes in most results that say the same."""

    new_share: Share = 0.1
    """And the share of a result's words: in an answer of three words one new number is the news."""

    telling_answer: Count = 20
    """Distinct words that make a result long enough to be recognised by itself: the same long answer to different
    questions is no coincidence, the same `ok` or `nothing was found` is."""

    longest_cycle: Annotated[int, Meta(ge=2, le=100)] = 5
    """Calls in one round of a cycle; two rounds of five fill the window."""

    first_steps: Annotated[int, Meta(ge=2)] = 3
    """Steps from the beginning that must come again in their order to count as a restart. Two in their order are a
    common habit (look up, then read)."""

    calls_of_one_tool: Count = 200
    """Calls of one tool in one run where no history says what is usual: far above what some dozen steps need. Of
    several agents each may make as many."""

    history_runs: Annotated[int, Meta(ge=2)] = 5
    """Earlier successful runs that are needed before their number of calls is a measure."""

    history_calls: Annotated[int, Meta(ge=2)] = 20
    """Earlier calls that are needed before their duration or cost is a measure: the median absolute deviation of fewer
    is too unsteady."""

    deviations: Positive = 5.0
    """Robust standard deviations (1.4826 times the median absolute deviation) above the median that are far beyond,
    of logarithms: durations and costs spread by factors. 3 are passed by 1 in 700 healthy calls, 5 hardly ever."""

    times_usual: Annotated[float, Meta(gt=1)] = 3.0
    """And at least this many times the median, or for calls of a tool in a run what nine of ten runs needed: where all
    earlier values are nearly equal, deviations say nothing."""

    slow_seconds: Positive = 1.0
    """And at least so much longer than the median: nobody waits for less, and it keeps garbage collection out."""

    stalled_seconds: Positive = 300.0
    """A tool or model call open for so long without a child of its own is stalled. Longer than any single answer of a
    model takes, shorter than the ten minutes that clients wait by default."""

    context_window: Count = 128_000
    """Tokens that the model takes, where `context_windows` does not name it: the smallest window of the models in
    common use."""

    context_windows: dict[str, int] = {}
    """Windows by the beginning of the model's name, the longest that fits counts."""

    context_share: Share = 0.8
    """Share of the window at which growth becomes a finding: models get worse and calls get refused from there on."""

    context_growth: Annotated[float, Meta(gt=1)] = 4.0
    """Growth of the prompt over a run's first one that is worth a hint."""

    grown_tokens: Count = 4000
    """A prompt that has grown to fewer tokens is no hint: five words that became twenty cost nothing."""

    resent_tokens: Count = 100_000
    """Tokens sent again without a cache in one run that are worth a hint: from about there it costs cents, not
    fractions of them."""

    cached_price: Share = 0.1
    """Price of a cached token as a share of an ordinary one: what current models ask. For the saving that caching would
    have brought."""

    spent_usd: Positive = 0.05
    """Money by which a call or run must exceed its median before its history makes it a finding: below a few cents
    nobody acts."""

    spent_tokens: Count = 20_000
    """The same in tokens, where no price is known."""

    traces: Count = 1000
    """Traces that are watched at once; more agents than this seldom run at once in one process. Each takes ten to forty
    kilobytes, with long arguments and results some hundred. The one that was silent longest is forgotten first."""


def thresholds(values: Mapping[str, Any] | None = None) -> Thresholds:
    """The defaults with `values` in place of some; raises `SettingsError` for unknown keys and impossible values."""
    try:
        return msgspec.convert(dict(values or {}), Thresholds)
    except msgspec.ValidationError as fault:
        known = ", ".join(Thresholds.__struct_fields__)
        raise SettingsError(f"the thresholds of the detectors cannot be used: {fault}. Known are: {known}.") from None


def checked(value: object, name: str) -> Any:
    """The value of one threshold, also from a text; raises `ValueError` that says what is allowed."""
    field = _TYPES[name]
    try:
        told = msgspec.json.decode(value) if isinstance(value, str) and isinstance(field, inspect.DictType) else value
        return getattr(msgspec.convert({name: told}, Thresholds, strict=False), name)
    except (msgspec.ValidationError, msgspec.DecodeError):
        raise ValueError(f"must be {_allowed(field)}") from None


def _allowed(field: Any) -> str:
    if isinstance(field, inspect.DictType):
        return "whole numbers of tokens by the names of models"
    what = "a whole number" if isinstance(field, inspect.IntType) else "a number"
    if field.gt is not None:
        return f"{what} above {field.gt}"
    return f"{what} from {field.ge} {'up' if field.le is None else f'to {field.le}'}"


def _field_types() -> dict[str, Any]:
    info = inspect.type_info(Thresholds)
    return {field.name: field.type for field in info.fields} if isinstance(info, inspect.StructType) else {}


_TYPES = _field_types()
DEFAULTS = msgspec.to_builtins(Thresholds())
"""Each threshold with its default."""


def window_of(model: str | None, limits: Thresholds) -> int:
    """The context window of a model in tokens."""
    fitting = [begin for begin in limits.context_windows if model is not None and model.startswith(begin)]
    return limits.context_windows[max(fitting, key=len)] if fitting else limits.context_window
