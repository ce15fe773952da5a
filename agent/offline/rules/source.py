"""One parsed Python file and the questions that rules ask of it."""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

type_of_function = (ast.FunctionDef, ast.AsyncFunctionDef)
scopes = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
never_return = {
    "exit", "_exit", "quit", "abort", "fail", "skip", "xfail", "die", "assert_never", "reraise", "execv", "execvp",
    "execve",
}  # fmt: skip
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Finding:
    """One thing said about one line. `patch` is (old, new) text, `test` a whole test file, or None."""

    line: int
    severity: str
    rule: str
    message: str
    suggestion: str
    patch: tuple[str, str] | None = None
    test: str | None = None


def told(node: ast.AST, rule: str, message: str, suggestion: str, severity: str = "error") -> Finding:
    return Finding(getattr(node, "lineno", 1), severity, rule, message, suggestion)


@dataclass(frozen=True)
class Source:
    """A file that parsed: its text, its tree and who is whose parent."""

    path: str
    text: str
    tree: ast.Module

    @cached_property
    def lines(self) -> list[str]:
        return re.split(r"\r\n|\r|\n", self.text)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    @cached_property
    def parents(self) -> Mapping[ast.AST, ast.AST]:
        return {child: node for node in self.nodes for child in ast.iter_child_nodes(node)}

    @cached_property
    def functions(self) -> list[Function]:
        return [node for node in self.nodes if isinstance(node, type_of_function)]

    @cached_property
    def classes(self) -> list[ast.ClassDef]:
        return [node for node in self.nodes if isinstance(node, ast.ClassDef)]

    @cached_property
    def calls(self) -> list[ast.Call]:
        return [node for node in self.nodes if isinstance(node, ast.Call)]

    @cached_property
    def definitions(self) -> Counter[str]:
        """How often each name is defined by a function or class, anywhere in the file."""
        return Counter(node.name for node in self.nodes if isinstance(node, (*type_of_function, ast.ClassDef)))

    @cached_property
    def stored_names(self) -> frozenset[str]:
        """Names that are assigned anywhere in the file."""
        return frozenset(
            node.id for node in self.nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        )

    @cached_property
    def imported_names(self) -> frozenset[str]:
        """Names that an import binds anywhere in the file."""
        return frozenset(bound_names(node for node in self.nodes if isinstance(node, ast.Import | ast.ImportFrom)))

    @cached_property
    def global_names(self) -> frozenset[str]:
        """Names that some function declares `global`."""
        return frozenset(name for node in self.nodes if isinstance(node, ast.Global) for name in node.names)

    @cached_property
    def passed_names(self) -> frozenset[str]:
        """Names that are used for more than to call what they name."""
        names = (node for node in self.nodes if isinstance(node, ast.Name))
        return frozenset(node.id for node in names if not isinstance(self.parent(node), ast.Call))

    @cached_property
    def attributes(self) -> Mapping[str, list[ast.Attribute]]:
        """Uses of attributes by the attribute's name."""
        found: dict[str, list[ast.Attribute]] = {}
        for node in self.nodes:
            if isinstance(node, ast.Attribute):
                found.setdefault(node.attr, []).append(node)
        return found

    @cached_property
    def by_line(self) -> Mapping[int, list[ast.AST]]:
        """Nodes by the line they start on, outermost first."""
        found: dict[int, list[ast.AST]] = {}
        for node in self.nodes:
            if hasattr(node, "lineno"):
                found.setdefault(node.lineno, []).append(node)
        return found

    @cached_property
    def has_star_import(self) -> bool:
        return any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in self.nodes)

    @cached_property
    def module_names(self) -> frozenset[str]:
        return frozenset(bound_names(own_nodes(self.tree)))

    def parent(self, node: ast.AST) -> ast.AST | None:
        return self.parents.get(node)

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        above = self.parents.get(node)
        while above is not None:
            yield above
            above = self.parents.get(above)

    def function_of(self, node: ast.AST) -> Function | None:
        return next((above for above in self.ancestors(node) if isinstance(above, type_of_function)), None)

    def class_of(self, function: ast.AST) -> ast.ClassDef | None:
        above = self.parents.get(function)
        return above if isinstance(above, ast.ClassDef) else None

    def class_around(self, node: ast.AST) -> ast.ClassDef | None:
        return next((above for above in self.ancestors(node) if isinstance(above, ast.ClassDef)), None)

    def statement_of(self, node: ast.AST) -> ast.stmt:
        while not isinstance(node, ast.stmt):
            node = self.parents[node]
        return node

    def place(self, node: ast.AST) -> str:
        """Where a node stands, in words: the function's name or the module."""
        return where(self.function_of(node))


