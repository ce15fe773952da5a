"""SQL that was pasted together, taken apart again: the text with placeholders, and the values beside it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

Part = str | ast.expr
names_follow = re.compile(r"\b(from|into|table|join|update|by|index|column|asc|desc)\s*$", re.I)


@dataclass(frozen=True)
class Query:
    """Python text of the SQL string and of the tuple of values."""

    text: str
    values: str


def parametrised(node: ast.expr, module: str) -> Query | None:
    """The query with placeholders; None when a name of a table or column is pasted in, which none can stand for."""
    parts = list(taken_apart(node))
    mark = "%s" if re.search(r"\b(psycopg2?|pymysql|MySQLdb|mysql)\b", module) else "?"
    sql = ""
    values: list[str] = []
    quoted: list[Part] | None = None
    for part in parts:
        if isinstance(part, str):
            for character in part:
                if character == "'":
                    sql, quoted = closed(sql, quoted, values, mark)
                elif quoted is not None:
                    quoted.append(character)
                else:
                    sql += character
        elif quoted is not None:
            quoted.append(part)
        elif names_follow.search(sql):
            return None
        else:
            sql += mark
            values.append(ast.unparse(part))
    if quoted is not None or not values:
        return None
    return Query(literal(sql), f"({', '.join(values)},)" if len(values) == 1 else f"({', '.join(values)})")


def closed(sql: str, quoted: list[Part] | None, values: list[str], mark: str) -> tuple[str, list[Part] | None]:
    """What a quote does: begin a quoted text, or end it as a placeholder when a value was pasted into it."""
    if quoted is None:
        return sql, []
    if all(isinstance(part, str) for part in quoted):
        return f"{sql}'{''.join(str(part) for part in quoted)}'", None
    values.append(joined(quoted))
    return sql + mark, None


def joined(parts: list[Part]) -> str:
    """A quoted text with values in it as a Python expression: the value alone, or an f-string."""
    if len(parts) == 1 and not isinstance(parts[0], str):
        return ast.unparse(parts[0])
    inner: list[ast.expr] = [
        ast.Constant(part) if isinstance(part, str) else ast.FormattedValue(part, -1) for part in parts
    ]
    return double_quoted(ast.unparse(ast.JoinedStr(inner)))


def double_quoted(text: str) -> str:
    return f'f"{text[2:-1]}"' if text.startswith("f'") and '"' not in text and "\\" not in text else text


def taken_apart(node: ast.expr) -> Iterator[Part]:
    """The constant and the pasted parts of a text in their order."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=values):
            for value in values:
                yield from taken_apart(value)
        case ast.FormattedValue(value=value):
            yield value
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            yield from taken_apart(left)
            yield from taken_apart(right)
        case ast.BinOp(op=ast.Mod(), left=ast.Constant(value=str(text)), right=right):
            given = list(right.elts) if isinstance(right, ast.Tuple) else [right]
            yield from filled(re.split(r"%[sdr]", text), given)
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="format"), args=args, keywords=[]):
            yield from filled(re.split(r"\{\d*\}", text), args)
        case ast.Call(func=ast.Name(id="str"), args=[argument]):
            yield argument
        case _:
            yield node


def filled(texts: list[str], values: list[ast.expr]) -> Iterator[Part]:
    for index, text in enumerate(texts):
        yield text
        if index < len(values) and index < len(texts) - 1:
            yield values[index]


def literal(sql: str) -> str:
    """The SQL as a Python string."""
    if "\n" in sql and '"""' not in sql and "\\" not in sql:
        return f'"""{sql}"""'
    return f'"{sql}"' if '"' not in sql and "\\" not in sql and "\n" not in sql else repr(sql)
