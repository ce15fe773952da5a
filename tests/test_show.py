"""`instrument show`: a tree of what was asked for, or one span whole."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

import instrument
from instrument.cli.main import main
from instrument.model import Open, Record, Run, Score
from instrument.record.finished import open_record
from instrument.store.blobs import Blobs
from instrument.testing import record
from tests.random_recordings import written
from tests.recorded import MS, NOON, TRACE, broken, finding, head, log, review, run, span, talk

Capture = pytest.CaptureFixture[str]
TALK, BROKEN = talk().span_id, broken().span_id


@pytest.fixture
def path(alone: Path) -> str:
    """A file with a review, a conversation and a failure, away from any recording folder."""
    records: list[Record] = [*review(), talk(), broken(), log(72, 71, event="TRIED"), finding(70, 71, message="both")]
    return str(written(alone, records))


def shown(capsys: Capture, *words: str, code: int = 0) -> str:
    assert code == main(["show", *words])
    out, err = capsys.readouterr()
    return err if code else out


def names(out: str) -> list[str]:
    """What the rows of the tree are about, without notes and figures."""
    return [found[1] for text in out.splitlines() if (found := re.search(r"[✔✘…] (\S+)", text))]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--kind", "tool"], "4 of 17 spans"),
        (["--kind", "llm", "--kind", "tool"], "9 of 17 spans"),
        (["--kind", "llm,tool"], "9 of 17 spans"),
        (["--errors"], "4 of 17 spans"),
        (["--min-ms", "2000"], "4 of 17 spans"),
        (["--errors", "--kind", "llm"], "1 of 17 spans"),
        (["--kind", "embedding"], "0 of 17 spans"),
    ],
)
def test_spans_are_chosen(path: str, capsys: Capture, words: list[str], expected: str) -> None:
    """By kind, by failure or finding, by duration; all that is given must hold."""
    assert expected in shown(capsys, path, *words).splitlines()


def test_a_call_that_was_refused_went_wrong(tmp_path: Path, capsys: Capture) -> None:
    """A budget's refusal is where the failure above it began."""
    refused = span(2, 1, kind="llm", name="ask", status="refused")
    path = written(tmp_path, [span(1, status="error", name="run"), refused, span(3, 1)])
    assert ["run", "⊝", "ask"] == re.findall(
        r"run|⊝|ask|think", shown(capsys, str(path), "--errors").partition("\n\n")[0]
    )


def test_a_call_whose_process_was_killed_went_wrong(tmp_path: Path, capsys: Capture) -> None:
    """It is where to look."""
    path = written(tmp_path, [run(pid=2**22 - 1), head(1), head(2, 1, name="hung"), span(3, 2, name="fine")])
    assert (True, False) == ("hung" in (out := shown(capsys, str(path), "--errors")), "fine" in out)


def test_what_is_above_a_chosen_span_is_shown_too(path: str, capsys: Capture) -> None:
    """And nothing beside."""
    assert ["review", "iteration", "read_file", "iteration", "read_file", "broke"] == names(
        shown(capsys, path, "--errors", "--kind", "tool").partition("\n\n")[0]
    )


def test_the_depth_is_limited(path: str, capsys: Capture) -> None:
    """One level is the root alone, with how much lies below."""
    tree = shown(capsys, path, "--depth", "1").partition("\n\n")[0].splitlines()
    assert (1, True) == (len([text for text in tree if "review" in text]), "16 below" in tree[0])


@pytest.mark.parametrize("wanted", [TALK, TALK.upper(), TALK[:15]])
def test_a_span_is_shown_by_its_id(path: str, capsys: Capture, wanted: str) -> None:
    """Or by as many first digits as tell it apart."""
    out = shown(capsys, wanted, path, code=0 if len(wanted) == 16 else 2)
    assert ("✔ chat gpt-4.1-mini llm" in out) is (len(wanted) == 16)


def test_the_ids_can_be_shown(path: str, capsys: Capture) -> None:
    """At the end of each row, to be copied."""
    tree = shown(capsys, path, "--ids").partition("\n\n")[0].splitlines()
    assert "0000000000000001" == tree[0].split()[-1]


