"""Average pooling: the mean of the pixels under each window.

    avg_pool2d    (N, C, H, W) -> (N, C, H', W')

Geometry as in max pooling (`ops.pooling`), without dilation. A window that reaches into the padding
sums zeros there; it divides by all its pixels, padding included (``count_include_pad``, the
default), or by the image's only. What ``ceil_mode`` lets hang over behind the padding is never
counted. The rules are PyTorch's.

The sum is separable: kh row slices are added, then kw column slices of the result, those of float16
in float32, where 100 pixels of 1000 have a sum. As a matrix that
is ``D (R x C)`` with a diagonal D, so its transpose divides first, then spreads columns and rows.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from minideconv.backend import Array, Device, device_of, get_xp, to_device
from minideconv.backend.dispatch import device_guard
from minideconv.backend.sums import sum_type
from minideconv.ops import geometry
from minideconv.ops.geometry import IntPair, Window
from minideconv.ops.pool_window import check_images, pool_window

__all__ = ["avg_pool2d", "avg_pool2d_backward"]


@device_guard
def avg_pool2d(
    x: Array,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """Return the mean of the pixels under each window: ``(N, C, H, W) -> (N, C, H', W')``.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
        Images.
    kernel_size : int or (int, int)
        Height and width of the window, in pixels. The image's own size makes it global pooling.
    stride : int or (int, int), optional
        Step of the window in pixels; by default the kernel's size.
    padding : int or (int, int)
        Zeros on each side, at most half the kernel.
    ceil_mode : bool
        Keep a last window that hangs over the edge.
    count_include_pad : bool
        Whether padding counts in the divisor.

    Returns
    -------
    array, shape (N, C, H', W')

    Raises
    ------
    ValueError, TypeError
        If `x` is no batch of images in floating point, or the window does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[[[1.0, 2.0, 3.0], [5.0, 6.0, 7.0]]]])
    >>> avg_pool2d(x, 2, stride=1)
    array([[[[3.5, 4.5]]]])
    >>> avg_pool2d_backward(np.array([[[[4.0, 8.0]]]]), (2, 3), 2, stride=1)
    array([[[[1., 3., 2.],
             [1., 3., 2.]]]])
    """
    check_images("avg_pool2d", "x", x)
    window = pool_window("avg_pool2d", x.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    xp, (ho, wo), (n, c) = get_xp(x), window.out, x.shape[:2]
    kind = x.dtype
    x = x.astype(sum_type(kind), copy=False)
    rows = xp.zeros_like(x, shape=(n, c, ho, x.shape[3]))
    for _, outputs, pixels in window.axis_taps(0):
        rows[:, :, outputs] += x[:, :, pixels]  # (N, C, H, W) -> (N, C, H', W)
    y = xp.zeros_like(x, shape=(n, c, ho, wo))
    for _, outputs, pixels in window.axis_taps(1):
        y[..., outputs] += rows[..., pixels]  # (N, C, H', W) -> (N, C, H', W')
    y /= _divisors(window, count_include_pad, y.dtype.name, device_of(y))
    return y.astype(kind, copy=False)


@device_guard
def avg_pool2d_backward(
    dy: Array,
    input_size: tuple[int, int],
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """Return the gradient with respect to x: each is shared equally by the pixels of its window.

    ``(N, C, H', W') -> (N, C, H, W)`` with ``(H, W) = input_size``; the other arguments as in the
    forward pass. The exact transpose of `avg_pool2d`.

    Raises
    ------
    ValueError, TypeError
        If `dy` does not have the size that pooling gives.
    """
    op = "avg_pool2d_backward"
    check_images(op, "dy", dy)
    size = geometry.check_at_least(geometry.pair(input_size, "input_size", op), 1, "input_size", op)
    window = pool_window(op, size, kernel_size, stride, padding, 1, ceil_mode)
    if dy.shape[2:] != window.out:
        raise ValueError(
            f"{op}: dy is {dy.shape[2]} x {dy.shape[3]} "
            f"but pooling {size[0]} x {size[1]} gives {window.out[0]} x {window.out[1]}"
        )
    xp, (h, w), (n, c) = get_xp(dy), size, dy.shape[:2]
    kind = dy.dtype
    dy = dy.astype(sum_type(kind), copy=False)
    shares = dy / _divisors(window, count_include_pad, dy.dtype.name, device_of(dy))
    rows = xp.zeros_like(dy, shape=(n, c, dy.shape[2], w))
    for _, outputs, pixels in window.axis_taps(1):
        rows[..., pixels] += shares[..., outputs]  # (N, C, H', W') -> (N, C, H', W)
    dx = xp.zeros_like(dy, shape=(n, c, h, w))
    for _, outputs, pixels in window.axis_taps(0):
        dx[:, :, pixels] += rows[:, :, outputs]  # (N, C, H', W) -> (N, C, H, W)
    return dx.astype(kind, copy=False)


@lru_cache(maxsize=64)
def _divisors(window: Window, count_include_pad: bool, dtype: str, device: Device) -> Array:
    """Return how many pixels each window divides by: (H', W').

    They are made on the host and sent once, so that no training step waits for it.
    """
    counts = []
    for axis in (0, 1):
        n, k, p = window.size[axis], window.kernel[axis], window.padding[axis]
        low, high = (-p, n + p) if count_include_pad else (0, n)
        counts.append([min(s + k, high) - max(s, low) for s in window.starts(axis)])
    rows, columns = (np.array(count, dtype) for count in counts)
    return to_device(rows[:, None] * columns, device)
