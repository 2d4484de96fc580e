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
from minideconv.backend import Array, check_writable, device_of, to_device
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


def constant_(tensor: Tensor, value: float) -> Tensor:
    """Fill with one value."""
    return _fill(tensor, np.full(tensor.shape, value))


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
    tensor: Tensor, low: float = 0.0, high: float = 1.0, rng: np.random.Generator | None = None
) -> Tensor:
    """Fill from a uniform distribution on [low, high)."""
    return _fill(tensor, (rng or random.default_rng()).uniform(low, high, tensor.shape))


def kaiming_normal_(
    tensor: Tensor, transposed: bool = False, rng: np.random.Generator | None = None
) -> Tensor:
    """Fill with N(0, 2 / fan_in), which keeps the variance through a ReLU.

    Source: He, Zhang, Ren, Sun, "Delving deep into rectifiers" (ICCV 2015), section 2.2.
    """
    return normal_(tensor, 0.0, math.sqrt(2.0 / fans(tensor.shape, transposed)[0]), rng)


def kaiming_uniform_(
    tensor: Tensor, transposed: bool = False, rng: np.random.Generator | None = None
) -> Tensor:
    """Fill uniformly with the variance of `kaiming_normal_`."""
    bound = math.sqrt(6.0 / fans(tensor.shape, transposed)[0])
    return uniform_(tensor, -bound, bound, rng)


def xavier_normal_(tensor: Tensor, rng: np.random.Generator | None = None) -> Tensor:
    """Fill with N(0, 2 / (fan_in + fan_out)).

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks" (AISTATS 2010), equation 12.
    """
    return normal_(tensor, 0.0, math.sqrt(2.0 / sum(fans(tensor.shape))), rng)


def xavier_uniform_(tensor: Tensor, rng: np.random.Generator | None = None) -> Tensor:
    """Fill uniformly with the variance of `xavier_normal_`; source there, equation 16."""
    bound = math.sqrt(6.0 / sum(fans(tensor.shape)))
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
