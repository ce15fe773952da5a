"""`instrument import`: files in, traces in the folder, told what was left out."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest

from instrument import read
from instrument.cli.intake import entered
from instrument.cli.main import main
from instrument.model import Score, encode
from instrument.store import foreign
from instrument.store.entries import added_up
from instrument.store.jsonl import files
from instrument.store.ledger import totals
from tests.recorded import NOON, TRACE, log, review, write
from tests.test_import_claude_code import SESSION as CLAUDE
from tests.test_import_codex import SESSION as CODEX
from tests.test_import_messages import TALK
from tests.test_import_openinference import TREE
from tests.test_import_otlp import request, span
from tests.test_import_trajectory import STEPS

PRICED = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.provider.name": "openai",
          "gen_ai.usage.input_tokens": 1_000_000, "gen_ai.usage.output_tokens": 0}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that does not exist yet."""
    return tmp_path / "recording"


def lines_of(*rows: Any) -> str:
    """The rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def bring(tmp_path: Path, folder: Path, text: str, *options: str) -> int:
    """Import a file with this text."""
    file = tmp_path / "given.json"
    file.write_text(text)
    return main(["import", str(file), "--dir", str(folder), *options])


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("otlp", json.dumps(request(span({})), indent=2)),
        ("otlp", lines_of(request(span({})), request(span({}, spanId="1" * 16)))),
        ("openinference", lines_of(TREE, TREE)),
        ("openai", json.dumps(TALK)),
        ("openai", json.dumps([{"messages": TALK}, {"messages": TALK[1:]}])),
        ("openai", lines_of({"messages": TALK})),
        ("claude-code", lines_of(*CLAUDE)),
        ("codex", lines_of(*CODEX)),
        ("trajectory", json.dumps({"trajectory": STEPS})),
    ],
)
def test_formats_are_told(
    form: str, text: str, tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each format is known without its name, as one document and as lines."""
    assert (0, form) == (
        bring(tmp_path, folder, text, "--json"),
        json.loads(capsys.readouterr().out)["files"][0]["format"],
    )


def test_twice_is_once(tmp_path: Path, folder: Path) -> None:
    """What is imported again is not doubled: not the spans, not the money, not the files."""
    for _ in range(2):
        bring(tmp_path, folder, json.dumps(request(span(PRICED))))
    spans = [one for trace in read(folder) for one in trace.spans]
    assert (1, 1, 1) == (
        len(spans),
        added_up(totals(folder / "ledger.db")).calls,
        len(list((folder / "events").iterdir())),
    )


def test_logs_are_there_after_a_second_import(tmp_path: Path, folder: Path) -> None:
    """The file that held them is replaced, and holds them again."""
    line = {"traceId": TRACE, "timeUnixNano": str(NOON), "severityNumber": 9, "body": {"stringValue": "said"}}
    told = {**request(span({}, traceId=TRACE)), "resourceLogs": [{"scopeLogs": [{"logRecords": [line]}]}]}
    for _ in range(2):
        bring(tmp_path, folder, json.dumps(told))
    assert [["said"]] == [[one.message for one in trace.logs] for trace in read(folder)]


def test_files_that_hold_parts_of_a_trace_stand_beside_each_other(tmp_path: Path, folder: Path) -> None:
    """Neither replaces the other."""
    for number in (1, 2):
        (tmp_path / f"{number}.json").write_text(json.dumps(request(span({}, spanId=f"{number}" * 16))))
    main(["import", *(str(tmp_path / f"{number}.json") for number in (1, 2)), "--dir", str(folder)])
    assert [2] == [len(trace.spans) for trace in read(folder)]


