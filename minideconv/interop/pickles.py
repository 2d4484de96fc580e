"""Pickles of tensors, read by a machine that knows twenty harmless things and runs nothing.

A pickle is a program for a small stack machine: push a number, push a name, make a tuple of what
lies above the mark. Python's own machine also imports whatever the program names and calls it with
whatever arguments, so a pickle from a stranger can do anything at all. This one

* imports nothing: a name like ``torch._utils _rebuild_tensor_v2`` is looked up in the table below,
  and any other is refused by the name it has;
* calls nothing but the few functions of this file that stand in that table;
* makes no set, no object and no instance, takes dictionaries' keys to be texts or numbers (of a
  deeply nested key Python would compute a hash until its stack overflows), and reads at most
  `MOST_BYTES`.

The instructions are decoded by the standard library's `pickletools`, which executes none.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from typing import IO, Any, NamedTuple, cast

from minideconv.interop.malformed import Malformed, shown

__all__ = ["MOST_BYTES", "Stored", "TensorPlan", "read_pickle"]

MOST_BYTES = 4 << 20
"""The longest pickle that is read; some twenty thousand tensors, whose values lie outside of it."""

_MOST_LINE = 4096
_MOST_BITS = 128  # PyTorch's magic number has 77


class Stored(NamedTuple):
    """A run of numbers outside of the pickle, by the key under which it is found."""

    key: str
    dtype: str
    length: int


class TensorPlan(NamedTuple):
    """A tensor that is still to be made: a view of stored numbers."""

    stored: Stored
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _Name(NamedTuple):
    """What a GLOBAL instruction pushes: a name of the table."""

    name: str


_STORAGES = {
    f"torch.{name}Storage": dtype
    for name, dtype in {
        "Bool": "bool", "Byte": "uint8", "Char": "int8", "Short": "int16", "Int": "int32",
        "Long": "int64", "Half": "float16", "BFloat16": "bfloat16", "Float": "float32",
        "Double": "float64",
    }.items()
}  # fmt: skip


def _tensor(stored: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> TensorPlan:
    """As ``torch._utils._rebuild_tensor_v2``; what follows is about gradients."""
    lists = all(isinstance(x, tuple) and all(type(n) is int for n in x) for x in (shape, stride))
    if not isinstance(stored, Stored) or type(offset) is not int or not lists:
        raise Malformed("the pickle builds a tensor of something that is no storage")
    return TensorPlan(stored, offset, shape, stride)


def _parameter(tensor: Any, *_: Any) -> Any:
    """As ``torch._utils._rebuild_parameter``: a parameter is its tensor."""
    return tensor


def _ordered(pairs: Any = ()) -> dict[Any, Any]:
    """As ``collections.OrderedDict``."""
    made: dict[Any, Any] = {}
    if not isinstance(pairs, list | tuple) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs
    ):
        raise Malformed("the pickle makes an OrderedDict of something that is no list of pairs")
    _put(made, [item for pair in pairs for item in pair])
    return made


def _as_it_is(value: Any = None, *_: Any) -> Any:
    """As ``torch.Size`` of a tuple, or ``torch.device`` of a text."""
    return value


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _as_it_is,
    "torch.device": _as_it_is,
}


def read_pickle(data: memoryview) -> tuple[Any, int]:
    """Return what a pickle holds, and how many bytes it took.

    Tensors come back as `TensorPlan`, dictionaries of any kind as dict.

    Raises
    ------
    Malformed
        If the pickle names, calls or uses what is not in the table, or is damaged.
    """
    machine, stream = _Machine(), _Stream(data)
    try:
        for opcode, argument, _ in pickletools.genops(cast("IO[bytes]", stream)):
            if opcode.name == "STOP":
                return machine.pop(), stream.tell()
            machine.do(opcode.name, argument)
    except Malformed:
        raise
    # What the standard library says of a truncated or senseless program; and this machine, where
    # it takes more from its stack than there is.
    except (ValueError, IndexError, KeyError, TypeError, struct.error, OverflowError) as error:
        raise Malformed(f"the pickle is damaged ({shown(error)})") from error
    raise Malformed("the pickle has no end")


class _Stream:
    """The bytes as a file, for `pickletools`; no read is longer than what is left."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._position = data[:MOST_BYTES], 0
        self._cut = len(data) > MOST_BYTES

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        content = bytes(self._data[self._position : self._position + size])
        self._position += len(content)
        if len(content) < size and self._cut:
            raise Malformed(
                f"the pickle is longer than {MOST_BYTES:,} bytes, the most that is read"
            )
        return content

    def readline(self) -> bytes:
        line = bytes(self._data[self._position : self._position + _MOST_LINE])
        line = line[: line.find(b"\n") + 1]
        self._position += len(line)
        if b"\\" in line:  # to decode an escape is nothing that a tensor's name needs
            raise Malformed("the pickle has a name with a backslash")
        return line


