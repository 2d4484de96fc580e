"""Walk over equally shaped arrays in blocks that fit into the processor's cache.

An update such as ``v = mu * v + g`` reads and writes each array several times. Done on whole
arrays, every pass goes to main memory and makes a temporary as large as the layer; done block by
block, only the first pass does, and the temporaries stay in the cache too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minideconv.backend import Array, get_xp, memory_order
from minideconv.backend.dispatch import device_guard

__all__ = ["BLOCK", "blocks", "in_memory_order"]

BLOCK = 16 * 1024
"""Elements in a block on the CPU: 64 KiB of float32, so that arrays and temporaries fit into L2."""

_GPU_BLOCK = 64 * 1024 * 1024  # a GPU wants few, large launches; this only bounds the temporaries


@device_guard
def in_memory_order(weight: Array, grad: Array, *state: Array) -> tuple[Array, ...]:
    """View equally shaped arrays as flat ones, in the order in which `weight` is stored.

    The order of the axes in memory does not matter to an update, only that it is the same for all:
    a gradient that is stored otherwise is copied, since reading it in leaps takes longer. Arrays
    that have gaps, or a state that is stored otherwise, come back as they are.

    Examples
    --------
    >>> import numpy as np
    >>> w = np.arange(6.0).reshape(2, 3)
    >>> in_memory_order(w.T, w.T + 10)[1]
    array([10., 11., 12., 13., 14., 15.])
    """
    arrays = (weight, grad, *state)
    if all(array.flags.c_contiguous for array in arrays):
        return arrays if weight.ndim == 1 else tuple(array.reshape(-1) for array in arrays)
    axes = memory_order(weight)
    turned = [array.transpose(axes) for array in (weight, *state)]
    if not all(array.flags.c_contiguous for array in turned):
        return arrays
    dense = get_xp(grad).ascontiguousarray(grad.transpose(axes))
    return tuple(array.reshape(-1) for array in (turned[0], dense, *turned[1:]))


def blocks(
    first: Array, *others: Array | None, skip: Array | None = None
) -> Iterator[tuple[Any, ...]]:
    """Yield matching pieces of arrays, as views; None stays None.

    Contiguous arrays are cut anywhere, others along their first axis.

    Parameters
    ----------
    first, others : array or None
        Of one shape.
    skip : array, optional
        On the arrays' device, where it is read: if ``skip[0]`` is not 0, whatever is done to a
        piece is undone.

    Examples
    --------
    >>> import numpy as np
    >>> w = np.ones((3, 2))
    >>> for piece, nothing in blocks(w, None):
    ...     piece -= 2 * piece
    >>> w.tolist()
    [[-1.0, -1.0], [-1.0, -1.0], [-1.0, -1.0]]
    >>> for (piece,) in blocks(w, skip=np.ones(1)):
    ...     piece += 5
    >>> w[0].tolist()
    [-1.0, -1.0]
    """
    arrays, xp, size = (first, *others), get_xp(first), first.size
    if all(array is None or array.flags.c_contiguous for array in arrays):
        arrays = tuple(None if array is None else array.reshape(-1) for array in arrays)
        length = size
    else:
        length = len(first)
    block = BLOCK if xp is np else _GPU_BLOCK
    rows = max(1, block * length // size) if size else 1
    for start in range(0, length, rows):
        pieces = [None if array is None else array[start : start + rows] for array in arrays]
        before = [] if skip is None else [(p, p.copy()) for p in pieces if p is not None]
        yield tuple(pieces)
        for piece, old in before:
            assert skip is not None
            xp.copyto(piece, old, where=skip[0] != 0)
