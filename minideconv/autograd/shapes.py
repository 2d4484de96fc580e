"""Tensors rearranged: shapes, axes, indexing, joining.

Each operation here moves numbers without changing them: it is a matrix of zeros and ones. Its
backward is the transpose, which moves the gradients the way back, and adds them up where one number
went to several places.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import accumulate
from typing import Any

import numpy as np

from minideconv.autograd.broadcasting import as_tensor, unbroadcast
from minideconv.autograd.grad_mode import is_grad_enabled
from minideconv.autograd.linear_map import linear_map
from minideconv.autograd.methods import Operand
from minideconv.autograd.record import record
from minideconv.autograd.sizes import axis_of, sizes_of
from minideconv.autograd.tensor import Tensor
from minideconv.backend import Array, get_xp, memory_order
from minideconv.backend.dispatch import device_guard

__all__ = [
    "broadcast_to", "concatenate", "flatten", "getitem", "permute", "read_index",
    "reshape", "squeeze", "stack", "swapaxes", "transpose", "unsqueeze",
]  # fmt: skip

# ---- views of the same numbers -------------------------------------------------------------------


@device_guard
def reshape(x: Operand, *shape: int | Sequence[int]) -> Tensor:
    """Return `x` with the same elements in row-major order in another shape; one -1 is worked out.

    The result is a view of the memory of `x` where the strides allow it.
    """
    x = as_tensor(x)
    sizes = sizes_of("reshape", "the shape", shape)
    try:
        y = x.data.reshape(sizes)
    except ValueError:
        raise ValueError(
            f"reshape: {x.size} elements of shape {x.shape} do not fit shape {sizes}"
        ) from None
    before = x.shape

    def backward(g: Any, needs: Sequence[bool]) -> tuple[Any]:
        return (g.reshape(before),)

    return record("reshape", y, (x,), backward, (), {"shape": y.shape}, False, backward)


def flatten(x: Operand, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Join the axes `start_dim` to `end_dim` (both included) into one."""
    x = as_tensor(x)
    if x.ndim == 0:
        return reshape(x, 1)
    first = axis_of("flatten", "start_dim", start_dim, x.ndim)
    last = axis_of("flatten", "end_dim", end_dim, x.ndim)
    if first > last:
        raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    joined = math.prod(x.shape[first : last + 1])
    return reshape(x, *x.shape[:first], joined, *x.shape[last + 1 :])


def permute(x: Operand, *axes: int | Sequence[int]) -> Tensor:
    """Reorder the axes: axis i of the result is axis ``axes[i]`` of `x`; none given reverse all."""
    x = as_tensor(x)
    given = sizes_of("transpose", "the order", axes) if axes else tuple(range(x.ndim))[::-1]
    order = tuple(i + x.ndim if i < 0 else i for i in given)
    if sorted(order) != list(range(x.ndim)):
        raise ValueError(
            f"transpose: axes {given} must name each of the {x.ndim} axes of shape {x.shape} once; "
            "swapaxes(i, j) exchanges two"
        )
    back = tuple(order.index(i) for i in range(x.ndim))
    y = x.data.transpose(order)

    def backward(g: Any, needs: Sequence[bool]) -> tuple[Any]:
        return (g.transpose(back),)

    return record("transpose", y, (x,), backward, (), {"axes": order}, False, backward)


def transpose(x: Operand, *axes: int | Sequence[int]) -> Tensor:
    """Exchange two axes, ``x.transpose(i, j)``, or reorder all of them, as `permute`.

    Two integers mean what they do in PyTorch, and of a matrix what they do in NumPy, too: it is
    transposed.
    """
    if len(axes) == 2 and not isinstance(axes[0], Sequence) and not isinstance(axes[1], Sequence):
        return swapaxes(x, axes[0], axes[1])
    return permute(x, *axes)


def swapaxes(x: Operand, axis1: int, axis2: int) -> Tensor:
    """Exchange two axes."""
    x = as_tensor(x)
    order = list(range(x.ndim))
    i, j = axis_of("swapaxes", "axis1", axis1, x.ndim), axis_of("swapaxes", "axis2", axis2, x.ndim)
    order[i], order[j] = j, i
    return permute(x, *order)


def broadcast_to(x: Operand, *shape: int | Sequence[int]) -> Tensor:
    """Repeat `x` along new axes and along axes of length 1, without copying."""
    x = as_tensor(x)
    sizes = sizes_of("broadcast_to", "the shape", shape)
    try:
        y = get_xp(x.data).broadcast_to(x.data, sizes)
    except ValueError:
        raise ValueError(
            f"broadcast_to: shape {x.shape} does not broadcast to {sizes}; counted from the last, "
            "axes must have equal lengths or length 1"
        ) from None
    before = x.shape

    def backward(g: Any, needs: Sequence[bool]) -> tuple[Any]:
        return (unbroadcast(g, before),)

    return record("broadcast_to", y, (x,), backward, (), {"shape": y.shape}, False, backward)


