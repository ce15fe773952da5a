"""Files and connections that are opened and not closed, or used after they were."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .source import Finding, Source, assignments, dotted, is_generator, own_nodes, short, told, where, written

openers = {
    "open", "io.open", "codecs.open", "gzip.open", "bz2.open", "lzma.open", "tarfile.open", "zipfile.ZipFile",
    "ZipFile", "socket.socket", "socket.create_connection", "sqlite3.connect", "urllib.request.urlopen", "urlopen",
    "os.fdopen", "shelve.open", "tempfile.TemporaryFile", "tempfile.NamedTemporaryFile", "smtplib.SMTP", "ftplib.FTP",
}  # fmt: skip
readers = {
    "read_file", "readfp", "copyfileobj", "load", "dump", "writelines", "extend", "parse", "feed", "reader", "writer",
    "DictReader", "DictWriter", "loads", "generate_tokens", "tokenize",
}  # fmt: skip
closers = {"close", "shutdown", "quit", "terminate", "detach", "__exit__"}


def find(source: Source) -> Iterator[Finding]:
    for scope in [source.tree, *source.functions]:
        yield from left_open(source, scope)
        yield from used_when_closed(source, scope)
        yield from left_locked(source, scope)
    yield from never_named(source)


def is_open_call(node: ast.AST | None) -> bool:
    if not isinstance(node, ast.Call):
        return False
    return dotted(node.func) in openers or (
        isinstance(node.func, ast.Attribute) and node.func.attr == "open" and is_path(node.func.value)
    )


def is_path(node: ast.expr) -> bool:
    text = written(node).lower()
    return text.endswith(("path", "file")) or text.startswith(("path(", "pathlib.path("))


def left_open(source: Source, scope: ast.AST) -> Iterator[Finding]:
    """A local name for something opened that is neither closed, nor handed on, nor used in a with."""
    for node in own_nodes(scope):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if is_open_call(value) and not is_global(
                scope, name
            ):
                uses = [use for use in every_use(scope, name) if use is not node.targets[0]]
                if not any(ends_or_escapes(source, use) for use in uses):
                    yield told(
                        node,
                        "resource-leak",
                        f"`{name}` in {where(scope)} is opened by `{short(value)}` and never closed",
                        f"write `with {short(value)} as {name}:`",
                        "warning",
                    )
                elif closed_on_some_paths(source, scope, name, uses):
                    yield told(
                        node,
                        "resource-leak",
                        f"`{name}` in {where(scope)} is opened by `{short(value)}` and stays open when the "
                        f"function returns before `{name}.close()`",
                        f"write `with {short(value)} as {name}:`",
                        "warning",
                    )


def is_global(scope: ast.AST, name: str) -> bool:
    return any(isinstance(node, ast.Global | ast.Nonlocal) and name in node.names for node in own_nodes(scope))


def every_use(scope: ast.AST, name: str) -> list[ast.Name]:
    return [node for node in ast.walk(scope) if isinstance(node, ast.Name) and node.id == name]


borrowers = {
    "print", "len", "list", "enumerate", "json.load", "csv.reader", "csv.DictReader", "csv.writer", "pickle.load",
    "yaml.safe_load", "sorted", "sum", "map", "isinstance", "next", "iter",
}  # fmt: skip


def ends_or_escapes(source: Source, use: ast.Name) -> bool:
    """Whether a use closes the thing or gives it to somebody else who may."""
    above = source.parent(use)
    match above:
        case ast.Attribute(attr=attr):
            return attr in closers or (
                not isinstance(source.parent(above), ast.Call) and not isinstance(above.ctx, ast.Store)
            )
        case ast.Call(func=func):
            return func is not use and not only_reads(source, above, use) and dotted(func) not in borrowers
        case ast.keyword():
            return not (isinstance(source.parent(above), ast.Call) and dotted(source.parent(above).func) in ("print",))  # type: ignore[union-attr]
        case (
            ast.For()
            | ast.comprehension()
            | ast.Compare()
            | ast.BoolOp()
            | ast.If()
            | ast.FormattedValue()
            | ast.Expr()
        ):
            return False
        case ast.arguments():
            return True
    return True


def only_reads(source: Source, call: ast.Call, use: ast.Name) -> bool:
    """The file is handed to something that gives it back open: a well-known method or a function of this file."""
    if isinstance(call.func, ast.Attribute) and call.func.attr in readers:
        return True
    name = dotted(call.func).rsplit(".", 1)[-1]
    own = [function for function in source.functions if function.name == name]
    place = call.args.index(use) if use in call.args else -1
    if len(own) != 1 or place < 0 or is_generator(own[0]):
        return False
    names = [arg.arg for arg in own[0].args.args if arg.arg not in ("self", "cls")]
    if place >= len(names):
        return False
    uses = [node for node in every_use(own[0], names[place]) if isinstance(node.ctx, ast.Load)]
    return bool(uses) and not any(ends_or_escapes(source, inner) for inner in uses)


def closed_on_some_paths(source: Source, scope: ast.AST, name: str, uses: list[ast.Name]) -> bool:
    """The only close stands plainly at the end of a function that returns earlier, after the opening."""
    closes = [use for use in uses if is_close(source, use)]
    others = [use for use in uses if ends_or_escapes(source, use) and use not in closes]
    if len(closes) != 1 or others or not isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    close = source.statement_of(closes[0])
    if close not in scope.body:
        return False
    opened = min(node.lineno for node in assignments(scope, name) if isinstance(node, ast.Assign))
    return any(isinstance(node, ast.Return) and opened < node.lineno < close.lineno for node in own_nodes(scope))


def is_close(source: Source, use: ast.Name) -> bool:
    above = source.parent(use)
    return isinstance(above, ast.Attribute) and above.attr in closers


loaders = {
    "json.load", "json.dump", "pickle.load", "pickle.dump", "csv.reader", "yaml.safe_load", "yaml.load", "list",
    "sorted",
}  # fmt: skip


def never_named(source: Source) -> Iterator[Finding]:
    """`open(p).read()` and `json.load(open(p))`: nothing is left to close it by."""
    for call in source.calls:
        if dotted(call.func) not in ("open", "io.open", "codecs.open", "gzip.open"):
            continue
        above = source.parent(call)
        used = isinstance(above, ast.Attribute) and above.attr in (
            "read",
            "readlines",
            "readline",
            "write",
            "writelines",
        )
        loaded = isinstance(above, ast.Call) and above.func is not call and dotted(above.func) in loaders
        walked = isinstance(above, ast.For | ast.comprehension)
        if used or loaded or walked:
            yield told(
                call,
                "resource-leak",
                f"`{short(call)}` in {source.place(call)} is opened without a name, so nothing ever closes it",
                f"write `with {short(call)} as file:`",
                "warning",
            )


def used_when_closed(source: Source, scope: ast.AST) -> Iterator[Finding]:
    for node in own_nodes(scope):
        for block in (
            [getattr(node, "body", None), getattr(node, "orelse", None)]
            if not isinstance(node, ast.Lambda | ast.IfExp | ast.Expression)
            else []
        ):
            if isinstance(block, list):
                yield from after_close(source, block, scope)
    yield from after_close(source, getattr(scope, "body", []), scope)


def after_close(source: Source, block: list[ast.stmt], scope: ast.AST) -> Iterator[Finding]:
    """In one straight block: uses of a name after `with open(...) as name` ended, or after `name.close()`."""
    for index, statement in enumerate(block):
        for name, how in closed_by(statement, scope):
            for later in block[index + 1 :]:
                if name in {
                    target.id
                    for target in ast.walk(later)
                    if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store)
                }:
                    break
                use = next((use for use in ast.walk(later) if is_io_use(use, name)), None)
                if use is not None:
                    yield Finding(
                        getattr(use, "lineno", later.lineno),
                        "error",
                        "use-after-close",
                        f"`{short(use)}` in {where(scope)} uses `{name}` after {how} on line {statement.lineno} "
                        "closed it",
                        f"move it before the close, into the block that keeps `{name}` open",
                    )
                    break


def closed_by(statement: ast.stmt, scope: ast.AST) -> Iterator[tuple[str, str]]:
    match statement:
        case ast.With(items=items):
            for item in items:
                if (
                    is_open_call(item.context_expr)
                    and isinstance(item.optional_vars, ast.Name)
                    and "connect" not in written(item.context_expr)
                ):
                    yield item.optional_vars.id, "its with-block"
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="close"), args=[])):
            bound = assignments(scope, name)
            if any(
                isinstance(node, ast.Assign) and (is_open_call(node.value) or ".cursor(" in written(node.value))
                for node in bound
            ):
                yield name, f"`{name}.close()`"


def is_io_use(node: ast.AST, name: str) -> bool:
    uses = (
        "read", "readline", "readlines", "write", "writelines", "seek", "send", "recv", "sendall", "execute",
        "commit", "fetchall", "fetchone", "cursor", "namelist", "extractall", "truncate", "tell",
    )  # fmt: skip
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=given), attr=attr)):
            return given == name and attr in uses
        case ast.For(iter=ast.Name(id=given)):
            return given == name
        case ast.Call(func=func, args=[ast.Name(id=given), *_]):
            return given == name and dotted(func) in (
                "json.load",
                "csv.reader",
                "csv.DictReader",
                "pickle.load",
                "list",
            )
    return False


def left_locked(source: Source, scope: ast.AST) -> Iterator[Finding]:
    if (
        not isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef)
        or "acquire" in scope.name
        or scope.name in ("__enter__", "__aenter__")
    ):
        return
    for node in own_nodes(scope):
        match node:
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=lock, attr="acquire"))) if (
                "lock" in written(lock).lower() or "mutex" in written(lock).lower()
            ) and is_own(lock):
                if not releases(source.tree, written(lock).rsplit(".", 1)[-1]):
                    yield told(
                        node,
                        "lock-not-released",
                        f"`{scope.name}()` acquires `{written(lock)}` and never releases it: the next caller "
                        "waits for ever",
                        f"write `with {written(lock)}:`",
                    )


def is_own(lock: ast.expr) -> bool:
    """A lock by its name or on `self`; one that belongs to another object may be released there."""
    return isinstance(lock, ast.Name) or (
        isinstance(lock, ast.Attribute) and isinstance(lock.value, ast.Name) and lock.value.id in ("self", "cls")
    )


def releases(tree: ast.AST, lock: str) -> bool:
    """Somewhere in the file this lock, by its last name, is released or goes under another name."""
    for node in ast.walk(tree):
        match node:
            case (
                ast.Attribute(attr="release", value=value) | ast.Assign(value=ast.Name() | ast.Attribute() as value)
            ) if written(value).rsplit(".", 1)[-1] == lock:
                return True
    return False
