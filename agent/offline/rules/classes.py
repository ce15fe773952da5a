"""Classes: a forgotten self, a forgotten super call, attributes that nobody ever sets."""

from __future__ import annotations

import ast
import builtins
import difflib
from collections.abc import Iterable, Iterator

from .source import Finding, Function, Source, bound_names, dotted, is_stub, own_nodes, told, type_of_function, written

special_receivers = {"__new__", "__init_subclass__", "__class_getitem__", "_generate_next_value_"}
plain_decorators = {"property", "classmethod", "abstractmethod", "abc.abstractmethod"}
receivers = {"self", "cls", "mcs", "mcls", "metacls", "klass", "_self", "_", "__self", "this", "_cls"}
most_unknown = 2


def find(source: Source) -> Iterator[Finding]:
    for owner in source.classes:
        for function in owner.body:
            if isinstance(function, type_of_function):
                yield from without_self(source, owner, function)
                yield from without_prefix(source, owner, function)
        yield from never_set(source, owner)
        yield from without_super(source, owner)
        yield from init_misspelt(owner)


def without_self(source: Source, owner: ast.ClassDef, function: Function) -> Iterator[Finding]:
    decorators = {written(item) for item in function.decorator_list}
    if function.name in special_receivers or is_protocol(owner):
        return
    if problem := receiver_problem(source, owner, function, decorators):
        yield told(function, "missing-self", problem, "add `self` as first parameter")
    elif "staticmethod" in decorators and [arg.arg for arg in function.args.args][:1] == ["self"]:
        message = f"the static method `{owner.name}.{function.name}()` takes `self`, which it is never given"
        yield told(function, "self-in-static", message, "remove `self` or the decorator", "warning")


def receiver_problem(source: Source, owner: ast.ClassDef, function: Function, decorators: set[str]) -> str:
    """What is wrong with a method's first parameter, as a sentence; empty when nothing is."""
    name = f"`{owner.name}.{function.name}()`"
    if "staticmethod" in decorators:
        return ""
    if uses_unbound_self(source, function):
        return f"the method {name} uses `self`, which is not among its parameters: NameError"
    if decorators - plain_decorators or function.args.vararg or called_on_class(source, owner, function):
        return ""
    given = [arg.arg for arg in [*function.args.posonlyargs, *function.args.args]]
    if not given:
        return f"the method {name} has no `self`: calling it on an instance raises TypeError"
    if "classmethod" in decorators or given[0] in receivers or is_convention(source, function, given[0]):
        return ""
    if is_odd_one_out(owner, function, given[0]):
        return f"the first parameter of {name} is `{given[0]}`, where `self` belongs"
    return ""


def is_convention(source: Source, function: Function, first: str) -> bool:
    """Other classes of the file have the method with the same first parameter: some metaclass makes it static."""
    same = [other for other in source.functions if other.name == function.name and source.class_of(other)]
    return sum(other.args.args[0].arg == first for other in same if other.args.args) > 1


def is_odd_one_out(owner: ast.ClassDef, function: Function, first: str) -> bool:
    """A public method whose first parameter has a name of its own, while other methods take `self`."""
    methods = [item for item in owner.body if isinstance(item, type_of_function) and item is not function]
    others = any(item.args.args and item.args.args[0].arg == "self" for item in methods)
    return others and not function.name.startswith("_") and len(first) > 2 and not is_stub(function)


def uses_unbound_self(source: Source, function: Function) -> bool:
    around = [function, *(above for above in source.ancestors(function) if isinstance(above, type_of_function))]
    bound = {arg.arg for scope in around for arg in ast.walk(scope.args) if isinstance(arg, ast.arg)} | {
        name for scope in around for name in bound_names(own_nodes(scope))
    }
    return "self" not in bound | source.module_names and any(
        isinstance(node, ast.Name) and node.id == "self" for node in own_nodes(function)
    )


def is_protocol(owner: ast.ClassDef) -> bool:
    text = " ".join(written(base) for base in owner.bases)
    return any(word in text for word in ("Protocol", "Interface", "type", "Enum", "Meta"))


