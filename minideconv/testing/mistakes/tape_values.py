"""Wrong classes ``Tensor``: the values of operations, and factors of ``@``."""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.testing.mistakes.tensor import Grads, Right
from minideconv.testing.mistakes.tensor_styles import Fitting
from minideconv.testing.mistakes.wrong_tensors import another_way, derived, wrong_tensor

__all__: list[str] = []  # they are reached through the bank

VALUES = ("y", "grads")

# Values ------------------------------------------------------------------------------------------


@wrong_tensor("a - b computed as b - a", "The operands of a subtraction are interchanged.", *VALUES)
class _Reversed(Right):
    def __sub__(self, other: Any) -> Any:
        return self.made("sub", other.data - self.data, other, self)


@wrong_tensor("mean computed as the sum", "The sum is not divided by the count.", *VALUES)
class _MeanIsSum(Right):
    def mean(self, axis: int | None = None, keepdims: bool = False) -> Any:
        """Return the sum."""
        return self.sum(axis, keepdims)


@wrong_tensor("division rounded down", "a // b is computed; it is a / b.", *VALUES)
class _FloorDivision(Right):
    def __truediv__(self, other: Any) -> Any:
        return self.made("div", self.data // other.data, self, other)


@wrong_tensor("power computed as a product", "n x is computed; it is x^n.", *VALUES)
class _PowerIsProduct(Right):
    def __pow__(self, n: int) -> Any:
        return self.made("scaled", self.data * n, self, option=n)

    def d_scaled(self, g: Any, y: Any, n: Any, x: Any) -> Grads:
        """Return the gradient of n x."""
        return (g * n,)


@wrong_tensor("axis ignored", "A sum or mean over an axis is taken over all numbers.", *VALUES)
class _AxisIgnored(Right):
    def sum(self, axis: int | None = None, keepdims: bool = False) -> Any:
        """Return the sum over all."""
        return super().sum(None, keepdims)

    def mean(self, axis: int | None = None, keepdims: bool = False) -> Any:
        """Return the mean over all."""
        return super().mean(None, keepdims)


@wrong_tensor("shape of the transpose without its turn", "A transpose is reshaped: its numbers "
              "stay in row-major order.", *VALUES)  # fmt: skip
class _TransposeReshapes(Right):
    @property
    def T(self) -> Any:
        """The same numbers, in the transpose's shape."""
        return self.made("reshape", self.data.reshape(self.data.shape[::-1]), self)


# Operands ----------------------------------------------------------------------------------------


@wrong_tensor(
    "gradient of the second factor of @ transposed", "db = a.T @ dy; the code has dy.T @ a."
)
class _SecondTransposed(Right):
    def d_matmul(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        return g @ b.data.T, g.T @ a.data


@wrong_tensor(
    "gradient of the first factor of @ transposed", "da = dy @ b.T; the code has b @ dy.T."
)
class _FirstTransposed(Right):
    def d_matmul(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        return b.data @ g.T, a.data.T @ g


def _by_einsum(first: str, second: str) -> type[Right]:
    """Return the class whose products are sums over indices, which repeat an axis of length 1."""

    class _ByEinsum(Right):
        def d_matmul(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
            return np.einsum(first, g, b.data), np.einsum(second, g, a.data)

    return _ByEinsum


for _styles in ((), (Fitting,)):
    another_way("gradient of the second factor of @ transposed")(
        derived(_by_einsum("ik,jk->ij", "ik,ij->kj"), *_styles)
    )
    another_way("gradient of the first factor of @ transposed")(
        derived(_by_einsum("ik,jk->ji", "ik,ij->jk"), *_styles)
    )

# Logarithms and powers of other bases ------------------------------------------------------------


def _of_base(op: str, name: str, sentence: str, value: Any, slope: Any) -> None:
    def register_slope(own: bool) -> type[Right]:
        class _OtherBase(Right):
            def changed(self) -> Any:
                """Return the value."""
                return self.made(op, value(self.data), self)

        def d_own(self: Any, g: Any, y: Any, option: Any, x: Any) -> Grads:
            return (g * slope(x.data),)

        setattr(_OtherBase, op, _OtherBase.changed)
        if own:
            setattr(_OtherBase, f"d_{op}", d_own)
        _OtherBase.ops = (op,)  # type: ignore[attr-defined]
        return _OtherBase

    wrong_tensor(name, sentence, *VALUES)(register_slope(own=False))
    another_way(name, *VALUES)(register_slope(own=True))


_of_base("log", "log to the base 10", "np.log10 is computed; log is the natural one.",
         np.log10, lambda x: 1 / (x * np.log(10)))  # fmt: skip
_of_base("log", "log to the base 2", "np.log2 is computed; log is the natural one.",
         np.log2, lambda x: 1 / (x * np.log(2)))  # fmt: skip
_of_base("log", "log of 1 + x", "np.log1p is computed; it is np.log.",
         np.log1p, lambda x: 1 / (1 + x))  # fmt: skip
_of_base("exp", "exp to the base 2", "2 ** x is computed; exp is e ** x.",
         np.exp2, lambda x: np.exp2(x) * np.log(2))  # fmt: skip
_of_base("exp", "exp to the base 10", "10 ** x is computed; exp is e ** x.",
         lambda x: 10.0**x, lambda x: 10.0**x * np.log(10))  # fmt: skip
_of_base("exp", "exp less 1", "np.expm1 is computed; it is np.exp.", np.expm1, np.exp)
_of_base("relu", "relu is the absolute value", "np.abs is computed; relu is 0 where x is negative.",
         np.abs, np.sign)  # fmt: skip


@wrong_tensor("a / b computed as b / a", "The operands of a quotient are interchanged.", *VALUES)
class _QuotientReversed(Right):
    ops = ("div",)

    def __truediv__(self, other: Any) -> Any:
        return self.made("div", other.data / self.data, other, self)


@wrong_tensor(
    "a @ b computed entry by entry", "a * b is computed; @ is the product of matrices.", *VALUES
)
class _EntryByEntry(Right):
    ops = ("matmul",)

    def __matmul__(self, other: Any) -> Any:
        return self.made("mul", self.data * other.data, self, other)


@wrong_tensor("negation left out", "-x is x; its sign must change.", *VALUES)
class _NotNegated(Right):
    ops = ("neg",)

    def __neg__(self) -> Any:
        return self.made("kept", self.data, self)

    def d_kept(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        """Return the gradient of x."""
        return (g,)
