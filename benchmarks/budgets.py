"""One budget, four processes of 32 threads, one call that hangs, one worker killed: what was ever spent and reserved.

    python -m benchmarks.budgets

The workers use the real OpenAI client, patched, against an endpoint on loopback, under `budget(usd="1.00", name="team",
period="total")`. Every call reserves 0.09 USD (nine tokens of output at a cent) and takes 0.05. One of the four has a
single call under way and is killed; of another one a call is not answered while the rest runs. Triggers in the ledger keep every
change of what is spent and reserved, so that the highest sum is known to the cent, and not only where someone looked.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import PIPE
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
LIMIT, RESERVES, TAKES = Decimal("1.00"), Decimal("0.09"), Decimal("0.05")
PROCESSES, THREADS, ATTEMPTS = 4, 32, 3
LONGEST_SECONDS = 150

SETTINGS = """
sinks = ["ledger"]
[loops]
action = "off"
[prices."cent-a-token"]
input = 0
output = 10000
"""

WATCH = """
CREATE TABLE watched (cents INTEGER NOT NULL);
CREATE TRIGGER reserved AFTER INSERT ON reservations
    BEGIN INSERT INTO watched VALUES (round(NEW.usd * 100)); END;
CREATE TRIGGER released AFTER DELETE ON reservations WHEN OLD.state != 'buried'
    BEGIN INSERT INTO watched VALUES (-round(OLD.usd * 100)); END;
CREATE TRIGGER buried AFTER UPDATE ON reservations WHEN NEW.state = 'buried' AND OLD.state != 'buried'
    BEGIN INSERT INTO watched VALUES (-round(OLD.usd * 100)); END;
CREATE TRIGGER spent AFTER UPDATE ON budgets
    BEGIN INSERT INTO watched VALUES (round(NEW.usd * 100) - round(OLD.usd * 100)); END;
"""

WORKER = """
import sys, threading
from openai import OpenAI
from instrument import BudgetExceeded, budget, flush, patch_openai

base_url, name, threads, attempts = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
client = OpenAI(base_url=base_url, api_key="-", max_retries=0, timeout=150)
patch_openai(client)
told = []

def call(prompt):
    try:
        with budget(usd="1.00", name="team", period="total"):
            client.chat.completions.create(
                model="cent-a-token", messages=[{"role": "user", "content": prompt}], max_completion_tokens=9
            )
        told.append("sent " + prompt)
    except BudgetExceeded:
        told.append("refused " + prompt)

def work(thread):
    for attempt in range(attempts):
        call(f"{name}-{thread}-{attempt}")

running = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
running[0].start()
sys.stdin.readline()
for thread in running[1:]:
    thread.start()
for thread in running:
    thread.join()
flush()
print("\\n".join(told))
"""


class Found(NamedTuple):
    """What was seen: calls by what became of them, and money in US dollars."""

    attempts: int
    answered: int
    refused: int
    at_endpoint: int
    refused_but_sent: int
    lost: int
    highest: Decimal
    highest_at_endpoint: Decimal
    spent: Decimal
    spent_estimated: Decimal
    reserved: Decimal
    in_ledger: Decimal
    seconds: float


class Endpoint:
    """Answers with five tokens, but leaves the calls open whose prompts are in `hangs` until `let_go` is set."""

    def __init__(self) -> None:
        self.base_url = ""
        self.prompts: list[str] = []
        self.hangs = frozenset({"killed-0-0", "hangs-0-0"})
        self.let_go = threading.Event()
        self.highest = Decimal(0)
        self._due = Decimal(0)
        self._changed = threading.Condition()

    def begin(self, prompt: str) -> None:
        """A call has arrived; until it is answered it may cost what it reserved."""
        with self._changed:
            self.prompts.append(prompt)
            self._due += RESERVES
            self.highest = max(self.highest, self._due)
            self._changed.notify_all()
        if prompt in self.hangs:
            self.let_go.wait(LONGEST_SECONDS)
        with self._changed:
            self._due += TAKES - RESERVES

    def wait_for(self, prompt: str) -> None:
        """Return when the call has arrived."""
        with self._changed:
            if not self._changed.wait_for(lambda: prompt in self.prompts, LONGEST_SECONDS):
                raise TimeoutError(f"the call {prompt} did not arrive")

    def wait_for_more(self) -> None:
        """Return when others than those that hang have arrived."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.prompts) > len(self.hangs), LONGEST_SECONDS):
                raise TimeoutError("no call arrived")


@contextmanager
def endpoint() -> Iterator[Endpoint]:
    """Serve on loopback until the block ends."""
    state = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = LONGEST_SECONDS

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            state.begin(body["messages"][0]["content"])
            content = json.dumps(ANSWER).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = PROCESSES * THREADS

        def handle_error(self, *args: Any) -> None: ...  # the killed worker's connection breaks

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    state.base_url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield state
    finally:
        state.let_go.set()
        server.shutdown()
        server.server_close()


ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "cent-a-token",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "well"}}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
}


