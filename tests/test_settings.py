"""The settings: where they come from, what is refused and how that is said."""

from __future__ import annotations

import contextlib
import json
import os
import string
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from instrument.errors import SettingsError
from instrument.model import Finding
from instrument.setting_tables import PRICE_PARTS, Budget
from instrument.settings import Settings, explain, find_folder, for_children, load, load_lenient
from instrument.thresholds import DEFAULTS

CONFIGS = Path(__file__).parent.parent / "configs"
UNIQUE = "recorded-by-this-test"
"""No folder above the one for temporary files has it, as `.instrument` may lie there since somebody tried us."""

pytestmark = pytest.mark.usefixtures("alone")


def refusal(**overrides: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load(**overrides)
    return str(caught.value)


def pyproject(text: str) -> None:
    Path("pyproject.toml").write_text(f"[tool.instrument]\n{text}")


def config(monkeypatch: pytest.MonkeyPatch, text: str | bytes) -> Path:
    path = Path("my.toml").absolute()
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    monkeypatch.setenv("INSTRUMENT_CONFIG", str(path))
    return path


# Order and shapes of the sources


def test_defaults() -> None:
    """With nothing set, every key has the documented default."""
    expected = {
        "enabled": True,
        "dir": Path(".instrument"),
        "sinks": ("console", "jsonl", "ledger"),
        "agent_id": None,
        "service": None,
        "sample_rate": 1.0,
        "propagate_threads": True,
        "capture": {"content": True, "max_bytes": 65536, "max_blob_bytes": 8388608},
        "redact": {"names": (), "patterns": (), "keep": ()},
        "console": {"level": "INFO", "color": "auto", "summary": True},
        "jsonl": {"path": None, "rotate_bytes": None, "durability": "write"},
        "ledger": {"url": None},
        "otlp": {"endpoint": None, "protocol": None, "names": None, "spool_bytes": 1 << 26},
        "budget": {
            "usd": None, "tokens": None, "calls": None, "seconds": None, "strict": False, "assumed_output": 4096,
            "period": "trace", "name": "all",
        },
        "loops": {"action": "warn", "scope": "call"},
        "detectors": DEFAULTS,
        "openai": {"stream_usage": "auto"},
        "retention": {"max_bytes": 1 << 30},
        "sampling": {"names": (), "keep": None, "slow_seconds": 60.0, "dear_usd": Decimal(1)},
        "queue": {"limit": 50_000, "max_bytes": 1 << 26, "policy": "wait", "wait_seconds": 1.0},
        "prices": {},
        "sink": {},
    }  # fmt: skip
    assert expected == load().model_dump()


@pytest.mark.parametrize(("sources", "expected"), [(4, 0.4), (3, 0.3), (2, 0.2), (1, 0.1), (0, 1.0)])
def test_order(sources: int, expected: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keywords win over the environment, that over the named file, that over pyproject.toml, that over the default."""
    if sources >= 1:
        pyproject("sample_rate = 0.1")
    if sources >= 2:
        config(monkeypatch, "sample_rate = 0.2")
    if sources >= 3:
        monkeypatch.setenv("INSTRUMENT_SAMPLE_RATE", "0.3")
    assert expected == load(**({"sample_rate": 0.4} if sources >= 4 else {})).sample_rate


def test_sources_are_merged_key_by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that sets one key of a table leaves the table's other keys to the sources below."""
    pyproject("[tool.instrument.capture]\ncontent = false\nmax_bytes = 1")
    monkeypatch.setenv("INSTRUMENT_CAPTURE__MAX_BYTES", "2")
    assert (False, 2, 3) == tuple(load(capture={"max_blob_bytes": 3}).capture.model_dump().values())


@pytest.mark.parametrize(
    "overrides",
    [{"budget": {"usd": "1.5"}}, {"budget__usd": 1.5}, {"budget.usd": Decimal("1.5")}, {"budget": Budget(usd="1.5")}],
)
def test_keywords_may_be_nested_or_joined(overrides: dict[str, object]) -> None:
    """A nested key can be given as a mapping, a table, or by a name joined with two underscores or a dot."""
    assert Decimal("1.5") == load(**overrides).budget.usd


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("console,jsonl", ("console", "jsonl")),
        (" jsonl , ledger,", ("jsonl", "ledger")),
        ("jsonl,jsonl", ("jsonl",)),
        ('["memory"]', ("memory",)),
        ("my.module:Sink", ("my.module:Sink",)),
        ("", ()),
    ],
)
def test_sinks_from_the_environment(value: str, expected: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Sinks are separated by commas, each counts once, and empty means none."""
    monkeypatch.setenv("INSTRUMENT_SINKS", value)
    assert expected == load().sinks


@pytest.mark.parametrize(
    "name", ["SAMPLE_RATE", "DIR", "ENABLED", "BUDGET__USD", "REDACT__NAMES", "CONFIG", "NONSENSE"]
)
def test_empty_variables_are_unset(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable is as good as none."""
    monkeypatch.setenv(f"INSTRUMENT_{name}", "")
    assert Settings() == load()


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("repeats", "1", "must be a whole number from 2 up"),
        ("repeats", "many", "must be a whole number from 2 up"),
        ("longest_cycle", str(2**63 - 1), "must be a whole number from 2 to 100"),
        ("reworded", "1.5", "must be a number from 0 to 1"),
        ("slow_seconds", "0", "must be a number above 0"),
        ("context_windows", '{"m": "large"}', "must be whole numbers of tokens by the names of models"),
    ],
)
def test_a_threshold_that_cannot_be_used_says_what_is_allowed(
    key: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Key, value and source are named as for every setting."""
    monkeypatch.setenv(f"INSTRUMENT_DETECTORS__{key.upper()}", value)
    with pytest.raises(SettingsError, match=f"detectors.{key} = .*INSTRUMENT_DETECTORS.*{allowed}"):
        load()


def test_thresholds_from_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """They stand in a table of their own, a window for each model in one below."""
    config(monkeypatch, '[detectors]\nrepeats = 5\n[detectors.context_windows]\n"my-model" = 32000')
    found = load().thresholds
    assert (5, {"my-model": 32000}) == (found.repeats, found.context_windows)


def decide(finding: Finding) -> bool:
    """Whether the call is refused."""
    return True


def test_the_action_may_be_a_function() -> None:
    """Given as it is by a keyword."""
    assert decide is load(loops={"action": decide}).loops.action


def test_the_action_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As package.module:name elsewhere."""
    monkeypatch.setenv("INSTRUMENT_LOOPS__ACTION", "my_agent.loops:decide")
    assert "my_agent.loops:decide" == load().loops.action


def test_an_unknown_action_says_what_is_allowed() -> None:
    """The three words and the function."""
    with pytest.raises(SettingsError, match=r"must be one of warn, raise, off, or a function"):
        load(loops={"action": "stop"})


def test_a_function_is_shown_by_its_name() -> None:
    """`doctor` has nothing else to show."""
    shown = {one.key: one.value for one in explain(loops={"action": decide})}
    assert f"{__name__}:decide" == shown["loops.action"]


def test_limit_is_lifted_by_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The word none takes away a limit that a source below has set."""
    pyproject("budget = { usd = 1 }")
    monkeypatch.setenv("INSTRUMENT_BUDGET__USD", "none")
    assert load().budget.usd is None


def test_tables_from_the_environment_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has names of the user's own, which no variable can be called, can be given as JSON."""
    monkeypatch.setenv("INSTRUMENT_PRICES", '{"gpt-4.1/x": {"input": 0.1}}')
    assert {"gpt-4.1/x": {"input": Decimal("0.1")}} == load().prices


def test_patterns_from_the_environment_are_not_cut_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """A regular expression holds commas, so that a variable is one expression."""
    monkeypatch.setenv("INSTRUMENT_REDACT__PATTERNS", r"\d{3,5}")
    assert (r"\d{3,5}",) == load().redact.patterns


def test_own_prices_and_sink_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables with names of the user's own keep those names as they are."""
    config(monkeypatch, '[prices."gpt-X.1"]\ninput = 0.1\ncached = "0.01"\n[sink."a.b:C"]\nHeaders = { x = 1 }')
    loaded = load()
    assert {"gpt-X.1": {"input": Decimal("0.1"), "cached": Decimal("0.01")}} == loaded.prices
    assert {"a.b:C": {"Headers": {"x": 1}}} == loaded.sink


def test_config_may_hold_the_pyproject_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A named file with `[tool.instrument]`, such as another project's pyproject.toml, counts by that table alone."""
    config(monkeypatch, '[project]\nname = "x"\n[tool.instrument]\nsample_rate = 0.5')
    assert 0.5 == load().sample_rate


def test_settings_beside_that_table_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are meant for us and have no effect."""
    config(monkeypatch, "dir = 'a'\n[budget]\nusd = 1\n[tool.instrument]\nsample_rate = 0.5\n[prices.m]\ninput = 1")
    with pytest.raises(
        SettingsError, match=r"has \[tool.instrument\] and sets budget, prices outside of it: move that"
    ):
        load()


def test_only_the_nearest_pyproject_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several pyproject.toml above each other the nearest is read, and it alone."""
    pyproject("sample_rate = 0.5")
    below = Path("a/b")
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert 0.5 == load().sample_rate
    Path("pyproject.toml").write_text("[project]\n")
    assert 1.0 == load().sample_rate


def test_a_mark_at_the_beginning_of_the_file_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A TOML file that begins with a byte order mark is read like one without."""
    config(monkeypatch, b"\xef\xbb\xbfsample_rate = 0.5\r\n")
    assert 0.5 == load().sample_rate


def test_settings_survive_being_dumped() -> None:
    """What the model dumps loads again as the same settings."""
    loaded = load(budget__usd=1, redact__names="a,b", prices={"m": {"input": 1}}, sink={"a:B": {"x": None}}, dir="~/x")
    assert loaded == load(**loaded.model_dump())


def test_settings_cannot_be_changed() -> None:
    """Settings are frozen, tables too."""
    loaded = load()
    with pytest.raises(ValidationError):
        loaded.capture.max_bytes = 1


# What is refused


def test_unknown_variable_names_the_one_that_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown variable is refused with its value, its name and the nearest that exists."""
    monkeypatch.setenv("INSTRUMENT_SINKZ", "x")
    expected = (
        "1 setting cannot be used:\n  sinkz = 'x' (environment variable INSTRUMENT_SINKZ): "
        "there is no such setting; did you mean INSTRUMENT_SINKS?"
    )
    assert expected == refusal()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CAPTURE_MAX_BYTES", "INSTRUMENT_CAPTURE__MAX_BYTES"),
        ("CAPTURE__MAXBYTES", "INSTRUMENT_CAPTURE__MAX_BYTES"),
        ("BUDGET__USDS", "INSTRUMENT_BUDGET__USD"),
        ("LOOP__ACTION", "INSTRUMENT_LOOPS__ACTION"),
        ("SAMPLERATE", "INSTRUMENT_SAMPLE_RATE"),
    ],
)
def test_nearest_nested_name(name: str, meant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A nested variable with a slip is answered with the name that was meant."""
    monkeypatch.setenv(f"INSTRUMENT_{name}", "1")
    assert f"did you mean {meant}?" in refusal()


def test_unknown_key_far_from_every_name_lists_the_known_ones() -> None:
    """An unknown key that resembles none is answered with the keys of its table."""
    assert "known are content, max_bytes, max_blob_bytes" in refusal(capture={"zzzzzzzzzzzz_qqqq": 1})


def test_unknown_key_below_is_refused_though_nothing_uses_it() -> None:
    """An unknown key in pyproject.toml is refused with its place."""
    pyproject("\nsample_rat = 1")
    assert f"sample_rat = 1 ({Path('pyproject.toml').absolute()} line 3)" in refusal()


@pytest.mark.parametrize("odd", ["[#]", "[x = 5 #]", "[x", "= 1", "# = 1"])
def test_a_text_that_looks_like_keys_costs_the_line_at_most(odd: str) -> None:
    """The line of a key is looked for in the file as it stands, where a text may have several lines."""
    pyproject(f'service = """\n{odd}\n"""\nsample_rat = 1')
    assert f"sample_rat = 1 ({Path('pyproject.toml').absolute()}" in refusal()


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("enabled", "maybe", "must be true or false"),
        ("enabled", 2, "must be true or false"),
        ("sample_rate", 1.01, "must be a number from 0 to 1"),
        ("sampling.names", "health", "must be name=share, as in health*=0; 'health' is not (a share is 0 to 1)"),
        ("sampling.names", ["a=2"], "must be name=share, as in health*=0; 'a=2' is not (a share is 0 to 1)"),
        ("sampling.keep", "errors", "must be some of error, finding, slow, dear, or nothing"),
        ("queue.limit", 0, "must be a whole number from 1 up"),
        ("sample_rate", "nan", "must be a number from 0 to 1"),
        ("sample_rate", True, "must be a number from 0 to 1"),
        ("capture.max_bytes", -1, "must be a whole number from 0 up"),
        ("capture.max_bytes", "64 kB", "must be a whole number from 0 up"),
        ("capture.max_bytes", 1.5, "must be a whole number from 0 up"),
        ("capture.max_bytes", 10**30, "must be a whole number from 0 up"),
        ("capture.max_bytes", None, "must be a whole number from 0 up"),
        ("jsonl.rotate_bytes", 0, "must be a whole number from 1 up, or none"),
        ("budget.usd", "-0.01", "must be US dollars, a number from 0 up, or none"),
        ("budget.usd", float("inf"), "must be US dollars, a number from 0 up, or none"),
        ("budget.seconds", "soon", "must be seconds, a number from 0 up, or none"),
        ("budget.calls", True, "must be a whole number from 0 up, or none"),
        ("budget.period", "minute", "must be one of trace, hour, day, week, month, year, total"),
        ("budget.name", "", "must be a name, as of a team"),
        ("console.level", "LOUD", "must be one of TRACE, DEBUG, INFO, SUCCESS, WARNING, ERROR, CRITICAL"),
        ("console.color", 1, "must be one of auto, always, never"),
        ("jsonl.durability", "maybe", "must be one of write, fsync"),
        ("loops.action", "explode", "must be one of warn, raise, off"),
        ("loops.scope", "", "must be one of call, run"),
        ("openai.stream_usage", "always", "must be one of auto, never"),
        ("ledger.url", "mysql://h/db", "must be sqlite:///"),
        ("ledger.url", "postgresql://h", "must name a database"),
        ("ledger.url", "postgresql://h1:5432,h2:0/db", "must name a database"),
        ("ledger.url", "sqlite://", "must be sqlite:///"),
        ("ledger.url", "sqlite:///:memory:", "must be sqlite:///"),
        ("sinks", "consol", "there is no sink 'consol'; did you mean console? known are console, jsonl"),
        ("sinks", ["jsonl", 3], "must be names, in a list or separated by commas"),
        ("sinks", Path, "a class of your own is package.module:Name"),
        ("sinks", "a.b:", "there is no sink 'a.b:'"),
        ("sinks", "None", "there is no sink 'None'; INSTRUMENT_ENABLED=0 (enabled = false) records nothing; known are"),
        ("dir", "", "must be a path"),
        ("dir", "a\0b", "must be a path"),
        ("dir", "~nobody-of-that-name/x", "starts with ~ and that home folder is not known"),
        ("agent_id", "a\nb", "must be text"),
        ("service", 7, "must be text"),
        ("redact.patterns", ["("], "must be regular expressions; '(' is none: missing )"),
        ("redact.names", {"a": 1}, "must be names"),
        ("capture", 5, "is a table; its keys are content, max_bytes, max_blob_bytes"),
        ("prices", 5, 'its keys are models, as in [prices."model"]'),
        ("sink", 5, 'as in [sink."package.module:Name"]'),
    ],
)
def test_refused_values_say_what_is_allowed(key: str, value: object, allowed: str) -> None:
    """A value that cannot be used is refused with its key and what is allowed."""
    message = refusal(**{key: value})
    assert (True, True) == (f"\n  {key} = " in message, allowed in message)


@pytest.mark.parametrize("value", ["-1", "nan", "inf", '"cheap"'])
def test_refused_prices_name_model_and_part(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A price below zero or no number is refused by its full key and line."""
    path = config(monkeypatch, f'[prices."gpt-x"]\ninput = {value}')
    message = refusal()
    assert 'prices."gpt-x".input = ' in message
    assert f"({path} line 2): must be US dollars a million tokens, a number from 0 up" in message


def test_all_faults_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults of every source come in one message, a line each."""
    pyproject("nonsense = 1")
    config(monkeypatch, "sample_rate = 7\n[capture]\nmax_bytes = -1")
    monkeypatch.setenv("INSTRUMENT_LOOPS__ACTION", "x")
    message = refusal(budget__usd="a", enabled="x")
    assert ("6 settings cannot be used:", 7) == (message.splitlines()[0], len(message.splitlines()))


def test_overridden_values_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad value that a higher source replaces does no harm."""
    pyproject("sample_rate = 7")
    monkeypatch.setenv("INSTRUMENT_SAMPLE_RATE", "0.5")
    assert 0.5 == load().sample_rate


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ledger.url", "postgres://me:hunter2@host"),
        ("ledger.url", "postgres://me:hun/te@hunter2@host"),
        ("openai_api_key", "hunter2hunter2"),
        ("service", "x\nhttps://a:hunter2@b"),
        ("agent_id", "\nsk-hunter2hunter2"),
        ("agent_id", "\ngsk_hunter2hunter2hunter2"),
        ("sink", {"otpl": {"headers": {"authorization": "Basic hunter2"}}}),
        ("sink", '{"otlp": {"password": "hunter2"'),
        ("otlp", {"headers": "hunter2"}),
        ("ledger.url", "postgresql+x://h/db?user=me&password=hunter2"),
    ],
)
def test_secrets_are_not_repeated(key: str, value: object) -> None:
    """What sounds or looks like a secret is masked in a message."""
    message = refusal(**{key: value})
    assert (True, False) == ("***" in message, "hunter2" in message)


