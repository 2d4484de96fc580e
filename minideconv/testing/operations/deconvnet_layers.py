"""The layers of the tiny DeconvNet and what they are put together to: forward, backward, loss.

Every convolution is one product of all windows of 3 x 3 with the kernels; its transpose spreads a
kernel around every pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minideconv.testing.operations.operation import Array, Arrays

__all__ = [
    "PARAMETERS",
    "Forward",
    "backward",
    "convolved",
    "correlated",
    "entropy",
    "forward",
    "gather",
    "given",
    "pooled",
    "relu",
    "scatter",
    "spread",
    "transposed",
]

TAPS = tuple(np.ndindex(3, 3))
PARAMETERS = ("w1", "b1", "w2", "b2", "v2", "c2", "v1", "c1")


# These run some hundred thousand times in a course's own test: numpy's padding, tensordot and
# take_along_axis take several times as long for arrays of some dozen numbers as what they do.


def _windows(x: Array) -> Array:
    """Return (N H W, C 9): the window around each pixel, 0 outside of the image."""
    n, c, h, w = x.shape
    padded = np.zeros((n, c, h + 2, w + 2))
    padded[:, :, 1:-1, 1:-1] = x
    strides = padded.strides
    windows = np.ndarray(
        (n, h, w, c, 3, 3), padded.dtype, padded,
        strides=(strides[0], *strides[2:], strides[1], *strides[2:]),
    )  # fmt: skip
    return windows.reshape(n * h * w, c * 9)


def _pixels(x: Array) -> Array:
    """Return (N H W, C)."""
    return x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])


def convolved(x: Array, w: Array, b: Array | float = 0.0) -> Array:
    """Convolve with 3 x 3 kernels w (O, C, 3, 3) and padding 1."""
    n, _, *size = x.shape
    y: Array = _windows(x) @ w.reshape(len(w), -1).T + b
    return y.reshape(n, *size, len(w)).transpose(0, 3, 1, 2)


def correlated(a: Array, x: Array) -> Array:
    """Return the gradient by the kernel: (A, C, 3, 3), a (N, A, H, W) times the windows of x."""
    dw: Array = _pixels(a).T @ _windows(x)
    return dw.reshape(a.shape[1], x.shape[1], 3, 3)


def spread(x: Array, w: Array) -> Array:
    """Return (N, O, H + 2, W + 2): each pixel of x spreads a kernel of w (C, O, 3, 3)."""
    n, c, h, wide = x.shape
    kernels = (_pixels(x) @ w.reshape(c, -1)).reshape(n, h, wide, *w.shape[1:])
    kernels = kernels.transpose(4, 5, 0, 3, 1, 2)
    padded = np.zeros((n, w.shape[1], h + 2, wide + 2))
    for i, j in TAPS:
        padded[:, :, i : i + h, j : j + wide] += kernels[i, j]
    return padded


def transposed(x: Array, w: Array, b: Array | None = None) -> Array:
    """Convolve transposed with 3 x 3 kernels w (C, O, 3, 3) and padding 1."""
    y = spread(x, w)[:, :, 1:-1, 1:-1]
    return y if b is None else y + b[:, None, None]


def relu(x: Array) -> Array:
    """Return x where it is positive, else 0."""
    return np.maximum(x, 0)


def pooled(x: Array) -> tuple[Array, Array]:
    """Return the maxima of windows of 2 x 2, and their switches."""
    n, c, h, w = x.shape
    rows, columns = h // 2, w // 2
    cut = x[:, :, : 2 * rows, : 2 * columns].reshape(n, c, rows, 2, columns, 2)
    first = cut.swapaxes(3, 4).reshape(n, c, rows, columns, 4).argmax(4)
    row = 2 * np.arange(rows)[:, None] + first // 2
    switches = row * w + 2 * np.arange(columns) + first % 2
    return gather(x, switches), switches


def _places(switches: Array) -> tuple[Array, Array]:
    """Return what picks the pixels out of (N C, H W)."""
    flat = switches.reshape(switches.shape[0] * switches.shape[1], -1)
    return np.arange(len(flat))[:, None], flat


def gather(x: Array, switches: Array) -> Array:
    """Return the pixels at the switches."""
    planes = x.reshape(x.shape[0] * x.shape[1], -1)
    found: Array = planes[_places(switches)].reshape(switches.shape)
    return found


def scatter(y: Array, switches: Array, size: Sequence[int]) -> Array:
    """Put each value at its switch; windows of 2 x 2 do not overlap, so none meets another."""
    planes = np.zeros((y.shape[0] * y.shape[1], size[0] * size[1]))
    planes[_places(switches)] = y.reshape(len(planes), -1)
    return planes.reshape(*y.shape[:2], *size)


class Forward(NamedTuple):
    """What the layers gave: what each convolution was given, and what chose."""

    x: Array
    mask1: Array
    switches1: Array
    p1: Array
    mask2: Array
    switches2: Array
    u2: Array
    mask3: Array
    u1: Array
    scores: Array


def forward(a: Arrays, chosen: Forward | None = None) -> Forward:
    """Return what the layers give; with `chosen`, its masks and switches are used."""
    x, w1, b1, w2, b2, v2, c2, v1, c1 = (given(a, role) for role in ("x", *PARAMETERS))
    e1 = convolved(x, w1, b1)
    mask1 = e1 > 0 if chosen is None else chosen.mask1
    switches1 = pooled(e1 * mask1)[1] if chosen is None else chosen.switches1
    p1 = gather(e1 * mask1, switches1)
    e2 = convolved(p1, w2, b2)
    mask2 = e2 > 0 if chosen is None else chosen.mask2
    switches2 = pooled(e2 * mask2)[1] if chosen is None else chosen.switches2
    u2 = scatter(gather(e2 * mask2, switches2), switches2, e2.shape[2:])
    d2 = transposed(u2, v2, c2)
    mask3 = d2 > 0 if chosen is None else chosen.mask3
    u1 = scatter(d2 * mask3, switches1, x.shape[2:])
    scores = transposed(u1, v1, c1)
    return Forward(x, mask1, switches1, p1, mask2, switches2, u2, mask3, u1, scores)


def backward(dscores: Array, a: Arrays, f: Forward) -> tuple[Array, ...]:
    """Return the gradients of the parameters, in order."""
    w2, v2, v1 = (given(a, role) for role in ("w2", "v2", "v1"))
    dd2 = gather(convolved(dscores, v1), f.switches1) * f.mask3
    du2 = convolved(dd2, v2)
    de2 = scatter(gather(du2, f.switches2), f.switches2, f.mask2.shape[2:]) * f.mask2
    de1 = scatter(transposed(de2, w2), f.switches1, f.mask1.shape[2:]) * f.mask1
    return (
        correlated(de1, f.x), _summed(de1), correlated(de2, f.p1), _summed(de2),
        correlated(f.u2, dd2), _summed(dd2), correlated(f.u1, dscores), _summed(dscores),
    )  # fmt: skip


def _summed(dy: Array) -> Array:
    return np.asarray(dy.sum((0, 2, 3)))


def entropy(scores: Array, labels: Array) -> tuple[float, Array]:
    """Return the mean cross entropy and its gradient."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    right = labels[:, None] == np.arange(scores.shape[1])[:, None, None]
    count = labels.size
    return float(-logs[right.nonzero()].sum() / count), (np.exp(logs) - right) / count


def given(arrays: Arrays, role: str) -> Array:
    """Return an array that is never left out."""
    array = arrays[role]
    assert array is not None
    return array
