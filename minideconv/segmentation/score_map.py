r"""The scores of an image, some rows at a time: `ScoreMap`.

A network's scores at the size of a photograph do not fit into memory: 21 classes at 12 million
pixels take a gigabyte. What is wanted of them, the class with the highest score, takes a hundredth.
So a `ScoreMap` holds what the network computed, at its own size, and makes of it the rows that it
is asked for; labels are found band by band.

Enlarging is bilinear. Pixel i of n' along one axis lies at (i + 1/2) n / n' - 1/2 between two of
the n scores j and j + 1, of the weights 1 - t and t, so that

    y[i] = (1 - t) x[j] + t x[j + 1]

first along the rows, then along the columns (in the other order where the map shrinks). Each pixel
is computed by itself, from the same numbers in the same order, whatever the band that it is in: so
the bands together are, to the last bit, the map as a whole. (By a product of matrices, as in
`ops.interpolate`, they need not be: its sums depend on its size.)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minideconv.backend import Array, device_of, get_xp, to_cpu, to_device
from minideconv.backend.dispatch import on_device_of
from minideconv.backend.parallel import map_ordered
from minideconv.data.resize import nearest_index
from minideconv.data.windows import Window
from minideconv.engine.cpu.memory import empty
from minideconv.errors import DataError

__all__ = ["ArrayMap", "Combined", "Enlarged", "ScoreMap", "class_labels", "not_finite"]

Labels = npt.NDArray[np.uint8]
Chosen = slice | npt.NDArray[np.int64]

BAND = 1 << 18
"""Numbers in a band on the CPU: it and a copy of it stay in a core's cache."""
DEVICE_BAND = 1 << 25
"""On a GPU, whose kernels are quicker the more they have to do."""


