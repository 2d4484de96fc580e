"""im2col and col2im: naive loops, formulas, families.

    im2col   x (N, C, H, W)                 ->  columns (N, C kh kw, H' W')
    col2im   columns (N, C kh kw, H' W')    ->  x (N, C, H, W), with (H, W) = output_size

    columns[n, (c kh + a) kw + e, i W' + j] = x[n, c, i sh + a dh - ph, j sw + e dw - pw]

A row of the columns is channel, then row and column of the kernel, the last one fastest; a column
is a window, in row-major order. Outside of the image x is 0. col2im adds every entry back to the
pixel that it came from: it is the transpose of im2col, not its inverse.
Source: Chellapilla, Puri and Simard, High performance convolutional neural networks for document
processing, 2006, section 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.testing.drawing import Integer, patch_geometry
from minideconv.testing.geometry import Pair, PatchGeometry
from minideconv.testing.operations.conv import pad, taps, windows
from minideconv.testing.operations.operation import (
    Array,
    Arrays,
    Case,
    Expected,
    Operation,
    Settings,
)

__all__ = ["COL2IM", "IM2COL"]

FAMILIES = ("unit-stride", "padding", "stride-exact", "stride-remainder", "dilation")
SETTINGS = ("kernel_size", "stride", "padding", "dilation")


def _columns(x: Array, settings: Settings) -> Array:
    kernel, stride, padding, dilation = (settings[name] for name in SETTINGS)
    size = windows((x.shape[2], x.shape[3]), kernel, stride, padding, dilation)
    padded = pad(x, padding)
    columns = np.zeros((len(x), x.shape[1] * kernel[0] * kernel[1], size[0] * size[1]))
    for i in range(size[0]):
        for j in range(size[1]):
            rows, cols = taps(i, j, kernel, stride, dilation)
            columns[:, :, i * size[1] + j] = padded[:, :, rows, cols].reshape(len(x), -1)
    return columns


def _image(columns: Array, output_size: Pair, settings: Settings) -> Array:
    kernel, stride, padding, dilation = (settings[name] for name in SETTINGS)
    size = windows(output_size, kernel, stride, padding, dilation)
    channels = columns.shape[1] // (kernel[0] * kernel[1])
    padded = pad(np.zeros((len(columns), channels, *output_size)), padding)
    for i in range(size[0]):
        for j in range(size[1]):
            rows, cols = taps(i, j, kernel, stride, dilation)
            column = columns[:, :, i * size[1] + j]
            padded[:, :, rows, cols] += column.reshape(-1, channels, *kernel)
    (ph, pw), (h, w) = padding, output_size
    return padded[:, :, ph : ph + h, pw : pw + w]


def _im2col(arrays: Arrays, settings: Settings) -> dict[str, Expected]:
    x = arrays["x"]
    assert x is not None
    columns = _columns(x, settings)
    return {"columns": Expected(columns, np.abs(columns))}


def _col2im(arrays: Arrays, settings: Settings) -> dict[str, Expected]:
    columns = arrays["columns"]
    assert columns is not None
    size = settings["output_size"]
    return {"x": Expected(_image(columns, size, settings), _image(np.abs(columns), size, settings))}


def draw(integer: Integer) -> PatchGeometry:
    """Draw a small geometry."""
    return patch_geometry(integer, max_channels=2)


def _family(geometry: Any) -> str:
    family: str = geometry.family()
    return family


def telling(g: PatchGeometry) -> bool:
    """Return whether no two numbers that could be mistaken for each other are equal."""
    pairs = [g.size, g.kernel, g.out_size]
    pairs += [p for p, least in ((g.stride, 1), (g.padding, 0), (g.dilation, 1)) if max(p) > least]
    return min(g.batch, g.channels) > 1 and all(a != b for a, b in pairs)


IM2COL = Operation(
    name="im2col",
    arguments=("x",),
    settings=SETTINGS,
    outputs=("columns",),
    rules={"columns": "columns[n,(c·kh+a)·kw+e,i·W'+j] = x[n,c,i·sh+a·dh−ph,j·sw+e·dw−pw]"},
    families=FAMILIES,
    geometry=PatchGeometry,
    draw=draw,
    family=_family,
    shapes=lambda g: {"x": g.x_shape},
    call_arguments=lambda case: (dict(case.arrays), dict(case.geometry.kwargs)),
    oracle=_im2col,
    telling=telling,
)

COL2IM = Operation(
    name="col2im",
    arguments=("columns",),
    settings=("output_size", *SETTINGS),
    outputs=("x",),
    rules={"x": "x[n,c,i·sh+a·dh−ph,j·sw+e·dw−pw] += columns[n,(c·kh+a)·kw+e,i·W'+j]"},
    families=FAMILIES,
    geometry=PatchGeometry,
    draw=draw,
    family=_family,
    shapes=lambda g: {"columns": g.columns_shape},
    call_arguments=lambda case: (
        dict(case.arrays),
        {"output_size": case.geometry.size, **case.geometry.kwargs},
    ),
    oracle=_col2im,
    telling=telling,
)
