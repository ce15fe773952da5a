"""One trace over several processes: subprocesses, process pools, forks."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instrument import inject, read, records, span
from instrument.model import Span
from instrument.record import headers
from instrument.record.switch import HALF_DONE
from instrument.testing import record
from tests.programs import python
from tests.same import COUNTS_LATE, QUIET_FORKS


def run(folder: Path, program: str, **more: str) -> str:
    """What a program prints that records into `folder` by default settings but for its sinks; it must succeed."""
    (folder / "program.py").write_text(textwrap.dedent(program))
    quiet = QUIET_FORKS if COUNTS_LATE else {}
    done = python("program.py", cwd=folder, **{"INSTRUMENT_SINKS": "jsonl", **more, **quiet})
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


def below(trace: Any, parent: str | None = None) -> dict[str, Any]:
    """Names below names."""
    found = [span for span in trace.spans if span.parent_id == parent]
    names: dict[str, Any] = {}
    for one in found:
        names.setdefault(one.name, {}).update(below(trace, one.span_id))
    return names


def runs(folder: Path) -> int:
    """How many processes recorded."""
    return len(list((folder / ".instrument" / "events").glob("*.jsonl")))


# subprocesses


def test_subprocess_hangs_below_its_caller(tmp_path: Path) -> None:
    """What a subprocess records is one tree with what its caller records, in two files of one folder, wherever it runs."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "child.py").write_text("from instrument import tool\n\n@tool\ndef in_child(): ...\n\nin_child()\n")
    run(
        tmp_path,
        """
        import subprocess, sys
        from instrument import traced

        @traced
        def caller():
            subprocess.run([sys.executable, "../child.py"], cwd="elsewhere", check=True)

        caller()
        """,
    )
    [trace] = read(tmp_path / ".instrument")
    assert ({"caller": {"in_child": {}}}, 2) == (below(trace), runs(tmp_path))


PRINT = "import os; print(os.environ.get('TRACEPARENT', 'none'))"


def said(*args: Any, **kwargs: Any) -> str:
    """The TRACEPARENT that a subprocess sees."""
    return subprocess.run(
        [sys.executable, "-c", PRINT], *args, stdout=subprocess.PIPE, text=True, **kwargs
    ).stdout.strip()


