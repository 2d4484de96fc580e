"""max_pool2d and its backward: naive loops, formulas, families.

    x (N, C, H, W)  ->  y, switches (N, C, H', W')
    H' = floor((H + 2 ph - kh) / sh) + 1,  W' alike

    y[n, c, i, j] = max of x[n, c, row, column] over row = i sh + a - ph, column = j sw + e - pw
    switches[n, c, i, j] = row W + column of that pixel; the first, row by row, of several
    dx[n, c, row, column] = sum of dy[n, c, i, j] over the windows with switch row W + column

A stride of None is the kernel's size. Padding holds no pixels, so it never wins, whatever the
numbers are. Where windows overlap, several may choose one pixel, and their gradients add up there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from minideconv.testing.arrays import values
from minideconv.testing.drawing import Integer, pool_geometry
from minideconv.testing.geometry import Pair, PoolGeometry
from minideconv.testing.operations.conv import windows
from minideconv.testing.operations.operation import (
    Array,
    Arrays,
    Case,
    Expected,
    Operation,
    Settings,
)

__all__ = [
    "FAMILIES",
    "LARGE_PLANE",
    "MAX_POOL2D",
    "MAX_POOL2D_BACKWARD",
    "MaxPoolGeometry",
    "draw_given",
    "large",
    "max_pool",
]

FAMILIES = ("disjoint", "remainder", "overlapping", "padding", "ties", "default-stride")
SETTINGS = ("kernel_size", "stride", "padding")


@dataclass(frozen=True, slots=True)
class MaxPoolGeometry(PoolGeometry):
    """A pooling of the student's contract: no dilation, the output's size rounded down.

    With ``ties`` most windows hold their maximum more than once; with ``default_stride`` the
    function is given stride=None, which means the kernel's size.
    """

    ties: bool = False
    default_stride: bool = False

    def __post_init__(self) -> None:
        if self.default_stride:
            object.__setattr__(self, "stride", self.kernel)
        PoolGeometry.__post_init__(self)
        if min(self.out_size) < 1:
            raise ValueError(f"MaxPoolGeometry: no window fits: {self}")
        if any(2 * p > k for p, k in zip(self.padding, self.kernel, strict=True)):
            raise ValueError(f"MaxPoolGeometry: padding is more than half the kernel: {self}")

    @property
    def settings(self) -> Settings:
        """Keyword arguments of the student's max_pool2d."""
        stride = None if self.default_stride else self.stride
        return {"kernel_size": self.kernel, "stride": stride, "padding": self.padding}

    @property
    def remainder(self) -> Pair:
        """How many rows and columns of the padded image no window reaches."""
        down, right = (
            (n + 2 * p - k) % s
            for n, p, k, s in zip(self.size, self.padding, self.kernel, self.stride, strict=True)
        )
        return down, right


def max_pool(x: Array, settings: Settings) -> tuple[Array, Array]:
    """Return the maxima and the switches; those of the last few images are kept."""
    kernel, stride, padding = (settings[name] for name in SETTINGS)
    y, switches = _max_pool(
        x.astype(np.float64).tobytes(), x.shape, tuple(kernel),
        tuple(kernel if stride is None else stride), tuple(padding),
    )  # fmt: skip
    return y.copy(), switches.copy()