def test_secrets_are_not_in_the_repr() -> None:
    """Options of a sink, which often are secrets, are not shown when settings are printed."""
    assert "hunter2" not in repr(load(sink={"a:B": {"key": "hunter2"}}))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a = \nb = 2", "is not valid TOML: Invalid value (at line 1, column 5)"),
        ("x = " + "[" * 100_000, "is not valid TOML: "),
        ("x = 1" + "0" * 5000, "is not valid TOML: "),
        (b"a = 1\nb = '\xff'", "is not valid UTF-8 (at line 2, column 6)"),
    ],
)
def test_broken_files_are_named_with_line_and_column(
    content: str | bytes, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is no TOML is refused with its path, and the place where that can be told."""
    path = config(monkeypatch, content)
    assert f"INSTRUMENT_CONFIG: {path} {said}" in refusal()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.toml", "cannot be read: No such file or directory"),
        (".", "cannot be read: it is no regular file"),
        ("/dev/zero", "cannot be read: it is no regular file"),
        ("x" * 100_000, "cannot be read: File name too long"),
    ],
)
def test_files_that_cannot_be_read_are_named(name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not there, or is none, is refused with the reason."""
    monkeypatch.setenv("INSTRUMENT_CONFIG", name)
    assert said in refusal()


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("sink.jsonl.path", 'sink."jsonl".path = 1 (keyword sink.jsonl.path): is for sinks of your own; see [jsonl]'),
        ("sink.memory.size", "is for sinks of your own; memory has no keywords"),
        ("", '"" = 1 (keyword ): there is no such setting; known are enabled'),
    ],
)
def test_what_nothing_would_read_is_refused(key: str, told: str) -> None:
    """Keywords for a sink that takes its settings from a table of its own, and what has no name at all."""
    assert told in refusal(**{key: 1})


