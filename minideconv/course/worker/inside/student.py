"""Runs in the student's process: imports the file, calls what is asked for, sends what came back.

Nothing secret is here: neither cases nor right results ever are. What can break is only the
student's own result, so the functions that are needed after the student's import are bound before
it, the builtins among them: a file that replaces ``len`` or ``np.asarray`` breaks its own code.
"""

from __future__ import annotations

import builtins

# The functions below look up builtins in a copy, which the student's file does not reach.
__builtins__ = dict(vars(builtins))  # type: ignore[assignment]

import contextlib
import errno
import importlib
import importlib.util
import inspect
import operator
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["serve"]

HERE = Path(__file__).resolve().parent
ARRAY_PACKAGES = {"cupy", "jax", "jaxlib", "minideconv", "torch"}
OPERATORS = {
    name: getattr(operator, name)
    for name in (
        "add", "sub", "mul", "truediv", "matmul", "pow", "neg", "getitem", "contains", "len",
    )
    if hasattr(operator, name)
}  # fmt: skip
MAX_ITEMS = 1000


class Fault(Exception):
    """What the grader raises as a `StudentFault`: its kind and a sentence."""


def load(name: str, folder: Path) -> ModuleType:
    """Return a module of the library without the library."""
    spec = importlib.util.spec_from_file_location(f"_minideconv_{name}", folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def serve(requests: int, replies: int, limits: dict[str, Any]) -> None:
    """Answer requests until there are no more."""
    own = load("own_limits", HERE)
    own.limit_process(limits, before_numpy=True)
    try:
        import numpy  # noqa: F401
    except ImportError:
        sys.path.append(limits["numpy"])
    wire = load("wire", HERE.parent)
    as_numpy = load("arrays", HERE.parents[2] / "testing").as_numpy
    student = Student(wire, as_numpy, limits["result"])
    own.limit_process(limits, before_numpy=False)
    own.restrict(limits, load)
    read, write = os.read, os.write
    while True:
        received = wire.receive(lambda count: read(requests, count), 2**40)
        if received is None:
            os._exit(0)
        answer = student.answer(*received)
        for name in ("stdout", "stderr"):
            with contextlib.suppress(BaseException):
                getattr(sys, name).flush()
        rest = memoryview(answer)
        while rest:
            rest = rest[write(replies, rest) :]


class Student:
    """The student's file and what its calls left for the next ones."""

    def __init__(self, wire: ModuleType, as_numpy: Callable[[Any], Any], most: int) -> None:
        import numpy as np

        self.wire, self.as_numpy, self.most = wire, as_numpy, most
        self.message, self.spec_of = wire.message, wire.spec_of
        self.ndarray, self.generic, self.array = np.ndarray, np.generic, np.array
        self.contiguous = np.ascontiguousarray
        self.module = ModuleType("submission")
        self.path, self.folder = "", ""
        self.fence: Any = None
        self.lend: Callable[[Any], Any] = lambda array: array
        self.device = ""
        self.kept: dict[int, Any] = {}
        self.lent: dict[int, tuple[bytearray, bytes, Any]] = {}
        self.blobs: list[bytes] = []
        self.specs: list[dict[str, Any]] = []
        self.items = 0

    def answer(self, request: dict[str, Any], body: bytes) -> bytes:
        """Return the message that answers a request."""
        self.blobs, self.specs, self.items = [], [], 0
        reply: dict[str, Any] = {"number": request["number"]}
        try:
            if request["do"] == "begin":
                reply["functions"] = self.begin(request)
            else:
                result = self.act(request, body)
                reply["value"] = self.run(request["about"], self.tree, result)
                reply["changed"] = self.changed()
            crossed = self.fence.crossed()
            if crossed:
                raise Fault("forbidden", f"{self.name(request)} uses {crossed}, "
                            "which this task does not allow")  # fmt: skip
        except Fault as fault:
            self.blobs, self.specs = [], []
            return self.message({"number": request["number"], "fault": list(fault.args)}, [])
        reply["arrays"] = self.specs
        return self.message(reply, self.blobs)

    @staticmethod
    def name(request: dict[str, Any]) -> str:
        """Return what a sentence about a request is about."""
        return str(request.get("about", ""))

    # The file -------------------------------------------------------------------------------

    def begin(self, request: dict[str, Any]) -> dict[str, Any]:
        """Import the student's file; return its functions with the names of their arguments."""
        name = request["file"]
        self.folder = os.getcwd()
        self.path = os.path.join(self.folder, name)
        self.fence = load("fence", HERE).Fence(request["forbid"])
        self.choose_arrays(request["arrays"])
        self.fence.install()
        sys.argv = [self.path]
        sys.path.insert(0, self.folder)
        sys.modules["__main__"] = ModuleType("__main__")
        stem = name.removesuffix(".py")
        if not stem.isidentifier() or stem in sys.modules or stem in sys.stdlib_module_names:
            stem = "submission"
        self.module = ModuleType(stem)
        self.module.__file__ = self.path
        sys.modules[stem] = self.module
        with open(self.path, "rb") as file:
            source = file.read()
        about = request["about"]
        try:
            code = compile(source, self.path, "exec", dont_inherit=True)
        except SyntaxError as error:
            line = f"line {error.lineno}: " if error.lineno else ""
            text = f"{name} is no Python that can be read: {line}{error.msg}"
            raise Fault("syntax", text) from None
        except (ValueError, RecursionError, MemoryError, OverflowError) as error:
            text = f"{name} is no Python that can be read: {str(error)[:200]}"
            raise Fault("syntax", text) from None
        self.run(about, exec, code, self.module.__dict__)
        return {name: self.signature(value) for name, value in self.public()}

    def public(self) -> list[tuple[str, Any]]:
        """Return at most 1000 names of the file."""
        names = [n for n in list(vars(self.module)) if type(n) is str and not n.startswith("_")]
        return [(n, vars(self.module)[n]) for n in names[:MAX_ITEMS]]

    @staticmethod
    def signature(value: Any) -> list[list[Any]] | str:
        """Return names and kinds of a function's parameters; of what is none, its type."""
        if not callable(value):
            return type(value).__name__[:100]
        try:
            parameters = inspect.signature(value).parameters.values()
            return [[p.name, int(p.kind)] for p in parameters][:100]
        except BaseException:
            return []

    def choose_arrays(self, arrays: str) -> None:
        """Give functions the arrays of a library."""
        if arrays == "numpy":
            return
        library = self.run(arrays, importlib.import_module, arrays)
        if arrays == "torch":
            library.set_num_threads(1)
            self.lend = library.from_numpy
        elif arrays == "jax":
            library.config.update("jax_enable_x64", True)
            self.lend = library.numpy.asarray
        else:
            self.lend = library.asarray

    # A request ------------------------------------------------------------------------------

    def act(self, request: dict[str, Any], body: bytes) -> Any:
        """Do what is asked for and return what came back."""
        if request["fresh"]:
            self.kept.clear()
            self.lent.clear()
        start = 0
        for spec in request["lent"]:
            end = start + spec["bytes"]
            buffer = bytearray(body[start:end])
            array = self.ndarray(
                spec["shape"], spec["dtype"], buffer, spec["offset"], spec["strides"]
            )
            self.lent[spec["number"]] = (
                buffer,
                body[start:end],
                self.run(request["about"], self.lend, array),
            )
            start = end
        about, do = request["about"], request["do"]
        args = [self.value(a) for a in request["args"]]
        words = {name: self.value(a) for name, a in request["words"].items()}
        if do == "function":
            function = vars(self.module).get(request["name"])
            if not callable(function):
                raise Fault("missing", f"there is no function {request['name']} any more")
            return self.run(about, function, *args, **words)
        if do == "call":
            return self.run(about, args[0], *args[1:], **words)
        if do == "operator":
            return self.run(about, OPERATORS[request["name"]], *args)
        if do == "set":
            return self.run(about, setattr, args[0], request["name"], args[1])
        if do == "get":
            try:
                return self.run(about, getattr, args[0], request["name"])
            except AttributeError as error:
                raise Fault("attribute", str(error)[:200]) from None
        assert do == "array"
        return self.run(about, self.as_numpy, args[0])

    def value(self, tree: Any) -> Any:
        """Return an argument from its description."""
        if not isinstance(tree, dict):
            return tree
        ((kind, what),) = tree.items()
        if kind == "lent":
            return self.lent[what][2]
        if kind == "kept":
            return self.kept[what]
        items = [self.value(item) for item in what]
        return tuple(items) if kind == "tuple" else items

    def run(self, about: str, function: Callable[..., Any], *args: Any, **words: Any) -> Any:
        """Call something of the student's; whatever it raises is a fault.

        An AttributeError of ``getattr`` passes: it may just be the answer.
        """
        try:
            return function(*args, **words)
        except Fault:
            raise
        except BaseException as error:
            if function is getattr and isinstance(error, AttributeError):
                raise
            raise self.fault(about, error) from None

    def fault(self, about: str, error: BaseException) -> Fault:
        """Return a sentence about what the student's code raised."""
        where = self.where(error)
        chain = [error]
        while len(chain) < 10 and (cause := chain[-1].__cause__ or chain[-1].__context__):
            chain.append(cause)
        forbidden = next((e for e in chain if type(e).__name__ == "ForbiddenError"), None)
        if forbidden is not None:
            name = getattr(forbidden, "name", "something")
            return Fault(
                "forbidden", f"{about} uses {name}, which this task does not allow,{where}"
            )
        if isinstance(error, MemoryError):
            return Fault("memory", f"{about} asked for more memory than it may have{where}")
        if isinstance(error, SystemExit):
            return Fault("exit", f"{about} called sys.exit(){where}; it must return its result")
        if isinstance(error, BlockingIOError) and error.errno == errno.EAGAIN:
            return Fault("processes", f"{about} starts another process{where}; it must not")
        text = f"{about} raised {type(error).__name__[:100]}: {self.said(error)}{where}"
        if isinstance(error, EOFError):
            text += "; nobody answers input() here"
        return Fault("raised", text)

    @staticmethod
    def said(error: BaseException) -> str:
        """Return the message of an error, which may be the student's own class."""
        try:
            return str(error)[:200]
        except BaseException:
            return "(its message cannot be shown)"

    def where(self, error: BaseException) -> str:
        """Return the last line of the student's own files that an error passed."""
        try:
            frames = traceback.extract_tb(error.__traceback__)
            own = [f for f in frames if f.filename.startswith(self.folder + os.sep)]
            if not own:
                return ""
            file, inside = os.path.basename(own[-1].filename), own[-1].name
            elsewhere = f" ({file})" if own[-1].filename != self.path else ""
            name = file if inside == "<module>" else f"{inside}{elsewhere}"
            return f" in line {own[-1].lineno} of {name}"
        except BaseException:
            return ""

    # What came back -------------------------------------------------------------------------

    def changed(self) -> list[list[int]]:
        """Send the lent arrays that were changed; return their numbers and places."""
        found = []
        for number, (buffer, before, lent) in self.lent.items():
            if buffer != before:
                now = bytes(buffer)
                self.lent[number] = (buffer, now, lent)
                array = self.ndarray((len(now),), "|u1", now)
                found.append([number, self.sent(array)])
        return found

    def sent(self, array: Any) -> int:
        """Send an array of numbers; return its place in the message."""
        self.specs.append(self.spec_of(array))
        self.blobs.append(array.tobytes())
        return len(self.specs) - 1

    def tree(self, value: Any, depth: int = 0) -> Any:
        """Return a description of a result: arrays are sent, other objects stay here."""
        kind = type(value)
        if value is None or (kind in (bool, float, str) and len(str(value)) <= 200):
            return {"plain": value}
        if kind is int and abs(value) < 2**62:
            return {"plain": value}
        if isinstance(value, (tuple, list)) and depth < 4 and self.few(value):
            items = [self.tree(item, depth + 1) for item in value]
            return {"tuple" if isinstance(value, tuple) else "list": items}
        if isinstance(value, (self.ndarray, self.generic)):
            return self.array_tree(value)
        if getattr(kind, "__module__", "").partition(".")[0] in ARRAY_PACKAGES:
            array = self.run("the result", self.as_numpy, value)
            if isinstance(array, self.ndarray) and array.dtype != object:
                return self.array_tree(array)
        number = len(self.kept)
        self.kept[number] = value
        description: dict[str, Any] = {"kept": number, "type": kind.__name__[:100]}
        if callable(value):
            description["parameters"] = self.signature(value)
        return description

    def few(self, items: Any) -> bool:
        """Return whether a result stays short with these items too."""
        self.items += len(items)
        return self.items <= MAX_ITEMS

    def array_tree(self, value: Any) -> dict[str, Any]:
        """Return the description of an array."""
        if value.dtype.kind not in "fiub":
            return {"no numbers": value.dtype.kind}
        if value.nbytes > self.most:
            size = "x".join(str(n) for n in value.shape)
            raise Fault("output", f"an array of {size} numbers was returned, "
                        f"{value.nbytes:,} bytes; {self.most:,} are allowed")  # fmt: skip
        array = self.contiguous(self.array(value, copy=True, subok=False))
        return {"array": self.sent(array.reshape(value.shape))}
