"""Where a result differs from the right one."""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.testing.operations.operation import Array, Expected

__all__ = ["first_difference", "is_close", "narrowed"]

SAFETY = 16
"""Rounding errors that an entry may carry, in units of eps times the sum of its terms' sizes.

A sum of n terms carries at most n of them. The kit's sums have at most some tens of terms, whose
errors mostly cancel; the wrong results that it must see are off by a term."""


def first_difference(want: Expected, got: Array, *, exact: bool) -> tuple[int, ...] | None:
    """Return the index of the first entry that is wrong, or None; the shapes must be equal.

    With `exact` entries are compared by ``==``, else relative to their terms.
    """
    if not exact and is_close(want, got):
        return None
    wrong = _wrong(want, got, exact=exact)
    if not wrong.any():
        return None
    return tuple(int(i) for i in np.argwhere(wrong)[0])


def is_close(want: Expected, got: Array) -> bool:
    """Return whether all entries are right relative to their terms; the shapes must be equal.

    Thousands of results are held against each other: most are far off, or equal.
    """
    if got.dtype.kind == "f":
        with np.errstate(invalid="ignore", over="ignore"):
            error = np.abs(got.astype(np.float64, copy=False) - want.value)
            # Not so where anything is no number; where it is, the largest tells.
            if (error <= SAFETY * float(np.finfo(got.dtype).eps) * want.terms).all():
                return True
            if np.isfinite(error.max()):
                return False
    return not _wrong(want, got, exact=False).any()


def _wrong(want: Expected, got: Array, *, exact: bool) -> Array:
    """Return which entries are wrong."""
    value = want.value
    with np.errstate(invalid="ignore", over="ignore"):
        if exact:
            wrong = ~(got == value)
        else:
            eps = np.finfo(got.dtype).eps if got.dtype.kind == "f" else 0.0
            error = np.abs(got.astype(np.float64) - value)
            wrong = ~((error <= SAFETY * float(eps) * want.terms) | (got == value))
        wrong &= ~(np.isnan(got.astype(np.float64)) & np.isnan(value.astype(np.float64)))
    return np.asarray(wrong)


def narrowed(got: Array, dtype: np.dtype[Any]) -> Array:
    """Return a result in the dtype of the arguments, if its own is wider: it rounds as they do."""
    if got.dtype.kind != "f" or dtype.kind != "f" or got.dtype.itemsize <= dtype.itemsize:
        return got
    with np.errstate(over="ignore"):
        return got.astype(dtype)