@pytest.mark.parametrize("content", ["[tool]\ninstrument = 5", "[[tool.instrument]]\nsinks = 'jsonl'"])
def test_what_should_be_our_table_is_told_to_be_one(content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands in its place is named, and which keys it should have."""
    path = config(monkeypatch, content)
    told = refusal()
    assert (True, True) == (f"({path}" in told, "): is a table; its keys are enabled, dir" in told)


def test_broken_pyproject_of_others_is_not_ours_to_judge() -> None:
    """A pyproject.toml that is no TOML and does not mention us is passed over; one that does is refused."""
    Path("pyproject.toml").write_text("[project\n{{ name }}")
    load()
    Path("pyproject.toml").write_bytes(b"name = '\xff'")
    load()
    Path("pyproject.toml").write_text("[project\n[tool.instrument]")
    assert "pyproject.toml is not valid TOML" in refusal()


# Lenient loading


def test_lenient_falls_back_to_the_default_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad value gives one sentence and the default, not the value of a source below; other keys stay."""
    pyproject("sample_rate = 0.5\nservice = 's'")
    monkeypatch.setenv("INSTRUMENT_SAMPLE_RATE", "7")
    loaded, sentences = load_lenient()
    assert (1.0, "s") == (loaded.sample_rate, loaded.service)
    expected = (
        "sample_rate = '7' (environment variable INSTRUMENT_SAMPLE_RATE): must be a number from 0 to 1; "
        "the default 1.0 is used"
    )
    assert [expected] == sentences


@pytest.mark.parametrize(
    ("variable", "default"),
    [("BUDGET__USD", "none"), ("SAMPLING__KEEP", "all four"), ("LEDGER__URL", "ledger.db in the folder")],
)
def test_no_default_is_said_in_words(variable: str, default: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in Python's, and as what it comes to."""
    monkeypatch.setenv(f"INSTRUMENT_{variable}", "abc")
    assert [True] == [sentence.endswith(f"; the default {default} is used") for sentence in load_lenient()[1]]


def test_a_variable_that_is_a_table_is_told_of_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """By their names."""
    monkeypatch.setenv("INSTRUMENT_CAPTURE", "5")
    with pytest.raises(SettingsError, match="its variables are INSTRUMENT_CAPTURE__CONTENT, INSTRUMENT_CAPTURE__MAX_"):
        load()


def test_lenient_ignores_unknown_keys_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown key gives one sentence and changes nothing."""
    monkeypatch.setenv("INSTRUMENT_SINKZ", "x")
    loaded, sentences = load_lenient()
    assert Settings.model_fields["sinks"].default == loaded.sinks
    assert [True] == [sentence.endswith("did you mean INSTRUMENT_SINKS? It is ignored") for sentence in sentences]


def test_lenient_survives_objects_that_raise() -> None:
    """Whatever a keyword's own methods do, lenient loading gives settings and a sentence."""

    class Hostile:
        def __getattribute__(self, name: str) -> object:
            raise RuntimeError(name)

    loaded, sentences = load_lenient(sample_rate=Hostile(), sink={"a:B": Hostile()})
    assert (1.0, True) == (loaded.sample_rate, len(sentences) >= 1)


variables = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=30) | st.sampled_from(
    [
        "\udcff",
        "1",
        "-1",
        "nan",
        "true",
        "[",
        "{}",
        '{"a": {"input": -1}}',
        "console,",
        "a:b",
        "(",
        "~",
        "none",
        "x" * 10**6,
    ]
)
known_names = st.sampled_from(
    ["SINKS", "DIR", "ENABLED", "CAPTURE", "CAPTURE__MAX_BYTES", "BUDGET__USD", "BUDGET__SECONDS", "PRICES", "SINK",
     "PRICES__m__INPUT", "SINK__a:b__C", "JSONL__PATH", "LEDGER__URL", "REDACT__PATTERNS", "REDACT__NAMES", "AGENT_ID",
     "LOOPS__ACTION", "CONSOLE__LEVEL", "CONFIG", "", "__", "CAPTURE__", "__CAPTURE", "PRICES__", "SINK__x"]
)  # fmt: skip
any_name = known_names | st.text(string.ascii_uppercase + "_", max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.binary(max_size=3)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=8
)
keywords = st.dictionaries(
    st.sampled_from([*Settings.model_fields, "budget__usd", "capture.max_bytes", "", "_x", "a.b.c", "sink__a:b__c"]),
    anything,
)
toml_lines = st.lists(
    st.sampled_from(
        ["[capture]", "[prices.m]", "[sink.'a:b']", "[tool.instrument]", "x = 1", "max_bytes = -1", "input = nan",
         "sinks = 'x'", "sample_rate = [1]", "dir = 2020-01-01", "enabled = {a.b = 1}", '"" = 1', "[[budget]]",
         "usd = 1e400", "prices = 3", "[", '"\\u001b" = 0', "content = 'x", "names = [[]]", "patterns = ['(']"]
    )
    | st.text(max_size=15)
).map("\n".join)  # fmt: skip


@contextlib.contextmanager
def environment(values: dict[str, str], file: bytes | None) -> Iterator[None]:
    before = dict(os.environ)
    try:
        for name, value in values.items():
            os.environ[f"INSTRUMENT_{name}"] = value
        if file is not None:
            Path("fuzz.toml").write_bytes(file)
            os.environ["INSTRUMENT_CONFIG"] = "fuzz.toml"
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(any_name, variables, max_size=5),
    st.none() | toml_lines.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=40),
    keywords,
)
def test_lenient_never_raises(values: dict[str, str], file: bytes | None, overrides: dict[str, object]) -> None:
    """For every environment, file and keyword it gives settings that load again, and sentences that can be printed."""
    with environment(values, file):
        loaded, sentences = load_lenient(**overrides)
    assert loaded == load(**loaded.model_dump())
    assert all(sentence.isprintable() and len(sentence) < 1500 for sentence in sentences), sentences
    assert not any("the settings cannot be read" in sentence for sentence in sentences)


