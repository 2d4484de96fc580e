"""Geometries of convolution, pooling and batch norm as small values: no Hypothesis needed here.

They work out the shapes on their own (not through `minideconv.ops.geometry`), so that a test which
compares shapes compares two derivations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

__all__ = [
    "BatchNormGeometry",
    "ConvGeometry",
    "Pair",
    "PatchGeometry",
    "PoolGeometry",
    "TransposedGeometry",
]

Pair = tuple[int, int]


def _extent(kernel: int, dilation: int) -> int:
    """Return the number of pixels from the first to the last tap."""
    return dilation * (kernel - 1) + 1


def _free(geometry: ConvGeometry | PoolGeometry | PatchGeometry) -> Pair:
    """Return how many pixels the window can move over the padded input, (down, right)."""
    g = geometry
    down, right = (
        n + 2 * p - _extent(k, d)
        for n, p, k, d in zip(g.size, g.padding, g.kernel, g.dilation, strict=True)
    )
    return down, right


class _Geometry:
    __slots__ = ()

    def code(self) -> str:
        """One line that can be pasted to build this geometry again."""
        return repr(self)


@dataclass(frozen=True, slots=True)
class _Planes(_Geometry):
    batch: int
    channels: int
    size: Pair

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        """Shape of the input, (N, C, H, W)."""
        return (self.batch, self.channels, *self.size)


@dataclass(frozen=True, slots=True)
class ConvGeometry(_Geometry):
    """Everything but the numbers of one convolution and of its transpose.

    ``output_padding`` is what `conv_transpose2d` needs to come back to ``size``; None (the
    default) works it out: the pixels that no window reached,
    ``(size + 2 padding - extent) % stride``.

    Examples
    --------
    >>> g = ConvGeometry(1, 2, 3, size=(5, 6), kernel=(3, 2), stride=(2, 3))
    >>> g.x_shape, g.w_shape, g.y_shape, g.output_padding
    ((1, 2, 5, 6), (3, 2, 3, 2), (1, 3, 2, 2), (0, 1))
    """

    batch: int
    c_in: int
    c_out: int
    size: Pair
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    output_padding: Pair = None  # type: ignore[assignment]  # filled below

    derived: ClassVar[tuple[str, ...]] = ("output_padding",)

    def __post_init__(self) -> None:
        free = _free(self)
        if min(free) < 0:
            raise ValueError(f"ConvGeometry: the kernel does not fit into the padded input: {self}")
        if self.c_in % self.groups or self.c_out % self.groups:
            raise ValueError(
                f"ConvGeometry: groups={self.groups} must divide c_in={self.c_in} "
                f"and c_out={self.c_out}"
            )
        if self.output_padding is None:
            rest = (free[0] % self.stride[0], free[1] % self.stride[1])
            object.__setattr__(self, "output_padding", rest)

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        """Shape of the input, (N, C_in, H, W)."""
        return (self.batch, self.c_in, *self.size)

    @property
    def w_shape(self) -> tuple[int, int, int, int]:
        """Shape of the weight, (C_out, C_in / groups, kh, kw), for conv2d and for its transpose."""
        return (self.c_out, self.c_in // self.groups, *self.kernel)

    @property
    def out_size(self) -> Pair:
        """(H', W') of the convolution."""
        h, w = (free // s + 1 for free, s in zip(_free(self), self.stride, strict=True))
        return h, w

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        """Shape of the output, (N, C_out, H', W')."""
        return (self.batch, self.c_out, *self.out_size)

    @property
    def transposed_size(self) -> Pair:
        """(H, W) that `conv_transpose2d` makes of an input of ``out_size``."""
        h, w = (
            (m - 1) * s + _extent(k, d) - 2 * p + r
            for m, s, k, d, p, r in zip(
                self.out_size,
                self.stride,
                self.kernel,
                self.dilation,
                self.padding,
                self.output_padding,
                strict=True,
            )
        )
        return h, w

    @property
    def terms(self) -> int:
        """Number of products summed in one output pixel."""
        return self.c_in // self.groups * self.kernel[0] * self.kernel[1]

    @property
    def kwargs(self) -> dict[str, Any]:
        """Keyword arguments of `conv2d`."""
        names = ("stride", "padding", "dilation", "groups")
        return {name: getattr(self, name) for name in names}

    @property
    def transpose_kwargs(self) -> dict[str, Any]:
        """Keyword arguments of `conv_transpose2d` that bring ``y_shape`` back to ``x_shape``."""
        return {**self.kwargs, "output_padding": self.output_padding}

    def family(self) -> str:
        """Name the hardest feature of the geometry, under which a mistake would be reported."""
        if self.groups > 1:
            return "groups"
        if max(self.dilation) > 1:
            return "dilation"
        if max(self.stride) > 1:
            return "stride-remainder" if any(self.output_padding) else "stride-exact"
        return "padding" if any(self.padding) else "unit-stride"


@dataclass(frozen=True, slots=True)
class TransposedGeometry(_Geometry):
    """Everything but the numbers of one transposed convolution, seen from its own input.

    ``output_padding`` is anything legal, 0 .. max(stride, dilation) - 1 along each axis; a
    `ConvGeometry` has only the one that brings its own transpose back.

    Examples
    --------
    >>> g = TransposedGeometry(1, 2, 3, size=(2, 3), kernel=(3, 2), stride=(2, 3), padding=(1, 0))
    >>> g.x_shape, g.w_shape, g.y_shape
    ((1, 2, 2, 3), (2, 3, 3, 2), (1, 3, 3, 8))
    """

    batch: int
    c_in: int
    c_out: int
    size: Pair
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    output_padding: Pair = (0, 0)
    groups: int = 1
    dilation: Pair = (1, 1)

    def __post_init__(self) -> None:
        for extra, s, d in zip(self.output_padding, self.stride, self.dilation, strict=True):
            if not 0 <= extra < max(s, d):
                raise ValueError(
                    f"TransposedGeometry: output_padding={self.output_padding} must be in "
                    f"0 .. max(stride, dilation) - 1 along each axis: {self}"
                )
        if min(self.out_size) < 1:
            raise ValueError(f"TransposedGeometry: the padding crops everything: {self}")
        if self.c_in % self.groups or self.c_out % self.groups:
            raise ValueError(
                f"TransposedGeometry: groups={self.groups} must divide c_in={self.c_in} "
                f"and c_out={self.c_out}"
            )

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        """Shape of the input, (N, C_in, H, W)."""
        return (self.batch, self.c_in, *self.size)

    @property
    def w_shape(self) -> tuple[int, int, int, int]:
        """Shape of the weight, (C_in, C_out / groups, kh, kw)."""
        return (self.c_in, self.c_out // self.groups, *self.kernel)

    @property
    def out_size(self) -> Pair:
        """(H', W') of the result."""
        rows, columns = (
            (n - 1) * s + _extent(k, d) - 2 * p + extra
            for n, s, k, d, p, extra in zip(
                self.size,
                self.stride,
                self.kernel,
                self.dilation,
                self.padding,
                self.output_padding,
                strict=True,
            )
        )
        return rows, columns

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        """Shape of the result, (N, C_out, H', W')."""
        return (self.batch, self.c_out, *self.out_size)

    @property
    def kwargs(self) -> dict[str, Any]:
        """Keyword arguments of `conv_transpose2d`."""
        names = ("stride", "padding", "output_padding", "groups", "dilation")
        return {name: getattr(self, name) for name in names}

    def family(self) -> str:
        """Name the hardest feature of the geometry, under which a mistake would be reported."""
        if self.groups > 1:
            return "groups"
        if max(self.dilation) > 1:
            return "dilation"
        if any(self.output_padding):
            return "output-padding"
        if max(self.stride) > 1:
            return "stride"
        return "padding" if any(self.padding) else "unit-stride"


@dataclass(frozen=True, slots=True)
class PatchGeometry(_Planes):
    """Everything but the numbers of one `im2col` or `col2im`.

    Examples
    --------
    >>> g = PatchGeometry(1, 2, size=(5, 6), kernel=(3, 2), stride=(2, 3))
    >>> g.x_shape, g.columns_shape
    ((1, 2, 5, 6), (1, 12, 4))
    """

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)

    def __post_init__(self) -> None:
        if min(_free(self)) < 0:
            raise ValueError(
                f"PatchGeometry: the kernel does not fit into the padded input: {self}"
            )

    @property
    def out_size(self) -> Pair:
        """(H', W'): how many windows there are along each axis."""
        rows, columns = (free // s + 1 for free, s in zip(_free(self), self.stride, strict=True))
        return rows, columns

    @property
    def columns_shape(self) -> tuple[int, int, int]:
        """Shape of the columns, (N, C kh kw, H' W')."""
        (kh, kw), (rows, columns) = self.kernel, self.out_size
        return self.batch, self.channels * kh * kw, rows * columns

    @property
    def kwargs(self) -> dict[str, Any]:
        """Keyword arguments of `im2col`."""
        names = ("stride", "padding", "dilation")
        return {"kernel_size": self.kernel} | {name: getattr(self, name) for name in names}

    def family(self) -> str:
        """Name the hardest feature of the geometry, under which a mistake would be reported."""
        if max(self.dilation) > 1:
            return "dilation"
        if max(self.stride) > 1:
            rest = any(free % s for free, s in zip(_free(self), self.stride, strict=True))
            return "stride-remainder" if rest else "stride-exact"
        return "padding" if any(self.padding) else "unit-stride"


@dataclass(frozen=True, slots=True)
class PoolGeometry(_Planes):
    """Everything but the numbers of one pooling.

    Examples
    --------
    >>> g = PoolGeometry(1, 2, size=(5, 6), kernel=(3, 2), stride=(2, 2), ceil_mode=True)
    >>> g.x_shape, g.y_shape, g.overlaps
    ((1, 2, 5, 6), (1, 2, 2, 3), True)
    """

    kernel: Pair
    stride: Pair = None  # type: ignore[assignment]  # the kernel, as in the functions
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    ceil_mode: bool = False

    def __post_init__(self) -> None:
        if self.stride is None:
            object.__setattr__(self, "stride", self.kernel)

    @property
    def out_size(self) -> Pair:
        """(H', W') of the pooling."""
        sizes = []
        for n, p, s, free in zip(self.size, self.padding, self.stride, _free(self), strict=True):
            windows = free // s + 1
            # ceil_mode keeps a last, partial window only if it starts before the right padding.
            if self.ceil_mode and free % s and windows * s < n + p:
                windows += 1
            sizes.append(windows)
        return sizes[0], sizes[1]

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        """Shape of the output, (N, C, H', W')."""
        return (self.batch, self.channels, *self.out_size)

    @property
    def overlaps(self) -> bool:
        """Whether two windows can share a pixel."""
        return any(
            _extent(k, d) > s
            for k, d, s in zip(self.kernel, self.dilation, self.stride, strict=True)
        )

    @property
    def kwargs(self) -> dict[str, Any]:
        """Keyword arguments of `max_pool2d`."""
        names = ("stride", "padding", "dilation", "ceil_mode")
        return {"kernel_size": self.kernel} | {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class BatchNormGeometry(_Planes):
    """Shape of one batch-norm call, with at least two values per channel."""

    def __post_init__(self) -> None:
        if self.count < 2:
            raise ValueError(f"BatchNormGeometry: one value per channel has no variance: {self}")

    @property
    def count(self) -> int:
        """Number of values that share a mean."""
        return self.batch * self.size[0] * self.size[1]
