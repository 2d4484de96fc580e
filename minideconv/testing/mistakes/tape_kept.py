"""Wrong classes ``Tensor``: what an operation keeps where the next of its kind overwrites it."""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.testing.mistakes.tensor import Grads, Right
from minideconv.testing.mistakes.wrong_tensors import SIGNS, wrong_tensor

__all__: list[str] = []  # they are reached through the bank


def _overwritten(op: str) -> None:
    sign = SIGNS.get(op, op)
    last: list[Any] = [None]

    @wrong_tensor(
        f"what one {sign} keeps overwritten by the next",
        f"{sign} keeps what its rule needs in an attribute of the class, or in a global variable, "
        f"so that all rules of {sign} use that of the last one; each result needs its own.",
    )
    class _Overwritten(Right):
        ops = (op,)

        def made(self, made: str, data: Any, *operands: Any, option: Any = ()) -> Any:
            y = super().made(made, data, *operands, option=option)
            if made == op:
                last[0] = y
            return y

        def rule(self, g: Any) -> Grads:
            if self.op != op:
                return super().rule(g)
            y = last[0]
            found: Grads = getattr(self, f"d_{op}")(g, y, y.option, *y.operands)
            return found


for _op in ("mul", "div", "matmul", "pow", "relu", "exp", "log"):
    _overwritten(_op)


@wrong_tensor(
    "relu computed in place",
    "relu sets the negative numbers of its own input to 0, which changes that Tensor for all that "
    "use it; it must make a new array.",
    "y",
    "grads",
)
class _ReluInPlace(Right):
    ops = ("relu",)

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        super().__init__(np.array(data), requires_grad)

    def relu(self) -> Any:
        """Return max(x, 0), which x is from now on, too."""
        positive = self.data > 0
        self.data[~positive] = 0
        y = self.made("relu", self.data, self)
        y.data = self.data
        return y