def faults_of(overrides: dict[str, object]) -> list[str]:
    try:
        load(**overrides)
    except SettingsError as error:
        return str(error).splitlines()[1:]
    return []


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(any_name, variables, max_size=3), st.none() | toml_lines.map(str.encode), keywords)
def test_strict_and_lenient_agree(values: dict[str, str], file: bytes | None, overrides: dict[str, object]) -> None:
    """Strict loading raises exactly where lenient loading has something to say, and a SettingsError only."""
    with environment(values, file):
        loaded, sentences = load_lenient(**overrides)
        faults = faults_of(overrides)
        assert len(sentences) == len(faults)
        assert faults or loaded == load(**overrides)


def test_values_of_a_megabyte_are_neither_shown_nor_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A huge value is refused in a short message."""
    for name in ("AGENT_ID", "SAMPLE_RATE", "SINKS", "LEDGER__URL", "SINK", "CAPTURE__MAX_BYTES", "DIR", "NONSENSE"):
        monkeypatch.setenv(f"INSTRUMENT_{name}", "://a:" * 200_000)
    message = refusal()
    assert (9, True) == (len(message.splitlines()), len(message) < 3000)


def test_bytes_that_are_no_utf8_are_refused_in_printable_words() -> None:
    """A variable that is not valid UTF-8 is refused, in a message that any stream can print."""
    code = "from instrument.settings import load_lenient; print(*load_lenient()[1], sep=chr(10))"
    environ = {**os.environb, b"INSTRUMENT_DIR": b"\xff", b"INSTRUMENT_\xfe": b"\xff", b"PYTHONIOENCODING": b"utf-8"}
    environ[b"PYTHONPATH"] = os.fsencode(CONFIGS.parent)
    found = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, timeout=60, check=False)
    assert (b"", True) == (found.stderr, found.stdout.isascii())
    assert 2 == found.stdout.count(b"environment variable")


# Explaining


def test_explain_tells_where_each_value_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every leaf key is there once, with its value and the place that set it."""
    pyproject("service = 's'")
    path = config(monkeypatch, '[capture]\nmax_bytes = 5\n[prices."m"]\ninput = 1')
    monkeypatch.setenv("INSTRUMENT_SINKS", "jsonl")
    found = {one.key: (one.value, one.source) for one in explain(loops={"action": "off"})}
    expected = {
        "service": ("s", f"{Path('pyproject.toml').absolute()} line 2"),
        "capture.max_bytes": (5, f"{path} line 2"),
        'prices."m".input': ("1", f"{path} line 4"),
        "sinks": (["jsonl"], "environment variable INSTRUMENT_SINKS"),
        "loops.action": ("off", "keyword loops"),
        "loops.scope": ("call", "default"),
    }
    assert expected == {key: found[key] for key in expected}


