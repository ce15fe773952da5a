"""The review brain: each rule on a fault and on its clean twin, and on code that is known to be clean or planted."""

from __future__ import annotations

import random
import sys
import sysconfig
from functools import cache
from pathlib import Path

import pytest

from agent.offline.rules import Finding, examine, ruff
from tests.offline_cases import CASES
from tests.planted import clean_modules, hits, plant


def marked(code: str) -> int:
    return next(number for number, line in enumerate(code.splitlines(), start=1) if line.endswith("# here"))


@cache
def of_case(name: str) -> tuple[Finding, ...]:
    """What is found in the faulty one of a pair."""
    return examine("module.py", CASES[name][0]).findings


@pytest.mark.parametrize("name", CASES)
def test_fault_is_named_at_its_line(name: str) -> None:
    """The rule finds its fault, at the line where it is."""
    code = CASES[name][0]
    told = [(finding.rule, finding.line) for finding in of_case(name)]
    assert (name.split()[0], marked(code)) in told


@pytest.mark.parametrize("name", CASES)
def test_clean_twin_is_left_alone(name: str) -> None:
    """The same code done right gets no finding at all."""
    assert () == examine("module.py", CASES[name][1]).findings


def test_a_call_over_several_lines_is_told_once() -> None:
    """Two rules that see the same fault name the same line, where the call begins, and count as one."""
    code = "import subprocess\n\n\ndef run(it):\n    subprocess.run(\n        it,\n        shell=True,\n        check=True,\n    )\n"
    told = [finding.line for finding in examine("module.py", code).findings if finding.rule == "shell-injection"]
    assert [5] == told


def test_annotations_that_name_what_comes_later() -> None:
    """They are a fault up to Python 3.13, which evaluates them at once, and none under the one that asks."""
    found = examine("module.py", "def plant() -> Tree:\n    return Tree()\n\n\nclass Tree: ...\n").findings
    assert (["undefined-name"] if sys.version_info < (3, 14) else []) == [finding.rule for finding in found]


def test_a_package_may_export_what_is_beside_it() -> None:
    """`__all__` of an `__init__.py` names submodules too; that of any other file has to define what it names."""
    told = [
        [finding.rule for finding in examine(name, '__all__ = ["beside"]\n').findings]
        for name in ("p/__init__.py", "p/a.py")
    ]
    assert [[], ["undefined-export"]] == told


def test_what_calls_share_is_as_bad_as_what_becomes_of_it() -> None:
    """A default that is only read is harmless, one that is handed on worth a hint, one given out a danger, else a fault."""
    bodies = ("for x in a:\n        print(x)", "print(a)", "return a", "a.append(1)")
    told = [
        [finding.severity for finding in examine("a.py", f"def f(a=[]):\n    {body}\n").findings] for body in bodies
    ]
    assert [[], ["info"], ["warning"], ["error"]] == told


def test_an_error_may_be_dropped_where_nobody_could_take_it() -> None:
    """What `__del__` lets out Python would only print; any other function that drops it hides it."""
    code = "def {}(self):\n    try:\n        self.close()\n    except Exception:\n        pass\n"
    told = [[finding.rule for finding in examine("a.py", code.format(name)).findings] for name in ("__del__", "stop")]
    assert [[], ["swallowed-exception"]] == told


@pytest.mark.parametrize("name", CASES)
def test_message_says_what_is_at_hand(name: str) -> None:
    """A message quotes the code it is about: no finding is canned."""
    code = CASES[name][0]
    message = next(f.message for f in of_case(name) if f.line == marked(code))
    quoted = [part for part in message.split("`")[1::2] if any(word in code for word in part.strip("(){}").split())]
    assert quoted


def test_clean_modules_get_at_most_one_finding() -> None:
    """Twelve realistic clean modules, one false alarm at the most."""
    found = [
        (path.name, f.line, f.rule) for path in clean_modules() for f in examine(path.name, path.read_text()).findings
    ]
    assert [] == found[1:]


def test_planted_faults_are_named_at_the_right_line() -> None:
    """Of 20 files with one planted fault each at least 16, whatever the seed."""
    for seed in (1, 2, 3):
        named = sum(hit for _, hit in hits(plant(seed, 20, each_once=True)))
        assert named >= 16, seed


def test_standard_library_is_mostly_left_alone() -> None:
    """Of 25 short modules of the standard library, drawn with a seed, nearly all get no finding."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    names = ("bisect", "heapq", "colorsys", "fnmatch", "string", "keyword", "queue", "sched", "graphlib", "contextlib")
    short = [folder / f"{name}.py" for name in names if (folder / f"{name}.py").exists()]
    rest = [*sorted((folder / "json").glob("*.py")), *sorted((folder / "collections").glob("*.py"))]
    chosen = random.Random(1).sample(short + rest, min(12, len(short + rest)))
    alarmed = [path.name for path in chosen if len(examine(path.name, path.read_text()).findings) > 1]
    assert [] == alarmed


def test_noqa_silences_a_line() -> None:
    """What the author marked is not brought up again."""
    assert () == examine("module.py", "def add(item, box=[]):  # noqa: B006\n    box.append(item)\n").findings


def test_text_that_is_no_python_is_said_to_be_none() -> None:
    """No findings are made up about a file of another kind."""
    verdict = examine("notes.txt", "buy milk\n")
    assert ((), True) == (verdict.findings, "not Python" in verdict.notes[0])


def test_a_rule_that_stumbles_keeps_the_others_going(monkeypatch: pytest.MonkeyPatch) -> None:
    """Odd code that one rule cannot take does not cost the findings of the others."""

    def stumble(source: object) -> object:
        raise RecursionError("too deep")

    import agent.offline.rules as brain

    monkeypatch.setattr(brain, "rules", (stumble, *brain.rules))
    verdict = examine("module.py", CASES["division-by-zero"][0])
    assert ["division-by-zero"] == [finding.rule for finding in verdict.findings]
    assert "could not be applied" in verdict.notes[0]


def test_without_ruff_the_own_rules_still_speak(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing ruff is noted, and the rules of our own go on."""
    monkeypatch.setattr(ruff, "binary", lambda: None)
    verdict = examine("module.py", CASES["mutable-default"][0])
    assert ["mutable-default"] == [finding.rule for finding in verdict.findings]
    assert "ruff is not installed" in verdict.notes[0]
