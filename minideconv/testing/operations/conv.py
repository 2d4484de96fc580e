"""conv2d and its backward: naive loops, formulas, families.

    x (N, C, H, W), w (K, C / groups, kh, kw), b (K,)  ->  y (N, K, H', W')
    H' = floor((H + 2 ph - dh (kh - 1) - 1) / sh) + 1,  W' alike

    y[n, k, i, j] = b[k] + sum over c, a, e of
                    x[n, c, i sh + a dh - ph, j sw + e dw - pw] w[k, c, a, e]

Outside of the image x is 0. With groups, output channel k sees the input channels of its group.
Source: Dumoulin and Visin, A guide to convolution arithmetic for deep learning, 2016.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.testing.drawing import Integer, conv_geometry
from minideconv.testing.geometry import ConvGeometry, Pair
from minideconv.testing.operations.operation import (
    Array,
    Arrays,
    Case,
    Expected,
    Operation,
    Settings,
)

__all__ = [
    "CONV2D",
    "CONV2D_BACKWARD",
    "FAMILIES",
    "group_channels",
    "pad",
    "taps",
    "together",
    "windows",
]

FAMILIES = ("unit-stride", "padding", "stride-exact", "stride-remainder", "dilation", "groups")
SETTINGS = ("stride", "padding", "dilation", "groups")


def windows(size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    """Return (H', W'): how many windows fit along each axis."""
    rows, columns = (
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    return rows, columns


def pad(x: Array, padding: Pair) -> Array:
    """Put zeros around each image."""
    (ph, pw), (n, c, h, w) = padding, x.shape
    padded = np.zeros((n, c, h + 2 * ph, w + 2 * pw))
    padded[:, :, ph : ph + h, pw : pw + w] = x
    return padded


def taps(i: int, j: int, kernel: Pair, stride: Pair, dilation: Pair) -> tuple[slice, slice]:
    """Return the rows and columns of the padded image that window (i, j) reads."""
    rows, columns = (
        slice(o * s, o * s + d * (k - 1) + 1, d)
        for o, k, s, d in zip((i, j), kernel, stride, dilation, strict=True)
    )
    return rows, columns


def group_channels(groups: int, c_in: int, c_out: int) -> list[tuple[slice, slice]]:
    """Return for each group the input channels and the output channels that belong to it."""
    inner, outer = c_in // groups, c_out // groups
    return [
        (slice(g * inner, (g + 1) * inner), slice(g * outer, (g + 1) * outer))
        for g in range(groups)
    ]


def _correlate(x: Array, w: Array, settings: Settings) -> Array:
    stride, padding, dilation, groups = (settings[name] for name in SETTINGS)
    (n, c), (k, _, *kernel) = x.shape[:2], w.shape
    size = windows(x.shape[2:], tuple(kernel), stride, padding, dilation)
    padded, y = pad(x, padding), np.zeros((n, k, *size))
    for i in range(size[0]):
        for j in range(size[1]):
            rows, columns = taps(i, j, tuple(kernel), stride, dilation)
            for cs, ks in group_channels(groups, c, k):
                window = padded[:, cs, rows, columns]
                y[:, ks, i, j] = np.einsum("ncae,kcae->nk", window, w[ks])
    return y


def together(terms: Array, a: Array, b: Array) -> Array:
    """Return the size of what rounds where all entries of a product of images are made together.

    An algorithm may do so: a Fourier transform's error in each entry is relative to the whole
    images, |a| |b|, which is at least as large as the terms of any one.
    """
    size: Array = terms + np.linalg.norm(a) * np.linalg.norm(b)
    return size


def _forward(arrays: Arrays, settings: Settings) -> dict[str, Expected]:
    x, w, b = arrays["x"], arrays["w"], arrays["b"]
    assert x is not None
    assert w is not None
    bias = np.zeros((w.shape[0], 1, 1)) if b is None else b[:, None, None]
    return {
        "y": Expected(
            _correlate(x, w, settings) + bias,
            together(_correlate(np.abs(x), np.abs(w), settings) + np.abs(bias), x, w),
        )
    }


def _gradients(dy: Array, x: Array, w: Array, settings: Settings) -> tuple[Array, Array]:
    """Add each product of the forward sum to the gradients of its two factors."""
    stride, padding, dilation, groups = (settings[name] for name in SETTINGS)
    (_, c, h, wide), (k, _, *kernel) = x.shape, w.shape
    padded = pad(x, padding)
    dpadded, dw = np.zeros(padded.shape), np.zeros(w.shape)
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            rows, columns = taps(i, j, tuple(kernel), stride, dilation)
            for cs, ks in group_channels(groups, c, k):
                slope = dy[:, ks, i, j]
                window = padded[:, cs, rows, columns]
                dpadded[:, cs, rows, columns] += np.einsum("nk,kcae->ncae", slope, w[ks])
                dw[ks] += np.einsum("nk,ncae->kcae", slope, window)
    ph, pw = padding
    return dpadded[:, :, ph : ph + h, pw : pw + wide], dw


def _backward(arrays: Arrays, settings: Settings) -> dict[str, Expected]:
    dy, x, w = arrays["dy"], arrays["x"], arrays["w"]
    assert dy is not None
    assert x is not None
    assert w is not None
    dx, dw = _gradients(dy, x, w, settings)
    dx_terms, dw_terms = _gradients(np.abs(dy), np.abs(x), np.abs(w), settings)
    return {
        "dx": Expected(dx, together(dx_terms, dy, w)),
        "dw": Expected(dw, together(dw_terms, dy, x)),
        "db": Expected(dy.sum((0, 2, 3)), np.abs(dy).sum((0, 2, 3))),
    }


def draw(integer: Integer) -> ConvGeometry:
    """Draw a small geometry."""
    return conv_geometry(integer, max_batch=3, max_channels=3, max_groups=2, beyond=True)


def _shapes(g: ConvGeometry) -> dict[str, tuple[int, ...]]:
    return {"x": g.x_shape, "w": g.w_shape, "b": (g.c_out,)}


def _backward_shapes(g: ConvGeometry) -> dict[str, tuple[int, ...]]:
    return {"dy": g.y_shape, "x": g.x_shape, "w": g.w_shape}


def _arguments(case: Case) -> tuple[Arrays, Settings]:
    return dict(case.arrays), dict(case.geometry.kwargs)


def telling(g: ConvGeometry) -> bool:
    """Return whether no two numbers that could be mistaken for each other are equal."""
    pairs = [g.size, g.kernel]
    pairs += [p for p, least in ((g.stride, 1), (g.padding, 0), (g.dilation, 1)) if max(p) > least]
    several = g.batch > 1 and g.c_in > g.groups and g.c_out > g.groups and min(g.out_size) > 1
    return several and g.c_in != g.c_out and all(a != b for a, b in pairs)


def _family(geometry: Any) -> str:
    family: str = geometry.family()
    return family


CONV2D = Operation(
    name="conv2d",
    arguments=("x", "w", "b"),
    settings=SETTINGS,
    outputs=("y",),
    rules={"y": "y[n,k,i,j] = b[k] + Σ_{c,a,e} x[n,c,i·sh+a·dh−ph,j·sw+e·dw−pw]·w[k,c,a,e]"},
    families=FAMILIES,
    geometry=ConvGeometry,
    draw=draw,
    family=_family,
    shapes=_shapes,
    call_arguments=_arguments,
    oracle=_forward,
    exact=False,
    telling=telling,
    optional=("b",),
)

CONV2D_BACKWARD = Operation(
    name="conv2d_backward",
    arguments=("dy", "x", "w"),
    settings=SETTINGS,
    outputs=("dx", "dw", "db"),
    rules={
        "dx": "dx[n,c,i·sh+a·dh−ph,j·sw+e·dw−pw] += dy[n,k,i,j]·w[k,c,a,e]",
        "dw": "dw[k,c,a,e] = Σ_{n,i,j} dy[n,k,i,j]·x[n,c,i·sh+a·dh−ph,j·sw+e·dw−pw]",
        "db": "db[k] = Σ_{n,i,j} dy[n,k,i,j]",
    },
    families=FAMILIES,
    geometry=ConvGeometry,
    draw=draw,
    family=_family,
    shapes=_backward_shapes,
    call_arguments=_arguments,
    oracle=_backward,
    exact=False,
    telling=telling,
)