class _Machine:
    """The stack, the marks in it, and the memo of what is used again."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def pop(self) -> Any:
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise Malformed("the pickle takes more from its stack than it has put there")
        return self.stack.pop()

    def pop_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def do(self, name: str, argument: Any) -> None:
        """Execute one instruction."""
        if name in _PUSHES:
            if isinstance(argument, int) and argument.bit_length() > _MOST_BITS:
                raise Malformed(f"the pickle has a number of {argument.bit_length():,} bits")
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[argument] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self.memo[argument])
        elif name == "MARK":
            self.marks.append(len(self.stack))
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            self._name(name, argument)
        elif name == "REDUCE":
            self._call()
        elif name == "BUILD":
            self._build()
        elif name == "BINPERSID":
            self.stack.append(_stored(self.pop()))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            items = [self.pop() for _ in range(int(name[-1]))]
            self.stack.append(tuple(reversed(items)))
        elif name in ("TUPLE", "LIST", "DICT"):
            items = self.pop_mark()
            self.stack.append(
                tuple(items) if name == "TUPLE" else items if name == "LIST" else _put({}, items)
            )
        elif name in ("APPEND", "APPENDS"):
            items = [self.pop()] if name == "APPEND" else self.pop_mark()
            _of(self.stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            pairs = [self.pop(), self.pop()][::-1] if name == "SETITEM" else self.pop_mark()
            _put(_of(self.stack[-1], dict), pairs)
        elif name not in ("PROTO", "FRAME"):
            raise Malformed(f"the pickle uses the instruction {name}, which no tensor needs")

    def _name(self, instruction: str, argument: Any) -> None:
        if instruction == "GLOBAL":
            module, _, attribute = argument.partition(" ")
        else:
            attribute, module = self.pop(), self.pop()
        name = f"{module}.{attribute}"
        if name not in _FUNCTIONS and name not in _STORAGES:
            raise Malformed(
                f"the pickle names {shown(name)}, which is no part of a tensor; only tensors in"
                " dictionaries and lists are read, and nothing of the file was run"
            )
        self.stack.append(_Name(name))

    def _call(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, _Name) or function.name not in _FUNCTIONS:
            name = function.name if isinstance(function, _Name) else type(function).__name__
            raise Malformed(f"the pickle calls {name}, which is no function of tensors")
        self.stack.append(_FUNCTIONS[function.name](*_of(arguments, tuple)))

    def _build(self) -> None:
        """Set attributes: PyTorch gives a state's OrderedDict its ``_metadata``, nothing else."""
        attributes = self.pop()
        _of(self.stack[-1], dict)
        if not isinstance(attributes, dict) or attributes.keys() - {"_metadata"}:
            raise Malformed("the pickle sets attributes of an object")


_PUSHES = frozenset(
    [
        *("BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE"),
        *("SHORT_BINSTRING", "BINSTRING", "STRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    ]
)
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}


def _of(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or isinstance(value, _Name | Stored | TensorPlan):
        raise Malformed(f"the pickle uses a {type(value).__name__} as a {kind.__name__}")
    return value


def _put(into: dict[Any, Any], items: list[Any]) -> dict[Any, Any]:
    """Put keys and values, which alternate, into a dictionary."""
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | int | float | None):
            raise Malformed(f"the pickle has a {type(key).__name__} as a dictionary's key")
        into[key] = value
    return into


def _stored(reference: Any) -> Stored:
    """Return the numbers that a reference to outside of the pickle means."""
    if not isinstance(reference, tuple) or len(reference) < 5 or reference[0] != "storage":
        raise Malformed("the pickle refers to something outside of it that is no storage")
    _, kind, key, _, count, *view = reference
    if not isinstance(kind, _Name) or kind.name not in _STORAGES:
        raise Malformed("the pickle refers to a storage of no known type")
    if not isinstance(key, str) or type(count) is not int or count < 0:
        raise Malformed("the pickle refers to a storage without key or length")
    if view and view[0] is not None:
        raise Malformed("the pickle has views of storages, as PyTorch wrote before 0.4")
    return Stored(key, _STORAGES[kind.name], count)
