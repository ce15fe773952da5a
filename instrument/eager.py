"""Our modules are loaded at once, also where Python 3.15 is told to load each when a name of it is first used.

With `-X lazy_imports=all` calls on several threads would load them, beside a fork: a child would wait for ever for the
lock of a module that another thread was loading.
"""

from __future__ import annotations

import sys
import types


def load() -> None:
    """All that modules of ours import, which those do that have been loaded so far."""
    if sys.version_info >= (3, 15) and sys.get_lazy_imports() == "all":
        done: set[str] = set()
        while new := {name for name in list(sys.modules) if name.partition(".")[0] == "instrument"} - done:
            done |= new
            for module in [sys.modules[name] for name in new]:
                for name, value in list(vars(module).items()):
                    if type(value) is types.LazyImportType:
                        getattr(module, name)
