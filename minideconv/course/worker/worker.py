"""``Worker``: calls of a student's functions, each within its limits, whatever the file does."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from minideconv.course.worker import wire
from minideconv.course.worker.faults import SAID_INSIDE, ended_sentence
from minideconv.course.worker.limits import Limits
from minideconv.course.worker.process import KEPT_OUTPUT, Ended, Process
from minideconv.course.worker.remote import Functions, Lender
from minideconv.errors import UsageError
from minideconv.testing.checking.calls import Call, Returned, StudentFault, local_call
from minideconv.testing.checking.check import argument_names
from minideconv.testing.operations.operation import Arrays, Operation, Settings

__all__ = ["Worker"]

ARRAYS = ("numpy", "torch", "jax", "cupy")


@dataclass
class _Spent:
    """What the calls of one operation have cost."""

    seconds: float = 0.0
    time_outs: int = 0
    ends: int = 0
    faults: dict[bytes, StudentFault] = field(default_factory=dict)


class Worker:
    """A student's file, whose functions run in a process of its own.

    The process starts at the first call. One that a call has ended is started anew at the next
    call; the same call again is the same fault, without a process.

    Parameters
    ----------
    file : Path
        The student's Python file. Its folder is copied, and the copy removed afterwards.
    limits : Limits
        What the process may use.
    forbid : sequence of str
        Modules, or attributes of them, that the file may not use: ``"scipy.signal"``.
    arrays : str
        Whose arrays the functions take: ``"numpy"``, ``"torch"``, ``"jax"`` or ``"cupy"``.

    Raises
    ------
    UsageError
        If `arrays` is none of these or not installed, or a name in `forbid` is none.

    Notes
    -----
    What a student's file can do wrong is a `StudentFault` of the call, also where the file is
    missing: its `kind` is ``"time"``, ``"memory"``, ``"processes"``, ``"output"``, ``"exit"``,
    ``"crash"``, ``"raised"``, ``"returned"``, ``"missing"``, ``"syntax"``, ``"forbidden"``,
    ``"protocol"`` (something else than results came) or ``"refused"`` (too many calls of this
    operation have ended the process, so that there are no more).
    """

    def __init__(
        self,
        file: Path,
        *,
        limits: Limits | None = None,
        forbid: Sequence[str] = (),
        arrays: str = "numpy",
    ) -> None:
        if arrays not in ARRAYS:
            raise UsageError(f"arrays is {arrays!r}; it must be one of {', '.join(ARRAYS)}")
        if importlib.util.find_spec(arrays) is None:
            raise UsageError(f"arrays is {arrays!r}, which is not installed here")
        for name in forbid:
            if not all(part.isidentifier() for part in name.split(".")):
                raise UsageError(f"forbid has {name!r}, which is no name of a module")
        self.file, self.limits = Path(file), limits or Limits()
        self.forbid, self.arrays = tuple(forbid), arrays
        self._process: Process | None = None
        self._public: Mapping[str, list[Any] | str] = {}
        self._load_fault: StudentFault | None = None
        self._printed = bytearray()
        self._number = 0
        self._fresh = True
        self._spent: dict[str, _Spent] = {}
        self._now = _Spent()
        self._lender = Lender(self._ask)
        self.functions = Functions(self._ask, self._loaded, self.file.name)

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process and all that it started, and remove its folder."""
        if self._process is not None:
            self._end()

    @property
    def printed(self) -> str:
        """What the student's code printed, the first 64 KB."""
        now = self._printed
        if self._process is not None:
            self._process.settle()
            now = now + self._process.output
        return bytes(now[:KEPT_OUTPUT]).decode("utf-8", "replace")

    def names(self, operation: Operation) -> Callable[[str], str]:
        """Return the student's own names for an operation's arrays, by role.

        Of a file that cannot be imported, the roles themselves.
        """
        with contextlib.suppress(StudentFault):
            if operation.name in self.functions:
                return argument_names(operation, self.functions[operation.name])
        return lambda role: role

    def call(self, operation: Operation) -> Call:
        """Return the calls of the student's function for an operation.

        Parameters
        ----------
        operation : Operation
            What the function must do; its name is the function's.

        Returns
        -------
        Call
            Raises `StudentFault` for whatever goes wrong in the student's code.
        """
        inside = local_call(operation, self.functions)
        spent = self._spent.setdefault(operation.name, _Spent())

        def call(arrays: Arrays, settings: Settings, *, strided: bool = False) -> Returned:
            # The same call again: a process that ended is not ended once more.
            mark = _mark(arrays, settings, strided) if spent.faults else b""
            if mark in spent.faults:
                known = spent.faults[mark]
                raise StudentFault(known.kind, str(known))
            self._refuse(operation.name, spent)
            self._fresh, self._now = True, spent
            self._lender = Lender(self._ask)
            try:
                return inside(arrays, settings, strided=strided)
            except StudentFault as fault:
                if self._process is None and self._load_fault is None:
                    spent.ends += 1
                    spent.time_outs += fault.kind == "time"
                    spent.faults[_mark(arrays, settings, strided)] = fault
                raise

        return call

    def _refuse(self, name: str, spent: _Spent) -> None:
        """Raise if the calls of an operation have cost too much."""
        limits = self.limits
        reason = ""
        if spent.time_outs >= limits.time_outs:
            reason = f"{spent.time_outs} of its calls did not return in time"
        elif spent.ends >= limits.restarts:
            reason = f"{spent.ends} of its calls ended the process"
        elif spent.seconds > limits.operation:
            reason = f"its calls took more than {limits.operation:g} s together"
        if reason:
            raise StudentFault("refused", f"{name} is not called any more: {reason}")

    # Requests -------------------------------------------------------------------------------

    def _loaded(self) -> Mapping[str, list[Any] | str]:
        """Import the file if no process has it; return its names."""
        if self._load_fault is not None:
            raise StudentFault(self._load_fault.kind, str(self._load_fault))
        if self._process is None:
            try:
                self._load()
            except StudentFault as fault:
                self._load_fault = fault
                self.close()
                raise
        return self._public

    def _load(self) -> None:
        name = self.file.name
        if not self.file.is_file():
            raise StudentFault("missing", f"there is no file {name}")
        if self.file.suffix != ".py":
            raise StudentFault("missing", f"{name} is no Python file, whose name ends in .py")
        self._process = Process(self.file, self.limits)
        about = f"{name}, when it is imported,"
        request = {"do": "begin", "file": name, "forbid": self.forbid, "arrays": self.arrays}
        reply, _ = self._exchange(request | {"about": about}, [], self.limits.load)
        public = reply.get("functions")
        if not isinstance(public, dict) or not all(
            isinstance(kind, str | list) for kind in public.values()
        ):
            raise self._protocol(about)
        self._public = public

    def _ask(
        self, do: str, *args: Any, name: str = "", about: str = "", words: Mapping[str, Any] = {}
    ) -> Any:
        """Send one request of a call; return its result."""
        lender = self._lender
        if lender.fault is not None:
            raise lender.fault
        self._loaded()
        new: list[dict[str, Any]] = []
        blobs: list[bytes] = []
        request = {
            "do": do,
            "name": name,
            "about": about,
            "args": [lender.described(a, new, blobs) for a in args],
            "words": {word: lender.described(a, new, blobs) for word, a in words.items()},
            "lent": new,
            "fresh": self._fresh,
        }
        self._fresh = False
        began = time.monotonic()
        try:
            reply, body = self._exchange(request, blobs, self.limits.call)
        finally:
            self._now.seconds += time.monotonic() - began
        try:
            arrays = _arrays(reply.get("arrays"), body)
            lender.write_back(reply.get("changed"), arrays)
            return lender.result(reply.get("value"), arrays)
        except wire.ProtocolError:
            raise self._protocol(about) from None

    def _exchange(
        self, request: dict[str, Any], blobs: list[bytes], seconds: float
    ) -> tuple[dict[str, Any], bytes]:
        """Send a request, return the reply if it is one to this request."""
        assert self._process is not None
        self._number += 1
        about = request["about"]
        try:
            reply, body = self._process.ask(request | {"number": self._number}, blobs, seconds)
        except Ended as ended:
            self._end()
            fault = StudentFault(*ended_sentence(ended.why, ended.number, about, seconds))
            self._lender.fault = fault
            raise fault from None
        if reply.get("number") != self._number:
            raise self._protocol(about)
        if "fault" in reply:
            raise self._said(reply["fault"], request["do"], about)
        return reply, body

    def _said(self, fault: object, do: str, about: str) -> Exception:
        """Return the fault that the student's process reports."""
        if isinstance(fault, list) and len(fault) == 2 and all(isinstance(p, str) for p in fault):
            kind, text = fault
            if kind == "attribute" and do == "get":
                return AttributeError(text[:200])
            if kind in SAID_INSIDE:
                return StudentFault(kind, text[:1000])
        return self._protocol(about)

    def _protocol(self, about: str) -> StudentFault:
        """End a process that sent what it should not."""
        self.close()
        self._lender.fault = StudentFault(*ended_sentence("protocol", 0, about, 0))
        return self._lender.fault

    def _end(self) -> None:
        assert self._process is not None
        self._process.end()
        self._printed = (self._printed + self._process.output)[:KEPT_OUTPUT]
        self._process = None


def _arrays(specs: object, body: bytes) -> list[np.ndarray[Any, Any]]:
    """Return the arrays of a reply."""
    if not isinstance(specs, list):
        raise wire.ProtocolError("no list of arrays")
    arrays, start = [], 0
    for spec in specs:
        array, start = wire.array_of(spec, body, start)
        arrays.append(array)
    return arrays


def _mark(arrays: Arrays, settings: Settings, strided: bool) -> bytes:
    """Return what tells a call's arguments from those of any other."""
    digest = hashlib.blake2b(repr((sorted(settings.items()), strided)).encode())
    for role, array in arrays.items():
        digest.update(role.encode())
        if array is not None:
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(array.tobytes())
    return digest.digest()
