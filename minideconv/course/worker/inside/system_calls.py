"""What a student's process may not ask of the system, as a filter of system calls (Linux).

* It starts no process. Counting processes from outside is a race that a fork bomb wins: it doubles
  in less than a millisecond. The kernel's own limit (RLIMIT_NPROC) does not bind root, who a
  grader's container often runs as. So fork, vfork, and clone without CLONE_THREAD fail with EAGAIN
  here, as they do where a limit is reached. Threads can be started.
* It sends signals to itself alone, and looks into no other process: the grader is next door.
* It connects to nothing: there is no network, and no service of this machine.

What runs in the process later has the filter too, and nobody can take it off. Where there is none
(other systems, other processors) the count of processes is what remains.
Sources: seccomp(2); the kernel's documentation, "Seccomp BPF".
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
import sys

__all__ = ["restrict"]

_NO_NEW_PRIVILEGES, _SET_FILTER, _FILTER = 38, 22, 2  # of prctl
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06  # load a word; jump if ==, if &; end
_NUMBER, _ARCHITECTURE, _ARGUMENT = 0, 4, 16  # places in struct seccomp_data
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000  # on x86_64: the same calls under other numbers

# AUDIT_ARCH of a machine, and the numbers of its calls.
_MACHINES: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {
            "clone": 56, "fork": 57, "vfork": 58, "clone3": 435, "socket": 41, "connect": 42,
            "kill": 62, "tgkill": 234, "tkill": 200, "ptrace": 101, "process_vm_readv": 310,
            "process_vm_writev": 311, "pidfd_open": 434, "pidfd_send_signal": 424,
            "rt_sigqueueinfo": 129,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "clone": 220, "clone3": 435, "socket": 198, "connect": 203, "kill": 129,
            "tgkill": 131, "tkill": 130, "ptrace": 117, "process_vm_readv": 270,
            "process_vm_writev": 271, "pidfd_open": 434,
            "pidfd_send_signal": 424, "rt_sigqueueinfo": 138,
        },
    ),
}  # fmt: skip
_OTHERS = (
    "connect", "tkill", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_open",
    "pidfd_send_signal", "rt_sigqueueinfo",
)  # fmt: skip


def restrict() -> bool:
    """Put the filter on this process; return whether that is possible."""
    if sys.platform != "linux" or platform.machine() not in _MACHINES:
        return False
    program = _program(*_MACHINES[platform.machine()], os.getpid())
    code = ctypes.create_string_buffer(b"".join(program), 8 * len(program))
    # struct sock_fprog: how many instructions, and where.
    filter_ = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    system = ctypes.CDLL(None, use_errno=True)
    if system.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    return bool(system.prctl(_SET_FILTER, _FILTER, filter_, 0, 0) == 0)


def _program(architecture: int, calls: dict[str, int], own: int) -> list[bytes]:
    """Return the filter's instructions."""
    program = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_EQUAL, architecture, if_true=1),
        _instruction(_RETURN, _KILL),  # the calls of another architecture have other numbers
        _instruction(_LOAD, _NUMBER),
        _instruction(_ANY_BIT, _X32, if_false=1),
        _failure(errno.EPERM),
    ]
    for name in ("fork", "vfork"):
        if name in calls:
            program += _refused(calls[name], errno.EAGAIN)
    # Its flags are in memory, which a filter cannot read: as if this kernel did not have it, so
    # that the C library falls back to clone.
    program += _refused(calls["clone3"], errno.ENOSYS)
    for name in _OTHERS:
        program += _refused(calls[name], errno.EPERM)
    program += _unless(calls["clone"], _ANY_BIT, _CLONE_THREAD, errno.EAGAIN)
    program += _unless(calls["socket"], _EQUAL, int(socket.AF_UNIX), errno.EACCES)
    program += _unless(calls["kill"], _EQUAL, own, errno.EPERM)
    program += _unless(calls["tgkill"], _EQUAL, own, errno.EPERM)
    return [*program, _instruction(_RETURN, _ALLOW)]


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """Return one instruction; a jump counts those to skip."""
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _failure(number: int) -> bytes:
    return _instruction(_RETURN, _FAIL | number)


def _refused(call: int, number: int) -> list[bytes]:
    """Let a call fail with an errno."""
    return [_instruction(_EQUAL, call, if_false=1), _failure(number)]


def _unless(call: int, test: int, value: int, number: int) -> list[bytes]:
    """Let a call fail unless its first argument passes the test."""
    return [
        _instruction(_EQUAL, call, if_false=4),
        _instruction(_LOAD, _ARGUMENT),
        _instruction(test, value, if_true=1),
        _failure(number),
        _instruction(_RETURN, _ALLOW),
    ]