def where(scope: ast.AST | None) -> str:
    return f"`{scope.name}()`" if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef) else "the module"


def parse(path: str, text: str) -> Source:
    """Parse text. Raises SyntaxError (ValueError for a NUL byte, RecursionError for absurd nesting)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the reviewed file is warned about is not our program's business
        return Source(path, text, ast.parse(text))


def own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a scope without those of the functions, lambdas and classes inside it, in source order."""
    stack = list(reversed(list(body_of(scope))))
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, scopes):
            stack.extend(reversed(list(ast.iter_child_nodes(node))))


def body_of(scope: ast.AST) -> Iterable[ast.AST]:
    if isinstance(scope, ast.Lambda):
        return [scope.body]
    return getattr(scope, "body", [])


def blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The statement lists that hang directly below a node."""
    for field in ("body", "orelse", "finalbody"):
        block = getattr(node, field, None)
        if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
            yield block


def every_block(source: Source) -> Iterator[list[ast.stmt]]:
    for node in source.nodes:
        yield from blocks(node)


def bound_names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Names that these nodes bind: assignment targets, imports, definitions, handlers, patterns."""
    for node in nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from ((alias.asname or alias.name).split(".")[0] for alias in names)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name


def names_in(node: ast.AST) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}


def parameters(function: Function | ast.Lambda) -> list[ast.arg]:
    """Every named parameter, `self` and `cls` of methods included, stars left out."""
    given = function.args
    return [*given.posonlyargs, *given.args, *given.kwonlyargs]


def parameter(function: Function | None, name: str) -> ast.arg | None:
    if function is None or name in ("self", "cls"):
        return None
    return next((arg for arg in parameters(function) if arg.arg == name), None)


@lru_cache(maxsize=65536)
def written(node: ast.AST | None) -> str:
    """The expression as Python text."""
    return "" if node is None else ast.unparse(node)


def short(node: ast.AST, most: int = 60) -> str:
    text = written(node)
    return text if len(text) <= most else text[: most - 3] + "…"


def forget() -> None:
    """Let go of the trees that the caches hold."""
    written.cache_clear()
    attributes_set.cache_clear()


def dotted(node: ast.AST) -> str:
    """`a.b.c` for a chain of names and attributes, else an empty string."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])


def terminates(block: list[ast.stmt]) -> bool:
    """Whether control never runs off the end of a block."""
    return any(leaves(statement) for statement in block)


def leaves(statement: ast.stmt) -> bool:
    match statement:
        case ast.Return() | ast.Raise() | ast.Continue() | ast.Break():
            return True
        case ast.If(body=body, orelse=orelse):
            return terminates(body) and terminates(orelse)
        case ast.With(body=body) | ast.AsyncWith(body=body):
            return terminates(body) and not swallows(statement)
        case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=final):
            straight = terminates(orelse) or terminates(body)
            return terminates(final) or (straight and all(terminates(handler.body) for handler in handlers))
        case ast.While(test=ast.Constant(value=value), body=body) if value:
            return not any(isinstance(node, ast.Break) for node in loop_nodes(body))
        case ast.Match(cases=cases):
            return any(is_catch_all(case) for case in cases) and all(terminates(case.body) for case in cases)
        case ast.Expr(value=ast.Call(func=func)):
            return written(func).rsplit(".", 1)[-1] in never_return
        case ast.Assert(test=ast.Constant(value=value)):
            return not value
        case ast.For(body=body, orelse=orelse):
            return terminates(orelse) and not any(isinstance(node, ast.Break) for node in loop_nodes(body))
    return False


def is_catch_all(case: ast.match_case) -> bool:
    return case.guard is None and isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None


def swallows(statement: ast.With | ast.AsyncWith) -> bool:
    """Whether a with-block may eat an exception (suppress, raises and unknown managers of such names)."""
    words = ("suppress", "raises", "subTest", "catch(", "ignore", "assert")
    return any(any(word in written(item.context_expr) for word in words) for item in statement.items)


def loop_nodes(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Nodes of a loop's body without those of inner loops and scopes: whose break and continue are the loop's own."""
    stack: list[ast.AST] = list(body)
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, ast.For | ast.AsyncFor | ast.While):
            stack.extend(node.orelse)
        elif not isinstance(node, scopes):
            stack.extend(ast.iter_child_nodes(node))


