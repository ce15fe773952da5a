"""Where secrets stand in a text: by their shape, and by the name that they are bound to.

Nothing is replaced here. Every search takes the stretch of the text in which a secret must begin; it may end later.
The rules lean on the signs around a value to tell a secret from code (`token = self.token`), from a type
(`password: str`), from a template (`${TOKEN}`) and from a sentence (`the token: it is sent once`).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from instrument import secret_shapes as shapes

MARGIN = 8_192
"""Characters in which a secret must end after it began."""

AHEAD = 1_024
"""Characters beyond a stretch within which it shows what begins in it."""

_LONGEST_QUOTATION = 65_536
_LONGEST_BEGINNING = 60
_MOST_TOKENS = 500
_LEAST_URL_TOKEN = 20
_EXPRESSION_SIGNS = ("(", "[")
_AFTER_WORD = frozenset(["", *" \t\r\n<&;#\"'`\\"])

_distinct = re.compile(shapes.DISTINCT)
_bounded = re.compile(shapes.BOUNDED)
_before_bounded = re.compile(shapes.BEFORE_BOUNDED)
_inner = [(re.compile(core), re.compile(beginning)) for core, beginning in shapes.INNER_TOKENS]
_private_key = re.compile(shapes.PRIVATE_KEY)
_private_key_begin = re.compile("-----BEGIN(?:[ +]|%20)")
_private_key_end = re.compile(shapes.PRIVATE_KEY_END)
_url_password = re.compile(shapes.URL_PASSWORD)
_signed_url = re.compile(shapes.SIGNED_URL)
_url_token = re.compile(shapes.URL_TOKEN)
_encoded_url_password = re.compile(shapes.ENCODED_URL_PASSWORD)
_commands = {word: re.compile(pattern) for word, pattern in shapes.COMMANDS.items()}
_told = re.compile(shapes.TOLD)
_bearer = re.compile(shapes.BEARER)
_basic = re.compile(shapes.BASIC)
_flag = re.compile(shapes.FLAG)
_setting = re.compile(shapes.SETTING)
_input_value = re.compile(shapes.INPUT_VALUE)
_encoded_quote = re.compile(rf"(?:[ +]|%20)?(?P<mark>{shapes.ENCODED_QUOTE})")
_blank = re.compile(shapes.BLANK)
_annotation = re.compile(shapes.ANNOTATION)
_opening_quote = re.compile(shapes.OPENING_QUOTE)
_bracket = re.compile(shapes.BRACKET)
_contents = re.compile(shapes.CONTENTS)
_schema = re.compile(shapes.SCHEMA)
_line_value = re.compile(shapes.LINE_VALUE)
_query_value = re.compile(shapes.QUERY_VALUE)
_word_value = re.compile(shapes.WORD_VALUE)
_header_value = re.compile(shapes.HEADER_VALUE)
_expression = re.compile(shapes.EXPRESSION)
_template_here = re.compile(shapes.TEMPLATE_HERE)
_template = re.compile(shapes.TEMPLATE)
_path = re.compile(shapes.PATH)
_cookie = re.compile(shapes.COOKIE)
_names = re.compile(r"\b(?:name|key):[ \t]*$")
_opens_tag = re.compile(r"<(?:[\w-]{1,30}:)?$")
_unclosed = re.compile(r"[^\r\n\"'`]*")
_scheme = re.compile(rf"\s*{shapes.AUTH_SCHEMES}[ \t]+(?=\S)", re.IGNORECASE)
_escape = re.compile(r"\\(?:[nrtbf]|u[0-9a-f]{4}|x[0-9a-f]{2})|%[0-9A-F]{2}")
_line_start = re.compile(r"(?:^|[\r\n]|\\[nr])(?:[ \t]|[-*+>$#] |export |set |ENV |ARG |-e )*$")
_line_end = re.compile(r"[ \t]*(?:$|[\r\n]|\\+[nr]|\\*[\"'`]|[;#])")


class Found(NamedTuple):
    """A secret from `start` to `end`; `secret` is its plain form, `quote` what must stand around its placeholder."""

    start: int
    end: int
    secret: str
    quote: str = ""


def by_shape(text: str, begin: int, end: int) -> Iterator[Found]:
    """The secrets that give themselves away."""
    for match in _beginning_in(_distinct, text, begin, end):
        yield Found(*match.span(), match[0])
    for match in _beginning_in(_bounded, text, begin, end):
        if _stands_alone(text, match):
            yield Found(*match.span(), match[0])
    for core, beginning in _inner:
        for match in _beginning_in(core, text, begin, end):
            if before := beginning.search(text[max(0, match.start() - _LONGEST_BEGINNING) : match.start()]):
                yield Found(match.start() - len(before[0]), match.end(), before[0] + match[0])
    if "-----" in text[begin : end + AHEAD]:
        yield from _private_keys(text, begin, end)
    yield from _credentials(text, begin, end)


def by_name(
    assignment: re.Pattern[str], is_secret: Callable[[str], bool], text: str, begin: int, end: int
) -> Iterator[Found]:
    """What is bound to a secret name: `name=value`, `"name": value`, `name: value`, `--name value` and their like."""
    told = begin
    for match in _beginning_in(assignment, text, begin, end):
        name = _name_in(text, match, is_secret) if match.start() >= told else None
        if name is not None:
            for found in _values(text, match, name):
                told = found.end
                yield found
    here = text[begin : end + AHEAD]
    for pattern in (_flag, _setting) if any(word in here for word in shapes.SETTERS) else (_flag,):
        for match in _beginning_in(pattern, text, begin, end):
            if is_secret(match["name"]):
                yield from _flag_value(text, match)
    if "input_value=" in here:
        for match in _beginning_in(_input_value, text, begin, end):
            if is_secret(match["name"]) and not stays(match["value"], match["name"]):
                yield Found(*match.span("value"), match["value"].strip("\"'"))


def by_patterns(patterns: Iterable[re.Pattern[str]], text: str, begin: int, end: int) -> Iterator[Found]:
    """What patterns of the user's match: the first group where there is one, else all of it."""
    for pattern in patterns:
        group = 1 if pattern.groups else 0
        for match in _beginning_in(pattern, text, begin, end):
            if match[group] and not match[group].startswith("[redacted:"):
                yield Found(*match.span(group), match[group])


