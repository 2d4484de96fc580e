"""Padding and cropping: a border of constants, of mirrored pixels, or of repeated edge pixels.

    (..., H, W) -> (..., top + H + bottom, left + W + right)

Per axis, with `before` and `after` new pixels around n old ones a b c d:

    constant     v v | a b c d | v v        any size
    replicate    a a | a b c d | d d        any size
    reflect      c b | a b c d | c b        at most n - 1 on each side

Negative amounts crop. Padding comes first and cropping last, so ``reflect`` may mirror a pixel that
is then cropped away on the other side. Up to the constant, each step copies slices of x to slices
of y. That is a matrix of zeros and ones; `pad_backward` is its transpose: every slice of dy is
*added* back to where it came from.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

from minideconv.backend import Array, get_xp
from minideconv.backend.dispatch import device_guard

__all__ = ["pad", "pad_backward"]

_MODES = ("constant", "reflect", "replicate")
Amounts = list[tuple[int, int, int]]  # (axis, before, after), last axis first


@device_guard
def pad(x: Array, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Array:
    """Return `x` with a border; negative amounts crop.

    Parameters
    ----------
    x : array (..., H, W)
    pad : (left, right) or (left, right, top, bottom) or further pairs
        Pixels to add at the two ends of each axis, from the last axis backwards, as in PyTorch.
    mode : {"constant", "reflect", "replicate"}
    value : float
        What "constant" fills in.

    Returns
    -------
    array (..., top + H + bottom, left + W + right); its own memory, also where nothing is added

    Raises
    ------
    ValueError, TypeError
        If `pad` has an odd length or too many entries, the mode is unknown, "reflect" has no pixel
        to mirror, nothing would be left, or `value` is given to a mode that does not use it.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1, 2, 3, 4]])
    >>> pad(x, (2, 1), mode="reflect")
    array([[3, 2, 1, 2, 3, 4, 3]])
    >>> pad(x, (-1, 2), value=9)
    array([[2, 3, 4, 9, 9]])
    """
    amounts = _amounts(x.shape, pad, mode)
    if mode != "constant" and value != 0:
        raise ValueError(f"pad: value is {value}; mode {mode!r} does not use it, leave it at 0")
    padded, inside, kept = _layout(x.shape, amounts)
    y: Array = get_xp(x).full(padded, value, dtype=x.dtype)
    y[inside] = x
    for axis, at, copied in _borders(x.shape, amounts, mode):
        along = get_xp(y).moveaxis(y, axis, 0)
        along[at] = along[copied]
    return y[kept]


@device_guard
def pad_backward(
    dy: Array, input_size: Sequence[int], pad: Sequence[int], mode: str = "constant"
) -> Array:
    """Return dL/dx of `pad` from dL/dy: the transpose. `input_size` is the shape of x, or its end.

    The steps of forward in reverse order, and each the other way round: what was cropped is 0, what
    was copied from a to b is added from b to a.
    """
    size = (*dy.shape[: dy.ndim - len(input_size)], *input_size)
    amounts = _amounts(size, pad, mode)
    padded, inside, kept = _layout(size, amounts)
    dx: Array = get_xp(dy).zeros(padded, dtype=dy.dtype)
    dx[kept] = dy
    for axis, at, copied in reversed(_borders(size, amounts, mode)):
        along = get_xp(dx).moveaxis(dx, axis, 0)
        # A repeated edge pixel collects the sum of its copies, a mirrored pixel has one.
        along[copied] += along[at].sum(axis=0, keepdims=True) if mode == "replicate" else along[at]
    return dx[inside]


def _layout(
    size: tuple[int, ...], amounts: Amounts
) -> tuple[tuple[int, ...], tuple[slice, ...], tuple[slice, ...]]:
    """Return the padded shape, where x is in it, and which part of it cropping keeps."""
    padded = list(size)
    inside, kept = [slice(None)] * len(size), [slice(None)] * len(size)
    for axis, before, after in amounts:
        padded[axis] += max(before, 0) + max(after, 0)
        inside[axis] = slice(max(before, 0), max(before, 0) + size[axis])
        kept[axis] = slice(max(-before, 0), padded[axis] + min(after, 0))
    return tuple(padded), tuple(inside), tuple(kept)


def _borders(size: tuple[int, ...], amounts: Amounts, mode: str) -> list[tuple[int, slice, slice]]:
    """Return (axis, border, pixels it copies) in padded coordinates, in the order of copying."""
    borders = []
    for axis, before, after in amounts:
        left, right = max(before, 0), max(after, 0)
        end = left + size[axis]  # the first position behind x
        if mode == "replicate":
            borders += [(axis, slice(0, left), slice(left, left + 1))] if left else []
            borders += [(axis, slice(end, end + right), slice(end - 1, end))] if right else []
        if mode == "reflect":
            borders += [(axis, slice(0, left), slice(2 * left, left, -1))] if left else []
            mirrored = slice(end - 2, end - 2 - right if end - 2 - right >= 0 else None, -1)
            borders += [(axis, slice(end, end + right), mirrored)] if right else []
    return borders


def _amounts(shape: tuple[int, ...], pad: Sequence[int], mode: str) -> Amounts:
    if mode not in _MODES:
        raise ValueError(f"pad: mode is {mode!r}; it must be one of {', '.join(map(repr, _MODES))}")
    try:
        numbers = [operator.index(item) for item in pad]
    except TypeError:
        raise TypeError(
            f"pad: pad is {pad!r}; it must be a sequence of integers (left, right, top, bottom)"
        ) from None
    if len(numbers) % 2 or len(numbers) > 2 * len(shape):
        raise ValueError(
            f"pad: pad has {len(numbers)} entries; "
            f"it needs two per axis, from the last axis backwards, and x has {len(shape)} axes"
        )
    amounts: Amounts = []
    for back in range(len(numbers) // 2):
        axis, before, after = len(shape) - 1 - back, numbers[2 * back], numbers[2 * back + 1]
        n = shape[axis]
        if n < 1 and mode != "constant":
            raise ValueError(f"pad: axis {axis} of x is empty; mode {mode!r} has no pixel to copy")
        if n + before + after < 1:
            raise ValueError(
                f"pad: adding {before} and {after} pixels to axis {axis} of size {n} leaves nothing"
            )
        if mode == "reflect" and max(before, after) >= n:
            raise ValueError(
                f"pad: mode 'reflect' can add at most {n - 1} pixels on each side of axis {axis}, "
                f"which has {n}, but pad asks for {before} and {after}"
            )
        amounts.append((axis, before, after))
    return amounts
