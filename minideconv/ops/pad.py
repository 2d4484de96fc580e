"""Padding and cropping: a border of constants, of mirrored, repeated or wrapped pixels.

    (..., H, W) -> (..., top + H + bottom, left + W + right)

Per axis, with `before` and `after` new pixels around n old ones a b c d:

    constant     v v | a b c d | v v        any size
    replicate    a a | a b c d | d d        any size
    reflect      c b | a b c d | c b        at most n - 1 on each side
    circular     c d | a b c d | a b        at most n on each side

Negative amounts crop. Padding comes first and cropping last, so ``reflect`` may mirror a pixel that
is then cropped away on the other side, and ``circular`` wrap one. Up to the constant, each step
copies slices of x to slices of y. That is a matrix of zeros and ones; `pad_backward` is its
transpose: every slice of dy is *added* back to where it came from.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

from minideconv.backend import Array, get_xp
from minideconv.backend.checks import check_choice, check_number
from minideconv.backend.dispatch import device_guard
from minideconv.ops.geometry import Pair

__all__ = ["pad", "pad_backward", "same_padding"]

_MODES = ("constant", "reflect", "replicate", "circular")
Amounts = list[tuple[int, int, int]]  # (axis, before, after), last axis first


@device_guard
def pad(x: Array, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Array:
    """Return `x` with a border; negative amounts crop.

    Parameters
    ----------
    x : array (..., H, W)
    pad : (left, right) or (left, right, top, bottom) or further pairs
        Pixels to add at the two ends of each axis, from the last axis backwards, as in PyTorch.
    mode : {"constant", "reflect", "replicate", "circular"}
    value : float
        What "constant" fills in.

    Returns
    -------
    array (..., top + H + bottom, left + W + right); its own memory, also where nothing is added

    Raises
    ------
    ValueError, TypeError
        If `pad` has an odd length or too many entries, the mode is unknown, "reflect" has no pixel
        to mirror or "circular" none to wrap, nothing would be left, or `value` is given to a mode
        that does not use it.

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
    check_number("pad", "value", value)
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


def same_padding(
    op: str, padding: str, kernel: Pair, stride: Pair, dilation: Pair
) -> tuple[int, int, int, int]:
    """Return the (left, right, top, bottom) that the words "same" and "valid" mean.

    "same" leaves an image's size as it is: ``dilation (kernel - 1)`` pixels on each axis, and where
    that is odd the one more is at the right and at the bottom. "valid" is none.

    Raises
    ------
    ValueError
        For another word, or "same" with a stride, which would make the image smaller.
    """
    if padding == "valid":
        return 0, 0, 0, 0
    if padding != "same":
        raise ValueError(
            f"{op}: padding is {padding!r}; it must be 'same', 'valid', an integer or a pair of "
            "integers"
        )
    if stride != (1, 1):
        raise ValueError(f"{op}: padding is 'same' and stride is {stride}; it must be 1")
    height, width = (d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
    return width // 2, width - width // 2, height // 2, height - height // 2


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
        if mode == "circular":
            borders += [(axis, slice(0, left), slice(end - left, end))] if left else []
            borders += [(axis, slice(end, end + right), slice(left, left + right))] if right else []
    return borders


def _amounts(shape: tuple[int, ...], pad: Sequence[int], mode: str) -> Amounts:
    check_choice("pad", "mode", mode, _MODES)
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
        most = n - 1 if mode == "reflect" else n
        if mode in ("reflect", "circular") and max(before, after) > most:
            raise ValueError(
                f"pad: mode {mode!r} can add at most {most} pixels on each side of axis {axis}, "
                f"which has {n}, but pad asks for {before} and {after}"
            )
        amounts.append((axis, before, after))
    return amounts
