"""Test data from one small seed, chosen so that a failure is exact and easy to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

__all__ = ["KINDS", "Kind", "as_numpy", "integer_valued", "values"]

Kind = Literal[
    "integer",
    "normal",
    "distinct",
    "ties",
    "onehot",
    "taps",
    "large mean",
    "large scale",
    "large negative",
    "tiny scale",
    "constant",
]
KINDS = get_args(Kind)


def values(
    shape: int | Sequence[int],
    seed: int,
    kind: Kind = "integer",
    dtype: npt.DTypeLike = np.float64,
) -> npt.NDArray[Any]:
    """Return an array of `shape` whose entries depend on `seed` and `kind` only.

    Parameters
    ----------
    shape : int or sequence of int
        Shape of the result; any entry may be 0.
    seed : int
        Non-negative seed. The global random state is neither read nor changed.
    kind : str
        ================  ==================================================================
        "integer"         small integers -3..3 without 0: sums of products are exact, so tests
                          use ``==``
        "normal"          standard normal
        "distinct"        non-zero integers, all different, in random order (gap >= 1): no ties,
                          and no kink of max or ReLU within reach of a finite difference
        "ties"            drawn from {-1, 0, 1}: most windows hold their maximum more than once
        "onehot"          one 1 at a random place, else 0: the result shows one column of a linear
                          map
        "taps"            1, 2, 3, ... in row-major order: each entry names its own position
        "large mean"      integers within 3 of 5,000, 10,000 or 20,000 or minus that: float32 does
                          not hold their squares exactly
        "large scale"     standard normal times 10^10
        "large negative"  minus the absolute values of "large scale"
        "tiny scale"      standard normal times 10^-10
        "constant"        one number everywhere
        ================  ==================================================================
    dtype : dtype
        Type of the result.

    Returns
    -------
    numpy.ndarray
        A fresh C-contiguous array.

    Examples
    --------
    >>> values((2, 3), seed=0, kind="taps")
    array([[1., 2., 3.],
           [4., 5., 6.]])
    >>> bool((values((2, 3), seed=5) == values((2, 3), seed=5)).all())
    True
    """
    dims = (shape,) if isinstance(shape, int) else tuple(shape)
    size = int(np.prod(dims, dtype=np.int64))
    rng = np.random.default_rng(seed)
    data: npt.NDArray[Any]
    if kind == "integer":
        data = rng.integers(1, 4, size) * rng.choice((-1, 1), size)
    elif kind == "normal":
        data = rng.standard_normal(size)
    elif kind == "distinct":
        data = rng.permutation(size) - size // 2
        data[data >= 0] += 1  # ..., -2, -1, 1, 2, ...
    elif kind == "ties":
        data = rng.integers(-1, 2, size)
    elif kind == "onehot":
        data = np.zeros(size)
        if size:
            data[rng.integers(size)] = 1
    elif kind == "taps":
        data = np.arange(1, size + 1)
    elif kind == "large mean":
        mean = rng.choice((5e3, 1e4, 2e4)) * rng.choice((-1, 1))
        data = mean + rng.integers(-3, 4, size)
    elif kind in ("large scale", "tiny scale"):
        data = rng.standard_normal(size) * (1e10 if kind == "large scale" else 1e-10)
    elif kind == "large negative":
        data = -1e10 * np.abs(rng.standard_normal(size))
    elif kind == "constant":
        data = np.full(size, rng.choice((-3.0, 0.0, 1 / 3, 1000.1)))
    else:
        raise ValueError(f"values: kind is {kind!r}; it must be one of {', '.join(KINDS)}")
    return data.reshape(dims).astype(dtype)


def as_numpy(array: Any) -> npt.NDArray[Any]:
    """Return `array` (NumPy, CuPy, PyTorch, minideconv Tensor or number) as a NumPy array."""
    if isinstance(array, np.ndarray):
        return array
    if hasattr(array, "detach"):  # a Tensor, ours or PyTorch's
        array = array.detach()
        if hasattr(array, "cpu"):
            array = array.cpu()
        if hasattr(array, "numpy"):
            return np.asarray(array.numpy())
    if hasattr(array, "get") and hasattr(array, "dtype"):  # CuPy
        return np.asarray(array.get())
    return np.asarray(array)


def integer_valued(*arrays: npt.NDArray[Any]) -> bool:
    """Return whether every entry is an integer small enough to be exact in its array's dtype."""
    for array in arrays:
        if array.dtype.kind in "iub":
            continue
        if array.dtype.kind != "f":
            return False
        limit = 2.0 ** (np.finfo(array.dtype).nmant + 1)
        with np.errstate(invalid="ignore"):
            if not bool(np.all((np.abs(array) < limit) & (array == np.rint(array)))):
                return False
    return True