def _beginning_in(pattern: re.Pattern[str], text: str, begin: int, end: int) -> Iterator[re.Match[str]]:
    """The matches that begin in the stretch, each as long as it is."""
    limit = min(len(text), end + AHEAD)
    for match in pattern.finditer(text, begin, limit):
        if match.start() >= end:
            return
        if match.end() == limit < len(text):
            match = pattern.match(text, match.start(), limit + MARGIN) or match
        yield match


# By shape


def _stands_alone(text: str, match: re.Match[str]) -> bool:
    if match[0][:3] == "sk-" and not re.search("[0-9A-Z]", match[0][3:]):
        return False
    if _is_random(match[0]):
        return True
    return bool(_before_bounded.search(text[max(0, match.start() - 12) : match.start()]))


def _is_random(token: str) -> bool:
    """Whether it is too long and too mixed to be the end of a word and what hangs on it (`task-…`)."""
    return len(token) >= 35 and all(re.search(kind, token[3:]) for kind in ("[0-9]", "[A-Z]", "[a-z]"))


def _private_keys(text: str, begin: int, end: int) -> Iterator[Found]:
    whole_end = begin
    for beginning in _beginning_in(_private_key_begin, text, begin, end):
        match = _private_key.match(text, beginning.start(), beginning.start() + _LONGEST_QUOTATION)
        if match and match.start() >= whole_end:
            whole_end = match.end()
            yield Found(*match.span(), match[0])
    for match in _private_key_end.finditer(text, whole_end, end + AHEAD):
        before = text[whole_end : match.start()]
        start = whole_end + len(before.rstrip(shapes.PRIVATE_KEY_BODY))
        if match.start() - start >= 16 and "-----BEGIN" not in text[max(0, start - 64) : start]:
            yield Found(start, match.end(), text[start : match.end()])


