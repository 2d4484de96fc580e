"""Walk over equally shaped arrays in blocks that fit into the processor's cache.

An update such as ``v = mu * v + g`` reads and writes each array several times. Done on whole
arrays, every pass goes to main memory and makes a temporary as large as the layer; done block by
block, only the first pass does, and the temporaries are a few hundred kilobytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from minideconv.backend import Array, get_xp
from minideconv.backend.device_guard import device_guard

__all__ = ["BLOCK", "as_they_lie", "blocks", "unless"]

BLOCK = 64 * 1024
"""Elements in a block on the CPU: 256 KiB of float32, so that an update's arrays fit into L2."""

_GPU_BLOCK = 64 * 1024 * 1024  # a GPU wants few, large launches; this only bounds the temporaries


@device_guard
def as_they_lie(weight: Array, grad: Array, *state: Array) -> tuple[Array, ...]:
    """View equally shaped arrays as flat ones, in the order in which `weight` lies in memory.

    The order of the axes in memory does not matter to an update, only that it is the same for all:
    a gradient that lies otherwise is copied, since reading it in leaps takes longer. Arrays that
    have gaps, or a state that lies otherwise, come back as they are.

    Examples
    --------
    >>> import numpy as np
    >>> w = np.arange(6.0).reshape(2, 3)
    >>> as_they_lie(w.T, w.T + 10)[1]
    array([10., 11., 12., 13., 14., 15.])
    """
    arrays = (weight, grad, *state)
    if all(array.flags.c_contiguous for array in arrays):
        return arrays if weight.ndim == 1 else tuple(array.reshape(-1) for array in arrays)
    axes = sorted(range(weight.ndim), key=lambda axis: -weight.strides[axis])
    turned = [array.transpose(axes) for array in (weight, *state)]
    if not all(array.flags.c_contiguous for array in turned):
        return arrays
    dense = get_xp(grad).ascontiguousarray(grad.transpose(axes))
    return tuple(array.reshape(-1) for array in (turned[0], dense, *turned[1:]))


def blocks(*arrays: Array, scratch: int = 0) -> Iterator[tuple[Array, ...]]:
    """Yield matching pieces of `arrays`, as views, then `scratch` temporaries of that shape.

    Contiguous arrays are cut anywhere, others along their first axis. The temporaries hold whatever
    the block before has left there.

    Examples
    --------
    >>> import numpy as np
    >>> w = np.ones((3, 2))
    >>> for piece, temporary in blocks(w, scratch=1):
    ...     temporary[...] = 2 * piece
    ...     piece -= temporary
    >>> w.tolist()
    [[-1.0, -1.0], [-1.0, -1.0], [-1.0, -1.0]]
    """
    xp, size = get_xp(arrays[0]), arrays[0].size
    block = BLOCK if xp is np else _GPU_BLOCK
    if all(array.flags.c_contiguous for array in arrays) or arrays[0].ndim == 0:
        arrays = tuple(array.reshape(-1) for array in arrays)
    length = arrays[0].shape[0]
    rows = max(1, block * length // size) if size else 1
    first = arrays[0][:rows]
    temporaries = [xp.empty(first.shape, dtype=first.dtype) for _ in range(scratch)]
    for start in range(0, length, rows):
        pieces = [array[start : start + rows] for array in arrays]
        yield (*pieces, *(temporary[: len(pieces[0])] for temporary in temporaries))


@contextmanager
def unless(skip: Array | None, *arrays: Array) -> Iterator[None]:
    """Put `arrays` back as they were, behind the ``with`` block, if ``skip[0]`` is not 0.

    `skip` lies on the arrays' device and is not read here: the device chooses.

    Examples
    --------
    >>> import numpy as np
    >>> w = np.ones(3)
    >>> with unless(np.array([1.0]), w):
    ...     w += 5
    >>> w
    array([1., 1., 1.])
    """
    before = [] if skip is None else [array.copy() for array in arrays]
    yield
    for array, old in zip(arrays, before, strict=False):
        assert skip is not None
        get_xp(array).copyto(array, old, where=skip[0] != 0)
