"""How much memory the process has, as the system counts it: pages that are really there."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from functools import lru_cache

__all__ = ["give_back", "machine_memory", "now", "peak", "reset_peak"]


def now() -> int:
    """Return the bytes that the process has now; 0 where it is not known."""
    return _status("VmRSS")


def peak() -> int:
    """Return the most bytes it ever had, or has had since `reset_peak`; 0 where it is not known."""
    return _status("VmHWM") or _peak_of_life()


def reset_peak() -> bool:
    """Make `peak` start anew; return whether the system can do that."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")
        return True
    return False


def give_back() -> None:
    """Let the C library return what it keeps for later arrays to the system, where it can."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


@lru_cache(maxsize=1)
def machine_memory() -> int:
    """Return the bytes that the process may have: the machine's, or what its container allows."""
    found = []
    with contextlib.suppress(AttributeError, OSError, ValueError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError), open(path) as file:
            found.append(int(file.read()))
    return min(found, default=0)


def _status(name: str) -> int:
    with contextlib.suppress(OSError), open("/proc/self/status") as file:
        for line in file:
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    return 0


def _peak_of_life() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
