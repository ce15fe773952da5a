"""Which process is meant: a pid alone does not say, because pids are used again and containers count from one."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from typing import NamedTuple

from instrument.store.folder import is_there

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


def _started(pid: int) -> str | None:
    """When the process started; empty where the system does not say, None when it runs no more."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")  # its name may be cut within a character
    except OSError:
        return "" if is_there(pid) else None
    fields = stat.rpartition(")")[2].split()
    return None if fields[_STATE] in "ZX" else fields[_STARTED]
