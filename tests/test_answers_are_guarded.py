"""Faults planted in the critical path and in `why`: for each of them the tests of these files must fail.

A test that passes whatever the code does proves nothing. Each fault is one that such code is apt to have.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from instrument.analysis import critical_path, why
from instrument.analysis.why import expensive, failed, slow
from tests import test_critical_path, test_why

PATH_FAULTS = {
    "overlapping children count twice": ("if begin < end <= now:", "if begin < end:"),
    "the longest child, not the last to end": ("(child.end_ns, -child.start_ns)", "(child.duration_ns,)"),
    "the last to begin, not the last to end": ("(child.end_ns, -child.start_ns)", "(child.start_ns,)"),
    "of those that end together the shortest": ("(child.end_ns, -child.start_ns)", "(child.end_ns, child.start_ns)"),
    "time after the last child is lost": ("            if end < now:\n", "            if False:\n"),
    "time before the first child is lost": ("    if start < now:\n", "    if False:\n"),
    "only one child is looked at": ("            now = begin\n", "            now = begin\n            break\n"),
    "children may begin before their parent": (
        "begin, end = max(child.start_ns, start), ", "begin, end = child.start_ns, "
    ),
    "what was left running is waited for": ("return _seen_end(child, parent) <= parent.end_ns", "return True"),
    "clocks are trusted to the nanosecond": ("SKEW_NS = 5_000_000", "SKEW_NS = 0"),
    "a late child of this process is forgiven": ("if child.run != parent.run and limit", "if limit"),
    "a generator hides what runs beside it": (
        "    return isinstance(span.output, list) and", "    return False and"
    ),
    "the list that a tool gave is a generator": (" and span.kind not in NEVER_SUSPENDED", ""),
    "what was taken away still takes its time": ("0 if span.span_id in gone else ", ""),
    "what goes saves its whole time": (
        "    return took[path.root.span_id]\n",
        ("    every = [one for held in children.values() for one in held]\n"
        "    return path.duration_ns - sum(one.duration_ns for one in every if one.span_id in gone)\n"),
    ),
    "branches are played one after the other": ("while running and running[0][0] <= begin:", "while running:"),
    "the last branch counts, not the longest": (
        "last_end, new_end = max(last_end, ended), max(new_end, anew)\n    return",
        "last_end, new_end = max(last_end, ended), anew\n    return",
    ),
    "the shortest comes first": ("key=lambda item: -item[1]))", "key=lambda item: item[1]))"),
}  # fmt: skip
WHY_FAULTS = {
    "what ran most often is to blame": ("-sum(item[1].values())", "-len(item[1])"),
    "what took the longest outside of the path too": ("path.self_times().items()", "{s.span.span_id: s.span.duration_ns for s in path.stretches}.items()"),
    "it saves what it took": ("whole - shortest_without(path, times.keys())", "took"),
    "own time is told as calls": ("if cause.leaves is None:", "if cause.leaves is not None:"),
    "failed calls cost no time": ('stretch.span.status == "error" and', "False and"),
    "calls without a price weigh nothing": ("Decimal(_tokens(call)) / 1_000_000", "Decimal(0)"),
    "the cheapest call stands out": ("return max(calls, key=weight)", "return min(calls, key=weight)"),
    "the model with the least of the money": (
        "name, most = max(groups.items()", "name, most = min(groups.items()"
    ),
    "prompts that shrink are told": ("before < after for", "before > after for"),
    "prompts that only differ are told": (" and rises >= RISING * (len(sizes) - 1)", ""),
    "a full cache is missed": ("spent.cached < spent.input / 10", "spent.cached > spent.input / 10"),
    "unknown prices are hidden": ("    if spent.unpriced:", "    if False:"),
    "reasoning is never too much": ("if spent.reasoning > spent.output / 2:", "if False:"),
    "an exception began where it was caught": ("        passed.append(inside[-1])", "        return passed"),
    "what ended the run was survived": ("span.span_id not in fatal and", ""),
    "a failure passed on counts again": (" and _ways(trace, span) == [[span]]", ""),
    "what never ended is fine": ("elif root.status in UNENDED:", 'elif root.status == "never":'),
    "cancelled is fine": ('elif root.status == "cancelled":', 'elif root.status == "never":'),
    "slowness is told as money": (
        'OF_TIME = frozenset({"slow", "stalled"})', 'OF_TIME = frozenset({"slow"})'
    ),
    "times that are not known are told": ("if not is_timed(trace.root):", "if False:"),
}  # fmt: skip


def with_fault(module: ModuleType, fault: tuple[str, str]) -> ModuleType:
    """The module as it were with the fault in its text."""
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    old, new = fault
    assert 1 == source.count(old), f"{old!r} is not in {module.__name__} once: plant the fault elsewhere"
    faulty = ModuleType(f"{module.__name__}_with_fault")
    sys.modules[faulty.__name__] = faulty  # structs look their module up
    try:
        exec(compile(source.replace(old, new), str(module.__file__), "exec"), faulty.__dict__)
    finally:
        del sys.modules[faulty.__name__]
    return faulty


def proofs(of: ModuleType) -> Iterator[Callable[[], Any]]:
    """The tests of a file that need nothing, those with answers that can be seen first: they are the fastest."""
    tests = [test for name, test in vars(of).items() if name.startswith("test_") and not fixtures(test)]
    return iter(sorted(tests, key=lambda test: hasattr(test, "hypothesis")))


def fixtures(test: Callable[..., Any]) -> list[str]:
    """The parameters of a test that pytest would fill in."""
    return [] if hasattr(test, "hypothesis") else list(inspect.signature(test).parameters)


def fails(test: Callable[[], Any]) -> bool:
    """Whether the test fails."""
    try:
        test()
    except BaseException as failure:
        if isinstance(failure, KeyboardInterrupt | SystemExit):
            raise
        return True
    return False


def plant_in_path(fault: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tests of the critical path meet it with the fault."""
    faulty = with_fault(critical_path, fault)
    for function in ("critical_path", "shortest_without"):
        monkeypatch.setattr(test_critical_path, function, getattr(faulty, function))


