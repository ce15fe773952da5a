"""Rules of `agent.notes`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import notes as notes_module
from agent.errors import InputError, ToolError
from agent.notes import MAX_KEY, Notes

HERE = Path(__file__).parent.parent


def test_what_is_remembered_is_there_the_next_time(tmp_path: Path) -> None:
    """Notes outlive the object that wrote them."""
    Notes(tmp_path).remember("shop.py", "total divides by the number of items")
    assert {"shop.py": "total divides by the number of items"} == Notes(tmp_path).all()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=MAX_KEY).filter(str.strip),
        st.text(max_size=99),
    )
)
def test_every_text_comes_back(tmp_path: Path, texts: dict[str, str]) -> None:
    """For all keys and values that can be written, what is read is what was remembered."""
    notes = Notes(tmp_path)
    for key, value in texts.items():
        notes.remember(key, value.encode(errors="ignore").decode())
    assert all(notes.all()[key] == value.encode(errors="ignore").decode() for key, value in texts.items())


def test_a_key_holds_its_last_value(tmp_path: Path) -> None:
    """Remembering a key again replaces its note and makes it the newest."""
    notes = Notes(tmp_path)
    for key, value in [("a", "1"), ("b", "2"), ("a", "3")]:
        notes.remember(key, value)
    assert [("b", "2"), ("a", "3")] == list(notes.all().items())


def test_recall_finds_every_word_in_any_case(tmp_path: Path) -> None:
    """A note is found when all words of the query are in its key or value."""
    notes = Notes(tmp_path)
    notes.remember("shop.py", "Division by ZERO")
    notes.remember("report.py", "division is fine")
    assert {"shop.py": "Division by ZERO"} == notes.recall("zero division")


def test_the_notes_about_a_file_name_it(tmp_path: Path) -> None:
    """Only notes that mention one of the files by its path belong to it."""
    notes = Notes(tmp_path)
    notes.remember("a/shop.py", "1")
    notes.remember("style", "see a/shop.py")
    notes.remember("report.py", "2")
    notes.remember("b/a/shop.py", "3")
    assert {"a/shop.py": "1", "style": "see a/shop.py"} == notes.about(["a/shop.py"])


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b'{"a": 1}', b"\xff\xfe", b'{"a": "b"}}'])
def test_a_corrupt_file_is_set_aside(tmp_path: Path, data: bytes) -> None:
    """A file that cannot be understood is kept under another name, and the agent begins anew."""
    notes = Notes(tmp_path)
    notes.folder.mkdir()
    notes.path.write_bytes(data)
    notes.remember("a", "b")
    aside = [path for path in notes.folder.iterdir() if "corrupt" in path.name]
    assert ([data], {"a": "b"}) == ([path.read_bytes() for path in aside], notes.all())


def test_a_write_that_fails_keeps_the_old_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is told to the model, and what was remembered before is still there."""
    notes = Notes(tmp_path)
    notes.remember("a", "1")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(notes_module, "write_atomically", full)
    with pytest.raises(ToolError, match="No space left"):
        notes.remember("b", "2")
    assert {"a": "1"} == notes.all()


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    """Notes of several processes are all there in the end."""
    code = "import sys; from pathlib import Path; from agent.notes import MAX_KEY, Notes\n"
    code += "for n in range(20): Notes(Path(sys.argv[1])).remember(f'{sys.argv[2]}-{n}', 'x')"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(HERE)])}
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), who], env=environment) for who in "ab"]
    assert [0, 0] == [writer.wait(60) for writer in writers]
    assert 40 == len(Notes(tmp_path).all())


@pytest.mark.parametrize(("key", "value"), [("", "x"), (" ", "x"), ("k" * 201, "x"), ("k", "v" * 4001)])
def test_a_note_has_bounds(tmp_path: Path, key: str, value: str) -> None:
    """Keys and values that are empty or too long are refused with the limits."""
    with pytest.raises(ToolError, match="1 to 200"):
        Notes(tmp_path).remember(key, value)


def test_the_oldest_note_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file does not grow for ever."""
    monkeypatch.setattr(notes_module, "MAX_NOTES", 2)
    notes = Notes(tmp_path)
    for key in "abc":
        notes.remember(key, "x")
    assert ["b", "c"] == list(notes.all())


@pytest.mark.parametrize("link", [".agent", ".agent/memory.json"])
def test_a_link_out_of_the_workspace_is_refused(tmp_path: Path, link: str) -> None:
    """A workspace cannot make the agent keep its notes, or look for them, somewhere else."""
    root = tmp_path / "work"
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="leads out of"):
        Notes(root)


def test_a_pipe_in_place_of_the_notes_is_not_waited_for(tmp_path: Path) -> None:
    """Only a regular file is read."""
    notes = Notes(tmp_path)
    notes.folder.mkdir()
    os.mkfifo(notes.path)
    with pytest.raises(ToolError, match="no regular file"):
        notes.all()


def test_the_folder_is_not_committed(tmp_path: Path) -> None:
    """Git ignores the agent's folder without a change to the project's own settings."""
    notes = Notes(tmp_path)
    notes.remember("a", "b")
    assert "*\n" == (notes.folder / ".gitignore").read_text()


def test_no_link_is_followed_to_write_elsewhere(tmp_path: Path) -> None:
    """A link that a workspace put in place of the ignore file does not make a file outside."""
    root = tmp_path / "work"
    (root / ".agent").mkdir(parents=True)
    (root / ".agent" / ".gitignore").symlink_to(tmp_path / "outside")
    Notes(root).remember("a", "b")
    assert not (tmp_path / "outside").exists()


def test_the_file_is_for_people_too(tmp_path: Path) -> None:
    """The notes are plain, indented JSON."""
    Notes(tmp_path).remember("a", "b")
    assert json.dumps({"a": "b"}, indent=2) == (tmp_path / ".agent" / "memory.json").read_text()
