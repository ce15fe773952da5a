"""What `from instrument import tool` and one decoration cost more than `import wrapt`, and what they load."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

from benchmarks.limits import ROOT, Limit

REPEATS = 9
AIM_MS = 80.0
WRAPT = "import wrapt"
OURS = "from instrument import tool\n@tool\ndef add(a: int, b: int) -> int:\n    return a + b\n"
HEAVY = ("openai", "pydantic", "tiktoken", "rich", "loguru")


def found() -> list[Limit]:
    """The least of the repeats, which take turns."""
    times = [(_cpu_ms(WRAPT), _cpu_ms(OURS)) for _ in range(REPEATS)]
    wrapt, ours = (min(pair[at] for pair in times) for at in (0, 1))
    beyond = loaded(OURS) - loaded(WRAPT)
    heavy = [name for name in (*HEAVY, "asyncio") if any(one.partition(".")[0] == name for one in beyond)]
    return [
        Limit("import and one decoration: CPU beyond `import wrapt`", ours - wrapt, "ms", AIM_MS),
        Limit(f"of {', '.join(HEAVY)} and asyncio beyond wrapt's own are loaded", len(heavy), "", 0),
    ]


def loaded(program: str) -> set[str]:
    """The names of all modules that the program loads."""
    told = _run(f"{program}\nimport sys\nprint(*sys.modules)")
    return set(told.split())


def _cpu_ms(program: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _run(program)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def _run(program: str) -> str:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("INSTRUMENT_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=plain, capture_output=True, text=True, check=True
    )
    return done.stdout
