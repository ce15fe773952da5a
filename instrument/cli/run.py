"""`instrument run`: an unmodified program under instrumentation.

The program is started by Python itself, in place of this process, so that its arguments, `__main__`, `sys.path`,
signals, tracebacks and exit code are what they always are. A module that Python imports at its start has `openai`
patched as soon as the program imports it. Options are handed on as the environment variables that they stand for.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instrument.errors import SettingsError
from instrument.origins import PROGRAM

if TYPE_CHECKING:
    from instrument.settings import Settings

FIRST_ON_PATH = Path(__file__).parent / "first_on_path"
FLAGS = {
    "dir": "INSTRUMENT_DIR",
    "sinks": "INSTRUMENT_SINKS",
    "service": "INSTRUMENT_SERVICE",
    "agent_id": "INSTRUMENT_AGENT_ID",
    "budget_usd": "INSTRUMENT_BUDGET__USD",
    "config": "INSTRUMENT_CONFIG",
}


def add(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "run",
        help="run a program as it is, with its OpenAI calls recorded",
        usage="instrument run [options] SCRIPT|-m MODULE [arguments of the program …]",
        description="Run an unmodified program with its OpenAI calls recorded. Exit code, arguments, signals and "
        "tracebacks are those of the program.",
        epilog="Every setting may also be given in the environment (INSTRUMENT_…) or by --set.",
    )
    parser.add_argument("--dir", metavar="DIR", help="where to write (default: .instrument)")
    parser.add_argument("--sinks", metavar="NAMES", help="where it goes to, such as jsonl,ledger")
    parser.add_argument("--service", metavar="NAME", help="a name for the program")
    parser.add_argument("--agent-id", metavar="ID", help="a name for the agent")
    parser.add_argument("--budget-usd", metavar="USD", help="refuse what may pass this limit of the whole program")
    parser.add_argument("--config", metavar="FILE", help="a TOML file with settings")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="any setting, by its dotted name"
    )
    parser.add_argument(
        "--apart",
        action="store_true",
        help="no trace of the program, one for each call: for bots and workers",
    )
    parser.add_argument("--no-children", action="store_true", help="leave Python processes that it starts alone")
    parser.add_argument("-m", dest="module", nargs=argparse.REMAINDER, metavar="MODULE", help="run a module")
    parser.add_argument("program", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Start the program; returns only where the system cannot put it in the place of this process."""
    words = ["-m", *args.module] if args.module else args.program
    if words[:1] == ["--"]:
        words = words[1:]
    if not words:
        raise SettingsError("what shall be run? instrument run SCRIPT, or instrument run -m MODULE")
    if sys.flags.ignore_environment:
        raise SettingsError("instrument run works through the environment, which Python ignores with -E and -I")
    os.environ.update(_environment(args))
    if args.budget_usd is not None and "INSTRUMENT_BUDGET__PERIOD" not in os.environ:
        os.environ.update(_budget_of(words))
    from instrument.settings import for_children

    os.environ.update(for_children(_checked(args)))
    if not args.apart:
        os.environ.setdefault(PROGRAM, f"0 0 - - - - {_name(words)}")
    os.environ.update(_path(args.no_children))
    return _become([sys.executable, *_interpreter_options(), *words])


def _environment(args: argparse.Namespace) -> dict[str, str]:
    """The options as environment variables."""
    given = {name: getattr(args, option) for option, name in FLAGS.items()}
    found = {name: str(value) for name, value in given.items() if value is not None}
    for pair in args.set:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise SettingsError(f"--set {pair}: a setting is given as KEY=VALUE, such as console.level=info")
        found[_variable(key)] = value
    return found


def _budget_of(words: list[str]) -> dict[str, str]:
    """One budget for this program and the processes that it starts."""
    return {
        "INSTRUMENT_BUDGET__PERIOD": "total",
        "INSTRUMENT_BUDGET__NAME": f"{_name(words)[:100]} {os.urandom(4).hex()}",
    }


def _name(words: list[str]) -> str:
    """What the program is called: its script without the folders, or its module."""
    return words[1] if words[0] == "-m" else Path(words[0]).name


def _variable(key: str) -> str:
    return "INSTRUMENT_" + key.strip().replace(".", "__").replace("-", "_").upper()


def _checked(args: argparse.Namespace) -> Settings:
    """The settings. Raises `SettingsError`, which names the option that the user gave, not the variable it became."""
    from instrument.settings import load

    given = {
        name: f"--{option.replace('_', '-')}" for option, name in FLAGS.items() if getattr(args, option) is not None
    }
    given |= {_variable(key): f"--set {key}" for key in (pair.partition("=")[0] for pair in args.set)}
    try:
        return load()
    except SettingsError as error:
        told = re.sub(r"(?:environment variable )?(INSTRUMENT_\w+)", lambda at: given.get(at[1], at[0]), str(error))
        raise SettingsError(told) from None


def _path(alone: bool) -> dict[str, str]:
    before = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(FIRST_ON_PATH), *([before] if before else [])])
    return {"PYTHONPATH": path, **({"INSTRUMENT_RUN_CHILDREN": "0"} if alone else {})}


def _interpreter_options() -> list[str]:
    """Those that this Python was started with, such as -W or -X; `multiprocessing` asks for them in the same way."""
    options: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # typeshed leaves it out
    return options


def _become(command: list[str]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "nt":  # there the caller would not wait for what takes its place
        return subprocess.call(command)
    os.execv(command[0], command)
