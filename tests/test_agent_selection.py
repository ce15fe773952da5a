"""Rules of `agent.selection`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent import selection as selection_module
from agent.errors import InputError
from agent.selection import looks_like_python, select, skipped


def files(root: Path, *names: str) -> None:
    """Small Python files."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x = 1\n")


def test_a_folder_stands_for_its_python_files_in_order(tmp_path: Path) -> None:
    """Only `*.py`, sorted, without hidden folders, virtual environments, caches and installed packages."""
    files(tmp_path, "b.py", "a/z.py", "a/b.py", ".hidden/x.py", ".x.py", "__pycache__/x.py", "node_modules/x.py")
    files(tmp_path, "env/lib/x.py", "env/pyvenv.cfg", "site-packages/x.py", "notes.txt")
    assert ("b.py", "a/b.py", "a/z.py") == select([tmp_path]).files


def test_the_workspace_of_a_file_is_its_folder(tmp_path: Path) -> None:
    """Nothing but the folder of the only file named is open to the agent."""
    files(tmp_path, "pkg/a.py", "other.py")
    selection = select([tmp_path / "pkg" / "a.py"])
    assert (tmp_path / "pkg", ("a.py",)) == (selection.workspace.root, selection.files)


def test_the_workspace_holds_everything_named(tmp_path: Path) -> None:
    """For several paths it is the nearest folder above all of them; a file named twice is reviewed once."""
    files(tmp_path, "one/a.py", "two/b.py")
    selection = select([tmp_path / "one", tmp_path / "two" / "b.py", tmp_path / "one" / "a.py"])
    assert (tmp_path, ("one/a.py", "two/b.py")) == (selection.workspace.root, selection.files)


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    """The error says which path does not exist."""
    with pytest.raises(InputError, match=r"gone\.py does not exist"):
        select([tmp_path / "gone.py"])


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    """A folder without Python files is an error, not an empty review."""
    with pytest.raises(InputError, match="holds no Python file"):
        select([tmp_path])


def test_a_folder_that_cannot_be_looked_into_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others below the same folder are reviewed."""
    files(tmp_path, "a.py", "closed/b.py")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    chosen = select([tmp_path])
    assert (("a.py",), ("closed cannot be looked into: Permission denied",)) == (chosen.files, chosen.left_out)


def test_a_folder_that_cannot_be_asked_is_no_virtual_environment() -> None:
    """The system's refusal to say whether there is a `pyvenv.cfg` ends no review."""
    assert not skipped(Path("x" * 300))


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("notes.txt", b"x = 1\n", "not a Python file"),
        ("picture.py", b"\x89PNG\r\n\0\0", "binary"),
        ("letter.py", b"Dear reader,\n\nfrom what I know this is no code.\n", "does not hold Python"),
        ("page.py", b"<html>\n<body>Hello</body>\n</html>\n", "does not hold Python"),
        ("big.py", b"x = 1\n" * 100_000, "larger than"),
    ],
)
def test_a_file_that_cannot_be_reviewed_says_why(tmp_path: Path, name: str, data: bytes, why: str) -> None:
    """One sentence names the file and the reason."""
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=f"{name} cannot be reviewed: .*{why}"):
        select([tmp_path / name])


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    """A named pipe is not waited for."""
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(InputError, match="no regular file"):
        select([tmp_path / "pipe.py"])


def test_what_a_folder_has_beside_is_left_out_and_told(tmp_path: Path) -> None:
    """A file of a folder that cannot be reviewed does not stop the others."""
    files(tmp_path, "a.py")
    (tmp_path / "b.py").write_bytes(b"\0")
    selection = select([tmp_path])
    assert (("a.py",), ("b.py is binary, not text",)) == (selection.files, selection.left_out)


def test_a_link_out_of_a_folder_is_left_out(tmp_path: Path) -> None:
    """A folder's link to a file elsewhere does not bring that file into the review."""
    files(tmp_path, "in/a.py", "out.py")
    (tmp_path / "in" / "b.py").symlink_to(tmp_path / "out.py")
    selection = select([tmp_path / "in"])
    assert ("a.py",) == selection.files
    assert "outside of the workspace" in selection.left_out[0]


def test_too_many_files_are_cut_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A review takes so many files; the rest is counted and the first of it named."""
    monkeypatch.setattr(selection_module, "MAX_FILES", 2)
    files(tmp_path, "a.py", "b.py", "c.py", "d.py")
    selection = select([tmp_path])
    assert (("a.py", "b.py"), ("2 more files from c.py on: one review takes 2",)) == (
        selection.files,
        selection.left_out,
    )


def test_a_script_without_suffix_is_known_by_its_first_line(tmp_path: Path) -> None:
    """A `#!` line that names Python is enough."""
    (tmp_path / "tool").write_text("#!/usr/bin/env python3\nprint(1)\n")
    assert ("tool",) == select([tmp_path / "tool"]).files


@pytest.mark.parametrize("text", ["", "def f(:\n    pass\n", "x = (\n", "class A\n    x = 1\n", "if x\n  y(1)\n"])
def test_python_with_a_syntax_error_is_python(text: str) -> None:
    """A syntax error is something to find, not a reason to refuse."""
    assert looks_like_python(text)