def _credentials(text: str, begin: int, end: int) -> Iterator[Found]:
    """Passwords in URLs and commands, signatures of URLs, what stands behind `Bearer` and `Basic`."""
    here = text[begin : end + AHEAD]
    commands = (pattern for word, pattern in _commands.items() if word in here)
    for pattern in (_url_password, _encoded_url_password, _signed_url, *commands):
        for match in _beginning_in(pattern, text, begin, end):
            if not is_harmless(match["password"], "url"):
                yield Found(*match.span("password"), _unquoted(match["password"]))
    for match in _beginning_in(_url_token, text, begin, end):
        if len(match["password"]) >= _LEAST_URL_TOKEN:
            yield Found(*match.span("password"), match["password"])
    if "earer" in here or "EARER" in here:
        for match in _beginning_in(_bearer, text, begin, end):
            if _is_bearer_token(text, match):
                yield Found(*match.span("password"), match["password"])
    if "asic" in here or "ASIC" in here:
        for match in _beginning_in(_basic, text, begin, end):
            if _is_user_and_password(match["password"]):
                yield Found(*match.span("password"), match["password"])


def _is_bearer_token(text: str, match: re.Match[str]) -> bool:
    """`Bearer 8f3a…` and `"Bearer abcdefgh"`, not `bearer authentication` in a sentence."""
    token = match["password"].rstrip(".")
    if is_harmless(token, "bearer"):
        return False
    before, after = text[max(0, match.start() - 1) : match.start()], text[match.end() : match.end() + 1]
    is_quoted = before in ("", '"', "'") and after in ("", '"', "'", "\\")
    is_mixed = token[1:] != token[1:].lower() and token != token.upper()
    return is_quoted or is_mixed or len(token) >= 24 or any(map(str.isdigit, token))


def _is_user_and_password(encoded: str) -> bool:
    try:
        return b":" in base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False


# By name


@lru_cache(4096)
def is_secret_name(name: str) -> bool:
    """Whether the tables call a name secret."""
    if len(name) > 100:
        return False
    words = [word.lower() for word in shapes.words(name)]
    while words and (words[-1].isdigit() or words[-1] in shapes.TRAILING_WORDS):
        words.pop()
    if not words:
        return False
    last, owner = words[-1], words[-2] if len(words) > 1 else ""
    if last == "token":
        return owner not in shapes.PLAIN_TOKENS
    if last in ("key", "keys"):
        return owner in shapes.KEY_OWNERS
    if last in ("pass", "auth"):
        owners = shapes.PASS_OWNERS if last == "pass" else shapes.AUTH_OWNERS
        return owner in owners and not name.isalnum()
    return last in shapes.STRONG_NAMES or "".join(words).endswith(shapes.STRONG_ENDINGS)


def _name_in(text: str, match: re.Match[str], is_secret: Callable[[str], bool]) -> str | None:
    """The secret name that was matched: also behind an escape (`\\npassword`) and in two words (`API key`)."""
    name, start = match["name"], match.start()
    if match["sep"] == ">" and not _opens_tag.search(text[max(0, start - 40) : start]):
        return None
    if is_secret(name):
        return name
    before = text[max(0, start - 16) : start]
    if escape := _escape.match(before[-1:] + name):
        rest = name[escape.end() - 1 :]
        return rest if is_secret(rest) else None
    if name.lower() in ("key", "keys") and (owner := re.search(r"([A-Za-z]+) $", before)):
        return f"{owner[1]}_key" if is_secret(f"{owner[1]}_key") else None
    return None


