"""Batch normalisation of very large numbers: their squares may be larger than their type holds.

A float32 of 1e20 has the square 1e40, which is infinity: the variance would be infinite, and the
normalised values 0, without a word. On a CPU moments that are not finite are computed again in
float64; where even that, or a running average, cannot hold the variance, it is an error. (On a GPU
this is not looked at: reading the moments would stop the step.)
"""

from __future__ import annotations

import numpy as np

from minideconv.backend import Array
from minideconv.errors import MagnitudeError

__all__ = ["check_variance", "is_large", "widened"]

_SAFE = 1e76  # below the square of float32's largest number


def is_large(var: Array) -> bool:
    """Return whether a variance is so large, or not finite, that it has to be looked at; on a CPU.

    One product, since every batch asks.
    """
    return type(var) is np.ndarray and not var.dot(var) < _SAFE


def widened(x: Array, mean: Array, var: Array) -> tuple[Array, Array]:
    """Return the moments of `x`, computed again in float64 if these are not finite.

    A variance that is still infinite means that float64 does not hold it, or that the type of `x`
    does not hold the distances from the mean; NaN, that there are numbers that are not finite.
    """
    if np.isfinite(var).all():
        return mean, var
    with np.errstate(over="ignore", invalid="ignore"):
        wide = x.reshape(*x.shape[:2], -1).astype(np.float64)
        mean = wide.mean(axis=(0, 2))
        wide -= mean[:, None]
        var = (wide * wide).mean(axis=(0, 2))
        var[np.abs(wide).max(axis=(0, 2)) > np.finfo(x.dtype).max] = np.inf
    return mean, var


def check_variance(var: Array, running_var: Array | None) -> None:
    """Raise MagnitudeError if `var` is infinite, or more than the running average can hold."""
    kind = np.dtype(np.float64) if running_var is None else running_var.dtype
    limit = float(np.finfo(kind).max)
    wrong = np.flatnonzero(~(var <= limit) & ~np.isnan(var))
    if wrong.size:
        channel = int(wrong[0])
        holder = "float64" if running_var is None else f"running_var, of {kind},"
        raise MagnitudeError(
            f"batch_norm: channel {channel} has the variance {var[channel]:.2g}, and {holder} holds"
            f" {limit:.2g} at most ({wrong.size} of {var.size} channels); make the input smaller,"
            " as with x / 1e10"
        )
