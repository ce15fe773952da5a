"""For each rule a fault, whose line ends in `# here`, and its clean twin."""

from __future__ import annotations

CASES: dict[str, tuple[str, str]] = {
    "division-by-zero": (
        """
def mean(values):
    return sum(values) / len(values)  # here
""",
        """
def mean(values):
    if not values:
        return 0
    return sum(values) / len(values)
""",
    ),
    "division-by-zero parameter": (
        """
def share(part, whole):
    return part / whole  # here
""",
        """
def share(part, whole):
    return part / whole if whole else 0
""",
    ),
    "division-by-zero counter": (
        """
def mean(lines):
    n = 0
    for line in lines:
        n += 1
    return 100 / n  # here
""",
        """
def mean(lines):
    n = 0
    for line in lines:
        n += 1
    return 100 / max(n, 1)
""",
    ),
    "division-by-zero caught": (
        """
def share(part, whole: float):
    return part / whole  # here
""",
        """
def share(part, whole: float):
    try:
        return part / whole
    except ZeroDivisionError:
        return 0
""",
    ),
    "missing-f-prefix of what is not translated": (
        """
def refuse(args):
    raise ValueError("unexpected arguments ({args})")  # here
""",
        """
def refuse(args, ngettext):
    raise ValueError(ngettext("unexpected argument ({args})", "unexpected arguments ({args})", len(args)).format(args=args))
""",
    ),
    "not-called with no parameter of that name": (
        """
def same(steps):
    return steps


def pattern(steps):
    def inject(step):
        return step if same else steps  # here

    return inject
""",
        """
def same(steps):
    return steps


def pattern(steps, same):
    def inject(step):
        return step if same else steps

    return inject
""",
    ),
    "unknown-attribute of a whole class": (
        """
class Reader:
    def __init__(self):
        self.place = 0

    def read(self):
        return self.plaec, self.place  # here
""",
        """
class Reader:
    def __init__(self):
        self.place = 0

    def read(self):
        return self.peek(), self.forward(), self.mark(), self.place
""",
    ),
    "shadowed-loop-variable of two ranges": (
        """
def table(rows, columns):
    for i in range(rows):
        for i in range(columns):  # here
            print(i)
""",
        """
def table(rows):
    for i, row in enumerate(rows):
        if i:
            print()
        for i, cell in enumerate(row):
            print(i, cell)
""",
    ),
    "missing-self of one class alone": (
        """
class Lexer:
    def tokens(self):
        return []

    def likely(text):  # here
        return text.count("{")
""",
        """
class Lexer:
    def tokens(self):
        return []

    def likely(text):
        return text.count("{")


class Other(Lexer):
    def tokens(self):
        return [1]

    def likely(text):
        return text.count("<")
""",
    ),
    "missing-super-init of what is used": (
        """
class Task:
    def __init__(self, work):
        self.work = work

    def run(self):
        return self.work()


class Tasks(Task):
    def __init__(self, tasks):  # here
        self.tasks = tasks
""",
        """
class Task:
    def __init__(self, work):
        self.work = work

    def run(self):
        return self.work()


class Tasks(Task):
    def __init__(self, tasks):
        self.tasks = tasks

    def run(self):
        return [task.run() for task in self.tasks]
""",
    ),
    "off-by-one in a while that looks first": (
        """
def last(text):
    end = 0
    while end <= len(text):  # here
        character = text[end]
        end += 1
    return character
""",
        """
def last(text):
    end = 0
    character = None
    while end <= len(text):
        if end < len(text):
            character = text[end]
        end += 1
    return character
""",
    ),
    "missing-await in the class itself": (
        """
class Tracer:
    async def told(self, run):
        return run

    def start(self, run):
        self.told(run)  # here
""",
        """
class Tracer:
    def start(self, run):
        self.told(run)


class AsyncTracer(Tracer):
    async def told(self, run):
        return run
""",
    ),
    "missing-await of what holds a generator": (
        """
async def stored(rows):
    def numbered():
        yield from enumerate(rows)
        yield "end", None

    return dict(numbered())


async def main(rows):
    stored(rows)  # here
    return len(rows)
""",
        """
async def stored(rows):
    def numbered():
        yield from enumerate(rows)
        yield "end", None

    return dict(numbered())


async def main(rows):
    await stored(rows)
    return len(rows)
""",
    ),
    "missing-return beside what never returns": (
        """
def number(scanner) -> int:  # here
    if scanner.ready:
        return 1
    scanner.skip_one()
""",
        """
from typing import NoReturn


class Scanner:
    ready = False

    def reject(self) -> "NoReturn":
        self.stop("not expected here")

    def stop(self, why: str) -> NoReturn:
        raise ValueError(why)


def number(scanner: Scanner) -> int:
    if scanner.ready:
        return 1
    scanner.reject()
""",
    ),
    "division-by-zero of what may be an array": (
        """
import numpy as np


def scaled(values, by: float):
    return np.asarray(values) / by  # here
""",
        """
import numpy as np


def scaled(values, by):
    return np.asarray(values) / by
""",
    ),
    "inverted-guard": (
        """
def mean(values):
    if values:  # here
        return 0
    return sum(values) / len(values)
""",
        """
def size(box):
    if box is None:
        return 0
    return box.size
""",
    ),
    "inverted-guard none": (
        """
def size(box):
    if box is not None:  # here
        return 0
    return box.size
""",
        """
def size(box):
    if box is None:
        box = make()
    return box.size


def make():
    return object
""",
    ),
    "off-by-one": (
        """
def show(items):
    for i in range(len(items) + 1):  # here
        print(items[i])
""",
        """
def show(items):
    for i in range(len(items)):
        print(items[i])
""",
    ),
    "off-by-one pairs": (
        """
def steps(items):
    for i in range(len(items)):
        print(items[i + 1])  # here
""",
        """
def steps(items):
    for i in range(len(items) - 1):
        print(items[i + 1])
""",
    ),
    "off-by-one last": (
        """
def last(items):
    return items[len(items)]  # here
""",
        """
def last(items):
    return items[len(items) - 1]
""",
    ),
    "empty-collection": (
        """
def best(scores: list[int]) -> int:
    return max(scores)  # here
""",
        """
def best(scores: list[int]) -> int:
    return max(scores, default=0)
""",
    ),
    "mutable-default of a cache": (
        """
def counted(word, counts={}):  # here
    if word not in counts:
        counts[word] = 0
    counts[word] += 1
    return counts
""",
        """
def squared(number, cache={}):
    if number not in cache:
        cache[number] = number**2
    return cache[number]
""",
    ),
    "mutable-default of a counter": (
        """
def numbered(line, numbers=[0]):  # here
    numbers[0] += 1
    return numbers, line
""",
        """
def numbered(line, numbers=[0]):
    numbers[0] += 1
    return f"{numbers[0]} {line}"
""",
    ),
    "shared-class-attribute of a registry": (
        """
class Shelf:
    books = []  # here

    def add(self, book):
        self.books.append(book)
""",
        """
class Shelf:
    books = []

    def add(self, book):
        self.books.append(book)


def clear():
    Shelf.books = []
""",
    ),
    "none-comparison outside of a query": (
        """
def open_orders(orders):
    return [order for order in orders if order.closed == None]  # here
""",
        """
def open_orders(session, order):
    return session.query(order).filter(order.closed == None).all()
""",
    ),
    "unknown-argument of a name imported over it": (
        """
def main(path):
    return path


if __name__ == "__main__":
    main("tests", verbosity=2)  # here
""",
        """
def main(path):
    return path


if __name__ == "__main__":
    from unittest import main

    main("tests", verbosity=2)
""",
    ),
    "unknown-attribute that a parser sets": (
        """
class Options:
    def __init__(self, parser):
        self.parser = parser
        parser.parse_args([])

    def wanted(self):
        return self.tests  # here
""",
        """
class Options:
    def __init__(self, parser):
        self.parser = parser
        parser.parse_args([], self)

    def wanted(self):
        return self.tests
""",
    ),
    "shell-injection of a constant": (
        """
import os


def page(path):
    return hasattr(os, "system") and os.system("less " + path) == 0  # here
""",
        """
import os


def has_less():
    return hasattr(os, "system") and os.system("(less) 2>/dev/null") == 0
""",
    ),
    "undefined-name of what is deleted last": (
        """
def table():
    return size * 2  # here
""",
        """
size = 2


def table():
    return size * 2


doubled = table()
del size
""",
    ),
    "redefinition by a function of itself": (
        """
def page(text):
    return text


def page(text):  # here
    return print(text)
""",
        """
def page(text):
    global page
    page = print
    page(text)
""",
    ),
    "bad-environment-default of a number": (
        """
import os

lines = os.environ.get("LINES", 24)  # here
""",
        """
import os

lines = int(os.environ.get("LINES", 24))
""",
    ),
    "mutable-default": (
        """
def add(item, box=[]):  # here
    box.append(item)
    return box
""",
        """
def add(item, box=None):
    box = box or []
    box.append(item)
    return box
""",
    ),
    "shared-mutable": (
        """
def grid(n):
    return [[0] * n] * n  # here
""",
        """
def grid(n):
    return [[0] * n for _ in range(n)]
""",
    ),
    "shared-class-attribute": (
        """
class Box:
    items = []  # here

    def add(self, item):
        self.items.append(item)
""",
        """
class Box:
    def __init__(self):
        self.items = []

    def add(self, item):
        self.items.append(item)
""",
    ),
    "bare-except": (
        """
def number(text):
    try:
        return int(text)
    except:  # here
        return 0
""",
        """
def number(text):
    try:
        return int(text)
    except ValueError:
        return 0
""",
    ),
    "exception-order": (
        """
def number(text):
    try:
        return int(text)
    except Exception as e:
        raise OSError from e
    except ValueError:  # here
        return 0
""",
        """
def number(text):
    try:
        return int(text)
    except ValueError:
        return 0
    except Exception as e:
        raise OSError from e
""",
    ),
    "is-literal": (
        """
def check(x):
    return x is 'a'  # here
""",
        """
def check(x):
    return x is None
""",
    ),
    "none-comparison": (
        """
def check(x):
    return x == None  # here
""",
        """
def check(x):
    return x is None
""",
    ),
    "float-equality": (
        """
def check(x):
    return x == 0.1  # here
""",
        """
def check(x):
    return x == 0.5
""",
    ),
    "always-true": (
        """
def check(x):
    if x == 'a' or 'b':  # here
        return 1
    return 0
""",
        """
def check(x):
    if x == 'a' or x == 'b':
        return 1
    return 0
""",
    ),
    "unreachable-branch": (
        """
def mark(x):
    if x > 50:
        return 1
    elif x > 90:  # here
        return 2
    return 3
""",
        """
def mark(x):
    if x > 90:
        return 2
    elif x > 50:
        return 1
    return 3
""",
    ),
    "sql-injection": (
        """
def find(db, name):
    return db.execute(f"SELECT * FROM t WHERE name = '{name}'")  # here
""",
        """
def find(db, name):
    return db.execute("SELECT * FROM t WHERE name = ?", (name,))
""",
    ),
    "sql-injection constant": (
        """
def find(db, name):
    query = "SELECT * FROM t WHERE name = " + name  # here
    return db.execute(query)
""",
        """
TABLE = "t"


def find(db):
    return db.execute(f"SELECT * FROM {TABLE}")
""",
    ),
    "hard-coded-secret": (
        """
password = "hunter2-prod"  # here
""",
        """
import os

password = os.environ["PASSWORD"]
""",
    ),
    "resource-leak": (
        """
def text(path):
    file = open(path)  # here
    return file.read()
""",
        """
def text(path):
    with open(path) as file:
        return file.read()
""",
    ),
    "resource-leak handed on": (
        """
def lines(path):
    return open(path).readlines()  # here
""",
        """
def opened(path):
    file = open(path)
    return file
""",
    ),
    "use-after-close": (
        """
def text(path):
    with open(path) as file:
        head = file.readline()
    return head + file.read()  # here
""",
        """
def text(path):
    with open(path) as file:
        head = file.readline()
        return head + file.read()
""",
    ),
    "missing-return": (
        """
def double(x: int) -> int:  # here
    y = x * 2
    print(y)
""",
        """
def double(x: int) -> int:
    y = x * 2
    return y
""",
    ),
    "unreachable-code": (
        """
def double(x):
    return x * 2
    print(x)  # here
""",
        """
def numbers():
    return
    yield
""",
    ),
    "endless-recursion": (
        """
def down(n):
    return n + down(n - 1)  # here
""",
        """
def down(n):
    if n == 0:
        return 0
    return n + down(n - 1)
""",
    ),
    "infinite-loop": (
        """
def halve(n):
    while n > 1:  # here
        print(n)
""",
        """
def halve(n):
    while n > 1:
        n //= 2
""",
    ),
    "leaves-loop-at-once": (
        """
def total(xs):
    n = 0
    for x in xs:
        n += x
        return n  # here
    return n
""",
        """
def first(xs):
    for x in xs:
        return x
    return None
""",
    ),
    "changed-while-iterating to go on for ever": (
        """
def doubled(todo):
    for one in todo:
        todo.append(one * 2)  # here
""",
        """
def walked(todo, children):
    for one in todo:
        todo.extend(children(one))
        if one.parent:
            todo.append(one.parent)
""",
    ),
    "infinite-loop that fills nothing": (
        """
def filled(places, part, index):
    while len(places) <= index:  # here
        print(part)
""",
        """
def filled(places, part, index):
    while len(places[part]) <= index:
        places[part].append({})
""",
    ),
    "changed-while-iterating": (
        """
def clean(xs):
    for x in xs:
        if not x:
            xs.remove(x)  # here
""",
        """
def clean(xs):
    for x in list(xs):
        if not x:
            xs.remove(x)
""",
    ),
    "late-binding": (
        """
def adders(ns):
    return [lambda x: x + n for n in ns]  # here
""",
        """
def adders(ns):
    return [lambda x, n=n: x + n for n in ns]
""",
    ),
    "swapped-arguments": (
        """
def area(width, height):
    return width - height


def show(width, height):
    print(area(height, width))  # here
""",
        """
def area(width, height):
    return width - height


def show(width, height):
    print(area(width, height))
""",
    ),
    "missing-argument": (
        """
def area(width, height):
    return width * height


print(area(1))  # here
""",
        """
def area(width, height=1):
    return width * height


print(area(1))
""",
    ),
    "unused-result": (
        """
def tidy(text: str):
    text.strip()  # here
    return text
""",
        """
def tidy(text: str):
    text = text.strip()
    return text
""",
    ),
    "none-result": (
        """
def rank(xs):
    xs = xs.sort()  # here
    return xs
""",
        """
def rank(xs):
    xs = sorted(xs)
    return xs
""",
    ),
    "missing-self": (
        """
class Box:
    def size():  # here
        return self.n
""",
        """
class Box:
    @staticmethod
    def size():
        return 1
""",
    ),
    "unknown-attribute": (
        """
class Box:
    def __init__(self):
        self.total = 0

    def get(self):
        return self.totla  # here
""",
        """
class Box:
    def __init__(self):
        self.total = 0

    def get(self):
        return self.total
""",
    ),
    "text-plus-number": (
        """
def label(xs):
    return 'n: ' + len(xs)  # here
""",
        """
def label(xs):
    return 'n: ' + str(len(xs))
""",
    ),
    "missing-f-prefix": (
        """
def greet(name):
    return 'hello {name}'  # here
""",
        """
def greet(name):
    return 'hello {name}'.format(name=name)
""",
    ),
    "missing-await": (
        """
async def work():
    return 1


async def main():
    work()  # here
""",
        """
async def work():
    return 1


async def main():
    await work()
""",
    ),
    "shadowed-builtin": (
        """
def spread(values):
    max = 0  # here
    for value in values:
        if value > max:
            max = value
    return max(values) - max
""",
        """
def highest(values):
    max = 0
    for value in values:
        if value > max:
            max = value
    return max
""",
    ),
    "missing-global": (
        """
count = 0


def bump():
    count += 1  # here
""",
        """
count = 0


def bump():
    global count
    count += 1
""",
    ),
    "lost-swap": (
        """
def swap(p):
    a, b = p
    a = b
    b = a  # here
    return a, b
""",
        """
def swap(p):
    a, b = p
    a, b = b, a
    return a, b
""",
    ),
    "syntax-error": (
        """
def f(x)  # here
    return x
""",
        """
def f(x):
    return x
""",
    ),
    "shell-injection": (
        """
import os


def remove(path):
    os.system('rm ' + path)  # here
""",
        """
import subprocess


def remove(path):
    subprocess.run(['rm', path], check=True)
""",
    ),
    "undefined-name": (
        """
def area(width):
    return widht * 2  # here
""",
        """
def area(width):
    return width * 2
""",
    ),
    "redefinition": (
        """
def one():
    return 1


def one():  # here
    return 2
""",
        """
def one():
    return 1


def two():
    return 2
""",
    ),
    "slow-pattern": (
        r"""
import re

words = re.compile(r"^(\w+\s?)+$")  # here
""",
        r"""
import re

words = re.compile(r"^\w+(?:\s\w+)*$")
numbers = re.compile(r"(\d+,)+;")
any_text = re.compile(r"(\w+)+")
""",
    ),
    "slow-pattern of a whole text": (
        r"""
import re


def is_host(text):
    return re.fullmatch(r"(?:[a-z]+\.?)*", text)  # here
""",
        r"""
import re


def is_host(text):
    return re.fullmatch(r"(?:[a-z]++\.?)*", text)
""",
    ),
    "check-then-use": (
        """
import os


def make(folder):
    if not os.path.exists(folder):  # here
        os.makedirs(folder)
""",
        """
import os


def make(folder, backup):
    os.makedirs(folder, exist_ok=True)
    if not os.path.exists(folder):
        os.makedirs(backup)
""",
    ),
    "check-then-use of a path": (
        """
def forget(path):
    if path.exists():  # here
        path.unlink()
""",
        """
def forget(path):
    if path.exists():
        path.unlink(missing_ok=True)
""",
    ),
    "check-then-use of a new file": (
        """
import os


def begin(path, text):
    if not os.path.exists(path):  # here
        with open(path, "w") as file:
            file.write(text)
""",
        """
import os


def begin(path, text):
    if os.path.exists(path):
        with open(path, "w") as file:
            file.write(text)
""",
    ),
    "naive-datetime": (
        """
from datetime import datetime


def stamp():
    return datetime.utcnow().isoformat()  # here
""",
        """
from datetime import UTC, datetime


def stamp():
    return datetime.now(UTC).isoformat()
""",
    ),
    "off-by-one of windows": (
        """
def windows(items, size):
    return [items[i : i + size] for i in range(len(items) - size)]  # here
""",
        """
def pairs(items, size):
    return [(items[i : i + size], items[i + size]) for i in range(len(items) - size)]
""",
    ),
    "mutable-default that is handed on": (
        """
def show(title, rows=[]):  # here
    draw(title, rows)


def draw(title, rows):
    print(title, rows)
""",
        """
def show(title, rows=[], names=[]):
    print(title, ", ".join(names))
    for row in rows:
        print(row)
""",
    ),
    "bare-except that raises again": (
        """
def run(work):
    try:
        return work()
    except:  # here
        print("failed")
""",
        """
def run(work, ignore):
    try:
        return work()
    except:
        if not ignore:
            raise
""",
    ),
    "lock-not-released": (
        """
def add(total, lock):
    lock.acquire()  # here
    return total + 1
""",
        """
def drain(queue):
    queue.read_lock.acquire()
    return list(queue.items)


class Job:
    def begin(self):
        self.lock.acquire()

    def end(self):
        lock = self.lock
        lock.release()
""",
    ),
    "division-by-zero of a public function": (
        """
def share(part: int, whole: int) -> float:
    return part / whole  # here
""",
        """
def _share(part: int, whole: int) -> float:
    return part / whole
""",
    ),
    "changed-while-iterating a dict": (
        """
def clean(table):
    for key in table.keys():
        if not table[key]:
            del table[key]  # here
""",
        """
from email.message import Message


def clean(text):
    message = Message()
    message.set_payload(text)
    for name in message.keys():
        if name.startswith("X-"):
            del message[name]
    return message
""",
    ),
    "unreachable-code after a try": (
        """
def read(path):
    try:
        return path.read_text()
    finally:
        print("read")
    print("done")  # here
""",
        """
def read(path, lifecycle):
    try:
        path.read_text()
    finally:
        lifecycle.exit()
    print("done")


def settled(path):
    try:
        return path.read_text()
    finally:
        print("read")
    raise AssertionError("unreachable")
""",
    ),
    "infinite-loop over a list": (
        """
def wait(queue):
    answers = []
    while not answers:  # here
        queue.turn()
""",
        """
def wait(queue):
    answers = []
    queue.send(("hello", answers))
    while not answers:
        queue.turn()
""",
    ),
    "shell-injection of a name": (
        """
import subprocess


def version(name):
    return subprocess.run([name, "--version"], shell=True)  # here
""",
        """
import subprocess


def version():
    for name in ["npx.cmd", "npx"]:
        subprocess.run([name, "--version"], shell=True)
""",
    ),
    "unused-import": (
        """
import json  # here
import os


def here():
    return os.getcwd()
""",
        """
from json import JSONDecodeError
from urllib.parse import quote, unquote, urljoin, urlparse
""",
    ),
    "always-false": (
        """
def report(lines, debug):
    if debug and False:  # here
        print(lines)
    return lines
""",
        """
def report(lines, debug):
    if 0 and debug:
        print(lines)
    return lines
""",
    ),
    "missing-f-prefix of a parameter": (
        """
def remove(name):
    print("removing {name}")  # here
""",
        """
from warnings import deprecated


@deprecated("use DELETE /things/{name}")
def remove(name):
    print("removing", name)
""",
    ),
}