def _values(text: str, match: re.Match[str], name: str) -> Iterator[Found]:
    """The secret values that the name is bound to."""
    sign, at = match["sep"], match.end()
    if sign in ("is", "was"):
        yield from _told_value(text, at, name)
        return
    if match["encoded"]:
        yield from _encoded_value(text, at, name)
        return
    if sign == ",":
        yield from _paired_value(text, at, name)
        return
    if sign.endswith("value:"):
        if not _names.search(text[max(0, match.start() - 16) : match.start()]):
            return
        sign = ":"
    if sign == ":" and not _is_header(name) and (annotation := _annotation.match(text, at)):
        sign, at = "=", annotation.end()
    at = _end(_blank, text, at)
    if quoted := _opening_quote.match(text, at):
        if match["close"] or not _ends_string(text, match.start(), quoted):
            yield from _quoted_value(text, quoted, name)
    elif text.startswith("[redacted:", at) or _template_here.match(text, at):
        return
    elif text[at : at + 1] in ("[", "{", "("):
        yield from _bracketed_values(text, at, name)
    elif sign in ("==", "===", "!=", "!=="):
        return
    elif _is_header(name) and sign == ":":
        yield from _header_values(text, at, name)
    elif bare := _bare_value(text, match, at, sign, name):
        yield bare


def _encoded_value(text: str, at: int, name: str) -> Iterator[Found]:
    """What stands in quotes that are written for a URL or for HTML."""
    opening = _encoded_quote.match(text, at)
    end = text.find(opening["mark"], opening.end(), opening.end() + MARGIN) if opening else -1
    if opening and end > 0 and not stays(text[opening.end() : end], name):
        yield Found(opening.end(), end, _unquoted(text[opening.end() : end]))


def _paired_value(text: str, at: int, name: str) -> Iterator[Found]:
    """The neighbour of a name among arguments or in a tuple, where it cannot be a word or another name."""
    for found in _quoted_value(text, _opening_quote.match(text, _end(_blank, text, at)), name):
        value = found.secret
        is_mixed = len(value) >= 12 and all(re.search(kind, value) for kind in ("[0-9]", "[a-z]", "[A-Z]"))
        if (is_mixed or re.fullmatch(r"[0-9a-f]{20,}", value)) and re.fullmatch(r"[\w+/=!@#%&*-]+", value):
            yield found


def _ends_string(text: str, start: int, quote: re.Match[str]) -> bool:
    """Whether the quote ends a string in which the name stands (`input("Password: ")`) and begins none."""
    line = text[max(0, start - 200) : start].rpartition("\n")[2]
    return line.count(quote["quote"]) % 2 == 1 and not re.match(r"[^\s),;:+\]}.]", text[quote.end() : quote.end() + 1])


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _quoted_value(text: str, opening: re.Match[str] | None, name: str) -> Iterator[Found]:
    if opening is None:
        return
    begin, end = opening.end(), _closing(text, opening)
    if name == "token" and re.match(r"[\s,\\\"']*logprob", text[end : end + 24]):
        return
    start, stop = without_scheme(text[begin:end])
    secret = text[begin + start : begin + stop]
    if not stays(secret, name):
        levels = (len(opening["escape"]) + 1).bit_length()
        yield Found(begin + start, begin + stop, _unescaped(secret, levels))


def _closing(text: str, opening: re.Match[str]) -> int:
    """Where the quotation ends; where it is not closed (in a text that was cut), at the end of the line.

    In JSON text that is itself held in a string a quote wears one backslash, one level deeper three: a quote that
    wears another number of them belongs to the value.
    """
    escapes, quote, begin = len(opening["escape"]), opening["quote"], opening.end()
    limit = begin + _LONGEST_QUOTATION
    at = text.find(quote, begin, limit)
    while at >= 0:
        worn = _backslashes_before(text, at, begin)
        if worn % (2 * escapes + 2) == escapes:
            return at - escapes
        at = text.find(quote, at + 1, limit)
    rest = _unclosed.match(text, begin, limit)
    return rest.end() if rest else begin


def _backslashes_before(text: str, at: int, begin: int) -> int:
    start = at
    while start > begin and text[start - 1] == "\\":
        start -= 1
    return at - start