def test_explain_has_every_leaf() -> None:
    """The keys are all keys of the model."""
    tables = load().model_dump(exclude={"prices", "sink"})
    leaves = {
        f"{name}.{inner}" if isinstance(value, dict) else name
        for name, value in tables.items()
        for inner in (value if isinstance(value, dict) else [""])
    }
    assert leaves == {one.key for one in explain()}


def test_explain_shows_problems_with_the_value_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused value is told beside the default that stands in for it, an unknown key after all others."""
    monkeypatch.setenv("INSTRUMENT_SAMPLE_RATE", "7")
    monkeypatch.setenv("INSTRUMENT_SINKZ", "x")
    found = {one.key: one for one in explain()}
    assert (1.0, "default") == (found["sample_rate"].value, found["sample_rate"].source)
    assert "must be a number from 0 to 1" in str(found["sample_rate"].problem)
    assert "did you mean" in str(found["sinkz"].problem)


def test_explain_masks_secrets() -> None:
    """Options of a sink that sound secret are not shown, and all that is shown is JSON."""
    shown = json.dumps(explain(sink={"a:B": {"api_key": "hunter2", "url": "http://u:hunter2@h", "x": [1]}}))
    assert "hunter2" not in shown


# The folder


def test_folder_stays_where_it_was_when_the_program_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder is meant from the working directory at the time of loading, whatever chdir follows."""
    loaded = load(jsonl__path="all.jsonl", ledger__url="sqlite:///costs.db")
    monkeypatch.chdir("/")
    assert (tmp_path / ".instrument", tmp_path / "all.jsonl") == (loaded.folder, loaded.jsonl_path)
    assert f"sqlite:///{tmp_path}/costs.db" == loaded.ledger_url


