"""Mistakes that show in the rounding alone, recognised by how their errors grow.

No two implementations round alike, so the values of a wrong one cannot be compared with those of a
mistake. But the errors have sizes: the mean of numbers around m is wrong by eps m, a variance that
is the difference of two numbers of size m^2 by eps m^2.
"""

from __future__ import annotations

import numpy as np

from minideconv.testing.checking.calls import Call, StudentFault
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["squares_cancel"]

SHAPE = (3, 8, 3, 4)


def squares_cancel(call: Call) -> bool:
    """Whether a batch norm takes the variance as the mean of the squares less the squared mean.

    It does if its variance is right around 0 in float32 and around any mean in float64, and wrong
    by about eps mean^2 in float32: at three means, four times as wrong at one twice as large.
    """
    try:
        if np.nanmax(_errors(call, 0.0, np.float32)) > 1e-4:
            return False
        if np.nanmax(_errors(call, 2000.0, np.float64)) > 1e-6:
            return False
        sizes = []
        for mean in (2.0**14, 2.0**15, 2.0**16):
            errors = _errors(call, mean, np.float32)
            # A negative variance has no root.
            sizes.append(float(np.median(np.where(np.isnan(errors), np.inf, errors))))
            if np.isfinite(errors).any() and np.nanmax(errors) > 8 * 2.0**-23 * mean**2:
                return False
        eps = 2.0**-23
        return all(
            size == np.inf or size > eps * mean**2 / 200
            for size, mean in zip(sizes, (2.0**14, 2.0**15, 2.0**16), strict=True)
        )
    except StudentFault:
        return False


def _errors(call: Call, mean: float, dtype: type) -> Array:
    """Return by how much the variance of each channel is wrong, as y shows it; NaN if y does."""
    x = _spread(mean).astype(dtype)
    channels = SHAPE[1]
    ones, zeros = np.ones(channels, dtype), np.zeros(channels, dtype)
    arrays: Arrays = {"x": x, "weight": ones, "bias": zeros, "running_mean": zeros.copy(),
                      "running_var": ones.copy()}  # fmt: skip
    settings: Settings = {"training": True, "momentum": 0.1, "eps": 1e-5}
    y = call(arrays, settings).outputs["y"].astype(np.float64)
    wide = x.astype(np.float64)
    right = wide.var((0, 2, 3))
    scaled = (y - y.mean((0, 2, 3), keepdims=True)).std((0, 2, 3))  # std / sqrt(var + eps)
    with np.errstate(all="ignore"):
        return np.abs(right / scaled**2 - 1e-5 - right)


def _spread(mean: float) -> Array:
    """Return numbers around `mean` (an integer) whose deviations are multiples of 1/16."""
    rng = np.random.default_rng(1983)
    return mean + rng.integers(-32, 33, SHAPE) / 16