def _bracketed_values(text: str, at: int, name: str) -> Iterator[Found]:
    """Every quoted string (but the keys) and every long number up to the closing bracket."""
    if _schema.match(text, at) or not _contents.match(text, at):
        return
    depth, limit = 0, min(len(text), at + MARGIN)
    for _ in range(_MOST_TOKENS):
        token = _bracket.search(text, at, limit)
        if token is None:
            return
        sign, at = token[0], token.end()
        if sign[0].isdigit():
            yield Found(*token.span(), sign, _key_quote(text[: token.start()]))
        elif sign[-1] in "\"'`":
            opening = _opening_quote.match(text, token.start())
            if opening is None:
                return
            at = min(_closing(text, opening) + len(sign), len(text))
            if not re.match(r"\s*:", text[at : at + 8]):
                yield from _quoted_value(text, opening, name)
        else:
            depth += 1 if sign in "[({" else -1
        if depth <= 0:
            return


def _key_quote(before: str) -> str:
    """The quote that strings wear where a number stands in JSON text; nothing where it stands in code."""
    quote = re.search(r"(\\*\")[\s,:\[0-9.]*$", before[-64:])
    return quote[1] if quote else ""


def _flag_value(text: str, match: re.Match[str]) -> Iterator[Found]:
    is_certain = match[0][:2] == "--"
    if opening := _opening_quote.match(text, match.end()):
        yield from (one for one in _quoted_value(text, opening, match["name"]) if is_certain or _has_digit(one.secret))
        return
    word = _line_value.match(text, match.end())
    if word and not (is_certain or _has_digit(word[0])):
        return
    if word and not is_harmless(word[0], match["name"]) and not _begins_sentence(text, word):
        yield Found(*word.span(), _unquoted(word[0]))


def _has_digit(value: str) -> bool:
    return re.search("[0-9]", value) is not None


def _begins_sentence(text: str, word: re.Match[str]) -> bool:
    return word[0].isalpha() and word[0].islower() and bool(re.match(" [a-z]", text[word.end() : word.end() + 2]))


def _header_values(text: str, at: int, name: str) -> Iterator[Found]:
    """The rest of the line after `Cookie:`, what follows the scheme after `Authorization:`."""
    header = _header_value.match(text, at)
    if header is None:
        return
    start, end = without_scheme(header[0])
    value = header[0][start:end]
    if not _is_cookie(name) and "=" not in value.rstrip("="):
        value = value.split()[0] if value.split() else ""
        if start == 0 and value.isalpha():
            return
        value = value.rstrip(".,;:)]}")
    if (
        value
        and not (_is_word(value.rstrip(",;")) and is_secret_name(value.rstrip(",;")))
        and not stays(value, name)
        and not _expression.match(value)
        and (not value.isalpha() or start + len(value) == end)
    ):
        yield Found(at + start, at + start + len(value), value)


def _told_value(text: str, at: int, name: str) -> Iterator[Found]:
    """`The password is hunter2`: what a sentence says a password or key is, where it cannot be a word of it."""
    if not name.lower().endswith(("password", "passwd", "pwd", "passphrase", "passcode", "key")):
        return
    if found := _told.match(text, at):
        value = found["value"].rstrip(".,:;!?)]}")
        is_mixed = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
        if is_mixed and "://" not in value and not stays(value, name) and not _expression.match(value):
            start = found.start("value")
            yield Found(start, start + len(value), value)