def test_a_long_value_is_fetched_from_where_it_is_stored(tmp_path: Path, capsys: Capture) -> None:
    """If it is still there."""
    (tmp_path / "events").mkdir()
    reference = Blobs(tmp_path / "blobs").put([b'"the whole story"'])
    cut = {"$blob": reference, "bytes": 17, "head": "the wh"}
    lost = {"$blob": "sha256:" + "0" * 64, "bytes": 99, "head": "the beginning"}
    written(tmp_path / "events", [span(1, input={"a": cut, "b": [cut], "c": lost}, output=cut)])
    out = shown(capsys, span(1).span_id, str(tmp_path))
    assert (1, True, True) == (out.count("a  the whole story"), '["the whole story"]' in out, "the beginning" in out)
    assert "output\n  the whole story\n" in f"{out}\n"


def test_of_a_text_that_was_too_long_both_ends_are_shown(tmp_path: Path, capsys: Capture) -> None:
    """And how long it was, not as a mapping that the caller never gave."""
    written(tmp_path, [span(1, input={"a": {"$cut": 9_000_000, "head": "the begin", "tail": "the end"}})])
    out = shown(capsys, span(1).span_id, str(tmp_path))
    ends = ["a", "the begin", "… 9,000,000 letters, of which the beginning and the end were kept …", "the end"]
    assert ends == [text.strip() for text in out.partition("input\n")[2].splitlines()][:4]


def test_several_spans_that_begin_so_are_named(path: str, capsys: Capture) -> None:
    """With their ids, to choose from."""
    assert re.match(r"instrument: 17 spans in .* begin with '0000': 0{15}1, ", shown(capsys, "0000", path, code=2))


def test_an_id_of_a_trace_is_its_tree(path: str, capsys: Capture) -> None:
    """Also where it is short."""
    assert "review" == names(shown(capsys, "3f", path))[0]


def test_a_conversation_is_told_by_role(path: str, capsys: Capture) -> None:
    """In order, with tool calls, their answers, and the reply."""
    lines = [text.strip() for text in shown(capsys, TALK, path).splitlines()]
    roles = [text for text in lines if text in ("system", "user", "assistant", "tool")]
    assert ["system", "user", "assistant", "tool", "assistant"] == roles
    assert {"→ read_file  call_1", "answer to call_1", "lines  [1,20]"} <= set(lines)


@pytest.mark.parametrize("wrapped", [False, True], ids=["a text", "a part"])
def test_what_a_tool_answered_in_json_is_read(wrapped: bool, tmp_path: Path, capsys: Capture) -> None:
    """Its keys a line each, its texts in lines of their own."""
    text = '{"ok": true, "source": "def f():\\n    pass"}'
    answer = {"type": "tool_call_response", "response": [{"type": "text", "content": text}] if wrapped else text}
    written(tmp_path, [span(1, input={"messages": [{"role": "tool", "parts": [answer]}]})])
    out = shown(capsys, span(1).span_id, str(tmp_path))
    assert ["ok  true", "source", "def f():", "pass"] == [
        text.strip() for text in out.partition("answer to a call\n")[2].splitlines()
    ][:4]


def test_a_failure_is_told_with_its_stack_and_its_cause(path: str, capsys: Capture) -> None:
    """And what was logged and found in the span."""
    out = shown(capsys, BROKEN, path)
    told = ['raise RuntimeError("it broke")', "caused by", "KeyError: 'x'", 'return self.held["x"]', "TRIED", "both"]
    assert [] == [text for text in told if text not in out]


def test_a_span_as_json(path: str, capsys: Capture) -> None:
    """All that was recorded of it, with its logs and the spans below."""
    found = json.loads(shown(capsys, BROKEN, path, "--json"))
    assert ("broke", {"b": [1, None]}, ["TRIED"], []) == (
        found["name"],
        found["input"]["deep"]["a"],
        [log["event"] for log in found["logs"]],
        found["children"],
    )


def test_a_huge_value_is_shown_whole_and_harmless(tmp_path: Path, capsys: Capture) -> None:
    """A megabyte in one line, with control characters in it."""
    text = "word " * 200_000 + "\x1b[2J\u202e"
    out = shown(capsys, span(1).span_id, str(written(tmp_path, [span(1, input={"text": text})])))
    assert (200_000, True, False) == (out.count("word"), "\\x1b[2J\\u202e" in out, "\x1b" in out)


