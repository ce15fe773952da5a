"""Decorate an agent, run it, and see what it did, what it cost and where it went wrong.

Recording is loaded at once and is light; everything else is loaded when its name is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from instrument import eager
from instrument.errors import BudgetExceeded, InstrumentError, LoopDetected, SettingsError
from instrument.record.blocks import span
from instrument.record.context import carry, current_span, session
from instrument.record.decorators import agent, llm_call, tool, traced, wrap
from instrument.record.headers import extract, inject
from instrument.record.switch import switch
from instrument.version import __version__

if TYPE_CHECKING:
    from instrument.analysis.report import Report, analyse
    from instrument.analysis.tree import Trace
    from instrument.integrations.openai import patch_openai
    from instrument.reading import read, records
    from instrument.record.budgets import budget
    from instrument.record.logs import log, score
    from instrument.settings import Settings
    from instrument.wiring import configure, flush, metrics, save, shutdown

_LATER = {
    "Report": "instrument.analysis.report",
    "Settings": "instrument.settings",
    "Trace": "instrument.analysis.tree",
    "analyse": "instrument.analysis.report",
    "budget": "instrument.record.budgets",
    "configure": "instrument.wiring",
    "flush": "instrument.wiring",
    "log": "instrument.record.logs",
    "metrics": "instrument.wiring",
    "patch_openai": "instrument.integrations.openai",
    "read": "instrument.reading",
    "records": "instrument.reading",
    "save": "instrument.wiring",
    "score": "instrument.record.logs",
    "shutdown": "instrument.wiring",
}

__all__ = [
    "BudgetExceeded",
    "InstrumentError",
    "LoopDetected",
    "Report",
    "Settings",
    "SettingsError",
    "Trace",
    "__version__",
    "agent",
    "analyse",
    "budget",
    "carry",
    "configure",
    "current_span",
    "extract",
    "flush",
    "inject",
    "llm_call",
    "log",
    "metrics",
    "patch_openai",
    "read",
    "records",
    "save",
    "score",
    "session",
    "shutdown",
    "span",
    "tool",
    "traced",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        found = getattr(importlib.import_module(_LATER[name]), name)
    except ImportError as error:
        from instrument.record.unloaded import refuses_subinterpreters, stand_in

        if not refuses_subinterpreters(error):
            raise
        found = stand_in(name, error)
    globals()[name] = found
    eager.load()
    return found


def __dir__() -> list[str]:
    return __all__


def _start() -> None:
    try:
        from instrument.wiring import start
    except ImportError as error:  # in a subinterpreter not every extension loads
        from instrument.record.notices import notice

        switch.decided = True
        why = f"where not all that recording needs can be loaded ({error})"
        notice(f"nothing is recorded here and no limit holds, {why}")
    else:
        start()
        eager.load()


switch.start = _start
eager.load()