def test_a_database_may_have_several_hosts() -> None:
    """As the driver takes them, each with its own port."""
    url = "postgresql://me@h1:5432,[::1]:5433,h3/db"
    assert url == load(ledger__url=url).ledger_url


def test_ledger_lies_in_the_folder(tmp_path: Path) -> None:
    """Without an address the ledger's is that of ledger.db in the folder."""
    assert f"sqlite:///{tmp_path}/x/ledger.db" == load(dir="x").ledger_url


def test_children_get_an_absolute_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What child processes are given does not depend on where they run."""
    monkeypatch.setenv("INSTRUMENT_CONFIG", "my.toml")
    Path("my.toml").write_text("")
    assert {
        "INSTRUMENT_DIR": f"{tmp_path}/.instrument",
        "INSTRUMENT_CONFIG": f"{tmp_path}/my.toml",
    } == for_children(load())


def test_a_removed_working_directory_is_survived(tmp_path: Path) -> None:
    """Where the working directory is gone, settings load all the same and there is no folder."""
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    assert (Path(".instrument"), None) == (load().folder, find_folder(load()))


@pytest.mark.parametrize("home", ["", None])
def test_a_missing_home_is_survived(home: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without HOME everything loads; only a folder that needs it may be refused."""
    monkeypatch.delenv("HOME") if home is None else monkeypatch.setenv("HOME", home)
    loaded, _ = load_lenient(dir="~/x")
    assert not str(loaded.dir).startswith("~")


