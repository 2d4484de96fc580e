"""A student's functions as callables of this process; each call runs in the student's.

What a call returns comes back as arrays, numbers, tuples and lists. Any other object stays where
it is, and here is a `Kept` in its place: a batch norm's cache, or a Tensor of the student's own,
whose attributes, methods and operators work from here too. Arrays are lent: what the student's
function writes to them is written to the arrays here.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from minideconv.course.worker import wire
from minideconv.testing.checking.calls import StudentFault

__all__ = ["Ask", "Functions", "Kept", "Lender"]

Array = np.ndarray[Any, Any]


class Ask(Protocol):
    """Send a request to the student's process; return what the reply describes."""

    def __call__(
        self, do: str, *args: Any, name: str = "", about: str = "", words: Mapping[str, Any] = {}
    ) -> Any:
        """Do `do` with `args` and `words`; `about` begins the sentence of a fault."""
        ...


class Lender:
    """The arrays of one case that the student's process has, by number, and its objects."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.arrays: list[Array] = []
        self.fault: StudentFault | None = None  # the process has ended, and its objects with it
        self._numbers: dict[int, int] = {}

    def described(self, value: Any, new: list[dict[str, Any]], blobs: list[bytes]) -> Any:
        """Return the description of an argument; an array that is not lent yet joins `new`."""
        if isinstance(value, np.ndarray):
            if id(value) not in self._numbers:
                self._numbers[id(value)] = len(self.arrays)
                spec, blob = _spread(value)
                new.append({"number": len(self.arrays), **spec})
                blobs.append(blob)
                self.arrays.append(value)
            return {"lent": self._numbers[id(value)]}
        if isinstance(value, Kept):
            return {"kept": object.__getattribute__(value, "_number")}
        if isinstance(value, (tuple, list)):
            items = [self.described(item, new, blobs) for item in value]
            return {"tuple" if isinstance(value, tuple) else "list": items}
        return value.item() if isinstance(value, np.generic) else value

    def write_back(self, changed: object, arrays: list[Array]) -> None:
        """Write what the student's function wrote to its arguments."""
        if not isinstance(changed, list):
            raise wire.ProtocolError("no list of changed arrays")
        for entry in changed:
            number, place = _pair_of_numbers(entry)
            if number >= len(self.arrays) or place >= len(arrays):
                raise wire.ProtocolError("an array that was not lent")
            array = self.arrays[number]
            spec, blob = _spread(array)
            if arrays[place].nbytes != len(blob):
                raise wire.ProtocolError("an array of another size")
            array[...] = np.ndarray(
                array.shape, array.dtype, arrays[place].tobytes(), spec["offset"], spec["strides"]
            )

    def result(self, tree: object, arrays: list[Array], depth: int = 0) -> Any:
        """Return what a reply describes.

        Raises
        ------
        ProtocolError
            If it describes nothing.
        """
        if not isinstance(tree, dict) or depth > 8:
            raise wire.ProtocolError("no description of a result")
        if "plain" in tree:
            plain = tree["plain"]
            if plain is None or type(plain) in (bool, int, float, str):
                return plain
        elif "array" in tree:
            place = tree["array"]
            if type(place) is int and 0 <= place < len(arrays):
                return arrays[place]
        elif "no numbers" in tree:
            return np.empty((), np.complex128 if tree["no numbers"] == "c" else object)
        elif "kept" in tree:
            number, kind = tree["kept"], tree.get("type")
            if type(number) is int and isinstance(kind, str):
                return _kept_class(kind)(self.ask, number, _signature(tree.get("parameters")))
        else:
            for name, kind_of in (("tuple", tuple), ("list", list)):
                items = tree.get(name)
                if isinstance(items, list):
                    return kind_of(self.result(item, arrays, depth + 1) for item in items)
        raise wire.ProtocolError("no description of a result")


def _pair_of_numbers(entry: object) -> tuple[int, int]:
    if isinstance(entry, list) and len(entry) == 2:
        number, place = entry
        if type(number) is int and type(place) is int and number >= 0 and place >= 0:
            return number, place
    raise wire.ProtocolError("no number of an array")


def _spread(array: Array) -> tuple[dict[str, Any], bytes]:
    """Return how an array lies in memory, and that memory."""
    base = array if array.base is None else array.base
    if not (isinstance(base, np.ndarray) and base.flags.forc):
        base = array = np.array(array, order="C")
    first, start = (a.__array_interface__["data"][0] for a in (base, array))
    spec = {
        "dtype": array.dtype.str,
        "shape": array.shape,
        "strides": array.strides,
        "offset": start - first if array.size else 0,
        "bytes": base.nbytes,
    }
    return spec, base.tobytes("A")