def called_on_class(source: Source, owner: ast.ClassDef, function: Function) -> bool:
    """Used as a plain function: `Class.f(...)`, in the class's own body, or by a decorator of the class."""
    if any(dotted(node.value).endswith(owner.name) for node in source.attributes.get(function.name, [])):
        return True
    body = [
        node for statement in owner.body if not isinstance(statement, type_of_function) for node in ast.walk(statement)
    ]
    decorators = [
        node
        for statement in owner.body
        if isinstance(statement, type_of_function)
        for item in statement.decorator_list
        for node in ast.walk(item)
    ]
    return any(isinstance(node, ast.Name) and node.id == function.name for node in [*body, *decorators]) or bool(
        owner.decorator_list
    )


def without_prefix(source: Source, owner: ast.ClassDef, function: Function) -> Iterator[Finding]:
    """A call of another method by its bare name, which means nothing outside of the class."""
    outside = source.module_names | set(dir(builtins))
    methods = {item.name for item in owner.body if isinstance(item, type_of_function)} - outside
    called = [node for node in own_nodes(function) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    suspects = [call for call in called if dotted(call.func) in methods]
    if not suspects or source.has_star_import:
        return
    around = [function, *(above for above in source.ancestors(owner) if isinstance(above, type_of_function))]
    visible = {name for scope in around for name in bound_names(part for part in ast.walk(scope) if part is not scope)}
    given = {arg.arg for scope in around for arg in ast.walk(scope) if isinstance(arg, ast.arg)}
    for call in suspects:
        if dotted(call.func) not in visible | given:
            yield told(
                call,
                "missing-self",
                f"`{written(call)}` in `{owner.name}.{function.name}()` calls a method by its bare name: NameError",
                f"write `self.{dotted(call.func)}(…)`",
            )


def never_set(source: Source, owner: ast.ClassDef) -> Iterator[Finding]:
    """`self.nmae` where the class only ever sets `self.name`: read, never set, and close to one that is."""
    if not is_closed(source, owner):
        return
    known = known_attributes(owner) | set_from_outside(source, owner)
    reads = list(unknown_reads(source, owner, known))
    if len({node.attr for node in reads if isinstance(node.ctx, ast.Load)}) > most_unknown:
        return  # part of a class that others complete
    said: set[str] = set()
    for node in reads:
        if node.attr in said:
            continue
        near = difflib.get_close_matches(node.attr, sorted(known), n=1, cutoff=0.75)
        said.add(node.attr)
        hint = f"; `{owner.name}` has `{near[0]}`" if near else ""
        yield told(
            node,
            "unknown-attribute",
            f"`self.{node.attr}` is read in {source.place(node)} but nothing in `{owner.name}` sets or "
            f"defines it{hint}: AttributeError",
            f"use `self.{near[0]}`" if near else "set it in `__init__`",
        )


def unknown_reads(source: Source, owner: ast.ClassDef, known: set[str]) -> Iterator[ast.Attribute]:
    """Where the class reads of itself what nothing in sight gives it."""
    for node in ast.walk(owner):
        if (
            isinstance(node, ast.Attribute)
            and (isinstance(node.ctx, ast.Load) or isinstance(source.parent(node), ast.AugAssign))
            and written(node.value) == "self"
            and node.attr not in known
            and not node.attr.startswith("__")
            and not is_probed(source, node)
        ):
            yield node


def is_closed(source: Source, owner: ast.ClassDef) -> bool:
    """Nothing outside the class body can add attributes: no base, decorator, metaclass, subclass or setattr."""
    if (
        any(written(base) != "object" for base in owner.bases)
        or owner.keywords
        or owner.decorator_list
        or owner.name.endswith(("Mixin", "Mix", "Base"))
    ):
        return False
    if any(isinstance(base, ast.Name) and base.id == owner.name for other in source.classes for base in other.bases):
        return False
    special = {"__getattr__", "__getattribute__", "__dict__"}
    if any(getattr(item, "name", "") in special for item in owner.body) or not any(
        getattr(item, "name", "") == "__init__" for item in owner.body
    ):
        return False
    text = written(owner)
    tricks = ("__dict__", "setattr(", "vars(self", "exec(", "locals()", "super()", ", self)", "namespace=self")
    return not any(trick in text for trick in tricks)


def set_from_outside(source: Source, owner: ast.ClassDef) -> set[str]:
    """Attributes that other places of the file set on what may be an instance."""
    inner = set(ast.walk(owner))
    return {
        node.attr
        for node in source.nodes
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node not in inner
    }


def known_attributes(owner: ast.ClassDef) -> set[str]:
    added_to = {node.target for node in ast.walk(owner) if isinstance(node, ast.AugAssign)}
    known = {
        node.attr
        for node in ast.walk(owner)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del) and node not in added_to
    }
    known |= {item.name for item in ast.walk(owner) if isinstance(item, (*type_of_function, ast.ClassDef))}
    known |= {
        node.id
        for item in owner.body
        if not isinstance(item, type_of_function)
        for node in ast.walk(item)
        if isinstance(node, ast.Name)
    }
    slots = [
        item.value for item in owner.body if isinstance(item, ast.Assign) and written(item.targets[0]) == "__slots__"
    ]
    known |= {str(node.value) for slot in slots for node in ast.walk(slot) if isinstance(node, ast.Constant)}
    return known | {
        alias.asname or alias.name
        for item in owner.body
        if isinstance(item, ast.Import | ast.ImportFrom)
        for alias in item.names
    }


