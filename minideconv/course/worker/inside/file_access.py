"""Which files a student's process may open: its own folder, and Python itself (Linux, Landlock).

Without it a student's file that runs as root, as in many containers, reads the tests and writes the
results. The kernel (5.13 and later, where Landlock is switched on) keeps to the rules that a
process gives itself, which nobody can take off and what runs in it later has too.
Source: the kernel's documentation, "Landlock: unprivileged access control".
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
from collections.abc import Iterable

__all__ = ["restrict"]

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # system calls; the numbers are the same on all machines
_VERSION, _BELOW_A_PATH = 1, 1
_NO_NEW_PRIVILEGES = 38  # of prctl
_EXECUTE, _WRITE, _READ, _LIST = 1, 2, 4, 8
_TRUNCATE, _DEVICE = 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE | _DEVICE
# How many rights over files each version of the interface knows, from the first bit on.
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}


def restrict(readable: Iterable[str], writable: Iterable[str]) -> bool:
    """Keep this process to files below these paths; return whether that is possible.

    Parameters
    ----------
    readable : iterable of str
        What is below may be read and executed. Paths that are not there are passed over.
    writable : iterable of str
        What is below may be read, written, made and removed.
    """
    if sys.platform != "linux":
        return False
    system = ctypes.CDLL(None, use_errno=True)
    version = system.syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION)
    if version < 1:
        return False
    handled = (1 << _RIGHTS[min(version, 5)]) - 1
    attribute = struct.pack("=Q", handled)
    rules = system.syscall(_CREATE, attribute, ctypes.c_size_t(len(attribute)), 0)
    if rules < 0:
        return False
    try:
        for paths, rights in (
            (readable, _EXECUTE | _READ | _LIST),
            (writable, handled),
        ):
            for path in paths:
                if not _allow(system, rules, path, rights & handled):
                    return False
        if system.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            return False
        return bool(system.syscall(_RESTRICT, rules, 0) == 0)
    finally:
        os.close(rules)


def _allow(system: ctypes.CDLL, rules: int, path: str, rights: int) -> bool:
    """Add a rule; return whether the kernel took it, or there is no such path."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        if not os.path.isdir(path):
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, place)
        return bool(system.syscall(_ADD, rules, _BELOW_A_PATH, rule, 0) == 0)
    finally:
        with contextlib.suppress(OSError):
            os.close(place)
