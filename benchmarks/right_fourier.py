"""Convolutions by Fourier transforms, for `benchmarks.false_alarms`.

All pixels of a plane are made together, so that each carries the rounding of the largest: a pixel
that no window meets is not 0 but some 1e-17. That is right, and a kit that takes it for a mistake
is wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["FUNCTIONS"]

Array = Any
_PLANE = (-2, -1)


def _spread(a: Array, steps: tuple[int, int]) -> Array:
    """Put zeros between the pixels of each plane."""
    size = [(length - 1) * step + 1 for length, step in zip(a.shape[2:], steps, strict=True)]
    made = np.zeros((*a.shape[:2], *size), a.dtype)
    made[:, :, :: steps[0], :: steps[1]] = a
    return made


def _padded(x: Array, padding: tuple[int, int]) -> Array:
    return np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))


def _correlated(image: Array, kernel: Array, sums: str) -> Array:
    """Sum planes of correlations where the kernel is inside of the image."""
    size, (h, w) = image.shape[2:], kernel.shape[2:]
    spectrum = np.fft.rfft2(kernel, size, _PLANE).conj()
    made = np.fft.irfft2(np.einsum(sums, np.fft.rfft2(image), spectrum), size, _PLANE)
    return made[..., : size[0] - h + 1, : size[1] - w + 1].astype(image.dtype)


def _groups(a: Array, axis: int, groups: int) -> list[Array]:
    return np.split(a, groups, axis)


def _forward(x: Array, w: Array, stride: Any, padding: Any, dilation: Any, groups: int) -> Array:
    x, w = _padded(x, padding), _spread(w, dilation)
    parts = zip(_groups(x, 1, groups), _groups(w, 0, groups), strict=True)
    y = np.concatenate([_correlated(a, b, "nchw,kchw->nkhw") for a, b in parts], 1)
    return y[:, :, :: stride[0], :: stride[1]]


def _transposed(
    y: Array, w: Array, size: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Array:
    """Convolve in full, onto a plane of `size` with `padding` around it."""
    y, w = _spread(y, stride), _spread(w, dilation)
    whole = [length + 2 * pad for length, pad in zip(size, padding, strict=True)]
    parts = []
    for a, b in zip(_groups(y, 1, groups), _groups(w, 0, groups), strict=True):
        spectra = np.fft.rfft2(a, whole, _PLANE), np.fft.rfft2(b, whole, _PLANE)
        parts.append(np.fft.irfft2(np.einsum("nkhw,kchw->nchw", *spectra), whole, _PLANE))
    x = np.concatenate(parts, 1).astype(y.dtype)
    return x[:, :, padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]]


def _weights(
    x: Array, dy: Array, kernel: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Array:
    x, dy = _padded(x, padding), _spread(dy, stride)
    parts = zip(_groups(x, 1, groups), _groups(dy, 1, groups), strict=True)
    dw = np.concatenate([_correlated(a, b, "nchw,nkhw->kchw") for a, b in parts], 0)
    return dw[:, :, :: dilation[0], :: dilation[1]][:, :, : kernel[0], : kernel[1]]


def _biased(y: Array, b: Array | None) -> Array:
    return y if b is None else y + b[:, None, None]


def conv2d(x, w, b=None, *, stride, padding, dilation, groups):
    return _biased(_forward(x, w, stride, padding, dilation, groups), b)


def conv2d_backward(dy, x, w, *, stride, padding, dilation, groups):
    dx = _transposed(dy, w, x.shape[2:], stride, padding, dilation, groups)
    dw = _weights(x, dy, w.shape[2:], stride, padding, dilation, groups)
    return dx, dw, dy.sum((0, 2, 3))


def conv_transpose2d(x, w, b=None, *, stride, padding, output_padding, groups, dilation):
    size = [
        (length - 1) * stride[axis]
        - 2 * padding[axis]
        + dilation[axis] * (w.shape[2 + axis] - 1)
        + output_padding[axis]
        + 1
        for axis, length in enumerate(x.shape[2:])
    ]
    return _biased(_transposed(x, w, size, stride, padding, dilation, groups), b)


def conv_transpose2d_backward(dy, x, w, *, stride, padding, output_padding, groups, dilation):
    dx = _forward(dy, w, stride, padding, dilation, groups)
    dx = dx[:, :, : x.shape[2], : x.shape[3]]
    dw = _weights(dy, x, w.shape[2:], stride, padding, dilation, groups)
    return dx, dw, dy.sum((0, 2, 3))


FUNCTIONS = {
    function.__name__: function
    for function in (conv2d, conv2d_backward, conv_transpose2d, conv_transpose2d_backward)
}