def test_find_folder_looks_upward(tmp_path: Path) -> None:
    """The nearest folder at or above the working directory is found."""
    (tmp_path / "a/b").mkdir(parents=True)
    os.chdir("a/b")
    settings = load(dir=UNIQUE)
    assert find_folder(settings) is None
    (tmp_path / UNIQUE).mkdir()
    assert tmp_path / UNIQUE == find_folder(settings)
    (tmp_path / "a" / UNIQUE).mkdir()
    assert tmp_path / "a" / UNIQUE == find_folder(settings)


def test_find_folder_takes_no_file(tmp_path: Path) -> None:
    """A file of that name is no folder."""
    (tmp_path / UNIQUE).write_text("")
    assert find_folder(load(dir=UNIQUE)) is None


def test_find_folder_obeys_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """INSTRUMENT_DIR is the folder, or there is none."""
    (tmp_path / ".instrument").mkdir()
    monkeypatch.setenv("INSTRUMENT_DIR", "elsewhere")
    assert find_folder(load()) is None
    (tmp_path / "elsewhere").mkdir()
    assert tmp_path / "elsewhere" == find_folder(load())


def test_find_folder_knows_the_configured_name(tmp_path: Path) -> None:
    """A folder that pyproject.toml calls otherwise is found by that name, from below as well."""
    pyproject("dir = 'traces'")
    (tmp_path / "traces").mkdir()
    (tmp_path / "a").mkdir()
    os.chdir("a")
    assert tmp_path / "traces" == find_folder(load())


