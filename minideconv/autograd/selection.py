"""Parts of tensors and repetitions, made of the operations of `shapes`; PyTorch's names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from minideconv.autograd import elementwise, shapes
from minideconv.autograd.broadcasting import as_tensor, constant
from minideconv.autograd.linear_map import linear_map
from minideconv.autograd.methods import Operand
from minideconv.autograd.record import record
from minideconv.autograd.reductions import Extreme
from minideconv.autograd.sizes import axis_of, index_of, sizes_of
from minideconv.autograd.tensor import Tensor, wrap
from minideconv.backend import Array, get_xp
from minideconv.backend.checks import check_integer
from minideconv.backend.dispatch import device_guard

__all__ = [
    "chunk", "clone", "diag", "expand", "flip", "gather", "masked_fill", "repeat", "split", "topk",
]  # fmt: skip


@device_guard
def clone(x: Tensor) -> Tensor:
    """Return a copy in memory of its own, through which gradients flow."""
    copy = x.data.copy(order="K")
    return record("clone", copy, (x,), _same, (), {}, False, _same)


def _same(g: Any, needs: Any) -> tuple[Any]:
    return (g,)


def expand(x: Operand, *shape: int | Sequence[int]) -> Tensor:
    """Repeat `x` along new axes and axes of length 1, without copying; -1 keeps an axis."""
    x = as_tensor(x)
    sizes = sizes_of("expand", "the shape", shape)
    new = len(sizes) - x.ndim
    if new < 0 or -1 in sizes[:new]:
        raise ValueError(
            f"expand: shape {sizes} must have at least the {x.ndim} axes of {x.shape}, and -1 only"
            " where there is an axis to keep"
        )
    kept = [x.shape[i - new] if n == -1 else n for i, n in enumerate(sizes)]
    return shapes.broadcast_to(x, kept)


def repeat(x: Operand, *counts: int | Sequence[int]) -> Tensor:
    """Lay `x` side by side, so often along each axis; it is first given new axes in front.

    PyTorch's ``repeat`` and NumPy's ``tile``.
    """
    x = as_tensor(x)
    times = sizes_of("repeat", "the counts", counts)
    new = len(times) - x.ndim
    if new < 0 or min(times, default=1) < 0:
        raise ValueError(
            f"repeat: counts {times} must be >= 0, and at least as many as the"
            f" {x.ndim} axes of {x.shape}"
        )
    shape = (1,) * new + x.shape
    apart = shapes.reshape(x, [n for length in shape for n in (1, length)])
    spread = shapes.broadcast_to(
        apart, [n for count, length in zip(times, shape, strict=True) for n in (count, length)]
    )
    return shapes.reshape(
        spread, [count * length for count, length in zip(times, shape, strict=True)]
    )


def masked_fill(x: Operand, mask: Any, value: Operand) -> Tensor:
    """Return `value` where `mask` is true, and `x` elsewhere; `mask` broadcasts to `x`."""
    x, chosen = as_tensor(x), constant(mask)
    if chosen.dtype.kind != "b":
        raise TypeError(f"masked_fill: mask has dtype {chosen.dtype}; it must be bool")
    if isinstance(value, (int, float)):
        with np.errstate(over="ignore"):
            value = get_xp(x.data).asarray(value, dtype=x.dtype)
    return elementwise.where(chosen, value, x)


def gather(x: Operand, dim: int, index: Any) -> Tensor:
    """Pick along one axis: ``y[i, j] = x[index[i, j], j]`` for ``dim=0``, and so on.

    Parameters
    ----------
    x : Tensor
    dim : int
    index : integer array or Tensor
        With as many axes as `x`, and along the others than `dim` at most as long.
    """
    x, places = as_tensor(x), as_tensor(index).data
    axis = axis_of("gather", "dim", dim, x.ndim)
    if places.dtype.kind not in "iu":
        raise TypeError(f"gather: index has dtype {places.dtype}; it must be integer")
    fits = places.ndim == x.ndim and all(
        here <= there
        for i, (here, there) in enumerate(zip(places.shape, x.shape, strict=True))
        if i != axis
    )
    if not fits:
        raise ValueError(
            f"gather: index has shape {places.shape} and the tensor {x.shape}; they must have the"
            f" same number of axes, and index none longer but {axis}"
        )
    length = x.shape[axis]
    if places.size and not (int(places.min()) >= 0 and int(places.max()) < length):
        raise IndexError(
            f"gather: index holds numbers from {int(places.min())} to {int(places.max())}; they"
            f" must be in 0..{length - 1}, as axis {axis} of {x.shape} has {length}"
        )
    xp = get_xp(x.data)
    grid: list[Array] = list(xp.ogrid[tuple(slice(n) for n in places.shape)])
    grid[axis] = places
    return shapes.getitem(x, tuple(grid))


@device_guard
def topk(x: Operand, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Extreme:
    """Return the `k` largest (or smallest) along an axis, and where they are: a pair.

    They come in order, whatever `sorted` says; of equal ones the first comes first, and a NaN is
    larger than any number. Gradients flow to the chosen.
    """
    x, count = as_tensor(x), index_of("topk", "k", k)
    axis = axis_of("topk", "dim", dim, x.ndim)
    length, xp = x.shape[axis], get_xp(x.data)
    if not 0 <= count <= length:
        raise ValueError(
            f"topk: k is {count}; it must be from 0 to {length}, the length of axis {axis}"
        )
    if largest:  # backwards, so that of equal ones the last is found first, then turned around
        order = xp.argsort(xp.flip(x.data, axis), axis=axis, kind="stable")
        order = length - 1 - xp.flip(order, axis)
    else:
        order = xp.argsort(x.data, axis=axis, kind="stable")
    places = order[(slice(None),) * axis + (slice(count),)]
    return Extreme(gather(x, axis, places), wrap(places))


def flip(x: Operand, *dims: int | Sequence[int]) -> Tensor:
    """Reverse the order along these axes; a view of the same memory."""
    x = as_tensor(x)
    if not dims:
        raise TypeError("flip: no axes given; flip(0) reverses the rows, flip(-1) each of them")
    axes = [axis_of("flip", "dim", dim, x.ndim) for dim in sizes_of("flip", "the axes", dims)]
    if len(set(axes)) < len(axes):
        raise ValueError(f"flip: axes {tuple(axes)} must each be named once")
    steps = [slice(None, None, -1 if i in axes else 1) for i in range(x.ndim)]
    return shapes.getitem(x, tuple(steps))


@device_guard
def diag(x: Operand, diagonal: int = 0) -> Tensor:
    """Return a matrix with the vector `x` on a diagonal, or a diagonal of the matrix `x`.

    `diagonal` counts from the main one to the right; below it, it is negative.
    """
    x, shift = as_tensor(x), index_of("diag", "diagonal", diagonal)
    down, right = max(0, -shift), max(0, shift)
    xp = get_xp(x.data)
    if x.ndim == 2:
        steps = xp.arange(max(0, min(x.shape[0] - down, x.shape[1] - right)))
        return shapes.getitem(x, (steps + down, steps + right))
    if x.ndim != 1:
        raise ValueError(f"diag: the tensor has shape {x.shape}; it must have 1 axis or 2")

    def matrix(a: Array) -> Array:
        y: Array = xp.diag(a, shift)
        return y

    def vector(g: Array) -> Array:
        dx: Array = xp.diagonal(g, shift)
        return dx

    return linear_map("diag", x, matrix, vector)


def split(x: Tensor, size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Cut along an axis into pieces of `size` (the last may be shorter), or of these sizes."""
    axis = axis_of("split", "dim", dim, x.ndim)
    length = x.shape[axis]
    if isinstance(size, str) or not hasattr(size, "__iter__"):
        step = check_integer("split", "size", size, 1, "or a list of sizes")
        ends = [*range(step, length, step), length]
    else:
        sizes = [check_integer("split", "a size", one, 0) for one in size]
        if sum(sizes) != length:
            raise ValueError(f"split: sizes {sizes} add up to {sum(sizes)}, and not to {length}")
        ends = list(accumulate(sizes))
    starts = [0, *ends[:-1]]
    where = (slice(None),) * axis
    return tuple(x[(*where, slice(a, b))] for a, b in zip(starts, ends, strict=True))


def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Cut along an axis into at most `chunks` pieces, all but the last of equal size."""
    check_integer("chunk", "chunks", chunks, 1)
    axis = axis_of("chunk", "dim", dim, x.ndim)
    return split(x, max(1, -(-x.shape[axis] // chunks)), axis)
