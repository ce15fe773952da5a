"""What `import instrument` and a decoration load, and what they leave until it is needed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.programs import python

DECORATION = """
from instrument import agent, llm_call, tool, traced

@tool
def add(a: int, b: int) -> int:
    return a + b

@agent(id="name", budget={"usd": 1})
@traced(kind="step")
@llm_call(model="m")
async def think(text: str) -> str:
    return text
"""

HEAVY = (
    "genai_prices",
    "loguru",
    "msgspec",
    "numpy",
    "openai",
    "pydantic",
    "pydantic_core",
    "rich",
    "sqlite3",
    "tiktoken",
)


def loaded_by(program: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after the program."""
    told = f"{program}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    return set(json.loads(python("-c", told).stdout))


@pytest.fixture(scope="module")
def decorating() -> set[str]:
    """What decorating loads."""
    return loaded_by(DECORATION)


@pytest.mark.parametrize("name", HEAVY)
def test_decorating_loads_nothing_heavy(decorating: set[str], name: str) -> None:
    """A program that only decorates pays for none of the libraries that recording needs."""
    assert name not in decorating


def test_decorating_loads_no_package_but_wrapt(decorating: set[str]) -> None:
    """Beyond what wrapt itself loads (asyncio among it) there are our own modules and the standard library."""
    beyond = {name.partition(".")[0] for name in decorating - loaded_by("import wrapt")}
    assert {"instrument"} == beyond - sys.stdlib_module_names


def test_decorating_loads_little_of_ours(decorating: set[str]) -> None:
    """Settings, sinks, detectors, prices and views wait until the first recorded call."""
    late = (
        "analysis",
        "cli",
        "detectors",
        "integrations",
        "pricing",
        "redact",
        "settings",
        "sinks",
        "store",
        "views",
        "wiring",
    )
    assert [] == [name for name in late if f"instrument.{name}" in decorating]


def test_a_call_while_disabled_loads_nothing_heavy_but_settings() -> None:
    """Where recording is off, a decorated call loads neither prices nor tokenizers nor a client library."""
    program = DECORATION + "\nimport os; os.environ['INSTRUMENT_ENABLED'] = 'false'\nadd(1, 2)"
    assert set() == loaded_by(program) & {"genai_prices", "loguru", "numpy", "openai", "rich", "tiktoken"}


def test_a_recorded_call_loads_no_client_library(tmp_path: Path) -> None:
    """A recorded tool call loads neither a client library nor a tokenizer nor numpy."""
    program = DECORATION + (
        f"\nimport os; os.environ.update(INSTRUMENT_DIR={str(tmp_path)!r}, XDG_STATE_HOME={str(tmp_path)!r})"
        "\nadd(1, 2)\nimport instrument; instrument.flush()"
    )
    assert set() == loaded_by(program) & {"loguru", "numpy", "openai", "rich", "tiktoken"}


def test_what_a_client_looks_for_is_whole_when_it_looks(tmp_path: Path) -> None:
    """What the price list imports on a thread of ours is there before the client that asks for it makes a call."""
    (tmp_path / "openai").mkdir()
    (tmp_path / "openai" / "__init__.py").touch()
    (tmp_path / "openai" / "_httpx2.py").touch()
    assert "httpx2" in loaded_by(
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport instrument, openai._httpx2"
    )


def test_reading_a_file_loads_no_settings_where_none_are_given(tmp_path: Path) -> None:
    """A verb starts sooner where nothing sets anything; all settings are their defaults then."""
    file = tmp_path / "a.jsonl"
    file.write_text('{"type":"run","run":"r","schema":1,"start_ns":1,"pid":1}\n')
    program = f"import contextlib, io, os\nos.chdir({str(tmp_path)!r})\nfrom instrument.cli.main import main"
    told = f"with contextlib.redirect_stdout(io.StringIO()): main(['runs', {str(file)!r}])"
    assert "pydantic" not in loaded_by(f"{program}\n{told}")


@pytest.mark.skipif(sys.version_info < (3, 15), reason="Python 3.15 can be told to import lazily")
def test_no_call_loads_what_a_module_of_ours_imports(tmp_path: Path) -> None:
    """Also where imports are lazy: a child forked meanwhile by another thread would wait for ever for the module's lock."""
    program = DECORATION + (
        f"\nimport os, sys, types; os.environ.update(INSTRUMENT_DIR={str(tmp_path)!r}, INSTRUMENT_SINKS='jsonl')"
        "\nadd(1, 2)\nours = [m for name, m in list(sys.modules.items()) if name.startswith('instrument')]"
        "\nprint(len(ours) > 50, [n for m in ours for n, v in vars(m).items() if type(v) is types.LazyImportType])"
    )
    assert "True []\n" == python("-X", "lazy_imports=all", "-c", program).stdout


@pytest.mark.skipif(sys.version_info < (3, 15), reason="Python 3.15 can be told to import lazily")
def test_hooks_of_the_library_come_before_ours() -> None:
    """What has hooks for forks is loaded before ours are registered, also where imports are lazy: they would wait for us."""
    program = "import os, sys\nos.register_at_fork = lambda **_: print('logging' in sys.modules, 'concurrent.futures.thread' in sys.modules)\nimport instrument.forks\ninstrument.forks.watch"
    told = python("-X", "lazy_imports=all", "-c", program).stdout
    assert "True True" == told.splitlines()[-1]
