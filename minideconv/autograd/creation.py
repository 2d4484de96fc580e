"""Tensors of given sizes: zeros, ones, numbers in a row, random ones; PyTorch's names.

All take ``requires_grad``, ``device`` and ``dtype`` by name, as `Tensor` does. Random numbers come
from the library's generator, which `manual_seed` seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minideconv import random
from minideconv.autograd.methods import FLOAT
from minideconv.autograd.sizes import index_of, sizes_of
from minideconv.autograd.tensor import Tensor
from minideconv.backend.checks import check_dtype, check_integer, check_number

__all__ = [
    "arange", "empty", "eye", "from_numpy", "full", "full_like", "linspace", "ones", "ones_like",
    "rand", "rand_like", "randint", "randn", "randn_like", "randperm", "tensor", "zeros",
    "zeros_like",
]  # fmt: skip

Size = int | Sequence[int]


def tensor(data: Any, **options: Any) -> Tensor:
    """Return a tensor with a copy of `data`; `Tensor` shares an array's memory."""
    data = data.data if isinstance(data, Tensor) else data
    return Tensor(data.copy() if hasattr(data, "dtype") else data, **options)


def from_numpy(array: np.ndarray) -> Tensor:
    """Return a tensor on the memory of a NumPy array: ``Tensor(array, device="cpu")``."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: got a {type(array).__name__}; it must be a NumPy array")
    return Tensor(array, device="cpu")


def full(size: Size, fill_value: float, **options: Any) -> Tensor:
    """Return a tensor of that size with `fill_value` everywhere, whose type it gets."""
    sizes = _sizes("full", (size,))
    if not isinstance(fill_value, (bool, np.bool_)):
        check_number("full", "fill_value", fill_value)
    kind = _kind("full", options, Tensor(fill_value).dtype)
    return Tensor(np.full(sizes, fill_value, kind), **options)


def zeros(*size: Size, **options: Any) -> Tensor:
    """Return zeros: ``zeros(2, 3)`` or ``zeros((2, 3))``."""
    return Tensor(np.zeros(_sizes("zeros", size), _kind("zeros", options)), **options)


def ones(*size: Size, **options: Any) -> Tensor:
    """Return ones: ``ones(2, 3)`` or ``ones((2, 3))``."""
    return Tensor(np.ones(_sizes("ones", size), _kind("ones", options)), **options)


def empty(*size: Size, **options: Any) -> Tensor:
    """Return a tensor to be written to; what it holds before is not defined."""
    return Tensor(np.empty(_sizes("empty", size), _kind("empty", options)), **options)


def eye(rows: int, columns: int | None = None, **options: Any) -> Tensor:
    """Return ones on the diagonal and zeros elsewhere: (rows, columns)."""
    check_integer("eye", "rows", rows, 0)
    if columns is not None:
        check_integer("eye", "columns", columns, 0)
    return Tensor(np.eye(rows, columns, dtype=_kind("eye", options)), **options)


def arange(start: float, end: float | None = None, step: float = 1, **options: Any) -> Tensor:
    """Return start, start + step, ... below `end`; ``arange(n)`` begins at 0.

    Integers give int64; one float among them gives the default float.
    """
    if end is None:
        start, end = 0, start
    for name, number in (("start", start), ("end", end), ("step", step)):
        check_number("arange", name, number)
        if not math.isfinite(number):
            raise ValueError(f"arange: {name} is {number}; it must be finite")
    if step == 0:
        raise ValueError("arange: step is 0; it must not be")
    whole = all(isinstance(number, (int, np.integer)) for number in (start, end, step))
    kind = _kind("arange", options, np.int64 if whole else FLOAT)
    return Tensor(np.arange(start, end, step).astype(kind, copy=False), **options)


def linspace(start: float, end: float, steps: int, **options: Any) -> Tensor:
    """Return `steps` numbers from `start` to `end`, both included, at equal distances."""
    check_number("linspace", "start", start)
    check_number("linspace", "end", end)
    check_integer("linspace", "steps", steps, 0)
    kind = _kind("linspace", options)
    return Tensor(np.linspace(start, end, steps).astype(kind), **options)


def rand(*size: Size, **options: Any) -> Tensor:
    """Return uniform random numbers in [0, 1)."""
    return _drawn("rand", size, options, lambda rng, sizes, kind: rng.random(sizes, kind))


def randn(*size: Size, **options: Any) -> Tensor:
    """Return normal random numbers of mean 0 and variance 1."""
    return _drawn("randn", size, options, lambda rng, sizes, kind: rng.standard_normal(sizes, kind))


def randint(low: int, high: int | None = None, size: Size = (), **options: Any) -> Tensor:
    """Return random integers in [low, high), or [0, low): int64."""
    if isinstance(high, (tuple, list)):  # randint(10, (2, 3))
        high, size = None, high
    low, high = (0, low) if high is None else (low, high)
    check_integer("randint", "low", low)
    check_integer("randint", "high", high)
    if not low < high:
        raise ValueError(f"randint: low is {low} and high {high}; high must be above low")
    sizes, kind = _sizes("randint", (size,)), _kind("randint", options, np.int64)
    drawn = random.default_rng().integers(low, high, sizes)
    return Tensor(drawn.astype(kind, copy=False), **options)


def randperm(n: int, **options: Any) -> Tensor:
    """Return 0, 1 ... n - 1 in random order: int64."""
    if index_of("randperm", "n", n) < 0:
        raise ValueError(f"randperm: n is {n}; it must be at least 0")
    drawn = random.default_rng().permutation(n)
    return Tensor(drawn.astype(options.pop("dtype", None) or np.int64, copy=False), **options)


def zeros_like(x: Tensor, **options: Any) -> Tensor:
    """Return zeros of the shape, type and device of `x`."""
    options = _like("zeros_like", x, options)
    return zeros(x.shape, **options)


def ones_like(x: Tensor, **options: Any) -> Tensor:
    """Return ones of the shape, type and device of `x`."""
    options = _like("ones_like", x, options)
    return ones(x.shape, **options)


def full_like(x: Tensor, fill_value: float, **options: Any) -> Tensor:
    """Return `fill_value` everywhere, in the shape, type and device of `x`."""
    options = _like("full_like", x, options)
    return full(x.shape, fill_value, **options)


def rand_like(x: Tensor, **options: Any) -> Tensor:
    """Return uniform random numbers in the shape, type and device of `x`."""
    options = _like("rand_like", x, options)
    return rand(x.shape, **options)


def randn_like(x: Tensor, **options: Any) -> Tensor:
    """Return normal random numbers in the shape, type and device of `x`."""
    options = _like("randn_like", x, options)
    return randn(x.shape, **options)


def _kind(name: str, options: dict[str, Any], default: Any = FLOAT) -> np.dtype[Any]:
    """Take the dtype out of the options."""
    dtype = options.pop("dtype", None)
    return check_dtype(name, default if dtype is None else dtype)


def _like(name: str, x: Tensor, options: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: x is a {type(x).__name__}; it must be a Tensor: Tensor(x)")
    return {"device": x.device, "dtype": x.dtype, **options}


def _drawn(
    name: str, size: tuple[Size, ...], options: dict[str, Any], draw: Callable[..., Any]
) -> Tensor:
    kind = _kind(name, options)
    if kind.kind != "f":
        raise TypeError(f"{name}: dtype is {kind}; it must be one of floats")
    drawn_as = kind if kind.itemsize >= 4 else FLOAT  # NumPy draws no float16
    drawn = draw(random.default_rng(), _sizes(name, size), drawn_as)
    return Tensor(np.asarray(drawn, kind), **options)


def _sizes(name: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    sizes = sizes_of(name, "the size", size)
    if min(sizes, default=0) < 0:
        raise ValueError(f"{name}: the size is {sizes}; no length may be negative")
    return sizes
