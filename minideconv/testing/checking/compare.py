"""Where a result differs from the right one."""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.testing.operations.operation import Array, Expected

__all__ = ["first_difference", "narrowed"]

SAFETY = 16
"""Rounding errors that an entry may carry, in units of eps times the sum of its terms' sizes.

A sum of n terms carries at most n of them. The kit's sums have at most some tens of terms, whose
errors mostly cancel; the wrong results that it must see are off by a term."""


def first_difference(want: Expected, got: Array, *, exact: bool) -> tuple[int, ...] | None:
    """Return the index of the first entry that is wrong, or None; the shapes must be equal.

    With `exact` entries are compared by ``==``, else relative to their terms.
    """
    value = want.value
    with np.errstate(invalid="ignore", over="ignore"):
        if exact:
            wrong = ~(got == value)
        else:
            eps = np.finfo(got.dtype).eps if got.dtype.kind == "f" else 0.0
            error = np.abs(got.astype(np.float64) - value)
            wrong = ~((error <= SAFETY * float(eps) * want.terms) | (got == value))
        wrong &= ~(np.isnan(got.astype(np.float64)) & np.isnan(value.astype(np.float64)))
    if not wrong.any():
        return None
    return tuple(int(i) for i in np.argwhere(wrong)[0])


def narrowed(got: Array, dtype: np.dtype[Any]) -> Array:
    """Return a result in the dtype of the arguments, if its own is wider: it rounds as they do."""
    if got.dtype.kind != "f" or dtype.kind != "f" or got.dtype.itemsize <= dtype.itemsize:
        return got
    with np.errstate(over="ignore"):
        return got.astype(dtype)