def test_plain_messages_of_any_dialect_are_a_conversation(tmp_path: Path, capsys: Capture) -> None:
    """As a function that makes its own calls hands them on."""
    messages: list[Any] = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "text", "text": "ho"}]},
    ]
    out = shown(capsys, span(1).span_id, str(written(tmp_path, [span(1, input={"messages": messages})])))
    assert "messages\n  user\n    hi\n  assistant\n    ho\n" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--depth", "0"], "'0' is no number of levels: give 1 or more"),
        (["--min-ms", "soon"], "'soon' is no duration in milliseconds"),
        (["--json", "--errors"], "--json has the whole trace"),
        (["--json", "--min-ms", "1"], "--json has the whole trace"),
        (["zz99"], "no trace or span in"),
    ],
)
def test_bad_use_is_one_clear_sentence(path: str, capsys: Capture, words: list[str], sentence: str) -> None:
    """Exit code 2."""
    assert sentence in shown(capsys, *words, "--path", path, code=2)


def test_what_took_no_time_is_not_divided_by(tmp_path: Path, capsys: Capture) -> None:
    """A trace of a single instant has bars and shares as well."""
    path = str(written(tmp_path, [span(1, duration_ns=0), span(2, 1, start_ns=span(1).start_ns, duration_ns=0)]))
    assert "0.0% of the trace" in shown(capsys, span(2).span_id, path)
    assert "span2" in shown(capsys, path)


def test_a_chain_of_spans_deeper_than_python_recurses_is_shown(tmp_path: Path, capsys: Capture) -> None:
    """With its way from the root cut, not the program."""
    chain = [span(n, n - 1 if n > 1 else None, duration_ns=5000 * MS - n) for n in range(1, 3000)]
    path = str(written(tmp_path, chain))
    assert "span2999" in shown(capsys, span(2999).span_id, path)


def test_judgements_are_shown(tmp_path: Path, capsys: Capture) -> None:
    """Those of the trace in its summary, those of a span where it is shown whole."""
    scores = [
        Score(run="r1", trace_id=TRACE, span_id=span(2).span_id, time_ns=NOON, name="helpful", value=0.8),
        Score(run="r1", trace_id=TRACE, time_ns=NOON + 1, name="tone", label="good"),
    ]
    path = str(written(tmp_path, [span(1), span(2, 1), *scores]))
    expected = ["scores      helpful 0.8, tone good"], ["scores      helpful 0.8"]
    told = shown(capsys, "last", path), shown(capsys, span(2).span_id, path)
    assert expected == tuple([line for line in out.splitlines() if line.startswith("scores")] for out in told)


def test_a_call_that_runs_shows_its_model_and_its_time_so_far(tmp_path: Path, capsys: Capture) -> None:
    """What it costs is not known yet, which is not nothing; whose run it is stands in the head."""
    hour_ago = time.time_ns() - 3600 * 1_000_000_000
    whose = {"session.id": "s-42", "user.id": "ada"}
    asked = {"gen_ai.request.model": "m-1"}
    path = written(
        tmp_path,
        [
            Run(run="r1", pid=os.getpid(), start_ns=time.time_ns()),
            head(1, kind="agent", start_ns=hour_ago, attributes=whose),
            head(2, 1, kind="llm", name="ask", start_ns=hour_ago, attributes=asked),
        ],
    )
    out = shown(capsys, "last", str(path))
    asking = [word for word in out.splitlines()[1].split() if "━" not in word]
    assert ["└─", "…", "ask", "[m-1]", "llm", "1", "h", "00", "m", "…"] == asking
    told = [line for line in out.splitlines() if line.startswith(("session", "user", "money"))]
    assert ["session     s-42", "user        ada", "money       …"] == told


def test_the_model_of_a_call_is_known_while_it_runs() -> None:
    """The head of a model call names the model that its decorator names."""
    with record() as recording:

        @instrument.llm_call(model="m-1")
        def ask() -> None:
            live = instrument.current_span()
            assert live is not None
            heads.append(open_record(live, "r", 0, lambda taken: taken))

        heads: list[Open] = []
        ask()
    assert ("m-1", "ok") == (heads[0].attributes["gen_ai.request.model"], recording.spans[0].status)