def measure(threads: int = THREADS, attempts: int = ATTEMPTS) -> Found:
    """Run the workers once; raises `TimeoutError` when they take minutes."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, endpoint() as served:
        ledger = Path(folder) / "ledger.db"
        _watch(ledger)
        killed, hanging = (_worker(folder, served, name, threads, attempts) for name in ("killed", "hangs"))
        served.wait_for("killed-0-0")
        served.wait_for("hangs-0-0")
        others = [_worker(folder, served, f"other{n}", threads, attempts) for n in range(2, PROCESSES)]
        for worker in (hanging, *others):
            _go(worker)
        served.wait_for_more()
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        told = [line for worker in others for line in _lines(worker)]
        served.let_go.set()
        told += _lines(hanging)
        return _found(told, served, ledger, time.monotonic() - begun)


def _watch(ledger: Path) -> None:
    from instrument.store.ledger import open_ledger

    with closing(open_ledger(ledger)) as connection:
        connection.executescript(WATCH)


def _worker(folder: str, served: Endpoint, name: str, threads: int, attempts: int) -> subprocess.Popen[str]:
    (Path(folder) / "settings.toml").write_text(SETTINGS)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("INSTRUMENT_", "TRACEPARENT"))}
    told = {
        "PYTHONPATH": str(ROOT),
        "INSTRUMENT_CONFIG": str(Path(folder) / "settings.toml"),
        "INSTRUMENT_LEDGER__URL": f"sqlite:///{folder}/ledger.db",
    }
    command = [sys.executable, "-c", WORKER, served.base_url, name, str(threads), str(attempts)]
    return subprocess.Popen(command, cwd=folder, env={**kept, **told}, stdin=PIPE, stdout=PIPE, text=True)


def _go(worker: subprocess.Popen[str]) -> None:
    """Let all threads of the worker run, beside the one that has begun."""
    assert worker.stdin is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()


def _lines(worker: subprocess.Popen[str]) -> list[str]:
    try:
        out, _ = worker.communicate(timeout=LONGEST_SECONDS)
    except subprocess.TimeoutExpired:
        worker.kill()
        raise TimeoutError("a worker did not end") from None
    return out.splitlines()


def _found(told: list[str], served: Endpoint, ledger: Path, seconds: float) -> Found:
    from instrument.store.ledger import totals
    from instrument.store.reservations import Account, Reservations

    with closing(Reservations(ledger)) as accounts:
        standing = accounts.standing(Account("team", ""))
    with closing(sqlite3.connect(ledger)) as connection:
        changes = connection.execute("SELECT cents FROM watched ORDER BY rowid").fetchall()
        [(estimated,)] = connection.execute("SELECT estimated FROM budgets").fetchall()
    [total] = totals(ledger)
    answered, refused = ([line.split()[1] for line in told if line.startswith(what)] for what in ("sent", "refused"))
    return Found(
        attempts=len(told) + 1,
        answered=len(answered),
        refused=len(refused),
        at_endpoint=len(served.prompts),
        refused_but_sent=len(set(refused) & set(served.prompts)),
        lost=len(set(served.prompts) - set(answered) - {"killed-0-0"}),
        highest=_highest(changes),
        highest_at_endpoint=served.highest,
        spent=standing.usd,
        spent_estimated=Decimal(estimated),
        reserved=standing.reserved_usd,
        in_ledger=total.usd or Decimal(0),
        seconds=seconds,
    )


def _highest(changes: list[tuple[int]]) -> Decimal:
    """The highest sum of spent and reserved, over all changes in their order."""
    sums, now = [0], 0
    for (cents,) in changes:
        now += int(cents)
        sums.append(now)
    return Decimal(max(sums)) / 100


def main() -> int:
    """Exit code 0 when the budget held, else 1."""
    found = measure()
    held = found.highest <= LIMIT and not found.refused_but_sent
    print(f"{PROCESSES} processes, {THREADS} threads each, {found.attempts} attempts in {found.seconds:.1f} s")
    print(f"  answered {found.answered}, killed under way 1, refused {found.refused}")
    print(f"  arrived at the endpoint {found.at_endpoint}, of the refused ones {found.refused_but_sent}")
    print(f"  highest sum of spent and reserved {found.highest:.2f} of {LIMIT} USD")
    print(f"  spent {found.spent:.2f}, of it {found.spent_estimated:.2f} assumed for the killed call")
    print("the budget held" if held else "the budget did NOT hold")
    return int(not held)


if __name__ == "__main__":
    raise SystemExit(main())
