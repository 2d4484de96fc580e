"""Mistakes with the indices and slices by which windows are read, or stamps are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from minideconv.testing.error_kinds import INDEX, SHAPE, Fails
from minideconv.testing.geometry import Pair
from minideconv.testing.mistakes.bank import Mistake, register
from minideconv.testing.mistakes.edges import NOWHERE, Edge, wrapped
from minideconv.testing.mistakes.indices import Tables
from minideconv.testing.mistakes.settings import Loose
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["indexing_mistakes"]

Cut = Callable[[Array, int, int], Array]
"""``cut(table, stride, dilation)``: the indices of one axis that such a slice gives."""


def indexing_mistakes(operation: str, output: str, loose: Loose, *, writes: bool) -> None:
    """Register them for an output whose windows lie where ``loose`` is told."""

    def wrong(name: str, sentence: str, *edges: Callable[[Settings], Edge]) -> None:
        def values(make: Callable[[Settings], Edge], arrays: Arrays, settings: Settings) -> Array:
            return loose(arrays, settings, settings, make(settings))

        first, *others = (partial(values, make) for make in edges)
        register(Mistake(operation, output, name, sentence, first, variants=tuple(others)))

    def same(edge: Edge) -> Callable[[Settings], Edge]:
        return lambda _settings: edge

    axes = ((0, 1), (0,), (1,))
    wrong("negative indices wrap around",
          "An index below 0 counts from the end of the axis, which NumPy allows; the padding is "
          "zeros, and what is cropped is dropped.",
          *(same(partial(_wrapped, some, raises))
            for raises in ((False, False), (True, False), (True, True)) for some in axes),
          )  # fmt: skip
    wrong("columns checked against the height",
          "The test of the bounds compares columns with the height of the image.",
          same(partial(_checked, bounds=(0, 0))))  # fmt: skip
    wrong("rows checked against the width",
          "The test of the bounds compares rows with the width of the image.",
          same(partial(_checked, bounds=(1, 1))))  # fmt: skip
    wrong("bounds of rows and columns swapped",
          "Rows are compared with the width of the image and columns with its height.",
          same(partial(_checked, bounds=(1, 0))))  # fmt: skip

    def sliced(name: str, sentence: str, *cuts: Cut) -> None:
        wrong(name, sentence, *(partial(_slices, cut) for cut in cuts))

    sliced("slices without the stride",
           "A slice of all windows leaves the stride out of its end or its step: it is "
           "a : a + stride·(count - 1) + 1 : stride.",
           *((_whole_stride,) if writes else (_stride_end, _whole_stride)))  # fmt: skip
    sliced("slices without the dilation",
           "A slice of one window leaves the dilation out of its end or its step: it is "
           "i : i + dilation·(k - 1) + 1 : dilation.",
           *((_whole_dilation,) if writes else (_dilation_end, _whole_dilation)))  # fmt: skip
    sliced("slices one too short",
           "The end of a slice is the index after its last entry, not that of the last one.",
           *((_short_windows_written, _short_taps_written) if writes
             else (_short_windows, _short_taps)))  # fmt: skip


def _wrapped(
    axes: Sequence[int], raises: tuple[bool, bool], where: Tables, size: Sequence[int], _: Any
) -> Tables:
    return wrapped(where, size, axes, *raises)


def _checked(
    where: Tables, size: Sequence[int], padding: Sequence[int], bounds: Sequence[int]
) -> Tables:
    """Compare the indices of each axis with the size of that of `bounds`."""
    checked = []
    for table, own, axis in zip(where, size, bounds, strict=True):
        passed = (table >= 0) & (table < size[axis])
        if (table[passed] >= own).any():
            raise Fails(INDEX)
        checked.append(np.where(passed, table, NOWHERE))
    return checked[0], checked[1]


def _slices(cut: Cut, settings: Settings) -> Edge:
    def edge(where: Tables, size: Sequence[int], padding: Sequence[int]) -> Tables:
        stride: Pair = settings["stride"]
        rows, columns = (
            cut(table, s, d)
            for table, s, d in zip(where, stride, settings["dilation"], strict=True)
        )
        return rows, columns

    return edge


def _kept(table: Array, lines: int, axis: int) -> Array:
    """Return the indices where a slice has so many lines along an axis of the table.

    They must be as many as there are; a single one is repeated.
    """
    count = table.shape[axis]
    if lines == count:
        return table
    if lines != 1:
        raise Fails(SHAPE)
    return np.repeat(table.take([0], axis), count, axis)


def _stride_end(table: Array, stride: int, dilation: int) -> Array:
    return _kept(table, -(-len(table) // stride), 0)


def _whole_stride(table: Array, stride: int, dilation: int) -> Array:
    if stride > 1 and len(table) > 1:
        raise Fails(SHAPE)
    return table


def _dilation_end(table: Array, stride: int, dilation: int) -> Array:
    return _kept(table, -(-table.shape[1] // dilation), 1)


def _whole_dilation(table: Array, stride: int, dilation: int) -> Array:
    if dilation > 1 and table.shape[1] > 1:
        raise Fails(SHAPE)
    return table


def _short_taps(table: Array, stride: int, dilation: int) -> Array:
    return _kept(table, len(table) - 1, 0)


def _short_windows(table: Array, stride: int, dilation: int) -> Array:
    taps = table.shape[1]
    return np.full_like(table, NOWHERE) if taps == 1 else _kept(table, taps - 1, 1)


def _short_taps_written(table: Array, stride: int, dilation: int) -> Array:
    if len(table) > 1:
        raise Fails(SHAPE)
    return np.full_like(table, NOWHERE)


def _short_windows_written(table: Array, stride: int, dilation: int) -> Array:
    if table.shape[1] > 1:
        raise Fails(SHAPE)
    return np.full_like(table, NOWHERE)
