"""A network as a list of operations, for programs that are not this one: `Graph`.

`nn.trace.trace` makes it; the backends that read it (ONNX in `export`, PyTorch in `interop.torch`)
know operations by their names and options, and no network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from minideconv.backend import Array
from minideconv.errors import UsageError

__all__ = ["Graph", "Length", "Operation", "Size", "Value"]

Shape: TypeAlias = tuple[int, ...]


@dataclass(eq=False, slots=True)
class Value:
    """An array of the graph: the input, a parameter, a constant, or what an operation made.

    Attributes
    ----------
    shapes : tuple of tuples of int
        Its shape for each of the traced inputs.
    dtype
        Its type.
    name : str
        That of a parameter or buffer in the network's state; else empty.
    array : array, optional
        The numbers of a parameter, a buffer or a constant.
    """

    shapes: tuple[Shape, ...]
    dtype: Any
    name: str = ""
    array: Array | None = None

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shapes[0])

    def length(self, axis: int) -> int | None:
        """Return the length of an axis, or None if it changes with the input."""
        found = {shape[axis] for shape in self.shapes}
        return found.pop() if len(found) == 1 else None


class Length(NamedTuple):
    """A number that changes with the input: ``times`` the length of an axis, plus ``plus``."""

    value: Value
    axis: int
    plus: int
    times: int = 1


Size: TypeAlias = int | Length


@dataclass(eq=False, slots=True)
class Operation:
    """One step: its name and options are those of the tape (`autograd.Node`).

    Attributes
    ----------
    name : str
        Of the function of `functional`, or of the method of Tensor.
    inputs : tuple of Value or None
        None stands for an argument that was left out, or is a number among the options.
    options : mapping of str to anything
        Whole numbers in it are `Size`, arrays are `Value`, and ``switches`` is the `Operation`
        whose pooling made them.
    result : Value
    module : str
        The innermost module that computed it, by its name in the network; "" for the network.
    gives_switches : bool
        Whether the switches of this pooling are used.
    """

    name: str
    inputs: tuple[Value | None, ...]
    options: Mapping[str, Any]
    result: Value
    module: str = ""
    gives_switches: bool = False

    def operands(self, read: Callable[[Value], Any]) -> list[Any]:
        """Return both operands of a sum and the like: arrays as `read` has them, or numbers.

        Raises
        ------
        UsageError
            If one of them was an array and no Tensor, of which a trace keeps nothing.
        """
        found: list[Any] = []
        for letter, value in zip("ab", self.inputs, strict=True):
            if value is None and letter not in self.options:
                raise UsageError(
                    f"{self.name}: one operand is an array and no Tensor, of which a trace keeps"
                    " nothing; make it a Tensor, or a buffer of a module"
                )
            found.append(self.options[letter] if value is None else read(value))
        return found


@dataclass(eq=False)
class Graph:
    """A network in evaluation mode as operations, in the order of computation.

    Attributes
    ----------
    title : str
        The network's class.
    input, output : Value
    operations : list of Operation
        Those that the output needs.
    """

    title: str
    input: Value
    output: Value
    operations: list[Operation] = field(default_factory=list)