class ScoreMap(ABC):
    """Scores of every class at every pixel of one image, (C, H, W), which are computed when asked.

    Attributes
    ----------
    shape : (int, int, int)
        C, H and W.
    """

    shape: tuple[int, int, int]

    @property
    @abstractmethod
    def like(self) -> Array:
        """An array on the device where the scores are computed."""

    @abstractmethod
    def at(self, rows: Chosen, columns: Chosen) -> Array:
        """Return the scores where some rows and some columns meet: (C, rows, columns).

        Parameters
        ----------
        rows, columns : slice, or integer array, rising
        """

    @abstractmethod
    def is_finite(self) -> bool:
        """Return whether no score is NaN or infinite; on a GPU the host waits for it."""

    def rows(self, start: int, stop: int) -> Array:
        """Return the scores of some rows: (C, stop - start, W)."""
        return self.at(slice(start, stop), slice(None))

    def whole(self) -> Array:
        """Return the scores of all rows at once: (C, H, W)."""
        return self.at(slice(None), slice(None))

    def sampled(self, size: tuple[int, int]) -> Array:
        """Return the scores at as many pixels, evenly spread: ``(C, *size)``."""
        height, width = self.shape[1:]
        return self.at(nearest_index(height, size[0]), nearest_index(width, size[1]))

    def bands(self) -> list[tuple[int, int]]:
        """Return the first row, and that behind the last, of each of the bands, from above."""
        classes, height, width = self.shape
        numbers = BAND if get_xp(self.like) is np else DEVICE_BAND
        step = max(1, numbers // max(1, classes * width))
        return [(start, min(start + step, height)) for start in range(0, height, step)]

    def labels(self) -> Labels:
        """Return the class with the highest score: (H, W) uint8 on the host.

        Raises
        ------
        DataError
            If a score is NaN or infinite, so that there is no highest.
        """
        return self._labels

    @cached_property
    def _labels(self) -> Labels:
        if not self.is_finite():
            raise not_finite()
        found = np.empty(self.shape[1:], np.uint8)

        def label(band: tuple[int, int]) -> None:
            found[slice(*band)] = class_labels(self.rows(*band))

        if get_xp(self.like) is np:
            map_ordered(label, self.bands())
        else:
            for band in self.bands():
                label(band)
        return found


def not_finite() -> DataError:
    """Return the error of an image for which a network has computed no numbers."""
    return DataError("the network's scores are NaN or infinite, so there are no labels")


def class_labels(scores: Array) -> Labels:
    """Return the class with the highest score: (C, H, W) -> (H, W) uint8 on the host."""
    with on_device_of(scores):
        return to_cpu(scores.argmax(axis=0).astype(np.uint8))


class ArrayMap(ScoreMap):
    """Scores that are there: a (C, H, W) array."""

    def __init__(self, scores: Array) -> None:
        self.scores, self.shape = scores, scores.shape

    @property
    def like(self) -> Array:
        """The scores."""
        return self.scores

    def at(self, rows: Chosen, columns: Chosen) -> Array:
        """Return some of the scores; of slices a view."""
        with on_device_of(self.scores):
            return self.scores[:, rows][:, :, columns]

    def is_finite(self) -> bool:
        """Look at the scores, some rows at a time."""
        with on_device_of(self.scores):
            xp = get_xp(self.scores)
            return all(bool(xp.isfinite(self.rows(*band)).all()) for band in self.bands())


class Combined(ScoreMap):
    """One map made of others of the same shape, pixel by pixel.

    Parameters
    ----------
    maps : sequence of ScoreMap
    combine : callable
        Takes as many arrays (C, n, W) and returns one; it must compute each pixel by itself.
    """

    def __init__(
        self, maps: Sequence[ScoreMap], combine: Callable[[Sequence[Array]], Array]
    ) -> None:
        self.maps, self.combine, self.shape = list(maps), combine, maps[0].shape

    @property
    def like(self) -> Array:
        """That of the first map."""
        return self.maps[0].like

    def at(self, rows: Chosen, columns: Chosen) -> Array:
        """Return the combination of all maps there."""
        return self.combine([each.at(rows, columns) for each in self.maps])

    def is_finite(self) -> bool:
        """Return whether all of the maps are."""
        return all(each.is_finite() for each in self.maps)


class Enlarged(ScoreMap):
    """Scores (C, h, w) resized to a window of an image, and zero in the image around it.

    Parameters
    ----------
    scores : (C, h, w) float array
    window : Window
        Need not be square, and may reach outside of the image.
    height, width : int
        Of the image.
    """

    def __init__(self, scores: Array, window: Window, height: int, width: int) -> None:
        self.scores = scores
        self.shape = (len(scores), height, width)
        self._lines = _Axis.of(scores.shape[1], window.y1, window.y2, height)
        self._columns = _Axis.of(scores.shape[2], window.x1, window.x2, width)

    @property
    def like(self) -> Array:
        """The scores at the network's size."""
        return self.scores

    def is_finite(self) -> bool:
        """Look at the scores at the network's size, of which all others are means."""
        with on_device_of(self.scores):
            return bool(get_xp(self.scores).isfinite(self.scores).all())

    def at(self, rows: Chosen, columns: Chosen) -> Array:
        """Enlarge what these rows and columns of the image have of the window."""
        with on_device_of(self.scores):
            here = self._lines.part(rows, self.scores)
            there = self._columns.part(columns, self.scores)
            inside = self._inside(here, there)
            if inside.shape[1:] == (here.length, there.length):
                return inside
            xp, size = get_xp(self.scores), (here.length, there.length, len(self.scores))
            found = xp.zeros(size, self.scores.dtype).transpose(2, 0, 1)
            found[:, here.inside, there.inside] = inside
            return found

    def _inside(self, lines: _Part, columns: _Part) -> Array:
        """Return the pixels of these rows and columns of the window."""
        pixels = self.scores.transpose(1, 2, 0)[lines.used, columns.used]  # (h, w, C)
        if self._columns.new_size >= self._columns.size:
            found = _between(_between(pixels, columns.taps, 1), lines.taps, 0)
        else:
            found = _between(_between(pixels, lines.taps, 0), columns.taps, 1)
        return found.transpose(2, 0, 1)


class _Taps(NamedTuple):
    """Where new pixels lie along one axis: between which two old ones, and these' weights."""

    first: Array
    second: Array
    near: Array
    far: Array


class _Part(NamedTuple):
    """Some pixels along one axis: how many, which of them are in the window, and where they lie.

    `used` are those of the scores that are needed at all, and `taps` lie among these.
    """

    length: int
    inside: slice
    used: slice
    taps: _Taps


class _Axis(NamedTuple):
    """One axis: scores, pixels of the window, those before the image's, and where it is in there.

    `inside` are the pixels of the image that are in the window. Where the scores are on a GPU, all
    is computed there: nothing that is small travels.
    """

    size: int
    new_size: int
    shift: int
    extent: int
    inside: slice

    @classmethod
    def of(cls, size: int, first: int, last: int, extent: int) -> _Axis:
        start = min(max(0, first), extent)
        stop = max(start, min(last + 1, extent))
        return cls(size, last - first + 1, -first, extent, slice(start, stop))

    def part(self, chosen: Chosen, like: Array) -> _Part:
        """Return where some of the image's pixels lie among the scores; on the device of `like`."""
        pixels = np.arange(self.extent)[chosen]
        start, stop = np.searchsorted(pixels, (self.inside.start, self.inside.stop)).tolist()
        new, used = pixels[start:stop] + self.shift, slice(0, 0)
        if len(new):
            ends = self._taps(new[[0, -1]])
            used = slice(int(ends.first[0]), int(ends.second[1]) + 1)
        taps = self._taps(_there(new, like))
        taps = taps._replace(first=taps.first - used.start, second=taps.second - used.start)
        return _Part(len(pixels), slice(start, stop), used, taps)

    def _taps(self, new: Array) -> _Taps:
        """Return where pixels of the window lie; see `ops.interpolate.interpolation_matrix`."""
        xp, source = get_xp(new), new.astype(np.float64)
        if self.size != self.new_size:
            source = (source + 0.5) * (self.size / self.new_size) - 0.5
        source = xp.minimum(xp.maximum(source, 0.0), self.size - 1)
        first = xp.floor(source).astype(np.int64)
        second = xp.minimum(first + 1, self.size - 1)
        far = xp.where(second > first, 1 - (second - source), 0.0)
        return _Taps(first, second, 1 - (source - first), far)


def _there(numbers: npt.NDArray[Any], like: Array) -> Array:
    """Return rising integers on the device of `like`; a range of them is made there."""
    xp = get_xp(like)
    if xp is np:
        return numbers
    if len(numbers) and int(numbers[-1]) - int(numbers[0]) == len(numbers) - 1:
        return xp.arange(int(numbers[0]), int(numbers[-1]) + 1)
    return to_device(numbers, device_of(like))


def _between(x: Array, taps: _Taps, axis: int) -> Array:
    """Resize one axis, 0 or 1, of (H, W, C) by two neighbours of each pixel."""
    behind = (slice(None), *[None] * (2 - axis))
    near, far = (each.astype(x.dtype)[behind] for each in (taps.near, taps.far))
    found = _taken(x, taps.first, axis)
    found *= near
    more = _taken(x, taps.second, axis)
    more *= far
    found += more
    return found


def _taken(x: Array, index: Array, axis: int) -> Array:
    """Return ``x.take(index, axis)``; on the CPU in memory that the last band has left."""
    xp = get_xp(x)
    if xp is not np:
        return xp.take(x, index, axis)
    found = empty((*x.shape[:axis], len(index), *x.shape[axis + 1 :]), x.dtype)
    return np.take(x, index, axis, out=found, mode="clip")  # which needs no buffer
