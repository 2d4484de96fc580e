"""Anchors: convolutions whose result is known without computing one.

An identity holds, too, if the same mistake is made on both sides. An anchor ties one side down:

    a kernel that is 0 but at tap (a, e) moves the image      y[i, j] = w x[i sh + a dh - ph, ...]
    a 1x1 kernel multiplies the channels of each pixel        y[i, j] = W x[i sh - ph, ...]
    ones convolved with ones count the taps in the image      y[i, j] = taps * C_in / groups

Everything is in integers and compared by ``==``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.testing.arrays import as_numpy, values
from minideconv.testing.geometry import ConvGeometry

__all__ = ["AnchorError", "check_delta", "check_ones", "check_pointwise"]

_Array = npt.NDArray[Any]
_Conv = Callable[[Any, Any], Any]


class AnchorError(AssertionError):
    """A convolution is wrong where its result is known without computing one."""


def check_delta(
    conv2d: _Conv, geometry: ConvGeometry, *, seed: int = 0, dtype: npt.DTypeLike = np.float64
) -> None:
    """Check that a kernel with a single number moves the image, for each of its taps.

    Parameters
    ----------
    conv2d : callable
        ``conv2d(x, w)`` with the stride, padding, dilation and groups of `geometry`.
    geometry : ConvGeometry
        Sizes and settings.
    seed : int
        Of the image.
    dtype : dtype
        Of the arrays.

    Raises
    ------
    AnchorError
        The tap, the wrong entry and the right one; whether the kernel is flipped.

    Examples
    --------
    >>> from minideconv.ops import conv2d
    >>> g = ConvGeometry(1, 1, 1, size=(4, 5), kernel=(2, 3))
    >>> check_delta(conv2d, g)
    >>> check_delta(lambda x, w: conv2d(x, w[:, :, ::-1, ::-1]), g)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    minideconv.testing.anchors.AnchorError: a kernel that is 0 but at tap (0, 0) ... is flipped
    """
    g = geometry
    x = values(g.x_shape, seed, "distinct", dtype)
    rows, columns = g.kernel
    for a in range(rows):
        for e in range(columns):
            w = np.zeros(g.w_shape, dtype)
            for k in range(g.c_out):
                w[k, k % g.w_shape[1], a, e] = k + 1  # a number of its own for each channel
            y = as_numpy(conv2d(x.copy(), w))
            what = f"a kernel that is 0 but at tap ({a}, {e}) moves the image"
            _equal(y, _moved(x, g, a, e), what, (_moved(x, g, rows - 1 - a, columns - 1 - e),
                                                 "the kernel is flipped"))  # fmt: skip


def _moved(x: _Array, g: ConvGeometry, a: int, e: int) -> _Array:
    """Return k + 1 times what tap (a, e) of output channel k sees, in the channel it looks at."""
    (ph, pw), (sh, sw), (dh, dw), (rows, columns) = g.padding, g.stride, g.dilation, g.out_size
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    inner, outer = g.c_in // g.groups, g.c_out // g.groups
    channels = [k // outer * inner + k % inner for k in range(g.c_out)]
    top, left = a * dh, e * dw
    moved: _Array = padded[:, channels, top : top + sh * rows : sh, left : left + sw * columns : sw]
    return moved[:, :, :rows, :columns] * np.arange(1, g.c_out + 1, dtype=x.dtype)[:, None, None]


def check_pointwise(
    conv2d: _Conv, geometry: ConvGeometry, *, seed: int = 0, dtype: npt.DTypeLike = np.float64
) -> None:
    """Check that a 1x1 kernel is a product of matrices at each pixel.

    Parameters
    ----------
    conv2d : callable
        ``conv2d(x, w)`` with the settings of `geometry`.
    geometry : ConvGeometry
        Its kernel must be (1, 1).
    seed : int
        Of the image and the kernel.
    dtype : dtype
        Of the arrays.

    Raises
    ------
    AnchorError
        The wrong entry and the right one.
    ValueError
        If the kernel is larger.

    Examples
    --------
    >>> from minideconv.ops import conv2d
    >>> check_pointwise(conv2d, ConvGeometry(2, 3, 2, size=(4, 5), kernel=(1, 1)))
    """
    g = geometry
    if g.kernel != (1, 1):
        raise ValueError(f"check_pointwise: the kernel is {g.kernel}; it must be (1, 1)")
    x, w = values(g.x_shape, seed, dtype=dtype), values(g.w_shape, seed + 1, dtype=dtype)
    (ph, pw), (sh, sw), (rows, columns) = g.padding, g.stride, g.out_size
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    seen = padded[:, :, : sh * rows : sh, : sw * columns : sw]
    inner, outer = g.c_in // g.groups, g.c_out // g.groups
    want = np.concatenate([
        np.einsum(
            "kc,nchw->nkhw",
            w[group * outer : (group + 1) * outer, :, 0, 0],
            seen[:, group * inner : (group + 1) * inner],
        )
        for group in range(g.groups)
    ], axis=1)  # fmt: skip
    transposed = w[:, :, 0, 0].T
    hint = None
    if g.groups == 1 and transposed.shape == w.shape[:2]:
        hint = (
            np.einsum("kc,nchw->nkhw", transposed, seen),
            "the kernel's channels are interchanged",
        )
    _equal(as_numpy(conv2d(x.copy(), w.copy())), want, "a 1x1 kernel is W @ x at each pixel", hint)


def check_ones(conv2d: _Conv, geometry: ConvGeometry, *, dtype: npt.DTypeLike = np.float64) -> None:
    """Check that ones convolved with ones count the taps that lie in the image.

    Parameters
    ----------
    conv2d : callable
        ``conv2d(x, w)`` with the settings of `geometry`.
    geometry : ConvGeometry
        Sizes and settings.
    dtype : dtype
        Of the arrays.

    Raises
    ------
    AnchorError
        The wrong entry and the right one; whether the padding holds ones.

    Examples
    --------
    >>> from minideconv.ops import conv2d
    >>> g = ConvGeometry(1, 1, 1, size=(4, 5), kernel=(3, 3), padding=(1, 1))
    >>> check_ones(lambda x, w: conv2d(x, w, padding=1), g)
    """
    g = geometry
    counts = [
        [sum(0 <= o * s + t * d - p < n for t in range(k)) for o in range(out)]
        for n, k, s, p, d, out in zip(
            g.size, g.kernel, g.stride, g.padding, g.dilation, g.out_size, strict=True
        )
    ]
    inner = g.c_in // g.groups
    want = np.broadcast_to(inner * np.outer(counts[0], counts[1]), g.y_shape)
    full = np.full(g.y_shape, inner * g.kernel[0] * g.kernel[1])
    y = as_numpy(conv2d(np.ones(g.x_shape, dtype), np.ones(g.w_shape, dtype)))
    _equal(y, want, "ones convolved with ones count the taps in the image",
           (full, "the padding holds ones, not zeros"))  # fmt: skip


def _equal(y: _Array, want: _Array, what: str, hint: tuple[_Array, str] | None) -> None:
    if y.shape != want.shape:
        raise AnchorError(f"{what}: the result has shape {y.shape}, must have {want.shape}")
    wrong = ~(y == want)
    if not wrong.any():
        return
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    text = f"{what}: y{list(index)} is {y[index]:.9g}, must be {want[index]:.9g}"
    if hint is not None and np.array_equal(y, hint[0]):
        text = f"{text}; {hint[1]}"
    raise AnchorError(text)
