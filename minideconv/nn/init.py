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
from minideconv.backend import Array, check_writable, device_of, to_device
from minideconv.backend.checks import check_flag, check_generator, check_number, shown
from minideconv.engine.layout import assign

__all__ = [
    "bilinear_",
    "constant_",
    "fans",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
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


def constant_(tensor: T, value: float) -> T:
    """Fill with one value."""
    check_number("constant_", "value", value)
    return _fill("constant_", tensor, np.full(_array("constant_", tensor).shape, value))


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
    tensor: T, low: float = 0.0, high: float = 1.0, rng: np.random.Generator | None = None
) -> T:
    """Fill from a uniform distribution on [low, high)."""
    check_number("uniform_", "low", low)
    check_number("uniform_", "high", high)
    if not (low <= high and math.isfinite(high - low)):
        raise ValueError(
            f"uniform_: low is {low} and high {high}; both must be finite, and low not above high"
        )
    return _uniform("uniform_", tensor, low, high, rng)


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


def kaiming_normal_(
    tensor: T, transposed: bool = False, rng: np.random.Generator | None = None
) -> T:
    """Fill with N(0, 2 / fan_in), which keeps the variance through a ReLU.

    Source: He, Zhang, Ren, Sun, "Delving deep into rectifiers" (ICCV 2015), section 2.2.
    """
    op = "kaiming_normal_"
    return _normal(op, tensor, 0.0, math.sqrt(2.0 / _fans(op, tensor, transposed)[0]), rng)


def kaiming_uniform_(
    tensor: T, transposed: bool = False, rng: np.random.Generator | None = None
) -> T:
    """Fill uniformly with the variance of `kaiming_normal_`."""
    bound = math.sqrt(6.0 / _fans("kaiming_uniform_", tensor, transposed)[0])
    return _uniform("kaiming_uniform_", tensor, -bound, bound, rng)


def xavier_normal_(tensor: T, rng: np.random.Generator | None = None) -> T:
    """Fill with N(0, 2 / (fan_in + fan_out)).

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks" (AISTATS 2010), equation 12.
    """
    op = "xavier_normal_"
    return _normal(op, tensor, 0.0, math.sqrt(2.0 / sum(_fans(op, tensor))), rng)


def xavier_uniform_(tensor: T, rng: np.random.Generator | None = None) -> T:
    """Fill uniformly with the variance of `xavier_normal_`; source there, equation 16."""
    bound = math.sqrt(6.0 / sum(_fans("xavier_uniform_", tensor)))
    return _uniform("xavier_uniform_", tensor, -bound, bound, rng)


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
