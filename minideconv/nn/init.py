"""Initial weights: each function fills a parameter, or an array, in place and returns it.

``fan_in`` is the number of inputs that one output sums, ``fan_out`` the number of outputs that one
input feeds. A convolution's weight is (out, in, kh, kw), so fan_in = in * kh * kw; a transposed
convolution's is (in, out, kh, kw): with ``transposed=True`` the two change places.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np

from minideconv import random
from minideconv.autograd import Tensor
from minideconv.autograd.other_names import refusing
from minideconv.backend import Array, check_writable, device_of, to_device
from minideconv.backend.checks import check_choice, check_flag, check_generator, check_number, shown
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


T = TypeVar("T")


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


def _array(op: str, tensor: Any) -> Array:
    """Return the array to fill, or raise unless it is one of floats that may be changed."""
    array = tensor.data if isinstance(tensor, Tensor) else tensor
    if not hasattr(array, "dtype") or not hasattr(array, "shape"):
        raise TypeError(
            f"{op}: tensor is {shown(tensor)}; it must be a parameter, a Tensor or an array"
        )
    if array.dtype.kind != "f":
        raise TypeError(f"{op}: tensor has dtype {array.dtype}; it must be floating point")
    check_writable(op, [("the tensor", array)])
    return array


def _fill(op: str, tensor: T, values: Array) -> T:
    array = _array(op, tensor)
    values = values.astype(array.dtype, copy=False)
    assign(array, to_device(values, device_of(array)))
    if isinstance(tensor, Tensor):
        tensor.bump_version()
    return tensor


def constant_(tensor: T, val: float) -> T:
    """Fill with one value."""
    check_number("constant_", "val", val)
    return _fill("constant_", tensor, np.full(_array("constant_", tensor).shape, val))


def zeros_(tensor: T) -> T:
    """Fill with zeros."""
    return _fill("zeros_", tensor, np.zeros(_array("zeros_", tensor).shape))


def ones_(tensor: T) -> T:
    """Fill with ones."""
    return _fill("ones_", tensor, np.ones(_array("ones_", tensor).shape))


def normal_(
    tensor: T, mean: float = 0.0, std: float = 1.0, rng: np.random.Generator | None = None
) -> T:
    """Fill from a normal distribution."""
    check_number("normal_", "mean", mean)
    check_number("normal_", "std", std, 0)
    return _normal("normal_", tensor, mean, std, rng)


def _normal(op: str, tensor: T, mean: float, std: float, rng: Any) -> T:
    array = _array(op, tensor)
    check_generator(op, rng)
    dtype = np.float32 if array.dtype == np.float32 else np.float64
    values = (rng or random.default_rng()).standard_normal(array.shape, dtype)
    values *= std
    values += mean
    return _fill(op, tensor, values)


def uniform_(
    tensor: T, a: float = 0.0, b: float = 1.0, rng: np.random.Generator | None = None
) -> T:
    """Fill from a uniform distribution on [a, b)."""
    check_number("uniform_", "a", a)
    check_number("uniform_", "b", b)
    if not (a <= b and math.isfinite(b - a)):
        raise ValueError(f"uniform_: a is {a} and b {b}; both must be finite, and a not above b")
    return _uniform("uniform_", tensor, a, b, rng)


def _uniform(op: str, tensor: T, low: float, high: float, rng: Any) -> T:
    shape = _array(op, tensor).shape
    check_generator(op, rng)
    return _fill(op, tensor, (rng or random.default_rng()).uniform(low, high, shape))


def _fans(op: str, tensor: T, transposed: bool = False) -> tuple[int, int]:
    check_flag(op, "transposed", transposed, "the variance is that for a ReLU, and takes no slope")
    shape = _array(op, tensor).shape
    if len(shape) < 2:
        raise ValueError(f"{op}: shape {shape} has no fan-in; a weight needs at least two axes")
    return fans(shape, transposed)


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
    return _gain("calculate_gain", nonlinearity, param)


def _gain(op: str, nonlinearity: str, param: float | None) -> float:
    check_choice(op, "nonlinearity", nonlinearity, ("relu", "leaky_relu", *_GAINS))
    if param is not None:
        name = "param" if op == "calculate_gain" else "a"
        check_number(op, name, param)
        if not math.isfinite(param):
            raise ValueError(f"{op}: {name} is {param}; it must be finite")
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    return _GAINS[nonlinearity]


def _kaiming(op: str, tensor: T, transposed: bool, a: float, mode: str, nonlinearity: str) -> float:
    """Return the standard deviation that keeps the variance of what flows through a layer."""
    check_choice(op, "mode", mode, ("fan_in", "fan_out"))
    fan = _fans(op, tensor, transposed)[mode == "fan_out"]
    return _gain(op, nonlinearity, a) / math.sqrt(fan)


def kaiming_normal_(
    tensor: T,
    transposed: bool = False,
    rng: np.random.Generator | None = None,
    *,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
) -> T:
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
    op = "kaiming_normal_"
    std = _kaiming(op, tensor, transposed, a, mode, nonlinearity)
    return _normal(op, tensor, 0.0, std, rng)


def kaiming_uniform_(
    tensor: T,
    transposed: bool = False,
    rng: np.random.Generator | None = None,
    *,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
) -> T:
    """Fill uniformly with the variance of `kaiming_normal_`; arguments as there."""
    op = "kaiming_uniform_"
    bound = math.sqrt(3.0) * _kaiming(op, tensor, transposed, a, mode, nonlinearity)
    return _uniform(op, tensor, -bound, bound, rng)


def xavier_normal_(tensor: T, rng: np.random.Generator | None = None, *, gain: float = 1.0) -> T:
    """Fill with N(0, 2 gain^2 / (fan_in + fan_out)).

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks" (AISTATS 2010), equation 12.
    """
    check_number("xavier_normal_", "gain", gain, 0)
    op = "xavier_normal_"
    return _normal(op, tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(op, tensor))), rng)


def xavier_uniform_(tensor: T, rng: np.random.Generator | None = None, *, gain: float = 1.0) -> T:
    """Fill uniformly with the variance of `xavier_normal_`; source there, equation 16."""
    op = "xavier_uniform_"
    check_number(op, "gain", gain, 0)
    bound = gain * math.sqrt(6.0 / sum(_fans(op, tensor)))
    return _uniform(op, tensor, -bound, bound, rng)


def bilinear_(tensor: T) -> T:
    """Fill a transposed convolution's weight with bilinear interpolation, channel to like channel.

    With stride s and kernel 2 s - s % 2 the layer then enlarges s times. Source: Long, Shelhamer,
    Darrell, "Fully convolutional networks for semantic segmentation" (CVPR 2015), section 3.3.

    Raises
    ------
    ValueError
        If the weight has not 4 axes, or does not map each channel to its own.
    """
    shape = _array("bilinear_", tensor).shape
    if len(shape) != 4 or shape[0] != shape[1]:
        raise ValueError(
            f"bilinear_: the weight has shape {shape}; it must be (C, C, kh, kw), "
            "so that each channel is enlarged into itself"
        )
    taps = []
    for k in shape[2:]:
        factor = (k + 1) // 2
        centre = factor - 1 if k % 2 else factor - 0.5
        taps.append(1 - np.abs(np.arange(k) - centre) / factor)
    values = np.zeros(shape)
    channels = np.arange(shape[0])
    values[channels, channels] = np.outer(taps[0], taps[1])
    return _fill("bilinear_", tensor, values)


__getattr__ = refusing(__name__)
