"""The settings: one frozen model, read from every source, and what could not be used.

Those below a table are in `setting_tables`.

Order, highest first: keywords, environment `INSTRUMENT_*` (levels joined by `__`), the TOML file that INSTRUMENT_CONFIG
names (keys at its top level or under `[tool.instrument]`), `[tool.instrument]` in the nearest pyproject.toml, defaults.
A value that is overridden is not looked at; an unknown key is a fault wherever it stands.

Importing this module imports pydantic (0.3 s of CPU), so that is done where settings are first needed.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from instrument import allowed, origins, thresholds
from instrument.errors import SettingsError
from instrument.origins import Given, Key, Unreadable, dotted
from instrument.setting_tables import (
    PRICE_PARTS,
    UNSET,
    Budget,
    Capture,
    Console,
    Detectors,
    Jsonl,
    Ledger,
    Loops,
    MaybeText,
    OpenAI,
    Otlp,
    Price,
    Queue,
    Redact,
    Retention,
    Sampling,
    Switch,
    Table,
)
from instrument.signals import is_of_signal
from instrument.thresholds import Thresholds


class Settings(BaseSettings):
    """All settings, valid and unchangeable. `Settings(**overrides)` reads every source, as `load` does.

    `prices` maps a model to US dollars by `PRICE_PARTS`: a million tokens, or a thousand searches;
    `sink` maps a sink to the keywords it is built with. Raises `SettingsError`.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=origins.PREFIX, env_nested_delimiter="__")

    enabled: Switch = True
    dir: Annotated[Path, BeforeValidator(allowed.path)] = Path(".instrument")
    sinks: Annotated[tuple[str, ...], BeforeValidator(allowed.sinks)] = ("console", "jsonl", "ledger")
    agent_id: MaybeText = None
    service: MaybeText = None
    sample_rate: Annotated[float, BeforeValidator(allowed.share)] = 1.0
    propagate_threads: Switch = True
    capture: Capture = Capture()
    redact: Redact = Redact()
    console: Console = Console()
    jsonl: Jsonl = Jsonl()
    ledger: Ledger = Ledger()
    otlp: Otlp = Otlp()
    budget: Budget = Budget()
    loops: Loops = Loops()
    detectors: Detectors = Detectors()  # type: ignore[valid-type]  # made of the thresholds, which stand in one place
    openai: OpenAI = OpenAI()
    retention: Retention = Retention()
    sampling: Sampling = Sampling()
    queue: Queue = Queue()
    prices: dict[str, dict[str, Price]] = {}
    sink: dict[str, dict[str, Any]] = Field(default={}, repr=False)

    _here: Path = PrivateAttr()

    def __init__(self, **overrides: Any) -> None:
        read = _read(overrides)
        if read.faults:
            raise SettingsError(_message(read.faults))
        super().__init__(**_tree(read.kept))

    def model_post_init(self, context: Any, /) -> None:
        self._here = origins.here()

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `_read` hands over: it read the other sources, because it remembers the origin of every key."""
        return (init_settings,)

    @property
    def folder(self) -> Path:
        """`dir` as an absolute path, by the working directory when it was loaded: a later chdir does not move it."""
        return self._here / self.dir

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds of the detectors."""
        return thresholds.thresholds(dict(self.detectors))

    @property
    def jsonl_path(self) -> Path | None:
        """`jsonl.path` as an absolute path, by the working directory at the time of loading."""
        return None if self.jsonl.path is None else self._here / self.jsonl.path

    @property
    def ledger_url(self) -> str:
        """`ledger.url`, or the ledger in the folder, a file with its absolute path: `sqlite:////…/ledger.db`."""
        if self.ledger.url is not None and not self.ledger.url.startswith("sqlite:///"):
            return self.ledger.url
        named = None if self.ledger.url is None else self.ledger.url.removeprefix("sqlite:///")
        return f"sqlite:///{self.folder / 'ledger.db' if named is None else self._here / named}"


def load(**overrides: Any) -> Settings:
    """The settings from all sources. Keywords are nested (`budget={"usd": 1}`) or joined (`budget__usd=1`, or by dots).

    Raises `SettingsError` that names every key, value and source that cannot be used, and what is allowed.
    """
    return Settings(**overrides)


def only(**overrides: Any) -> Settings:
    """The settings from keywords and defaults alone, whatever environment and files say. Raises as `load` does."""
    read = _checked(*origins.from_keywords(_plain(overrides), _is_table))
    if read.faults:
        raise SettingsError(_message(read.faults))
    return _settled(read.kept)


