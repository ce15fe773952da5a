"""Small tools for text."""

import re
import unicodedata
from collections import Counter

WORD = re.compile(r"[a-z']+")
STOP_WORDS = {"the", "a", "an", "of", "and", "to"}


def words(text):
    return WORD.findall(text.lower())


def frequencies(text, limit=None):
    counts = Counter(word for word in words(text) if word not in STOP_WORDS)
    return counts.most_common(limit)


def slug(title):
    plain = unicodedata.normalize("NFKD", title)
    plain = plain.encode("ascii", "ignore").decode("ascii")
    plain = plain.strip().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def is_palindrome(text):
    letters = [letter for letter in text.lower() if letter.isalnum()]
    left, right = 0, len(letters) - 1
    while left < right:
        if letters[left] != letters[right]:
            return False
        left += 1
        right -= 1
    return True


def wrap(text, width):
    lines = []
    current = ""
    for word in text.split():
        if current and len(current) + 1 + len(word) > width:
            lines.append(current)
            current = word
        elif current:
            current = current + " " + word
        else:
            current = word
    if current:
        lines.append(current)
    return lines


def longest_word(text):
    found = words(text)
    if not found:
        return ""
    return max(found, key=len)


def title_case(text):
    result = []
    for index, word in enumerate(text.split()):
        if index > 0 and word in STOP_WORDS:
            result.append(word)
        else:
            result.append(word[:1].upper() + word[1:])
    return " ".join(result)


def greeting(name, hour):
    if hour < 12:
        part = "morning"
    elif hour < 18:
        part = "afternoon"
    else:
        part = "evening"
    return f"Good {part}, {name}!"


def replace_all(text, changes):
    for old, new in changes.items():
        text = text.replace(old, new)
    return text
