"""One operation of an expression, and the shape that it gives."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

__all__ = ["BINARY", "UNARY", "Node", "Shape"]

Shape = tuple[int, ...]

BINARY = {"add": "+", "sub": "-", "mul": "*", "div": "/", "matmul": "@"}
UNARY = ("neg", "pow", "relu", "exp", "log", "sum", "mean", "reshape", "transpose")


@dataclass(frozen=True)
class Node:
    """One operation of an expression.

    Attributes
    ----------
    op : str
        ``add``, ``sub``, ``mul``, ``div``, ``matmul``, ``neg``, ``pow``, ``relu``, ``exp``,
        ``log``, ``sum``, ``mean``, ``reshape``, ``transpose``.
    inputs : tuple of int
        Numbers of its operands: leaves count first, then nodes.
    option : tuple of int
        The exponent; (axis, keepdims) of a sum or mean (an axis below 0 counts from the last), or
        nothing for all axes; the new shape; the order of a transpose's axes, or nothing for that of
        a matrix.
    """

    op: str
    inputs: tuple[int, ...]
    option: tuple[int, ...] = ()

    def __str__(self) -> str:
        option = f"|{','.join(map(str, self.option))}" if self.option else ""
        return f"{self.op}({','.join(map(str, self.inputs))}{option})"

    def shape(self, shapes: tuple[Shape, ...]) -> Shape:
        """Return the shape of the result for operands of these shapes.

        Raises
        ------
        ValueError
            If it cannot be.
        """
        x = shapes[0]
        if self.op == "matmul":
            if len(x) != 2 or len(shapes[1]) != 2 or x[1] != shapes[1][0]:
                raise ValueError(f"Expression: {x} @ {shapes[1]} is no product of matrices")
            return x[0], shapes[1][1]
        if self.op in BINARY:
            return x if x == shapes[1] else np.broadcast_shapes(*shapes)
        if self.op in ("sum", "mean"):
            if not self.option:
                return ()
            axis, keepdims = self.option
            if not -len(x) <= axis < len(x):
                raise ValueError(f"Expression: {self.op} over axis {axis} of {x}")
            axis %= len(x)
            return (*x[:axis], *([1] if keepdims else []), *x[axis + 1 :])
        if self.op == "reshape":
            if prod(self.option) != prod(x):
                raise ValueError(f"Expression: {x} does not reshape to {self.option}")
            return self.option
        if self.op == "transpose":
            order = self.option or (1, 0)
            if sorted(order) != list(range(len(x))):
                raise ValueError(f"Expression: the transpose of {x} in the order {order}")
            return tuple(x[axis] for axis in order)
        return x
