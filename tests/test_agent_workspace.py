"""Rules of `agent.workspace`."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import ToolError
from agent.workspace import Source, Workspace, write_atomically


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with a secret beside it and every kind of way out of it."""
    root = tmp_path / "work"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "secret.py").write_text("KEY = 1\n")
    (root / "shop.py").write_text("x = 1\n")
    (root / "link.py").symlink_to(tmp_path / "secret.py")
    (root / "out").symlink_to(tmp_path)
    (root / "sub" / "up").symlink_to("../..")
    (root / "round.py").symlink_to("round.py")
    (root / "inside.py").symlink_to("shop.py")
    (root / ".env").write_text("KEY=1\n")
    return Workspace(root)


ESCAPES = [
    "../secret.py",
    "sub/../../secret.py",
    "link.py",
    "out/secret.py",
    "sub/up/secret.py",
    "sub/up/work/../secret.py",
    "/etc/passwd",
    "/proc/self/environ",
    "./../work/../secret.py",
]


@pytest.mark.parametrize("path", ESCAPES)
def test_nothing_outside_is_read(workspace: Workspace, path: str) -> None:
    """Links, `..` and absolute paths do not lead out of the workspace."""
    with pytest.raises(ToolError, match="outside of the workspace"):
        workspace.read(path)


@pytest.mark.parametrize("path", [*ESCAPES, "out/new.py", "sub/up/new.py", "../new.py"])
def test_nothing_outside_is_written(workspace: Workspace, path: str) -> None:
    """What does not exist yet cannot be made outside of the workspace either."""
    before = sorted(workspace.root.parent.rglob("*"))
    with pytest.raises(ToolError, match="outside of the workspace"):
        workspace.write(path, "x")
    assert before == sorted(workspace.root.parent.rglob("*"))


@pytest.mark.parametrize("path", [".env", ".git/config", "sub/.hidden/x.py"])
def test_hidden_files_are_not_used(workspace: Workspace, path: str) -> None:
    """Files and folders that begin with a dot hold settings and secrets, not code under review."""
    with pytest.raises(ToolError, match="hidden"):
        workspace.locate(path)


@pytest.mark.parametrize("path", ["\0", "a\0.py", "round.py", "x" * 5000, "sub", "", "missing.py", "shop.py/x"])
def test_an_unusable_path_is_one_clear_error(workspace: Workspace, path: str) -> None:
    """Paths that lead to no file are refused with a `ToolError`, whatever the system says about them."""
    with pytest.raises(ToolError):
        workspace.read(path)


@pytest.mark.parametrize("path", ["shop.py", "sub/../shop.py", "inside.py"])
def test_what_lies_inside_is_read_by_its_real_name(workspace: Workspace, path: str) -> None:
    """Detours that stay inside are fine."""
    assert Source("shop.py", "x = 1\n", "utf-8") == workspace.read(path)


def test_an_absolute_path_inside_is_read(workspace: Workspace) -> None:
    """An absolute path into the workspace is as good as a relative one."""
    assert "shop.py" == workspace.read(str(workspace.root / "shop.py")).path


def test_a_named_pipe_is_refused_at_once(workspace: Workspace) -> None:
    """A pipe, which would never end, is not waited for."""
    os.mkfifo(workspace.root / "pipe.py")
    with pytest.raises(ToolError, match="no regular file"):
        workspace.read("pipe.py")


def test_a_socket_is_refused(workspace: Workspace) -> None:
    """A socket is not read."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(workspace.root / "socket.py"))
        with pytest.raises(ToolError):
            workspace.read("socket.py")


def test_a_huge_file_is_refused(workspace: Workspace) -> None:
    """A file over the limit is not read into memory; the error says the limit."""
    with (workspace.root / "huge.py").open("wb") as file:
        file.truncate(5_000_000_000)
    with pytest.raises(ToolError, match="400,000 bytes"):
        workspace.read("huge.py")


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"a\0b", "binary"), (b"x = '\xff'\n", "not readable"), (b"# coding: nonsense\n", "not readable")],
    ids=["binary", "not utf-8", "unknown encoding"],
)
def test_what_is_no_text_is_refused(workspace: Workspace, data: bytes, why: str) -> None:
    """Bytes that are no text in the encoding they declare are refused with the reason."""
    (workspace.root / "odd.py").write_bytes(data)
    with pytest.raises(ToolError, match=why):
        workspace.read("odd.py")


@pytest.mark.parametrize("data", [b"# coding: latin-1\nx = '\xe9'\n", b"\xef\xbb\xbfx = 1\n", b"a = 1\r\nb = 2\r\n"])
def test_reading_and_writing_back_changes_no_byte(workspace: Workspace, data: bytes) -> None:
    """Encoding, byte order mark and line ends survive."""
    place = workspace.root / "kept.py"
    place.write_bytes(data)
    source = workspace.read("kept.py")
    workspace.write("kept.py", source.text, source.encoding)
    assert data == place.read_bytes()


def test_lines_are_numbered_as_python_counts_them() -> None:
    """A form feed or a Unicode separator inside a line does not begin a new one."""
    source = Source("a.py", "a = '\x0c\u2028'\r\nb = 2\rc = 3\n", "utf-8")
    assert "    2| b = 2\n    3| c = 3" == source.numbered(2, 3)


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), min_size=1))
def test_there_are_as_many_lines_as_were_written(lines: list[str]) -> None:
    """For all lines, joining them with line ends gives them back."""
    assert lines == Source("a.py", "".join(f"{line}\n" for line in lines), "utf-8").lines


def test_a_write_keeps_the_mode(workspace: Workspace) -> None:
    """A script stays executable when it is patched."""
    (workspace.root / "shop.py").chmod(0o755)
    workspace.write("shop.py", "y = 2\n")
    assert 0o755 == (workspace.root / "shop.py").stat().st_mode & 0o777


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the file cannot be put in place the old one is whole and nothing is left beside it."""
    place = tmp_path / "a.json"
    place.write_text("old")

    def full(*args: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write_atomically(place, b"new")
    assert [("a.json", "old")] == [(each.name, each.read_text()) for each in tmp_path.iterdir()]
