"""Our modules are loaded at once, also where Python 3.15 is told to load each when a name of it is first used.

With `-X lazy_imports=all` calls on several threads would load them, beside a fork: a child would wait for ever for the
lock of a module that another thread was loading.
"""

from __future__ import annotations

import importlib
import sys
import types
from contextlib import suppress

_MESSAGES = (
    "google.protobuf.any",
    "google.protobuf.duration",
    *(f"opentelemetry.proto.{name}.v1.{name}" for name in ("common", "resource", "trace", "logs", "metrics")),
)


def load() -> None:
    """All that modules of ours import, which those do that have been loaded so far."""
    if sys.version_info >= (3, 15) and sys.get_lazy_imports() == "all":
        done: set[str] = set()
        while new := {name for name in list(sys.modules) if name.partition(".")[0] == "instrument"} - done:
            done |= new
            for module in [sys.modules[name] for name in new]:
                for name, value in list(vars(module).items()):
                    if type(value) is types.LazyImportType:
                        with suppress(Exception):  # whoever uses it meets the same fault, and says so
                            getattr(module, name)


def load_messages() -> None:
    """What the messages of OTLP need to be there before them, which they import but use no name of."""
    for name in _MESSAGES:
        importlib.import_module(f"{name}_pb2")
