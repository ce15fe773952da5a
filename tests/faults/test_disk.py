"""Disks that are full, folders that are read-only or gone, no more file handles: the program goes on, and what could
not be written is written when it can be again."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.faults.programs import found, run, worked


def small_disk(folder: Path, size: str) -> list[str]:
    """A prefix that runs a program with a file system of that size at `folder`/.instrument, for itself alone."""
    (folder / ".instrument").mkdir(exist_ok=True)
    mount = f'mount -t tmpfs -o size={size} none "$0/.instrument" && cd "$0" && exec "$@"'
    return ["unshare", "--mount", "--map-root-user", "sh", "-c", mount, str(folder)]


def can_mount() -> bool:
    """Whether private mount namespaces can be had here."""
    if shutil.which("unshare") is None:
        return False
    trial = ["unshare", "--mount", "--map-root-user", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


needs_mount = pytest.mark.skipif(not can_mount(), reason="private mount namespaces are not to be had here")

FULL = """
with open(".instrument/filler", "wb", buffering=0) as filler:
    try:
        while True:
            filler.write(b"x" * 4096)
    except OSError:
        pass
for n in range(200): work(n)
full = flush().lost
os.remove(".instrument/filler")
work(200)
told = flush()
print(len(full), told.lost)
import shutil
shutil.copytree(".instrument", "kept")
"""


@needs_mount
def test_a_full_disk(tmp_path: Path) -> None:
    """On a full disk the program goes on; records are kept, told of once and by `flush`, and written when there is room."""
    done = run(tmp_path, FULL, prefix=small_disk(tmp_path, "256k"))
    (tmp_path / ".instrument").rmdir()
    (tmp_path / "kept").rename(tmp_path / ".instrument")
    said = [line for line in done.stderr.splitlines() if "cannot be written" in line]
    assert ("1 {}\n", 1, list(range(201))) == (done.stdout, len(said), worked(tmp_path))


@needs_mount
def test_a_full_ledger_and_a_full_disk_for_blobs(tmp_path: Path) -> None:
    """Calls, long values and events that find no room cost the program nothing; flush tells of each by its reason."""
    program = (
        FULL.split("for n in")[0]
        + """
from instrument import llm_call

@llm_call(model="gpt-4.1-mini")
def think(text):
    instrument.current_span().usage(input=10, output=1)
    return text

