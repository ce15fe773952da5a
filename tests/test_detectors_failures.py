"""Rules of `instrument.detectors.again_after_failure` and `instrument.detectors.error_storm`."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.detector_runs import Tape, alarms, feed, said


def test_the_same_call_failing_twice_running_is_found() -> None:
    """Nothing was changed between the two."""
    tape = Tape()
    for _ in range(2):
        tape.tool("open", failed="it is locked", door="green")
    assert {"again_after_failure"} == alarms(feed(tape.spans))


def test_one_retry_that_succeeds_is_no_finding() -> None:
    """A passing fault is what retries are for."""
    tape = Tape()
    for n in range(4):
        tape.tool("fetch", failed="timed out", page=n)
        tape.tool("fetch", f"text {n}", page=n)
        for m in range(4):
            tape.tool("read", f"line {n} {m}", line=10 * n + m)
    assert [] == feed(tape.spans)


PASSING = [
    "timed out",
    "HTTP 429: too many requests",
    "the service is temporarily unavailable",
    "connection reset by peer",
    "Internal Server Error",
]


@pytest.mark.parametrize("fault", PASSING)
def test_a_second_retry_after_what_passes_of_itself_is_no_finding(fault: str) -> None:
    """Three tries are what careful programs make."""
    tape = Tape()
    for _ in range(2):
        tape.tool("fetch", failed=fault, page=1)
    tape.tool("fetch", "text", page=1)
    assert [] == feed(tape.spans)


def test_a_second_failure_that_does_not_pass_of_itself_is_found() -> None:
    """Whatever the first one was."""
    tape = Tape()
    for fault in ("timed out", "no such page"):
        tape.tool("fetch", failed=fault, page=1)
    assert {"again_after_failure"} == alarms(feed(tape.spans))


def test_a_third_failure_is_found_whatever_the_fault() -> None:
    """What does not pass in three tries is not passing."""
    tape = Tape()
    for n in range(3):
        tape.tool("fetch", failed=f"timed out after {n} s", page=1)
    assert "again_after_failure" in alarms(feed(tape.spans))


@pytest.mark.parametrize(("asked", "found"), [(False, set()), (True, {"again_after_failure"})])
def test_a_second_retry_of_the_program_is_no_finding(asked: bool, found: set[str]) -> None:
    """With no answer of a model in between it was not the model that tried the same again."""
    tape = Tape()
    tape.model(said("open the door"))
    tape.tool("open", failed="it is locked", door="green")
    if asked:
        tape.model(said("once more"))
    tape.tool("open", failed="it is locked", door="green")
    assert found == alarms(feed(tape.spans))


def test_other_work_in_between_may_have_mended_it() -> None:
    """Failing, repairing, failing once more is work."""
    tape = Tape()
    tape.tool("run_tests", failed="two failed", path="tests")
    tape.tool("edit", "edited", line=4)
    tape.tool("run_tests", failed="one failed", path="tests")
    assert [] == feed(tape.spans)


def test_the_same_object_with_another_question_is_the_same_attempt() -> None:
    """A file that cannot be read cannot be read for another question either."""
    tape = Tape()
    for question in ("what is the first word of the first page", "what is the last word of the first page there"):
        tape.tool("inspect", failed="no such file", path="a.pdf", question=question)
    assert {"again_after_failure"} == alarms(feed(tape.spans))


def test_another_object_is_another_attempt() -> None:
    """Two files that cannot be read are two failures."""
    tape = Tape()
    for path in ("a.pdf", "b.pdf"):
        tape.tool("inspect", failed="no such file", path=path)
    assert [] == feed(tape.spans)


def test_another_tool_is_another_attempt() -> None:
    """Trying something else with the same thing is not trying again."""
    tape = Tape()
    for tool in ("push", "pull"):
        tape.tool(tool, failed="it is locked", door="green")
    assert [] == feed(tape.spans)


def test_one_call_failing_on_and_on_is_no_storm() -> None:
    """One pattern is not told under two names."""
    tape = Tape()
    for _ in range(6):
        tape.tool("open", failed="it is locked", door="green")
    assert "error_storm" not in alarms(feed(tape.spans))


def test_a_program_that_fails_differently_was_worked_on() -> None:
    """Correcting the code between two runs is what failures are for."""
    tape = Tape()
    code = "import csv\nrows = list(csv.reader(open('a.csv')))\nprint(sum(int(r[{}]) for r in rows))"
    tape.tool("python", failed="IndexError: list index out of range", code=code.format(9))
    tape.tool("python", failed="ValueError: invalid literal", code=code.format(2))
    assert [] == feed(tape.spans)


def test_three_failures_of_different_calls_in_a_row_are_a_storm() -> None:
    """Whichever tools they are."""
    tape = Tape()
    for n in range(3):
        tape.tool(f"tool{n}", failed="away", number=n)
    assert {"error_storm"} == alarms(feed(tape.spans))


def test_two_failures_in_a_row_are_no_storm() -> None:
    """One failure is normal, a second happens while correcting it."""
    tape = Tape()
    for n in range(2):
        tape.tool(f"tool{n}", failed="away", number=n)
    assert [] == feed(tape.spans)


def test_one_tool_failing_on_and_on_is_a_storm() -> None:
    """Four failures of a tool without a success, with other work in between."""
    tape = Tape()
    for n in range(4):
        tape.tool("ship", failed=f"refused {n}", order=n)
        tape.tool("read", f"line {n}", line=n)
    assert "ship failed 4 times without a success" in feed(tape.spans)[0].message


def test_a_success_of_the_tool_ends_its_failures() -> None:
    """A tool that works now and then is not failing on and on."""
    tape = Tape()
    for n in range(12):
        tape.tool("ship", "sent", failed="refused" if n % 3 else None, order=n)
        tape.tool("read", f"line {n}", line=n)
    assert [] == feed(tape.spans, failing_share=1.0)


def test_half_of_a_window_failing_is_a_storm() -> None:
    """Different tools, none of them often, and half of the work lost."""
    tape = Tape()
    for n in range(6):
        tape.tool("read", f"line {n}", line=n)
        tape.tool(f"tool{n}", failed=f"refused {n}", number=n)
    assert "5 of the last 10 calls failed" in feed(tape.spans)[0].message


def test_a_failure_passed_on_counts_once() -> None:
    """A tool that fails because a tool within it failed is the same failure."""
    tape = Tape()
    for n in range(2):
        inner = tape.tool("fetch", failed="away", page=n)
        outer = tape.tool("summarise", failed="away", page=n)
        tape.spans[-2] = msgspec.structs.replace(inner, parent_id=outer.span_id)
    assert [] == feed(tape.spans)


def test_a_storm_that_goes_on_is_told_when_it_has_doubled() -> None:
    """Three, six, twelve failures."""
    tape = Tape()
    for n in range(13):
        tape.tool(f"tool{n % 3}", failed="away", number=n)
    assert [3, 6, 12] == [finding.data["times"] for finding in feed(tape.spans) if finding.detector == "error_storm"]


def test_a_storm_begins_with_its_first_failure() -> None:
    """However long ago that was, it is shown and counted; what failed before a success is not."""
    tape = Tape()
    for n in range(18):
        tape.tool(f"tool{n % 3}", **({} if n == 1 else {"failed": "away"}), number=n)
    last = [finding for finding in feed(tape.spans) if finding.detector == "error_storm"][-1]
    assert ("15 calls in a row failed", tape.spans[2].span_id) == (last.message[:24], last.span_ids[0])


def test_unknown_inputs_may_fail_in_a_storm() -> None:
    """Where content is not recorded failures still count."""
    tape = Tape()
    for n in range(3):
        tape.spans.append(msgspec.structs.replace(tape.tool("send", failed="away"), input=None))
        del tape.spans[-2]
    assert {"error_storm"} == alarms(feed(tape.spans))


TOLD_ERRORS = [
    'ERROR: column "{n}" does not exist',
    "Error executing tool search: no such place {n}",
    "Traceback (most recent call last):\n  File x.py, line {n}",
    "sqlite3.OperationalError: no such table: {n}",
    '{{"error": "not found: {n}"}}',
    {"error": {"message": "not found", "code": 404}},
    {"ok": False, "message": "not found"},
    {"isError": True, "content": "not found"},
    {"status": "failed", "message": "not found"},
    {"status": "ERROR", "message": "not found"},
]


@pytest.mark.parametrize("told", TOLD_ERRORS)
def test_errors_that_are_given_back_as_results_are_failures(told: Any) -> None:
    """The tool succeeds each time and the model tries one name after the other."""
    tape = Tape()
    for n in ("amount", "total", "price"):
        tape.tool("run_sql", told.format(n=n) if isinstance(told, str) else told, column=n)
    (found,) = feed(tape.spans)
    assert "3 calls in a row gave errors as results (run_sql)" in found.message


def test_failures_of_both_kinds_are_one_storm() -> None:
    """And it is said so."""
    tape = Tape()
    for n, failed in enumerate((None, "away", None)):
        tape.tool(f"tool{n}", f"Error: no {n}", failed=failed, number=n)
    assert "3 calls in a row failed or gave errors as results" in feed(tape.spans)[0].message


NO_ERRORS = [
    "error rates fell by {n} percent",
    "Errors and how to handle them, chapter {n}",
    "Error: and so on, line {n}\n" * 200,
    "0 errors, {n} warnings",
    "failed 1, passed {n}",
    '{{"error": null, "rows": "{n}"}}',
    {"errors": [], "ok": True},
    {"success": None, "status": "done"},
    {"failed": 0, "status": "done"},
]


@pytest.mark.parametrize("told", NO_ERRORS)
def test_what_only_speaks_of_errors_is_none(told: Any) -> None:
    """Texts about errors, logs that begin with one, and fields for errors that say that there was none."""
    tape = Tape()
    for n in ("one", "two", "three", "four"):
        tape.tool("read", told.format(n=n) if isinstance(told, str) else told, part=n)
    assert [] == feed(tape.spans)


def test_a_busy_service_may_say_so_in_a_result() -> None:
    """What passes of itself is tried again by careful programs, however it is told."""
    tape = Tape()
    for told in ("Error: 429 too many requests", "Error: 429 too many requests", "the text"):
        tape.tool("fetch", told, page=1)
    assert [] == feed(tape.spans)
