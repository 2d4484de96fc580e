"""conv_transpose2d and its backward: naive loops, formulas, families.

    x (N, C, H, W), w (C, K / groups, kh, kw), b (K,)  ->  y (N, K, H', W')
    H' = (H - 1) sh - 2 ph + dh (kh - 1) + rh + 1,  W' alike, with r = output_padding

    y[n, k, i sh + a dh - ph, j sw + e dw - pw] += x[n, c, i, j] w[c, k, a, e],  then y += b[k]

Every pixel of the input stamps the kernel, scaled, onto a canvas; what overlaps adds up; the
padding is cropped off all four sides of the canvas. ``output_padding`` makes the canvas larger at
the bottom and right; it adds no zeros to the result, where stamps reach there.
Source: Dumoulin and Visin, A guide to convolution arithmetic for deep learning, 2016, chapter 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.testing.drawing import Integer, conv_transpose_geometry
from minideconv.testing.geometry import Pair, TransposedGeometry
from minideconv.testing.operations.conv import group_channels, pad, taps, together
from minideconv.testing.operations.operation import (
    Array,
    Arrays,
    Case,
    Expected,
    Operation,
    Settings,
)

__all__ = ["CONV_TRANSPOSE2D", "CONV_TRANSPOSE2D_BACKWARD", "FAMILIES"]

FAMILIES = ("unit-stride", "padding", "stride", "output-padding", "dilation", "groups")
SETTINGS = ("stride", "padding", "output_padding", "groups", "dilation")


def canvas_size(size: Pair, kernel: Pair, stride: Pair, extra: Pair, dilation: Pair) -> Pair:
    """Return (height, width) of the canvas that the stamps are added to, before the crop."""
    rows, columns = (
        (n - 1) * s + d * (k - 1) + 1 + r
        for n, k, s, r, d in zip(size, kernel, stride, extra, dilation, strict=True)
    )
    return rows, columns


def _stamped(x: Array, w: Array, settings: Settings) -> Array:
    stride, padding, extra, groups, dilation = (settings[name] for name in SETTINGS)
    (n, c, *size), (_, inner, *kernel) = x.shape, w.shape
    shape = canvas_size((size[0], size[1]), (kernel[0], kernel[1]), stride, extra, dilation)
    canvas = np.zeros((n, inner * groups, *shape))
    for i in range(size[0]):
        for j in range(size[1]):
            rows, columns = taps(i, j, (kernel[0], kernel[1]), stride, dilation)
            for cs, ks in group_channels(groups, c, inner * groups):
                stamp = np.einsum("nc,ckae->nkae", x[:, cs, i, j], w[cs])
                canvas[:, ks, rows, columns] += stamp
    (ph, pw), (height, width) = padding, shape
    return canvas[:, :, ph : height - ph, pw : width - pw]


def _forward(arrays: Arrays, settings: Settings) -> dict[str, Expected]:
    x, w, b = arrays["x"], arrays["w"], arrays["b"]
    assert x is not None
    assert w is not None
    bias = np.zeros((1, 1, 1)) if b is None else b[:, None, None]
    return {
        "y": Expected(
            _stamped(x, w, settings) + bias,
            together(_stamped(np.abs(x), np.abs(w), settings) + np.abs(bias), x, w),
        )
    }


def _gradients(dy: Array, x: Array, w: Array, settings: Settings) -> tuple[Array, Array]:
    """Give each factor of each product of the forward sum the other one times dy."""
    stride, padding, _, groups, dilation = (settings[name] for name in SETTINGS)
    (_, c, *size), (_, inner, *kernel) = x.shape, w.shape
    canvas = pad(dy, padding)
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    for i in range(size[0]):
        for j in range(size[1]):
            rows, columns = taps(i, j, (kernel[0], kernel[1]), stride, dilation)
            for cs, ks in group_channels(groups, c, inner * groups):
                slope = canvas[:, ks, rows, columns]
                dx[:, cs, i, j] = np.einsum("nkae,ckae->nc", slope, w[cs])
                dw[cs] += np.einsum("nc,nkae->ckae", x[:, cs, i, j], slope)
    return dx, dw


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


def draw(integer: Integer) -> TransposedGeometry:
    """Draw a small geometry."""
    return conv_transpose_geometry(integer, max_batch=3, max_channels=3, max_groups=2, beyond=True)


def _shapes(g: TransposedGeometry) -> dict[str, tuple[int, ...]]:
    return {"x": g.x_shape, "w": g.w_shape, "b": (g.c_out,)}


def _backward_shapes(g: TransposedGeometry) -> dict[str, tuple[int, ...]]:
    return {"dy": g.y_shape, "x": g.x_shape, "w": g.w_shape}


def _arguments(case: Case) -> tuple[Arrays, Settings]:
    return dict(case.arrays), dict(case.geometry.kwargs)


def telling(g: TransposedGeometry) -> bool:
    """Return whether no two numbers that could be mistaken for each other are equal."""
    pairs = [g.size, g.kernel, g.out_size]
    pairs += [
        p
        for p, least in ((g.stride, 1), (g.padding, 0), (g.dilation, 1), (g.output_padding, 0))
        if max(p) > least
    ]
    several = g.batch > 1 and g.c_in > g.groups and g.c_out > g.groups
    return several and g.c_in != g.c_out and all(a != b for a, b in pairs)


def _family(geometry: Any) -> str:
    family: str = geometry.family()
    return family


_LARGE_OUTPUT_PADDING = TransposedGeometry(
    2, 2, 3, (2, 3), (3, 2), (1, 2), (1, 0), output_padding=(1, 2), dilation=(2, 3)
)
"""`output_padding` of a stride or more, which is legal with a dilation."""

CONV_TRANSPOSE2D = Operation(
    name="conv_transpose2d",
    arguments=("x", "w", "b"),
    settings=SETTINGS,
    outputs=("y",),
    rules={"y": "y[n,k,i·sh+a·dh−ph,j·sw+e·dw−pw] += x[n,c,i,j]·w[c,k,a,e], y += b[k]"},
    families=FAMILIES,
    geometry=TransposedGeometry,
    draw=draw,
    family=_family,
    shapes=_shapes,
    call_arguments=_arguments,
    oracle=_forward,
    exact=False,
    telling=telling,
    always=(_LARGE_OUTPUT_PADDING,),
    optional=("b",),
)

CONV_TRANSPOSE2D_BACKWARD = Operation(
    name="conv_transpose2d_backward",
    arguments=("dy", "x", "w"),
    settings=SETTINGS,
    outputs=("dx", "dw", "db"),
    rules={
        "dx": "dx[n,c,i,j] = Σ_{k,a,e} dy[n,k,i·sh+a·dh−ph,j·sw+e·dw−pw]·w[c,k,a,e]",
        "dw": "dw[c,k,a,e] = Σ_{n,i,j} x[n,c,i,j]·dy[n,k,i·sh+a·dh−ph,j·sw+e·dw−pw]",
        "db": "db[k] = Σ_{n,i,j} dy[n,k,i,j]",
    },
    families=FAMILIES,
    geometry=TransposedGeometry,
    draw=draw,
    family=_family,
    shapes=_backward_shapes,
    call_arguments=_arguments,
    oracle=_backward,
    exact=False,
    telling=telling,
    always=(_LARGE_OUTPUT_PADDING,),
)
