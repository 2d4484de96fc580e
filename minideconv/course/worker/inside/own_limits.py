"""What a student's process gives up for good, before it imports the student's file.

Nothing of the library is imported here: `load` returns a module beside this one.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from math import ceil
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["limit_process", "restrict"]

HERE = Path(__file__).resolve().parent
# What libraries read beside Python's own files.
SYSTEM = (
    "/usr", "/lib", "/lib64", "/bin", "/etc", "/proc/self", "/proc/cpuinfo", "/proc/meminfo",
    "/sys/devices/system", "/dev/urandom", "/dev/random", "/dev/zero",
)  # fmt: skip


def limit_process(limits: dict[str, Any], *, before_numpy: bool) -> None:
    """Set the limits that the system keeps, where it has them."""
    try:
        import resource
    except ImportError:  # Windows
        return
    if before_numpy:
        wanted = {
            "RLIMIT_CORE": 0,
            "RLIMIT_CPU": ceil(limits["cpu"]),
            "RLIMIT_FSIZE": limits["file_size"],
            "RLIMIT_NOFILE": limits["open_files"],
        }
    else:
        wanted = {"RLIMIT_AS": limits["memory"]}
    for name, most in wanted.items():
        number = getattr(resource, name, None)
        if number is None:
            continue
        hard = resource.getrlimit(number)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(OSError, ValueError):  # macOS knows no limit of address space
            # Of processor time the soft limit is told apart: its signal has a name of its own.
            more = most + 2 if name == "RLIMIT_CPU" else most
            resource.setrlimit(number, (most, more if hard < 0 else min(more, hard)))


def restrict(limits: dict[str, Any], load: Callable[[str, Path], ModuleType]) -> None:
    """Give up what the system can take from a process for good, where it can (Linux)."""
    own = [str(HERE), str(limits["numpy"]), sys.prefix, sys.base_prefix]
    load("file_access", HERE).restrict([*own, *SYSTEM], [limits["home"], os.devnull])
    if limits["processes"] == 1:
        load("system_calls", HERE).restrict()
