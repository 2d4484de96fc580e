"""Switches: which pixel of its window each maximum of a max pooling came from.

    max_pool2d    (N, C, H, W) -> y, switches of shape (N, C, H', W')

A switch is an index ``row * W + column`` into the H x W plane that was pooled, and the plane's
shape is stored with it, so unpooling needs no output size and cannot be misaligned. Other libraries
write the same fact differently; `Switches` reads and writes three encodings:

    window    ``i * kw + j``, the tap inside the window          Chainer
    plane     ``row * W + column``                               PyTorch, Caffe, tinygrad
    tensor    ``((n * C + c) * H + row) * W + column``           ONNX MaxPool

Switches that a pooling made hold its window and the taps only, one byte a switch: comparing taps is
how unpooling works (see `ops.unpooling`), and the indices are derived when they are read.

Source: Zeiler, Fergus, "Visualizing and understanding convolutional networks" (2014), section 2.1,
for the name and the use; Noh, Hong, Han, "Learning deconvolution network for semantic segmentation"
(2015), section 3.2.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.backend import Array, Device, device_of, to_device
from minideconv.backend.dispatch import device_guard
from minideconv.ops.geometry import IntPair, Pair, Window
from minideconv.ops.pool_window import pool_window
from minideconv.ops.switch_numbers import (
    check_indices,
    check_plane_shape,
    check_range,
    index_dtype,
    indices_from_taps,
    plane_starts,
    refuse,
    rows_and_columns,
    tap_dtype,
    taps_from_indices,
)

__all__ = ["Switches"]


class Switches:
    """Where the maxima of a pooling came from; immutable.

    Parameters
    ----------
    indices : integer array, shape (N, C, H', W')
        Index ``row * W + column`` of each maximum in its plane.
    plane_shape : (int, int)
        Height and width of the plane that was pooled, in pixels.
    kernel_size, stride, padding, dilation : int or (int, int), optional
        The pooling that made the indices, if known. Every index must then lie in its window.
        Without it `to_window` is not available, and unpooling is slower.

    Raises
    ------
    ValueError, TypeError
        If the indices are not integers, leave the plane or leave their windows.

    Examples
    --------
    >>> from minideconv.ops import max_pool2d
    >>> y, switches = max_pool2d(
    ...     np.array([[[[1.0, 5.0, 2.0, 0.0], [3.0, 4.0, 9.0, 7.0]]]]), 2, return_switches=True
    ... )
    >>> switches
    Switches((1, 1, 1, 2) into planes of 2 x 4)
    >>> switches.indices, switches.to_window()
    (array([[[[1, 6]]]], dtype=int32), array([[[[1, 2]]]], dtype=int32))
    """

    __slots__ = ("_indices", "_plane_shape", "_taps", "_window", "_winners")

    @device_guard
    def __init__(
        self,
        indices: Array,
        plane_shape: tuple[int, int],
        kernel_size: IntPair | None = None,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        dilation: IntPair = 1,
    ) -> None:
        plane = check_plane_shape(plane_shape)
        check_indices(indices, "indices")
        check_range(indices, plane[0] * plane[1], f"the {plane[0]} x {plane[1]} plane")
        window = None
        if kernel_size is not None:
            pooling = (kernel_size, stride, padding, dilation)
            window = pool_window("Switches", plane, *pooling, out=indices.shape[2:])
        elif (stride, padding, dilation) != (None, 0, 1):
            raise ValueError(
                "Switches: stride, padding or dilation is given without kernel_size; "
                "give the whole pooling or nothing of it"
            )
        indices = indices.astype(index_dtype(plane), copy=True)
        taps = None if window is None else taps_from_indices(indices, window)
        self._fill(plane, window, indices, taps)

    def _fill(self, plane: Pair, window: Window | None, indices: Any, taps: Any) -> None:
        """Set everything; `indices` may be None until they are read, `taps` without a window."""
        self._plane_shape, self._window = plane, window
        self._indices, self._taps = indices, taps
        self._winners: Array | None = None  # set by `ops.unpooling`

    @classmethod
    def _from_taps(cls, taps: Array, window: Window) -> Switches:
        """Wrap the taps that a pooling found, which need no check."""
        switches = cls.__new__(cls)
        switches._fill(window.size, window, None, taps)
        return switches

    @property
    def taps(self) -> Array | None:
        """Taps ``i * kw + j`` as they are kept, one byte each; None without their pooling."""
        return self._taps

    def with_taps(self, taps: Array) -> Switches:
        """Return switches of the same pooling from the `taps` of others; they are not checked."""
        assert self._window is not None
        return Switches._from_taps(taps, self._window)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            raise AttributeError(
                f"Switches: {name} cannot be set; switches do not change once made"
            )
        object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        w = self._window
        pooling = () if w is None else (w.kernel, w.stride, w.padding, w.dilation)
        return Switches, (self.indices, self.plane_shape, *pooling)

    def __repr__(self) -> str:
        height, width = self.plane_shape
        return f"Switches({self.shape} into planes of {height} x {width})"

    # --- what they are -----------------------------------------------------------------------

    @property
    def plane_shape(self) -> Pair:
        """Height and width of the plane that was pooled, in pixels."""
        return self._plane_shape

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape (N, C, H', W') of the pooled output."""
        return self._stored().shape

    @property
    @device_guard
    def indices(self) -> Array:
        """The switches as indices into the plane, int32 where the plane fits, otherwise int64."""
        if self._indices is None and self._window is not None:
            self._indices = indices_from_taps(self._taps, self._window)
        return self._indices

    @property
    def kernel_size(self) -> Pair | None:
        """Height and width of the window, or None for switches without their pooling."""
        return None if self._window is None else self._window.kernel

    @property
    def stride(self) -> Pair | None:
        """Step of the window, or None for switches without their pooling."""
        return None if self._window is None else self._window.stride

    @property
    def padding(self) -> Pair | None:
        """Padding of the pooled plane, or None for switches without their pooling."""
        return None if self._window is None else self._window.padding

    @property
    def dilation(self) -> Pair | None:
        """Distance of the window's taps, or None for switches without their pooling."""
        return None if self._window is None else self._window.dilation

    @property
    def device(self) -> Device:
        """Where the switches are stored."""
        return device_of(self._stored())

    def to(self, device: Device | str) -> Switches:
        """Return the same switches on `device`."""
        moved = Switches.__new__(Switches)
        indices = None if self._indices is None else to_device(self._indices, device)
        taps = None if self._taps is None else to_device(self._taps, device)
        moved._fill(self.plane_shape, self._window, indices, taps)
        return moved

    def _stored(self) -> Array:
        return self._indices if self._taps is None else self._taps

    # --- the three encodings -----------------------------------------------------------------

    @device_guard
    def to_plane(self) -> Array:
        """Return indices into the plane as int64: PyTorch's and Caffe's encoding."""
        return self.indices.astype(np.int64)

    @classmethod
    def from_plane(
        cls, indices: Array, plane_shape: tuple[int, int], *pooling: Any, **options: Any
    ) -> Switches:
        """Read indices into the plane; the same as calling `Switches`."""
        return cls(indices, plane_shape, *pooling, **options)

    @device_guard
    def to_window(self) -> Array:
        """Return taps ``i * kw + j`` inside each window as int32: Chainer's encoding.

        Raises
        ------
        ValueError
            If the switches were made without their pooling.
        """
        if self._taps is None:
            raise ValueError(
                "Switches.to_window: these switches were made from plane indices alone; "
                "give Switches.from_plane the pooling's kernel_size, stride, padding and dilation"
            )
        return self._taps.astype(np.int32)

    @classmethod
    @device_guard
    def from_window(
        cls,
        taps: Array,
        plane_shape: tuple[int, int],
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        dilation: IntPair = 1,
    ) -> Switches:
        """Read taps ``i * kw + j`` inside each window, with the pooling that they belong to.

        Raises
        ------
        ValueError, TypeError
            If a tap is not in the window, or is in the padding.
        """
        plane = check_plane_shape(plane_shape)
        check_indices(taps, "taps")
        pooling = (kernel_size, stride, padding, dilation)
        window = pool_window("Switches", plane, *pooling, out=taps.shape[2:])
        kh, kw = window.kernel
        check_range(taps, kh * kw, f"the {kh} x {kw} window")
        rows, columns = rows_and_columns(taps, window)
        outside = (rows < 0) | (rows >= plane[0]) | (columns < 0) | (columns >= plane[1])
        refuse(outside, taps, "taps", f"lies outside the {plane[0]} x {plane[1]} plane")
        return cls._from_taps(taps.astype(tap_dtype(window)), window)

    @device_guard
    def to_tensor(self, column_major: bool = False) -> Array:
        """Return indices into the whole (N, C, H, W) tensor as int64: ONNX MaxPool's encoding.

        `column_major` is ONNX's ``storage_order=1``: the plane is counted down its columns.
        """
        height, width = self.plane_shape
        plane = self.to_plane()
        if column_major:
            plane = plane % width * height + plane // width
        return plane + plane_starts(plane, height * width)

    @classmethod
    @device_guard
    def from_tensor(
        cls,
        indices: Array,
        plane_shape: tuple[int, int],
        kernel_size: IntPair | None = None,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        dilation: IntPair = 1,
        column_major: bool = False,
    ) -> Switches:
        """Read indices into the whole (N, C, H, W) tensor, ONNX's encoding.

        Raises
        ------
        ValueError, TypeError
            If an index points into another image or channel than its own.
        """
        height, width = check_plane_shape(plane_shape)
        check_indices(indices, "indices")
        plane = indices.astype(np.int64) - plane_starts(indices, height * width)
        outside = (plane < 0) | (plane >= height * width)
        refuse(outside, indices, "indices", "points out of the plane of its own image and channel")
        if column_major:
            plane = plane % height * width + plane // height
        return cls(plane, plane_shape, kernel_size, stride, padding, dilation)
