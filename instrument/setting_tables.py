"""The settings below their tables (`[capture]`, `[budget]`, …): names, types, defaults. `settings` reads them.

What a value may be is said by a function of `allowed`, what a threshold of the detectors is by `thresholds`.
"""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, create_model

from instrument import allowed, thresholds
from instrument.money import PERIODS

PRICE_PARTS = ("input", "output", "cached", "cache_write", "cache_write_1h", "web_searches", "file_searches")
UNSET = {"sampling.keep": "all four", "ledger.url": "ledger.db in the folder"}
"""What it comes to that these are not set; with others there is none of what they say."""


def _words(*words: str) -> BeforeValidator:
    return BeforeValidator(partial(allowed.word, words=words))


Switch = Annotated[bool, BeforeValidator(allowed.switch)]
Count = Annotated[int, BeforeValidator(allowed.count)]
MaybeCount = Annotated[int | None, BeforeValidator(allowed.count_or_none)]
MaybeText = Annotated[str | None, BeforeValidator(allowed.text_or_none)]
Names = Annotated[tuple[str, ...], BeforeValidator(allowed.names)]
Price = Annotated[Decimal, BeforeValidator(allowed.price)]
Level = Literal["TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL"]


class Table(BaseModel):
    """One table of settings; it cannot be changed, and takes no key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Capture(Table):
    """What is kept of arguments and results: whether any, and how many bytes in place and as a blob."""

    content: Switch = True
    max_bytes: Count = 65_536
    max_blob_bytes: Count = 8_388_608


class Redact(Table):
    """What is hidden beside the built-in secrets: field names, regular expressions; `keep` are names never hidden."""

    names: Names = ()
    patterns: Annotated[tuple[str, ...], BeforeValidator(allowed.patterns)] = ()
    keep: Names = ()


class Console(Table):
    """The lines on stderr: from which level on, in colours or not, with a summary at the end of a trace or not."""

    level: Annotated[Level, _words(*allowed.LEVELS)] = "INFO"
    color: Annotated[Literal["auto", "always", "never"], _words("auto", "always", "never")] = "auto"
    summary: Switch = True


class Jsonl(Table):
    """The event files; `path` is one shared file instead of one per process, `rotate_bytes` None never rotates."""

    path: Annotated[Path | None, BeforeValidator(allowed.path_or_none)] = None
    rotate_bytes: Annotated[int | None, BeforeValidator(allowed.size_or_none)] = None
    durability: Annotated[Literal["write", "fsync"], _words("write", "fsync")] = "write"


class Ledger(Table):
    """The cost ledger, an SQLite file or a PostgreSQL database; None means `ledger.db` in the folder."""

    url: Annotated[str | None, BeforeValidator(allowed.ledger_url_or_none)] = None


class Otlp(Table):
    """Sending by OTLP; None means what the standard variables `OTEL_EXPORTER_OTLP_*` say, or their defaults.

    `names` are those of the GenAI conventions (an edition) or of OpenInference; `spool_bytes` is how much may wait on
    disk while the target is away.
    """

    endpoint: Annotated[str | None, BeforeValidator(allowed.endpoint_or_none)] = None
    protocol: Annotated[Literal["http/protobuf", "grpc"] | None, BeforeValidator(allowed.protocol_or_none)] = None
    names: Annotated[
        Literal["1.41", "latest", "both", "openinference"] | None, BeforeValidator(allowed.dialect_or_none)
    ] = None
    spool_bytes: Count = 67_108_864


class Budget(Table):
    """Limits in US dollars, tokens, model calls and seconds; None is no limit.

    They are those of each root trace by itself, or, with another `period`, of all that processes with the same `name`
    and ledger spend in an hour, a day, …, in total.
    """

    usd: Annotated[Decimal | None, BeforeValidator(allowed.money_or_none)] = None
    tokens: MaybeCount = None
    calls: MaybeCount = None
    seconds: Annotated[float | None, BeforeValidator(allowed.seconds_or_none)] = None
    strict: Switch = False
    assumed_output: Count = 4096
    period: Annotated[Literal["trace", "hour", "day", "week", "month", "year", "total"], _words("trace", *PERIODS)] = (
        "trace"
    )
    name: Annotated[str, BeforeValidator(allowed.budget_name)] = "all"


class Loops(Table):
    """What happens when a call would only repeat what was tried: to it alone (`call`) or to all that follow (`run`).

    `action` may be a function that is given the finding and says whether the call is refused, or its name as
    `package.module:function`.
    """

    action: Annotated[Any, BeforeValidator(allowed.loop_action)] = "warn"
    scope: Annotated[Literal["call", "run"], _words("call", "run")] = "call"


_THRESHOLDS: dict[str, Any] = {
    name: (Annotated[Any, BeforeValidator(partial(thresholds.checked, name=name))], default)
    for name, default in thresholds.DEFAULTS.items()
}
Detectors = create_model(
    "Detectors",
    __base__=Table,
    __doc__="The thresholds of the detectors; `instrument.thresholds` says what each is and why.",
    **_THRESHOLDS,
)


class OpenAI(Table):
    """The patched OpenAI client; `stream_usage` auto asks for the usage of streams that would not report it."""

    stream_usage: Annotated[Literal["auto", "never"], _words("auto", "never")] = "auto"


class Sampling(Table):
    """What is stored beside the share `sample_rate`: `names` are patterns of root names with shares of their own
    (`health*=0`), `keep` says which traces are stored whatever the share: None is all four, but none at a share of 0.
    """

    names: Annotated[tuple[str, ...], BeforeValidator(allowed.rules)] = ()
    keep: Annotated[tuple[str, ...] | None, BeforeValidator(allowed.keeps_or_none)] = None
    slow_seconds: Annotated[float, BeforeValidator(allowed.seconds)] = 60.0
    dear_usd: Annotated[Decimal, BeforeValidator(allowed.money)] = Decimal(1)


class Queue(Table):
    """What may wait for the worker, and for each slow sink: how many records, how many bytes, and what happens beyond.

    With the policy `wait` a call waits for room up to `wait_seconds`; with `drop`, and after waiting in vain, the
    least valuable records are left out and counted.
    """

    limit: Annotated[int, BeforeValidator(allowed.count_from_one)] = 50_000
    max_bytes: Annotated[int, BeforeValidator(allowed.count_from_one)] = 67_108_864
    policy: Annotated[Literal["wait", "drop"], _words("wait", "drop")] = "wait"
    wait_seconds: Annotated[float, BeforeValidator(allowed.seconds)] = 1.0


class Retention(Table):
    """How many bytes the folder may hold before the oldest event files go; 0 never removes any."""

    max_bytes: Count = 1_073_741_824
