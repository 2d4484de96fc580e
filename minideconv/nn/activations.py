"""Pointwise layers without parameters."""

from __future__ import annotations

from minideconv import functional as F
from minideconv.autograd import Tensor
from minideconv.backend.checks import check_flag, check_integer, check_number
from minideconv.nn.layers import Dropout
from minideconv.nn.module import Module

__all__ = ["Dropout2d", "Identity", "LeakyReLU", "LogSoftmax", "Sigmoid", "Softmax", "Tanh"]


class Identity(Module):
    """What comes in goes out: a place for a layer that may be left out. Arguments are ignored."""

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`."""
        return x


class LeakyReLU(Module):
    """``x`` where it is positive, ``negative_slope * x`` elsewhere; see `F.leaky_relu`.

    `inplace` is accepted for the sake of networks written for PyTorch and changes nothing: no layer
    here writes over its input.
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = check_number("LeakyReLU", "negative_slope", negative_slope)
        self.inplace = check_flag("LeakyReLU", "inplace", inplace)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it to `x`."""
        return F.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        """Return the slope."""
        return f"negative_slope={self.negative_slope}"


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply it to `x`."""
        return F.tanh(x)


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply it to `x`."""
        return F.sigmoid(x)


class Softmax(Module):
    """Positive numbers that add up to 1 along `dim`; see `ops.softmax`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = check_integer(type(self).__name__, "dim", dim)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it to `x`."""
        return F.softmax(x, self.dim)

    def extra_repr(self) -> str:
        """Return the axis."""
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """The logarithm of `Softmax`; see `ops.log_softmax`."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply it to `x`."""
        return F.log_softmax(x, self.dim)


class Dropout2d(Dropout):
    """Zero whole channels with probability `p` in training; see `F.dropout2d`."""

    def forward(self, x: Tensor) -> Tensor:
        """Drop channels of `x`."""
        return F.dropout2d(x, self.p, self.training, self.rng)