print(len(think("x" * 300_000)))
print(sorted({reason.partition(":")[0] for reason in flush().lost}))
"""
    )
    done = run(tmp_path, program, prefix=small_disk(tmp_path, "256k"), INSTRUMENT_SINKS="jsonl,ledger")
    expected = "300000\n['long values', 'sink JsonlSink', 'sink LedgerSink']\n"
    assert (0, expected) == (done.returncode, done.stdout)


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """Where files are limited in size, whole lines are kept, and the rest is counted."""
    program = """
    import resource
    work(0)
    flush()
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    for n in range(1, 500): work(n)
    told = shutdown()
    print(sum(told.lost.values()), list(told.lost))
    """
    done = run(tmp_path, program)
    lost = int(done.stdout.split()[0])
    assert (500, True) == (lost + len(worked(tmp_path)), "File too large" in done.stdout)


@needs_mount
def test_a_folder_that_is_read_only(tmp_path: Path) -> None:
    """In a folder that nobody may write to the program does what it does, and is told once."""
    program = "print(work(5))\nprint(list(flush().lost))\n"
    mount = 'mount -t tmpfs -o ro none "$0/.instrument" && cd "$0" && exec "$@"'
    (tmp_path / ".instrument").mkdir()
    prefix = ["unshare", "--mount", "--map-root-user", "sh", "-c", mount, str(tmp_path)]
    done = run(tmp_path, program, prefix=prefix)
    reason = "sink JsonlSink: Read-only file system, to be tried again"
    assert (0, f"5\n['{reason}']\n", 1) == (done.returncode, done.stdout, done.stderr.count("cannot be written"))


def test_a_folder_that_is_deleted(tmp_path: Path) -> None:
    """Deleted while the program runs, the folder is made again, and what ends later is there."""
    program = """
    import shutil
    work(0)
    flush()
    shutil.rmtree(".instrument")
    for n in range(1, 5): work(n)
    """
    done = run(tmp_path, program)
    assert (0, "", [1, 2, 3, 4]) == (done.returncode, done.stderr, worked(tmp_path))


def test_no_more_file_handles(tmp_path: Path) -> None:
    """While the process has no file handle left records are kept; afterwards they are written."""
    program = """
    held = []
    work(0)
    instrument.configure(sinks=["jsonl"])
    try:
        while True: held.append(open("/dev/null"))
    except OSError: pass
    for n in range(1, 50): work(n)
    flush()
    held.clear()
    print(flush().lost)
    """
    done = run(tmp_path, program, prefix=["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"])
    assert (0, "{}\n", list(range(50))) == (done.returncode, done.stdout, worked(tmp_path))


def test_eight_processes_share_a_file_that_rotates(tmp_path: Path) -> None:
    """Eight processes that record into one file with rotation by size: no line torn, lost or doubled."""
    program = """
    children = []
    for mine in range(8):
        pid = os.fork()
        if pid == 0:
            for n in range(200): work(mine * 1000 + n)
            sys.exit()
        children.append(pid)
    print([os.waitpid(child, 0)[1] for child in children])
    """
    settings = {"INSTRUMENT_JSONL__PATH": ".instrument/events/all.jsonl", "INSTRUMENT_JSONL__ROTATE_BYTES": "20000"}
    done = run(tmp_path, program, **settings)
    expected = [mine * 1000 + n for mine in range(8) for n in range(200)]
    assert (f"{[0] * 8}\n", "", expected) == (done.stdout, done.stderr, worked(tmp_path))
    files = list((tmp_path / ".instrument/events").iterdir())
    assert (8, True) == (sum(type(one).__name__ == "Run" for one in found(tmp_path)), len(files) > 10)


def test_everything_is_private(tmp_path: Path) -> None:
    """Files are for their owner (0600), folders too (0700), and the recording folder ignores itself in git."""
    program = """
    os.umask(0)
    @tool
    def long(text): return text
    long("x" * 200_000)
    with span("left out"): time.sleep(0.2); work(1)
    """
    run(tmp_path, program, INSTRUMENT_SINKS="jsonl,ledger", INSTRUMENT_SAMPLING__NAMES="left*=0")
    places = [tmp_path / ".instrument", *(tmp_path / ".instrument").rglob("*")]
    wrong = [
        str(place)
        for place in places
        if place.name != ".gitignore" and place.stat().st_mode & 0o777 != (0o700 if place.is_dir() else 0o600)
    ]
    assert ([], "*\n") == (wrong, (tmp_path / ".instrument/.gitignore").read_text())


def test_without_content_nothing_of_it_is_on_disk(tmp_path: Path) -> None:
    """With `capture.content=false` there are sizes and hashes of what went in and out, and no word of it."""
    program = """
    @tool
    def careless(text, more):
        instrument.current_span().set(seen=text)
        instrument.current_span().event("e", seen=text)
        log("E", f"saw {text}", seen=text)
        if more: raise ValueError(f"no good: {text}")
        return text + "!"

    @traced
    def stream(text): yield text

    careless("geheim42", 0)
    list(stream("geheim42"))
    try: careless("geheim42" * 30_000, 1)
    except ValueError: pass
    """
    run(tmp_path, program, INSTRUMENT_CAPTURE__CONTENT="0", INSTRUMENT_SINKS="jsonl,ledger")
    held = [place for place in (tmp_path / ".instrument").rglob("*") if place.is_file()]
    told = {str(place) for place in held if b"geheim42" in place.read_bytes()}
    lines = [json.loads(line) for place in held if place.suffix == ".jsonl" for line in place.read_text().splitlines()]
    first = next(line for line in lines if line.get("name") == "careless")
    assert (set(), {"$hash", "bytes"}) == (told, set(first["input"]["text"]))
