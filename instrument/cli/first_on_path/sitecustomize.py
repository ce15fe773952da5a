"""Python imports this first in a program that `instrument run` starts, and in the Python processes that it starts.

Nothing of the program is imported before its time, `openai` least of all: it is patched when the program has imported
it. This folder goes off `sys.path` again, and a `sitecustomize` that the program has of its own is loaded as ever.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
PATH, FOLLOWS = "PYTHONPATH", "INSTRUMENT_RUN_CHILDREN"


class PatchedWhenImported:
    """Finds `openai` as the others do, and has it patched when it has been loaded."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """What the finders behind this one find."""
        if name != "openai":
            return None
        spec = next((spec for finder in _others(self) if (spec := finder.find_spec(name, path, target))), None)
        if spec is not None and spec.loader is not None:
            _patch_after(spec.loader)
        return spec


def _others(mine: object) -> list[Any]:
    return [finder for finder in sys.meta_path if finder is not mine and hasattr(finder, "find_spec")]


def _patch_after(loader: Any) -> None:
    plain = loader.exec_module

    def exec_module(module: Any) -> None:
        vars(loader).pop("exec_module", None)
        plain(module)
        _patch()

    loader.exec_module = exec_module


def _patch() -> None:
    try:
        from instrument import patch_openai

        patch_openai()
    except Exception as error:  # noqa: BLE001 - the program must run all the same, also in another environment
        sys.stderr.write(f"instrument: openai is not recorded ({type(error).__name__}: {error})\n")


def _go_off_the_path() -> None:
    sys.path[:] = [place for place in sys.path if place != HERE]
    if os.environ.pop(FOLLOWS, "1") == "0":
        rest = [place for place in os.environ.get(PATH, "").split(os.pathsep) if place != HERE]
        os.environ.pop(PATH, None)
        if any(rest):
            os.environ[PATH] = os.pathsep.join(rest)


def _load_the_programs_own() -> None:
    mine = sys.modules.pop("sitecustomize")
    try:
        importlib.import_module("sitecustomize")  # the one behind this one
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
        sys.modules["sitecustomize"] = mine


sys.meta_path.insert(0, PatchedWhenImported())
_go_off_the_path()
_load_the_programs_own()