def is_probed(source: Source, node: ast.AST) -> bool:
    return any(
        isinstance(above, ast.Try) for above in source.ancestors(node)
    ) or f'hasattr(self, "{getattr(node, "attr", "")}"' in source.text.replace("'", '"')


def without_super(source: Source, owner: ast.ClassDef) -> Iterator[Finding]:
    """`__init__` of a subclass that leaves out the base's, though its methods use what only the base's sets."""
    base, own = only_base(source, owner), method(owner, "__init__")
    base_init = method(base, "__init__") if base is not None else None
    if base is None or own is None or base_init is None or is_stub(base_init) or has_overloads(owner):
        return
    if "super(" in written(own) or ".__init__(" in written(own):
        return
    others = (item for item in base.body if item is not base_init)
    inherited = [item for item in others if method(owner, getattr(item, "name", "")) is None]
    used = of_self([*owner.body, *inherited], ast.Load)
    missing = sorted((of_self([base_init], ast.Store) & used) - known_attributes(owner))
    if missing:
        yield told(
            own,
            "missing-super-init",
            f"`{owner.name}.__init__()` does not call `{base.name}.__init__()`, so `self.{missing[0]}` is never set",
            "call `super().__init__(…)`",
        )


def only_base(source: Source, owner: ast.ClassDef) -> ast.ClassDef | None:
    """The one base class that this file holds."""
    named = [base.id for base in owner.bases if isinstance(base, ast.Name)]
    bases = [other for other in source.classes for name in named if name == other.name]
    return bases[0] if len(bases) == 1 else None


def has_overloads(owner: ast.ClassDef) -> bool:
    functions = (item for item in owner.body if isinstance(item, type_of_function))
    return any("overload" in written(decorator) for function in functions for decorator in function.decorator_list)


def of_self(nodes: Iterable[ast.AST], context: type[ast.expr_context]) -> set[str]:
    """Attributes of `self` that are read, or set, inside of these."""
    return {
        node.attr
        for inside in nodes
        for node in ast.walk(inside)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, context) and written(node.value) == "self"
    }


def method(owner: ast.ClassDef, name: str) -> Function | None:
    return next((item for item in owner.body if isinstance(item, type_of_function) and item.name == name), None)


misspelt = {
    "_init_", "__int__init__", "__init", "_init__", "__init_", "init__", "__inti__", "__str", "_str_", "__repr",
    "_repr_",
}  # fmt: skip


def init_misspelt(owner: ast.ClassDef) -> Iterator[Finding]:
    for item in owner.body:
        if isinstance(item, type_of_function) and item.name in misspelt:
            yield told(
                item,
                "misspelt-special-method",
                f"`{owner.name}.{item.name}()` is never called by Python: special methods have two underscores on "
                "both sides",
                f"rename it to `__{item.name.strip('_').replace('inti', 'init')}__`",
            )
