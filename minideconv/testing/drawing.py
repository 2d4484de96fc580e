"""Geometries built forwards from any source of integers: every one is legal, none is rejected.

One axis is built from what it should *give* (the number of windows) to what it needs (the size of
the input). The source is a function ``integer(low, high)`` that returns an integer of that range,
both ends included: Hypothesis draws it in `minideconv.testing.strategies`, a random generator in
`minideconv.testing.operations`, where Hypothesis is not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minideconv.testing.geometry import (
    BatchNormGeometry,
    ConvGeometry,
    Pair,
    PatchGeometry,
    PoolGeometry,
    TransposedGeometry,
)

__all__ = [
    "Integer",
    "batch_norm_geometry",
    "conv_geometry",
    "conv_transpose_geometry",
    "patch_geometry",
    "pool_geometry",
]

Integer = Callable[[int, int], int]
"""``integer(low, high)``: an integer of that range, both ends included."""

_Axis = tuple[int, int, int, int, int]  # size, kernel, stride, padding, dilation


def _boolean(integer: Integer) -> bool:
    return bool(integer(0, 1))


def _one_of(integer: Integer, choices: Sequence[int]) -> int:
    return choices[integer(0, len(choices) - 1)]


def _unlike(integer: Integer, low: int, high: int, other: int | None) -> int:
    """Draw an integer of the range that likes to differ from `other`."""
    pick = integer(low, high)
    if other == pick and high > low and _boolean(integer):
        pick = pick + 1 if pick < high else low
    return pick


def _hits(size: int, kernel: int, stride: int, padding: int, dilation: int, out: int) -> list[bool]:
    """Return for each window whether any of its taps meets the input (not only the padding)."""
    return [
        any(0 <= o * stride + t * dilation - padding < size for t in range(kernel))
        for o in range(out)
    ]


def _axis(
    integer: Integer,
    avoid: _Axis | None,
    *,
    max_kernel: int,
    max_stride: int,
    max_dilation: int,
    max_out: int,
    pooling: bool,
    max_padding: int | None = None,
    overlap: bool | None = None,
    beyond: bool = False,
) -> _Axis:
    """Draw one axis: kernel, dilation, stride, windows, remainder, then padding; so the size.

    `avoid` is the other axis: this one likes to differ from it, because square geometries hide
    swapped axes. It is a preference (drawn, so it can shrink), not a rule. With `pooling` the
    padding is at most half the kernel and every window meets the input; else one window does.
    With `beyond` some windows may lie in the padding altogether.
    """
    kernel = _unlike(integer, 2 if overlap else 1, max_kernel, avoid and avoid[1])
    dilation = _unlike(integer, 1, max_dilation, avoid and avoid[4]) if kernel > 1 else 1
    extent = dilation * (kernel - 1) + 1
    low, high = 1, min(max_stride, extent - 1) if overlap else max_stride
    if overlap is False:
        low, high = extent, extent + max_stride - 1
    stride = _unlike(integer, low, high, avoid and avoid[2])
    out = integer(1, max_out)
    rest = integer(0, stride - 1)  # pixels no window reaches: the output_padding
    full = (out - 1) * stride + extent + rest  # = size + 2 padding
    most = min(kernel // 2 if pooling else extent - 1 + beyond, (full - 1) // 2)
    if max_padding is not None:
        most = min(most, max_padding)
    enough = all if pooling else any
    paddings = [  # 0 is always among them
        p for p in range(most + 1) if enough(_hits(full - 2 * p, kernel, stride, p, dilation, out))
    ]
    padding = _one_of(integer, paddings)
    return full - 2 * padding, kernel, stride, padding, dilation


def _axes(integer: Integer, **limits: Any) -> dict[str, Pair]:
    """Draw height and width within the limits of `_axis`; return them as fields of a geometry."""
    height = _axis(integer, None, **limits)
    width = _axis(integer, height, **limits)
    names = ("size", "kernel", "stride", "padding", "dilation")
    return dict(zip(names, zip(height, width, strict=True), strict=True))


def conv_geometry(
    integer: Integer,
    *,
    max_out: int = 3,
    max_kernel: int = 3,
    max_stride: int = 3,
    max_dilation: int = 2,
    max_padding: int | None = None,
    max_batch: int = 2,
    max_channels: int = 3,
    max_groups: int = 3,
    beyond: bool = False,
) -> ConvGeometry:
    """Draw a `ConvGeometry` within the limits that `conv_geometries` explains.

    With `beyond` the padding may be larger than the kernel's reach.
    """
    # Whole features are switched off now and then, so that the simple families occur too.
    strides = max_stride if integer(0, 3) else 1
    dilations = max_dilation if _boolean(integer) else 1
    groups = integer(1, max_groups) if _boolean(integer) else 1
    axes = _axes(
        integer,
        max_kernel=max_kernel,
        max_stride=strides,
        max_dilation=dilations,
        max_out=max_out,
        max_padding=max_padding,
        pooling=False,
        beyond=beyond,
    )
    inner = integer(1, max_channels)
    outer = integer(1, max_channels)
    if inner == outer and max_channels > 1 and _boolean(integer):
        outer = outer % max_channels + 1
    return ConvGeometry(
        batch=integer(1, max_batch),
        c_in=groups * inner,
        c_out=groups * outer,
        groups=groups,
        **axes,
    )


def conv_transpose_geometry(
    integer: Integer,
    *,
    max_size: int = 3,
    max_kernel: int = 3,
    max_stride: int = 3,
    max_dilation: int = 2,
    max_batch: int = 2,
    max_channels: int = 3,
    max_groups: int = 3,
    beyond: bool = False,
) -> TransposedGeometry:
    """Draw a `TransposedGeometry` within the limits that `conv_transpose_geometries` explains.

    With `beyond` the padding may be larger than the kernel's reach.
    """
    strides = max_stride if integer(0, 3) else 1
    dilations = max_dilation if _boolean(integer) else 1
    extras = _boolean(integer)
    groups = integer(1, max_groups) if _boolean(integer) else 1
    axes: list[tuple[int, ...]] = []
    for _ in range(2):
        other = axes[0] if axes else (None,) * 6
        kernel = _unlike(integer, 1, max_kernel, other[1])
        dilation = _unlike(integer, 1, dilations, other[5]) if kernel > 1 else 1
        stride = _unlike(integer, 1, strides, other[2])
        size = _unlike(integer, 1, max_size, other[0])
        extra = _unlike(integer, 0, max(stride, dilation) - 1, other[4]) if extras else 0
        extent = dilation * (kernel - 1) + 1
        full = (size - 1) * stride + extent + extra  # = size of the result + 2 padding
        padding = integer(0, min(extent - 1 + beyond, (full - 1) // 2))
        axes.append((size, kernel, stride, padding, extra, dilation))
    inner = integer(1, max_channels)
    names = ("size", "kernel", "stride", "padding", "output_padding", "dilation")
    pairs: dict[str, Any] = dict(zip(names, zip(*axes, strict=True), strict=True))
    return TransposedGeometry(
        batch=integer(1, max_batch),
        c_in=groups * inner,
        c_out=groups * _unlike(integer, 1, max_channels, inner),
        groups=groups,
        **pairs,
    )


def patch_geometry(
    integer: Integer,
    *,
    max_out: int = 3,
    max_kernel: int = 3,
    max_stride: int = 3,
    max_dilation: int = 2,
    max_batch: int = 2,
    max_channels: int = 3,
) -> PatchGeometry:
    """Draw a `PatchGeometry`."""
    axes = _axes(
        integer,
        max_kernel=max_kernel,
        max_stride=max_stride if integer(0, 3) else 1,
        max_dilation=max_dilation if _boolean(integer) else 1,
        max_out=max_out,
        pooling=False,
    )
    return PatchGeometry(batch=integer(1, max_batch), channels=integer(1, max_channels), **axes)


def pool_geometry(
    integer: Integer,
    *,
    max_out: int = 3,
    max_kernel: int = 3,
    max_stride: int = 3,
    max_dilation: int = 2,
    max_batch: int = 2,
    max_channels: int = 3,
    overlap: bool | None = None,
    ceil_mode: bool | None = None,
) -> PoolGeometry:
    """Draw a `PoolGeometry` within the limits that `pool_geometries` explains."""
    ceil = _boolean(integer) if ceil_mode is None else ceil_mode
    axes = _axes(
        integer,
        max_kernel=max_kernel,
        max_stride=max_stride,
        max_dilation=max_dilation,
        max_out=max_out,
        overlap=overlap,
        pooling=True,
    )
    return PoolGeometry(
        batch=integer(1, max_batch),
        channels=integer(1, max_channels),
        ceil_mode=ceil,
        **axes,
    )


def batch_norm_geometry(
    integer: Integer, *, max_batch: int = 4, max_channels: int = 3, max_size: int = 4
) -> BatchNormGeometry:
    """Draw a `BatchNormGeometry`: at least two values per channel."""
    height, width = integer(1, max_size), integer(1, max_size)
    least = 2 if height * width == 1 else 1
    return BatchNormGeometry(
        batch=integer(least, max_batch), channels=integer(1, max_channels), size=(height, width)
    )
