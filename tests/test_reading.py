"""Reading survives what files go through: cut off, mixed, rotated, compressed, out of order, doubled."""

from __future__ import annotations

import gzip
import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from instrument import read
from instrument.analysis.tree import Trace
from instrument.model import Record, decode, encode
from tests.recorded import NOON, call, finding, log, review, run, span, update

Spoil = Callable[[list[bytes], Path], None]
"""Puts the lines into the folder in some way that files are found."""


def lines() -> list[bytes]:
    return [encode(record) for record in review()]


def written(path: Path, made: list[bytes]) -> None:
    path.write_bytes(b"".join(line + b"\n" for line in made))


def plain(made: list[bytes], folder: Path) -> None:
    written(folder / "a.jsonl", made)


def without_the_last_newline(made: list[bytes], folder: Path) -> None:
    (folder / "a.jsonl").write_bytes(b"\n".join(made))


def with_a_torn_line_behind(made: list[bytes], folder: Path) -> None:
    (folder / "a.jsonl").write_bytes(b"\n".join(made) + b"\n" + made[-1][: len(made[-1]) // 2])


def with_a_torn_line_inside(made: list[bytes], folder: Path) -> None:
    written(folder / "a.jsonl", [*made[:5], made[3][:40], *made[5:]])


def with_a_whole_line_behind_a_torn_one(made: list[bytes], folder: Path) -> None:
    (folder / "a.jsonl").write_bytes(b"\n".join(made[:5]) + b"\n" + made[7][:30] + b"\n".join(made[5:]) + b"\n")


def with_windows_line_ends(made: list[bytes], folder: Path) -> None:
    (folder / "a.jsonl").write_bytes(b"".join(line + b"\r\n" for line in made))


def with_empty_lines(made: list[bytes], folder: Path) -> None:
    (folder / "a.jsonl").write_bytes(b"\n\n".join(made) + b"\n\n")


def with_holes_of_zeros(made: list[bytes], folder: Path) -> None:
    """As a file system leaves them after a power cut."""
    (folder / "a.jsonl").write_bytes(b"\n".join(made[:6]) + b"\n" + b"\0" * 4096 + b"\n" + b"\n".join(made[6:]) + b"\n")


def rotated(made: list[bytes], folder: Path) -> None:
    written(folder / "a.1.jsonl", made[:4])
    written(folder / "a.2.jsonl", made[4:9])
    written(folder / "a.jsonl", made[9:])


def rotated_and_gzipped(made: list[bytes], folder: Path) -> None:
    (folder / "a.1.jsonl.gz").write_bytes(gzip.compress(b"\n".join(made[:4]) + b"\n"))
    (folder / "a.2.jsonl.gz").write_bytes(gzip.compress(b"\n".join(made[4:9]) + b"\n"))
    written(folder / "a.jsonl", made[9:])


def gzipped_in_pieces(made: list[bytes], folder: Path) -> None:
    (folder / "a.jsonl.gz").write_bytes(b"".join(gzip.compress(line + b"\n") for line in made))


def one_file_a_record(made: list[bytes], folder: Path) -> None:
    for number, line in enumerate(made):
        written(folder / f"{number:03}.jsonl", [line])


def out_of_order(made: list[bytes], folder: Path) -> None:
    written(folder / "a.jsonl", random.Random(3).sample(made, len(made)))


def spans_and_heads_twice(made: list[bytes], folder: Path) -> None:
    """As when a spool was stored and its process killed before it could be removed."""
    written(folder / "a.jsonl", made)
    written(folder / "b.jsonl", made)


def interleaved_with_another_process(made: list[bytes], folder: Path) -> None:
    other = [encode(record) for record in (run(run="r2"), *(span(n, run="r2", trace_id="e" * 32) for n in range(20)))]
    mixed = itertools.chain.from_iterable(itertools.zip_longest(made, other))
    written(folder / "a.jsonl", [line for line in mixed if line is not None])


def with_lines_of_later_versions(made: list[bytes], folder: Path) -> None:
    later = [b'{"type":"hologram","run":"r1","size":3}', b'{"type":"run","run":"r9","schema":99,"new":{"a":1}}']
    written(folder / "a.jsonl", [line for pair in zip(made, itertools.cycle(later), strict=False) for line in pair])


def with_keys_in_another_order(made: list[bytes], folder: Path) -> None:
    """As other programs write them."""
    turned = [json.dumps(dict(reversed(json.loads(line).items())), indent=None) for line in made]
    written(folder / "a.jsonl", [line.encode() for line in turned])


def among_other_files(made: list[bytes], folder: Path) -> None:
    written(folder / "a.jsonl", made)
    (folder / "notes.txt").write_text("not ours")
    (folder / "broken.jsonl.gz").write_bytes(b"\x1f\x8b\x08 no archive")
    (folder / "empty.jsonl").touch()
    (folder / "folder.jsonl").mkdir()


SPOILS = [
    plain, without_the_last_newline, with_a_torn_line_behind, with_a_torn_line_inside, with_windows_line_ends,
    with_a_whole_line_behind_a_torn_one, with_empty_lines, with_holes_of_zeros, rotated, rotated_and_gzipped,
    gzipped_in_pieces, one_file_a_record, out_of_order, spans_and_heads_twice, interleaved_with_another_process,
    with_lines_of_later_versions, with_keys_in_another_order, among_other_files,
]  # fmt: skip


def told(trace: Trace) -> tuple[object, ...]:
    """All of a trace, without what its order depends on."""
    return (list(trace.spans), list(trace.logs), list(trace.findings), trace.usage, trace.cost.usd)


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__)
def test_the_trace_is_the_same(tmp_path: Path, spoil: Spoil) -> None:
    """Whatever happened to the files, the trace that is whole in them is read as it was recorded."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "spoiled").mkdir()
    plain(lines(), tmp_path / "whole")
    spoil(lines(), tmp_path / "spoiled")
    [expected] = read(tmp_path / "whole", [])
    found = {trace.trace_id: trace for trace in read(tmp_path / "spoiled", [])}[expected.trace_id]
    assert told(expected) == told(found)


def test_a_clock_that_jumps(tmp_path: Path) -> None:
    """Durations are what was measured; processes whose clocks differ make one tree all the same."""
    early = span(2, 1, run="r2", start_ns=NOON - 10**15, duration_ns=5)
    made: list[Record] = [run(), span(1), early, span(3, 2, run="r2", start_ns=NOON - 10**15 + 1, duration_ns=2)]
    written(tmp_path / "a.jsonl", [encode(one) for one in made])
    [trace] = read(tmp_path)
    assert ("span1", [5, 2], True) == (
        trace.root.name,
        [trace.children(trace.root.span_id)[0].duration_ns, trace.children(early.span_id)[0].duration_ns],
        all(one.duration_ns >= 0 for one in trace.spans),
    )


def test_orphans_and_doubled_ids(tmp_path: Path) -> None:
    """Spans whose parent is lost, updates without a span and ids that occur twice cost nothing of the rest."""
    made = [
        span(1),
        span(2, 99),
        span(1, duration_ns=7_000_000),
        update(77, attributes={"a": 1}),
        log(1, 55),
        finding(44),
        call(3, 1),
    ]
    written(tmp_path / "a.jsonl", [encode(one) for one in made])
    [trace] = read(tmp_path)
    assert (["span1", "span2", "responses gpt-4.1-mini"], 7_000_000, 1, 1) == (
        [one.name for one in trace.spans],
        trace.root.duration_ns,
        len(trace.logs),
        len(trace.findings),
    )


@pytest.mark.parametrize("seed", range(40))
def test_files_with_bytes_changed_at_random(tmp_path: Path, seed: int) -> None:
    """Bytes that were changed, cut or put in make lines unreadable, never the reading; untouched lines are read."""
    chance = random.Random(seed)
    made = lines()
    spoiled = {chance.randrange(len(made)) for _ in range(4)}
    broken = [_broken(line, chance) if at in spoiled else line for at, line in enumerate(made)]
    written(tmp_path / "a.jsonl", broken)
    from instrument import records

    found = list(records(tmp_path, []))
    assert [] == [at for at in range(len(made)) if at not in spoiled and decode(made[at]) not in found]


def _broken(line: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(line))
    return chance.choice(
        [
            line[:at],
            line[at:],
            line[:at] + bytes([chance.randrange(256)]) + line[at + 1 :],
            line[:at] + chance.randbytes(30).replace(b"\n", b"") + line[at:],
            line * 2,
        ]
    )
