"""Starts the student's process, counts what it starts, and ends all of it.

The grader starts this file. On a system with ``fork`` it stays between the two: when the grader
closes its end of the control socket, by intent or because it was killed, every process below is
killed, orphans too. It reports how the student's process ended as one line of JSON:
``{"exit": 0}``, ``{"signal": 9}``, ``{"processes": 8}``, ``{"memory": 1073741824}``.
Without ``fork`` (Windows) it becomes the student's process.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["main"]

# Numbers of Linux: prctl(2), capabilities(7).
PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 8, 36, 38
CAP_DAC_READ_SEARCH = 2
TASKS = 128  # processes and threads that the system allows; fewer are counted, see `_watch`
INTERVAL = 0.03  # seconds between two counts


def load(name: str, folder: Path = Path(__file__).parent) -> ModuleType:
    """Return a module of this folder without its package, whose import would take long."""
    spec = importlib.util.spec_from_file_location(f"_minideconv_{name}", folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Run as ``keeper.py LIMITS [CONTROL]``: limits as JSON, the number of the control socket."""
    limits = json.loads(sys.argv[1])
    # The messages take the places of standard input and output; students get others.
    requests, replies = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    if len(sys.argv) < 3 or not hasattr(os, "fork"):
        load("student").serve(requests, replies, limits)
        return
    control = int(sys.argv[2])
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    child = os.fork()
    if child == 0:
        keeper = os.getppid()
        if limits["user"] is not None:
            _become(*limits["user"])
        _limit_processes(own=limits["user"] is not None)
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.close(control)
        os.setsid()  # to kill its own group is not to kill the keeper
        if os.getppid() == keeper:
            load("student").serve(requests, replies, limits)
        os._exit(0)
    for number in (0, 1, 2, requests, replies):
        os.close(number)
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)  # the grader decides
    tree = load("tree")
    report = _watch(tree, child, control, limits)
    if limits["user"] is not None:
        _end_all_of(limits["user"][0])
    tree.end_below(os.getpid())
    _reap(tree, time.monotonic() + 5)
    shutil.rmtree(limits["home"], ignore_errors=True)  # the grader may be gone
    with contextlib.suppress(OSError):
        os.write(control, json.dumps(report).encode() + b"\n")
    os._exit(0)


def _become(user: int, reads_all: bool) -> None:
    """Give up being root, for good; with `reads_all`, keep the right to read every file."""
    if reads_all:
        _prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    if reads_all:
        _capset(1 << CAP_DAC_READ_SEARCH)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)


def _capset(rights: int) -> None:
    """Keep these of root's rights."""
    version = (ctypes.c_uint32 * 2)(0x20080522, 0)
    # effective, permitted, inheritable: of rights 0 to 31, then of the others
    sets = (ctypes.c_uint32 * 6)(rights, rights, 0, 0, 0, 0)
    if ctypes.CDLL(None).capset(version, sets) != 0:
        raise OSError("capset")


def _limit_processes(own: bool) -> None:
    """Let the system refuse more processes and threads, which stops a fork bomb for certain.

    The system counts all of a user's. Of a user that is not this process's alone, as many as run
    on the whole machine are allowed for; root it does not count.
    """
    with contextlib.suppress(ImportError, OSError, ValueError, IndexError):
        import resource  # not on Windows

        others = (
            0 if own else int(Path("/proc/loadavg").read_text("ascii").split()[3].split("/")[1])
        )
        most = others + TASKS
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def _end_all_of(user: int) -> None:
    """Kill all processes of a user in one go, which no process can outrun."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(OSError):
            _become(user, reads_all=False)
            if os.getuid() == os.geteuid() == user != 0:
                os.kill(-1, signal.SIGKILL)
        os._exit(0)
    os.waitpid(child, 0)


def _watch(tree: ModuleType, child: int, control: int, limits: dict[str, Any]) -> dict[str, int]:
    """Return why the student's process has to end, or how it did."""
    while True:
        if select.select([control], [], [], INTERVAL)[0]:
            return {}  # the grader is gone, or wants no more
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == child:
                    status = ended[1]
                    if os.WIFSIGNALED(status):
                        return {"signal": os.WTERMSIG(status)}
                    return {"exit": os.WEXITSTATUS(status)}
        running = tree.below(os.getpid())
        if len(running) > limits["processes"]:
            return {"processes": limits["processes"]}
        if tree.resident(running) > limits["memory"]:
            return {"memory": limits["memory"]}


def _reap(tree: ModuleType, until: float) -> None:
    """Wait until every process below has ended.

    What the list of children left out is killed when it shows: while some of them end, the system
    may leave out others, and one of those may start another process meanwhile.
    """
    while time.monotonic() < until:
        try:
            if not os.waitpid(-1, os.WNOHANG)[0]:
                tree.end(tree.below(os.getpid()))
                time.sleep(0.001)
        except ChildProcessError:
            return


def _prctl(option: int, value: int) -> None:
    """Set a property of this process, on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main()
