"""Patches and tests: every test really fails on the faulty file and passes on the patched one."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.offline.edits import Edit, applied, patch_of
from agent.offline.repair import with_repairs
from agent.offline.rules import Finding, examine, parse
from tests.programs import python

FAULTY = {
    "mean.py": '''"""Means."""


def mean(values):
    """The mean."""
    return sum(values) / len(values)


class Meter:
    def __init__(self):
        self.total = 0
        self.count = 0

    def mean(self):
        return self.total / self.count


def ratio(part: float, whole: float) -> float:
    return part / whole
''',
    "basket.py": '''"""Baskets."""


def add(item: str, basket: list[str] = [], *, seen={}) -> list[str]:
    """Put an item in."""
    basket.append(item)
    return basket


class Shelf:
    def fill(self, item, places=[]):
        places.append(item)
        return places
''',
    "walk.py": '''"""Walking over lists."""


def doubled(numbers: list[int]) -> list[int]:
    result = []
    for index in range(len(numbers) + 1):
        result.append(numbers[index] * 2)
    return result


def position(items, wanted):
    index = 0
    while index <= len(items):
        if items[index] == wanted:
            return index
        index += 1
    return -1


def last(items):
    return items[len(items)]
''',
    "users.py": '''"""Users in a database."""

import sqlite3


def find(connection, name):
    cursor = connection.cursor()
    cursor.execute(f"SELECT id FROM users WHERE name = '{name}'")
    return cursor.fetchall()


def starting(path, prefix, limit):
    connection = sqlite3.connect(path)
    query = "SELECT id FROM users WHERE name LIKE '%s%%' LIMIT %d" % (prefix, limit)
    rows = connection.execute("SELECT id FROM users WHERE name = '" + prefix + "'").fetchall()
    connection.close()
    return rows


class Users:
    def __init__(self, connection):
        self.connection = connection

    def remove(self, name):
        query = """
            DELETE FROM users
            WHERE name = '{}' AND active = 1
        """.format(name)
        self.connection.execute(query)
''',
    "checks.py": '''"""Checks."""


def is_admin(role):
    return role is "admin"


def half(number):
    assert (number % 2 == 0, "odd")
    return number // 2
''',
}
KINDS = {"division-by-zero", "mutable-default", "off-by-one", "sql-injection", "is-literal", "assert-on-tuple"}


def mendable(name: str) -> list[Finding]:
    return [finding for finding in with_repairs(examine(name, FAULTY[name])) if finding.patch and finding.test]


def run_tests(folder: Path) -> dict[str, bool]:
    """Whether each test file in a folder passes."""
    words = "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rA", "--rootdir", folder, folder
    told = python(*words, cwd=folder, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1").stdout
    lines = [line.split() for line in told.splitlines() if line.startswith(("PASSED ", "FAILED ", "ERROR "))]
    return {Path(words[1].split("::")[0]).name: words[0] == "PASSED" for words in lines}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bool], dict[str, bool], list[Finding]]:
    """The tests of all mendable faults, run before and after their patches."""
    folder = tmp_path_factory.mktemp("faulty")
    found = []
    for name, text in FAULTY.items():
        (folder / name).write_text(text)
        for finding in mendable(name):
            found.append(finding)
            (folder / f"test_{Path(name).stem}_{finding.line}_{len(found)}.py").write_text(finding.test or "")
    before = run_tests(folder)
    for name in FAULTY:
        text = (folder / name).read_text()
        for finding in mendable(name):
            old, new = finding.patch or ("", "")
            text = text.replace(old, new, 1)
        (folder / name).write_text(text)
    return before, run_tests(folder), found


def test_every_test_fails_before(runs: tuple[dict[str, bool], dict[str, bool], list[Finding]]) -> None:
    """A test that passes on the faulty file would show nothing."""
    before, _, found = runs
    assert len(found) == len(before)
    assert [] == [name for name, passed in before.items() if passed]


def test_every_test_passes_after(runs: tuple[dict[str, bool], dict[str, bool], list[Finding]]) -> None:
    """The patch mends what the test shows."""
    _, after, _ = runs
    assert [] == [name for name, passed in after.items() if not passed]


def test_these_kinds_have_a_patch_and_a_test(runs: tuple[dict[str, bool], dict[str, bool], list[Finding]]) -> None:
    """Division, defaults, bounds, SQL, identity and asserts can be shown and mended."""
    assert KINDS == {finding.rule for finding in runs[2]}


@pytest.mark.parametrize("name", FAULTY)
def test_old_text_occurs_once(name: str) -> None:
    """A patch can only be applied where its old text is unique."""
    assert {1} == {FAULTY[name].count(finding.patch[0]) for finding in mendable(name) if finding.patch}


@pytest.mark.parametrize("name", FAULTY)
def test_fault_is_gone_after_its_patch(name: str) -> None:
    """The review of the patched file does not name the fault again."""
    for finding in mendable(name):
        old, new = finding.patch or ("", "")
        again = examine(name, FAULTY[name].replace(old, new, 1)).findings
        assert (finding.rule, finding.message) not in {(other.rule, other.message) for other in again}


def test_bare_except_is_patched_without_a_test() -> None:
    """Where no test can show the fault there is still a patch."""
    text = "def number(text):\n    try:\n        return int(text)\n    except:\n        return 0\n"
    [finding] = with_repairs(examine("number.py", text))
    assert (("    except:", "    except (TypeError, ValueError):"), None) == (finding.patch, finding.test)


@pytest.mark.parametrize(
    "text",
    [
        "def f(a, b):\n    return a / b if a else 0\n",
        "def f(a, b):\n    return a and a / b\n",
        "def f(items, b):\n    return [item / b for item in items]\n",
        "def f(b):\n    return lambda a: a / b\n",
    ],
)
def test_a_check_never_stands_before_a_division_that_may_not_happen(text: str) -> None:
    """It would refuse calls that go well: such a fault is told and left to people."""
    assert [None] == [finding.patch for finding in with_repairs(examine("a.py", text))]


def test_a_default_made_of_names_is_left_where_it_is() -> None:
    """`lines = [lines]` inside the function would read the parameter itself, not what was meant."""
    text = "lines = 3\n\n\ndef f(lines=[lines]):\n    lines.append(1)\n    return lines\n"
    assert [None] == [finding.patch for finding in with_repairs(examine("a.py", text))]


def test_a_file_of_very_many_faults_gets_fifty_patches() -> None:
    """Each patch is tried on the whole file: three thousand would take minutes."""
    text = "\n".join(f"def f{number}(a, b):\n    return a / b\n" for number in range(60))
    found = with_repairs(examine("a.py", text))
    assert (60, 50) == (len(found), sum(finding.patch is not None for finding in found))


def test_table_names_are_not_made_placeholders() -> None:
    """No database takes a placeholder for a name of a table: there is a finding, but no patch."""
    text = 'def count(db, table):\n    return db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()\n'
    [finding] = with_repairs(examine("count.py", text))
    assert ("sql-injection", None) == (finding.rule, finding.patch)


def test_patch_is_widened_until_it_is_unique() -> None:
    """Text that occurs twice is given with as many lines around it as it takes."""
    source = parse("x.py", "def a(p):\n    return 1\n\n\ndef b(p):\n    return 1\n")
    patch = patch_of(source, [Edit((6, 11), (6, 12), "2")])
    assert patch is not None
    assert 1 == source.text.count(patch[0])
    assert source.text.replace(*patch) == "def a(p):\n    return 1\n\n\ndef b(p):\n    return 2\n"


def test_patch_that_would_break_the_file_is_not_given() -> None:
    """What would no longer parse is no patch."""
    assert patch_of(parse("x.py", "a = 1\n"), [Edit((1, 4), (1, 5), "(")]) is None


def test_edits_may_add_lines_and_stand_on_one_line() -> None:
    """Several edits of one text are made from the last to the first."""
    edits = [Edit((1, 0), (1, 1), "x"), Edit((1, 4), (1, 5), "2"), Edit((2, 0), (2, 0), "c = 3\n")]
    assert ["x = 2", "c = 3", "b = 1"] == applied(["a = 1", "b = 1"], edits)
