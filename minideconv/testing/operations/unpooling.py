"""max_unpool2d and its backward: naive loops, formulas, families.

    y, switches (N, C, H', W')  ->  x (N, C, H, W)

    x[n, c, row, column] = y[n, c, i, j] of the last window, row by row, whose switch is
                           row W + column; 0 where no window chose the pixel
    dy[n, c, i, j] = dx[n, c, row, column] if (i, j) is that last window, else 0

Where windows overlap, two of them may have chosen one pixel. The earlier value is then overwritten:
x does not depend on it, so its gradient is 0. (PyTorch's own backward gives it the pixel's
gradient all the same, which is not the transpose of what its forward did.)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minideconv.testing.drawing import Integer, pool_geometry
from minideconv.testing.geometry import Pair, PoolGeometry
from minideconv.testing.operations.operation import (
    Array,
    Arrays,
    Case,
    Expected,
    Operation,
    Settings,
)
from minideconv.testing.operations.pooling import (
    LARGE_PLANE,
    MaxPoolGeometry,
    draw_given,
    large,
    max_pool,
    telling,
)

__all__ = ["FAMILIES", "MAX_UNPOOL2D", "MAX_UNPOOL2D_BACKWARD", "last_windows"]

FAMILIES = ("disjoint", "overlapping")


def last_windows(switches: Array, size: Pair) -> Array:
    """Return for each pixel the number i W' + j of the last window that chose it, -1 if none."""
    n, c = switches.shape[:2]
    last = np.full((n, c, size[0] * size[1]), -1)
    for image in range(n):
        for channel in range(c):
            for window, pixel in enumerate(switches[image, channel].ravel()):
                last[image, channel, pixel] = window
    return last


def _forward(arrays: Arrays, settings: Settings) -> dict[str, Expected]:
    y, switches = arrays["y"], arrays["switches"]
    assert y is not None
    assert switches is not None
    size = settings["size"]
    last = last_windows(switches, size)
    x = np.zeros(last.shape)
    for image, channel, pixel in np.argwhere(last >= 0):
        x[image, channel, pixel] = y[image, channel].ravel()[last[image, channel, pixel]]
    x = x.reshape(*y.shape[:2], *size)
    return {"x": Expected(x, np.abs(x))}


def _backward(arrays: Arrays, settings: Settings) -> dict[str, Expected]:
    dx, switches = arrays["dx"], arrays["switches"]
    assert dx is not None
    assert switches is not None
    last = last_windows(switches, dx.shape[2:])
    n, c = switches.shape[:2]
    dy = np.zeros((n, c, switches.shape[2] * switches.shape[3]))
    for image, channel, pixel in np.argwhere(last >= 0):
        dy[image, channel, last[image, channel, pixel]] = dx[image, channel].ravel()[pixel]
    dy = dy.reshape(switches.shape)
    return {"dy": Expected(dy, np.abs(dy))}


def draw(integer: Integer) -> MaxPoolGeometry:
    """Draw the geometry of the pooling that made the switches."""
    g: PoolGeometry = draw_given(integer)
    if integer(0, 1) == 0:  # windows that overlap on both axes choose one pixel in any order
        g = pool_geometry(
            integer,
            max_stride=1 + integer(0, 1),
            max_dilation=1,
            max_out=4,
            max_channels=2,
            overlap=True,
            ceil_mode=False,
        )
    return MaxPoolGeometry(g.batch, g.channels, g.size, g.kernel, g.stride, g.padding)


def _draw_values(integer: Integer) -> MaxPoolGeometry:
    """Draw a geometry; with ``ties`` the values are -1, 0 and 1."""
    g = draw(integer)
    return replace(g, ties=integer(0, 2) == 0 and g.overlaps)


def family(g: MaxPoolGeometry) -> str:
    """Say whether two windows can have chosen one pixel, and whether some values are 0."""
    if g.ties:
        return "zeros"
    return "overlapping" if g.overlaps else "disjoint"


def _switches(case: Case) -> Array:
    x = case.arrays["x"]
    assert x is not None
    return max_pool(x, case.geometry.settings)[1]


def _arguments(case: Case) -> tuple[Arrays, Settings]:
    arrays: Arrays = {"y": case.arrays["y"], "switches": _switches(case)}
    return arrays, {"size": case.geometry.size}


def _backward_arguments(case: Case) -> tuple[Arrays, Settings]:
    return {"dx": case.arrays["dx"], "switches": _switches(case)}, {}


def _shapes(g: MaxPoolGeometry) -> dict[str, tuple[int, ...]]:
    return {"y": g.y_shape, "x": g.x_shape}  # x only chooses the switches


def _backward_shapes(g: MaxPoolGeometry) -> dict[str, tuple[int, ...]]:
    return {"dx": g.x_shape, "x": g.x_shape}


MAX_UNPOOL2D = Operation(
    name="max_unpool2d",
    arguments=("y", "switches"),
    settings=("size",),
    outputs=("x",),
    rules={"x": "x[n,c,row,column] = y[n,c,i,j] of the last i, j (row by row) with "
           "switches[n,c,i,j] = row·W + column, else 0"},
    families=(*FAMILIES, "zeros"),
    geometry=MaxPoolGeometry,
    draw=_draw_values,
    family=family,
    shapes=_shapes,
    call_arguments=_arguments,
    oracle=_forward,
    telling=telling,
    kind=lambda g: "ties" if g.ties else "distinct",
    long={LARGE_PLANE: large(_shapes)},
)  # fmt: skip

MAX_UNPOOL2D_BACKWARD = Operation(
    name="max_unpool2d_backward",
    arguments=("dx", "switches"),
    settings=(),
    outputs=("dy",),
    rules={"dy": "dy[n,c,i,j] = dx[n,c,row,column] with row·W + column = switches[n,c,i,j]; 0 if "
           "a later window chose the same pixel"},
    families=FAMILIES,
    geometry=MaxPoolGeometry,
    draw=draw,
    family=family,
    shapes=_backward_shapes,
    call_arguments=_backward_arguments,
    oracle=_backward,
    telling=telling,
    kinds=("distinct",),
    long={LARGE_PLANE: large(_backward_shapes)},
)  # fmt: skip