def squeeze(
    x: Operand,
    dim: int | tuple[int, ...] | None = None,
    *,
    axis: int | tuple[int, ...] | None = None,
) -> Tensor:
    """Drop axes of length 1: all of them, or those among `dim`; longer ones stay, as in PyTorch.

    With NumPy's name, `axis`, longer ones are an error, as in NumPy.
    """
    x, given = as_tensor(x), dim if axis is None else axis
    if given is None:
        drop = list(range(x.ndim))
    else:
        several = given if isinstance(given, tuple) else (given,)
        drop = [axis_of("squeeze", "axis", i, x.ndim) for i in several]
    long = [i for i in drop if x.shape[i] != 1]
    if long and axis is not None:
        raise ValueError(
            f"squeeze: axis {long[0]} of shape {x.shape} has length {x.shape[long[0]]}; only axes "
            "of length 1 can be dropped; dim= leaves it as it is"
        )
    return reshape(x, *(n for i, n in enumerate(x.shape) if i not in drop or n != 1))


def unsqueeze(x: Operand, dim: int) -> Tensor:
    """Insert an axis of length 1 so that it becomes axis `dim` of the result."""
    x = as_tensor(x)
    place = axis_of("unsqueeze", "dim", dim, x.ndim + 1)
    return reshape(x, *x.shape[:place], 1, *x.shape[place:])


# ---- picking -------------------------------------------------------------------------------------


@device_guard
def getitem(x: Tensor, key: Any) -> Tensor:
    """Return ``x[key]``: integers, slices, None, Ellipsis, integer arrays, boolean masks, mixed.

    An element that an integer array names several times gets the sum of its gradients. As in NumPy,
    integers and slices give a view, arrays a copy.
    """
    try:
        index, is_basic = read_index(key)
        y = x.data[index]
    except IndexError as error:
        raise IndexError(f"getitem: {error}; the tensor has shape {x.shape}") from None
    options = {"key": index}
    if is_basic:
        return record("getitem", y, (x,), _BASIC[0], (index, x.shape), options, True, _BASIC[1])
    parts = key if isinstance(key, tuple) else (key,)
    if is_grad_enabled() and x.requires_grad:
        own = tuple([_unchanging(part) for part in parts])
        index = own if isinstance(key, tuple) else own[0]
    watched = [part for part in parts if isinstance(part, Tensor)]
    saved = (index, x.shape, *watched)
    return record("getitem", y, (x,), _GATHER[0], saved, options, True, _GATHER[1])


def _unchanging(part: Any) -> Any:
    """Return a part of an index as backward needs it: the program may change a list or an array.

    The array of a tensor is not copied, since the tape notices when the tensor is changed.
    """
    if isinstance(part, Tensor):
        return part.data
    return deepcopy(part) if isinstance(part, list) or hasattr(part, "copy") else part


def _basic_backward(g: Array, needs: Any, index: Any, shape: tuple[int, ...]) -> tuple[Array]:
    """Put `g` where integers and slices took it from: no element was taken twice."""
    xp = get_xp(g)
    # Stored in the order of g's axes, so that layers behind need not turn it around.
    axes = memory_order(g) if g.ndim == len(shape) else range(len(shape))
    stored = xp.zeros([shape[axis] for axis in axes], g.dtype)
    dx = stored.transpose(np.argsort(axes).tolist())
    dx[index] = g
    return (dx,)


def _gather_backward(
    g: Array, needs: Any, index: Any, shape: tuple[int, ...], *watched: Array
) -> tuple[Array]:
    """Add each element of `g` to the element that it was taken from.

    `bincount` adds in float64 in the order of the elements, so the sum is deterministic on the CPU
    and rounded once; on the GPU the last bit of float64 may depend on the order of the threads.
    """
    xp, size = get_xp(g), math.prod(shape)
    taken = xp.arange(size).reshape(shape)[index]  # where each element of g came from
    dx = xp.bincount(taken.ravel(), weights=g.ravel(), minlength=size)
    return (dx.astype(g.dtype, copy=False).reshape(shape),)


def _differentiable(backward: Any) -> Any:
    """Return the backward of `getitem` on Tensors: its own backward takes the elements again."""

    def on_tensors(
        g: Tensor, needs: Any, index: Any, shape: tuple[int, ...], *_: Any
    ) -> tuple[Tensor]:
        def put_back(a: Array) -> Array:
            (dx,) = backward(a, needs, index, shape)
            return dx

        return (linear_map("getitem_backward", g, put_back, lambda a: a[index]),)

    return on_tensors