class Functions(Mapping[str, Callable[..., Any]]):
    """The functions of a student's file by their names.

    Parameters
    ----------
    ask : Ask
        Sends requests.
    public : callable
        ``public()`` returns the names in the file; of each, its parameters or, if it is no
        function, its type. It imports the file where that has not been done.
    file : str
        The file's name, for sentences.
    """

    def __init__(self, ask: Ask, public: Callable[[], Mapping[str, Any]], file: str) -> None:
        self._ask, self._public, self._file = ask, public, file

    def __contains__(self, name: object) -> bool:
        kind = self._public().get(str(name))
        if isinstance(kind, str):
            raise StudentFault("missing", f"{name} in {self._file} is no function, but {kind}")
        return kind is not None

    def __getitem__(self, name: str) -> Callable[..., Any]:
        if name not in self:
            raise StudentFault("missing", f"there is no function {name} in {self._file}")

        def function(*args: Any, **words: Any) -> Any:
            return self._ask("function", *args, name=name, about=name, words=words)

        function.__name__ = name
        function.__signature__ = _signature(self._public()[name])  # type: ignore[attr-defined]
        return function

    def __iter__(self) -> Iterator[str]:
        return (name for name, kind in self._public().items() if not isinstance(kind, str))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Kept:
    """An object in the student's process."""

    __slots__ = ("_ask", "_number", "_signature")
    __array_ufunc__ = None  # NumPy's arrays leave operators to it
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, ask: Ask, number: int, signature: inspect.Signature | None) -> None:
        object.__setattr__(self, "_ask", ask)
        object.__setattr__(self, "_number", number)
        object.__setattr__(self, "_signature", signature)

    def _do(self, do: str, *args: Any, name: str = "", words: Mapping[str, Any] = {}) -> Any:
        ask: Ask = object.__getattribute__(self, "_ask")
        about = f"{type(self).__name__}{'.' if name else ''}{name}"
        return ask(do, *args, name=name, about=about, words=words)

    def __getattr__(self, name: str) -> Any:
        if name == "__signature__" and (signature := object.__getattribute__(self, "_signature")):
            return signature
        if name.startswith("__"):
            raise AttributeError(name)
        value = self._do("get", self, name=name)
        if isinstance(value, Kept) and type(value).__name__ == "method":
            # Sentences are about Tensor.sum, and not about "method".
            ask, number, signature = (object.__getattribute__(value, n) for n in Kept.__slots__)
            kind = type(f"{type(self).__name__}.{name}", (Kept,), {"__slots__": ()})
            return kind(ask, number, signature)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        self._do("set", self, value, name=name)

    def __call__(self, *args: Any, **words: Any) -> Any:
        """Call it in its process."""
        return self._do("call", self, *args, words=words)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self._do("array", self)
        return np.asarray(array if isinstance(array, np.ndarray) else None, dtype)

    def __add__(self, other: Any) -> Any:
        return self._do("operator", self, other, name="add")

    def __radd__(self, other: Any) -> Any:
        return self._do("operator", other, self, name="add")

    def __sub__(self, other: Any) -> Any:
        return self._do("operator", self, other, name="sub")

    def __rsub__(self, other: Any) -> Any:
        return self._do("operator", other, self, name="sub")

    def __mul__(self, other: Any) -> Any:
        return self._do("operator", self, other, name="mul")

    def __rmul__(self, other: Any) -> Any:
        return self._do("operator", other, self, name="mul")

    def __truediv__(self, other: Any) -> Any:
        return self._do("operator", self, other, name="truediv")

    def __rtruediv__(self, other: Any) -> Any:
        return self._do("operator", other, self, name="truediv")

    def __matmul__(self, other: Any) -> Any:
        return self._do("operator", self, other, name="matmul")

    def __rmatmul__(self, other: Any) -> Any:
        return self._do("operator", other, self, name="matmul")

    def __pow__(self, other: Any) -> Any:
        return self._do("operator", self, other, name="pow")

    def __neg__(self) -> Any:
        return self._do("operator", self, name="neg")

    def __getitem__(self, index: Any) -> Any:
        return self._do("operator", self, index, name="getitem")


def _signature(parameters: object) -> inspect.Signature | None:
    """Return a signature from the names of its parameters and the numbers of their kinds."""
    if not isinstance(parameters, list):
        return None
    kinds = list(inspect._ParameterKind)
    try:
        return inspect.Signature([inspect.Parameter(n, kinds[k]) for n, k in parameters])
    except (TypeError, ValueError, IndexError):
        return None


def _kept_class(name: str) -> type[Kept]:
    """Return a class of a student's name, which messages show."""
    shown = name if re.fullmatch(r"\w{1,100}", name) else "object"
    return type(shown, (Kept,), {"__slots__": ()})