@pytest.fixture
def caller(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Inside of a span; its traceparent."""
    monkeypatch.delenv("TRACEPARENT", raising=False)
    with record(), span("caller") as live:
        yield f"00-{live.trace_id}-{live.span_id}-01"


def test_inherited_environment_has_traceparent(caller: str) -> None:
    """A subprocess without an environment of its own is told of the span; the caller's own environment is untouched."""
    assert ([caller, caller], False) == ([said(), said(env=None)], "TRACEPARENT" in os.environ)


def test_explicit_environment_is_left_alone(caller: str) -> None:
    """An environment that is given, by keyword or by position, reaches the subprocess as it is."""
    given = {
        "A": "1",
        **({"LD_LIBRARY_PATH": os.environ["LD_LIBRARY_PATH"]} if "LD_LIBRARY_PATH" in os.environ else {}),
    }
    positional = (-1, None, None, subprocess.PIPE, None, None, True, False, None, given)
    process = subprocess.Popen([sys.executable, "-c", PRINT], *positional, text=True)
    assert ("none", "none\n", "mine") == (
        said(env=given),
        process.communicate()[0],
        said(env={**given, "TRACEPARENT": "mine"}),
    )


def test_environment_of_ones_own_has_the_folder(caller: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`inject` puts the folder's absolute path into a copy of the environment where the copy has no other one."""
    monkeypatch.setenv("INSTRUMENT_DIR", "recorded")
    monkeypatch.setattr(headers, "for_children", {"INSTRUMENT_DIR": "/here/recorded"})
    given = {**os.environ}, {**os.environ, "INSTRUMENT_DIR": "mine"}, {"traceparent": ""}
    assert ["/here/recorded", "mine", None] == [inject(mapping).get("INSTRUMENT_DIR") for mapping in given]


def test_subprocess_outside_of_spans_is_plain() -> None:
    """Outside of any span a subprocess sees the environment as it is."""
    with record():
        assert os.environ.get("TRACEPARENT", "none") == said()


def test_asyncio_subprocess_has_traceparent(caller: str) -> None:
    """asyncio's subprocesses are told, too."""

    async def main() -> str:
        made = await asyncio.create_subprocess_exec(sys.executable, "-c", PRINT, stdout=subprocess.PIPE)
        return (await made.communicate())[0].decode().strip()

    assert caller == asyncio.run(main())


def test_wrong_popen_raises_the_same(caller: str) -> None:
    """Wrong arguments and programs that are not there raise Python's own errors."""
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'args'"):
        subprocess.Popen()  # type: ignore[call-overload]
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        subprocess.Popen(["no-such-program"])


# pools of processes


POOL = """
    import multiprocessing, sys
    from concurrent.futures import ProcessPoolExecutor
    from instrument import span, tool, traced

    @tool
    def work(a):
        return a + 1

    def current():
        from instrument import current_span
        return current_span() is None

    def main():
        context = multiprocessing.get_context(METHOD)
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            with span("first"):
                print(pool.submit(work, 1).result(), list(pool.map(work, [2, 3])))
            with span("second"):
                print(pool.submit(work, 4).result())
            print(pool.submit(current).result())

    if __name__ == "__main__":
        main()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_process_pool_hangs_below_the_submitter(tmp_path: Path, method: str) -> None:
    """Work of a process pool hangs below the span that submitted it, however its processes are started."""
    printed = run(tmp_path, POOL.replace("METHOD", repr(method)))
    assert "2 [3, 4]\n5\nTrue\n" == printed
    found = {trace.root.name: [span.input for span in trace.spans if span.name == "work"] for trace in read(tmp_path)}
    assert {"first": [{"a": 1}, {"a": 2}, {"a": 3}], "second": [{"a": 4}]} == {
        name: sorted(inputs, key=str) for name, inputs in found.items()
    }


def test_pool_raises_what_cannot_be_pickled(tmp_path: Path) -> None:
    """Work that cannot be pickled raises what it raises outside of spans."""
    printed = run(
        tmp_path,
        """
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        from instrument import span

        def error(pool):
            try:
                pool.submit(lambda: 1).result()
            except Exception as error:
                return type(error).__name__, str(error).partition(" at 0x")[0]

        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
            outside = error(pool)
            with span("s"):
                print(error(pool) == outside, outside is not None)
        """,
    )
    assert "True True\n" == printed


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_process(tmp_path: Path, method: str) -> None:
    """A multiprocessing.Process records below the span that was current, by the same settings, in a file of its own."""
    run(
        tmp_path,
        f"""
        import multiprocessing
        from instrument import configure, span, tool

        @tool
        def work(a): ...

        if __name__ == "__main__":
            configure(dir="told", sinks="jsonl", capture__content=False)
            with span("caller"):
                made = multiprocessing.get_context({method!r}).Process(target=work, args=(1,))
                made.start()
                made.join()
        """,
    )
    [trace] = read(tmp_path / "told")
    assert ({"caller": {"work": {}}}, 2) == (below(trace), len([*(tmp_path / "told").glob("events/*")]))
    assert [["$hash", "bytes"]] == [[*span.input["a"]] for span in trace.spans if span.input]


SLOW = """
class Slow:  # as our own files are on a machine that is busy
    def write(self, batch):
        until = time.thread_time() + 0.1
        while time.thread_time() < until: ...
        with open("written", "a") as file:
            file.writelines(f"{record.input['number']}\\n" for record in batch if isinstance(record, Span) and record.kind == 'tool')

    def flush(self): ...
    def close(self): ...
"""
KILLED = {
    "in a span": "with span('caller'), POOL as pool:",
    "in its block": "with POOL as pool:",
    "at the end": "if pool := POOL:",
}


@pytest.mark.parametrize("killed", KILLED)
def test_pool_whose_workers_are_killed(tmp_path: Path, killed: str) -> None:
    """What the workers of a pool did is there, though its block, or the program, kills them as soon as they have done it.

    Whether the program itself records or leaves that to them, and however long they take to write it.
    """
    begin = KILLED[killed].replace("POOL", 'multiprocessing.get_context("fork").Pool(2)')
    run(
        tmp_path,
        "import multiprocessing, time\n"
        "from instrument import span\n"
        "from instrument.model import Span\n"
        + SLOW
        + "def work(number):\n"
        + "    from instrument import tool\n"
        + "    return tool(lambda number: None)(number)\n"
        + f"{begin}\n    pool.map(work, range(4), chunksize=1)\n",
        INSTRUMENT_SINKS="jsonl,__main__:Slow",
    )
    assert [*range(4)] == sorted(map(int, (tmp_path / "written").read_text().split()))


# forks


def spans(folder: Path) -> list[Span]:
    """Every span record on disk."""
    return [found for found in records(folder / ".instrument") if isinstance(found, Span)]


def test_fork_records_nothing_twice(tmp_path: Path) -> None:
    """Spans that have ended, or are open, at a fork are recorded once, by the parent; the child records its own."""
    run(
        tmp_path,
        """
        import os, sys
        from instrument import span, tool

        @tool
        def work(who): ...

        work("before")
        with span("open at the fork"):
            pid = os.fork()
            work("child" if pid == 0 else "parent")
        if pid == 0:
            work("child")
            sys.exit(0)
        os.waitpid(pid, 0)
        """,
    )
    found = sorted((one.name, (one.input or {}).get("who")) for one in spans(tmp_path))
    assert [("open at the fork", None), ("work", "before"), *[("work", "child")] * 2, ("work", "parent")] == found


def test_no_thread_of_ours_is_there_at_a_fork(tmp_path: Path) -> None:
    """Python warns whoever forks beside threads: ours end before, the next ones go on with what waits."""
    printed = run(
        tmp_path,
        """
        import os, threading
        alone = []
        os.register_at_fork(before=lambda: alone.append(threading.active_count()))  # the first is called last
        from instrument import flush, tool

        @tool
        def work(number): ...

        for number in range(3):
            work(number)
            if os.fork() == 0:
                os._exit(0)
            os.wait()
        work(3)
        print(alone, flush().lost)
        """,
        INSTRUMENT_SINKS="jsonl,memory",
    )
    assert ("[1, 1, 1] {}\n", [0, 1, 2, 3]) == (printed, sorted(one.input["number"] for one in spans(tmp_path)))


def test_ids_differ_after_a_fork(tmp_path: Path) -> None:
    """Parent and children make ids of their own; the user's `random` goes on in the parent as it would without us."""
    printed = run(
        tmp_path,
        """
        import os, random, sys
        from instrument import tool

        @tool
        def work(a): ...

        random.seed(7)
        work(0)
        children = []
        for _ in range(3):
            pid = os.fork()
            if pid == 0:
                children.clear()
                break
            children.append(pid)
        for a in range(50):
            work(a)
        for child in children:
            os.waitpid(child, 0)
        print(random.random())
        """,
    )
    ids = [one.span_id for one in spans(tmp_path)]
    assert (201, 201, 201) == (len(ids), len(set(ids)), len({one.trace_id for one in spans(tmp_path)}))
    assert str(random.Random(7).random()) == printed.split()[-1]  # Python itself seeds the children anew


def test_forks_while_other_threads_record(tmp_path: Path) -> None:
    """Forking while threads record and the worker writes never hangs a child, and loses nothing of it."""
    run(
        tmp_path,
        """
        import os, threading
        from instrument import forks, tool

        forks.PATIENCE_SECONDS = 60  # a busy machine may take longer than ten to start

        @tool
        def busy(): ...

        @tool
        def work(number): ...

        stop = threading.Event()

        def loop():
            while not stop.wait(0.0005):
                busy()

        threads = [threading.Thread(target=loop, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        children = []
        for number in range(15):
            pid = os.fork()
            if pid == 0:
                work(number)
                from instrument import shutdown
                shutdown()
                os._exit(0)
            children.append(pid)
        assert [0] * 15 == [os.waitpid(child, 0)[1] for child in children]
        stop.set()
        for thread in threads:
            thread.join()
        """,
        **QUIET_FORKS,
    )
    assert list(range(15)) == sorted(one.input["number"] for one in spans(tmp_path) if one.name == "work")


def test_a_fork_while_another_thread_is_long_at_the_start(tmp_path: Path) -> None:
    """The child does not wait for modules that nobody in it imports any more: it goes on as undecorated, and says so."""
    program = """
    import os, signal, sys, threading
    from instrument import forks, tool

    forks.PATIENCE_SECONDS = 0.05
    begun, go_on = threading.Event(), threading.Event()

    def slow(event, args):
        if event == "exec" and args[0].co_filename.endswith("wiring.py"):
            begun.set()
            go_on.wait()

    sys.addaudithook(slow)

    @tool
    def work(number): return number

    thread = threading.Thread(target=work, args=(1,))
    thread.start()
    begun.wait()
    if (pid := os.fork()) == 0:
        signal.alarm(20)
        print(work(2), flush=True)
        os._exit(0)
    code = os.waitpid(pid, 0)[1]
    go_on.set()
    thread.join()
    print(code)
    """
    environ = {"INSTRUMENT_SINKS": "jsonl", **QUIET_FORKS}
    done = python("-c", textwrap.dedent(program), cwd=tmp_path, **environ)
    assert ("2\n0\n", f"instrument: {HALF_DONE}\n") == (done.stdout, done.stderr)
    assert [1] == [one.input["number"] for one in spans(tmp_path)]


def test_fork_inside_the_test_kit(tmp_path: Path) -> None:
    """A child that is forked inside record() leaves the block without waiting, and writes nothing."""
    before = time.monotonic()
    printed = run(
        tmp_path,
        """
        import os
        from instrument import tool
        from instrument.testing import record

        @tool
        def work(a): return a

        with record() as recording:
            work(1)
            pid = os.fork()
            work(2)
        if pid:
            os.waitpid(pid, 0)
            print([span.input for span in recording.spans])
        """,
    )
    assert ("[{'a': 1}, {'a': 2}]\n", False) == (printed, (tmp_path / ".instrument").exists())
    assert time.monotonic() - before < 25


def test_threads_that_fork_at_the_same_time(tmp_path: Path) -> None:
    """Forks of several threads at once leave the recording of their process as it was: nothing stays locked."""
    run(
        tmp_path,
        """
        import os, threading
        from instrument import flush, tool

        @tool
        def work(number): ...

        def forks(first):
            for number in range(first, first + 10):
                work(number)
                pid = os.fork()
                if pid == 0:
                    os._exit(0)
                os.waitpid(pid, 0)

        threads = [threading.Thread(target=forks, args=(10 * n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not flush().lost
        """,
        **QUIET_FORKS,
    )
    assert list(range(30)) == sorted(one.input["number"] for one in spans(tmp_path) if one.name == "work")
