"""Parts of tensors and repetitions, made of the operations of `shapes`; PyTorch's names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from minideconv.autograd import elementwise, shapes
from minideconv.autograd.broadcasting import as_tensor, constant
from minideconv.autograd.methods import Operand
from minideconv.autograd.record import record
from minideconv.autograd.sizes import axis_of, sizes_of
from minideconv.autograd.tensor import Tensor
from minideconv.backend import Array, get_xp
from minideconv.backend.checks import check_integer
from minideconv.backend.dispatch import device_guard

__all__ = ["chunk", "clone", "expand", "gather", "masked_fill", "repeat", "split"]


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
