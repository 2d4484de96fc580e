"""Wrong classes ``Tensor``: the gradients of the operations."""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.testing.mistakes.tensor import Grads, Right
from minideconv.testing.mistakes.tensor_styles import Composed
from minideconv.testing.mistakes.wrong_tensors import another_way, derived, wrong_tensor

__all__: list[str] = []  # they are reached through the bank

# Operations --------------------------------------------------------------------------------------


@wrong_tensor(
    "second operand of + without gradient",
    "Only the first operand of a sum gets the gradient; both do.",
)
class _AddFirst(Right):
    def d_add(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        return g, None


@wrong_tensor("sign of the subtrahend lost", "The second operand of a - b gets +dy; it is -dy.")
class _SubSign(Right):
    def d_sub(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        return g, g


@wrong_tensor(
    "signs of a subtraction interchanged",
    "a gets -dy and b gets +dy; of a - b it is the other way round.",
)
class _SubSwapped(Right):
    def d_sub(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        return -g, g


@wrong_tensor(
    "operands of * interchanged",
    "Each factor's gradient is multiplied by its own value; it must be multiplied by the "
    "other one's.",
)
class _MulSwapped(Right):
    def d_mul(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        return g * a.data, g * b.data


@wrong_tensor(
    "* passes the gradient on as + does",
    "The factors get dy; they must get dy times the other factor.",
)
class _MulAsAdd(Right):
    def d_mul(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        return np.broadcast_to(g, y.data.shape), np.broadcast_to(g, y.data.shape)


@wrong_tensor(
    "incoming gradient left out of *",
    "The factors get each other's values; the chain rule multiplies them by dy.",
)
class _MulNoChain(Right):
    def d_mul(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        ones = np.ones(y.data.shape)
        return ones * b.data, ones * a.data


@wrong_tensor("sign of a negation lost", "-x hands dy back; it must hand back -dy.")
class _NegSign(Right):
    def d_neg(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (g,)


@wrong_tensor("sign of the divisor's gradient lost", "d(a / b)/db is -a / b^2.")
class _DivSign(Right):
    def d_div(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        return g / b.data, g * a.data / b.data**2


@wrong_tensor("divisor not squared", "d(a / b)/db is -a / b^2; the code divides by b once.")
class _DivNotSquared(Right):
    def d_div(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        return g / b.data, -g * a.data / b.data


@wrong_tensor("dividend left out of the divisor's gradient", "d(a / b)/db is -a / b^2.")
class _DivNoDividend(Right):
    def d_div(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        return g / b.data, -g / b.data**2


@wrong_tensor("dividend's gradient multiplied by the divisor", "d(a / b)/da is 1 / b.")
class _DivTimes(Right):
    def d_div(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        return g * b.data, -g * a.data / b.data**2


@wrong_tensor(
    "factors of @ not transposed",
    "da = dy @ b.T and db = a.T @ dy; the code multiplies by a and b as they are.",
)
class _MatmulPlain(Right):
    def d_matmul(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        return g @ b.data, a.data @ g


@wrong_tensor("first factor of @ not transposed", "db = a.T @ dy; the code has a @ dy.")
class _MatmulFirstPlain(Right):
    def d_matmul(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        return g @ b.data.T, a.data @ g


@wrong_tensor("second factor of @ not transposed", "da = dy @ b.T; the code has dy @ b.")
class _MatmulSecondPlain(Right):
    def d_matmul(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        return g @ b.data, a.data.T @ g


@wrong_tensor(
    "order of the factors of @ wrong",
    "da = dy @ b.T and db = a.T @ dy; a product of matrices cannot be turned round.",
)
class _MatmulOrder(Right):
    def d_matmul(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        return b.data.T @ g, g @ a.data.T


@wrong_tensor("gradients of @ interchanged", "The first factor gets a.T @ dy, the second dy @ b.T.")
class _MatmulSwapped(Right):
    def d_matmul(self, g: Any, y: Any, option: Any, a: Any, b: Any) -> Grads:
        return a.data.T @ g, g @ b.data.T


@wrong_tensor(
    "relu passes every gradient", "The gradient of relu is 0 where its input is negative."
)
class _ReluAll(Right):
    def d_relu(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (g,)


@wrong_tensor(
    "relu masked by the gradient",
    "relu hands back the positive part of dy; what counts is whether its input is positive.",
)
class _ReluOfGradient(Right):
    def d_relu(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (np.maximum(g, 0),)


@wrong_tensor(
    "relu passes the gradient at 0",
    "The mask is x >= 0. At 0 itself relu has no slope: every library takes 0 there, x > 0.",
)
class _ReluAtZero(Right):
    def d_relu(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (g * (x.data >= 0),)


@wrong_tensor(
    "relu passes half of the gradient at 0",
    "The mask is (sign(x) + 1) / 2. At 0 itself relu has no slope: every library takes 0 there.",
)
class _ReluHalved(Right):
    def d_relu(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (g * (np.sign(x.data) + 1) / 2,)


INVERTED = "relu mask inverted", "relu passes the gradient where its input is negative."


@wrong_tensor(*INVERTED)
class _ReluInverted(Right):
    def d_relu(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (g * (x.data < 0),)


@wrong_tensor(*INVERTED)
class _ReluInvertedAtZero(Right):
    def d_relu(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (g * (x.data <= 0),)


@wrong_tensor(
    "relu's gradient times its value",
    "relu hands back dy times its output; its slope is 1 where its input is positive.",
)
class _ReluTimesValue(Right):
    def d_relu(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (g * y.data,)


@wrong_tensor(
    "incoming gradient left out of relu",
    "relu hands back its mask; the chain rule multiplies it by dy.",
)
class _ReluNoChain(Right):
    def d_relu(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return ((x.data > 0) * 1.0,)


@wrong_tensor("gradient of exp is that of its argument", "exp hands dy times x back; it is e^x.")
class _ExpArgument(Right):
    def d_exp(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (g * x.data,)


@wrong_tensor(
    "exp passes the gradient unchanged", "exp hands dy back; it must be multiplied by e^x."
)
class _ExpUnchanged(Right):
    def d_exp(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (g,)


@wrong_tensor("gradient of exp as of a power", "The derivative of e^x is e^x, not x e^(x-1).")
class _ExpAsPower(Right):
    def d_exp(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (g * x.data * np.exp(x.data - 1),)


@wrong_tensor("gradient of log multiplied by its argument", "d(log x)/dx is 1 / x, not x.")
class _LogTimes(Right):
    def d_log(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (g * x.data,)


@wrong_tensor("gradient of log divided by its result", "d(log x)/dx is 1 / x, not 1 / log x.")
class _LogResult(Right):
    def d_log(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (g / y.data,)


@wrong_tensor("log passes the gradient unchanged", "d(log x)/dx is 1 / x; the code hands dy back.")
class _LogUnchanged(Right):
    def d_log(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (g,)


@wrong_tensor("exponent not reduced", "d(x^n)/dx is n x^(n-1); the code has n x^n.")
class _PowNotReduced(Right):
    def d_pow(self, g: Any, y: Any, n: Any, x: Any) -> Grads:
        return (g * n * x.data**n,)


@wrong_tensor("exponent left out as a factor", "d(x^n)/dx is n x^(n-1); the code has x^(n-1).")
class _PowNoFactor(Right):
    def d_pow(self, g: Any, y: Any, n: Any, x: Any) -> Grads:
        return (g * x.data ** (n - 1),)


@wrong_tensor("gradient of a power as of a square", "d(x^n)/dx is n x^(n-1), not 2 x.")
class _PowTwo(Right):
    def d_pow(self, g: Any, y: Any, n: Any, x: Any) -> Grads:
        return (g * 2 * x.data,)


@wrong_tensor(
    "gradient of a sum not broadcast",
    "A sum hands back a gradient of its own shape; every number that was summed gets it.",
)
class _SumNotSpread(Right):
    def d_sum(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (g,)


@wrong_tensor("gradient of a sum divided by the count", "A sum hands dy back, a mean dy / n.")
class _SumAsMean(Right):
    def d_sum(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (self.spread(g, option, x) / self.count(option, x),)


@wrong_tensor("mean without 1/n", "A mean hands back dy / n; the code hands back dy.")
class _MeanAsSum(Right):
    def d_mean(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (self.spread(g, option, x),)


@wrong_tensor(
    "gradient of a mean divided twice", "A mean hands back dy / n; the code divides by n again."
)
class _MeanTwice(Right):
    def d_mean(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (self.spread(g, option, x) / self.count(option, x) ** 2,)


@wrong_tensor(
    "gradient of reshape not reshaped",
    "reshape hands its gradient back as it is; it must get the shape of its input.",
)
class _ReshapePlain(Right):
    def d_reshape(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (g,)


_ReshapePlainComposed = derived(_ReshapePlain, Composed)
_ReshapePlainComposed.ops = ("reshape",)
another_way("gradient of reshape not reshaped")(_ReshapePlainComposed)


@wrong_tensor(
    "gradient of the transpose not transposed",
    "A transpose hands its gradient back as it is; it must be transposed back.",
)
class _TransposePlain(Right):
    def d_transpose(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (g,)


@wrong_tensor(
    "transpose undone by the same order",
    "The gradient of a transpose gets the order of the forward once more; it must be undone, by "
    "np.argsort(order). An order that exchanges two axes hides it.",
)
class _TransposeAgain(Right):
    def d_transpose(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (g.transpose(option) if option else g.T,)


@wrong_tensor(
    "gradient of the transpose reshaped",
    "A transpose hands back its gradient in the right shape but with the numbers in "
    "row-major order; it must be transposed back.",
)
class _TransposeReshaped(Right):
    def d_transpose(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (g.reshape(x.data.shape),)
