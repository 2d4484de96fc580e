"""The layers of the tiny DeconvNet and what they are put together to: forward, backward, loss.

Every convolution is one product of all windows of 3 x 3 with the kernels, and what spreads a kernel
around every pixel is its transpose.
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

PARAMETERS = ("w1", "b1", "w2", "b2", "v2", "c2", "v1", "c1")


def _windows(x: Array) -> Array:
    """Return (N, H, W, C, 3, 3): the window around each pixel, 0 outside of the image."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    found = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return found.transpose(0, 2, 3, 1, 4, 5)


def convolved(x: Array, w: Array, b: Array | float = 0.0) -> Array:
    """Convolve with 3 x 3 kernels w (O, C, 3, 3) and padding 1."""
    y: Array = (np.tensordot(_windows(x), w, ([3, 4, 5], [1, 2, 3])) + b).transpose(0, 3, 1, 2)
    return y


def correlated(a: Array, x: Array) -> Array:
    """Return the gradient by the kernel: (A, C, 3, 3), a (N, A, H, W) times the windows of x."""
    return np.tensordot(a, _windows(x), ([0, 2, 3], [0, 1, 2]))


def spread(x: Array, w: Array) -> Array:
    """Return (N, O, H + 2, W + 2): each pixel of x spreads a kernel of w (C, O, 3, 3)."""
    n, _, h, wide = x.shape
    kernels = np.tensordot(x, w, (1, 0)).transpose(0, 3, 4, 5, 1, 2)
    padded = np.zeros((n, w.shape[1], h + 2, wide + 2))
    for i, j in np.ndindex(3, 3):
        padded[:, :, i : i + h, j : j + wide] += kernels[:, :, i, j]
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


def gather(x: Array, switches: Array) -> Array:
    """Return the pixels at the switches."""
    flat = np.take_along_axis(
        x.reshape(*x.shape[:2], -1), switches.reshape(*switches.shape[:2], -1), 2
    )
    return flat.reshape(switches.shape)


def scatter(y: Array, switches: Array, size: Sequence[int]) -> Array:
    """Put each value at its switch; windows of 2 x 2 do not overlap, so none meets another."""
    flat = np.zeros((*y.shape[:2], size[0] * size[1]))
    np.put_along_axis(flat, switches.reshape(*y.shape[:2], -1), y.reshape(*y.shape[:2], -1), axis=2)
    return flat.reshape(*y.shape[:2], *size)


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
