"""Arithmetic expressions: tokens, a recursive parser, and their value."""

from __future__ import annotations

import re
from dataclasses import dataclass

TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?)|(.))")


class ParseError(ValueError):
    """The text is no expression."""


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    place: int


def tokenize(text: str) -> list[Token]:
    tokens = []
    for match in TOKEN.finditer(text):
        number, other = match.groups()
        if number is not None:
            tokens.append(Token("number", number, match.start(1)))
        elif other in "+-*/()":
            tokens.append(Token("operator", other, match.start(2)))
        else:
            raise ParseError(f"unexpected {other!r} at {match.start(2)}")
    return tokens


class Parser:
    def __init__(self, text: str) -> None:
        self.tokens = tokenize(text)
        self.position = 0

    def peek(self) -> str | None:
        if self.position < len(self.tokens):
            return self.tokens[self.position].text
        return None

    def advance(self) -> Token:
        if self.position >= len(self.tokens):
            raise ParseError("unexpected end")
        token = self.tokens[self.position]
        self.position += 1
        return token

    def parse(self) -> float:
        value = self.sum()
        if self.peek() is not None:
            raise ParseError(f"unexpected {self.peek()!r}")
        return value

    def sum(self) -> float:
        value = self.product()
        while self.peek() in ("+", "-"):
            operator = self.advance().text
            right = self.product()
            value = value + right if operator == "+" else value - right
        return value

    def product(self) -> float:
        value = self.factor()
        while self.peek() in ("*", "/"):
            operator = self.advance().text
            right = self.factor()
            if operator == "*":
                value *= right
            elif right == 0:
                raise ZeroDivisionError("division by zero")
            else:
                value /= right
        return value

    def factor(self) -> float:
        token = self.advance()
        if token.kind == "number":
            return float(token.text)
        if token.text == "-":
            return -self.factor()
        if token.text == "(":
            value = self.sum()
            if self.advance().text != ")":
                raise ParseError("a parenthesis is missing")
            return value
        raise ParseError(f"unexpected {token.text!r} at {token.place}")


def evaluate(text: str) -> float:
    return Parser(text).parse()
