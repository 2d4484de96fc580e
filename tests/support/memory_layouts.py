"""Arrays stored in any way that NumPy knows, drawn by Hypothesis."""

from __future__ import annotations

from itertools import permutations
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

__all__ = ["Layout", "layouts", "stored"]


class Layout(NamedTuple):
    """How an array of up to four axes is stored; axes that it has not do not count.

    order: which permutation of the axes, from the outermost in memory to the innermost. steps: how
    far apart neighbours are along each axis, backwards if negative. repeated: along which axes one
    number stands for all. shift: bytes in front of the first number.
    """

    order: int = 0
    steps: tuple[int, ...] = (1, 1, 1, 1)
    repeated: tuple[bool, ...] = (False, False, False, False)
    shift: int = 0
    swapped: bool = False
    read_only: bool = False


def _often(usual, other, times=2):
    """Draw `usual` most of the time."""
    return st.integers(0, times).flatmap(lambda n: st.just(usual) if n < times else other)


layouts = st.builds(
    Layout,
    st.integers(0, 23),
    _often((1, 1, 1, 1), st.tuples(*[st.sampled_from((1, 2, -1, -2))] * 4), 1),
    _often((False,) * 4, st.tuples(*[st.booleans()] * 4)),
    _often(0, st.integers(1, 7)),
    _often(False, st.booleans()),
    _often(False, st.booleans()),
)
"""Strategy of layouts; the first one is NumPy's own, in C order."""


def stored(array: np.ndarray, how: Layout) -> np.ndarray:
    """Return `array` in that layout, with its numbers but where one is repeated."""
    if array.ndim == 0:
        return array
    axes = range(array.ndim)
    for axis in axes:
        if how.repeated[axis] and array.shape[axis]:
            array = array.take([0], axis).repeat(array.shape[axis], axis)
    one = tuple(slice(0, 1) if how.repeated[axis] else slice(None) for axis in axes)
    numbers = array[one]
    every = list(permutations(axes))
    order = every[how.order % len(every)]
    steps = [how.steps[axis] for axis in order]
    sizes = [numbers.shape[axis] * abs(step) for axis, step in zip(order, steps, strict=True)]
    dtype = array.dtype.newbyteorder("S") if how.swapped else array.dtype
    memory = np.full(int(np.prod(sizes)) * dtype.itemsize + how.shift, 0x55, np.uint8)
    there = (
        memory[how.shift :].view(dtype).reshape(sizes)[tuple(slice(None, None, s) for s in steps)]
    )
    view = there.transpose(np.argsort(order).astype(int))
    view[...] = numbers
    strides = [0 if how.repeated[axis] else view.strides[axis] for axis in axes]
    view = np.lib.stride_tricks.as_strided(view, array.shape, strides)
    if how.read_only or any(how.repeated[axis] for axis in axes):
        view.flags.writeable = False
    return view