def _bare_value(text: str, match: re.Match[str], at: int, sign: str, name: str) -> Found | None:
    """A value without quotes. How far it goes, and whether it may be code, depends on where the name stands."""
    before = text[max(0, match.start() - 40) : match.start()]
    is_tight = at == match.end()
    is_encoded = sign[:1] in ("%", "\\")
    in_query = is_encoded or (is_tight and sign == "=" and (before[-1:] in ("?", "&") or before[-5:] == "&amp;"))
    is_flag = is_tight and sign == "=" and name[:2] == "--"
    at_line_start = bool(_line_start.search(before)) and (is_tight or sign == ":")
    found = (_query_value if in_query else _line_value if is_flag or at_line_start else _word_value).match(text, at)
    if found is None:
        return None
    value = (found[0].partition("%26")[0] if is_encoded else found[0]).rstrip(".,:;!?)]}")
    end = at + len(value)
    if stays(value, name):
        return None
    follows = text[end : end + 1]
    if _expression.match(value) or follows in _EXPRESSION_SIGNS or (_is_word(value) and follows not in _AFTER_WORD):
        return None
    is_certain = in_query or is_flag or (is_tight and sign == "=" and name.isupper())
    if not is_certain and not _is_bare_secret(text, value, end, sign, name, is_tight, at_line_start):
        return None
    quote = match["close"] or "" if _is_number(value) else ""
    return Found(at, end, _unquoted(value), quote)


def _is_bare_secret(text: str, value: str, end: int, sign: str, name: str, is_tight: bool, at_line_start: bool) -> bool:
    """Whether a value without quotes is a secret rather than code, a type, a small number or a word of a sentence."""
    if _is_number(value):
        return len(value) >= (6 if name.lower() in ("token", "secret") else 4)
    if is_secret_name(value):
        return False
    if _is_word(value):
        if sign == ":":
            return at_line_start and value.islower() and bool(_line_end.match(text, end))
        return is_tight and not value[0].isupper()
    is_punctuation = re.fullmatch(r"[\W_]+", value) is not None
    return not is_punctuation and value.rstrip("0123456789").lower() != name.lower()


def _is_word(value: str) -> bool:
    return value.replace("_", "").isalpha() and value.isascii()


def _is_number(value: str) -> bool:
    return value.replace(".", "", 1).lstrip("-").isdecimal()


# What is no secret


def stays(value: str, name: str) -> bool:
    """Whether the value under a secret name is none: a stand-in, or a cookie that is to be eaten."""
    return is_harmless(value, name) or (_is_cookie(name) and not _looks_like_cookie(value))


def is_harmless(value: str, name: str) -> bool:
    """Whether a value only stands for a secret or says something about one."""
    value = value.strip(" \t\r\n\\\"'`")
    if not value or value.lower() in shapes.HARMLESS_VALUES or _template.fullmatch(value):
        return True
    if value.startswith("[redacted:") or (len(value) < 4 and not any(map(str.isalnum, value))):
        return True
    return name.lower().endswith(("key", "pwd", "credentials", "credential")) and _is_path(value)


def _is_path(value: str) -> bool:
    return value[0] in "/~.\\" and bool(_path.fullmatch(value)) and (value.count("/") > 1 or "." in value)


def without_scheme(value: str) -> tuple[int, int]:
    """Where the secret begins and ends in `Bearer 8f3a…`, blanks left out."""
    scheme = _scheme.match(value)
    start = scheme.end() if scheme else len(value) - len(value.lstrip())
    return start, len(value.rstrip())


def _is_header(name: str) -> bool:
    return name.lower().endswith(("authorization", "cookie"))


def _is_cookie(name: str) -> bool:
    return folded(name) in ("cookie", "cookies", "setcookie")


def _looks_like_cookie(value: str) -> bool:
    return bool(_cookie.match(value)) or (" " not in value and any(map(str.isdigit, value)))


def folded(name: str) -> str:
    """A name without case and signs, so that `API-Key`, `api_key` and `apiKey` are one."""
    return re.sub(r"[\W_]+", "", name).lower()


def _unescaped(value: str, levels: int) -> str:
    """The value as it was before it was written into JSON text, `levels` times over."""
    for _ in range(levels):
        if "\\" not in value:
            break
        with suppress(ValueError):
            value = json.loads(f'"{value}"', strict=False)
    return value


def _unquoted(value: str) -> str:
    return unquote(value) if "%" in value else value
