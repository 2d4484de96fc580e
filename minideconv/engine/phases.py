"""How a convolution with a stride splits into its phases, along one axis.

    dx[u] = sum over i of dy[p] W[i]        with u + padding = p stride + i

Pixels u with the same remainder r of (u + padding) by the stride meet the taps r, r + stride,
r + 2 stride, ...: they are a phase, the output of a convolution of dy with stride 1 and these taps.
Pixel u is number p of its phase, p stride + r = u + padding.

Source: Shi et al., "Is the deconvolution layer the same as a convolutional layer?" (2016),
section 3.
"""

from __future__ import annotations

from functools import lru_cache

__all__ = ["inside", "split"]

Run = tuple[int, int, int]
"""Neighbouring phases with the same number of taps: the first, how many, and their taps."""


@lru_cache(256)
def split(kernel: int, stride: int) -> tuple[Run, ...]:
    """Return the one or two runs of phases: the first have a tap more if the kernel has a rest.

    >>> split(4, 2), split(3, 2), split(1, 2)
    (((0, 2, 2),), ((0, 1, 2), (1, 1, 1)), ((0, 1, 1), (1, 1, 0)))
    """
    taps = -(-kernel // stride)
    more = kernel - (taps - 1) * stride  # phases that have so many
    runs = ((0, more, taps), (more, stride - more, taps - 1))
    return tuple(run for run in runs if run[1])


def inside(first: int, count: int, stride: int, padding: int, size: int) -> range:
    """Return the p for which a pixel of the phases `first`, ..., lies inside an image of `size`.

    >>> inside(0, 1, 2, 1, 6), inside(1, 1, 2, 1, 6)
    (range(1, 4), range(0, 3))
    """
    start = max(-(-(padding - first - count + 1) // stride), 0)
    return range(start, max(start, -(-(size + padding - first) // stride)))