def prices_in(path: Path) -> dict[str, dict[str, Decimal]]:
    """The prices in a TOML file with `[prices."model"]` tables. Raises `SettingsError` as `load` does."""
    read = _checked(*origins.from_file("prices", path, _is_table))
    if read.faults:
        raise SettingsError(_message(read.faults))
    found = _settled(read.kept).prices
    if not found:
        raise SettingsError(f'{path} holds no prices: give them as [prices."model"] with {", ".join(PRICE_PARTS)}')
    return found


def load_lenient(**overrides: Any) -> tuple[Settings, list[str]]:
    """The settings, and a sentence for each key that cannot be used and fell back to its default. Raises nothing."""
    try:
        read = _read(overrides)
        return _settled(read.kept), [_lenient_sentence(fault) for fault in read.faults]
    except Exception as fault:  # whatever a keyword's own methods raise must not reach the user's code
        if is_of_signal(fault):
            raise
        return _settled({}), [f"the settings cannot be read ({type(fault).__name__}); the defaults are used"]


class Setting(NamedTuple):
    """One key: dotted name, value fit to be shown (secrets masked), where it came from, what was wrong with it.

    With a `problem` on a key that exists, `value` is the default that stands in for what was given.
    """

    key: str
    value: Any
    source: str
    problem: str | None = None


def explain(**overrides: Any) -> list[Setting]:
    """Every effective key with value and source, then what has no effect: unknown keys, files that cannot be read."""
    read = _read(overrides)
    settings, faults = _settled(read.kept), {fault.key: fault for fault in read.faults}
    keys = (*_LEAVES, *sorted(key for key in read.kept if key not in _LEAVES))
    effective = [_explained(settings, key, read.kept.get(key), faults.get(dotted(key))) for key in keys]
    known = {setting.key for setting in effective}
    return effective + [_without_effect(fault) for fault in read.faults if fault.key not in known]


def find_folder(settings: Settings) -> Path | None:
    """The folder that INSTRUMENT_DIR names, else the nearest existing one at or above the working directory.

    Its name is the setting `dir`. None when there is none, also when INSTRUMENT_DIR names one that does not exist.
    """
    if os.environ.get(f"{origins.PREFIX}DIR", "").strip():
        return settings.folder if os.path.isdir(settings.folder) else None
    return origins.nearest(settings.dir, os.path.isdir)


def for_children(settings: Settings) -> dict[str, str]:
    """The environment variables that let child processes record into the same folder, wherever they run."""
    config = origins.config_path()
    return {f"{origins.PREFIX}DIR": str(settings.folder)} | ({origins.CONFIG: str(config)} if config else {})


class _Fault(NamedTuple):
    key: str
    value: str
    source: str
    reason: str


class _Read(NamedTuple):
    kept: dict[Key, Given]
    faults: list[_Fault]


def _read(overrides: Mapping[str, Any]) -> _Read:
    return _checked(
        *origins.from_pyproject(_is_table),
        *origins.from_config(_is_table),
        *origins.from_environment(_is_table),
        *origins.from_keywords(_plain(overrides), _is_table),
    )


def _checked(*given: Given | Unreadable) -> _Read:
    """What was given, in rising order of precedence, without what cannot be used."""
    kept: dict[Key, Given] = {}
    faults: list[_Fault] = []
    for found in given:
        if isinstance(found, Unreadable):
            faults.append(_Fault(found.name, "", found.path, found.reason))
        elif misfit := _misfit(found):
            faults.append(_fault(found, misfit))
        else:
            kept[found.key] = found
    return _Read(kept, faults + _take_refused(kept))


def _plain(overrides: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.model_dump() if isinstance(value, Table) else value for name, value in overrides.items()}


def _take_refused(kept: dict[Key, Given]) -> list[_Fault]:
    """Take the values that the model refuses out of `kept`, until it accepts the rest."""
    faults: list[_Fault] = []
    while kept and (refusals := _refusals(kept)):
        refused = {key: why for place, why in refusals for key in kept if all(map(str.__eq__, key, place))}
        faults += [_fault(kept.pop(key), refused.get(key, "cannot be used")) for key in (refused or [*kept])]
    return faults


def _refusals(kept: Mapping[Key, Given]) -> list[tuple[Key, str]]:
    try:
        _settled(kept)
    except ValidationError as fault:
        errors = fault.errors()
        return [(tuple(map(str, one["loc"])), str(one.get("ctx", {}).get("error", one["msg"]))) for one in errors]
    return []


def _settled(kept: Mapping[Key, Given]) -> Settings:
    settings = Settings.__new__(Settings)
    BaseSettings.__init__(settings, **_tree(kept))
    return settings


def _tree(kept: Mapping[Key, Given]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, given in kept.items():
        table = tree
        for part in key[:-1]:
            table = table.setdefault(part, {})
        table[key[-1]] = given.value
    return tree


def _tables() -> dict[Key, tuple[str, ...]]:
    tables: dict[Key, tuple[str, ...]] = {(): tuple(Settings.model_fields)}
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, Table):
            tables[(name,)] = tuple(type(field.default).model_fields)
    return tables


