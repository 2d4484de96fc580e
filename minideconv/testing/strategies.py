"""Hypothesis strategies for geometries, built forwards: every draw is valid, none is rejected.

No `assume` and no `filter` is needed (`minideconv.testing.drawing` says how). Values are not drawn
here: draw `seeds()` and call `minideconv.testing.values`, which makes failures shrink to the
smallest geometry quickly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minideconv.testing.drawing import (
    Integer,
    batch_norm_geometry,
    conv_geometry,
    conv_transpose_geometry,
    pool_geometry,
)
from minideconv.testing.geometry import (
    BatchNormGeometry,
    ConvGeometry,
    PoolGeometry,
    TransposedGeometry,
)

try:
    from hypothesis import event
    from hypothesis import strategies as st
except ImportError as error:  # pragma: no cover - depends on the environment
    raise ImportError(
        "minideconv.testing: the strategies need Hypothesis; pip install 'minideconv[test]'"
    ) from error

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

__all__ = [
    "batch_norm_geometries",
    "conv_geometries",
    "conv_transpose_geometries",
    "pool_geometries",
    "seeds",
]


def _integer(draw: DrawFn) -> Integer:
    return lambda low, high: draw(st.integers(low, high))


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
        geometry = conv_geometry(
            _integer(draw),
            max_out=max_out,
            max_kernel=max_kernel,
            max_stride=max_stride,
            max_dilation=max_dilation,
            max_padding=max_padding,
            max_batch=max_batch,
            max_channels=max_channels,
            max_groups=max_groups,
        )
        event(f"conv: {geometry.family()}")
        return geometry

    return build()


def conv_transpose_geometries(
    *,
    max_size: int = 3,
    max_kernel: int = 3,
    max_stride: int = 3,
    max_dilation: int = 2,
    max_batch: int = 2,
    max_channels: int = 3,
    max_groups: int = 3,
) -> SearchStrategy[TransposedGeometry]:
    """Strategy of `TransposedGeometry`: every legal output_padding, also without a stride.

    Parameters
    ----------
    max_size, max_kernel, max_stride, max_dilation : int
        Largest input size, kernel size, stride and dilation on an axis (>= 1). The padding never
        reaches the kernel's extent, and leaves something of the result.
    max_batch, max_channels, max_groups : int
        Largest batch, channels *per group*, and number of groups (1: none).

    Returns
    -------
    SearchStrategy[TransposedGeometry]
        A `ConvGeometry` reaches only the output_padding that comes back to its own input.
    """

    @st.composite
    def build(draw: DrawFn) -> TransposedGeometry:
        geometry = conv_transpose_geometry(
            _integer(draw),
            max_size=max_size,
            max_kernel=max_kernel,
            max_stride=max_stride,
            max_dilation=max_dilation,
            max_batch=max_batch,
            max_channels=max_channels,
            max_groups=max_groups,
        )
        event(f"conv_transpose: {geometry.family()}")
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
        geometry = pool_geometry(
            _integer(draw),
            max_out=max_out,
            max_kernel=max_kernel,
            max_stride=max_stride,
            max_dilation=max_dilation,
            max_batch=max_batch,
            max_channels=max_channels,
            overlap=overlap,
            ceil_mode=ceil_mode,
        )
        kind = "overlapping" if geometry.overlaps else "disjoint"
        event(f"pool: {kind}, ceil_mode={geometry.ceil_mode}")
        return geometry

    return build()


def batch_norm_geometries(
    *, max_batch: int = 4, max_channels: int = 3, max_size: int = 4
) -> SearchStrategy[BatchNormGeometry]:
    """Strategy of `BatchNormGeometry`: at least two values per channel."""

    @st.composite
    def build(draw: DrawFn) -> BatchNormGeometry:
        return batch_norm_geometry(
            _integer(draw), max_batch=max_batch, max_channels=max_channels, max_size=max_size
        )

    return build()


def seeds() -> SearchStrategy[int]:
    """Strategy of seeds for `minideconv.testing.values`."""
    return st.integers(0, 2**16 - 1)