_BASIC = _basic_backward, _differentiable(_basic_backward)
_GATHER = _gather_backward, _differentiable(_gather_backward)


def read_index(key: Any) -> tuple[Any, bool]:
    """Return `key` with tensors as arrays, and whether it is basic: no arrays, thus a view.

    Raises
    ------
    IndexError
        If a part is a number with a fraction, of which CuPy would take the whole part.
    """
    parts = key if isinstance(key, tuple) else (key,)
    plain = tuple([part.data if isinstance(part, Tensor) else part for part in parts])
    for part in plain:
        if isinstance(part, (float, np.floating)):
            raise IndexError(f"{part} is no index; integers, slices and arrays of integers are")
        number = hasattr(part, "__index__") and not hasattr(part, "ndim")
        if isinstance(part, (bool, np.bool_)) or not (
            number or part is None or part is Ellipsis or isinstance(part, (slice, np.integer))
        ):
            return (plain if isinstance(key, tuple) else plain[0]), False
    return plain, True


# ---- joining -------------------------------------------------------------------------------------


@device_guard
def concatenate(tensors: Sequence[Operand], axis: int = 0, *, dim: int | None = None) -> Tensor:
    """Join tensors along an existing axis (or `dim`); the others must have equal lengths."""
    parts, axis = _parts("concatenate", tensors), axis if dim is None else dim
    axis = axis_of("concatenate", "axis", axis, parts[0].ndim)
    others = [(part.ndim, part.shape[:axis], part.shape[axis + 1 :]) for part in parts]
    _check_equal("concatenate", parts, others, f"they must be equal except along axis {axis}")
    ends = list(accumulate((part.shape[axis] for part in parts), initial=0))
    before = (slice(None),) * axis

    def backward(g: Any, needs: Sequence[bool]) -> tuple[Any, ...]:
        return tuple(
            g[(*before, slice(start, stop))] if need else None
            for need, start, stop in zip(needs, ends[:-1], ends[1:], strict=True)
        )

    y = get_xp(parts[0].data).concatenate(_of_one_type(parts), axis)
    return record("concatenate", y, parts, backward, (), {"axis": axis}, False, backward)


@device_guard
def stack(tensors: Sequence[Operand], axis: int = 0, *, dim: int | None = None) -> Tensor:
    """Join tensors of one shape along a new axis (or `dim`)."""
    parts, axis = _parts("stack", tensors), axis if dim is None else dim
    _check_equal("stack", parts, [part.shape for part in parts], "they must be equal")
    axis = axis_of("stack", "axis", axis, parts[0].ndim + 1)

    before = (slice(None),) * axis

    def backward(g: Any, needs: Sequence[bool]) -> tuple[Any, ...]:
        return tuple(g[(*before, i)] if need else None for i, need in enumerate(needs))

    y = get_xp(parts[0].data).stack(_of_one_type(parts), axis)
    return record("stack", y, parts, backward, (), {"axis": axis}, False, backward)


def _of_one_type(parts: list[Tensor]) -> list[Array]:
    """Return the arrays, integers in the type of the floats if there are any, as in operators."""
    arrays = [part.data for part in parts]
    floats = {array.dtype for array in arrays if array.dtype.kind == "f"}
    if not floats or len(floats) == 1 == len({array.dtype for array in arrays}):
        return arrays
    kind = np.result_type(*floats)
    return [array.astype(kind, copy=False) for array in arrays]


def _parts(name: str, tensors: Sequence[Operand]) -> list[Tensor]:
    """Return `tensors` as Tensors, at least one, all on one device."""
    if not isinstance(tensors, Sequence | Iterator):
        raise TypeError(
            f"{name}: tensors is a {type(tensors).__name__}; it must be a list of tensors"
        )
    parts = [as_tensor(tensor) for tensor in tensors]
    if not parts:
        raise ValueError(f"{name}: needs at least one tensor")
    for place, part in enumerate(parts):
        if part.device != parts[0].device:
            raise ValueError(
                f"{name}: tensor {place} is on {part.device} and tensor 0 on {parts[0].device}; "
                "move one of them with .to(device)"
            )
    return parts


def _check_equal(name: str, parts: list[Tensor], sizes: list[Any], rule: str) -> None:
    for place, (part, size) in enumerate(zip(parts, sizes, strict=True)):
        if size != sizes[0]:
            raise ValueError(
                f"{name}: tensor {place} has shape {part.shape} and tensor 0 has shape "
                f"{parts[0].shape}; {rule}"
            )
