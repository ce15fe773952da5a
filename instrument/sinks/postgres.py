"""The ledger sink for PostgreSQL. Rows that the server does not take in time go to the ledger on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from instrument.analysis.in_words import many
from instrument.errors import InstrumentError
from instrument.record.notices import notice
from instrument.sinks.ledger import LedgerSink
from instrument.store import ledger, postgres
from instrument.store.folder import LEDGER
from instrument.store.postgres import Database


def ledger_sink(url: str, aside: Path | None = None) -> LedgerSink:
    """The sink for a ledger: of PostgreSQL, with the file for what does not get there, or of SQLite."""
    if postgres.is_postgres(url):
        return PostgresLedgerSink(url, aside or Path(LEDGER))
    return LedgerSink(url)


class PostgresLedgerSink(LedgerSink):
    """As `LedgerSink`, in the database at `url`. While it cannot be reached, or written, rows wait in memory.

    What is still waiting at the end is entered in the SQLite file `aside`, and it is said how to bring it over.
    """

    def __init__(self, url: str, aside: Path, notice: Callable[[str], None] = notice) -> None:
        super().__init__(str(aside), notice)
        self._database = Database(url)
        self._was_reached = True

    def leaves(self, has_tokens: bool) -> Path | None:
        """No file: what has to go aside is told when it is known."""
        return None

    def _enter(self) -> bool:
        """Whether all waiting rows are in the database now."""
        try:
            postgres.write(self._database, self._waiting)
        except InstrumentError as error:  # also one that may not be written, as after a failover
            if self._was_reached:
                self._was_reached = False
                self._notice(f"{error}; rows wait in memory until they can be entered")
            return self._wait_longer()
        self._waiting.clear()
        self._was_reached = True
        return True

    def close(self) -> None:
        """Enter what is waiting, here or in the file aside, and close the connection."""
        if self._waiting and not self._enter():
            self._put_aside()
        self._database.close()
        super().close()

    def _put_aside(self) -> None:
        with_file = ledger.open_ledger(self.path)
        try:
            ledger.write(with_file, self._waiting)
        finally:
            with_file.close()
        self._notice(
            f"{many(self._calls(), 'call')} could not be entered in {postgres.shown(self._database.url)} and went "
            f"to {self.path}: instrument ledger copy {self.path} URL brings over what is there"
        )
        self._waiting.clear()