def plant_in_why(fault: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tests of `why` meet the part with the fault."""
    part = next((part for part in (slow, expensive, failed) if fault[0] in inspect.getsource(part)), None)
    if part is None:
        monkeypatch.setattr(test_why, "why", with_fault(why, fault).why)
    else:
        monkeypatch.setattr(part, "reasons", with_fault(part, fault).reasons)


@pytest.mark.parametrize("name", PATH_FAULTS)
def test_faults_of_the_critical_path_are_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some test of the critical path fails."""
    plant_in_path(PATH_FAULTS[name], monkeypatch)
    assert any(fails(test) for test in proofs(test_critical_path))


@pytest.mark.parametrize("name", WHY_FAULTS)
def test_faults_of_why_are_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some test of `why` fails."""
    plant_in_why(WHY_FAULTS[name], monkeypatch)
    assert any(fails(test) for test in proofs(test_why)) or fails_with_detectors()


@pytest.mark.parametrize(
    ("plant", "kept", "proving"),
    [
        (plant_in_path, "SKEW_NS = 5_000_000", test_critical_path),
        (plant_in_why, "WORTH_SAVING = 0.001", test_why),
        (plant_in_why, "GROWN = 2.0", test_why),
        (plant_in_why, "MOST_NAMES = 6", test_why),
        (plant_in_why, 'OF_TIME = frozenset({"slow", "stalled"})', test_why),
    ],
)
def test_it_is_the_fault_that_is_caught(
    plant: Callable[..., None], kept: str, proving: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where what is planted is what stood there no test fails: not because of how it was planted."""
    plant((kept, kept), monkeypatch)
    assert [] == [test.__name__ for test in proofs(proving) if fails(test)]


def fails_with_detectors() -> bool:
    """Whether the test that is run once for each detector fails for one of them."""
    cases = test_why.test_findings_answer_their_question.pytestmark[0].args[1]
    return any(fails(lambda case=case: test_why.test_findings_answer_their_question(*case)) for case in cases)