def test_a_price_that_became_known_is_that_of_the_next_import(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is imported again replaces itself in the ledger too."""
    asked = request(span({**PRICED, "gen_ai.request.model": "mine"}))
    paid = []
    for price in ("", "[prices.mine]\ninput = 2\noutput = 5\n"):
        (tmp_path / "prices.toml").write_text(price)
        monkeypatch.setenv("INSTRUMENT_CONFIG", str(tmp_path / "prices.toml"))
        bring(tmp_path, folder, json.dumps(asked))
        paid.append(added_up(totals(folder / "ledger.db")).usd)
    assert [None, 2] == paid


def test_a_folder_that_is_named_has_its_own_ledger(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is tried out in it is not in the ledger of the settings."""
    monkeypatch.setenv("INSTRUMENT_LEDGER__URL", f"sqlite:///{tmp_path}/team.db")
    bring(tmp_path, folder, json.dumps(request(span(PRICED))))
    assert (True, False) == ((folder / "ledger.db").exists(), (tmp_path / "team.db").exists())


def test_without_a_named_folder_the_ledger_is_that_of_the_settings(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`costs` looks there."""
    monkeypatch.setenv("INSTRUMENT_LEDGER__URL", f"sqlite:///{alone}/team.db")
    (alone / "a.json").write_text(json.dumps(request(span(PRICED))))
    assert 0 == main(["import", "a.json"])
    assert (False, True) == ((alone / ".instrument/ledger.db").exists(), (alone / "team.db").exists())


def test_without_a_named_folder_the_nearest_above_is_meant(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for all verbs."""
    for folder in (".instrument", "sub"):
        (alone / folder).mkdir()
    (alone / "sub/a.json").write_text(json.dumps(request(span(PRICED))))
    monkeypatch.chdir(alone / "sub")
    assert 0 == main(["import", "a.json"])
    assert [True, False] == [(place / ".instrument/ledger.db").exists() for place in (alone, alone / "sub")]


def test_what_was_recorded_here_is_not_told_twice(tmp_path: Path, folder: Path) -> None:
    """An export of our own, imported where it came from, adds no log, score or finding."""
    (folder / "events").mkdir(parents=True)
    write(folder / "events/a.jsonl", *review(), score())
    before = [(len(trace.spans), len(trace.logs), len(trace.scores), len(trace.findings)) for trace in read(folder)]
    main(["export", "last", str(folder), "--otlp", str(tmp_path / "own.json")])
    main(["import", str(tmp_path / "own.json"), "--dir", str(folder)])
    assert (before, 2) == (
        [(len(trace.spans), len(trace.logs), len(trace.scores), len(trace.findings)) for trace in read(folder)],
        len(list((folder / "events").iterdir())),
    )


@pytest.mark.parametrize("form", ["--otlp", "--openinference"])
def test_what_was_paid_here_is_not_paid_twice(form: str, tmp_path: Path, folder: Path) -> None:
    """The ledger has one row for a call that comes back to where it was made, in whatever format."""
    (folder / "events").mkdir(parents=True)
    write(folder / "events/a.jsonl", *review())
    entered(review(), str(folder / "ledger.db"))
    before = added_up(totals(folder / "ledger.db"))
    main(["export", "last", str(folder), form, str(tmp_path / "own.json")])
    main(["import", str(tmp_path / "own.json"), "--dir", str(folder)])
    assert before == added_up(totals(folder / "ledger.db")) and before.calls


def test_a_log_with_a_secret_is_not_told_twice(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files with the same content are compared as they are stored, and the folder is read once for all of them."""
    secret = "sk-proj-" + "a1B2c3D4" * 6
    there = tmp_path / "there.jsonl"
    write(there, *review(), log(1, 1, message=f"the key is {secret}"))
    main(["export", "last", str(there), "--otlp", str(tmp_path / "0.json")])
    main(["import", str(tmp_path / "0.json"), "--dir", str(folder)])
    before = [len(trace.logs) for trace in read(folder)]
    for number in range(1, 4):
        copyfile(tmp_path / "0.json", tmp_path / f"{number}.json")
    looked: list[Path] = []

    def files_of(events: Path) -> list[Path]:
        looked.append(events)
        return files(events)

    monkeypatch.setattr("instrument.cli.twice.files", files_of)
    main(["import", *(str(tmp_path / f"{number}.json") for number in range(1, 4)), "--dir", str(folder)])
    stored = b"".join(file.read_bytes() for file in (folder / "events").iterdir())
    assert (before, [folder / "events"], False) == (
        [len(trace.logs) for trace in read(folder)],
        looked,
        secret.encode() in stored,
    )


def score() -> Score:
    return Score(trace_id=TRACE, span_id=f"{1:016x}", time_ns=NOON, name="helpful", value=0.8)


def test_a_session_that_went_on_is_one(tmp_path: Path, folder: Path) -> None:
    """A session imported before and after it went on is one trace with each span once, in one file."""
    for rows in (CLAUDE[:5], CLAUDE):
        bring(tmp_path, folder, lines_of(*rows))
    assert ([4], 1) == ([len(trace.spans) for trace in read(folder)], len(list((folder / "events").iterdir())))


def test_model_calls_are_priced(tmp_path: Path, folder: Path) -> None:
    """Tokens and model give the money, in the trace and in the ledger."""
    bring(tmp_path, folder, json.dumps(request(span(PRICED))))
    (trace,) = read(folder)
    assert trace.cost.usd == added_up(totals(folder / "ledger.db")).usd and trace.cost.usd


def test_broken_lines_are_told(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line that is no JSON is named and skipped, all others are taken."""
    bring(tmp_path, folder, lines_of(*CLAUDE[:3]) + '{"type": "assis\n' + lines_of(*CLAUDE[3:]))
    assert f"note: {tmp_path / 'given.json'}, line 4 is no JSON and was skipped\n" == capsys.readouterr().err


def test_rows_of_another_kind_are_told(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row of a file that is nothing of its format is named and skipped."""
    bring(tmp_path, folder, lines_of({"messages": TALK}, {"messages": 7}))
    assert "line 2 holds nothing of the format openai" in capsys.readouterr().err


def test_an_unknown_format(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of no known format is refused, and the message says which there are."""
    assert (2, True) == (bring(tmp_path, folder, '{"a": 1}'), "--format" in capsys.readouterr().err)


def test_a_recording_of_our_own_needs_no_import(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its spans resemble those of other formats, and would arrive without times and tokens."""
    text = "".join(encode(record).decode() + "\n" for record in review())
    assert (2, True) == (bring(tmp_path, folder, text), "reads it where it lies" in capsys.readouterr().err)


def test_one_bad_file_among_good_ones(tmp_path: Path, folder: Path) -> None:
    """The others are imported, the exit code tells that one was not."""
    good = tmp_path / "good.jsonl"
    good.write_text(lines_of(*CODEX))
    code = main(["import", str(tmp_path / "missing"), str(good), "--dir", str(folder)])
    assert (1, 1) == (code, len(list(read(folder))))


def test_compressed_files(tmp_path: Path, folder: Path) -> None:
    """Gzipped files are read as they are."""
    file = tmp_path / "rollout.jsonl.gz"
    file.write_bytes(gzip.compress(lines_of(*CODEX).encode()))
    assert 0 == main(["import", str(file), "--dir", str(folder)])


def test_secrets_do_not_arrive(tmp_path: Path, folder: Path) -> None:
    """What is written is redacted as if it had been recorded here."""
    secret = "sk-" + "proj-" + "Ab3dEf6hIj9kLm2nOp5q" * 2
    bring(tmp_path, folder, json.dumps(request(span({"password": "hunter2-hunter2", "note": f"key {secret}"}))))
    written = b"".join(file.read_bytes() for file in (folder / "events").iterdir())
    assert (False, False) == (secret.encode() in written, b"hunter2" in written)


def test_secrets_do_not_arrive_in_the_ledger(tmp_path: Path, folder: Path) -> None:
    """The rows of calls name users and sessions, which are redacted as in the events."""
    secret = "sk-" + "proj-" + "Ab3dEf6hIj9kLm2nOp5q" * 2
    bring(tmp_path, folder, json.dumps(request(span({**PRICED, "user.id": secret, "session.id": f"of {secret}"}))))
    stored = [file.read_bytes() for file in folder.glob("ledger.db*")]
    assert (True, False) == (
        any(b"of [redacted:" in one for one in stored),
        any(secret.encode() in one for one in stored),
    )


def test_nested_model_calls_are_one(tmp_path: Path, folder: Path) -> None:
    """Where two libraries recorded one call, its tokens count once: those of the innermost span."""
    inner = span(PRICED, spanId="1" * 16, parentSpanId="2" * 16)
    outer = span(PRICED, spanId="2" * 16, parentSpanId="")
    bring(tmp_path, folder, json.dumps(request(outer, inner)))
    (trace,) = read(folder)
    assert ({"1" * 16: "llm", "2" * 16: "step"}, 1_000_000) == (
        {one.span_id: one.kind for one in trace.spans}, trace.usage.input,
    )  # fmt: skip


def test_calls_below_an_agent_are_its_calls(tmp_path: Path, folder: Path) -> None:
    """Where only nesting says whose they are, the nearest agent's name is theirs; so `stats --by agent` knows."""

    def tree(name: str, kind: str, number: int, *children: Any) -> dict[str, Any]:
        return {
            "trace_id": "a" * 32,
            "span_id": f"{number:016x}",
            "span_name": name,
            "timestamp": "2026-01-01T00:00:00Z",
            "duration": "PT1S",
            "span_attributes": {"openinference.span.kind": kind},
            "child_spans": list(children),
        }

    inner = tree("writer", "AGENT", 3, tree("chat", "LLM", 4))
    bring(tmp_path, folder, json.dumps(tree("main", "CHAIN", 1, tree("boss", "AGENT", 2, inner, tree("t", "TOOL", 5)))))
    found = {one.name: one.attributes.get("gen_ai.agent.name") for trace in read(folder) for one in trace.spans}
    assert {"main": None, "boss": "boss", "writer": "writer", "chat": "writer", "t": "boss"} == found


def test_times_that_are_not_known_are_not_shown(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of messages without times only the order is told."""
    bring(tmp_path, folder, lines_of([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]))
    for verb in ("show", "stats", "runs"):
        main([verb, "--path", str(folder)])
    assert "µs" not in capsys.readouterr().out


def test_errors_are_counted_as_runs_counts_them(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An exception that spans passed on is one error, in what `import` says and in what `runs` says."""
    failed = {"status": {"code": 2, "message": "no route"}}
    bring(
        tmp_path,
        folder,
        json.dumps(request(span({}, **failed), span({}, spanId="1" * 16, parentSpanId=span({})["spanId"], **failed))),
        "--json",
    )
    said = json.loads(capsys.readouterr().out)["files"][0]["errors"]
    main(["runs", str(folder), "--json"])
    assert (1, 1) == (said, json.loads(capsys.readouterr().out)[0]["errors"])


def test_every_reader_is_a_format() -> None:
    """A file of `store/foreign` that knows values when it sees them is a row of the table of formats."""
    readers = [file.stem for file in Path(foreign.__path__[0]).glob("*.py") if "\ndef fits(" in file.read_text()]
    assert sorted(readers) == sorted(form.fits.__module__.rpartition(".")[2] for form in foreign.FORMATS.values())
