"""The matrix of a convolution of one image: naive loops, formula, families.

    w (K, C, kh, kw)  ->  A (K H' W', C H W),  A @ x.ravel() == conv2d(x, w).ravel()

    A[(k, i, j), (c, i sh + a - ph, j sw + e - pw)] = w[k, c, a, e],  0 elsewhere

Pixels are numbered channel by channel, row by row. Taps on the padding have no column.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from minideconv.testing.drawing import Integer, conv_geometry
from minideconv.testing.geometry import ConvGeometry
from minideconv.testing.operations.conv import windows
from minideconv.testing.operations.operation import (
    Arrays,
    Case,
    Expected,
    Operation,
    Settings,
)

__all__ = ["CONV_MATRIX"]

FAMILIES = ("unit-stride", "padding", "stride-exact", "stride-remainder")


def _matrix(arrays: Arrays, settings: Settings) -> dict[str, Expected]:
    w = arrays["w"]
    assert w is not None
    (k, c, kh, kw), (h, wide) = w.shape, settings["size"]
    (sh, sw), (ph, pw) = settings["stride"], settings["padding"]
    rows, columns = windows((h, wide), (kh, kw), (sh, sw), (ph, pw), (1, 1))
    matrix = np.zeros((k, rows, columns, c, h, wide), w.dtype)
    for i, j, a, e in np.ndindex(rows, columns, kh, kw):
        row, column = i * sh + a - ph, j * sw + e - pw
        if 0 <= row < h and 0 <= column < wide:
            matrix[:, i, j, :, row, column] = w[:, :, a, e]
    matrix = matrix.reshape(k * rows * columns, c * h * wide)
    return {"A": Expected(matrix, np.abs(matrix))}


def draw(integer: Integer) -> ConvGeometry:
    """Draw a small geometry: one image, no groups, no dilation."""
    g = conv_geometry(
        integer, max_batch=1, max_channels=2, max_groups=1, max_dilation=1, max_kernel=3
    )
    return replace(g, batch=1)


def _family(geometry: Any) -> str:
    family: str = geometry.family()
    return family if family in FAMILIES else FAMILIES[-1]


def _arguments(case: Case) -> tuple[Arrays, Settings]:
    g = case.geometry
    settings = {"size": g.size, "stride": g.stride, "padding": g.padding}
    return dict(case.arrays), settings


def telling(g: ConvGeometry) -> bool:
    """Return whether no two numbers that could be mistaken for each other are equal."""
    pairs = [g.size, g.kernel, g.out_size]
    pairs += [p for p, least in ((g.stride, 1), (g.padding, 0)) if max(p) > least]
    return min(g.c_in, g.c_out, *g.out_size) > 1 and all(a != b for a, b in pairs)


CONV_MATRIX = Operation(
    name="conv_matrix",
    arguments=("w",),
    settings=("size", "stride", "padding"),
    outputs=("A",),
    rules={"A": "A[(k,i,j),(c,i·sh+a−ph,j·sw+e−pw)] = w[k,c,a,e], 0 elsewhere"},
    families=FAMILIES,
    geometry=ConvGeometry,
    draw=draw,
    family=_family,
    shapes=lambda g: {"w": g.w_shape},
    call_arguments=_arguments,
    oracle=_matrix,
    telling=telling,
)
