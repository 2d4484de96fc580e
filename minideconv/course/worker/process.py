"""One student's process, seen from the grader: start, ask and wait, end."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from minideconv.course.worker import wire
from minideconv.course.worker.inside import tree
from minideconv.course.worker.limits import Limits
from minideconv.course.worker.submission import copy_folder
from minideconv.course.worker.user import give, own_user

__all__ = ["KEPT_OUTPUT", "Ended", "Process"]

KEPT_OUTPUT = 64 * 1024
KEEPER = Path(__file__).parent / "inside" / "keeper.py"
# What an interpreter needs to run; nothing else of the grader's environment is handed on.
HANDED_ON = (
    "LANG",
    "LC_ALL",
    "PATH",
    "SYSTEMROOT",
    "TZ",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
)


class Ended(Exception):
    """The process is no more, and said or was stopped for a reason.

    Attributes
    ----------
    why : str
        ``"time"``, ``"output"``, ``"protocol"``, ``"exit"``, ``"signal"``, ``"processes"``,
        ``"memory"``, ``"closed"``.
    number : int
        The exit status, the signal, or the limit.
    """

    def __init__(self, why: str, number: int = 0) -> None:
        super().__init__(f"{why} {number}")
        self.why, self.number = why, number


class Process:
    """A process with the student's file in it, in a copy of the file's folder.

    Parameters
    ----------
    file : Path
        The student's file.
    limits : Limits
        What the process may use.

    Attributes
    ----------
    home : Path
        Its folder; the copy is below it.
    user : User, optional
        The user that it runs as; None: the grader's.
    output : bytearray
        The first of what it printed.
    """

    def __init__(self, file: Path, limits: Limits) -> None:
        self.limits = limits
        self.output = bytearray()
        self._printed = 0
        self._flooded = False
        self._over: Ended | None = None
        self.home = Path(tempfile.mkdtemp(prefix="student-"))
        try:
            copy_folder(file, self.home / "submission", limits.folder)
            self.user = own_user((KEEPER, KEEPER.parents[3] / "testing"), self.home)
            if self.user is not None:
                give(self.home, self.user.number)
            self._start()
        except BaseException:
            shutil.rmtree(self.home, ignore_errors=True)
            raise
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[tuple[dict[str, Any], bytes] | Ended] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._exchange, self._listen)
        ]
        for thread in self._threads:
            thread.start()

    def _start(self) -> None:
        limits = asdict(self.limits) | {
            "numpy": str(Path(np.__file__).parents[1]),
            "home": str(self.home),
            "user": self.user,
        }
        command = [sys.executable, "-s", "-P", "-u", str(KEEPER), json.dumps(limits)]
        environment = {name: os.environ[name] for name in HANDED_ON if name in os.environ}
        environment |= dict.fromkeys(("HOME", "TMPDIR", "TEMP", "TMP"), str(self.home))
        environment |= dict.fromkeys(("USER", "LOGNAME"), "student")
        environment |= dict.fromkeys(
            ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
        )
        environment |= {
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "PYTHONIOENCODING": "utf-8:backslashreplace",
        }
        self._control: socket.socket | None = None
        handed: tuple[int, ...] = ()
        theirs = None
        if hasattr(os, "fork"):
            self._control, theirs = socket.socketpair()
            handed = (theirs.fileno(),)
            command.append(str(theirs.fileno()))
        try:
            self._keeper = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self.home / "submission",
                env=environment,
                bufsize=0,
                start_new_session=True,
                pass_fds=handed,
            )
        finally:
            if theirs is not None:
                theirs.close()

    # Threads: neither a process that does not read nor one that does not write stops the grader.

    def _exchange(self) -> None:
        """Send each request and read its reply."""
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        requests, replies = self._keeper.stdin.fileno(), self._keeper.stdout.fileno()
        while (request := self._requests.get()) is not None:
            try:
                rest = memoryview(request)
                while rest:
                    rest = rest[os.write(requests, rest) :]
                reply = wire.receive(lambda count: os.read(replies, count), self.limits.result)
                self._replies.put(Ended("") if reply is None else reply)
            except wire.ProtocolError:
                self._replies.put(Ended("protocol"))
            except OSError:
                self._replies.put(Ended(""))

    def _listen(self) -> None:
        """Keep the first of what is printed; end a process that prints without end."""
        assert self._keeper.stderr is not None
        while piece := self._keeper.stderr.read(2**16):
            self.output += piece[: max(0, KEPT_OUTPUT - len(self.output))]
            self._printed += len(piece)
            if self._printed > self.limits.printed and not self._flooded:
                self._flooded = True
                self._replies.put(Ended("output", self.limits.printed))

    def settle(self) -> None:
        """Wait for what has been printed and not been read yet, for a second at most."""
        assert self._keeper.stderr is not None
        until = time.monotonic() + 1
        with contextlib.suppress(OSError, ValueError):  # a system that knows no select of pipes
            while select.select([self._keeper.stderr], [], [], 0)[0] and time.monotonic() < until:
                time.sleep(0.001)
        time.sleep(0.005)

    # Asking ---------------------------------------------------------------------------------

    def ask(
        self, header: dict[str, Any], blobs: list[bytes], seconds: float
    ) -> tuple[dict[str, Any], bytes]:
        """Send a request and return its reply.

        Raises
        ------
        Ended
            If there is none within the time, or the process ended.
        """
        self._printed = 0
        self._requests.put(wire.message(header, blobs))
        try:
            reply = self._replies.get(timeout=seconds)
        except queue.Empty:
            reply = Ended("time")
        if isinstance(reply, Ended):
            said = self.end(wait=reply.why == "")
            raise said if reply.why == "" else reply
        return reply

    def end(self, *, wait: bool = False) -> Ended:
        """Kill the process and all that it started; return how it ended if it did by itself.

        Parameters
        ----------
        wait : bool
            Whether it is ending, so that its end can be waited for.
        """
        if self._over is not None:
            return self._over
        ended = Ended("closed") if wait else Ended("exit", -1)
        report = self._report(3.0) if wait else None
        if report is None and self._control is not None:
            with contextlib.suppress(OSError):
                self._control.shutdown(socket.SHUT_WR)
            self._report(2.0)
        try:
            self._keeper.wait(1.0)
        except subprocess.TimeoutExpired:
            tree.end_below(self._keeper.pid)
            self._keeper.kill()
            self._keeper.wait()
        if self._keeper.returncode != 0:  # the student's process killed it
            ended = Ended("exit", -1)
            tree.end(tree.marked(self._keeper.pid, str(self.home)))
        self._over = ended = report or ended
        self._close()
        return ended

    def _report(self, seconds: float) -> Ended | None:
        """Wait for the keeper's report, which it sends when all has ended."""
        if self._control is None:
            return None
        with contextlib.suppress(OSError, ValueError, AttributeError, RecursionError):
            self._control.settimeout(seconds)
            ((why, number),) = json.loads(self._control.recv(4096)).items()
            if why in ("exit", "signal", "processes", "memory") and type(number) is int:
                return Ended(why, number)
        return None

    def _close(self) -> None:
        self._requests.put(None)
        for thread in self._threads:
            thread.join(5)
        if self._control is not None:
            self._control.close()
        for stream in (self._keeper.stdin, self._keeper.stdout, self._keeper.stderr):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()
        shutil.rmtree(self.home, ignore_errors=True)