_TABLES = _tables()
_LEAVES: tuple[Key, ...] = tuple(
    (*table, name)
    for table, names in _TABLES.items()
    for name in names
    if (name,) not in _TABLES and name not in origins.FREE_TABLES
)


def _is_table(key: Key) -> bool:
    return key in _TABLES or (key[0] in origins.FREE_TABLES and len(key) <= 2)


def _misfit(given: Given) -> str | None:
    """What is wrong with the key, None when it is a setting."""
    key = given.key
    if _is_table(key):
        return f"is a table; {_keys_of(given)}"
    if key in _LEAVES or (key[0] == "prices" and len(key) == 3 and key[2] in PRICE_PARTS):
        return None
    if key[0] == "sink" and len(key) == 3 and key[1] in allowed.SINKS:
        meant = f"see [{key[1]}]" if (key[1],) in _TABLES else f"{key[1]} has no keywords"
        return f"is for sinks of your own; {meant}"
    if key[0] == "sink" and len(key) == 3:
        return None if allowed.is_sink(key[1]) else allowed.unknown_sinks([key[1]])
    return f"there is no such setting; {_nearest(given)}"


def _keys_of(given: Given) -> str:
    table = given.key
    if table == ("sink",):
        return 'its keys are sinks, as in [sink."package.module:Name"]'
    if table == ("prices",):
        return 'its keys are models, as in [prices."model"]'
    names = _TABLES.get(table, PRICE_PARTS if table[:1] == ("prices",) else ("the keywords of the sink",))
    if _is_variable(given) and table in _TABLES:
        return f"its variables are {', '.join(_variable((*table, name)) for name in names)}"
    return f"its keys are {', '.join(names)}"


def _is_variable(given: Given) -> bool:
    return given.source.startswith("environment")


def _variable(key: Key) -> str:
    return origins.PREFIX + "__".join(key).upper()


def _nearest(given: Given) -> str:
    key = given.key
    if key[0] == "prices" and len(key) == 3:
        return f"the keys of a price are {', '.join(PRICE_PARTS)}"
    known = {"_".join(one): one for one in (*_LEAVES, *_TABLES) if one}
    if close := difflib.get_close_matches("_".join(key).lower()[:100], known, n=1):
        meant = known[close[0]]
        return f"did you mean {_variable(meant) if _is_variable(given) else dotted(meant)}?"
    return f"known are {', '.join(_TABLES.get(key[:-1], _TABLES[()]))}"


def _fault(given: Given, reason: str) -> _Fault:
    return _Fault(dotted(given.key), origins.shown(_masked(given)), origins.where(given), origins.visible(reason, 1000))


def _masked(given: Given) -> Any:
    if _is_table(given.key) and given.key[:1] == ("sink",):
        return "***"  # text that was meant to hold options: no telling what is in it
    known = given.key in _LEAVES or given.key[:1] == ("prices",)
    return origins.masked(given.value, "" if known else "_".join(given.key)[:1000])


def _sentence(fault: _Fault) -> str:
    if not fault.value:
        return f"{fault.key}: {fault.source} {fault.reason}"
    return f"{fault.key} = {fault.value} ({fault.source}): {fault.reason}"


def _message(faults: list[_Fault]) -> str:
    head = "1 setting cannot be used" if len(faults) == 1 else f"{len(faults)} settings cannot be used"
    return "\n  ".join([f"{head}:", *map(_sentence, faults)])


def _lenient_sentence(fault: _Fault) -> str:
    key = next((key for key in _LEAVES if dotted(key) == fault.key), None)
    default = _effective(_settled({}), key) if key else None
    shown = UNSET.get(fault.key, "none") if default is None else origins.shown(default)
    instead = f"; the default {shown} is used" if key else "; it is ignored"
    return f"{_sentence(fault)}{instead}".replace("?; it is", "? It is")


def _explained(settings: Settings, key: Key, given: Given | None, fault: _Fault | None) -> Setting:
    value = origins.masked(_effective(settings, key), key[-1] if key[0] == "sink" else "")
    return Setting(dotted(key), value, origins.where(given) if given else "default", fault and _sentence(fault))


def _without_effect(fault: _Fault) -> Setting:
    return Setting(fault.key, None, fault.source, _sentence(fault))


def _effective(settings: Settings, key: Key) -> Any:
    value: Any = settings
    for part in key:
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    if callable(value):
        return f"{getattr(value, '__module__', '?')}:{getattr(value, '__qualname__', type(value).__qualname__)}"
    return str(value) if isinstance(value, Path | Decimal) else list(value) if isinstance(value, tuple) else value
