"""A PostgreSQL cluster of its own in a temporary folder, on a free port of loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.loopback import free_port

PROGRAMS = ("initdb", "pg_ctl")
EMPTY = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid() AND backend_type LIKE 'client%'",
    "ALTER DATABASE postgres RESET ALL",
    "DROP SCHEMA public CASCADE",
    "CREATE SCHEMA public",
)


class Postgres:
    """A cluster. `database` is an empty one of it; `stop` and `start` do that to the server."""

    def __init__(self, programs: Path, folder: Path, port: int) -> None:
        self.programs = programs
        self.folder = folder
        self.port = port

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder} -c fsync=off -c max_connections=100"
        self._run(
            "pg_ctl", "-D", str(self.folder / "data"), "-o", options, "-l", str(self.folder / "log"), "-w", "start"
        )

    def stop(self, how: str = "fast") -> None:
        """`immediate` is what a crash leaves behind."""
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", how, "-w", "stop")

    def database(self) -> str:
        """The address of an empty database: always the same, as to make one takes long; who was in it is shown out."""
        import psycopg

        address = f"postgresql://postgres:geheim@127.0.0.1:{self.port}/postgres"
        with psycopg.connect(address, autocommit=True, options="-c default_transaction_read_only=off") as connection:
            for statement in EMPTY:
                connection.execute(statement)
        return address

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [str(self.programs / program), *words], user=_user(), cwd=self.folder, timeout=60, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program} {words[-1]} ended with {done.returncode}")


def missing() -> str | None:
    """Why there can be no server here, None where there can."""
    if _programs() is None:
        return "PostgreSQL's server is not installed (Debian: apt-get install postgresql)"
    if os.getuid() == 0 and _user() is None:
        return "PostgreSQL does not run as root and there is no user called postgres"
    return None


def _programs() -> Path | None:
    found = [Path(shutil.which("initdb") or "/nowhere").parent, *sorted(Path("/usr/lib/postgresql").glob("*/bin"))]
    return next((folder for folder in reversed(found) if all((folder / one).exists() for one in PROGRAMS)), None)


def _user() -> str | None:
    if os.getuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return None


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running cluster, which is gone afterwards."""
    programs = _programs()
    assert programs is not None
    folder = Path(tempfile.mkdtemp(prefix="instrument-pg-"))
    try:
        if (user := _user()) is not None:
            shutil.chown(folder, user)
        with free_port() as port:
            server = Postgres(programs, folder, port)
            server._run("initdb", "-D", str(folder / "data"), "-A", "trust", "-U", "postgres", "-N")
            server.start()
            try:
                yield server
            finally:
                server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
