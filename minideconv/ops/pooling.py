"""Max pooling: the largest pixel under each window, and the switch: the position of that pixel.

    max_pool2d    (N, C, H, W) -> (N, C, H', W')

Geometry: a window of kh x kw taps, ``dilation`` apart, starts every ``stride`` pixels on the image
with ``padding`` around it, ``H' = floor((H + 2 padding - dilation (kh - 1) - 1) / stride) + 1``.
With ``ceil_mode`` (Caffe's rule) the division rounds up, and a last window that would start behind
the image, in its padding, is dropped. Padding never wins: it counts as -inf, and is at most half
the kernel, so that every window sees a pixel.

The first maximum in row-major order wins a tie. After a ReLU ties are common (windows of zeros),
and the rule decides where unpooling puts the value. NaN beats every number; of several, the last.

Source: Noh, Hong, Han, "Learning deconvolution network for semantic segmentation" (2015), section
3.2.1; the rules for ties, NaN and ``ceil_mode`` are PyTorch's.
"""

from __future__ import annotations

from typing import Any

from minideconv.backend import Array, get_xp
from minideconv.backend.dispatch import accelerated
from minideconv.ops.geometry import IntPair, Window
from minideconv.ops.pool_window import check_images, pool_window
from minideconv.ops.switch_numbers import tap_dtype
from minideconv.ops.switches import Switches
from minideconv.ops.unpooling import check_values, scatter_add

__all__ = ["max_pool2d", "max_pool2d_backward"]


def max_pool2d(
    x: Array,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
    return_switches: bool = False,
) -> Any:
    """Return the largest pixel under each window: ``(N, C, H, W) -> (N, C, H', W')``.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
        Images.
    kernel_size : int or (int, int)
        Height and width of the window, in taps.
    stride : int or (int, int), optional
        Step of the window in pixels; by default the kernel's size, so that windows tile the image.
    padding : int or (int, int)
        Pixels of -inf on each side, at most half the kernel.
    dilation : int or (int, int)
        Distance of neighbouring taps in pixels.
    ceil_mode : bool
        Keep a last window that hangs over the edge.
    return_switches : bool
        Return ``(y, switches)``; `max_unpool2d` and `max_pool2d_backward` need the switches.

    Returns
    -------
    array, shape (N, C, H', W'), or (array, Switches)

    Raises
    ------
    ValueError, TypeError
        If `x` is no batch of images in floating point, padding is more than half the kernel, or a
        window meets no pixel.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[[[1.0, 5.0, 2.0, 0.0], [3.0, 4.0, 9.0, 7.0]]]])
    >>> y, switches = max_pool2d(x, 2, return_switches=True)
    >>> y
    array([[[[5., 9.]]]])
    >>> max_pool2d_backward(np.array([[[[10.0, 20.0]]]]), switches)
    array([[[[ 0., 10.,  0.,  0.],
             [ 0.,  0., 20.,  0.]]]])
    """
    check_images("max_pool2d", "x", x)
    options = (kernel_size, stride, padding, dilation, ceil_mode)
    window = pool_window("max_pool2d", x.shape[2:], *options)
    y, taps = max_pool2d_core(x, window, return_switches)
    return (y, Switches._from_taps(taps, window)) if return_switches else y


@accelerated
def max_pool2d_core(x: Array, window: Window, want_taps: bool) -> tuple[Array, Any]:
    """Return each window's maximum and, if wanted, the tap that had it: twice (N, C, H', W')."""
    xp = get_xp(x)
    y = xp.full_like(x, -xp.inf, shape=(*x.shape[:2], *window.out))
    taps = _first_taps(y, window, xp) if want_taps else None
    for tap, outputs, under_tap in window.taps():
        pixels = x[:, :, *under_tap].copy(order="K")  # read the strided pixels once
        best = y[:, :, *outputs]
        if taps is not None:
            wins = pixels > best  # strictly: the first of equals stays
            wins |= pixels != pixels  # NaN
            best_tap = taps[:, :, *outputs]
            xp.maximum(best_tap, wins * taps.dtype.type(tap), out=best_tap)  # taps only grow
        xp.maximum(best, pixels, out=best)  # NaN propagates
    return y, taps


def _first_taps(y: Array, window: Window, xp: Any) -> Array:
    """Find each window's first tap on the image; it wins where all pixels are -inf."""
    taps: Array = xp.zeros_like(y, dtype=tap_dtype(window))
    if window.padding != (0, 0):
        rows, columns = (xp.asarray(window.first_taps(axis)) for axis in (0, 1))
        taps[...] = rows[:, None] * window.kernel[1] + columns
    return taps


def max_pool2d_backward(dy: Array, switches: Switches) -> Array:
    """Return the gradient with respect to x: every gradient goes to the pixel that won.

    ``(N, C, H', W') -> (N, C, H, W)``. Where overlapping windows chose one pixel their gradients
    add up, which makes this `max_unpool2d` with ``duplicates="add"``.

    Raises
    ------
    ValueError, TypeError
        If `dy` is not shaped like the switches.
    """
    check_values("max_pool2d_backward", "dy", dy, switches)
    return scatter_add(dy, switches)
