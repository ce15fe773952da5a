"""`instrument export`: every format, to stdout or into a file, by one table."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from instrument.cli.export import FORMATS
from instrument.cli.main import main
from tests.recorded import TRACE, review, write

Capture = pytest.CaptureFixture[str]
NAMES = [form.name for form in FORMATS]


@pytest.fixture(autouse=True)
def here(alone: Path) -> Path:
    """A folder with one review recorded in it, as the working directory."""
    (alone / ".instrument/events").mkdir(parents=True)
    write(alone / ".instrument/events/a.jsonl", *review())
    return alone


def printed(capsys: Capture, *words: str, code: int = 0) -> str:
    assert code == main(["export", *words])
    out, err = capsys.readouterr()
    return out if code == 0 else err


@pytest.mark.parametrize("name", [name for name in NAMES if name != "html"])  # its content lies compressed
def test_a_format_goes_to_stdout(capsys: Capture, name: str) -> None:
    """Nothing else is printed, and no file is made."""
    out = printed(capsys, f"--{name}")
    assert (True, ["a.jsonl"]) == ("gpt-4.1-mini" in out, [file.name for file in Path().rglob("*") if file.is_file()])


@pytest.mark.parametrize("words", [["FORM", "out"], ["FORM", "-o", "out"], ["last", "FORM", "out"], ["-o", "out", "FORM", "last"], ["FORM", "out", TRACE, "."]])  # fmt: skip
@pytest.mark.parametrize("name", NAMES)
def test_a_format_goes_into_a_file(capsys: Capture, name: str, words: list[str]) -> None:
    """The same content as on stdout, the file named; either way to name it."""
    expected = printed(capsys, f"--{name}", "-o", "-")
    said = printed(capsys, *(word.replace("FORM", f"--{name}") for word in words))
    assert ("out\n", expected) == (said, Path("out").read_bytes().decode())


def test_what_is_no_file_is_written_to(capsys: Capture) -> None:
    """As `/dev/null` or a pipe of the shell's: it was replaced by a file."""
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDWR | os.O_NONBLOCK)
    expected = printed(capsys, "--csv", "-o", "/dev/stdout")
    printed(capsys, "--csv", "pipe")
    found = os.read(reader, 1 << 16).decode()
    os.close(reader)
    assert (expected, True) == (found, Path("pipe").is_fifo())


def test_the_name_of_a_file_need_not_be_text(capsys: Capture) -> None:
    """Names of files are bytes; JSON has what is no text as an escape."""
    assert ["\udcff.csv"] == json.loads(printed(capsys, "--csv", "\udcff.csv", "--json"))["files"]


def test_a_link_stays_one(capsys: Capture) -> None:
    """What it leads to is replaced."""
    Path("latest").symlink_to("out")
    printed(capsys, "--csv", "latest")
    assert (True, True) == (Path("latest").is_symlink(), Path("out").read_bytes().startswith(b'"trace_id"'))


def test_a_file_that_is_there_is_a_file_whatever_it_is_called(capsys: Capture) -> None:
    """Its name may consist of digits of ids."""
    Path("3f2a").touch()
    printed(capsys, "--csv", "3f2a")
    assert Path("3f2a").read_bytes().startswith(b'"trace_id"')


@pytest.mark.parametrize("words", [["--csv", "last"], ["--csv", "3f2a"], ["--csv", "3f2a", ".instrument"]])
def test_what_looks_like_a_trace_behind_a_format_is_the_trace(capsys: Capture, words: list[str]) -> None:
    """Where no other is named."""
    assert printed(capsys, "--csv") == printed(capsys, *words)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--csv", "--chrome"], "not allowed with argument"),
        (["--dir", "out", "-o", "x"], "give one of them"),
        (["last", "--csv", "one", "-o", "two"], "both one and two are named"),
        (
            ["--csv", "missing/out.csv"],
            "instrument: missing/out.csv cannot be read or written: No such file or directory",
        ),
        (["--csv", "."], "instrument: . cannot be read or written: "),
        (["--csv", "abc"], "no trace"),
    ],
)
def test_bad_use_is_one_sentence(capsys: Capture, words: list[str], sentence: str) -> None:
    """Exit code 2."""
    assert sentence in printed(capsys, *words, code=2)
