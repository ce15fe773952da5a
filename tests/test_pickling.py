"""Functions that are pickled by value, as dill and cloudpickle do it, of which each has a stand-in here."""

from __future__ import annotations

import functools
import importlib
import io
import marshal
import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from instrument import tool, traced
from instrument.record import pickling
from instrument.testing import Recording, record
from tests.same import plain


def rebuilt(code: bytes, name: str, module: str) -> types.FunctionType:
    return types.FunctionType(marshal.loads(code), {"__name__": module}, name)


def by_value(function: Any) -> tuple[Callable[..., Any], tuple[bytes, str, str]]:
    return rebuilt, (marshal.dumps(function.__code__), function.__name__, function.__module__)


class AsDill(pickle._Pickler):
    """Knows a function by its very type, as dill does."""

    dispatch = pickle._Pickler.dispatch.copy()

    @classmethod
    def register(cls, kind: type) -> Callable[[Any], None]:
        return lambda save: cls.dispatch.update({kind: save})


@AsDill.register(types.FunctionType)
def save_function(pickler: Any, function: Any) -> None:
    if function.__module__ == "__main__" or "<locals>" in function.__qualname__:
        pickler.save_reduce(*by_value(function), obj=function)
    else:
        pickler.save_global(function)


class AsCloudpickle(pickle.Pickler):
    """Takes for a function what `isinstance` does, as cloudpickle does."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, types.FunctionType) and "<locals>" in obj.__qualname__:
            return self._dynamic_function_reduce(obj)
        return NotImplemented

    def _dynamic_function_reduce(self, obj: Any) -> Any:
        return by_value(obj)


pickling.attach_dill(AsDill)
pickling.attach_cloudpickle(types.SimpleNamespace(Pickler=AsCloudpickle))
KINDS = pytest.mark.parametrize("kind", [AsDill, AsCloudpickle])


def dumped(kind: Any, value: object) -> bytes:
    stream = io.BytesIO()
    kind(stream).dump(value)
    return stream.getvalue()


def local(decorate: Any) -> Any:
    @decorate
    def double(a: int) -> int:
        return 2 * a

    return double


@tool
def top_level(a: int) -> int:
    return a


@KINDS
@pytest.mark.parametrize("decorate", [traced, tool(name="other"), lambda target: traced(tool(target))])
def test_local_function_does_the_same(kind: Any, decorate: Any) -> None:
    """A local function arrives, as a plain one does, however it is decorated."""
    assert 6 == pickle.loads(dumped(kind, local(decorate)))(3)


@KINDS
def test_what_arrives_is_recorded(kind: Any) -> None:
    """Where it arrives it is decorated as it was."""
    arrived = pickle.loads(dumped(kind, local(tool(name="named"))))
    with record() as recording:
        arrived(3)
    span = recording.span("named")
    assert ("tool", {"a": 3}, 6) == (span.kind, span.input, span.output)


class Cached:
    @traced
    @functools.lru_cache
    def double(self, a: int) -> int:
        return 2 * a


@KINDS
def test_a_method_of_a_cache_is_that_of_the_instance(kind: Any, recorded: Recording) -> None:
    """It is made anew at every access, and arrives by its instance."""
    assert 6 == pickle.loads(dumped(kind, Cached().double))(3)


@KINDS
def test_function_of_a_module_is_the_function(kind: Any) -> None:
    """What can be found by its name goes by its name."""
    assert top_level is pickle.loads(dumped(kind, top_level))


def test_function_of_the_main_program_goes_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """dill takes the main program's own functions with it, for a process with another main program, and hashes them."""
    function = rebuilt(marshal.dumps(local(plain).__code__), "double", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "double", decorated := traced(function), raising=False)
    arrived = pickle.loads(dumped(AsDill, decorated))
    assert (False, 6) == (arrived is decorated, arrived(3))


def test_what_dill_teaches_the_pickler_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes local functions as dill does where dill has taught it to, decorated or not."""
    taught = {**pickle._Pickler.dispatch, types.FunctionType: AsDill.dispatch[types.FunctionType]}
    monkeypatch.setattr(pickle._Pickler, "dispatch", taught)
    pickling.attach_dill(types.SimpleNamespace(register=AsDill.register, Pickler=AsDill))
    assert [6, 6] == [pickle.loads(dumped(pickle._Pickler, local(each)))(3) for each in (plain, traced)]


def test_without_us_the_plain_function_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where instrument is not installed, the plain function runs, as it would have undecorated."""
    carried = dumped(AsCloudpickle, local(traced))
    monkeypatch.setitem(sys.modules, "instrument.record.decorators", None)
    assert types.FunctionType is type(pickle.loads(carried))


def test_who_imports_dill_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to ask for it: our types are known to dill as soon as it is imported."""
    (tmp_path / "dill.py").write_text("known = []\ndef register(kind):\n    return lambda save: known.append(kind)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "dill", raising=False)
    assert type(top_level) in importlib.import_module("dill").known
    monkeypatch.delitem(sys.modules, "dill")


def test_who_imports_cloudpickle_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with cloudpickle."""
    (tmp_path / "cloudpickle").mkdir()
    (tmp_path / "cloudpickle" / "__init__.py").touch()
    source = "class Pickler:\n    def _dynamic_function_reduce(self, function): return function.__name__"
    (tmp_path / "cloudpickle" / "cloudpickle.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cloudpickle", raising=False)
    pickler = importlib.import_module("cloudpickle.cloudpickle").Pickler()
    assert "double" != pickler._dynamic_function_reduce(local(traced))
    assert "double" == pickler._dynamic_function_reduce(local(plain))


@pytest.mark.parametrize("attach", [pickling.attach_dill, pickling.attach_cloudpickle])
def test_other_modules_of_that_name_are_left_alone(attach: Any) -> None:
    """A module of the user's own that happens to be called so is imported as it is."""
    attach(module := types.ModuleType("dill"))
    assert vars(types.ModuleType("dill")) == vars(module)
