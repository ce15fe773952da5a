"""Writes records to JSONL files: one write a batch, whole lines only."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from instrument.model import Batch, Run
from instrument.record.notices import notice
from instrument.store import folder as recording_folder
from instrument.store.appender import Appender
from instrument.store.jsonl import event_file

BACKLOG_BYTES = 8 * 1024 * 1024
PIECE = 64


class JsonlSink:
    """Appends the records of one process to `events/<utc>-<run>.jsonl` in the recording folder, or to `path`.

    `path` is one file that several processes may share. `rotate_bytes` is the size beyond which a new file begins;
    `durability` "fsync" waits for the disk at every batch. What cannot be written (a full disk, a folder that may
    not be written to) is kept up to `backlog_bytes` and tried again with every batch; beyond that the oldest lines
    are given up and counted in `lost`, by reason; `kept` counts what is still to be written.
    """

    direct = True
    """Quick and bounded in time: called by the pipeline's worker itself."""

    reopens = True
    """What ends after it was closed, as the program ends, is written all the same."""

    calls_nobody = True
    """No code but ours runs in it."""

    takes_unpriced = True
    """A model call is written at once, and what it cost as an update, when that takes time to find out."""

    def __init__(
        self,
        folder: str | os.PathLike[str],
        run: Run,
        *,
        path: str | os.PathLike[str] | None = None,
        rotate_bytes: int | None = None,
        durability: str = "write",
        backlog_bytes: int = BACKLOG_BYTES,
        report: Callable[[str], None] = notice,
    ) -> None:
        self.lost: Counter[str] = Counter()
        self._folder = Path(folder).absolute()
        self._shared = Path(path).absolute() if path is not None else None
        self._run = run
        self._rotate_bytes = rotate_bytes
        self._fsync = durability == "fsync"
        self._backlog_bytes = backlog_bytes
        self._backlog: list[bytes] = []
        self._reason = ""
        self._appender: Appender | None = None
        self._report = report

    @property
    def path(self) -> Path:
        """The file that is written to."""
        return self._shared or event_file(self._folder, self._run.run, self._run.start_ns)

    def leaves(self, has_tokens: bool) -> Path | None:
        """The file in which a trace that is over is."""
        return self.path if os.path.exists(self.path) else None

    def prepare(self) -> None:
        """Create and open the file. Raises `OSError`, as the first batch will that is written."""
        self._ready().open()

    def write(self, batch: Batch) -> None:
        """Append the batch, after what an earlier one had to leave."""
        if self._backlog:
            self._backlog += batch.lines
            self._append()
            return
        try:
            self._ready().append_data(batch.data)
        except OSError as error:
            self._backlog += batch.lines
            self._keep(error.strerror or type(error).__name__)

    def flush(self) -> None:
        """Try once more what could not be written."""
        self._append()
        if self._appender is not None:
            self._appender.look_again()

    def close(self) -> None:
        """Give the file back; what still cannot be written is lost, and all that was lost is told."""
        self.flush()
        if self._backlog:
            self.lost[f"{self._reason}, until the end"] += len(self._backlog)
            self._backlog = []
        if self.lost:
            records = sum(self.lost.values())
            told = "1 record is lost" if records == 1 else f"{records:,} records are lost"
            self._report(f"{told}, {self.path} could not be written: {', '.join(self.lost)}")
        if self._appender is not None:
            self._appender.close()

    @property
    def kept(self) -> dict[str, int]:
        """Records that could not be written and will be tried again, by reason."""
        return {f"{self._reason}, to be tried again": len(self._backlog)} if self._backlog else {}

    def _append(self) -> None:
        """Write all that waits, in pieces, so that what fits on a disk that is nearly full gets there."""
        try:
            while self._backlog:
                piece = self._backlog if len(self._backlog) < 2 * PIECE else self._backlog[:PIECE]
                self._ready().append(piece)
                self._backlog = self._backlog[len(piece) :]
        except OSError as error:
            self._keep(error.strerror or type(error).__name__)

    def _ready(self) -> Appender:
        if self._appender is None:
            is_own = self._shared is None
            self._appender = Appender(
                self.path,
                rotate_bytes=self._rotate_bytes,
                fsync=self._fsync,
                shared=not is_own,
                prepare=partial(recording_folder.create, self._folder) if is_own else None,
            )
        return self._appender

    def _keep(self, reason: str) -> None:
        self._reason = reason
        self._report(
            f"records cannot be written to {self.path} ({reason}); up to {self._backlog_bytes >> 20} MiB are kept "
            "and tried again, your program goes on"
        )
        size = sum(map(len, self._backlog))
        gone = 0
        while size > self._backlog_bytes:
            size -= len(self._backlog[gone])
            gone += 1
        if gone:
            self._backlog = self._backlog[gone:]
            self.lost[reason] += gone
