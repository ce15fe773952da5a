"""Functions with one fault each, by family. The line of the fault ends in `# here`, which is taken off on planting."""

from __future__ import annotations

SNIPPETS: dict[str, list[str]] = {
    "while_too_far": [
        """
def position_of(items, wanted):
    index = 0
    while index <= len(items):  # here
        if items[index] == wanted:
            return index
        index += 1
    return -1
""",
    ],
    "mutable_default_added": [
        """
def add_to(value, target=[]):  # here
    target.append(value)
    return target
""",
        """
def count_words(line, counts={}):  # here
    for word in line.split():
        counts[word] = counts.get(word, 0) + 1
    return counts
""",
    ],
    "bare_except": [
        """
def read_number(text):
    try:
        return int(text)
    except:  # here
        return None
""",
    ],
    "swallowed": [
        """
def close_quietly(resource):
    try:
        resource.flush()
    except Exception:  # here
        pass
""",
    ],
    "used_after_close": [
        r"""
def copy_text(source, target):
    with open(source, encoding="utf-8") as file:
        text = file.read()
    with open(target, "w", encoding="utf-8") as out:
        out.write(text)
    out.write("\n")  # here
    return len(text)
""",
    ],
    "shell_true": [
        """
def remove_folder(path):
    import os

    return os.system("rm -rf " + path)  # here
""",
    ],
    "eval_used": [
        """
def calculate(formula):
    return eval(formula)  # here
""",
    ],
    "loop_never_ends": [
        """
def halvings(number):
    steps = 0
    while number > 1:  # here
        steps += 1
    return steps
""",
        """
def wait_for(queue):
    count = 0
    while True:  # here
        count += len(queue)
""",
    ],
    "number_added_to_text": [
        """
def describe(items):
    return "there are " + len(items) + " items"  # here
""",
        """
def label(name: str, number: int) -> str:
    return name + number  # here
""",
    ],
    "builtin_covered": [
        """
def doubled(values):
    list = []  # here
    for value in values:
        list.append(value * 2)
    return list
""",
        """
def added_up(values):
    sum = 0  # here
    for value in values:
        sum += value
    return sum
""",
        """
def biggest_of(values):
    max = 0  # here
    for value in values:
        if value > max:
            max = value
    return max
""",
    ],
    "return_in_finally": [
        """
def attempt(action):
    result = None
    try:
        result = action()
    finally:
        return result  # here
""",
    ],
    "changed_in_loop": [
        """
def drop_negative(values):
    for value in values:
        if value < 0:
            values.remove(value)  # here
    return values
""",
        """
def drop_blank(table):
    for key in table:
        if not table[key]:
            del table[key]  # here
    return table
""",
    ],
    "bound_late": [
        """
def printers(names):
    made = []
    for name in names:
        made.append(lambda: print(name))  # here
    return made
""",
    ],
    "exceptions_out_of_order": [
        """
def parsed(text):
    try:
        return int(text)
    except Exception as error:
        raise RuntimeError("no number") from error
    except ValueError:  # here
        return 0
""",
        """
def opened(path):
    try:
        return path.read_text()
    except OSError:
        return ""
    except FileNotFoundError:  # here
        return "missing"
""",
    ],
    "arguments_swapped": [
        """
def area_of(width, height):
    return width * height


def described_area(width, height):
    return str(area_of(height, width))  # here
""",
    ],
    "loop_variable_reused": [
        """
def table_of(rows, columns):
    cells = []
    for i in range(rows):
        for i in range(columns):  # here
            cells.append(i)
    return cells
""",
    ],
    "result_lost": [
        """
def tidied(text: str) -> str:
    text.strip()  # here
    return text
""",
    ],
    "not_implemented": [
        """
class Exporter:
    def export(self, data):
        raise NotImplemented  # here
""",
    ],
    "float_index": [
        """
def middle_of(items):
    return items[len(items) / 2]  # here
""",
        """
def half_of(items):
    return [items[i] for i in range(len(items) / 2)]  # here
""",
    ],
    "branches_out_of_order": [
        """
def grade(points):
    if points >= 50:
        return "passed"
    elif points >= 90:  # here
        return "excellent"
    return "failed"
""",
    ],
    "global_missing": [
        """
calls_made = 0


def count_call():
    calls_made += 1  # here
    return calls_made
""",
    ],
    "float_equality": [
        """
def is_tenth(value):
    return value == 0.1  # here
""",
    ],
    "always_true": [
        """
def is_weekend(day):
    if day == "saturday" or "sunday":  # here
        return True
    return False
""",
    ],
    "sort_assigned": [
        """
def ranked(values):
    values = list(values)
    values = values.sort()  # here
    return values
""",
    ],
    "weak_secret": [
        """
def hash_password(password):
    import hashlib

    return hashlib.md5(password.encode()).hexdigest()  # here
""",
        """
def make_token(length):
    import random

    return "".join(random.choice("abcdef0123456789") for _ in range(length))  # here
""",
    ],
    "base_case_lost": [
        """
def factorial(number):
    return number * factorial(number - 1)  # here
""",
    ],
}
