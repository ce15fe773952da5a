"""The README and docs/ tell the truth: their commands, settings, names, links and programs exist and work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import instrument
from instrument.allowed import SINKS
from instrument.cli.main import VERBS
from instrument.settings import Settings
from tests.programs import ROOT, python

PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("[abd]*/*.md"))
}
TEXT = PAGES["README.md"]
MAKEFILE = (ROOT / "Makefile").read_text()


def commands() -> list[str]:
    """The command lines of all shell blocks, without their comments."""
    blocks = [block for text in PAGES.values() for block in re.findall(r"```sh\n(.*?)```", text, re.S)]
    return [line.split(" #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("command", [line for line in commands() if line.startswith("instrument ")])
def test_verbs_exist(command: str) -> None:
    """Every `instrument VERB` that is shown is a verb."""
    assert command.split()[1] in VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_are_told(verb: str) -> None:
    """Every verb is in the README."""
    assert f"instrument {verb}" in TEXT


@pytest.mark.parametrize("command", [line for line in commands() if line.startswith("make ")])
def test_make_targets_exist(command: str) -> None:
    """Every `make TARGET` is a target of the Makefile."""
    assert re.search(rf"^{command.split()[1]}:", MAKEFILE, re.M)


def settings_named() -> list[str]:
    """The settings of all pages, by their environment variables."""
    named = {name for text in PAGES.values() for name in re.findall(r"\bINSTRUMENT_[A-Z_]+", text)}
    return sorted(named - {"INSTRUMENT_CONFIG"})


@pytest.mark.parametrize("variable", settings_named())
def test_settings_exist(variable: str) -> None:
    """Every variable that is shown is a setting."""
    table, _, key = variable.removeprefix("INSTRUMENT_").lower().partition("__")
    field = Settings.model_fields[table]
    assert not key or key in type(field.default).model_fields


@pytest.mark.parametrize("sink", SINKS)
def test_sinks_are_told(sink: str) -> None:
    """Every sink of ours stands beside the setting that names it."""
    (row,) = [line for line in TEXT.splitlines() if line.startswith("| `INSTRUMENT_SINKS`")]
    assert f"`{sink}`" in row


def links() -> list[tuple[str, str]]:
    """The links of all pages to files and headings of the checkout, each with its page."""
    found = ((page, link) for page, text in PAGES.items() for link in re.findall(r"\]\(([^)]+)\)", text))
    return sorted({(page, link) for page, link in found if not link.startswith("https://")})


@pytest.mark.parametrize(("page", "link"), links())
def test_links_lead_somewhere(page: str, link: str) -> None:
    """Every link is a file or folder of the checkout, and has the heading that it names."""
    path, _, heading = link.partition("#")
    target = (ROOT / page).parent / path if path else ROOT / page
    assert target.exists()
    if heading:
        headings = re.findall(r"^#+ (.+)$", target.read_text(), re.M)
        assert heading in [re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings]


def names_in_files() -> list[tuple[str, str]]:
    """The names of CONTRIBUTING.md that stand in one of the files linked beside them, each with its sentence."""
    cells = [cell for line in PAGES["CONTRIBUTING.md"].splitlines() for cell in line.split(" | ") if ".py)" in cell]
    return [(name, cell) for cell in cells for name in re.findall(r"`(\w+)`", cell)]


@pytest.mark.parametrize(("name", "cell"), names_in_files())
def test_names_of_places_exist(name: str, cell: str) -> None:
    """Every name that a change has to know of is in a file, or a folder, that is linked beside it."""
    linked = [ROOT / link for link in re.findall(r"\]\(([^)#]+)\)", cell)]
    files = [file for place in linked for file in (place.glob("*.py") if place.is_dir() else [place])]
    assert any(re.search(rf"\b{name}\b", file.read_text()) for file in files)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`@?([a-z_]+)[(`]", TEXT)) & set(instrument.__all__)))
def test_names_exist(name: str) -> None:
    """Every public name that is shown can be imported."""
    assert hasattr(instrument, name)


def imports() -> list[tuple[str, str]]:
    """The names that all pages import from us, each with its module."""
    found = [one for text in PAGES.values() for one in re.findall(r"from (instrument[\w.]*) import ([\w, ]+)", text)]
    return sorted({(module, name.strip()) for module, names in found for name in names.split(",")})


@pytest.mark.parametrize(("module", "name"), imports())
def test_imports_exist(module: str, name: str) -> None:
    """Every name that is shown as imported is there; what is below us is looked up in its file, without its library."""
    text = "" if module == "instrument" else (ROOT / module.replace(".", "/")).with_suffix(".py").read_text()
    assert name in (instrument.__all__ if module == "instrument" else re.findall(r"^(?:def|class) (\w+)", text, re.M))


@pytest.mark.parametrize("program", ["weather_agent.py", "async_agent.py"])
def test_examples_run(program: str, tmp_path: Path) -> None:
    """The programs that the README points at run and show a tree."""
    done = python(ROOT / "examples" / program, cwd=tmp_path)
    assert (0, True) == (done.returncode, "├─" in done.stderr)
