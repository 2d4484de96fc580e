"""Hypothesis strategies for geometries, built forwards: every draw is valid, none is rejected.

One axis is built from what it should *give* (the number of windows) to what it needs (the size of
the input), so no `assume` and no `filter` is needed. Values are not drawn here: draw `seeds()`
and call `minideconv.testing.values`, which makes failures shrink to the smallest geometry quickly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minideconv.testing.geometry import BatchNormGeometry, ConvGeometry, Pair, PoolGeometry

try:
    from hypothesis import event
    from hypothesis import strategies as st
except ImportError as error:  # pragma: no cover - depends on the environment
    raise ImportError(
        "minideconv.testing: the strategies need Hypothesis; pip install 'minideconv[test]'"
    ) from error

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

__all__ = ["batch_norm_geometries", "conv_geometries", "pool_geometries", "seeds"]

_Axis = tuple[int, int, int, int, int]  # size, kernel, stride, padding, dilation


def _hits(size: int, kernel: int, stride: int, padding: int, dilation: int, out: int) -> list[bool]:
    """Return for each window whether any of its taps meets the input (not only the padding)."""
    return [
        any(0 <= o * stride + t * dilation - padding < size for t in range(kernel))
        for o in range(out)
    ]


def _axis(
    draw: DrawFn,
    avoid: _Axis | None,
    *,
    max_kernel: int,
    max_stride: int,
    max_dilation: int,
    max_out: int,
    pooling: bool,
    max_padding: int | None = None,
    overlap: bool | None = None,
) -> _Axis:
    """Draw one axis: kernel, dilation, stride, windows, remainder, then padding; so the size.

    `avoid` is the other axis: this one likes to differ from it, because square geometries hide
    swapped axes. It is a preference (drawn, so it can shrink), not a rule. With `pooling` the
    padding is at most half the kernel and every window meets the input; else one window does.
    """

    def number(low: int, high: int, other: int | None) -> int:
        pick = draw(st.integers(low, high))
        if other == pick and high > low and draw(st.booleans()):
            pick = pick + 1 if pick < high else low
        return pick

    kernel = number(2 if overlap else 1, max_kernel, avoid and avoid[1])
    dilation = number(1, max_dilation, avoid and avoid[4]) if kernel > 1 else 1
    extent = dilation * (kernel - 1) + 1
    low, high = 1, min(max_stride, extent - 1) if overlap else max_stride
    if overlap is False:
        low, high = extent, extent + max_stride - 1
    stride = number(low, high, avoid and avoid[2])
    out = draw(st.integers(1, max_out))
    rest = draw(st.integers(0, stride - 1))  # pixels no window reaches: the output_padding
    full = (out - 1) * stride + extent + rest  # = size + 2 padding
    most = min(kernel // 2 if pooling else extent - 1, (full - 1) // 2)
    if max_padding is not None:
        most = min(most, max_padding)
    enough = all if pooling else any
    paddings = [  # 0 is always among them
        p for p in range(most + 1) if enough(_hits(full - 2 * p, kernel, stride, p, dilation, out))
    ]
    padding = draw(st.sampled_from(paddings))
    return full - 2 * padding, kernel, stride, padding, dilation


def _axes(draw: DrawFn, **limits: Any) -> dict[str, Pair]:
    """Draw height and width within the limits of `_axis`; return them as fields of a geometry."""
    height = _axis(draw, None, **limits)
    width = _axis(draw, height, **limits)
    names = ("size", "kernel", "stride", "padding", "dilation")
    return dict(zip(names, zip(height, width, strict=True), strict=True))


def conv_geometries(
    *,
    max_out: int = 3,
    max_kernel: int = 3,
    max_stride: int = 3,
    max_dilation: int = 2,
    max_padding: int | None = None,
    max_batch: int = 2,
    max_channels: int = 3,
    max_groups: int = 3,
) -> SearchStrategy[ConvGeometry]:
    """Strategy of `ConvGeometry`: stride, padding and dilation per axis, groups, remainders.

    Parameters
    ----------
    max_out, max_kernel, max_stride, max_dilation : int
        Largest number of windows, kernel size, stride and dilation on an axis (>= 1).
    max_padding : int, optional
        Largest padding; it never reaches the kernel's extent (a window of zeros tests nothing).
    max_batch, max_channels, max_groups : int
        Largest batch, channels *per group*, and number of groups (1: none).

    Returns
    -------
    SearchStrategy[ConvGeometry]
        ``output_padding`` of each brings `conv_transpose2d` back to the input size.
    """

    @st.composite
    def build(draw: DrawFn) -> ConvGeometry:
        # Whole features are switched off now and then, so that the simple families occur too.
        strides = max_stride if draw(st.integers(0, 3)) else 1
        dilations = max_dilation if draw(st.booleans()) else 1
        groups = draw(st.integers(1, max_groups)) if draw(st.booleans()) else 1

        axes = _axes(
            draw,
            max_kernel=max_kernel,
            max_stride=strides,
            max_dilation=dilations,
            max_out=max_out,
            max_padding=max_padding,
            pooling=False,
        )
        inner = draw(st.integers(1, max_channels))
        outer = draw(st.integers(1, max_channels))
        if inner == outer and max_channels > 1 and draw(st.booleans()):
            outer = outer % max_channels + 1
        geometry = ConvGeometry(
            batch=draw(st.integers(1, max_batch)),
            c_in=groups * inner,
            c_out=groups * outer,
            groups=groups,
            **axes,
        )
        event(f"conv: {geometry.family()}")
        return geometry

    return build()


def pool_geometries(
    *,
    max_out: int = 3,
    max_kernel: int = 3,
    max_stride: int = 3,
    max_dilation: int = 2,
    max_batch: int = 2,
    max_channels: int = 3,
    overlap: bool | None = None,
    ceil_mode: bool | None = None,
) -> SearchStrategy[PoolGeometry]:
    """Strategy of `PoolGeometry`: padding up to half the kernel, dilation, partial last windows.

    Parameters
    ----------
    max_out, max_kernel, max_stride, max_dilation, max_batch, max_channels : int
        As for `conv_geometries`.
    overlap : bool, optional
        True: kernel extent > stride on both axes, so windows share pixels; False: stride >= extent,
        so none do; None: anything.
    ceil_mode : bool, optional
        Fixed, or drawn when None.

    Returns
    -------
    SearchStrategy[PoolGeometry]
        Every window of each holds at least one pixel of the input.
    """

    @st.composite
    def build(draw: DrawFn) -> PoolGeometry:
        ceil = draw(st.booleans()) if ceil_mode is None else ceil_mode

        axes = _axes(
            draw,
            max_kernel=max_kernel,
            max_stride=max_stride,
            max_dilation=max_dilation,
            max_out=max_out,
            overlap=overlap,
            pooling=True,
        )
        geometry = PoolGeometry(
            batch=draw(st.integers(1, max_batch)),
            channels=draw(st.integers(1, max_channels)),
            ceil_mode=ceil,
            **axes,
        )
        event(f"pool: {'overlapping' if geometry.overlaps else 'disjoint'}, ceil_mode={ceil}")
        return geometry

    return build()


def batch_norm_geometries(
    *, max_batch: int = 4, max_channels: int = 3, max_size: int = 4
) -> SearchStrategy[BatchNormGeometry]:
    """Strategy of `BatchNormGeometry`: at least two values per channel."""

    @st.composite
    def build(draw: DrawFn) -> BatchNormGeometry:
        height = draw(st.integers(1, max_size))
        width = draw(st.integers(1, max_size))
        least = 2 if height * width == 1 else 1
        return BatchNormGeometry(
            batch=draw(st.integers(least, max_batch)),
            channels=draw(st.integers(1, max_channels)),
            size=(height, width),
        )

    return build()


def seeds() -> SearchStrategy[int]:
    """Strategy of seeds for `minideconv.testing.values`."""
    return st.integers(0, 2**16 - 1)