@lru_cache(maxsize=512)
def _max_pool(
    numbers: bytes, shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair
) -> tuple[Array, Array]:
    x = np.frombuffer(numbers).reshape(shape)
    (kh, kw), (sh, sw), (ph, pw) = kernel, stride, padding
    n, c, h, w = shape
    rows, columns = windows((h, w), (kh, kw), (sh, sw), (ph, pw), (1, 1))
    y = np.full((n, c, rows, columns), -np.inf)
    switches = np.zeros(y.shape, np.int64)
    for i in range(rows):
        for j in range(columns):
            top, left = max(i * sh - ph, 0), max(j * sw - pw, 0)
            bottom, end = max(i * sh - ph + kh, 0), max(j * sw - pw + kw, 0)
            window = x[:, :, top:bottom, left:end]  # clipped at the end
            if window.size == 0:  # only a wrong geometry has a window of nothing but padding
                continue
            pixels = window.reshape(n, c, -1)
            first = pixels.argmax(axis=2)
            y[:, :, i, j] = pixels.max(axis=2)
            width = window.shape[3]
            switches[:, :, i, j] = (top + first // width) * w + left + first % width
    return y, switches


def _forward(arrays: Arrays, settings: Settings) -> dict[str, Expected]:
    x = arrays["x"]
    assert x is not None
    y, switches = max_pool(x, settings)
    return {"y": Expected(y, np.abs(y)), "switches": Expected(switches, np.zeros(y.shape))}


def _add_at_switches(dy: Array, switches: Array, size: Pair) -> Array:
    n, c = dy.shape[:2]
    dx = np.zeros((n, c, *size))
    for image, channel, i, j in np.ndindex(*dy.shape):
        row, column = divmod(int(switches[image, channel, i, j]), size[1])
        dx[image, channel, row, column] += dy[image, channel, i, j]
    return dx


def _backward(arrays: Arrays, settings: Settings) -> dict[str, Expected]:
    dy, switches = arrays["dy"], arrays["switches"]
    assert dy is not None
    assert switches is not None
    size = settings["size"]
    dx = _add_at_switches(dy, switches, size)
    return {"dx": Expected(dx, _add_at_switches(np.abs(dy), switches, size))}


def draw(integer: Integer) -> MaxPoolGeometry:
    """Draw a small geometry."""
    g = draw_given(integer)
    return replace(g, default_stride=True, ties=False) if integer(0, 5) == 0 else g


def draw_given(integer: Integer) -> MaxPoolGeometry:
    """Draw a geometry whose stride is given."""
    overlap = True if integer(0, 2) == 0 else None
    g = pool_geometry(
        integer, max_dilation=1, ceil_mode=False, max_channels=2, max_kernel=4, overlap=overlap
    )
    sizes = (g.size, g.kernel, g.stride)
    # Padding hides what overlap and remainders show by themselves: it is often left out.
    padded = any(g.padding) and integer(0, 1) == 0
    if any(g.padding) and not padded:
        grown = (g.size[0] + 2 * g.padding[0], g.size[1] + 2 * g.padding[1])
        sizes = (grown, g.kernel, g.stride)
    return MaxPoolGeometry(
        g.batch, g.channels, *sizes, g.padding if padded else (0, 0), ties=integer(0, 4) == 0
    )


def _draw_without_ties(integer: Integer) -> MaxPoolGeometry:
    return replace(draw_given(integer), ties=False)


def family(g: MaxPoolGeometry) -> str:
    """Name the hardest feature of a geometry."""
    if g.default_stride:
        return "default-stride"
    if g.ties:
        return "ties"
    if any(g.padding):
        return "padding"
    if g.overlaps:
        return "overlapping"
    return "remainder" if any(g.remainder) else "disjoint"


def telling(g: MaxPoolGeometry) -> bool:
    """Return whether no two numbers that could be mistaken for each other are equal."""
    several = g.batch > 1 and g.channels > 1 and min(g.out_size) > 1
    pairs = [g.size, g.kernel, g.stride, g.out_size]
    pairs += [g.padding] if any(g.padding) else []
    return several and all(a != b for a, b in pairs)


def _shapes(g: MaxPoolGeometry) -> dict[str, tuple[int, ...]]:
    return {"x": g.x_shape}


def _arguments(case: Case) -> tuple[Arrays, Settings]:
    return dict(case.arrays), case.geometry.settings


def _backward_shapes(g: MaxPoolGeometry) -> dict[str, tuple[int, ...]]:
    return {"dy": g.y_shape, "x": g.x_shape}  # x only chooses the switches


def _backward_arguments(case: Case) -> tuple[Arrays, Settings]:
    x = case.arrays["x"]
    assert x is not None
    _, switches = max_pool(x, case.geometry.settings)
    return {"dy": case.arrays["dy"], "switches": switches}, {"size": case.geometry.size}


LARGE = MaxPoolGeometry(1, 1, (20, 20), kernel=(5, 5), stride=(5, 5))


def large(shapes: Callable[[Any], dict[str, tuple[int, ...]]]) -> Callable[[], Case]:
    """Return what makes the case of a plane whose last pixels have numbers beyond 255."""
    return lambda: Case(LARGE, {
        role: values(shape, number, "distinct") for number, (role, shape) in
        enumerate(shapes(LARGE).items())
    })  # fmt: skip


LARGE_PLANE = "a plane of 400 pixels"


def _kind(g: Any) -> Any:
    return "ties" if g.ties else "distinct"


MAX_POOL2D = Operation(
    name="max_pool2d",
    arguments=("x",),
    settings=SETTINGS,
    outputs=("y", "switches"),
    rules={
        "y": "y[n,c,i,j] = max_{a,e} x[n,c,i·sh+a−ph,j·sw+e−pw] over pixels of the image only",
        "switches": "switches[n,c,i,j] = row·W + column of the maximum's pixel in x[n,c], of "
        "several the first, row by row",
    },
    families=FAMILIES,
    geometry=MaxPoolGeometry,
    draw=draw,
    family=family,
    shapes=_shapes,
    call_arguments=_arguments,
    oracle=_forward,
    telling=telling,
    kind=_kind,
    sizes=("large negative", "large mean", "large scale", "tiny scale", "constant"),
    long={LARGE_PLANE: large(_shapes)},
)

MAX_POOL2D_BACKWARD = Operation(
    name="max_pool2d_backward",
    arguments=("dy", "switches"),
    settings=("size",),
    outputs=("dx",),
    rules={"dx": "dx[n,c,row,column] = Σ dy[n,c,i,j] over all i, j with switches[n,c,i,j] = "
           "row·W + column"},
    families=FAMILIES[:4],
    geometry=MaxPoolGeometry,
    draw=_draw_without_ties,
    family=family,
    shapes=_backward_shapes,
    call_arguments=_backward_arguments,
    oracle=_backward,
    telling=telling,
    kinds=("distinct",),
    long={LARGE_PLANE: large(_backward_shapes)},
)  # fmt: skip
