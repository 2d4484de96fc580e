"""Initial weights: each function fills a parameter in place and returns it.

``fan_in`` is the number of inputs that one output sums, ``fan_out`` the number of outputs that one
input feeds. A convolution's weight is (out, in, kh, kw), so fan_in = in * kh * kw; a transposed
convolution's is (in, out, kh, kw): with ``transposed=True`` the two change places.
"""

from __future__ import annotations

import math

import numpy as np

from minideconv import random
from minideconv.autograd import Tensor
from minideconv.autograd.other_names import refusing
from minideconv.backend import Array, check_writable, device_of, to_device
from minideconv.engine.layout import assign

__all__ = [
    "bilinear_",
    "calculate_gain",
    "constant_",
    "fans",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def fans(shape: tuple[int, ...], transposed: bool = False) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a weight of this shape.

    Raises
    ------
    ValueError
        If the shape has fewer than two axes.
    """
    if len(shape) < 2:
        raise ValueError(f"init: shape {shape} has no fan-in; a weight needs at least two axes")
    taps = math.prod(shape[2:])
    fan_out, fan_in = shape[0] * taps, shape[1] * taps
    return (fan_out, fan_in) if transposed else (fan_in, fan_out)


def _fill(tensor: Tensor, values: Array) -> Tensor:
    check_writable("init", [("the tensor", tensor.data)])
    values = values.astype(tensor.data.dtype, copy=False)
    assign(tensor.data, to_device(values, device_of(tensor.data)))
    tensor.bump_version()
    return tensor


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one value."""
    return _fill(tensor, np.full(tensor.shape, val))


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones."""
    return constant_(tensor, 1.0)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, rng: np.random.Generator | None = None
) -> Tensor:
    """Fill from a normal distribution."""
    dtype = np.float32 if tensor.dtype == np.float32 else np.float64
    values = (rng or random.default_rng()).standard_normal(tensor.shape, dtype)
    values *= std
    values += mean
    return _fill(tensor, values)


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, rng: np.random.Generator | None = None
) -> Tensor:
    """Fill from a uniform distribution on [a, b)."""
    return _fill(tensor, (rng or random.default_rng()).uniform(a, b, tensor.shape))


_GAINS = {"linear": 1.0, "conv2d": 1.0, "conv_transpose2d": 1.0, "sigmoid": 1.0, "tanh": 5 / 3}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor by which weights in front of a nonlinearity must spread wider.

    It is ``sqrt(2)`` for "relu", ``sqrt(2 / (1 + param^2))`` for "leaky_relu" with the slope
    `param` (0.01 if None), 5/3 for "tanh", and 1 for "linear", "conv2d", "conv_transpose2d" and
    "sigmoid".

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in _GAINS:
        raise ValueError(
            f"init: nonlinearity is {nonlinearity!r}; it must be 'relu', 'leaky_relu', "
            f"{', '.join(map(repr, _GAINS))}"
        )
    return _GAINS[nonlinearity]


def _kaiming(tensor: Tensor, transposed: bool, a: float, mode: str, nonlinearity: str) -> float:
    """Return the standard deviation that keeps the variance of what flows through a layer."""
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"init: mode is {mode!r}; it must be 'fan_in' or 'fan_out'")
    fan = fans(tensor.shape, transposed)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_normal_(
    tensor: Tensor,
    transposed: bool = False,
    rng: np.random.Generator | None = None,
    *,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
) -> Tensor:
    """Fill with N(0, gain^2 / fan), which keeps the variance through a nonlinearity.

    By default that is N(0, 2 / fan_in), for a ReLU. Source: He, Zhang, Ren, Sun, "Delving deep into
    rectifiers" (ICCV 2015), section 2.2.

    Parameters
    ----------
    tensor : Tensor
    transposed : bool
        Whether it is the weight of a transposed convolution.
    rng : Generator, optional
    a : float
        The slope of a leaky ReLU where its input is negative.
    mode : {"fan_in", "fan_out"}
        Whether forward or backward keeps its variance.
    nonlinearity : str
        See `calculate_gain`.
    """
    return normal_(tensor, 0.0, _kaiming(tensor, transposed, a, mode, nonlinearity), rng)


def kaiming_uniform_(
    tensor: Tensor,
    transposed: bool = False,
    rng: np.random.Generator | None = None,
    *,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
) -> Tensor:
    """Fill uniformly with the variance of `kaiming_normal_`; arguments as there."""
    bound = math.sqrt(3.0) * _kaiming(tensor, transposed, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, rng)


def xavier_normal_(
    tensor: Tensor, rng: np.random.Generator | None = None, *, gain: float = 1.0
) -> Tensor:
    """Fill with N(0, 2 gain^2 / (fan_in + fan_out)).

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks" (AISTATS 2010), equation 12.
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(fans(tensor.shape))), rng)


def xavier_uniform_(
    tensor: Tensor, rng: np.random.Generator | None = None, *, gain: float = 1.0
) -> Tensor:
    """Fill uniformly with the variance of `xavier_normal_`; source there, equation 16."""
    bound = gain * math.sqrt(6.0 / sum(fans(tensor.shape)))
    return uniform_(tensor, -bound, bound, rng)


def bilinear_(tensor: Tensor) -> Tensor:
    """Fill a transposed convolution's weight with bilinear interpolation, channel to like channel.

    With stride s and kernel 2 s - s % 2 the layer then enlarges s times. Source: Long, Shelhamer,
    Darrell, "Fully convolutional networks for semantic segmentation" (CVPR 2015), section 3.3.

    Raises
    ------
    ValueError
        If the weight has not 4 axes, or does not map each channel to its own.
    """
    if tensor.ndim != 4 or tensor.shape[0] != tensor.shape[1]:
        raise ValueError(
            f"bilinear_: the weight has shape {tensor.shape}; it must be (C, C, kh, kw), "
            "so that each channel is enlarged into itself"
        )
    taps = []
    for k in tensor.shape[2:]:
        factor = (k + 1) // 2
        centre = factor - 1 if k % 2 else factor - 0.5
        taps.append(1 - np.abs(np.arange(k) - centre) / factor)
    values = np.zeros(tensor.shape)
    channels = np.arange(tensor.shape[0])
    values[channels, channels] = np.outer(taps[0], taps[1])
    return _fill(tensor, values)


__getattr__ = refusing(__name__)
