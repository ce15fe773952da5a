"""Which process is meant, and whether it runs: pids are used again, and containers count from one."""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

_START_SLACK_NS = 60 * 10**9
_STATE, _STARTED = 0, 19
"""Places of a process's state and of its start (in ticks since the boot) in /proc/PID/stat behind the name."""


class Process(NamedTuple):
    """One process: pid, start, and the machine it is on (host, space of pids, boot). What cannot be told is empty."""

    pid: int
    started: str
    machine: str


def this_process() -> Process:
    """The process that asks."""
    return Process(os.getpid(), _started(os.getpid()) or "", _machine())


def is_dead(process: Process) -> bool | None:
    """Whether the process has ended; None where that cannot be told, because it is on another machine."""
    here, there = _machine().rpartition("/"), process.machine.rpartition("/")
    if here[0] != there[0]:
        return None
    return here[2] != there[2] or _started(process.pid) != process.started


@cache
def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        boot = space = ""
    return f"{socket.gethostname()}/{space}/{boot}"


def is_running(pid: int, since_ns: int, run: str) -> bool:
    """Whether the process that began recording `run` then is still there: the same number, and not started later.

    Where the clock was set forward since, every process seems to have started later: it is the same if it has the file.
    """
    told = _started(pid)
    if told is None:
        return False
    started = _in_ns(told)
    return started is None or started <= since_ns + _START_SLACK_NS or _has_open(pid, run)


def _has_open(pid: int, run: str) -> bool:
    """Whether the process has a file of the run open, as far as that may be known."""
    with suppress(OSError):
        place = f"/proc/{pid}/fd"
        return bool(run) and any(f"-{run}." in _link(f"{place}/{descriptor}") for descriptor in os.listdir(place))
    return False


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:  # closed meanwhile
        return ""


def is_there(pid: int) -> bool:
    """Whether there is a process of this number; on Windows, where that cannot be asked so, there is."""
    if sys.platform == "win32":  # there it would press Ctrl-C
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # one of another user
    return True


def _started(pid: int) -> str | None:
    """When the process started; empty where the system does not say, None when it runs no more."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")  # its name may be cut within a character
        fields = told.rpartition(")")[2].split()
        return None if fields[_STATE] in "ZX" else fields[_STARTED]
    except (OSError, IndexError):
        return "" if is_there(pid) else None


def _in_ns(started: str) -> int | None:
    """When that was in nanoseconds since the epoch; None where the system does not say."""
    try:
        up = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return time.time_ns() - up + int(started) * 10**9 // os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError):
        return None