# Sinks of others


def test_installed_sinks_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of an installed entry point is a sink; without the installation it is none."""
    assert "there is no sink 'pigeon'" in refusal(sinks="pigeon")
    about = tmp_path / "site" / "pigeon-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: pigeon\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[instrument.sinks]\npigeon = pigeon:Sink\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert ("pigeon",) == load(sinks="pigeon").sinks


# The files that we ship


def active(name: str) -> str:
    """The file with every commented key and table made active."""
    lines = (CONFIGS / f"{name}.toml").read_text().splitlines()
    return "\n".join(_without_mark(line) for line in lines)


def _without_mark(line: str) -> str:
    bare = line.removeprefix("# ")
    is_key = bare.partition(" = ")[0].isidentifier() and " = " in bare
    return bare if is_key or bare.startswith(("[prices", "[sink")) else line


@pytest.mark.parametrize("name", ["development", "production", "ci"])
def test_shipped_configs_load(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each shipped file loads as it stands."""
    monkeypatch.setenv("INSTRUMENT_CONFIG", str(CONFIGS / f"{name}.toml"))
    assert [] == load_lenient()[1]


@pytest.mark.parametrize("name", ["development", "production", "ci"])
def test_shipped_configs_are_complete(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the examples in their comments made active, each shipped file sets every key there is, to allowed values."""
    path = config(monkeypatch, active(name))
    load()
    unset = [one.key for one in explain() if not one.source.startswith(str(path))]
    assert ([], set(PRICE_PARTS)) == (unset, set(load().prices["my-model"]))


@pytest.mark.parametrize("name", ["development", "production", "ci"])
def test_shipped_configs_tell_the_defaults(name: str) -> None:
    """Above every key a shipped file tells its default, the real one."""
    defaults = {one.key: one.value for one in explain()}
    wrong, table, comment = [], "", ""
    for line in (CONFIGS / f"{name}.toml").read_text().splitlines():
        if line.startswith("["):
            table, comment = line.strip("[]") + ".", ""
        key, sign, _ = line.removeprefix("# ").partition(" = ")
        if sign and table + key in defaults:
            value = defaults[table + key]
            shown = ", ".join(value) if isinstance(value, list) else json.dumps(value)
            expected = "none" if value in (None, []) else shown
            if f"efault {expected}" not in comment:
                wrong.append((key, comment))
            comment = ""
        elif line.startswith("#"):
            comment += line.lstrip("#")
        else:
            comment = ""
    assert [] == wrong


def test_production_is_quiet_and_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file for production has no console, keeps content, and samples."""
    monkeypatch.setenv("INSTRUMENT_CONFIG", str(CONFIGS / "production.toml"))
    loaded = load()
    assert ("jsonl", "ledger") == loaded.sinks
    assert (True, True) == (loaded.capture.content, loaded.sample_rate < 1)


def test_ci_fails_on_loops_and_overspending(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file for builds refuses loops and has a budget."""
    monkeypatch.setenv("INSTRUMENT_CONFIG", str(CONFIGS / "ci.toml"))
    loaded = load()
    assert ("raise", True, "WARNING") == (loaded.loops.action, loaded.budget.usd is not None, loaded.console.level)