@lru_cache(maxsize=512)
def attributes_set(owner: ast.AST) -> frozenset[str]:
    """Names of the attributes that are assigned anywhere inside a class."""
    return frozenset(
        node.attr for node in ast.walk(owner) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    )


def is_in_query(source: Source, node: ast.AST) -> bool:
    """Whether a comparison is an argument of `.filter()` and the like or an index, where objects make a query of it."""
    for above in source.ancestors(node):
        match above:
            case ast.Lambda() | ast.stmt():
                return False
            case ast.Subscript() | ast.Call(func=ast.Attribute(attr="filter" | "where" | "having" | "join")):
                return True
            case ast.Call(func=func) if written(func).rsplit(".", 1)[-1] in ("and_", "or_", "not_"):
                return True
            case ast.GeneratorExp() | ast.ListComp() | ast.SetComp() | ast.DictComp():
                return False
    return False


def is_none(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def is_stub(function: Function) -> bool:
    """Whether a body only documents, passes, or says that a subclass must do the work."""
    return all(is_idle(statement) for statement in function.body)


def is_idle(statement: ast.stmt) -> bool:
    match statement:
        case ast.Pass() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Raise(exc=exc):
            return "NotImplemented" in written(exc)
    return False


def is_generator(function: Function) -> bool:
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in own_nodes(function))


def assignments(function: ast.AST, name: str) -> list[ast.AST]:
    """Statements of a scope that bind a plain name, in source order (loops, withs and walrus included)."""
    found: list[ast.AST] = []
    for node in own_nodes(function):
        targets = binding_targets(node)
        if any(isinstance(inner, ast.Name) and inner.id == name for target in targets for inner in ast.walk(target)):
            found.append(node)
    return found


def binding_targets(node: ast.AST) -> list[ast.AST]:
    match node:
        case ast.Assign(targets=targets) | ast.Delete(targets=targets):
            return [store for target in targets for store in stores(target)]
        case ast.AugAssign(target=target) | ast.AnnAssign(target=target) | ast.NamedExpr(target=target):
            return list(stores(target))
        case ast.For(target=target) | ast.AsyncFor(target=target) | ast.comprehension(target=target):
            return list(stores(target))
        case ast.withitem(optional_vars=ast.AST() as target):
            return list(stores(target))
    return []


def stores(target: ast.AST) -> Iterator[ast.AST]:
    """The names a target binds; `x[0] = 1` and `x.y = 1` bind none."""
    if isinstance(target, ast.Name):
        yield target
    elif isinstance(target, ast.Tuple | ast.List):
        for element in target.elts:
            yield from stores(element)
    elif isinstance(target, ast.Starred):
        yield from stores(target.value)


def only_value(function: ast.AST, name: str) -> ast.expr | None:
    """The expression a local name always stands for: it is bound once, by a plain assignment."""
    bound = assignments(function, name)
    match bound:
        case [ast.Assign(targets=[ast.Name()], value=value)] | [ast.AnnAssign(value=ast.expr() as value)]:
            return value
    return None
