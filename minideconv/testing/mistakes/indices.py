"""Convolution by tables of indices: what the mistakes in sizes, steps and borders are written with.

A table says which row (or column) of the image entry ``a`` of the kernel meets in window ``i``:
``i s + a d - p`` if all is right. What lies outside of the image is read as 0, and not written: so
a table can be as wrong as it likes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minideconv.testing.operations.conv import group_channels
from minideconv.testing.operations.operation import Array, Settings

__all__ = [
    "Tables",
    "backward_by_w",
    "backward_by_x",
    "dense",
    "forward",
    "interleaved",
    "read",
    "tables",
    "write",
]

Tables = tuple[Array, Array]
"""For rows and for columns: shape (windows, kernel)."""


def tables(settings: Settings, kernel: Sequence[int], count: Sequence[int]) -> Tables:
    """Return the right tables for so many windows along each axis."""
    rows, columns = (
        np.arange(n)[:, None] * s + np.arange(k)[None, :] * d - p
        for n, k, s, p, d in zip(
            count,
            kernel,
            settings["stride"],
            settings["padding"],
            settings["dilation"],
            strict=True,
        )
    )
    return rows, columns


def _inside(table: Array, size: int) -> Array:
    """Send all indices outside of the image to one line after its last."""
    return np.where((table >= 0) & (table < size), table, size)


def read(x: Array, where: Tables) -> Array:
    """Return the windows of an image: (N, C, H, W) -> (N, C, H', W', kh, kw)."""
    rows, columns = (_inside(t, n) for t, n in zip(where, x.shape[2:], strict=True))
    larger = np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1)))
    result: Array = larger[:, :, rows[:, None, :, None], columns[None, :, None, :]]
    return result


def write(values: Array, where: Tables, size: Sequence[int]) -> Array:
    """Add windows to an image of this size: the transpose of `read`."""
    rows, columns = (_inside(t, n) for t, n in zip(where, size, strict=True))
    image = np.zeros((*values.shape[:2], size[0] + 1, size[1] + 1))
    place: Any = (slice(None), slice(None), rows[:, None, :, None], columns[None, :, None, :])
    np.add.at(image, place, values)
    return image[:, :, :-1, :-1]


def forward(x: Array, w: Array, groups: int, where: Tables) -> Array:
    """Correlate windows of x with w (K, C / groups, kh, kw): conv2d without its bias."""
    windows = read(x, where)
    y = np.zeros((len(x), len(w), *windows.shape[2:4]))
    for cs, ks in group_channels(groups, x.shape[1], len(w)):
        y[:, ks] = np.einsum("nchwae,kcae->nkhw", windows[:, cs], w[ks])
    return y


def backward_by_x(dy: Array, w: Array, groups: int, where: Tables, size: Sequence[int]) -> Array:
    """Stamp w, scaled by dy, onto an image: conv2d's dx; conv_transpose2d without its bias."""
    channels = w.shape[1] * groups
    stamps = np.zeros((len(dy), channels, *dy.shape[2:], *w.shape[2:]))
    for cs, ks in group_channels(groups, channels, len(w)):
        stamps[:, cs] = np.einsum("nkhw,kcae->nchwae", dy[:, ks], w[ks])
    return write(stamps, where, size)


def backward_by_w(dy: Array, x: Array, shape: Sequence[int], groups: int, where: Tables) -> Array:
    """Correlate windows of x with dy: dw of conv2d; its transpose changes x and dy over."""
    windows, dw = read(x, where), np.zeros(tuple(shape))
    for cs, ks in group_channels(groups, x.shape[1], shape[0]):
        dw[ks] = np.einsum("nkhw,nchwae->kcae", dy[:, ks], windows[:, cs])
    return dw


def interleaved(channels: int, groups: int) -> Array:
    """Return the channel order in which channel c belongs to group c % groups."""
    return np.arange(channels).reshape(channels // groups, groups).T.ravel()


def dense(w: Array, groups: int, begins: Sequence[int]) -> Array:
    """Return the weight without groups of which row k sees the channels from ``begins[k]`` on.

    IndexError if there are too few.
    """
    inner = w.shape[1]
    wide = np.zeros((len(w), inner * groups, *w.shape[2:]))
    if max(begins) + inner > wide.shape[1]:
        raise IndexError("there is no such channel")
    for k, begin in enumerate(begins):
        wide[k, begin : begin + inner] = w[k]
    return wide
