"""Passwords and keys written into the source, and chance used where secrecy is needed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .source import Finding, Source, own_nodes, told, written

name_of_secret = re.compile(
    r"(^|_)(passw(or)?d|passwd|pwd|passphrase|secret|api_?key|apikey|access_?key|secret_?key|private_?key|auth_?token|access_?token|token|credentials?)(_|$)",
    re.I,
)
not_a_secret = re.compile(
    r"(^|_)(name|field|file|path|url|env|var|type|header|prefix|label|prompt|pattern|re|regex|len|length|format|param|column|hash|policy|help|error|msg|message|uri|endpoint|id|kind|class|scheme|chars|title|text)s?$",
    re.I,
)
key_shape = re.compile(r"^(sk-|sk_live_|ghp_|github_pat_|xox[abp]-|AKIA[0-9A-Z]{16}|AIza|glpat-)")
placeholder = re.compile(
    r"^(|x+|\*+|\.+|<.*>|\{.*\}|\$.*|%.*|none|null|changeme\??|todo|your[-_ ].*|"
    r"example|test|dummy|secret|password|token|n/?a)$",
    re.I,
)


def find(source: Source) -> Iterator[Finding]:
    for node in source.nodes:
        for name, value in named_values(node):
            if is_secret(name, value):
                yield hard_coded(source, node, name, value)
    yield from guessable(source)


def named_values(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """(name, value) pairs of assignments, keyword arguments, defaults and dict entries."""
    match node:
        case ast.Assign(targets=targets, value=value):
            yield from ((last_name(target), value) for target in targets)
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            yield last_name(target), value
        case ast.keyword(arg=str(name), value=value):
            yield name, value
        case ast.Dict(keys=keys, values=values):
            yield from (
                (key.value, value)
                for key, value in zip(keys, values, strict=True)
                if isinstance(key, ast.Constant) and isinstance(key.value, str)
            )
        case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq()], comparators=[value]):
            yield last_name(left), value
        case ast.arguments(args=args, defaults=defaults):
            yield from ((arg.arg, value) for arg, value in zip(reversed(args), reversed(defaults), strict=False))


def last_name(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
    return ""


def is_secret(name: str, value: ast.expr) -> bool:
    if not isinstance(value, ast.Constant) or not isinstance(value.value, str):
        return False
    text = value.value
    if key_shape.match(text) and len(text) >= 12:
        return True
    return bool(name_of_secret.search(name)) and not not_a_secret.search(name) and looks_secret(text, name)


def looks_secret(text: str, name: str) -> bool:
    """Long enough, no placeholder, no sentence, and not just another word for the name."""
    if len(text) < 6 or placeholder.match(text) or any(character.isspace() for character in text):
        return False
    if text.lower().replace("-", "_") == name.lower() or (text.isupper() and text.isalpha()):
        return False
    if re.search(r"[\[\](){}\\]", text):
        return False
    plain_word = not re.search(r"pass|pwd|secret", name, re.I) and not re.search(r"\d", text)
    return not plain_word and not re.fullmatch(r"[a-z]+(_[a-z]+)+|https?://.*|[\w.]+\.[a-z]{2,4}|/.*", text)


def hard_coded(source: Source, node: ast.AST, name: str, value: ast.expr) -> Finding:
    return told(
        value,
        "hard-coded-secret",
        f"{'`' + name + '`' if name else 'a key'} in {source.place(node if hasattr(node, 'lineno') else value)} "
        "holds a secret written into the source, "
        f"where everyone who reads the code has it",
        "read it from the environment or a secret store, and change the leaked one",
    )


def guessable(source: Source) -> Iterator[Finding]:
    """`random` in a function or assignment that is about tokens, passwords and the like."""
    for function in source.functions:
        if not re.search(r"(token|password|passwd|secret|otp|nonce|salt|session_id|api_key|csrf)", function.name, re.I):
            continue
        for node in own_nodes(function):
            if isinstance(node, ast.Call) and re.match(
                r"random\.(choice|choices|randint|random|sample|randrange|getrandbits)$", written(node.func)
            ):
                yield told(
                    node,
                    "guessable-secret",
                    f"`{function.name}()` makes a secret with `{written(node.func)}`, whose next values can be "
                    "computed from earlier ones",
                    "use the `secrets` module",
                )
